"""Checks and results, and the running of one check on one sampler."""

import inspect
import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import torch

from coopkit.interfaces import Capabilities, Sampler
from coopkit.streams import stream_seed
from coopkit.testing.law.evidence import FALSE_ALARM, STAGES, Evidence
from coopkit.testing.replay import draws_from_the_seed_alone

Experiment = Callable[[Sampler[Any], int, torch.Generator], Evidence]
"""One experiment with a sampler: so many chains, all randomness from the generator."""

Property = Callable[[Sampler[Any], int, int], None]
"""A property of a sampler, tried on so many examples from a seed; raises where it does not hold."""

Profile = Literal["quick", "full"]
Status = Literal["passed", "failed", "not applicable", "expected failure", "unexpected pass"]

CHAINS: Mapping[Profile, int] = {"quick": 2_000, "full": 20_000}
EXAMPLES: Mapping[Profile, int] = {"quick": 4, "full": 40}

Applies = Callable[[Sampler[Any]], str]
"""Says why a check does not apply to a sampler; nothing where it does."""


UNDECLARED = "it states no capabilities, and is held to be exact"

SMALLEST = "smallest example: "
"""How the note begins that says what a property was tried on."""


def always(sampler: Sampler[Any]) -> str:
    """Let a check apply to every sampler."""
    return ""


class Violation(AssertionError):
    """A property that does not hold.

    Attributes:
        figure: by how much, above the bound of 0.
    """

    def __init__(self, sentence: str, figure: float = 1.0) -> None:
        super().__init__(sentence)
        self.figure = figure


@attrs.frozen
class Result:
    """What one check found out about one sampler.

    Attributes:
        check: its name.
        status: of the five words.
        figure: what was measured.
        bound: what a right sampler's figure stays below.
        seed: repeats the check, bit for bit.
        detail: what was seen, in words; why, for a check that does not apply.
        stages: how many experiments were made, one after the other.
        false_alarm: the probability that a right sampler fails the check.
        clues: measured numbers that tell one mistake from another.
        meaning: what the check means, in one line.
        source: the equation or paper it comes from.
    """

    check: str
    status: Status
    figure: float
    bound: float
    seed: int
    detail: str
    stages: int
    false_alarm: float
    clues: Mapping[str, float]
    meaning: str
    source: str

    @property
    def raised(self) -> bool:
        """Whether an error ended the check before anything was measured."""
        return self.status != "not applicable" and self.stages == 0

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the sampler that was not expected to."""
        return self.status not in ("failed", "unexpected pass")


@attrs.frozen
class Check:
    """A named check: a statistical experiment, or a property that holds for every example.

    Attributes:
        name: such as "invariance[skewed]".
        meaning: one line.
        source: the equation or paper it comes from.
        experiment: of a law check; None for a check of structure.
        rule: of a check of structure; None for a law check.
        applies: to which samplers.
    """

    name: str
    meaning: str
    source: str
    experiment: Experiment | None = None
    rule: Property | None = None
    applies: Applies = always

    @property
    def false_alarm(self) -> float:
        """The probability that a right sampler fails."""
        return FALSE_ALARM if self.experiment else 0.0

    def run(self, sampler: Sampler[Any], seed: int, profile: Profile = "full") -> Result:
        """Return what the check finds out; whatever the sampler raises is a failure.

        Args:
            sampler: an instance, which is not changed.
            seed: of all randomness.
            profile: how many chains or examples.
        """
        outcome, stages, reason = Evidence(0.0, 0.0), 0, ""
        status: Status = "not applicable"
        try:
            if not (reason := self.applies(sampler)):
                outcome, stages = self.measure(sampler, seed, profile)
                status = "failed" if outcome.against else "passed"
                if outcome.against and self.experiment and not hasattr(sampler, "capabilities"):
                    outcome = attrs.evolve(outcome, detail=f"{outcome.detail}; {UNDECLARED}")
        except Exception as error:
            outcome, status = Evidence(float("inf"), 0.0, told(error, sampler)), "failed"
        return Result(
            check=self.name,
            status=status,
            figure=outcome.figure,
            bound=outcome.bound,
            seed=seed,
            detail=reason or outcome.detail,
            stages=stages,
            false_alarm=self.false_alarm,
            clues=outcome.clues,
            meaning=self.meaning,
            source=self.source,
        )

    def measure(self, sampler: Sampler[Any], seed: int, profile: Profile) -> tuple[Evidence, int]:
        """Return the evidence and the number of experiments made."""
        if self.experiment is None:
            assert self.rule is not None
            return hold(self.rule, sampler, seed, EXAMPLES[profile]), 1
        outcome = Evidence(0.0, 0.0)
        for stage in range(STAGES):
            rng = torch.Generator().manual_seed(stream_seed(seed, self.name, stage))
            chains = CHAINS[profile] * (2 if stage else 1)
            outcome = self.experiment(sampler, chains, rng)
            if not outcome.against:
                return outcome, stage + 1
        return outcome, STAGES


def hold(rule: Property, sampler: Sampler[Any], seed: int, examples: int) -> Evidence:
    """Return the evidence of a property: by how much its smallest counter-example breaks it."""
    try:
        with draws_from_the_seed_alone():
            rule(sampler, examples, seed)
    except Violation as violation:
        return Evidence(violation.figure, 0.0, told(violation, sampler))
    return Evidence(0.0, 0.0)


def told(error: Exception, sampler: Sampler[Any]) -> str:
    """Return an error in words: the smallest example of it, and where a foreign one was raised."""
    if isinstance(error, ExceptionGroup):
        return told(error.exceptions[0], sampler)
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(SMALLEST)]
    example = f"; {notes[0]}" if notes else ""
    if isinstance(error, Violation):
        return f"{error}{example}"
    return f"raised {type(error).__name__}: {error}{place(error, sampler)}{example}"


def place(error: Exception, sampler: Sampler[Any]) -> str:
    """Return where an error was raised: the last line of the sampler's own file, if it is there."""
    frames = traceback.extract_tb(error.__traceback__)
    try:
        own = inspect.getfile(type(sampler))
    except (OSError, TypeError):
        own = ""
    last = ([frame for frame in frames if frame.filename == own] or frames)[-1:]
    return "".join(f" ({os.path.basename(frame.filename)}:{frame.lineno})" for frame in last)


def capabilities_of(sampler: Sampler[Any]) -> Capabilities:
    """Return what a sampler claims; one that claims nothing is held to be exact."""
    return getattr(sampler, "capabilities", Capabilities())
