"""From a pattern of failed checks to the mistakes that are likeliest behind it."""

import json
import math
from collections.abc import Sequence
from importlib import resources

import attrs

from coopkit.testing.records import Result

CLUES = "one-step[correlated]"
"""The check whose measured factors tell mistakes apart."""

CLUE_WIDTH = 0.03
"""Relative width within which a measured clue speaks for a mistake."""

UNSURE = 0.02
"""How far from 0 and 1 the probability that a mistake fails a check is held."""


FAR = 6.0
"""How much less probable than what a mistake usually leaves a pattern may be, as a logarithm.

One check that answers otherwise than it always does costs 3.9. Of drawn patterns of the known
mistakes none was above 2.1; with a mistake taken out of the list, the nearest other one is mostly.
"""


@attrs.frozen
class Mistake:
    """A known mistake, and how the checks answer to it.

    Attributes:
        name: what is wrong, in a few words.
        remedy: what would be right.
        kills: the probability that each check fails, by name, as `make power` measured it.
        clues: the numbers that one step shows, as multiples of what they should be.
    """

    name: str
    remedy: str
    kills: dict[str, float]
    clues: dict[str, float]


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
    return [Mistake(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]


def likeliest_mistakes(results: Sequence[Result], most: int = 3) -> list[Diagnosis]:
    """Return the mistakes likeliest behind failed checks, likeliest first; none if none failed.

    By Bayes' rule from the measured kill probabilities, as if the checks failed independently of
    each other, and from the two factors that one step measures. A mistake that none of the failed
    checks catches is left out, and one that hardly ever leaves this pattern, so that there may be
    none. An error that ended a check says itself what is wrong, and is no part of a pattern.
    """
    measured = [found for found in results if not found.raised]
    seen = {found.check: found for found in measured if found.status in ("passed", "failed")}
    failed = {name for name, found in seen.items() if found.status == "failed"}
    mistakes = [
        mistake
        for mistake in known_mistakes()
        if failed & set(mistake.kills)
        and of_pattern(mistake, seen) > of_usual_pattern(mistake, seen) - FAR
    ]
    if not mistakes:
        return []
    scores = [likelihood(mistake, seen) for mistake in mistakes]
    weights = [math.exp(score - max(scores)) for score in scores]
    ranked = sorted(zip(weights, mistakes, strict=True), key=lambda pair: -pair[0])
    found = [Diagnosis(m.name, m.remedy, weight / sum(weights)) for weight, m in ranked]
    return [each for each in found[:most] if each.probability > UNSURE]


def likelihood(mistake: Mistake, seen: dict[str, Result]) -> float:
    """Return the logarithm of the probability of what was seen under a mistake."""
    total = of_pattern(mistake, seen)
    measured = seen[CLUES].clues if CLUES in seen else {}
    for name in mistake.clues.keys() & measured.keys():
        usual = mistake.clues[name]
        off = (measured[name] - usual) / (CLUE_WIDTH * (0.5 + abs(usual)))
        total -= min(8.0, off * off / 2)
    return total


def of_pattern(mistake: Mistake, seen: dict[str, Result]) -> float:
    """Return the logarithm of the probability that these checks pass and fail as they did."""
    kills = [(kill_of(mistake, name), found.status == "failed") for name, found in seen.items()]
    return sum(math.log(kill if failed else 1 - kill) for kill, failed in kills)


def of_usual_pattern(mistake: Mistake, seen: dict[str, Result]) -> float:
    """Return the logarithm of the probability of what a mistake most often does to them."""
    kills = [kill_of(mistake, name) for name in seen]
    return sum(math.log(max(kill, 1 - kill)) for kill in kills)


def kill_of(mistake: Mistake, check: str) -> float:
    """Return the probability that a check fails under a mistake, never 0 or 1."""
    return min(max(mistake.kills.get(check, 0.0), UNSURE), 1 - UNSURE)
