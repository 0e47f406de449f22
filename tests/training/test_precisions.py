"""Runs whose networks compute in half precision, and whose log p is in double."""

from pathlib import Path

import pytest
import torch
from training.runs import NETWORKS, StopAt, assert_same_run, metrics, newest, tiny

from coopkit.building import build_learner, new_accelerator
from coopkit.data import load_images
from coopkit.errors import DivergedError, RecipeError
from coopkit.tasks.energy import energies
from coopkit.tasks.infer import InferenceSettings, infer_latents
from coopkit.tasks.trained import load
from coopkit.training import build_run, run


def test_half_precision_leaves_chains_and_weights_in_float32(tmp_path: Path):
    ended = run(tiny("descriptor", "run.mixed_precision=bf16"), tmp_path / "half")
    run(tiny("descriptor", "run.mixed_precision=no"), tmp_path / "full")
    assert ended.algorithm.memory["chains"].dtype == torch.float32
    tensors = newest(tmp_path / "half").networks["descriptor"].values()
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    half, full = (metrics(tmp_path / name)[-1] for name in ("half", "full"))
    assert half != full
    assert half["energy_observed"] == pytest.approx(full["energy_observed"], rel=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_is_resumed_too(tmp_path: Path, name: str):
    recipe = tiny(name, "run.mixed_precision=bf16", "run.iterations=3")
    run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "parts", watchers=[StopAt(2)])
    run(recipe, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, which has fp16")
def test_precision_that_a_cpu_lacks_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match='mixed_precision "fp16" needs a GPU'):
        run(tiny("cooperative", "run.mixed_precision=fp16"), tmp_path)


def test_a_gradient_that_overflows_is_skipped_where_the_loss_is_scaled(tmp_path: Path):
    """As in fp16: the scaler leaves the update out and lowers its scale."""
    training = build_run(tiny(), tmp_path, load_images(tiny().data))
    figures = {"descriptor_gradient_norm": torch.tensor(float("inf"))}
    with pytest.raises(DivergedError):
        training.read(figures)
    training.accelerator.scaler = torch.amp.GradScaler("cpu")
    assert training.read(figures | {"energy_revised": torch.tensor(1.5)}) == {"energy_revised": 1.5}
    with pytest.raises(DivergedError):
        training.read({"energy_initial": torch.tensor(float("nan"))})


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_log_p_in_float64_changes_nothing_where_no_sampler_asks_for_it(
    name: str, precision: str, tmp_path: Path
):
    changes = (f"run.mixed_precision={precision}", "run.iterations=2")
    run(tiny(name, *changes), tmp_path / "usual")
    ended = run(tiny(name, *changes, "run.log_prob=float64"), tmp_path / "exact")
    usual, exact = (newest(tmp_path / folder) for folder in ("usual", "exact"))
    for kind, learner in ended.learners.items():
        for weight, value in exact.networks[kind].items():
            assert torch.equal(value, usual.networks[kind][weight])
        shape = (1, 8, 8) if kind == "descriptor" else (2, 2, 2)
        x = torch.randn(3, *shape)
        found = learner.frozen()(x)
        twin = build_learner(tiny(name), kind, (1, 8, 8), new_accelerator(tiny(name))).network
        twin.load_state_dict(exact.networks[kind])
        with torch.no_grad():
            torch.testing.assert_close(found, twin.double().eval()(x.double()))
        assert found.dtype == torch.float64


def test_tasks_have_log_p_in_float64_too(tmp_path: Path):
    run(tiny("cooperative", "run.iterations=1", "run.log_prob=float64"), tmp_path)
    trained = load(tmp_path)
    signals = torch.randn(3, 1, 8, 8) / 2
    found = energies(trained, signals).energy
    assert trained.descriptor is not None
    f = trained.descriptor.double()(signals.double())
    std = trained.recipe.descriptor.architecture.reference_std
    expected = signals.double().square().flatten(1).sum(1) / (2 * std**2) - f.detach()
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("log_prob", ["float32", "float64"])
def test_modes_of_latents_are_compared_as_the_run_wants_log_p(log_prob: str, tmp_path: Path):
    run(tiny("cooperative", "run.iterations=1", f"run.log_prob={log_prob}"), tmp_path)
    trained, seen = load(tmp_path), set()
    assert trained.generator is not None
    trained.generator.register_forward_hook(lambda module, x, drawn: seen.add(drawn.dtype))
    settings = InferenceSettings(chains=2, steps=0, ascent=1)
    infer_latents(trained, torch.randn(3, 1, 8, 8), settings)
    assert (torch.float64 in seen) == (log_prob == "float64")
