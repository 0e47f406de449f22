import math
from pathlib import Path

import attrs
import pytest
import torch
from torch import Tensor

from coopkit import Recipe, Target, run, sample_chains
from coopkit.testing import parametrize_with_checks

coopkit_tamed = pytest.importorskip(
    "coopkit_tamed", reason="coopkit-tamed is not installed: pip install ./plugins/coopkit-tamed"
)
TamedLangevin = coopkit_tamed.TamedLangevin


@attrs.frozen(eq=False)
class Slope(Target):
    """log p(x) = a·x, whose score is a everywhere."""

    a: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        return (x * self.a).flatten(1).sum(1)


class Quartic(Target):
    """log p(x) = −‖x‖⁴/4, whose score −‖x‖² x outgrows every line."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -(x.flatten(1).square().sum(1) ** 2) / 4


def stream(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_step_by_hand():
    """γ a = (0.3, −0.4), of length 0.5, is tamed to two thirds of itself."""
    sampler = TamedLangevin(step_size=2.0, temperature=0.25)
    start = torch.tensor([[1.0, 2.0], [5.0, 5.0]])
    target = Slope(torch.tensor([0.15, -0.2]))
    after = sample_chains(sampler, target, start, 1, stream())
    noise = torch.randn(2, 2, generator=stream())
    by_hand = start + torch.tensor([0.3, -0.4]) / 1.5 + 2.0 * 0.5 * noise
    torch.testing.assert_close(after, by_hand)


def test_each_chain_is_tamed_by_its_own_score():
    sampler = TamedLangevin(step_size=math.sqrt(2), temperature=0.0)
    start = torch.tensor([[[0.5]], [[100.0]]])
    after = sample_chains(sampler, Quartic(), start, 1, stream())
    drift = -(start**3)
    torch.testing.assert_close(after, start + drift / (1 + drift.abs()))


@pytest.mark.parametrize("delta", [0.1, 0.01])
def test_small_steps_are_langevin_to_first_order(delta: float):
    """The two differ by γ²‖a‖ a / (1 + γ‖a‖), so by no more than (γ‖a‖)² in length."""
    target = Slope(torch.tensor([3.0, -4.0], dtype=torch.float64))
    start = torch.zeros(5, 2, dtype=torch.float64)
    tamed = sample_chains(TamedLangevin(step_size=delta), target, start, 1, stream())
    noise = torch.randn(5, 2, generator=stream(), dtype=torch.float64)
    langevin = start + 0.5 * delta**2 * target.a + delta * noise
    bound = (0.5 * delta**2 * 5.0) ** 2
    difference = (tamed - langevin).norm(dim=1)
    assert (difference <= bound).all()
    assert (difference >= 0.9 * bound).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e6])
def test_drift_is_shorter_than_one(scale: float):
    sampler = TamedLangevin(step_size=1.0, temperature=0.0)
    start = scale * torch.randn(20, 3, 4, 4, generator=stream())
    moved = sample_chains(sampler, Quartic(), start, 1, stream()) - start
    assert (moved.flatten(1).norm(dim=1) < 1 + 1e-6 * scale).all()


def test_chain_comes_back_from_where_langevin_diverges():
    sampler = TamedLangevin(step_size=0.3)
    end = sample_chains(sampler, Quartic(), torch.full((50, 2), 30.0), 300, stream())
    assert end.abs().max() < 4


def test_coopkit_finds_it(tmp_path: Path):
    """The command of the README, on a few signals."""
    tiny = ["run.iterations=1", "run.chains=2", "run.observed=2", "data.crops=4"]
    recipe = Recipe.read("quickstart", ["revision.sampler=tamed-langevin", *tiny])
    assert isinstance(recipe.settings(0).revision, TamedLangevin)
    assert run(recipe, tmp_path).finished


@parametrize_with_checks([TamedLangevin()])
def test_conformance(check):
    check()
