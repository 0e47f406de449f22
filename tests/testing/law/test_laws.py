"""Laws other than Gaussians: draws, density, score and normal scores agree with each other."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from coopkit.testing.law.laws import (
    HeavyTail,
    Skewed,
    TwoModes,
    heavy_tail,
    normal_score,
    skewed,
    two_modes,
)

MAKERS = [skewed, two_modes, heavy_tail]
STEP = 1e-5


def grid():
    x = torch.linspace(-3.4, 4, 30, dtype=torch.float64)
    return torch.stack([x, x.flip(0) * 0.7], 1)


@pytest.mark.parametrize("make", MAKERS)
def test_the_density_is_that_of_the_normal_scores(make):
    """log p(x) − Σ (log φ(z) + log |dz/dx|) is constant."""
    law, x = make(1, torch.Generator()), grid()
    slope = (law.scores(x + STEP) - law.scores(x - STEP)) / (2 * STEP)
    constant = law.log_prob(x) - (slope.log() - law.scores(x) ** 2 / 2).sum(1)
    assert torch.allclose(constant, constant[:1].expand(30), atol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_the_score_is_the_slope_of_the_density(make):
    law, x = make(1, torch.Generator()), grid()
    for axis in range(2):
        along = STEP * torch.eye(2, dtype=torch.float64)[axis]
        slope = (law.log_prob(x + along) - law.log_prob(x - along)) / (2 * STEP)
        assert torch.allclose(law.target.score(x)[:, axis], slope, atol=1e-7)


@pytest.mark.parametrize("make", MAKERS)
def test_draws_have_independent_normal_scores(make, rng):
    """Kolmogorov and Smirnov's test, and the correlation; false alarm below 1e-7."""
    law = make(1, rng)
    z = law.scores(law.draw(20_000, rng))
    assert z.dtype == torch.float64
    for axis in range(2):
        assert stats.kstest(z[:, axis].numpy(), "norm").pvalue > 2e-8
    assert abs(np.corrcoef(z.T.numpy())[0, 1]) < 6 / math.sqrt(20_000)


@pytest.mark.parametrize("shape", Skewed.SHAPES)
def test_skewed_has_the_generalised_logistic_distribution(shape):
    """Equal to scipy's genlogistic."""
    x = torch.linspace(-5, 8, 9, dtype=torch.float64)[:, None].expand(9, 2)
    axis = Skewed.SHAPES.index(shape)
    expected = stats.norm.ppf(stats.genlogistic.cdf(x[:, 0].numpy(), shape))
    assert np.allclose(Skewed().scores(x)[:, axis].numpy(), expected, atol=1e-9)


def test_two_modes_integrates_to_its_distribution():
    law = TwoModes()

    def density(x):
        return math.exp(law.log_prob(torch.tensor([[x, 0.0]], dtype=torch.float64)))

    whole = integrate.quad(density, -9, 9, points=[-1.2, 1.2])[0]
    for x in (-1.5, 0.0, 1.0):
        below = integrate.quad(density, -9, x, points=[-1.2])[0]
        z = law.scores(torch.tensor([[x, 0.0]], dtype=torch.float64))
        assert float(z[0, 0]) == pytest.approx(stats.norm.ppf(below / whole), abs=1e-6)


def test_the_heavy_tail_has_no_bound_to_its_score():
    """Student's t with three degrees of freedom, entry by entry."""
    x = torch.tensor([[100.0, -0.5]], dtype=torch.float64)
    expected = stats.t.logpdf(x.numpy(), 3).sum() - stats.t.logpdf(np.zeros(2), 3).sum()
    assert float(HeavyTail().log_prob(x)) == pytest.approx(expected)


@pytest.mark.parametrize("make", MAKERS)
def test_the_scale_suits_the_curvature(make):
    """A step of 1.5 scales contracts nowhere to less than −1, so that no right sampler blows up."""
    law = make(1, torch.Generator())
    x = torch.linspace(-5, 5, 2001, dtype=torch.float64)[:, None].expand(2001, 2)
    curvature = -(law.target.score(x + STEP) - law.target.score(x - STEP)) / (2 * STEP)
    assert (1.5 * law.scale) ** 2 / 2 * float(curvature.max()) < 2


def test_normal_scores_are_finite_at_the_ends():
    ends = normal_score(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    assert torch.isfinite(ends).all()
    assert ends[1] == 0
    assert -ends[0] > 7
    assert ends[2] > 7
