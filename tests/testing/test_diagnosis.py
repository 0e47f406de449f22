import json
from pathlib import Path

import attrs
import pytest
from results import result

from coopkit.testing import Diagnosis, diagnosis, likeliest_mistakes
from coopkit.testing.diagnosis import (
    UNMEASURED,
    Mistake,
    Pattern,
    known_mistakes,
    says_its_step,
    told_apart,
)
from coopkit.testing.records import Status

NAMES = ("one-step[correlated]", "geweke", "noise", "global-stream", "descent")


def mistake(name: str, remedy: str = "", clues: dict[str, float] | None = None, **kills: float):
    """Return a mistake with which all checks of NAMES applied, the first one as one_step."""
    named = {"one-step[correlated]": kills.pop("one_step", 0.0)}
    shares = {check: named.get(check, kills.get(check, 0.0)) for check in NAMES}
    return Mistake(name, remedy, [Pattern(shares, clues or {})])


HALF = mistake("the half is missing", "write δ²/2", one_step=1.0, geweke=0.9)
NOISE = mistake("the noise is halved", "write δU", one_step=1.0, noise=0.98)
STREAM = mistake("the global stream is drawn from", "use rng", **{"global-stream": 1.0})


@pytest.fixture
def mistakes(monkeypatch: pytest.MonkeyPatch) -> list[Mistake]:
    known = [STREAM, NOISE, HALF]
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: known)
    return known


def test_checks_that_an_error_ended_are_no_pattern(mistakes: list[Mistake]):
    crashed = attrs.evolve(result("global-stream", "failed"), stages=0)
    assert likeliest_mistakes([crashed]) == []
    found = likeliest_mistakes([crashed, result("noise", "failed")])
    assert [each.mistake for each in found] == [NOISE.name]


def test_nothing_is_diagnosed_where_nothing_failed(mistakes: list[Mistake]):
    assert likeliest_mistakes([]) == []
    sound: list[Status] = ["passed", "not applicable", "expected failure", "unexpected pass"]
    assert likeliest_mistakes([result("geweke", status) for status in sound]) == []


def test_the_mistakes_are_ranked_by_the_rule_of_bayes(mistakes: list[Mistake]):
    """Both fail the first check. HALF: .98 · .9, and NOISE: .98 · .02, fail geweke."""
    seen = [result("one-step[correlated]", "failed"), result("geweke", "failed")]
    half, noise = 0.98 * 0.9, 0.98 * 0.02
    first, *_ = likeliest_mistakes(seen)
    assert (first.mistake, first.remedy) == ("the half is missing", "write δ²/2")
    assert first.probability == pytest.approx(half / (half + noise))
    second, *_ = likeliest_mistakes([result("noise", "failed"), result("geweke", "passed")])
    assert second.mistake == "the noise is halved"


def test_a_pattern_that_no_known_mistake_leaves_is_attributed_to_none(mistakes: list[Mistake]):
    """STREAM fails one check; of two others that fail with it neither is among its own."""
    seen = [result("global-stream", "failed"), result("geweke", "failed")]
    assert likeliest_mistakes(seen)[0].mistake == STREAM.name
    assert likeliest_mistakes([*seen, result("descent", "failed")]) == []
    half = [result("one-step[correlated]", "failed"), result("geweke", "failed")]
    (only,) = likeliest_mistakes([*half, result("noise", "passed")])
    assert (only.mistake, only.probability) == (HALF.name, 1.0)


def test_a_check_that_did_not_run_says_nothing(mistakes: list[Mistake]):
    """Only what passed or failed counts, so that HALF and NOISE stay equally likely."""
    others: list[Status] = ["not applicable", "expected failure", "unexpected pass"]
    seen = [result("one-step[correlated]", "failed")]
    for status in others:
        diagnoses = likeliest_mistakes([*seen, result("geweke", status)])
        assert [found.probability for found in diagnoses] == pytest.approx([0.5, 0.5])


def test_a_mistake_that_explains_no_failure_is_left_out(mistakes: list[Mistake]):
    assert likeliest_mistakes([result("descent", "failed"), result("noise", "passed")]) == []


@pytest.mark.parametrize(("drift", "named"), [(2.03, "twice"), (0.49, "half"), (1.02, "neither")])
def test_the_measured_factors_tell_mistakes_of_one_pattern_apart(
    monkeypatch: pytest.MonkeyPatch, drift: float, named: str
):
    usual = {"half": 0.5, "neither": 1.0, "twice": 2.0}
    known = [mistake(name, "", {"drift": value}, one_step=1.0) for name, value in usual.items()]
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: known)
    (only,) = likeliest_mistakes([result("one-step[correlated]", "failed", drift=drift)])
    assert only.mistake == named


@pytest.mark.parametrize("drift", [float("nan"), float("inf"), -1e200])
def test_a_mistake_whose_factor_is_far_off_is_not_named(
    monkeypatch: pytest.MonkeyPatch, drift: float
):
    known = [mistake("twice", "", {"drift": 2.0}, one_step=1.0)]
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: known)
    assert likeliest_mistakes([result("one-step[correlated]", "failed", drift=drift)]) == []
    assert likeliest_mistakes([result("one-step[correlated]", "failed", drift=2.1)]) != []


def test_no_more_than_asked_for(mistakes: list[Mistake]):
    seen = [result("one-step[correlated]", "failed")]
    assert len(likeliest_mistakes(seen, most=1)) == 1
    assert len(likeliest_mistakes(seen, most=2)) == 2


def test_the_mistakes_come_from_the_file_of_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(diagnosis.resources, "files", lambda package: tmp_path)
    assert known_mistakes() == []
    assert likeliest_mistakes([result("geweke", "failed")]) == []
    pattern = {"kills": {"geweke": 1.0}, "clues": {"drift": 2.0}}
    entry = {"name": "a", "remedy": "b", "in_target": True, "patterns": [pattern]}
    (tmp_path / "mistakes.json").write_text(json.dumps([entry]), encoding="utf-8")
    known = Mistake("a", "b", [Pattern({"geweke": 1.0}, {"drift": 2.0})], in_target=True)
    assert known_mistakes() == [known]


def test_a_check_that_did_not_apply_to_a_mistake_neither_kills_nor_clears_it(
    monkeypatch: pytest.MonkeyPatch,
):
    """FAR bounds what is known to be otherwise; what is not known counts as of unknown mistakes."""
    narrow = Mistake("narrow", "", [Pattern({"geweke": 1.0}, {})])
    wide = Mistake("wide", "", [Pattern({"geweke": 1.0, "noise": 1.0, "descent": 0.0}, {})])
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: [narrow, wide])
    seen = [result("geweke", "failed"), result("noise", "failed"), result("descent", "passed")]
    first, second = likeliest_mistakes(seen)
    assert (first.mistake, second.mistake) == ("wide", "narrow")
    odds = UNMEASURED * (1 - UNMEASURED) / 0.98**2
    assert second.probability / first.probability == pytest.approx(odds)


def test_the_pattern_that_fits_best_stands_for_a_mistake(monkeypatch: pytest.MonkeyPatch):
    """Measured with two declarations, it is the mistake under either of them, and counts once."""
    twice = Mistake("twice", "", [*NOISE.patterns, *HALF.patterns])
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: [twice, HALF])
    found = likeliest_mistakes([result(NAMES[0], "failed"), result("geweke", "failed")])
    assert [each.mistake for each in found] == ["twice", HALF.name]
    assert found[0].probability == found[1].probability == 0.5


def test_a_mistake_of_a_target_is_none_of_a_sampler(mistakes: list[Mistake]):
    mistakes[:] = [attrs.evolve(HALF, in_target=True), NOISE]
    seen = [result("one-step[correlated]", "failed"), result("geweke", "failed")]
    assert HALF.name not in [each.mistake for each in likeliest_mistakes(seen)]


def test_where_most_failures_are_errors_none_is_named(mistakes: list[Mistake]):
    errors = [attrs.evolve(result(name, "failed"), stages=0) for name in ("geweke", "descent")]
    assert likeliest_mistakes([*errors, result("noise", "failed")]) == []
    assert likeliest_mistakes([errors[0], result("noise", "failed")]) != []


def test_a_mistake_is_told_apart_where_it_is_clearly_likelier():
    likely, less, least = (
        Diagnosis(name, "", p) for name, p in zip("abc", (0.7, 0.2, 0.1), strict=True)
    )
    assert told_apart([likely])
    assert told_apart([likely, less, least])
    assert not told_apart([less, least])


def test_a_sampler_that_declares_its_step_is_known_by_the_checks_that_apply():
    assert says_its_step([result("one-step[correlated]", "passed"), result("noise", "failed")])
    assert not says_its_step([result("one-step[correlated]", "not applicable")])
    assert says_its_step([result("noise", "failed")])
