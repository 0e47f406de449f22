"""What linear steps do to Gaussians, against sums, powers and one dimension worked out by hand."""

import attrs
import pytest
import torch
from reference_samplers import Mala, Underdamped
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.testing.law.dynamics import (
    BOLD,
    BOLDER,
    after,
    bold,
    evolved,
    invariant,
    linear_step,
    sized,
    stationary,
    walk,
)
from coopkit.testing.law.gaussians import correlated

LANGEVIN = Langevin(step_size=0.3)


def some_step(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    square, root = torch.randn(2, 3, 3, generator=rng, dtype=torch.float64)
    return square / (1.3 * torch.linalg.matrix_norm(square, 2)), root @ root.T


def test_the_stationary_covariance_is_the_sum_of_all_steps_noise(rng):
    """Σ = C + ACAᵀ + A²C(Aᵀ)² + ..."""
    transition, noise = some_step(rng)
    powers = [torch.linalg.matrix_power(transition, k) for k in range(200)]
    expected = sum(power @ noise @ power.T for power in powers)
    assert torch.allclose(stationary((transition, noise)), expected, atol=1e-10)


@pytest.mark.parametrize("std", [0.3, 1.0, 2.0])
def test_langevins_stationary_variance_is_that_of_its_docstring(std):
    """s²/(1 − δ²/4s²)."""
    precision = torch.tensor([[std**-2]], dtype=torch.float64)
    found = stationary(linear_step(LANGEVIN, precision)).item()
    assert found == pytest.approx(std**2 / (1 - 0.3**2 / (4 * std**2)))


def test_steps_add_up(rng):
    step = some_step(rng)
    mean, covariance = torch.randn(5, 3, generator=rng).double(), torch.eye(3).double()
    means, spread = after(3, mean, covariance, step)
    powers = [torch.linalg.matrix_power(step[0], k) for k in range(4)]
    cubed = powers[3]
    assert torch.allclose(means, mean @ cubed.T)
    noises = sum(
        p @ step[1] @ p.T for p in (torch.linalg.matrix_power(step[0], k) for k in range(3))
    )
    assert torch.allclose(spread, cubed @ cubed.T + noises)
    assert torch.allclose(after(400, mean, covariance, step)[1], stationary(step))


def test_the_invariant_law_is_the_targets_but_for_a_declared_bias(rng):
    law = correlated(1, rng)
    assert invariant(Mala(), law) is law
    biased = invariant(LANGEVIN, law)
    assert torch.linalg.eigvalsh(biased.covariance - law.covariance).min() > 0
    assert biased.target is law.target


def test_a_sampler_gets_the_values_that_it_has_fields_for():
    assert evolved(Mala(step_size=0.1), step_size=0.2, temperature=3.0) == Mala(step_size=0.2)
    warm = Langevin(step_size=0.1, temperature=7.0)
    assert sized(warm, 0.5) == Langevin(step_size=0.5, temperature=1.0)


@attrs.frozen
class Stepless:
    pass


def test_a_sampler_without_fields_stays_as_it_is():
    assert sized(Stepless(), 0.5) == Stepless()


def test_exact_samplers_take_bolder_steps():
    assert bold(Underdamped(), 0.5).step_size == 0.5 * BOLD
    assert bold(Mala(), 0.5).step_size == 0.5 * BOLDER


def test_a_walk_has_a_stream_of_its_own(rng):
    law = correlated(1, rng)
    start = law.draw(4, rng)
    kept, before = start.clone(), rng.get_state()
    ends = [walk(LANGEVIN, law.target, start, 2, rng) for _ in range(2)]
    assert not torch.equal(*ends)
    assert torch.equal(start, kept)
    rng.set_state(before)
    assert torch.equal(walk(LANGEVIN, law.target, start, 2, rng), ends[0])
    rng.set_state(before)
    walk(LANGEVIN, law.target, start, 9, rng)
    assert torch.equal(walk(LANGEVIN, law.target, start, 2, rng), ends[1])
