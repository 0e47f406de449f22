"""Langevin dynamics against equations (6), (8) and (13), and against its exact stationary law."""

import attrs
import pytest
import torch
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.interfaces import Target
from coopkit.sampling import run_chains, sample_chains
from coopkit.targets import InferenceTarget, RevisionTarget, TemperedTarget

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


def test_every_entry_of_every_chain_has_noise_of_its_own(seed):
    flat = RevisionTarget(lambda y: 0 * y.sum((1, 2)), float("inf"))
    noise = one_step(flat, torch.zeros(50, 4, 3), seed, step_size=DELTA) / DELTA
    assert len(noise.unique()) == noise.numel()
    torch.testing.assert_close(noise, noise_of(noise, seed))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_stationary_variance_on_a_gaussian(ratio, temperature, rng, assert_gaussian):
    """T s²/(1 − δ²/4s²), from 100,000 chains; what the start adds has fallen below 1e-8.

    False-alarm probability 1.2e-7, see conftest.
    """
    s = 0.3
    sampler = Langevin(step_size=ratio * s, temperature=temperature)
    target = RevisionTarget(lambda y: 0 * y.sum(1), s)
    found = sample_chains(sampler, target, torch.zeros(100_000, 1), 80, rng)
    variance = torch.tensor([[temperature * s**2 / (1 - ratio**2 / 4)]], dtype=torch.float64)
    assert_gaussian(found, torch.zeros(1), variance)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_stationary_law_on_a_correlated_gaussian(temperature, rng, assert_gaussian):
    """Mean P⁻¹b and covariance (I − δ²P/4T)⁻¹ (P/T)⁻¹, P the precision of a tempered target.

    P⁻¹ has no symmetry that would hide an error of sign. False-alarm probability 1.2e-7.
    """
    a = torch.tensor([[2.0, -0.6, 0.3], [-0.6, 1.0, 0.5], [0.3, 0.5, 0.7]])
    b, s, delta = torch.tensor([1.0, -2.0, 0.5]), 1.5, 0.9
    base = RevisionTarget(lambda y: y @ b - ((y @ a) * y).sum(1) / 2, s)
    target = TemperedTarget(base, temperature)
    sampler = Langevin(step_size=delta)
    found = sample_chains(sampler, target, torch.ones(50_000, 3), int(110 * temperature), rng)
    p = a.double() + torch.eye(3) / s**2
    bias = torch.eye(3) - delta**2 / 4 * p / temperature
    covariance = bias.inverse() @ (p / temperature).inverse()
    assert_gaussian(found, p.inverse() @ b.double(), covariance)


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


def test_the_state_is_frozen(rng):
    state = Langevin().init(RevisionTarget(lambda y: y.sum(1), 1.0), torch.zeros(2, 3))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        state.position = torch.ones(2, 3)
