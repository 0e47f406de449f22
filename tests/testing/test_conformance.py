import math
from collections.abc import Iterable
from typing import Any, ClassVar

import attrs
import pytest
import torch
import wrong_sampler

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.errors import CoopkitError
from coopkit.interfaces import Capabilities, Target
from coopkit.testing import CHECKS, Result, check_sampler, checks_of, parametrize_with_checks
from coopkit.testing.conformance import NonConformingError, SamplerCheck
from coopkit.testing.records import Status

SOME = ("resumes", "one-step[isotropic]", "one-step[correlated]", "temperature", "noise")


@attrs.define(kw_only=True)
class NoHalf(wrong_sampler.NoHalf):
    """Langevin dynamics whose drift lacks the half, and a class that is not even frozen."""


@attrs.frozen(kw_only=True)
class Torn(Langevin):
    """A sampler that raises inside of torch."""

    name: ClassVar[str] = "torn"

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        return LangevinState(torch.nn.functional.normalize("torn"))  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Confused(Langevin):
    """A sampler whose capabilities are no capabilities."""

    name: ClassVar[str] = "confused"
    capabilities: ClassVar[Any] = "many"


def found(sampler: Langevin, names: Iterable[str], seed: int = 3, **options: Any) -> list[Result]:
    chosen = set(names)
    assert chosen <= {check.name for check in CHECKS}
    return check_sampler(
        sampler, profile="quick", seed=seed, selected=chosen.__contains__, **options
    )


def statuses(results: Iterable[Result]) -> dict[str, Status]:
    return {result.check: result.status for result in results}


def bound(sampler: Langevin, name: str, **options: Any) -> SamplerCheck:
    (one,) = [
        check
        for check in checks_of(sampler, profile="quick", seed=3, **options)
        if check.check.name == name
    ]
    return one


def test_a_right_sampler_passes_every_check_that_applies():
    results = check_sampler(Langevin(), profile="quick", seed=3)
    assert [result.check for result in results] == [check.name for check in CHECKS]
    assert set(statuses(results).values()) == {"passed", "not applicable"}
    assert all(result.passed for result in results)


def test_a_wrong_sampler_fails_what_its_mistake_breaks_and_nothing_else():
    results = found(NoHalf(), ("resumes", "one-step[isotropic]", "invariance[isotropic]", "noise"))
    assert statuses(results) == {
        "resumes": "passed",
        "one-step[isotropic]": "failed",
        "invariance[isotropic]": "failed",
        "noise": "passed",
    }
    assert [result.passed for result in results] == [True, False, False, True]


def test_a_record_says_what_was_measured_and_what_it_means():
    (law,) = found(NoHalf(), ["one-step[correlated]"], seed=17)
    assert law.figure > law.bound > 3
    assert (law.seed, law.stages, law.false_alarm) == (17, 4, 0.005**4)
    assert law.clues["drift"] == pytest.approx(2, abs=0.1)
    assert law.clues["noise"] == pytest.approx(1, abs=0.1)
    assert "standard errors off" in law.detail
    assert (law.meaning, law.source) == (
        "one step from fixed points has the declared mean and covariance",
        "(6), (13)",
    )
    (structure,) = found(Langevin(), ["resumes"])
    assert (structure.figure, structure.bound, structure.stages) == (0, 0, 1)
    assert structure.false_alarm == 0


def test_a_check_that_does_not_apply_says_why():
    results = {
        result.check: result for result in found(Langevin(), ["fused", "reversibility[skewed]"])
    }
    assert {result.status for result in results.values()} == {"not applicable"}
    assert results["fused"].detail == "it offers no fused run"
    assert results["reversibility[skewed]"].detail == "it declares no reversibility"


def test_the_same_seed_gives_the_same_figures_bit_for_bit():
    once, again, other = (found(NoHalf(), SOME, seed=seed) for seed in (5, 5, 6))
    assert once == again
    laws = [i for i, result in enumerate(once) if result.false_alarm]
    assert all(once[i].figure != other[i].figure for i in laws)
    assert {result.seed for result in other} == {6}


def test_the_figures_of_a_check_do_not_depend_on_the_others():
    alone = [result for name in SOME for result in found(Langevin(), [name])]
    together = found(Langevin(), SOME)
    assert sorted(alone, key=str) == sorted(together, key=str)


def test_a_seed_that_is_not_given_is_chosen_anew_or_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
):
    def seeds() -> set[int]:
        chosen = {"fused", "resumes"}.__contains__
        results = check_sampler(Langevin(), profile="quick", selected=chosen)
        return {result.seed for result in results}

    monkeypatch.delenv("COOPKIT_SEED", raising=False)
    first, second = seeds(), seeds()
    assert len(first) == len(second) == 1
    assert first != second
    monkeypatch.setenv("COOPKIT_SEED", "41")
    assert seeds() == {41}


def test_an_exception_is_a_failure_that_says_where():
    results = found(Torn(), ("resumes", "noise", "zero-steps"))
    line = Torn.step.__code__.co_firstlineno + 1
    assert statuses(results) == {"zero-steps": "passed", "resumes": "failed", "noise": "failed"}
    for result in results[1:]:
        assert result.figure == math.inf
        assert "raised AttributeError: 'str' object has no attribute" in result.detail
        assert f"(test_conformance.py:{line})" in result.detail


def test_claims_that_cannot_be_checked_are_refused():
    with pytest.raises(CoopkitError, match=r"Confused.capabilities must be coopkit.Capabilities"):
        found(Confused(), ["temperature"])

    @attrs.frozen
    class Stepless:
        name: ClassVar[str] = "stepless"
        capabilities: ClassVar[Capabilities] = Capabilities(bias_order=2)

    with pytest.raises(CoopkitError, match="states bias_order, but there is no field 'step_size'"):
        check_sampler(Stepless())
    with pytest.raises(ValueError, match="bias_order"):
        Capabilities(bias_order=0)


def test_a_sampler_that_claims_nothing_is_told_that_it_is_held_to_be_exact():
    @attrs.frozen(kw_only=True)
    class Silent:
        name: ClassVar[str] = "silent"
        step_size: float = 0.1
        init = Langevin.init

        def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
            return Langevin(step_size=self.step_size).step(target, state, rng)

    (result,) = check_sampler(
        Silent(), profile="quick", seed=3, selected="invariance[isotropic]".__eq__
    )
    assert result.status == "failed"
    assert result.detail.endswith("it states no capabilities, and is held to be exact")


def test_different_counter_examples_are_one_failure():
    @attrs.frozen(kw_only=True)
    class Moody(Langevin):
        name: ClassVar[str] = "moody"

        def init(self, target: Target, position: torch.Tensor) -> LangevinState:
            if len(position) > 1:
                raise ValueError("too many")
            if position.dtype == torch.float64:
                raise TypeError("too precise")
            return LangevinState(position.clone())

    (result,) = check_sampler(Moody(), seed=3, selected="kind-kept".__eq__)
    assert result.status == "failed"
    assert "ExceptionGroup" not in result.detail
    assert "too " in result.detail


def test_an_interrupt_is_no_failure():
    @attrs.frozen(kw_only=True)
    class Stopped(Langevin):
        name: ClassVar[str] = "stopped"

        def step(self, *arguments: Any) -> LangevinState:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(Stopped(), ["noise"])


def test_all_checks_together_raise_a_false_alarm_less_than_once_in_a_million():
    laws = [check for check in CHECKS if check.experiment]
    assert len(laws) > 20
    assert all(check.false_alarm > 0 for check in laws)
    assert sum(check.false_alarm for check in CHECKS) < 1e-6


def test_an_instance_is_not_changed():
    sampler = NoHalf(step_size=7.0, temperature=0.25)
    found(sampler, SOME)
    assert (sampler.step_size, sampler.temperature) == (7.0, 0.25)


def test_the_checks_choose_step_size_and_temperature():
    names = (*SOME, "descent", "invariance[correlated]", "bias-order[skewed]")
    odd = Langevin(step_size=50.0, temperature=0.0)
    assert found(odd, names) == found(Langevin(), names)


def test_a_class_is_refused():
    with pytest.raises(TypeError, match="instance of an attrs class of a sampler, not the class L"):
        check_sampler(Langevin)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an instance of an attrs class of a sampler, not 3"):
        parametrize_with_checks([3])  # type: ignore[list-item]


def test_an_unknown_expected_failure_is_refused():
    with pytest.raises(CoopkitError, match=r"no check 'gewek'; did you mean 'geweke'\?"):
        check_sampler(Langevin(), expected_failures={"gewek": "no reason"})


def test_an_unknown_profile_is_refused():
    with pytest.raises(CoopkitError, match=r"no profile 'quik' of checks; did you mean 'quick'\?"):
        check_sampler(Langevin(), profile="quik")  # type: ignore[arg-type]


def test_an_expected_failure_that_fails_is_none():
    name = "one-step[isotropic]"
    (result,) = found(NoHalf(), [name], expected_failures={name: "the half is missing"})
    assert (result.status, result.passed) == ("expected failure", True)
    assert result.detail.startswith("the half is missing (")
    assert "standard errors off" in result.detail


@pytest.mark.parametrize(("name", "why"), [("noise", "passes"), ("fused", "does not apply, it of")])
def test_an_expected_failure_that_does_not_fail_is_one(name: str, why: str):
    (result,) = found(Langevin(), [name], expected_failures={name: "once upon a time"})
    assert (result.status, result.passed) == ("unexpected pass", False)
    assert result.detail.startswith(f"it {why}")
    assert "once upon a time" in result.detail


def test_a_check_is_a_test():
    name = "one-step[isotropic]"
    bound(Langevin(), name)()
    with pytest.raises(NonConformingError) as failure:
        bound(NoHalf(), name)()
    said = str(failure.value)
    assert said.startswith("NoHalf(step_size=0.002, temperature=1.0) breaks one-step[isotropic]: ")
    assert "See it again with --coopkit-seed 3 --coopkit-profile quick." in said
    with pytest.raises(pytest.xfail.Exception, match="the half is missing"):
        bound(NoHalf(), name, expected_failures={name: "the half is missing"})()
    with pytest.raises(NonConformingError, match="it passes, but was expected to fail: no reason"):
        bound(Langevin(), name, expected_failures={name: "no reason"})()
    with pytest.raises(pytest.skip.Exception, match="it offers no fused run"):
        bound(Langevin(), "fused")()


def test_a_test_is_made_of_every_check_that_applies():
    samplers = [Langevin(), NoHalf()]
    mark = parametrize_with_checks(samplers, expected_failures={"fused": "it will"}).mark
    names, checks = mark.args
    ids = [mark.kwargs["ids"](check) for check in checks]
    assert names == "check"
    assert "langevin-geweke" in ids
    assert "no-half-invariance[posterior]" in ids
    assert "langevin-fused" in ids
    assert "langevin-reversibility[skewed]" not in ids
    assert len(set(ids)) == len(ids)
