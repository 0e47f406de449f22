"""TOML tables to frozen attrs classes, strictly, with every problem of a file found at once.

cattrs converts the values; what is here adds what it leaves out: no silent conversions, validators
of every field rather than of the first that fails, schedules in place of numbers, and paths.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any, Generic, TypeVar

import attrs
from cattrs import BaseValidationError

from coopkit.conversion import (
    TableProblems,
    convert,
    converter,
    describe,
    quoted,
    refuse,
    shorten,
    unwritable,
)
from coopkit.errors import PluginError, did_you_mean
from coopkit.interfaces import Schedule
from coopkit.optimizers import TorchOptimizer
from coopkit.plugins import registry

T = TypeVar("T")
Raw = Mapping[str, Any]

EVERY = 50_000
"""Iterations of a run of which each is checked where numbers follow schedules."""


class Parts:
    """What is made of the parts of a table, one after the other, and all that is wrong in them."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.problems: list[tuple[str, str]] = []

    def add(self, key: str, make: Callable[..., T], *arguments: Any) -> T | None:
        """Make a part, and return it, or None and note its problems under a key ("" for none)."""
        try:
            part = make(*arguments)
        except TableProblems as error:
            self.problems += error.under(key)
        except ValueError as error:
            self.problems.append((key, str(error)))
        else:
            self.made.append(part)
            return part
        return None

    def all(self) -> list[Any]:
        """Return all parts.

        Raises:
            TableProblems: with the problems of all of them, if there are any.
        """
        if self.problems:
            raise TableProblems(self.problems)
        return self.made


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


def structure(cls: type[T], raw: Raw, besides: Sequence[str] = ()) -> T:
    """Return the table of a class that has no schedules.

    Args:
        cls: a frozen attrs class.
        raw: what the file says.
        besides: what else the table may hold and another class reads.

    Raises:
        TableProblems: with all that is wrong.
    """
    return structure_scheduled(cls, raw, None, besides).table


def structure_scheduled(
    cls: type[T], raw: Raw, iterations: int | None, besides: Sequence[str] = ()
) -> Scheduled[T]:
    """Return the table of a class, with schedules where numbers may be.

    Args:
        cls: a frozen attrs class.
        raw: what the file says.
        iterations: of the run, over which schedules are checked; None forbids schedules.
        besides: what else the table may hold and another class reads.

    Raises:
        TableProblems: with all that is wrong.
    """
    fields = attrs.fields_dict(cls)  # type: ignore[arg-type]
    problems = [
        (quoted(key), f"is no key of this table; {did_you_mean(key, [*fields, *besides])}")
        for key in raw
        if key not in fields and key not in besides
    ]
    values: dict[str, Any] = {}
    schedules: dict[str, Schedule] = {}
    for name, field in fields.items():
        try:
            if name in raw:
                if is_schedule(raw[name]):
                    schedules[name] = structure_schedule(field.type, raw[name], iterations)
                    values[name] = check_schedule(field, schedules[name], iterations or 1)
                else:
                    values[name] = check_field(field, convert(raw[name], field.type))
            elif field.default is attrs.NOTHING:
                problems.append((name, f"is missing; it must be {describe(field.type)}"))
        except TableProblems as error:
            problems += error.under(name)
        except (ValueError, TypeError) as error:
            problems.append((name, str(error)))
        except BaseValidationError:
            problems.append((name, str(refuse(raw[name], field.type))))
    if problems:
        raise TableProblems(problems)
    try:
        return check_together(Scheduled(cls(**values), schedules), iterations or 1)
    except ValueError as error:
        raise TableProblems([("", str(error))]) from error


def check_together(scheduled: Scheduled[T], iterations: int) -> Scheduled[T]:
    """Check the numbers of a table that follow schedules against the others, and return it.

    Raises:
        ValueError: the class does not take those of some iteration together.
    """
    if scheduled.schedules and hasattr(scheduled.table, "__attrs_post_init__"):
        for t in moments(iterations):
            try:
                scheduled.at(t)
            except ValueError as error:
                raise ValueError(f"at iteration {t} of its schedules: {error}") from error
    return scheduled


def check_writable(tables: Raw) -> None:
    """Refuse tables that could not be written to a file.

    Raises:
        TableProblems: with every such value.
    """
    if problems := list(unwritable(tables)):
        raise TableProblems(problems)


def is_schedule(value: object) -> bool:
    """Whether a value of a recipe is a schedule's table."""
    return isinstance(value, Mapping) and "schedule" in value


def structure_schedule(annotation: Any, raw: Raw, iterations: int | None) -> Schedule:
    """Return the schedule that a table names.

    If it leaves out its `iterations`, they are those of the run after its `warmup`.
    """
    if iterations is None:
        raise ValueError("is the same throughout a run and cannot follow a schedule")
    if annotation is not int and annotation is not float and annotation is not Any:
        raise ValueError(f"must be {describe(annotation)} and cannot follow a schedule")
    cls = find_class("schedule", raw)
    table = {key: value for key, value in raw.items() if key != "schedule"}
    if "iterations" in attrs.fields_dict(cls):
        warmup = table.get("warmup", 0)
        left = iterations - warmup if isinstance(warmup, int) else iterations
        table.setdefault("iterations", max(1, left))
    schedule: Schedule = structure(cls, table)
    return schedule


def check_schedule(field: "attrs.Attribute[Any]", schedule: Schedule, iterations: int) -> Any:
    """Run a field's validator along a schedule; return its value at 0."""
    number = round if field.type is int else float
    for t, value in numbers_along(schedule, iterations):
        try:
            check_field(field, number(value))
        except ValueError as error:
            raise ValueError(f"at iteration {t} of its schedule: {error}") from error
    return number(schedule.value(0))


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
        except (ArithmeticError, TypeError) as error:
            why = error.args[-1] if error.args else type(error).__name__
            raise ValueError(f"has no value at iteration {t} of its schedule: {why}") from error
        if not finite:
            raise ValueError(f"at iteration {t} of its schedule: must be finite: {value}")
        yield t, value


def check_field(field: "attrs.Attribute[Any]", value: T) -> T:
    """Run a field's validator on a value and return it.

    Raises:
        ValueError: with what the validator said.
    """
    if field.validator is not None:
        try:
            field.validator(None, field, value)
        except (ValueError, TypeError) as error:
            said = str(error.args[0]) if error.args else f"cannot be {shorten(repr(value), 100)}"
            raise ValueError(said.replace(f"'{field.name}' ", "", 1)) from error
    return value


def find_class(kind: str, raw: Raw, default: str | None = None) -> type[Any]:
    """Return the plugin class that a table names under its kind's own key.

    Raises:
        TableProblems: the key is missing or no plugin has that name.
    """
    key = {"descriptor": "architecture", "generator": "architecture"}.get(kind, kind)
    name = raw.get(key, default)
    if not isinstance(name, str):
        known = sorted(entry.name for entry in registry().entries if entry.kind == kind)
        raise TableProblems([(key, f"must name a {kind}: {', '.join(known)}")])
    try:
        return registry().find(kind, name)
    except PluginError as error:
        raise TableProblems([(key, f"is unknown: {error}")]) from error


def nested(value: Any, annotation: Any) -> Any:
    """Take a table in a table, as strictly as the outer one."""
    if not isinstance(value, Mapping):
        raise refuse(value, annotation)
    return structure(annotation, value)


converter.register_structure_hook_func(attrs.has, nested)
