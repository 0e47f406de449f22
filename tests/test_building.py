"""What depends on the number of processes; the rest of building is tested by whole runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator, DistributedType, PartialState
from torch import Tensor, nn

from coopkit.building import build_learner, new_accelerator
from coopkit.data import load_images
from coopkit.errors import RecipeError
from coopkit.iterations import Learner
from coopkit.recipes import Recipe
from coopkit.statistics.components import component_latents
from coopkit.steps import shift_density
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


def built(monkeypatch: pytest.MonkeyPatch, network: nn.Module, *changes: str) -> Learner:
    """Return the learner of a descriptor whose architecture builds this network."""
    recipe = Recipe.read(TINY / "cooperative.toml", changes)
    monkeypatch.setattr(type(recipe.descriptor.architecture), "build", lambda *_: network)
    return build_learner(recipe, "descriptor", (1, 8, 8), new_accelerator(recipe))


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), *layers, nn.Linear(3, 1), nn.Flatten(0))


def test_a_launcher_cannot_put_off_updates_or_compile(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "AOT_EAGER")
    accelerator = new_accelerator(Recipe.read(TINY / "cooperative.toml"))
    assert accelerator.gradient_accumulation_steps == 1
    assert accelerator.state.dynamo_plugin.backend.value == "NO"


def test_parts_of_networks_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.FSDP)
    with pytest.raises(RecipeError, match="the launcher's configuration is for FSDP; coopkit"):
        new_accelerator(Recipe.read(TINY / "cooperative.toml"))


def test_every_run_of_a_process_chooses_its_device(monkeypatch: pytest.MonkeyPatch):
    recipe = Recipe.read(TINY / "cooperative.toml", ["run.device=cpu"])
    new_accelerator(recipe)
    PartialState._shared_state["device"] = torch.device("meta")
    assert new_accelerator(recipe).device.type == "cpu"
    monkeypatch.setattr(Accelerator, "device", torch.device("meta"))
    with pytest.raises(RecipeError, match=r'run\.device "cpu": torch'):
        new_accelerator(recipe)


def test_a_network_that_comes_in_evaluation_mode_learns_as_any(monkeypatch: pytest.MonkeyPatch):
    learner = built(monkeypatch, flat(nn.BatchNorm1d(3)).eval())
    assert all(module.training for module in learner.network.modules())


def test_a_penalty_on_the_score_leaves_frozen_layers_alone(monkeypatch: pytest.MonkeyPatch):
    network = flat(nn.Tanh())
    network[1].requires_grad_(False)
    learner = built(monkeypatch, network, "shift.score_penalty=1")
    before = network[1].weight.clone()
    y = torch.randn(4, 1, 8, 8)
    shift_density(network, learner.optimizer, y, y + 1, score_penalty=1.0, reference_std=1.0)
    assert network[1].weight.equal(before)


def test_a_network_that_cannot_be_copied_is_cast_all_the_same(monkeypatch: pytest.MonkeyPatch):
    class Root(nn.Linear):
        def forward(self, y: Tensor) -> Tensor:
            return super().forward(y.flatten(1))[:, 0]

    network = nn.utils.parametrizations.weight_norm(Root(64, 1))
    y = torch.randn(5, 1, 8, 8)
    exact = network(y).detach()
    learner = built(monkeypatch, network, "run.mixed_precision=bf16")
    assert torch.equal(learner.frozen()(y).detach(), exact)
    assert not torch.equal(learner.network(y).detach(), exact)


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


def test_a_loss_in_fp16_is_scaled_down_at_first():
    """Gradients of sums over an image overflow under torch's own scale."""
    scaling = new_accelerator(Recipe.read(TINY / "cooperative.toml")).scaler_handler
    assert scaling.init_scale < 1


@pytest.mark.parametrize(("device", "waits"), [("cpu", True), ("cuda", False)])
def test_a_process_that_failed_on_a_gpu_does_not_wait_for_others(device: str, waits: bool):
    program = f"""
import atexit, torch
from types import SimpleNamespace
from coopkit.building import abandon
joined = SimpleNamespace(device=torch.device("{device}"), end_training=lambda: print("waits"))
atexit.register(joined.end_training)
abandon(joined)
"""
    command = [sys.executable, "-c", program]
    assert ("waits" in subprocess.run(command, capture_output=True, text=True).stdout) == waits
