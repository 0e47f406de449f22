"""Gaussian targets: conditional and posterior laws by the covariance, and densities by scores."""

import math

import attrs
import pytest
import torch

from coopkit.testing.law.gaussians import (
    Quadratic,
    badly_scaled,
    correlated,
    covariance_of,
    described,
    isotropic,
    linear_generator,
    masked,
    posterior,
)

MAKERS = [isotropic, correlated, badly_scaled, masked, posterior]


def near(first, second, tolerance=1e-9):
    return torch.allclose(first, second, rtol=tolerance, atol=tolerance)


def given(mean, covariance, known, values):
    """Condition N(m, Σ) on some of its coordinates, by the covariance."""
    gain = covariance[~known][:, known] @ covariance[known][:, known].inverse()
    conditional = mean[~known] + (values - mean[known]) @ gain.T
    return conditional, covariance[~known][:, ~known] - gain @ covariance[known][:, ~known]


@pytest.mark.parametrize("make", MAKERS)
def test_the_targets_density_is_that_of_the_law(make, rng):
    """log p(x) + ‖scores‖²/2 is the same at every x of a chain, up to float32."""
    law = make(50, rng)
    x, y = law.draw(50, rng), law.draw(50, rng)
    constants = [law.target.log_prob(at) + law.scores(at).square().sum(1) / 2 for at in (x, y)]
    assert near(*constants, 1e-3 if make is badly_scaled else 1e-4)


@pytest.mark.parametrize("make", MAKERS)
def test_the_targets_score_is_that_of_the_law(make, rng):
    law = make(50, rng)
    x = law.draw(50, rng)
    expected = -(law.moving(x) - law.mean) @ law.precision
    assert near(law.moving(law.target.score(x)), expected, 1e-3 if make is badly_scaled else 1e-4)


@pytest.mark.parametrize("make", MAKERS)
def test_draws_follow_the_law(make, rng, assert_gaussian):
    law = make(20_000, rng)
    width = len(law.covariance)
    x = law.draw(20_000, rng)
    assert x.dtype == torch.float32
    assert_gaussian(law.scores(x), torch.zeros(width).double(), torch.eye(width).double())
    assert near(law.at_target().covariance @ law.precision, torch.eye(width).double())


@pytest.mark.parametrize(
    ("make", "stds"),
    [
        (isotropic, [0.6, 0.6, 0.6]),
        (correlated, [0.5, 0.7, 1.0]),
        (badly_scaled, [0.05, 0.2, 1.0]),
    ],
)
def test_the_standard_deviations_are_those_named(make, stds, rng):
    law = make(1, rng)
    found = torch.linalg.eigvalsh(law.covariance).sqrt()
    assert near(found, torch.tensor(stds).double(), 1e-6)
    assert law.scale == pytest.approx(stds[0])
    assert law.lipschitz == pytest.approx(stds[0] ** -2)


def test_a_covariance_is_symmetric_along_random_axes(rng):
    covariance = covariance_of([1.0, 2.0], rng)
    assert near(covariance, covariance.T)
    assert covariance[0, 1].abs() > 0.01


def test_a_quadratic_network_has_its_value():
    network = Quadratic(torch.tensor([[2.0, 1.0], [1.0, 4.0]]), torch.tensor([1.0, -1.0]))
    y = torch.tensor([[1.0, 2.0]])
    assert network(y).item() == pytest.approx((1 - 2) - (2 + 2 * 2 + 16) / 2)


def test_a_reference_of_any_width_leaves_the_law(rng):
    covariance, mean = covariance_of([0.5, 1.0], rng), torch.tensor([1.0, -1.0]).double()
    x = torch.randn(9, 2, generator=rng).double()
    scores = [described(covariance, mean, s).target.score(x) for s in (0.7, 3.0, math.inf)]
    assert near(scores[0], scores[1], 1e-5)
    assert near(scores[0], scores[2], 1e-5)


def test_the_masked_law_is_the_conditional_one(seed):
    """Against Σ_FF − Σ_FH Σ_HH⁻¹ Σ_HF, from the same stream."""
    law = masked(7, torch.Generator().manual_seed(seed))
    again = torch.Generator().manual_seed(seed)
    mean = torch.randn(5, generator=again, dtype=torch.float64)
    covariance = covariance_of([0.5, 0.6, 0.8, 1.0, 1.2], again)
    held = ~law.free
    conditional, spread = given(mean, covariance, held, law.start[:, held].double())
    assert near(law.mean, conditional)
    assert near(law.covariance, spread)
    x = law.draw(7, again)
    assert torch.equal(x[:, held], law.start[:, held])
    assert near(law.moving(law.embed(law.mean)), law.mean, 1e-6)


def test_the_posterior_is_the_conditional_law_of_the_joint_one(rng):
    model = linear_generator(rng, 2, 4)
    w = model.weight
    noise = model.noise_std**2 * torch.eye(4).double()
    joint = torch.cat(
        [torch.cat([torch.eye(2).double(), w.T], 1), torch.cat([w, w @ w.T + noise], 1)]
    )
    bias = model.network.bias.detach().double()
    mean = torch.cat([torch.zeros(2).double(), bias])
    signals = torch.randn(6, 4, generator=rng)
    known = torch.tensor([False] * 2 + [True] * 4)
    conditional, spread = given(mean, joint, known, signals.double())
    law = model.posterior(signals)
    assert near(law.mean, conditional, 1e-6)
    assert near(law.covariance, spread, 1e-6)


def test_signals_follow_the_generator(rng, assert_gaussian):
    model = linear_generator(rng, 2, 4)
    latents = torch.randn(1, 2, generator=rng).expand(20_000, 2)
    expected = model.network(latents[:1]).detach().double()
    spread = model.noise_std**2 * torch.eye(4).double()
    assert_gaussian(model.emit(latents, rng), expected, spread)


def test_a_law_with_another_covariance_keeps_its_target(rng):
    law = correlated(1, rng)
    wide = law.following(4 * law.covariance)
    assert wide.target is law.target
    assert wide.scale == law.scale
    x = law.draw(5, rng)
    assert near(2 * wide.scores(x), law.scores(x))
    shifted = attrs.evolve(law, mean=law.mean + 1)
    assert not near(shifted.scores(x), law.scores(x))
