"""The planted mistakes: each is caught, and the tables that were measured speak of them."""

from typing import ClassVar

import attrs
import pytest
import torch
from mutants import MUTANTS
from reference_samplers import RIGHT, Mala, MalaState
from torch import Tensor

from coopkit.builtin.langevin import LangevinState
from coopkit.interfaces import Capabilities, Target
from coopkit.testing import (
    CHECKS,
    Diagnosis,
    check_sampler,
    likeliest_mistakes,
    parametrize_with_checks,
)
from coopkit.testing.diagnosis import known_mistakes, told_apart

BY_NAME = {check.name: check for check in CHECKS}
KNOWN = {mistake.name: mistake for mistake in known_mistakes()}


def surest(name: str) -> str:
    """Return the check that most often catches a mistake; a law check where several do."""
    kills = KNOWN[name].patterns[0].kills
    return max(kills, key=lambda check: (kills[check], "[" in check))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_mistake_is_caught(mutant):
    with mutant.plant():
        result = BY_NAME[surest(mutant.name)].run(mutant.sampler, 2016, "full")
    assert result.status == "failed", result.detail


def test_every_planted_mistake_was_measured():
    assert [mutant.name for mutant in MUTANTS] == list(KNOWN)
    assert len(MUTANTS) >= 26
    assert {mutant.remedy for mutant in MUTANTS} == {known.remedy for known in KNOWN.values()}
    assert {mutant.name for mutant in MUTANTS if mutant.in_target} == {
        known.name for known in KNOWN.values() if known.in_target
    }


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_checks_that_applied_are_known_of_every_declaration(mutant):
    """Those that passed too, so that what was never measured is not taken for a pass."""
    applying = [
        {check.name for check in CHECKS if not check.applies(sampler)}
        for sampler in mutant.declarations()
    ]
    assert [set(pattern.kills) for pattern in KNOWN[mutant.name].patterns] == applying


@pytest.mark.parametrize(
    "mutant", [each for each in MUTANTS if not each.in_target][::12], ids=lambda mutant: mutant.name
)
def test_a_planted_mistake_is_among_the_likeliest(mutant):
    with mutant.plant():
        results = [check.run(mutant.sampler, 2016, "quick") for check in CHECKS]
    assert mutant.name in [found.mistake for found in likeliest_mistakes(results)]


@attrs.frozen(kw_only=True)
class Plain:
    """Langevin dynamics of somebody else's, without a temperature, wrong by its factors."""

    name: ClassVar[str] = "plain"
    capabilities: ClassVar[Capabilities] = Capabilities(bias_order=2, gradients_per_step=1)
    step_size: float = 0.1
    drift: float = 0.5
    power: float = 1.0
    shared: bool = False

    def init(self, target: Target, position: Tensor) -> LangevinState:
        return LangevinState(position.clone())

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        x = state.position
        shape = x.shape[1:] if self.shared else x.shape
        noise = torch.randn(shape, generator=rng, dtype=x.dtype).expand_as(x)
        moved = x + self.drift * self.step_size**2 * target.score(x)
        return LangevinState(moved + self.step_size**self.power * noise)


@attrs.frozen(kw_only=True)
class Declared(Plain):
    """The same, which says what a right step does to a Gaussian."""

    def gaussian_step(self, precision: Tensor) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(precision), dtype=precision.dtype)
        return identity - self.step_size**2 / 2 * precision, self.step_size**2 * identity


@attrs.frozen(kw_only=True)
class Undeclared(Plain):
    """Right, and says nothing of itself."""

    capabilities: ClassVar[Capabilities] = Capabilities()


@attrs.frozen(kw_only=True)
class Discarding(Mala):
    """Decides, and moves all the same; it does not declare that it is reversible."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    def step(self, target: Target, state: MalaState, rng: torch.Generator) -> MalaState:
        noise = self.step_size * torch.randn(
            state.position.shape, generator=rng, dtype=state.position.dtype
        )
        moved = state.position + self.step_size**2 / 2 * state.score + noise
        proposed = self.at(target, moved)
        self.log_ratio(state, proposed)
        return proposed


def diagnosed(sampler: object) -> list[Diagnosis]:
    return likeliest_mistakes(check_sampler(sampler, profile="quick", seed=1))


@pytest.mark.parametrize("cls", [Plain, Declared])
@pytest.mark.parametrize(
    ("wrong", "mistake"),
    [
        ({"drift": 1.0}, "the half is missing from the drift"),
        ({"drift": -0.5}, "the sign of the score is wrong"),
        ({"power": 0.5}, "the noise has √δ where δ belongs"),
        ({"shared": True}, "all chains share their noise"),
    ],
)
def test_a_mistake_of_a_beginner_is_named_whatever_the_sampler_declares(cls, wrong, mistake):
    found = diagnosed(cls(**wrong))
    assert found[0].mistake == mistake
    assert told_apart(found)


@pytest.mark.parametrize("sampler", [Undeclared(), Discarding()])
def test_a_sampler_that_never_rejects_is_told_of_its_bias_and_of_no_wrong_test(sampler):
    """The two mistakes leave the same chains, and are said to."""
    found = diagnosed(sampler)
    names = {"a bias is not declared", "the Metropolis decision is not used"}
    assert {each.mistake for each in found} == names
    assert found[0].mistake == "a bias is not declared"
    assert not told_apart(found)
    assert all(each.remedy.startswith("if ") for each in found)


@parametrize_with_checks(RIGHT[1:], profile="quick")
def test_right_samplers_of_other_kinds_pass(check):
    """Fused, Metropolis-adjusted, underdamped and Hamiltonian."""
    check()
