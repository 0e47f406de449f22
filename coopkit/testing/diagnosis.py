"""From a pattern of failed checks to the mistakes that are likeliest behind it."""

import json
import math
from collections.abc import Sequence
from importlib import resources

import attrs

from coopkit.testing.records import Result

CLUES = ("one-step[correlated]", "noise")
"""The checks whose measured numbers tell mistakes apart."""

CLUE_WIDTH = 0.03
"""Relative width within which a measured clue speaks for a mistake."""

UNSURE = 0.02
"""How far from 0 and 1 the probability that a mistake fails a check is held."""


FAR = 6.0
"""How much less probable than what a mistake usually leaves a pattern may be, as a logarithm.

One check that answers otherwise than it always does costs 3.9, and a clue that is far off `OFF`. Of
drawn patterns of the known mistakes none was above 2.1; with a mistake taken out of the list, the
nearest other one is mostly.
"""

OFF = 8.0
"""What a clue costs at the most, as a logarithm: more than `FAR`."""

UNMEASURED = 0.3
"""The probability that a check fails under a mistake with which it was never measured.

About the share of all measured pairs of a mistake and a check.
"""

APART = 3.0
"""How many times as likely as the next one a mistake is that is told apart from it."""


@attrs.frozen
class Pattern:
    """How the checks answer to a mistake, with one declaration of what the sampler does.

    Attributes:
        kills: the probability that each check fails, by name, of the checks that applied, as
            `make power` measured it.
        clues: the numbers that `CLUES` show, as multiples of what they should be; none of a mistake
            that changes no law, which any sampler may make, however far it goes.
    """

    kills: dict[str, float]
    clues: dict[str, float]


@attrs.frozen
class Mistake:
    """A known mistake, and how the checks answer to it.

    Attributes:
        name: what is wrong, in a few words.
        remedy: what would be right.
        patterns: one for each declaration with which it was measured.
        in_target: whether it is one of a target, which no sampler can make.
    """

    name: str
    remedy: str
    patterns: list[Pattern]
    in_target: bool = False


@attrs.frozen
class Diagnosis:
    """A mistake, and how likely it is among the known ones.

    Attributes:
        mistake: what is wrong, in a few words.
        remedy: what would be right.
        probability: given the failures, among the known mistakes, all equally likely before.
    """

    mistake: str
    remedy: str
    probability: float


def known_mistakes() -> list[Mistake]:
    """Return the mistakes whose patterns have been measured; none before they have been."""
    file = resources.files("coopkit.testing") / "mistakes.json"
    if not file.is_file():
        return []
    entries = json.loads(file.read_text(encoding="utf-8"))
    return [
        Mistake(**{**entry, "patterns": [Pattern(**pattern) for pattern in entry["patterns"]]})
        for entry in entries
    ]


def likeliest_mistakes(results: Sequence[Result], most: int = 3) -> list[Diagnosis]:
    """Return the mistakes likeliest behind failed checks, likeliest first; none if none failed.

    By Bayes' rule from the measured kill probabilities, as if the checks failed independently of
    each other, and from the numbers that `CLUES` measure. Of the patterns of a mistake that one
    counts that fits best. A mistake that none of the failed checks catches is left out, one that
    hardly ever leaves this pattern or these numbers, and one of a target, so that there may be
    none. An error that ended a check says itself what is wrong, and is no part of a pattern; where
    most failures are errors, nothing is named.
    """
    if mostly_errors(results):
        return []
    measured = [found for found in results if not found.raised]
    seen = {found.check: found for found in measured if found.status in ("passed", "failed")}
    scored = [
        (max(scores), mistake)
        for mistake in known_mistakes()
        if not mistake.in_target and (scores := plausible(mistake, seen))
    ]
    if not scored:
        return []
    best = max(score for score, _ in scored)
    weights = [(math.exp(score - best), mistake) for score, mistake in scored]
    total = sum(weight for weight, _ in weights)
    ranked = sorted(weights, key=lambda pair: -pair[0])
    found = [Diagnosis(m.name, m.remedy, weight / total) for weight, m in ranked]
    return [each for each in found[:most] if each.probability > UNSURE]


def mostly_errors(results: Sequence[Result]) -> bool:
    """Whether more failed checks were ended by an error than measured anything."""
    failed = [found for found in results if found.status == "failed"]
    return sum(found.raised for found in failed) > len(failed) / 2


def told_apart(diagnoses: Sequence[Diagnosis]) -> bool:
    """Whether the first mistake is clearly likelier than the next."""
    first, *others = diagnoses
    return not others or first.probability > APART * others[0].probability


def says_its_step(results: Sequence[Result]) -> bool:
    """Whether a sampler declares gaussian_step, as far as these checks tell."""
    compared = [found for found in results if found.check.startswith("one-step[")]
    return not compared or any(found.status != "not applicable" for found in compared)


def plausible(mistake: Mistake, seen: dict[str, Result]) -> list[float]:
    """Return the logarithms of the probabilities of what was seen, by the patterns it may be of."""
    failed = {name for name, found in seen.items() if found.status == "failed"}
    return [
        likelihood(pattern, seen)
        for pattern in mistake.patterns
        if any(pattern.kills.get(name) for name in failed)
        and likelihood(pattern, seen) > of_usual_checks(pattern, seen) - FAR
    ]


def likelihood(pattern: Pattern, seen: dict[str, Result]) -> float:
    """Return the logarithm of the probability of what was seen under a mistake."""
    total = of_checks(pattern, seen)
    measured = {
        name: value for check in CLUES if check in seen for name, value in seen[check].clues.items()
    }
    for name in pattern.clues.keys() & measured.keys():
        usual = pattern.clues[name]
        off = (measured[name] - usual) / clue_width(usual)
        total -= min(OFF, off * off / 2)
    return total


def clue_width(usual: float) -> float:
    """Return how far from what a mistake usually shows a clue may be and still speak for it."""
    return CLUE_WIDTH * (0.5 + abs(usual))


def of_checks(pattern: Pattern, seen: dict[str, Result]) -> float:
    """Return the logarithm of the probability that these checks pass and fail as they did."""
    kills = [(kill_of(pattern, name), found.status == "failed") for name, found in seen.items()]
    return sum(math.log(kill if failed else 1 - kill) for kill, failed in kills)


def of_usual_checks(pattern: Pattern, seen: dict[str, Result]) -> float:
    """Return the logarithm of the probability of what a mistake most often does to them."""
    kills = [kill_of(pattern, name) for name in seen]
    return sum(math.log(max(kill, 1 - kill)) for kill in kills)


def kill_of(pattern: Pattern, check: str) -> float:
    """Return the probability that a check fails under a mistake, never 0 or 1."""
    return min(max(pattern.kills.get(check, UNMEASURED), UNSURE), 1 - UNSURE)
