"""One iteration of the chains is one of the population, and its fixed points are the closed forms.

The first half ties coopkit's Algorithm 3 to the exact laws of `Pair`; the second iterates these
without any chance and compares where they end with docs/fixed-points.md.
"""

import pytest
import torch
from claims.closed_forms import (
    carried_of_data,
    carried_of_descriptor,
    injected,
    precision,
    revised,
    seen,
    shrinkage,
    stationary,
)
from claims.linear_pair import Numbers, Pair, Training, along, random_axes
from torch import Tensor

Z = 6.0
"""Standard errors that an update may be off by: probability 2e-9 for each of at most 40 entries."""

MEAN = torch.tensor([1.0, -0.5, 0.7]).double()
"""In the axes of the descriptor, as TURN is: the axes are at random, nothing else."""
TURN = torch.tensor([[0.8, 0.2, -0.1], [0.3, 0.6, 0.2], [-0.2, 0.3, 0.5]]).double()
"""Weights of the generator at the start, in the axes of the descriptor."""

EXACT = {"rtol": 0, "atol": 2e-5}


def start(axes: Tensor, variances: list[float], latents: int) -> Pair:
    """Return a descriptor with those variances, and a generator that has others."""
    precisions = along(axes, [1 / v for v in variances])
    matrix = precisions - torch.eye(3, dtype=torch.float64) / 2.0**2
    weight = axes @ TURN[:, :latents]
    return Pair(matrix, precisions @ (axes @ MEAN), weight, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "numbers",
    [
        Numbers(),
        Numbers(l_d=1, tau=0.0, delta_d=0.7),
        Numbers(l_g=1, delta_g=0.4, sigma=0.6),
        Numbers(l_g=4, delta_g=0.3, tau=0.2),
    ],
    ids=str,
)
def test_an_iteration_moves_both_as_the_laws_say(numbers: Numbers, seed: int) -> None:
    """From a pair that is at no fixed point, with means that differ and axes that do not agree."""
    pair = start(random_axes(3), [0.5, 0.8, 1.4], 2)
    covariance = along(random_axes(3), [1.8, 1.0, 0.4])
    training = Training.of(pair, numbers, -MEAN, covariance, 6_000, seed)
    pair = training.pair
    found = training.iterate()
    off = training.pair.flat() - pair.updated(numbers, -MEAN, covariance).flat()
    spread = training.noise(pair, found).diagonal().sqrt()
    assert ((off.abs() - 1e-6) / spread).max() < Z


def test_kept_latents_contract_the_generator_at_every_iteration(seed: int) -> None:
    """(18) by regression on (X̂, Ỹ): B becomes (I − κ(I − A^l_D))B; nothing stays but the mean."""
    axes, variances = random_axes(3), [0.5, 0.8, 1.4]
    numbers = Numbers(density=0.0, regression=0.7)
    pair = start(axes, variances, 2)
    kept = along(axes, [1 - 0.7 * (1 - shrinkage(1 / v, numbers)) for v in variances])
    later = pair.after(3, numbers, axes @ MEAN, torch.eye(3).double())
    power = torch.linalg.matrix_power(kept, 3)
    torch.testing.assert_close(later.weight, power @ pair.weight)
    torch.testing.assert_close(later.bias, axes @ MEAN + power @ (pair.bias - axes @ MEAN))
    end = pair.after(200, numbers, axes @ MEAN, torch.eye(3).double())
    torch.testing.assert_close(end.weight, torch.zeros_like(end.weight), **EXACT)
    torch.testing.assert_close(end.bias, axes @ MEAN, **EXACT)


@pytest.mark.parametrize("tau", [0.5, 0.2, 0.0])
def test_inference_takes_the_generator_to_a_fixed_descriptor(tau: float, seed: int) -> None:
    """(18), (20): with τ = σ, BB' + σ²I is the stationary law; with τ < σ it is narrower."""
    axes, variances = random_axes(3), [0.7, 1.1, 1.6]
    numbers = Numbers(density=0.0, l_g=40, delta_g=0.3, tau=tau, l_d=8)
    pair = start(axes, variances, 3).after(300, numbers, axes @ MEAN, torch.eye(3).double())
    wanted = along(axes, [carried_of_descriptor(1 / v, numbers) for v in variances])
    torch.testing.assert_close(pair.drawn, wanted, rtol=0, atol=2e-4)
    torch.testing.assert_close(pair.bias, axes @ MEAN, **EXACT)


@pytest.mark.parametrize("tau", [0.5, 0.2, 0.0])
def test_the_closed_form_of_a_fixed_descriptor(tau: float) -> None:
    """With exact inference b² + σ² = v − α²(σ² − τ²)/(1 − α²)."""
    numbers, p = Numbers(delta_g=1e-4, l_g=10**10, tau=tau), 1 / 1.3
    square = shrinkage(p, numbers) ** 2
    total = stationary(p, numbers) - square * (0.5**2 - tau**2) / (1 - square)
    assert carried_of_descriptor(p, numbers) + 0.5**2 == pytest.approx(total, rel=1e-5)


def test_a_generator_of_lower_rank_takes_the_widest_axes_of_a_fixed_descriptor(seed: int) -> None:
    """(20) out of reach: BB' has the widest axis, nothing of the others."""
    axes, variances = random_axes(3), [0.15, 0.9, 1.6]
    numbers = Numbers(density=0.0, l_g=40, delta_g=0.3)
    pair = start(axes, variances, 1).after(400, numbers, axes @ MEAN, torch.eye(3).double())
    wanted = along(axes, [0, 0, carried_of_descriptor(1 / 1.6, numbers)])
    torch.testing.assert_close(pair.drawn, wanted, **EXACT)


def check(pair: Pair, axes: Tensor, carried: list[float], data: list[float], n: Numbers) -> None:
    """Hold both networks to b² and to the p of (21); the revised law is that of the data."""
    drafted = [b + n.tau**2 for b in carried]
    precisions = [precision(v, d, n) for v, d in zip(data, drafted, strict=True)]
    laws = pair.laws(n)
    torch.testing.assert_close(laws.revised, along(axes, data), **EXACT)
    torch.testing.assert_close(laws.mean, axes @ MEAN, **EXACT)
    torch.testing.assert_close(pair.drawn, along(axes, carried), **EXACT)
    torch.testing.assert_close(pair.bias, axes @ MEAN, rtol=0, atol=1e-4)
    torch.testing.assert_close(pair.precision, along(axes, precisions), rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("data", "latents", "reached"),
    [([2.2, 1.9, 0.6], 3, 2), ([2.4, 1.9, 0.6], 1, 1)],
    ids=["full rank", "rank 1"],
)
def test_both_with_latents_kept(data: list[float], latents: int, reached: int, seed: int) -> None:
    """(21), (22) for pairs (X̂, Ỹ): b² = λ − τ² − l_D δ², and the descriptor is flat there."""
    axes, numbers = random_axes(3), Numbers(density=0.5)
    pair = start(axes, data, latents).after(3000, numbers, axes @ MEAN, along(axes, data))
    carried = [max(v - injected(numbers), 0) if i < reached else 0.0 for i, v in enumerate(data)]
    assert carried[0] > 0
    check(pair, axes, carried, data, numbers)
    flat = (axes.T @ pair.precision @ axes).diagonal()
    assert flat[:reached].abs().max() < 1e-5
    if reached < 2:  # wider than drafts and noise can make it: the descriptor spreads it, p < 0
        assert flat[1] < -0.1


@pytest.mark.parametrize(
    ("data", "latents", "tau", "sigma"),
    [
        ([2.0, 1.2, 0.8], 3, 0.5, 0.5),
        ([2.0, 1.2, 0.35], 2, 0.5, 0.5),
        ([2.0, 1.2, 0.35], 1, 0.5, 0.5),
        ([2.0, 1.2, 0.35], 3, 0.7, 0.7),
        ([2.0, 1.2, 0.8], 3, 0.0, 0.5),
    ],
)
def test_both_with_inference(
    data: list[float], latents: int, tau: float, sigma: float, seed: int
) -> None:
    """(21), (22) with X inferred at length: the generator is that of maximum likelihood."""
    axes, numbers = (
        random_axes(3),
        Numbers(l_g=40, delta_g=0.3, tau=tau, sigma=sigma, density=0.9, delta_d=0.4),
    )
    pair = start(axes, data, latents).after(900, numbers, axes @ MEAN, along(axes, data))
    carried = [carried_of_data(v, numbers) if i < latents else 0.0 for i, v in enumerate(data)]
    check(pair, axes, carried, data, numbers)


@pytest.mark.parametrize("l_g", [1, 3, 10])
def test_both_with_a_few_steps_of_inference(l_g: int, seed: int) -> None:
    """More than with latents kept; 10 steps give more than many do, for X still knows X̂."""
    axes, data = random_axes(3), [2.4, 2.0, 1.8]
    numbers = Numbers(l_g=l_g, density=0.5)
    pair = start(axes, data, 3).after(1200, numbers, axes @ MEAN, along(axes, data))
    carried = [carried_of_data(v, numbers) for v in data]
    for v, b in zip(data, carried, strict=True):
        assert b > v - injected(numbers)
    assert (carried[0] > data[0] - 0.25) == (l_g == 10)
    check(pair, axes, carried, data, numbers)


@pytest.mark.parametrize("data", [0.2, 0.8, 2.4])
def test_inference_at_length_is_maximum_likelihood(data: float) -> None:
    """b² = λ/(1 + δ²λ/4σ²) − σ², or 0: λ − σ² of probabilistic PCA but for the bias of Langevin."""
    for delta_g in (0.5, 0.2):
        numbers = Numbers(l_g=10_000, delta_g=delta_g)
        carried = max(seen(data, numbers) - 0.25, 0.0)
        assert carried_of_data(data, numbers) == pytest.approx(carried, abs=1e-6)


def test_the_descriptor_where_the_drafts_have_the_law_of_the_data() -> None:
    """p = 2/δ² (1 − √(1 − δ²/λ)) whatever l_D is: the p of which λ is the stationary variance."""
    for l_d in (1, 5, 20):
        numbers = Numbers(l_d=l_d)
        p = precision(1.3, 1.3, numbers)
        assert p == pytest.approx(2 / 0.5**2 * (1 - (1 - 0.5**2 / 1.3) ** 0.5))
        assert stationary(p, numbers) == pytest.approx(1.3)


def test_the_descriptor_of_a_variance_out_of_reach() -> None:
    """v − λ = α²(v − σ²): a descriptor that overshoots, and more so for fewer steps."""
    off = []
    for l_d in (2, 5, 20):
        numbers = Numbers(l_d=l_d, delta_d=0.3)
        p = precision(0.4, 0.25, numbers)
        assert revised(p, 0.25, numbers) == pytest.approx(0.4)
        v = stationary(p, numbers)
        assert v - 0.4 == pytest.approx(shrinkage(p, numbers) ** 2 * (v - 0.25))
        off.append(v - 0.4)
    assert off[0] > off[1] > off[2] > 0
