"""Checks of invariant laws, against closed forms and small planted mistakes.

Experiments have fixed seeds, so that their outcomes are deterministic.
"""

from typing import ClassVar

import attrs
import pytest
import torch
from mutant import undeclared
from reference_samplers import Hamiltonian, Mala, Underdamped
from wrong_langevin import shared_noise, wrong

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.interfaces import Capabilities, Target
from coopkit.testing.law import equilibrium
from coopkit.testing.law.dynamics import linear_step
from coopkit.testing.law.gaussians import correlated, isotropic, linear_generator
from coopkit.testing.law.laws import heavy_tail, skewed, two_modes

LANGEVIN = Langevin(step_size=0.1)


def run(experiment, sampler, chains=4000, seed=1):
    return experiment(sampler, chains, torch.Generator().manual_seed(seed))


@attrs.frozen(kw_only=True)
class Cyclic:
    """Exact on N(m, s²I), and turns about an axis: x' = m + 0.8 R(x − m) + 0.6 s U."""

    capabilities: ClassVar[Capabilities] = Capabilities(reversible=True)
    name: ClassVar[str] = "cyclic"
    angle: float = 0.5

    def init(self, target, position):
        return LangevinState(position.clone())

    def step(self, target, state, rng):
        x = state.position
        scale = 0.36
        centre = (x + scale * target.score(x)).mean(0)
        turn = torch.eye(3)
        cos, sin = torch.tensor(self.angle).cos(), torch.tensor(self.angle).sin()
        turn[:2, :2] = torch.tensor([[cos, -sin], [sin, cos]])
        noise = torch.randn(x.shape, generator=rng)
        return LangevinState(centre + 0.8 * (x - centre) @ turn.T + 0.6 * scale**0.5 * noise)


@attrs.frozen(eq=False)
class Warmer(Target):
    base: Target
    step_size: float

    def log_prob(self, x):
        return self.base.log_prob(x) / (1 + self.step_size**2 / 4)


@attrs.frozen(kw_only=True)
class BiasedReversible(Mala):
    """Exact and reversible for p^(1/(1 + δ²/4)): right, with a bias of order 2 of its target."""

    capabilities: ClassVar[Capabilities] = Capabilities(reversible=True, bias_order=2)

    def init(self, target, position):
        return super().init(Warmer(target, self.step_size), position)

    def step(self, target, state, rng):
        return super().step(Warmer(target, self.step_size), state, rng)


@attrs.frozen(kw_only=True)
class Claiming(Langevin):
    """Langevin dynamics that claims less bias than it has."""

    capabilities: ClassVar[Capabilities] = Capabilities(bias_order=4, tempered=True)


@attrs.frozen(kw_only=True)
class ClaimingNone(Langevin):
    capabilities: ClassVar[Capabilities] = Capabilities()


@attrs.frozen(kw_only=True)
class AlwaysWarm(BiasedReversible):
    """Exact for p^(1/1.25) at any step size: a bias of order 0."""

    def init(self, target, position):
        return Mala.init(self, Warmer(target, 1.0), position)

    def step(self, target, state, rng):
        return Mala.step(self, Warmer(target, 1.0), state, rng)


@pytest.mark.parametrize("sampler", [Mala(), Hamiltonian()])
@pytest.mark.parametrize("make", [correlated, skewed, two_modes, heavy_tail])
def test_exact_samplers_keep_every_law(sampler, make):
    assert not run(equilibrium.invariance(make), sampler).against


def test_langevin_keeps_its_own_law_and_not_the_targets():
    assert not run(equilibrium.invariance(correlated), LANGEVIN).against
    assert run(equilibrium.invariance(skewed), LANGEVIN).against


def test_more_noise_than_declared_is_seen():
    loud = wrong(noise_std=lambda self: 1.1 * self.step_size)
    found = run(equilibrium.invariance(isotropic), loud)
    assert found.against
    assert "variance" in found.detail


@pytest.mark.parametrize("make", [isotropic, skewed, two_modes, heavy_tail])
def test_a_bias_of_order_two_shrinks_as_declared(make):
    assert not run(equilibrium.bias_order(make), Underdamped()).against


def test_a_bias_that_stays_is_seen():
    found = run(equilibrium.bias_order(isotropic), AlwaysWarm())
    assert found.against
    assert found.detail.startswith("variance")


def test_chains_that_share_their_noise_are_told_from_chains_that_leave():
    shared = run(equilibrium.bias_order(isotropic), undeclared(wrong(noise=shared_noise)))
    assert "is the noise drawn for each of them?" in shared.detail
    flung = undeclared(wrong(settled=lambda self, x: 1e38 * x))
    assert "left the finite numbers" in run(equilibrium.bias_order(isotropic), flung).detail


def test_the_declared_bias_has_its_order():
    found = run(equilibrium.declared_bias, LANGEVIN)
    assert not found.against
    assert found.figure == pytest.approx(0, abs=0.02)
    assert run(equilibrium.declared_bias, Claiming(step_size=0.1)).figure == pytest.approx(
        2, abs=0.02
    )
    assert run(equilibrium.declared_bias, ClaimingNone(step_size=0.1)).against


def test_what_turns_in_a_circle_is_not_reversible():
    check = equilibrium.reversibility(isotropic)
    assert not run(equilibrium.invariance(isotropic), Cyclic()).against
    assert run(check, Cyclic()).against
    assert not run(check, Cyclic(angle=0.0)).against


@pytest.mark.parametrize("make", [isotropic, two_modes, heavy_tail])
def test_a_biased_reversible_sampler_is_reversible_in_its_own_equilibrium(make):
    assert not run(equilibrium.reversibility(make), BiasedReversible(), 10_000).against


def test_temperature_scales_the_covariance():
    assert not run(equilibrium.temperature, LANGEVIN).against


@pytest.mark.parametrize(
    "noise_std",
    [
        lambda self: self.step_size * self.temperature,
        lambda self: self.step_size,
    ],
)
def test_a_wrong_power_of_the_temperature_is_seen(noise_std):
    found = run(equilibrium.temperature, wrong(noise_std=noise_std))
    assert found.against
    assert found.detail.startswith("at T = ")


def test_a_wrong_declared_temperature_is_seen():
    def cold(self, precision):
        return linear_step(attrs.evolve(LANGEVIN, step_size=self.step_size), precision)

    found = run(equilibrium.temperature, wrong(gaussian_step=cold))
    assert found.against
    assert "declared covariance" in found.detail


def test_exact_and_biased_samplers_keep_the_joint_law():
    for sampler in (Mala(), LANGEVIN):
        assert not run(equilibrium.geweke, sampler).against


def test_a_wrong_posterior_breaks_the_joint_law():
    strong = wrong(drift=lambda self, target, x: 0.6 * self.step_size**2 * target.score(x))
    assert run(equilibrium.geweke, strong, 20_000).against


def test_the_joint_covariance_of_an_exact_sampler_is_the_models(rng):
    """[[I, Wᵀ], [W, WWᵀ + σ²I]]."""
    model = linear_generator(rng)
    w = model.weight
    found = equilibrium.joint_covariance(Mala(), w, model.gain, model.precision, 0.6)
    upper = torch.cat([torch.eye(2).double(), w.T], 1)
    lower = torch.cat([w, w @ w.T + 0.36 * torch.eye(4).double()], 1)
    assert torch.allclose(found, torch.cat([upper, lower]))


def test_the_joint_covariance_of_a_biased_sampler_stays_under_its_moves(rng):
    """X' = KY + A(X − KY) + N(0, C) and then Y' = WX' + N(0, σ²I), block by block."""
    model = linear_generator(rng)
    w, k, sampler = model.weight, model.gain, Langevin(step_size=0.3)
    a, c = linear_step(sampler, model.precision)
    found = equilibrium.joint_covariance(sampler, w, k, model.precision, 0.6)
    b = (torch.eye(2).double() - a) @ k
    xx, xy, yy = found[:2, :2], found[:2, 2:], found[2:, 2:]
    moved = a @ xx @ a.T + a @ xy @ b.T + (a @ xy @ b.T).T + b @ yy @ b.T + c
    assert torch.allclose(moved, xx)
    assert torch.allclose(moved @ w.T, xy)
    assert torch.allclose(w @ moved @ w.T + 0.36 * torch.eye(4).double(), yy)
