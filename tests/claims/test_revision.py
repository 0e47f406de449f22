"""What D1 does to laws and energies: (23), exactly for Gaussians and by chains."""

from itertools import pairwise

import pytest
import torch
from claims.linear_pair import Numbers, Pair, S, along, random_axes
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.steps import revise
from coopkit.targets import RevisionTarget
from coopkit.testing.law.gaussians import Quadratic

Z = 6.0
MEAN = torch.tensor([1.0, -0.5, 0.7]).double()
CHAINS = 100_000


def divergence(mean: Tensor, covariance: Tensor, of_mean: Tensor, of: Tensor) -> float:
    """Return KL(N(mean, covariance) ‖ N(of_mean, of))."""
    ratio = torch.linalg.solve(of, covariance)
    off = mean - of_mean
    square = off @ torch.linalg.solve(of, off)
    return float(ratio.trace() + square - len(mean) - ratio.logdet()) / 2


def pair_of(axes: Tensor, variances: list[float], weight: Tensor) -> Pair:
    precisions = along(axes, [1 / v for v in variances])
    matrix = precisions - torch.eye(3, dtype=torch.float64) / S**2
    return Pair(matrix, precisions @ MEAN, weight, torch.zeros(3, dtype=torch.float64))


def invariant(pair: Pair, delta: float) -> Tensor:
    """Return V = P⁻¹(I − δ²P/4)⁻¹, of the law that the chain leaves invariant."""
    p = pair.precision
    return torch.linalg.inv(p @ (torch.eye(3, dtype=torch.float64) - delta**2 / 4 * p))


@pytest.mark.parametrize("weight", [0.2, 3.0], ids=["narrow drafts", "wide drafts"])
def test_revised_signals_and_energies_are_those_of_the_closed_form(weight, seed, assert_gaussian):
    """E falls on average where drafts are wide and rises where they are narrow, as p S/2 does."""
    axes = random_axes(3)
    pair = pair_of(axes, [0.5, 0.8, 1.4], weight * random_axes(3)[:, :2])
    pair = Pair(pair.matrix, pair.slope, pair.weight, MEAN + 0.3 * weight)
    f, rng = Quadratic(pair.matrix, pair.slope), torch.Generator().manual_seed(seed)
    target = RevisionTarget(f, S)
    x = torch.randn(CHAINS, 2, generator=rng)
    noise = torch.randn(CHAINS, 3, generator=rng)
    drafts = x @ pair.weight.float().T + pair.bias.float() + 0.5 * noise
    means = []
    for steps in (0, 1, 4, 40):
        laws = pair.laws(Numbers(l_d=steps, delta_d=0.6))
        y = revise(f, S, Langevin(step_size=0.6), drafts, steps, rng).revised
        assert_gaussian(y, laws.mean, laws.revised)
        off = laws.mean - MEAN
        p = pair.precision
        energy = ((p @ laws.revised).trace() + off @ p @ off - MEAN @ p @ MEAN) / 2
        found = target.energy(y).double().detach()
        assert abs(found.mean() - energy) < Z * found.std() / CHAINS**0.5
        means.append(energy)
    fall = [after - before < 0 for before, after in pairwise(means)]
    assert fall == [weight > 1] * 3
    stationary = (p @ invariant(pair, 0.6)).trace() / 2 - MEAN @ p @ MEAN / 2
    assert means[-1] == pytest.approx(float(stationary), abs=1e-4)


@pytest.mark.parametrize("delta", [0.05, 0.4, 0.8])
def test_kl_to_the_invariant_law_of_the_chain_never_increases(delta: float, seed: int) -> None:
    """(23) for the discretised chain: at every δ and step, if the law is the chain's own."""
    for weight in (0.1, 0.7, 3.0):
        pair = pair_of(random_axes(3), [0.5, 0.8, 1.4], weight * random_axes(3)[:, :2])
        own = invariant(pair, delta)
        laws = [pair.laws(Numbers(l_d=steps, delta_d=delta, tau=0.3)) for steps in range(40)]
        to = [divergence(law.mean, law.revised, MEAN, own) for law in laws]
        assert all(after < before + 1e-12 for before, after in pairwise(to))


def test_kl_to_the_descriptor_falls_to_a_floor_of_order_four(seed: int) -> None:
    """The floor is Σ ½(x − log x − 1), x = 1/(1 − δ²p/4), of order δ⁴; from below it overshoots."""
    axes, variances, floors = random_axes(3), torch.tensor([0.5, 0.8, 1.4]).double(), []
    for delta in (0.2, 0.4, 0.8):
        x = 1 / (1 - delta**2 / (4 * variances))
        floor = float((x - x.log() - 1).sum()) / 2
        floors.append(floor)
        for start, overshoots in ((4.0, False), (0.1, True)):
            law, to = start * along(axes, variances), []
            pair = pair_of(axes, variances.tolist(), torch.linalg.cholesky(law))
            pair = Pair(pair.matrix, pair.slope, pair.weight, MEAN)
            for steps in range(int(40 / delta**2)):
                revised = pair.laws(Numbers(l_d=1, delta_d=delta, tau=0.0)).revised
                to.append(divergence(MEAN, revised, MEAN, along(axes, variances)))
                pair = Pair(pair.matrix, pair.slope, torch.linalg.cholesky(revised), MEAN)
                assert steps == 0 or to[-1] < to[-2] + floor
            assert to[-1] == pytest.approx(floor, rel=1e-4)
            assert (min(to) < 0.95 * floor) == overshoots
    assert floors[1] / floors[0] == pytest.approx(16, rel=0.1)


def test_without_noise_energies_of_all_chains_fall(rng: torch.Generator) -> None:
    """(8), (16): gradient descent lowers E of every signal as long as δ² < 4/p."""
    pair = pair_of(random_axes(3), [0.5, 0.8, 1.4], torch.zeros(3, 1).double())
    f = Quadratic(pair.matrix, pair.slope)
    y, target = torch.randn(1000, 3, generator=rng), RevisionTarget(f, S)
    for _ in range(5):
        lower = revise(f, S, Langevin(step_size=0.9, temperature=0), y, 1, rng).revised
        assert (target.energy(lower) < target.energy(y)).all()
        y = lower
