"""Training with the sampler, on a few small signals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from coopkit import Recipe, run

pytest.importorskip(
    "coopkit_parallel_tempering",
    reason="coopkit-parallel-tempering is not installed: "
    "pip install ./plugins/coopkit-parallel-tempering",
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
    "revision.sampler=parallel-tempering",
    "revision.steps=3",
    "revision.replicas=3",
    "revision.swap_every=2",
)
BOTH = (
    "generator.latent_size=2",
    "generator.filters=[3]",
    'inference={sampler="parallel-tempering", steps=2, step_size=0.1, replicas=2, hottest=2.0}',
)


def small(name: str, iterations: int, *overrides: str) -> Recipe:
    return Recipe.read(name, [*SMALL, f"run.iterations={iterations}", *overrides])


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_both_samplers_of_a_cooperative_run_tell_of_their_swaps(tmp_path: Path):
    ended = run(small("quickstart", 2, *BOTH), tmp_path)
    assert ended.finished
    lines = metrics(tmp_path)
    assert len(lines) == 2
    for line in lines:
        for name in ("revision.swap_1_2", "revision.swap_2_3", "inference.swap_1_2"):
            assert 0 < line[name] <= 1
        pairs = (line["revision.swap_1_2"] + line["revision.swap_2_3"]) / 2
        assert line["revision.swap_acceptance"] == pytest.approx(pairs)
        assert line["inference.round_trips"] >= 0
    assert not ended.algorithm.memory, "drafts are new, and ladders are not for them"


def test_ladders_of_persistent_chains_outlive_iterations_and_checkpoints(tmp_path: Path):
    whole = run(small("descriptor", 4), tmp_path / "whole")
    half = run(small("descriptor", 2), tmp_path / "parts")
    memory = half.algorithm.memory
    chains = memory["chains"]
    assert memory["revision.chains.replicas"].shape == (4, 2, *chains.shape[1:])
    assert memory["revision.chains.clock"].tolist() == [6] * 4
    assert memory["revision.chains.walkers"].sort().values.tolist() == [[0, 1, 2]] * 4
    parts = run(small("descriptor", 4), tmp_path / "parts", resume=True)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert whole.algorithm.memory.keys() == parts.algorithm.memory.keys()
    for name, value in whole.algorithm.memory.items():
        assert torch.equal(value, parts.algorithm.memory[name]), name


def test_hotter_replicas_are_those_of_the_iteration_before(tmp_path: Path):
    """At a step size that moves next to nothing they stay, but for swaps, where they were."""
    still = ("revision.step_size=1e-9", "revision.swap_every=99")
    one, two = (run(small("descriptor", n, *still), tmp_path / str(n)) for n in (1, 2))
    before, after = (each.algorithm.memory["revision.chains.replicas"] for each in (one, two))
    torch.testing.assert_close(before, after, atol=1e-6, rtol=0)


def test_latents_of_examples_keep_their_ladders(tmp_path: Path):
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
        "inference.sampler=parallel-tempering",
        "inference.swap_every=3",
    )
    ended = run(Recipe.read("generator", [*generator, "run.iterations=3"]), tmp_path)
    memory = ended.algorithm.memory
    latents = memory["latents"]
    assert memory["inference.chains.replicas"].shape == (6, 3, *latents.shape[1:])
    clock = memory["inference.chains.clock"]
    assert sorted(clock.tolist()) == [10, 10, 20, 20, 20, 20], "four examples, two, and four again"


def test_state_is_float32_under_mixed_precision(tmp_path: Path):
    mixed = 'run.mixed_precision="bf16"'
    one = run(small("descriptor", 2, mixed), tmp_path / "one")
    kinds = {name: value.dtype for name, value in one.algorithm.memory.items()}
    counters = {f"revision.chains.{name}" for name in ("clock", "walkers", "heading")}
    assert {kinds.pop(name) for name in counters} == {torch.int64}
    assert set(kinds.values()) == {torch.float32}
    assert run(small("quickstart", 2, mixed, *BOTH), tmp_path / "both").finished
