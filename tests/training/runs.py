"""Tiny runs, and how two of them are compared."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from coopkit import hookimpl
from coopkit.checkpoint import Checkpoint, list_checkpoints, load_checkpoint
from coopkit.iterations import Iteration
from coopkit.recipes import Recipe
from coopkit.training import Run

TINY = Path(__file__).parents[1] / "tiny"
NETWORKS = {
    "descriptor": ("descriptor",),
    "generator": ("generator",),
    "cooperative": ("descriptor", "generator"),
}


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, tree


def tiny(name: str = "cooperative", *overrides: str) -> Recipe:
    return Recipe.read(TINY / f"{name}.toml", overrides)


def newest(folder: Path) -> Checkpoint:
    return load_checkpoint(list_checkpoints(folder / "checkpoints")[-1])


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    """Every tensor, number and figure of two runs is the same, bit for bit."""
    first, second = (dict(leaves(attrs.asdict(newest(folder)))) for folder in (one, other))
    assert first.keys() == second.keys()
    for key, value in first.items():
        same = (
            torch.equal(value, second[key]) if isinstance(value, Tensor) else value == second[key]
        )
        assert same, key
    assert metrics(one) == metrics(other)


@attrs.define
class StopAt:
    """Sends this process a signal at the end of an iteration."""

    iteration: int
    number: signal.Signals = signal.SIGTERM

    @hookimpl
    def iteration_finished(self, run: Run, iteration: Iteration) -> None:
        if run.iteration == self.iteration:
            signal.raise_signal(self.number)
