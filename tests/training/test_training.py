"""What decides a run: its recipe and its seed."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training.runs import NETWORKS, TINY, assert_same_run, metrics, newest, tiny

from coopkit.errors import RecipeError
from coopkit.training import run


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_bits_other_seed_others(tmp_path: Path, name: str):
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        run(tiny(name, f"seed={seed}", "run.iterations=2"), tmp_path / folder)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert metrics(tmp_path / "a") != metrics(tmp_path / "c")
    one, other = (newest(tmp_path / folder).training["streams"] for folder in ("a", "c"))
    assert not (one == other).all(dim=1).any(), "each stream must follow the seed"


def test_resolved_recipe_runs_to_the_same(tmp_path: Path):
    run(TINY / "cooperative.toml", tmp_path / "a")
    run(tmp_path / "a" / "recipe.toml", tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "recipe.toml").read_text() == (
        tmp_path / "b" / "recipe.toml"
    ).read_text()


def test_overwrite_removes_the_run_and_nothing_else(tmp_path: Path):
    run(tiny("cooperative", "run.iterations=3"), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    run(tiny("cooperative", "run.iterations=2"), tmp_path / "out", overwrite=True)
    run(tiny("cooperative", "run.iterations=2"), tmp_path / "fresh")
    assert_same_run(tmp_path / "out", tmp_path / "fresh")
    assert not (tmp_path / "out" / "sheets" / "00000003.png").exists()
    assert (tmp_path / "out" / "notes.txt").exists()


def test_optimizer_that_does_not_fit_is_refused(tmp_path: Path):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon, which takes matrices only")
    with pytest.raises(RecipeError, match=r"generator\.optimizer does not fit: Muon only supports"):
        run(tiny("cooperative", 'generator.optimizer={name="Muon"}'), tmp_path)


class Threes(torch.nn.Linear):
    """Three numbers of each chain, whatever its shape."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1)[:, :1])


@pytest.mark.parametrize("kind", ["descriptor", "generator"])
def test_a_run_of_a_network_with_values_of_another_shape_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    architecture = type(getattr(tiny("cooperative"), kind).architecture)
    monkeypatch.setattr(architecture, "build", lambda self, shape: Threes(1, 3))
    with pytest.raises(RecipeError, match=rf"{kind}\.architecture texture .* gives \(2, 3\) for"):
        run(tiny("cooperative"), tmp_path)


def test_residual_is_measured_when_asked(tmp_path: Path):
    run(tiny(), tmp_path)
    measured = ["autoencoder_residual" in line for line in metrics(tmp_path)]
    assert measured == [True, False, True, False]


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the memory is not known here")
def test_chains_beyond_the_memory_are_refused_before_they_are_drawn(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"run\.chains 10000000000 of 1 x 8 x 8 are more than"):
        run(tiny("cooperative", "run.chains=10_000_000_000"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match=r'run\.device "cuda": torch .* "auto" takes what there'):
        run(tiny("cooperative", "run.device=cuda"), tmp_path)


def test_a_penalty_that_ends_is_told_while_there_is_one(tmp_path: Path):
    falling = 'shift.score_penalty={schedule="piecewise", values=[1, 0], boundaries=[2]}'
    run(tiny("descriptor", falling, "run.mixed_precision=bf16"), tmp_path)
    assert ["score_penalty" in line for line in metrics(tmp_path)] == [True, True, False, False]


class Squared(torch.autograd.Function):
    """x², whose slope torch cannot differentiate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, along: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * along


class Once(torch.nn.Module):
    """A network that can be differentiated once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return Squared.apply(self.layer(x.flatten(1))).square().squeeze(1)


def test_a_descriptor_that_a_penalty_does_not_suit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    architecture = type(tiny("descriptor").descriptor.architecture)
    monkeypatch.setattr(architecture, "build", lambda self, shape: Once())
    late = 'shift.score_penalty={schedule="piecewise", values=[0, 1], boundaries=[3]}'
    with pytest.raises(RecipeError, match=r"shift\.score_penalty is not for this descriptor: "):
        run(tiny("descriptor", late), tmp_path)
    assert list(tmp_path.iterdir()) == []


class Cast(torch.nn.Module):
    """A network that takes what it is given to float32, whatever it is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1).float()).squeeze(1)


def test_a_network_that_float64_does_not_suit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    architecture = type(tiny("descriptor").descriptor.architecture)
    monkeypatch.setattr(architecture, "build", lambda self, shape: Cast())
    assert run(tiny("descriptor", "run.iterations=1"), tmp_path / "single").finished
    with pytest.raises(RecipeError, match=r'run\.log_prob "float64" is not for this descriptor: '):
        run(tiny("descriptor", "run.log_prob=float64"), tmp_path / "double")
