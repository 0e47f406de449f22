"""TOML tables to frozen attrs classes, strictly, with every problem of a file found at once.

cattrs converts the values; what is here adds what it leaves out: no silent conversions, validators
of every field rather than of the first that fails, schedules in place of numbers, and paths.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

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
from coopkit.plugins import registry
from coopkit.recipes.scheduling import Scheduled, is_schedule, moments, numbers_along

T = TypeVar("T")
Raw = Mapping[str, Any]


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
    return check_together(Scheduled(made(cls, values), schedules), iterations or 1)


def made(cls: type[T], values: Raw) -> T:
    """Return the table of a class with these values, each of which is right by itself.

    Raises:
        TableProblems: the class does not take them together, or refuses a default of its own.
    """
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        said = str(error.args[0] if error.args else error)
        for name in attrs.fields_dict(cls).keys() - values.keys():  # type: ignore[arg-type]
            if (short := without_name(said, name)) != said:
                raise TableProblems([(name, f"is left out, and its default {short}")]) from error
        raise TableProblems([("", said)]) from error


def check_together(scheduled: Scheduled[T], iterations: int) -> Scheduled[T]:
    """Check the numbers of a table that follow schedules against the others, and return it.

    Raises:
        TableProblems: the class does not take those of some iteration together.
    """
    for t in moments(iterations) if scheduled.schedules else ():
        try:
            scheduled.at(t)
        except ValueError as error:
            said = f"at iteration {t} of its schedules: {error}"
            raise TableProblems([("", said)]) from error
    return scheduled


def check_writable(tables: Raw) -> None:
    """Refuse tables that could not be written to a file.

    Raises:
        TableProblems: with every such value.
    """
    if problems := list(unwritable(tables)):
        raise TableProblems(problems)


def structure_schedule(annotation: Any, raw: Raw, iterations: int | None) -> Schedule:
    """Return the schedule that a table names.

    If it leaves out its `iterations`, and has no default of them, they are those of the run after
    its `warmup`.
    """
    if iterations is None:
        raise ValueError("is the same throughout a run and cannot follow a schedule")
    if annotation is not int and annotation is not float and annotation is not Any:
        raise ValueError(f"must be {describe(annotation)} and cannot follow a schedule")
    cls = find_class("schedule", raw)
    table = {key: value for key, value in raw.items() if key != "schedule"}
    own = attrs.fields_dict(cls).get("iterations")
    if own is not None and own.default is attrs.NOTHING:
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


def check_field(field: "attrs.Attribute[Any]", value: T) -> T:
    """Run a field's validator on a value and return it.

    One that reads other fields, too, has to wait until there are some.

    Raises:
        ValueError: with what the validator said.
    """
    if field.validator is not None:
        try:
            field.validator(None, field, value)
        except AttributeError:
            return value
        except (ValueError, TypeError) as error:
            said = str(error.args[0]) if error.args else f"cannot be {shorten(repr(value), 100)}"
            raise ValueError(without_name(said, field.name)) from error
    return value


def without_name(said: str, name: str) -> str:
    """Return what a validator said without the name of its field, which the path has already."""
    for opening, left in ((f"'{name}' ", ""), (f"Length of '{name}' ", "length ")):
        if said.startswith(opening):
            return left + said.removeprefix(opening)
    return said


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
