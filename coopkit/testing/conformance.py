"""All checks of one sampler: as records, and as tests of pytest."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from coopkit.errors import CoopkitError, did_you_mean
from coopkit.interfaces import Capabilities, Sampler
from coopkit.testing.checks import CHECKS
from coopkit.testing.defaults import chosen_profile, chosen_seed
from coopkit.testing.records import Check, Profile, Result, capabilities_of

if TYPE_CHECKING:
    import pytest

Reasons = Mapping[str, str]
"""Why checks are expected to fail, by name."""


class NonConformingError(AssertionError):
    """A sampler failed a check; the text says how, and how to see it again."""


@attrs.frozen
class SamplerCheck:
    """One check of one sampler, to be called.

    Attributes:
        sampler: an instance.
        check: what to check.
        profile: "quick" or "full".
        reason: why the check is expected to fail; nothing where it is not.
        seed: of all randomness; None for COOPKIT_SEED, or else a new one at each call.
    """

    sampler: Sampler[Any]
    check: Check
    profile: Profile = "full"
    reason: str = ""
    seed: int | None = None

    def __str__(self) -> str:
        """Return the name that pytest shows."""
        return f"{self.sampler.name}-{self.check.name}"

    def result(self, seed: int | None = None) -> Result:
        """Return what the check finds out, held against what was expected."""
        seed = chosen_seed(self.seed if seed is None else seed)
        found = self.check.run(self.sampler, seed, self.profile)
        if not self.reason:
            return found
        if found.status == "failed":
            detail = f"{self.reason} ({found.detail})"
            return attrs.evolve(found, status="expected failure", detail=detail)
        why = f"does not apply, {found.detail}" if found.status == "not applicable" else "passes"
        detail = f"it {why}, but was expected to fail: {self.reason}; expect that no longer"
        return attrs.evolve(found, status="unexpected pass", detail=detail)

    def __call__(self) -> None:
        """Run the check as a test; one that does not apply to the sampler is skipped.

        Raises:
            NonConformingError: the sampler fails it, or passes what it was expected to fail.
        """
        import pytest

        __tracebackhide__ = True
        found = self.result()
        if found.status == "not applicable":
            pytest.skip(found.detail)
        if found.status == "expected failure":
            pytest.xfail(found.detail)
        if found.status != "passed":
            raise NonConformingError(sentence(self.sampler, found, self.profile))


def applies(bound: SamplerCheck) -> bool:
    """Whether a check has something to say: it applies, is expected to fail, or raises."""
    try:
        return bool(bound.reason) or not bound.check.applies(bound.sampler)
    except Exception:
        return True


def sentence(sampler: Sampler[Any], found: Result, profile: Profile) -> str:
    """Return what a failed check says to the sampler's author."""
    head = f"{sampler} breaks {found.check}: {found.detail}."
    if found.status == "unexpected pass":
        head = f"{sampler}, {found.check}: {found.detail}."
    return (
        f"{head}\n"
        f"The check: {found.meaning} [{found.source}].\n"
        f"Figure {found.figure:.4g}, bound {found.bound:.4g}; a right sampler fails with "
        f"probability {found.false_alarm:.1g}. See it again with --coopkit-seed {found.seed} "
        f"--coopkit-profile {profile}."
    )


def checks_of(
    sampler: Sampler[Any],
    *,
    profile: Profile | None = None,
    seed: int | None = None,
    expected_failures: Reasons | None = None,
) -> Iterator[SamplerCheck]:
    """Yield every check of a sampler, those that do not apply to it too.

    Args:
        sampler: an instance of an attrs class.
        profile: "full", or "quick" for an editor's loop, with fewer chains and examples; None for
            COOPKIT_PROFILE, or else "full".
        seed: of all randomness; None for COOPKIT_SEED, or else a new one.
        expected_failures: why checks are expected to fail, by name; one that passes is a failure.

    Raises:
        TypeError: `sampler` is a class, or no attrs class.
        CoopkitError: `expected_failures` names no check, or there is no such profile.
    """
    if not attrs.has(type(sampler)):
        what = f"the class {sampler.__name__}" if isinstance(sampler, type) else repr(sampler)
        raise TypeError(f"checks need an instance of an attrs class of a sampler, not {what}")
    refuse_claims(sampler)
    reasons = dict(expected_failures or {})
    names = [check.name for check in CHECKS]
    if unknown := sorted(set(reasons) - set(names)):
        hint = did_you_mean(unknown[0], names)
        raise CoopkitError(f"expected_failures: there is no check {unknown[0]!r}; {hint}")
    profile = chosen_profile(profile)
    for check in CHECKS:
        yield SamplerCheck(sampler, check, profile, reasons.get(check.name, ""), seed)


def refuse_claims(sampler: Sampler[Any]) -> None:
    """Refuse claims that cannot be checked.

    Raises:
        CoopkitError: `capabilities` are none, or speak of a field that there is not.
    """
    claims: object = capabilities_of(sampler)
    label = f"{type(sampler).__name__}.capabilities"
    if not isinstance(claims, Capabilities):
        raise CoopkitError(f"{label} must be coopkit.Capabilities(...), not {claims!r}")
    cls: Any = type(sampler)
    for claimed, claim, field in (
        (claims.bias_order, "bias_order", "step_size"),
        (claims.tempered, "tempered", "temperature"),
    ):
        if claimed and field not in attrs.fields_dict(cls):
            raise CoopkitError(f"{label} states {claim}, but there is no field {field!r} to vary")


def check_sampler(
    sampler: Sampler[Any],
    *,
    profile: Profile | None = None,
    seed: int | None = None,
    expected_failures: Reasons | None = None,
    selected: Callable[[str], bool] = lambda name: True,
) -> list[Result]:
    """Run every check on a sampler and return what they find out; nothing is raised for a failure.

    Args:
        sampler: an instance of an attrs class.
        profile: "full", or "quick" for an editor's loop, with fewer chains and examples; None for
            COOPKIT_PROFILE, or else "full".
        seed: of all randomness; None for COOPKIT_SEED, or else a new one. Every result names it.
        expected_failures: why checks are expected to fail, by name; one that passes is a failure.
        selected: which checks to run, by name; all if left out.

    Raises:
        TypeError: `sampler` is a class, or no attrs class.
        CoopkitError: `expected_failures` names no check, or there is no such profile.
    """
    seed = chosen_seed(seed)
    bound = checks_of(sampler, profile=profile, seed=seed, expected_failures=expected_failures)
    return [each.result() for each in bound if selected(each.check.name)]


def parametrize_with_checks(
    samplers: Iterable[Sampler[Any]],
    *,
    profile: Profile | None = None,
    seed: int | None = None,
    expected_failures: Reasons | None = None,
) -> "pytest.MarkDecorator":
    """Return a pytest mark that calls a test with every check that applies to the samplers.

    The test has one argument, `check`, and calls it.

    Args:
        samplers: instances.
        profile: "full", or "quick" for fewer chains and examples; None for the option
            --coopkit-profile.
        seed: of all randomness; None for the option --coopkit-seed.
        expected_failures: why checks are expected to fail, by name; one that passes is a failure.

    Raises:
        TypeError: a sampler is a class, or no attrs class.
        CoopkitError: `expected_failures` names no check, or there is no such profile.
    """
    import pytest

    found = [
        check
        for sampler in samplers
        for check in checks_of(
            sampler, profile=profile, seed=seed, expected_failures=expected_failures
        )
        if applies(check)
    ]
    return pytest.mark.parametrize("check", found, ids=str)
