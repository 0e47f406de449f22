"""Runs whose networks compute in half precision."""

from pathlib import Path

import pytest
import torch
from training.runs import NETWORKS, StopAt, assert_same_run, metrics, newest, tiny

from coopkit.data import load_images
from coopkit.errors import DivergedError, RecipeError
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
