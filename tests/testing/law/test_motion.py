"""Checks of the way that chains take, against closed forms and small planted mistakes.

Experiments have fixed seeds, so that their outcomes are deterministic.
"""

import math
from typing import ClassVar

import attrs
import pytest
import torch
from mutant import undeclared
from reference_samplers import Hamiltonian, Mala, Underdamped
from scipy import stats
from torch.distributions import MultivariateNormal, kl_divergence
from wrong_langevin import (
    antithetic_noise,
    correlated_noise,
    drift_factor,
    reused_noise,
    shared_noise,
    uniform_noise,
    wrong,
)
from wrong_relatives import RejectedProposal

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.interfaces import Capabilities
from coopkit.testing.law import motion
from coopkit.testing.law.gaussians import badly_scaled, correlated, isotropic, masked, posterior
from coopkit.testing.law.laws import TwoModes

LANGEVIN = Langevin(step_size=0.1)
MAKERS = [isotropic, correlated, badly_scaled, masked, posterior]


def run(experiment, sampler, chains=4000, seed=1):
    return experiment(sampler, chains, torch.Generator().manual_seed(seed))


def test_the_divergence_is_that_of_the_gaussian_with_the_sample_moments(rng):
    mix = torch.randn(3, 3, generator=rng).double()
    scores = torch.randn(40, 3, generator=rng).double() @ mix + 0.5
    covariance = torch.cov(scores.T, correction=0)
    fitted = MultivariateNormal(scores.mean(0), covariance)
    standard = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    assert motion.divergence(scores)[0] == pytest.approx(kl_divergence(fitted, standard).item())


def test_the_divergence_of_a_known_gaussian_is_found(rng):
    """KL(N(1, 4) ‖ N(0, 1)) = (4 + 1 − 1 − log 4)/2, of influence variance 33/2 at most."""
    scores = 1 + 2 * torch.randn(40_000, 1, generator=rng).double()
    value, influence = motion.divergence(scores)
    expected = (4 + 1 - 1 - math.log(4)) / 2
    assert influence.var().item() == pytest.approx(3**2 / 2 + 4, rel=0.1)
    assert abs(value - expected) < 6 * influence.std().item() / 200


def test_the_influence_of_a_chain_is_what_more_of_it_changes(rng):
    """d KL / dε where chain 3 has weight ε more."""
    scores = torch.randn(30, 2, generator=rng).double() * 2 + 1
    influence = motion.divergence(scores)[1]

    def weighted(epsilon):
        weights = torch.full((30,), (1 - epsilon) / 30, dtype=torch.float64)
        weights[3] += epsilon
        mean = weights @ scores
        covariance = (scores - mean).T @ (weights[:, None] * (scores - mean))
        value = covariance.trace() + mean @ mean - 2 - covariance.logdet()
        return value.item() / 2

    slope = (weighted(1e-6) - weighted(-1e-6)) / 2e-6
    assert (influence[3] - influence.mean()).item() == pytest.approx(slope, rel=1e-5)


def test_the_divergence_of_draws_from_the_law_is_a_chi_square(rng):
    """Of 1000 values of 2n KL, 100 are beyond the quantile of 0.1; binomial false alarm 1e-7."""
    quantile = stats.chi2.isf(0.1, 9)
    values = [
        600 * motion.divergence(torch.randn(300, 3, generator=rng).double())[0] for _ in range(1000)
    ]
    beyond = sum(value > quantile for value in values)
    assert stats.binom.isf(1 - 1e-7, 1000, 0.09) <= beyond <= stats.binom.isf(1e-7, 1000, 0.11)


@pytest.mark.parametrize("make", MAKERS)
def test_langevins_step_is_the_declared_one(make):
    found = run(motion.one_step(make), LANGEVIN)
    assert not found.against
    assert found.clues["drift"] == pytest.approx(1, abs=0.1)
    assert found.clues["noise"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("drift", "noise"), [(2.0, 1.0), (1.0, 1.2), (-1.0, 1.0), (1.0, 0.0)])
def test_the_factors_of_a_wrong_step_are_measured(drift, noise):
    sampler = wrong(
        drift=lambda self, target, x: drift * self.step_size**2 / 2 * target.score(x),
        noise_std=lambda self: noise * self.step_size,
    )
    found = run(motion.one_step(correlated), sampler)
    assert found.against
    assert found.clues["drift"] == pytest.approx(drift, abs=0.1)
    assert found.clues["noise"] == pytest.approx(noise, abs=0.05)


@pytest.mark.parametrize("sampler", [LANGEVIN, Mala(), Hamiltonian()])
@pytest.mark.parametrize("make", [isotropic, posterior])
def test_right_samplers_arrive(sampler, make):
    assert not run(motion.convergence(make), sampler, 2000).against


def test_leaps_that_turn_by_half_a_circle_arrive_too():
    """The posterior of this seed is one on which three leaps of the bold size mix nothing."""
    found = [run(motion.convergence(posterior), Hamiltonian(), 1000, seed) for seed in range(10)]
    assert sum(outcome.against for outcome in found) == 0


def test_the_score_of_a_rejected_proposal_is_seen_at_the_bold_step_size():
    assert run(motion.convergence(correlated), RejectedProposal()).against


def test_a_slow_sampler_is_late():
    assert run(motion.convergence(isotropic), drift_factor(lambda s: s.step_size**2 / 4)).against


def test_the_divergence_of_right_chains_never_rises():
    assert not run(motion.arrow_of_time, LANGEVIN).against


def test_chains_that_overshoot_raise_the_divergence():
    found = run(motion.arrow_of_time, drift_factor(lambda self: 3 * self.step_size**2))
    assert found.against
    assert "changes the divergence from" in found.detail


def test_descent_is_that_of_a_gradient_step_below_two_over_l():
    assert not run(motion.descent, LANGEVIN).against
    noisy = wrong(noise_std=lambda self: 1e-3)
    assert run(motion.descent, noisy).against
    overshooting = drift_factor(lambda self: 1.2 * self.step_size**2)
    found = run(motion.descent, overshooting)
    assert found.against
    assert "raises an energy" in found.detail


def test_descent_says_that_momentum_has_none():
    rolling = attrs.make_class("Rolling", {}, (Underdamped,), frozen=True)()
    found = run(motion.descent, rolling)
    assert found.against
    assert "momentum is no descent at T = 0, and leaves tempered out" in found.detail


def test_the_lipschitz_constant_of_two_modes_is_four_at_most():
    x = torch.linspace(-6, 6, 4001).double()[:, None].expand(4001, 2)
    law, step = TwoModes(), 1e-5
    curvature = -(law.score(x + step) - law.score(x - step)) / (2 * step)
    assert 3.5 < curvature.max().item() <= 4


@attrs.frozen(kw_only=True)
class Stretched(Langevin):
    """Noise of 1.1 and 0.9 along the axes: as much in all, but not in every direction."""

    def step(self, target, state, rng):
        x = state.position
        noise = torch.randn(x.shape, generator=rng) * torch.tensor([1.1, 0.9, 1.0])
        return LangevinState(x + self.step_size**2 / 2 * target.score(x) + self.step_size * noise)


@pytest.mark.parametrize("sampler", [LANGEVIN, Mala(), Underdamped(), Hamiltonian()])
def test_isotropic_samplers_are_equivariant(sampler):
    assert not run(motion.equivariance, sampler).against


def test_a_stretched_sampler_is_not_equivariant():
    assert run(motion.equivariance, Stretched(), 20_000).against


@pytest.mark.parametrize("sampler", [LANGEVIN, Mala(), Underdamped(), Hamiltonian()])
def test_the_noise_of_right_samplers_is_independent(sampler):
    assert not run(motion.noise, sampler).against


def test_chains_that_rest_are_seen():
    assert run(motion.noise, Mala()).clues["rests"] == 1
    for sampler in (LANGEVIN, undeclared(LANGEVIN), Underdamped()):
        assert run(motion.noise, sampler).clues["rests"] == 0


@pytest.mark.parametrize(("drift", "noise"), [(1.0, 1.0), (2.0, 1.0), (-1.0, 1.2), (0.0, 0.5)])
def test_a_step_that_is_not_declared_is_compared_with_langevins(drift, noise):
    sampler = wrong(
        drift=lambda self, target, x: drift * self.step_size**2 / 2 * target.score(x),
        noise_std=lambda self: noise * self.step_size,
    )
    clues = run(motion.noise, undeclared(sampler)).clues
    assert clues["drift"] == pytest.approx(drift, abs=0.05)
    assert clues["noise"] == pytest.approx(noise, abs=0.05)
    assert "drift" not in run(motion.noise, sampler).clues


@pytest.mark.parametrize(
    "noise", [shared_noise, antithetic_noise, correlated_noise, reused_noise, uniform_noise]
)
def test_wrong_noise_is_seen(noise):
    assert run(motion.noise, wrong(noise=noise)).against


@attrs.frozen(kw_only=True)
class OneDecision(Mala):
    def uniform(self, chains, x, rng):
        return torch.rand((), generator=rng, dtype=x.dtype).expand(chains)


def test_a_common_decision_is_seen_in_the_squares():
    found = run(motion.noise, OneDecision())
    assert found.against
    assert "squares of chains" in found.detail


@attrs.frozen(kw_only=True)
class Preconditioned(Langevin):
    """Langevin dynamics with a matrix M: x + δ²/2 · M score + δ M^½ U, right as it declares."""

    capabilities: ClassVar[Capabilities] = Capabilities(bias_order=2)

    def matrix(self):
        return torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])

    def step(self, target, state, rng):
        x = state.position
        noise = torch.randn(x.shape, generator=rng) @ torch.linalg.cholesky(self.matrix()).T
        drift = self.step_size**2 / 2 * target.score(x) @ self.matrix()
        return LangevinState(x + drift + self.step_size * noise)

    def gaussian_step(self, precision):
        m = self.matrix().double()
        return torch.eye(3).double() - self.step_size**2 / 2 * m @ precision, self.step_size**2 * m


def test_noise_of_a_declared_covariance_is_right():
    assert not run(motion.noise, Preconditioned()).against
    assert not run(motion.one_step(isotropic), Preconditioned()).against
