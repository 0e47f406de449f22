"""The planted mistakes: each is caught, and the tables that were measured speak of them."""

import pytest
from mutants import MUTANTS
from reference_samplers import RIGHT

from coopkit.testing import CHECKS, likeliest_mistakes, parametrize_with_checks
from coopkit.testing.diagnosis import known_mistakes

BY_NAME = {check.name: check for check in CHECKS}
KNOWN = {mistake.name: mistake for mistake in known_mistakes()}


def surest(name: str) -> str:
    """Return the check that most often catches a mistake; a law check where several do."""
    kills = KNOWN[name].kills
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
    for mistake in KNOWN.values():
        assert set(mistake.kills) <= set(BY_NAME)


@pytest.mark.parametrize("mutant", MUTANTS[::12], ids=lambda mutant: mutant.name)
def test_a_planted_mistake_is_among_the_likeliest(mutant):
    with mutant.plant():
        results = [check.run(mutant.sampler, 2016, "quick") for check in CHECKS]
    assert mutant.name in [found.mistake for found in likeliest_mistakes(results)]


@parametrize_with_checks(RIGHT[1:], profile="quick")
def test_right_samplers_of_other_kinds_pass(check):
    """Fused, Metropolis-adjusted, underdamped and Hamiltonian."""
    check()
