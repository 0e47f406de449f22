"""Training with the sampler, on a few small signals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from coopkit import Recipe, run

pytest.importorskip(
    "coopkit_underdamped",
    reason="coopkit-underdamped is not installed: pip install ./plugins/coopkit-underdamped",
)

SMALL = (
    "data.height=8",
    "data.width=8",
    "data.resize=24",
    "data.crops=6",
    "descriptor.filters=[3]",
    "descriptor.kernels=[3]",
    "descriptor.strides=[2]",
    "descriptor.optimizer.lr=0.001",
    "run.chains=4",
    "run.observed=4",
    "run.sheet_every=0",
    "run.checkpoint_every=0",
    "revision.sampler=underdamped-langevin",
    "revision.steps=3",
    "revision.friction=20.0",
)
BOTH = (
    "generator.latent_size=2",
    "generator.filters=[3]",
    'inference={sampler="underdamped-langevin", steps=2, step_size=0.1, friction=1.0}',
)


def small(name: str, iterations: int, *overrides: str) -> Recipe:
    return Recipe.read(name, [*SMALL, f"run.iterations={iterations}", *overrides])


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_both_samplers_of_a_cooperative_run_tell_their_temperature(tmp_path: Path):
    ended = run(small("quickstart", 2, *BOTH), tmp_path)
    assert ended.finished
    lines = metrics(tmp_path)
    assert len(lines) == 2
    for line in lines:
        for purpose in ("revision", "inference"):
            assert line[f"{purpose}.kinetic_temperature"] > 0
    assert not ended.algorithm.memory, "drafts are new, and momentum is not for them"


def test_momentum_of_persistent_chains_outlives_iterations_and_checkpoints(tmp_path: Path):
    whole = run(small("descriptor", 4), tmp_path / "whole")
    half = run(small("descriptor", 2), tmp_path / "parts")
    momentum = half.algorithm.memory["revision.chains.momentum"]
    assert momentum.shape == half.algorithm.memory["chains"].shape
    assert momentum.abs().min() > 0
    parts = run(small("descriptor", 4), tmp_path / "parts", resume=True)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert whole.algorithm.memory.keys() == parts.algorithm.memory.keys()
    for name, value in whole.algorithm.memory.items():
        assert torch.equal(value, parts.algorithm.memory[name]), name


def test_momentum_is_that_of_the_iteration_before(tmp_path: Path):
    """Next to no friction and no force: what moves the chains is what moved them before."""
    still = ("revision.friction=1e-9", "revision.step_size=1e-6", "descriptor.reference_std=10.0")
    one, two = (run(small("descriptor", n, *still), tmp_path / str(n)) for n in (1, 2))
    before, after = (each.algorithm.memory["revision.chains.momentum"] for each in (one, two))
    torch.testing.assert_close(before, after, atol=1e-3, rtol=0)


def test_latents_of_examples_keep_their_momentum(tmp_path: Path):
    generator = (
        "data.height=8",
        "data.width=8",
        "data.resize=24",
        "data.crop=random",
        "data.crops=6",
        "generator.latent_size=2",
        "generator.architecture=texture",
        "generator.filters=[3]",
        "generator.kernel=3",
        "run.observed=4",
        "run.sheet_every=0",
        "run.checkpoint_every=0",
        "inference.sampler=underdamped-langevin",
        "inference.friction=1.0",
    )
    ended = run(Recipe.read("generator", [*generator, "run.iterations=3"]), tmp_path)
    memory = ended.algorithm.memory
    assert memory["inference.chains.momentum"].shape == memory["latents"].shape
    assert len(memory["latents"]) == 6


def test_state_is_float32_under_mixed_precision(tmp_path: Path):
    mixed = 'run.mixed_precision="bf16"'
    one = run(small("descriptor", 2, mixed), tmp_path / "one")
    assert {value.dtype for value in one.algorithm.memory.values()} == {torch.float32}
    both = run(small("quickstart", 2, mixed, *BOTH), tmp_path / "both")
    assert both.finished
