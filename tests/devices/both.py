"""Trains pairs, and does every task with one, on the CPU and on a device that is not there.

Prints, as JSON, which results differ, and for what the host waited in each iteration. A process of
its own, for the device cannot be taken away again. With --narrow the device has no float64.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from pretend import NAME, Held, numbers, pretended
from torch import Tensor

import coopkit
from coopkit.building import new_accelerator
from coopkit.folder import FAST_FILE, START
from coopkit.recipes import Recipe
from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.energy import energies
from coopkit.tasks.evaluate import evaluate
from coopkit.tasks.evaluation import Evaluation
from coopkit.tasks.infer import InferenceSettings, infer_latents
from coopkit.tasks.inpaint import InpaintingSettings, inpaint, restoration_error
from coopkit.tasks.interpolate import interpolate, random_ends
from coopkit.tasks.masks import square_holes
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.sample import sample
from coopkit.tasks.sizes import at_size
from coopkit.tasks.trained import Trained, load
from coopkit.training import Run
from coopkit.watchers.files import read_metrics

TINY = Path(__file__).parents[1] / "tiny"
FEW = ["data.resize=fit", "run.iterations=3"]
SMALL = [
    "data.source=coffee",
    "data.crop=random",
    "data.crops=8",
    "data.height=16",
    "data.width=16",
    "run.iterations=3",
    "run.chains=3",
    "run.observed=4",
    "generator.filters=[4, 4, 4]",
]
EVEN = ["descriptor.optimizer.eps=1e4", "generator.optimizer.eps=1.0"]
"""So that Adam does not move weights whose gradients are rounding as far as all others."""

STARTED = [
    *SMALL,
    "generator.latent_size=3",
    "generator.start.iterations=2",
    "generator.start.observed=4",
]
TRAININGS = {
    **{name: (str(TINY / f"{name}.toml"), FEW) for name in ("descriptor", "generator")},
    "cooperative": (str(TINY / "cooperative.toml"), FEW),
    "face": ("face", STARTED),
    "texture-small": ("texture-small", [*SMALL, *EVEN]),
    **{
        name: (str(TINY / "cooperative.toml"), [*FEW, f'revision.sampler="{name}"'])
        for name in ("hmc", "mala", "parallel-tempering", "underdamped-langevin")
    },
}


@contextmanager
def there(waits: list[str], narrow: bool) -> Iterator[None]:
    """Have the device, which runs are placed on; note what the host waits for in iterations.

    In the first that a process does of a run it waits for more: ways of computing are compared.
    """
    within, begun = [False], set[Run]()

    def placed(recipe: Recipe) -> Accelerator:
        accelerator = new_accelerator(recipe)
        for state in (PartialState, AcceleratorState):
            state._shared_state["device"] = torch.device(NAME)
        return accelerator

    def iterate(run: Run) -> Any:
        within[0] = run in begun
        try:
            return whole(run)
        finally:
            within[0] = False
            begun.add(run)

    whole = Run.iterate
    with (
        mock.patch("coopkit.training.new_accelerator", placed),
        mock.patch.object(Run, "iterate", iterate),
        pretended(lambda name: waits.append(name) if within[0] else None, narrow),
    ):
        yield
    for state in (PartialState, AcceleratorState):
        state._shared_state.clear()


def trained(name: str, folder: Path) -> dict[str, Tensor]:
    """Return the figures of all iterations of a run, in which every weight has a part.

    One of them is resumed on the way.

    Not Δf, a small difference of large numbers, which rounding decides at first.
    """
    recipe, changes = TRAININGS[name]
    if name == "cooperative":
        coopkit.run(Recipe.read(recipe, [*changes, "run.iterations=2"]), folder)
    coopkit.run(Recipe.read(recipe, changes), folder, resume=True)
    figures = [read_metrics(place) for place in (folder / START, folder)]
    own = ("/seconds", "/f_observed_minus_revised")
    return {name: value for name, value in tensors_in(figures) if not name.endswith(own)}


def tensors_in(tree: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested results, each on the CPU, by where it is."""
    if isinstance(tree, Tensor):
        yield path, numbers(tree)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from tensors_in(value, f"{path}/{key}")
    elif isinstance(tree, list | tuple):
        yield from tensors_in(dict(enumerate(tree)), path)
    elif hasattr(tree, "__attrs_attrs__"):
        fields = {field.name: getattr(tree, field.name) for field in tree.__attrs_attrs__}
        yield from tensors_in(fields, path)
    elif isinstance(tree, float):
        yield path, torch.tensor(tree)


def tasks(folder: Path, device: str) -> dict[str, Callable[[], Any]]:
    """Return every task with a trained pair."""
    pair: Trained = load(folder / "cooperative", device)
    alone = load(folder / "generator", device)
    texture = load(folder / "texture-small", device)
    signals = sample(pair, 3).revised
    assert signals is not None
    assert isinstance(signals, Held) == (device == NAME)
    holes = square_holes(3, 3, pair.signal_shape, seed=0)
    few = InferenceSettings(steps=3, chains=2)
    restoring = InpaintingSettings(inference=few, blend=True, revision_steps=2)
    ends = random_ends(pair, 2)
    return {
        "sample": lambda: sample(pair, 3),
        "at_size": lambda: sample(at_size(pair, 16, 16), 2),
        "fitted": lambda: sample(with_fitted_prior(alone), 2),
        "infer": lambda: infer_latents(pair, signals, few),
        "ascent": lambda: infer_latents(pair, signals, InferenceSettings(steps=0, ascent=3)),
        "reconstruct": lambda: reconstruct(pair, signals, few),
        "inpaint": lambda: inpaint(pair, signals, holes, restoring),
        "inpaint there": lambda: inpaint(pair, signals, holes.to(device), restoring),
        "restoration error": lambda: restoration_error(signals, 0.9 * signals, holes.to(device)),
        "complete": lambda: complete(pair, signals, holes, CompletionSettings(steps=3, chains=2)),
        "energies": lambda: energies(pair, signals),
        "interpolate": lambda: interpolate(pair, *ends, frames=3),
        "evaluate": lambda: evaluated(pair),
        "evaluate a texture": lambda: evaluated(texture),
    }


def evaluated(pair: Trained) -> Evaluation:
    """Return the figures of a pair, which are to restore real images in a few steps."""
    with mock.patch("coopkit.tasks.recovery.ASCENT", 5):
        return evaluate(pair, 4)


def differences(here: Mapping[str, Tensor], there: Mapping[str, Tensor], narrow: bool) -> list[str]:
    """Return the names of what is not the same; ways of computing may differ by rounding."""

    def same(x: Tensor, y: Tensor) -> bool:
        narrowed = narrow and (x.dtype, y.dtype) == (torch.float64, torch.float32)
        near = torch.allclose(x.to(y.dtype), y, 1e-3, 1e-5)
        return (narrowed or x.dtype == y.dtype) and near

    both = {*here} & {*there}
    return sorted(({*here} | {*there}) - {name for name in both if same(here[name], there[name])})


def prepared(folder: Path) -> set[str]:
    """Return what a run says of how its networks were evaluated: what fails is only said there."""
    return {*json.loads((folder / FAST_FILE).read_text(encoding="utf-8"))["networks"].values()}


def compared(asked: str, folder: Path, narrow: bool) -> dict[str, Any]:
    """Return what differs, of so many tensors, and what was waited for."""
    waits: list[str] = []
    if asked != "tasks":
        here = trained(asked, folder / "here")
        with there(waits, narrow):
            away = trained(asked, folder / "away")
        assert prepared(folder / "away") <= {"prepared", "as it is: it is faster as it is"}
    else:
        for name in ("cooperative", "generator", "texture-small"):
            trained(name, folder / name)
        here = dict(tensors_in({name: task() for name, task in tasks(folder, "cpu").items()}))
        with there(waits, narrow):
            found = {name: task() for name, task in tasks(folder, NAME).items()}
        away = dict(tensors_in(found))
    return {"tensors": len(here), "differ": differences(here, away, narrow), "waits": waits}


if __name__ == "__main__":
    torch.set_num_threads(1)  # sums shared among several differ by rounding
    narrow, names = "--narrow" in sys.argv, [name for name in sys.argv[1:] if name[0] != "-"]
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps({name: compared(name, Path(place) / name, narrow) for name in names}))
