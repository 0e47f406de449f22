"""TOML tables to frozen attrs classes, strictly, with every problem of a file found at once.

cattrs converts the values; what is here adds what it leaves out: no silent conversions, validators
of every field rather than of the first that fails, schedules in place of numbers, and paths.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import BaseValidationError, Converter

from coopkit.errors import PluginError, did_you_mean
from coopkit.interfaces import Schedule
from coopkit.plugins import registry

T = TypeVar("T")
Raw = Mapping[str, Any]


class TableProblems(Exception):
    """What is wrong in a table: pairs of a dotted path below it and a sentence."""

    def __init__(self, items: list[tuple[str, str]]) -> None:
        self.items = items
        super().__init__(items)

    def under(self, key: str) -> Iterator[tuple[str, str]]:
        """Yield the problems with the path that they have one table further up."""
        for path, sentence in self.items:
            yield f"{key}.{path}" if path else key, sentence


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
    if hasattr(table, "arguments"):
        return attrs.evolve(table, arguments={**table.arguments, **values})  # type: ignore[misc]
    return attrs.evolve(table, **values)  # type: ignore[misc]


def values_at(table: object, schedules: Mapping[str, Schedule], t: int) -> dict[str, float]:
    """Return the values of schedules at t, rounded where the field is a whole number."""
    fields = attrs.fields_dict(type(table))  # type: ignore[arg-type]
    whole = {name for name, field in fields.items() if field.type is int}
    values = {key: schedule.value(t) for key, schedule in schedules.items()}
    return {key: round(value) if key in whole else value for key, value in values.items()}


def structure(cls: type[T], raw: Raw) -> T:
    """Return the table of a class that has no schedules.

    Raises:
        TableProblems: with all that is wrong.
    """
    return structure_scheduled(cls, raw, iterations=None).table


def structure_scheduled(cls: type[T], raw: Raw, iterations: int | None) -> Scheduled[T]:
    """Return the table of a class, with schedules where numbers may be.

    Args:
        cls: a frozen attrs class.
        raw: what the file says.
        iterations: of the run, over which schedules are checked; None forbids schedules.

    Raises:
        TableProblems: with all that is wrong.
    """
    fields = attrs.fields_dict(cls)  # type: ignore[arg-type]
    problems = [
        (key, f"is no key of this table; {did_you_mean(key, list(fields))}")
        for key in raw
        if key not in fields
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
        return Scheduled(cls(**values), schedules)
    except ValueError as error:
        raise TableProblems([("", str(error))]) from error


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
    for t in range(iterations):
        try:
            check_field(field, number(schedule.value(t)))
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f"at iteration {t} of its schedule: {error}") from error
    return number(schedule.value(0))


def check_field(field: "attrs.Attribute[Any]", value: T) -> T:
    """Run a field's validator on a value and return it.

    Raises:
        ValueError: with what the validator said.
    """
    if field.validator is not None:
        try:
            field.validator(None, field, value)
        except (ValueError, TypeError) as error:
            raise ValueError(str(error.args[0]).replace(f"'{field.name}' ", "", 1)) from error
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


def describe(annotation: Any) -> str:
    """Say in words what a field of this type must be."""
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if get_origin(annotation) in (UnionType, Union):
        return ", or ".join(
            describe(argument) for argument in arguments if argument is not NoneType
        )
    if get_origin(annotation) is tuple:
        if arguments[-1] is not Ellipsis:
            return f"a list of {' and '.join(map(describe, arguments))}"
        return f"a list, each entry {describe(arguments[0])}"
    return "a table"


def convert(value: Any, annotation: Any) -> Any:
    """Convert one value of a recipe to the type of its field, strictly.

    Raises:
        ValueError: naming what was found and what would be right.
        TableProblems: for a nested table.
    """
    return converter.structure(value, annotation)


def refuse(value: Any, annotation: Any) -> ValueError:
    """Return the error for a value of the wrong type."""
    hint = ""
    if isinstance(value, str) and get_origin(annotation) is Literal:
        close = get_close_matches(value, [str(choice) for choice in get_args(annotation)], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
    return ValueError(f"must be {describe(annotation)}, not {shorten(repr(value), 100)}{hint}")


def shorten(text: str, width: int) -> str:
    """Return a text that is not longer than a message can bear."""
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def strict(*accepted: type) -> Callable[[Any, Any], Any]:
    """Return a hook that takes these types only; true and false are no numbers."""

    def hook(value: Any, annotation: Any) -> Any:
        if not isinstance(value, accepted) or (bool not in accepted and isinstance(value, bool)):
            raise refuse(value, annotation)
        if annotation is float and value != value:
            raise refuse(value, annotation)
        try:
            return annotation(value)
        except OverflowError as error:
            raise refuse(value, annotation) from error

    return hook


def one_of(value: Any, annotation: Any) -> Any:
    """Take a value that is among the choices of a Literal."""
    if value not in get_args(annotation) or isinstance(value, bool):
        raise refuse(value, annotation)
    return value


def either(value: Any, annotation: Any) -> Any:
    """Take a value that fits one of the types of a union."""
    for choice in get_args(annotation):
        if choice is NoneType:
            continue
        try:
            return converter.structure(value, choice)
        except ValueError:
            continue
    raise refuse(value, annotation)


def listed(value: Any, annotation: Any) -> tuple[Any, ...]:
    """Take a list whose entries all fit."""
    if not isinstance(value, list | tuple):
        raise refuse(value, annotation)
    kinds = get_args(annotation)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    try:
        pairs = zip(value, kinds, strict=True)
        return tuple(converter.structure(entry, kind) for entry, kind in pairs)
    except ValueError as error:
        raise refuse(value, annotation) from error


def nested(value: Any, annotation: Any) -> Any:
    """Take a table in a table, as strictly as the outer one."""
    if not isinstance(value, Mapping):
        raise refuse(value, annotation)
    return structure(annotation, value)


def has_origin(origins: tuple[Any, ...], annotation: Any) -> bool:
    """Whether a type is a Literal, a union or a tuple, by what it is made from."""
    return get_origin(annotation) in origins


converter = Converter()
converter.register_structure_hook(int, strict(int))
converter.register_structure_hook(float, strict(int, float))
converter.register_structure_hook(str, strict(str))
converter.register_structure_hook(bool, strict(bool))
converter.register_structure_hook_func(attrs.has, nested)
for origins, take in (((Literal,), one_of), ((UnionType, Union), either), ((tuple,), listed)):
    converter.register_structure_hook_func(partial(has_origin, origins), take)
