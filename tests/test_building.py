"""What depends on the number of processes; the rest of building is tested by whole runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coopkit.building import check_values, new_accelerator
from coopkit.data import load_images
from coopkit.errors import RecipeError
from coopkit.recipe import Recipe
from coopkit.statistics.components import component_latents
from coopkit.streams import stream_seed
from coopkit.training import prepare

TINY = Path(__file__).parent / "tiny"

RUNS = """
import os
import sys
from pathlib import Path
from coopkit import Recipe, run
from coopkit.fast import weights

orders = list(weights.ORDERS)
weights.is_heavy = lambda module: True
weights.measured_order = lambda network, x: orders[int(os.environ["RANK"])]
tiny, out = Path(sys.argv[1]), Path(sys.argv[2])
start = ["generator.architecture=object", "generator.kernel=4", "generator.start.iterations=2"]
start += ["generator.start.observed=4", "generator.start.inference.steps=2"]
start += ["generator.start.latents=components", "generator.linear=true"]
start += ["generator.start.optimizer={name='Adam', lr=0.01}"]
for name in ("descriptor", "generator", "cooperative", "begun"):
    def recipe(iterations):
        keys = ["run.device=cpu", f"run.iterations={iterations}"]
        if name == "begun":
            return Recipe.read(tiny / "cooperative.toml", [*keys, *start])
        if name == "cooperative":
            keys.append("shift.score_penalty=1")
        return Recipe.read(tiny / f"{name}.toml", keys)
    whole = run(recipe(3), out / name / "whole")
    run(recipe(2), out / name / "parts")
    parts = run(recipe(3), out / name / "parts", resume=True)
    assert whole.accelerator.num_processes == 2
    assert parts.figures == whole.figures, name
    for kind, learner in whole.learners.items():
        resumed = parts.learners[kind].network.parameters()
        for one, other in zip(learner.network.parameters(), resumed):
            assert one.equal(other), (name, kind)
            mean = whole.accelerator.reduce(one.detach(), "mean")
            assert mean.equal(one), (name, kind, "the processes have gone apart")
"""


def test_processes_that_are_not_joined_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match=r'2 processes were launched; .* run\.device = "cpu"'):
        new_accelerator(Recipe.read(TINY / "cooperative.toml"))


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (
            "descriptor",
            (),
            r"descriptor.architecture gives (2, 3) for two chains; it must give (2,)",
        ),
        ("generator", (4,), r"generator.architecture gives (2, 3) for .*; it must give (2, 4)"),
    ],
)
def test_values_of_another_shape_are_refused(kind: str, value: tuple[int, ...], says: str):
    with pytest.raises(RecipeError, match=says.replace("(", r"\(").replace(")", r"\)")):
        check_values(torch.nn.Linear(5, 3), kind, (5,), value)
    check_values(torch.nn.Linear(5, 3), kind, (5,), (3,))


def test_latents_begin_where_the_recipe_says(tmp_path: Path):
    """Drawn from N(0, I) like the rest, but for the entries that the examples have axes for."""
    begun = {}
    for name in ("prior", "components"):
        recipe = Recipe.read(TINY / "generator.toml", [f'run.latents="{name}"', "data.crops=9"])
        images = load_images(recipe.data, recipe.seed)
        training = prepare(recipe, tmp_path, False, False, images)
        begun[name] = training.algorithm.memory["latents"]
    seed = stream_seed(recipe.seed, "components")
    expected = component_latents(images.signals, len(images), begun["prior"], seed)
    assert begun["components"].equal(expected)
    assert not expected.equal(begun["prior"])


@pytest.mark.slow
@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo, which joins processes on CPUs",
)
def test_two_processes_train_and_resume_as_one(tmp_path: Path):
    script = tmp_path / "runs.py"
    script.write_text(RUNS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    process = subprocess.Popen(
        [*command, str(script), str(TINY), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.terminate()
    assert process.returncode == 0, said
    metrics = (tmp_path / "cooperative" / "whole" / "metrics.jsonl").read_text()
    assert len(metrics.splitlines()) == 3
