import json
from pathlib import Path

import attrs
import pytest

from coopkit.testing import Result, diagnosis, likeliest_mistakes
from coopkit.testing.diagnosis import Mistake, known_mistakes
from coopkit.testing.records import Status

HALF = Mistake(
    "the half is missing", "write δ²/2", {"one-step[correlated]": 1.0, "geweke": 0.9}, {}
)
NOISE = Mistake("the noise is halved", "write δU", {"one-step[correlated]": 1.0, "noise": 0.98}, {})
STREAM = Mistake("the global stream is drawn from", "use rng", {"global-stream": 1.0}, {})


def result(check: str, status: Status, **clues: float) -> Result:
    return Result(
        check=check,
        status=status,
        figure=9.0,
        bound=4.0,
        seed=3,
        detail="",
        stages=4,
        false_alarm=0.0,
        clues=clues,
        meaning="",
        source="",
    )


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


@pytest.mark.parametrize(("drift", "mistake"), [(2.03, "twice"), (0.49, "half"), (1.02, "neither")])
def test_the_measured_factors_tell_mistakes_of_one_pattern_apart(
    monkeypatch: pytest.MonkeyPatch, drift: float, mistake: str
):
    kills = {"one-step[correlated]": 1.0}
    usual = {"half": 0.5, "neither": 1.0, "twice": 2.0}
    known = [Mistake(name, "", kills, {"drift": value}) for name, value in usual.items()]
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: known)
    (only,) = likeliest_mistakes([result("one-step[correlated]", "failed", drift=drift)])
    assert only.mistake == mistake


@pytest.mark.parametrize("drift", [float("nan"), float("inf"), -1e200])
def test_a_factor_far_from_any_other_leaves_the_pattern_to_decide(
    monkeypatch: pytest.MonkeyPatch, drift: float
):
    known = [Mistake("twice", "", {"one-step[correlated]": 1.0}, {"drift": 2.0})]
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: known)
    (only,) = likeliest_mistakes([result("one-step[correlated]", "failed", drift=drift)])
    assert only.probability == 1


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
    entry = {"name": "a", "remedy": "b", "kills": {"geweke": 1.0}, "clues": {"drift": 2.0}}
    (tmp_path / "mistakes.json").write_text(json.dumps([entry]), encoding="utf-8")
    assert known_mistakes() == [Mistake("a", "b", {"geweke": 1.0}, {"drift": 2.0})]
