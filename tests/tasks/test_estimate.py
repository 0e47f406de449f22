"""The memory of a run, told before it is begun."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coopkit.recipes import Recipe
from coopkit.tasks.estimate import describe_estimate, estimate

TINY = Path(__file__).parents[1] / "tiny"

MIB = 2**20
QUICK = ("run.sheet_every=0", "run.checkpoint_every=0", "run.iterations=2")
LARGE = (
    "run.iterations=1",
    "run.chains=96",
    "run.observed=96",
    "revision.steps=1",
    "reconstruction.updates=1",
    "data.crops=96",
    "descriptor.filters=[16]",
    "descriptor.kernels=[3]",
    "descriptor.strides=[2]",
    "generator.filters=[32, 32]",
)
"""Half a gigabyte in G2 for little work, beside which what is not counted is small."""

TAKEN = """
import json, sys
from pathlib import Path
import torch
import coopkit
from coopkit.recipes import Recipe
from coopkit.fast.tracing import trace

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])

trace(lambda constants, x: x + 1, {}, torch.ones(1))
before = peak()
coopkit.run(Recipe.read(sys.argv[1], sys.argv[3:]), sys.argv[2])
print(json.dumps(peak() - before))
"""


def read(name: str, *overrides: str) -> Recipe:
    return Recipe.read(name, [*QUICK, *overrides])


def test_what_is_kept_is_counted_by_hand():
    found = estimate(read("quickstart"))
    recipe = read("quickstart")
    weights = 1 * 16 * 81 + 16 + 16 * 32 * 49 + 32 + 32 * 64 * 25 + 64
    assert found.kept["descriptor: weights, gradients, optimiser"] == 3 * 4 * weights
    assert found.kept["images"] == 512 * 64 * 64 * 4
    assert recipe.run.chains == 9


def test_chains_beyond_the_chunk_cost_their_own_size_alone():
    sizes = {}
    for chains in (64, 128, 256):
        found = estimate(read("quickstart", f"run.chains={chains}", "run.memory=0.01"))
        (stage,) = (name for name in found.stages if name.startswith("D1"))
        assert f"of {chains} chains" in stage
        sizes[chains] = found.stages[stage]
    assert sizes[256] - sizes[128] == pytest.approx(2 * (sizes[128] - sizes[64]), rel=0.2)
    assert sizes[256] - sizes[128] <= 1.2 * 128 * 4 * 64 * 64 * 4


def test_memory_of_a_chunk_is_linear_in_the_budget():
    stages = {}
    for memory in (0.01, 0.02, 0.04):
        found = estimate(read("quickstart", "run.chains=512", f"run.memory={memory}"))
        (stage,) = (size for name, size in found.stages.items() if name.startswith("D1"))
        stages[memory] = stage
    assert stages[0.04] - stages[0.02] == pytest.approx(0.02 * 2**30, rel=0.2)
    assert stages[0.02] - stages[0.01] == pytest.approx(0.01 * 2**30, rel=0.2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("fast", ["auto", "off"])
def test_the_peak_is_what_a_run_takes(tmp_path: Path, fast: str):
    """By the program's own high-water mark: that of getrusage begins at its parent's."""
    overrides = [*QUICK, *LARGE, f"run.fast={fast}"]
    command = [sys.executable, "-c", TAKEN, "quickstart", str(tmp_path / "run"), *overrides]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    taken = json.loads(printed.splitlines()[-1])
    expected = estimate(Recipe.read("quickstart", overrides)).peak
    assert 0.6 * expected <= taken <= 1.5 * expected + 60 * MIB


def test_a_penalty_takes_the_memory_of_a_second_derivative():
    falling = '{schedule="linear", start=1, end=0, iterations=2}'
    plain, penalized = (
        estimate(read("quickstart", f"shift.score_penalty={x}")) for x in (0, falling)
    )
    (step,) = (name for name in plain.stages if name.startswith("D2"))
    assert 1.1 < penalized.stages.pop(step) / plain.stages.pop(step) < 2.5
    assert penalized.stages == plain.stages


def test_it_is_said_in_words():
    said = describe_estimate(read("quickstart", "run.chains=12"))
    assert {"D1, 12 of 12 chains at a time", "D2, 36 signals", "G2, 12 signals"} < set(said)
    assert said["peak"].endswith("beyond it") or "largest step" in said["peak"]


def test_axes_of_the_examples_are_counted():
    recipe = Recipe.read(TINY / "generator.toml", ['run.latents="components"'])
    plain = Recipe.read(TINY / "generator.toml")
    assert estimate(recipe).stages == estimate(plain).stages | {"components": 2 * 4 * 10 * 64}
