"""Checkpoints: safetensors and JSON, written whole or not at all.

A checkpoint is a folder, named after how many iterations are done. It is written beside its place
under a temporary name and moved there in one step, so that whatever stands there is whole.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coopkit.errors import RunError
from coopkit.writing import TEMPORARY

CHECKPOINTS = "checkpoints"
FORMAT = 1
"""Raised when checkpoints are written in a way that an older coopkit cannot read."""


@attrs.frozen(eq=False)
class Checkpoint:
    """The state of a run between two iterations.

    Attributes:
        iteration: how many learning iterations are done.
        networks: the state dictionaries of the networks, by "descriptor" and "generator".
        training: all else, nested dictionaries and lists of tensors and plain values.
    """

    iteration: int
    networks: dict[str, dict[str, Tensor]]
    training: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint under `folder` and remove all but the newest `keep`.

    Returns:
        Where it stands.

    Raises:
        RunError: it cannot be written; those before it stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{checkpoint.iteration:08d}"
    if place in list_checkpoints(folder):
        return place
    writing = folder / f"{TEMPORARY}{place.name}"
    try:
        write(writing, checkpoint)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(writing, ignore_errors=True)
        raise RunError(f"the checkpoint {place} cannot be written: {error}") from error
    if place.exists():
        shutil.rmtree(place)
    writing.rename(place)
    for old in list_checkpoints(folder)[:-keep]:
        removing = folder / f"{TEMPORARY}{old.name}"
        old.rename(removing)
        shutil.rmtree(removing, ignore_errors=True)
    return place


def write(writing: Path, checkpoint: Checkpoint) -> None:
    """Write the files of a checkpoint to a folder that is not its place yet."""
    for leftover in writing.parent.glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    writing.mkdir(exist_ok=True)
    for name, weights in checkpoint.networks.items():
        save_file(portable(weights), writing / f"{name}.safetensors")
    tensors: dict[str, Tensor] = {}
    skeleton = split(checkpoint.training, tensors)
    save_file(portable(tensors), writing / "training.safetensors")
    state: dict[str, Any] = {
        "format": FORMAT,
        "iteration": checkpoint.iteration,
        "networks": list(checkpoint.networks),
        "training": skeleton,
    }
    (writing / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    for file in writing.iterdir():
        flush(file)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints under a folder, the oldest first."""
    places = (path for path in folder.glob("[0-9]*") if path.name.isdigit())
    return sorted(path for path in places if (path / "state.json").is_file())


def load_checkpoint(place: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        RunError: it is damaged, or a newer coopkit has written it; the message names the file.
    """
    try:
        state = json.loads((place / "state.json").read_text(encoding="utf-8"))
        if state.get("format", FORMAT) > FORMAT:
            raise RunError(f"the checkpoint {place} is of a newer coopkit; upgrade to read it")
        networks = {name: read(place / f"{name}.safetensors") for name in state["networks"]}
        tensors = read(place / "training.safetensors")
        training = join(state["training"], tensors)
        checkpoint = Checkpoint(state["iteration"], networks, training)
        if not all_finite(checkpoint):
            raise ValueError("a weight is not finite")
        return checkpoint
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise RunError(
            f"the checkpoint {place} is damaged: {error}; remove it to go on from an older one"
        ) from error


def read(file: Path) -> dict[str, Tensor]:
    """Return the tensors in a file, copied from it, so that nothing holds the file any more.

    A network file system keeps a removed file that is held, and its folder then cannot go.
    """
    return {name: tensor.clone() for name, tensor in load_file(file).items()}


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], kind: str) -> None:
    """Load a checkpoint's weights into a network that was built from the recipe beside it.

    Raises:
        RunError: they do not fit.
    """
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(
            f"the weights of the {kind} in the checkpoint do not fit its recipe: {error}"
        ) from error


def flush(file: Path) -> None:
    """Make sure that a file is on the disk."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors wants them: on the CPU, each with memory of its own."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def split(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a tree with its tensors moved to `tensors` and named in their place.

    Dictionaries become lists of pairs, because JSON would turn whole-number keys into texts.
    """
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree
        return {"tensor": name}
    if isinstance(tree, Mapping):
        return {"pairs": [[key, split(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return [split(value, tensors) for value in tree]
    return tree


def join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `split`."""
    if isinstance(tree, dict):
        if "tensor" in tree:
            return tensors[tree["tensor"]]
        return {key: join(value, tensors) for key, value in tree["pairs"]}
    if isinstance(tree, list):
        return [join(value, tensors) for value in tree]
    return tree


def all_finite(checkpoint: Checkpoint) -> bool:
    """Whether no weight of the networks is infinite or not a number."""
    states = [tensor for state in checkpoint.networks.values() for tensor in state.values()]
    return all(bool(torch.isfinite(tensor).all()) for tensor in states)
