"""Algorithm 3 with chains ends at the closed forms, and S3 as near to S2 as they say."""

import pytest
import torch
from claims.closed_forms import carried_of_data, carried_of_descriptor, injected, precision
from claims.linear_pair import Numbers, Pair, S, Training, along, random_axes
from torch import Tensor

from coopkit.iterations import Iteration

Z = 6.0
"""Standard errors that a figure may be off by."""

CHAINS = 600
MEAN = torch.tensor([1.0, -0.5, 0.7]).double()
IDENTITY = torch.eye(3, dtype=torch.float64)


def pair_at(axes: Tensor, precisions: list[float], carried: list[float]) -> Pair:
    p = along(axes, precisions)
    turn = random_axes(3)
    weight = along(axes, [b**0.5 for b in carried]) @ turn
    return Pair(p - IDENTITY / S**2, p @ MEAN, weight, MEAN.clone())


def shown(pair: Pair) -> Tensor:
    """Return what does not depend on the axes of X: P, h, BB', a."""
    parts = [pair.precision, pair.slope, pair.drawn, pair.bias]
    return torch.cat([part.flatten() for part in parts])


def errors(training: Training, times: int) -> Tensor:
    """Return the standard errors of `shown` after so many iterations.

    The parameters are a linear process about their fixed point: its noise is that of an update by
    finitely many chains, its transition the derivative of the population's update. BB' is also off
    by what is of second order in B, which is all of it where B is 0: Z² variances are allowed.
    """
    pair = training.pair
    found = training.iterate()
    noise, flat = training.noise(pair, found), pair.flat()

    def update(values: Tensor) -> Tensor:
        now = pair.like(values).updated(training.numbers, training.mean, training.covariance)
        return now.flat()

    step = torch.func.jacrev(update)(flat)
    total = torch.zeros_like(noise)
    for _ in range(times):
        total = step @ total @ step.T + noise
    slopes = torch.func.jacrev(lambda values: shown(pair.like(values)))(flat)
    first = (slopes @ total @ slopes.T).diagonal().clamp(min=0).sqrt()
    spread = pair.like(total.diagonal()).weight.sum(1).sqrt()
    second = torch.zeros_like(first)
    second[12:21] = Z * torch.outer(spread, spread).flatten()
    return first + second


def check(training: Training, start: Pair, end: Pair, times: int) -> None:
    """Train, and hold the networks to the end within what chance and the remaining way allow."""
    data = training.mean, training.covariance
    left = (shown(start.after(times, training.numbers, *data)) - shown(end)).abs()
    assert left.max() < 0.02
    for _ in range(times):
        training.iterate()
    off = (shown(training.pair) - shown(end)).abs()
    assert (off / (Z * errors(training, times) + left + 1e-4)).max() < 1


CASES = {
    "latents kept": Numbers(regression=0.1),
    "inference": Numbers(regression=0.1, l_g=15, delta_g=0.35),
    "inference, drafts without noise": Numbers(regression=0.1, l_g=15, delta_g=0.35, tau=0.0),
}


@pytest.mark.parametrize("numbers", CASES.values(), ids=CASES)
def test_algorithm_3_ends_at_the_fixed_points_of_finitely_many_steps(
    numbers: Numbers, seed: int
) -> None:
    """(21), (22) with 600 chains, from a pair whose B lacks a third of its variances."""
    axes, data = random_axes(3), [2.6, 2.1, 0.6]
    covariance = along(axes, data)
    if numbers.l_g:
        carried = [carried_of_data(v, numbers) for v in data]
    else:
        carried = [max(v - injected(numbers), 0.0) for v in data]
    precisions = [
        precision(v, b + numbers.tau**2, numbers) for v, b in zip(data, carried, strict=True)
    ]
    end = pair_at(axes, precisions, carried)
    start = pair_at(axes, [p + 0.1 for p in precisions], [b / 1.5 + 0.01 for b in carried])
    check(Training.of(start, numbers, MEAN, covariance, CHAINS, seed), start, end, 150)


@pytest.mark.parametrize("l_g", [0, 15])
def test_the_generator_beside_a_fixed_descriptor(l_g: int, seed: int) -> None:
    """(18), (20): to nothing but the mean with X kept, to the descriptor's law with X inferred."""
    axes, variances = random_axes(3), [0.7, 1.1, 1.6]
    numbers = Numbers(density=0.0, regression=0.1, l_g=l_g, delta_g=0.35, tau=0.5)
    precisions = [1 / v for v in variances]
    carried = [carried_of_descriptor(p, numbers) if l_g else 0.0 for p in precisions]
    start = pair_at(axes, precisions, [0.5, 0.5, 0.5])
    end = pair_at(axes, precisions, carried)
    check(Training.of(start, numbers, MEAN, IDENTITY, CHAINS, seed), start, end, 100)


@pytest.mark.parametrize("numbers", [Numbers(), Numbers(l_g=2000, delta_g=0.3)], ids=str)
def test_how_near_the_reconstructed_signals_come_to_the_revised(
    numbers: Numbers, seed: int
) -> None:
    """E‖S3 − S2‖² of the population; with X kept τ² + l_D δ² an axis, else σ² but for the bias."""
    axes, data = random_axes(3), [2.6, 2.1, 0.6]
    carried = [max(v - injected(numbers), 0.0) for v in data]
    floor = sum(min(v, injected(numbers)) for v in data)
    if numbers.l_g:
        carried = [carried_of_data(v, numbers) for v in data]
        floor = sum(0.5**2 * v / (b + 0.5**2) for v, b in zip(data, carried, strict=True))
        assert floor < 3 * (0.5**2 + 0.3**2 * 2.6 / 4)
    precisions = [
        precision(v, b + numbers.tau**2, numbers) for v, b in zip(data, carried, strict=True)
    ]
    laws = pair_at(axes, precisions, carried).laws(numbers)
    weight = laws.cross @ laws.latent.inverse()
    assert float((laws.revised - weight @ laws.cross.T).trace()) == pytest.approx(floor, rel=1e-4)


def excess(found: Iteration) -> float:
    """Return mean ‖S3 − S2‖² less what the best affine function of X leaves of S2."""
    assert found.reconstructed is not None
    assert found.revised is not None
    assert found.latents is not None
    s2, s3 = found.revised.double(), found.reconstructed.double()
    given = torch.cat([found.latents.double(), torch.ones(len(s2), 1)], dim=1)
    best = given @ torch.linalg.lstsq(given, s2).solution
    return float((s3 - s2).square().sum(1).mean() - (best - s2).square().sum(1).mean())


@pytest.mark.parametrize("l_g", [0, 3])
def test_reconstructed_signals_approach_the_revised_over_training(l_g: int, seed: int) -> None:
    """(S3) to (S2): down to what no generator of this kind can tell from X."""
    axes, data = random_axes(3), [2.6, 2.1, 0.6]
    numbers = Numbers(density=0.5, regression=0.2, l_g=l_g, delta_g=0.35)
    start = pair_at(axes, [1 / v for v in data], [0.5, 0.5, 0.5])
    start = Pair(start.matrix, start.slope, start.weight, MEAN + 2)
    training = Training.of(start, numbers, MEAN, along(axes, data), CHAINS, seed)
    off = [excess(training.iterate()) for _ in range(100)]
    assert min(off) > 0
    assert off[0] > 0.1
    assert max(off[-20:]) < 0.3 * off[0]
