"""Langevin dynamics against equations (6), (8) and (13), and against its exact stationary law."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.interfaces import Target
from coopkit.sampling import run_chains, sample_chains
from coopkit.targets import InferenceTarget, RevisionTarget
from coopkit.testing import chain_batches, gaussian_targets, parametrize_with_checks

DELTA = 0.7


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_step(target: Target, x: Tensor, seed: int, **fields: float) -> Tensor:
    sampler = Langevin(**fields)
    return sampler.step(target, sampler.init(target, x), stream(seed)).position


def noise_of(x: Tensor, seed: int) -> Tensor:
    return torch.randn(x.shape, generator=stream(seed), dtype=x.dtype)


def revision() -> tuple[RevisionTarget, Tensor, Tensor]:
    """Return f(Y) = v·tanh(MY) with s = 1.3, five chains, and ∂f/∂Y there, by hand."""
    m, v, y = (torch.randn(size, dtype=torch.float64) for size in ((4, 3), (4,), (5, 3)))
    slope = (v * (1 - (y @ m.T).tanh() ** 2)) @ m
    return RevisionTarget(lambda y: (y @ m.T).tanh() @ v, 1.3), y, slope


def test_a_revision_step_is_equation_6_with_the_same_noise(seed):
    target, y, slope = revision()
    expected = y - DELTA**2 / 2 * (y / 1.3**2 - slope) + DELTA * noise_of(y, seed)
    torch.testing.assert_close(one_step(target, y, seed, step_size=DELTA), expected)


def test_an_inference_step_is_equation_13_with_the_same_noise(seed):
    a, x, y = (torch.randn(size, dtype=torch.float64) for size in ((3, 2), (5, 2), (5, 3)))
    drawn = (x @ a.T).tanh()
    gradient = (((y - drawn) * (1 - drawn**2)) @ a) / 0.4**2 - x
    expected = x + DELTA**2 / 2 * gradient + DELTA * noise_of(x, seed)
    target = InferenceTarget(lambda x: (x @ a.T).tanh(), y, 0.4)
    torch.testing.assert_close(one_step(target, x, seed, step_size=DELTA), expected)


def test_the_step_size_is_the_noise_and_epsilon_is_half_its_square(seed):
    target, y, _ = revision()
    epsilon = DELTA**2 / 2
    expected = y + epsilon * target.score(y) + (2 * epsilon) ** 0.5 * noise_of(y, seed)
    torch.testing.assert_close(one_step(target, y, seed, step_size=DELTA), expected)


def test_temperature_scales_the_variance_of_the_noise_alone(seed):
    target, y, slope = revision()
    expected = y - DELTA**2 / 2 * (y / 1.3**2 - slope) + DELTA * 9**0.5 * noise_of(y, seed)
    found = one_step(target, y, seed, step_size=DELTA, temperature=9)
    torch.testing.assert_close(found, expected)


def test_temperature_zero_is_gradient_descent_on_the_energy(seed):
    target, y, slope = revision()
    found = one_step(target, y, seed, step_size=DELTA, temperature=0)
    torch.testing.assert_close(found, y - DELTA**2 / 2 * (y / 1.3**2 - slope))
    assert torch.equal(found, one_step(target, y, seed + 1, step_size=DELTA, temperature=0))


def test_temperature_zero_ends_at_an_auto_encoding_mode(rng):
    """Equation (26): Y/s² = ∂f/∂Y."""
    target, y, _ = revision()
    mode = sample_chains(Langevin(step_size=DELTA, temperature=0), target, y, 500, rng)
    assert target.score(mode).abs().max() < 1e-12
    assert (target.energy(mode) <= target.energy(y)).all()


@settings(deadline=None, max_examples=50)
@given(
    law=gaussian_targets(), ratio=st.floats(0.05, 1.9), temperature=st.floats(0, 4), data=st.data()
)
def test_a_step_on_a_gaussian_is_what_it_declares(law, ratio, temperature, data):
    """x' − m − A(x − m) is the noise alone, whose covariance is C: (6) with f quadratic."""
    sampler = Langevin(step_size=ratio * law.scale, temperature=temperature)
    shape = st.just(law.mean.shape)
    x = data.draw(chain_batches(shapes=shape, dtypes=st.just(torch.float32)))
    transition, noise = sampler.gaussian_step(law.precision)
    moved = sampler.step(law.target, sampler.init(law.target, x), stream(1)).position
    expected = law.mean + (x.double() - law.mean) @ transition.T
    expected += noise_of(x, 1).double() @ torch.linalg.cholesky_ex(noise).L.T
    torch.testing.assert_close(moved.double(), expected, rtol=1e-4, atol=1e-4)


@given(s=st.floats(0.01, 100), ratio=st.floats(0.01, 1.9), temperature=st.floats(0.01, 10))
def test_the_declared_stationary_variance_is_the_closed_form(s, ratio, temperature):
    """T s²/(1 − δ²/4s²) on N(0, s²)."""
    sampler = Langevin(step_size=ratio * s, temperature=temperature)
    transition, noise = sampler.gaussian_step(torch.tensor([[s**-2]], dtype=torch.float64))
    variance = float(noise / (1 - transition**2))
    assert variance == pytest.approx(temperature * s**2 / (1 - ratio**2 / 4))


@parametrize_with_checks([Langevin(step_size=0.1)])
def test_conformance(check):
    """Structure and law, on every target of closed form; docs/testing.md."""
    check()


def test_chain_state_keeps_its_precision(rng):
    target = RevisionTarget(lambda y: y.sum(1).to(torch.bfloat16), 1.0)
    sampler = Langevin()
    state = run_chains(sampler, target, sampler.init(target, torch.zeros(2, 3)), 2, rng)
    assert state.position.dtype == torch.float32


@pytest.mark.parametrize("fields", [{"step_size": 0.0}, {"step_size": -1}, {"temperature": -0.1}])
def test_impossible_numbers_are_refused(fields):
    (name,) = fields
    with pytest.raises(ValueError, match=name):
        Langevin(**fields)
