"""Numbers of a recipe's table that follow schedules: their values at an iteration of the run."""

from collections.abc import Iterator, Mapping
from itertools import chain
from math import isfinite
from typing import Any, Generic, TypeVar

import attrs

from coopkit.interfaces import Schedule
from coopkit.optimizers import TorchOptimizer

T = TypeVar("T")

EVERY = 50_000
"""Iterations of a run of which each is checked where numbers follow schedules."""


@attrs.frozen
class Scheduled(Generic[T]):
    """A table of a recipe some of whose numbers may follow schedules.

    Attributes:
        table: its values at learning iteration 0.
        schedules: the schedules of the fields that have one.
    """

    table: T
    schedules: Mapping[str, Schedule] = attrs.field(factory=dict)

    def at(self, t: int) -> T:
        """Return the table at learning iteration t."""
        if not self.schedules:
            return self.table
        return change(self.table, values_at(self.table, self.schedules, t))


def change(table: T, values: Mapping[str, Any]) -> T:
    """Return a table with other values; a torch optimiser's are among its arguments."""
    if isinstance(table, TorchOptimizer):
        return attrs.evolve(table, arguments={**table.arguments, **values})
    return attrs.evolve(table, **values)  # type: ignore[misc]


def values_at(table: object, schedules: Mapping[str, Schedule], t: int) -> dict[str, float]:
    """Return the values of schedules at t, rounded where the field is a whole number."""
    fields = attrs.fields_dict(type(table))  # type: ignore[arg-type]
    whole = {name for name, field in fields.items() if field.type is int}
    values = {key: schedule.value(t) for key, schedule in schedules.items()}
    return {key: round(value) if key in whole else value for key, value in values.items()}


def is_schedule(value: object) -> bool:
    """Whether a value of a recipe is a schedule's table."""
    return isinstance(value, Mapping) and "schedule" in value


def moments(iterations: int) -> Iterator[int]:
    """Yield the iterations at which schedules are checked, among them the first and the last.

    They are all of a run of up to EVERY; of a longer one the first EVERY, and then about as many
    at equal distances.
    """
    first = min(EVERY, iterations)
    return chain(range(first), range(first, iterations, iterations // first), (iterations - 1,))


def numbers_along(schedule: Schedule, iterations: int) -> Iterator[tuple[int, float]]:
    """Yield the iterations at which a schedule is checked, and its numbers there.

    Raises:
        ValueError: the schedule has no finite number at one of them.
    """
    for t in moments(iterations):
        try:
            value = schedule.value(t)
            finite = isfinite(value)
        except Exception as error:
            why = ": ".join([type(error).__name__, *map(str, error.args[-1:])])
            raise ValueError(f"has no value at iteration {t} of its schedule: {why}") from error
        if not finite:
            raise ValueError(f"at iteration {t} of its schedule: must be finite: {value}")
        yield t, value
