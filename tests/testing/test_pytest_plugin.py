import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from coopkit import plugins
from coopkit.builtin.langevin import Langevin
from coopkit.testing import CHECKS, conformance, instances
from coopkit.testing.conformance import applies, checks_of

pytest_plugins = ["pytester"]

LOADED = (conformance, instances)
"""Before pytester, which forgets the modules that it loads itself."""

WRONG = Path(__file__).parent / "wrong_sampler.py"
ALONE = ("-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error")
ALL = ("--coopkit-checks", "--coopkit-profile", "quick", *ALONE)
TEST = """
from coopkit.testing import parametrize_with_checks
from wrong_sampler import NoHalf

@parametrize_with_checks([NoHalf()], expected_failures={"geweke": "the half is missing"})
def test_conforms(check):
    check()
"""


@attrs.frozen(kw_only=True)
class Needy(Langevin):
    """A sampler that cannot be made from nothing."""

    name: ClassVar[str] = "needy"

    mass: float
    leaps: int


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """Leave coopkit's own sampler alone in the world, and choose no seed beforehand."""
    monkeypatch.setenv("COOPKIT_NO_PLUGINS", "1")
    for name in ("COOPKIT_SEED", "COOPKIT_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wrong(pytester: pytest.Pytester) -> None:
    """Put a test of a wrong sampler into the folder."""
    pytester.makepyfile(wrong_sampler=WRONG.read_text(encoding="utf-8"), test_wrong=TEST)
    pytester.syspathinsert()


def ids_of(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("coopkit::")]


def expected_ids() -> list[str]:
    names = [bound.check.name for bound in checks_of(Langevin()) if applies(bound)]
    return [f"coopkit::langevin::{name}" for name in names]


def test_every_check_that_applies_is_collected_without_a_test_file(pytester: pytest.Pytester):
    result = pytester.runpytest_inprocess(*ALL, "--collect-only", "-q")
    assert ids_of(result) == expected_ids()
    assert 20 < len(ids_of(result)) < len(CHECKS)
    assert result.ret == 0


def test_nothing_is_collected_unless_asked_for(pytester: pytest.Pytester):
    result = pytester.runpytest_inprocess(*ALONE)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_checks_are_collected_beside_tests(pytester: pytest.Pytester):
    pytester.makepyfile("def test_own(): pass")
    result = pytester.runpytest_inprocess(*ALL, "-k", "test_own or zero-steps", "-v")
    result.assert_outcomes(passed=2, deselected=len(expected_ids()) - 1)
    result.stdout.fnmatch_lines(["coopkit::langevin::zero-steps PASSED*"])
    result.stdout.fnmatch_lines([f"*collected {len(expected_ids()) + 1} items*"])


def test_checks_are_deselected_by_name(pytester: pytest.Pytester):
    options = ("--collect-only", "-q", "--deselect", "coopkit::langevin::geweke")
    assert ids_of(pytester.runpytest_inprocess(*ALL, *options)) == [
        name for name in expected_ids() if not name.endswith("geweke")
    ]
    options = ("--collect-only", "-q", "-k", "langevin and invariance and not masked")
    found = ids_of(pytester.runpytest_inprocess(*ALL, *options))
    assert "coopkit::langevin::invariance[correlated]" in found
    assert all("invariance" in name and "masked" not in name for name in found)


@pytest.mark.usefixtures("wrong")
def test_seed_and_profile_of_the_options_are_those_of_the_tests(pytester: pytest.Pytester):
    chosen = ("-k", "one-step[isotropic]", "--coopkit-profile", "quick", *ALONE)
    first, again, other = (
        pytester.runpytest_inprocess(*chosen, "--coopkit-seed", seed) for seed in ("4", "4", "5")
    )
    first.assert_outcomes(failed=1, deselected=len(expected_ids()) - 1)
    first.stdout.fnmatch_lines(["coopkit: profile quick, --coopkit-seed 4"])
    first.stdout.fnmatch_lines(["*See it again with --coopkit-seed 4 --coopkit-profile quick."])
    figures = [re.findall(r"Figure ([\d.]+)", str(run.stdout)) for run in (first, again, other)]
    assert figures[0] == figures[1] != figures[2]


@pytest.mark.usefixtures("wrong")
def test_expected_failures_are_reported_as_such(pytester: pytest.Pytester):
    options = ("-k", "geweke", "--coopkit-profile", "quick", "-rx", *ALONE)
    result = pytester.runpytest_inprocess(*options)
    result.assert_outcomes(xfailed=1, deselected=len(expected_ids()) - 1)
    result.stdout.fnmatch_lines(["XFAIL *geweke* - *the half is missing (*"])
    result = pytester.runpytest_inprocess(*options, "--runxfail")
    result.assert_outcomes(failed=1, deselected=len(expected_ids()) - 1)


@pytest.mark.usefixtures("wrong")
def test_workers_share_the_seed_that_is_in_the_header(pytester: pytest.Pytester):
    chosen = "noise or one-step[isotropic]"
    result = pytester.runpytest_subprocess(*ALL, "-n", "2", "-k", chosen)
    result.assert_outcomes(passed=3, failed=1)
    assert "2 workers [4 items]" in str(result.stdout)
    seeds = re.findall(r"--coopkit-seed (\d+)", str(result.stdout))
    assert len(seeds) >= 2
    assert len(set(seeds)) == 1


def test_the_seed_is_a_new_one_or_that_of_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    def header() -> str:
        lines = pytester.runpytest_inprocess(*ALONE).outlines
        (line,) = [line for line in lines if line.startswith("coopkit: ")]
        return line

    assert header() != header()
    monkeypatch.setenv("COOPKIT_SEED", "77")
    monkeypatch.setenv("COOPKIT_PROFILE", "quick")
    assert header() == "coopkit: profile quick, --coopkit-seed 77"


def test_the_environment_is_left_as_it_was(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COOPKIT_PROFILE", "full")
    before = dict(os.environ)
    pytester.runpytest_inprocess("--coopkit-seed", "3", "--coopkit-profile", "quick", *ALONE)
    after = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    assert after == {name: value for name, value in before.items() if name in after}
    assert "COOPKIT_SEED" not in os.environ


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--coopkit-seed", "-3"), "a seed is a whole number from 0 on, not '-3'"),
        (("--coopkit-seed", "x"), "a seed is a whole number from 0 on, not 'x'"),
        (("--coopkit-profile", "quik"), "invalid choice: 'quik'"),
    ],
)
def test_an_option_that_is_not_right_is_refused(
    pytester: pytest.Pytester, options: tuple[str, ...], sentence: str
):
    result = pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{sentence}*"])


def test_an_environment_that_is_not_right_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COOPKIT_SEED", "seven")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*COOPKIT_SEED: a seed is a whole number from 0 on, not 'seven'"])


def install(monkeypatch: pytest.MonkeyPatch, cls: type[Any], *problems: str) -> None:
    entry = plugins.Entry("sampler", cls.name, cls, "somebody", "1.0")
    registry = plugins.Registry((entry,), problems, ())
    monkeypatch.setattr(plugins, "registry", lambda: registry)


def test_a_sampler_that_needs_fields_is_skipped_with_what_to_do(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    install(monkeypatch, Needy)
    result = pytester.runpytest_inprocess(*ALL, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "SKIPPED * needy has no default for mass and leaps; "
            "check an instance by parametrize_with_checks"
        ]
    )


def test_a_broken_plugin_is_a_failure(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, Needy, "the plugin 'torn' cannot be imported")
    result = pytester.runpytest_inprocess(*ALL)
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines(["the plugin 'torn' cannot be imported"])


@pytest.mark.usefixtures("wrong")
def test_a_failure_shows_what_the_check_says_and_no_traceback(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    import wrong_sampler  # type: ignore[import-not-found]

    install(monkeypatch, wrong_sampler.NoHalf)
    result = pytester.runpytest_inprocess(*ALL, "-k", "one-step[isotropic]", "--coopkit-seed", "3")
    result.assert_outcomes(failed=2, deselected=2 * len(expected_ids()) - 2)
    _, _, item = str(result.stdout).partition("__ no-half one-step[isotropic] __")
    item, _, _ = item.partition("short test summary")
    assert "NoHalf(step_size=0.002, temperature=1.0) breaks one-step[isotropic]: " in item
    assert ".py" not in item


def test_a_start_of_pytest_does_not_load_torch():
    code = (
        "import sys, coopkit.testing.pytest_plugin\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "scipy", "hypothesis", "attrs", "rich", "click"}
    assert not set(done.stdout.split()) & heavy
    assert "pytest" in done.stdout.split()
