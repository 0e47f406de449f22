"""Cooperative training with the sampler in both of its places."""

import json
import signal
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from coopkit import Recipe, hookimpl, run
from coopkit.checkpoint import Checkpoint, list_checkpoints, load_checkpoint

coopkit_mala = pytest.importorskip(
    "coopkit_mala", reason="coopkit-mala is not installed: pip install ./plugins/coopkit-mala"
)
Mala = coopkit_mala.Mala

RECIPE = Path(__file__).parent.parent / "recipe.toml"
CHAIN = {"sampler": "mala", "steps": 3, "step_size": 0.01, "warmup": 10}
TABLES: dict[str, Any] = {
    "algorithm": "cooperative",
    "seed": 1,
    "data": {
        "source": "brick",
        "height": 8,
        "width": 8,
        "resize": 24,
        "crop": "random",
        "crops": 10,
    },
    "descriptor": {
        "architecture": "texture",
        "reference_std": 0.1,
        "filters": [3],
        "kernels": [3],
        "strides": [2],
        "optimizer": {"name": "capped", "lr": 0.01},
    },
    "generator": {
        "architecture": "texture",
        "latent_size": 2,
        "filters": [3],
        "kernel": 3,
        "optimizer": {"name": "Adam", "lr": 0.001},
    },
    "revision": CHAIN,
    "inference": CHAIN | {"step_size": 0.1},
    "run": {"iterations": 2, "chains": 4, "observed": 4, "sheet_every": 0, "checkpoint_every": 0},
}


def recipe(**settings: Any) -> Recipe:
    return Recipe.from_tables(TABLES | {"run": TABLES["run"] | settings}, "a test")


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def newest(folder: Path) -> Checkpoint:
    return load_checkpoint(list_checkpoints(folder / "checkpoints")[-1])


def tensors(tree: Any, path: str = "") -> dict[str, Tensor]:
    if isinstance(tree, Tensor):
        return {path: tree}
    if not isinstance(tree, dict | list | tuple):
        return {}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {key: t for name, value in items for key, t in tensors(value, f"{path}.{name}").items()}


@attrs.define
class StopAt:
    """Asks this run to stop at the end of an iteration."""

    iteration: int

    @hookimpl
    def iteration_finished(self, run: Any) -> None:
        if run.iteration == self.iteration:
            signal.raise_signal(signal.SIGTERM)


def test_it_trains_and_tells(tmp_path: Path):
    assert run(recipe(), tmp_path).finished
    for line in metrics(tmp_path):
        for purpose in ("revision", "inference"):
            assert 0 <= line[f"{purpose}.acceptance"] <= 1
            assert line[f"{purpose}.step_size"] > 0
    memory = newest(tmp_path).training["memory"]
    assert memory["revision.tuned.updates"].tolist() == [6] * 4


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path):
    """Bit for bit, with the warm-up of 10 steps coming to its end in the fourth iteration."""
    run(recipe(iterations=4), tmp_path / "whole")
    run(recipe(iterations=4), tmp_path / "parts", watchers=[StopAt(2)])
    assert newest(tmp_path / "parts").iteration == 2
    assert run(recipe(iterations=4), tmp_path / "parts", resume=True).finished
    one, other = (tensors(attrs.asdict(newest(tmp_path / f))) for f in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert any("revision.tuned.log_step" in key for key in one)
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")


def test_mixed_precision_keeps_the_chains_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    types = set()
    step = Mala.step

    def watched(self: Any, target: Any, state: Any, rng: Any) -> Any:
        state = step(self, target, state, rng)
        found = [state.position, state.score, *state.tuning.tensors().values()]
        assert state.log_prob.dtype == torch.float64
        types.update(value.dtype for value in found if value.is_floating_point())
        return state

    monkeypatch.setattr(Mala, "step", watched)
    assert run(recipe(mixed_precision="bf16"), tmp_path).finished
    assert types == {torch.float32}


def test_the_recipe_of_the_package_is_right():
    read = Recipe.read(RECIPE)
    assert isinstance(read.settings(0).revision, Mala)
    assert read.settings(0).revision.warmup > 0
