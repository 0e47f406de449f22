"""One TOML value to the type of its field, strictly: no silent conversions."""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from cattrs import Converter


class TableProblems(Exception):
    """What is wrong in a table: pairs of a dotted path below it and a sentence."""

    def __init__(self, items: list[tuple[str, str]]) -> None:
        self.items = items
        super().__init__(items)

    def under(self, key: str) -> Iterator[tuple[str, str]]:
        """Yield the problems with the path that they have one table further up."""
        for path, sentence in self.items:
            yield f"{key}.{path}".strip("."), sentence


def quoted(key: str) -> str:
    """Return a key as a dotted path in TOML has it, on one line, and not too long."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) else ascii(shorten(key, 40))


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
    if get_origin(annotation) is list:
        return f"a list, each entry {describe(arguments[0])}"
    if get_origin(annotation) is tuple:
        if arguments[-1] is not Ellipsis:
            return f"a list of {' and '.join(map(describe, arguments))}"
        return f"a list, each entry {describe(arguments[0])}"
    return "a table"


def is_writable(annotation: Any) -> bool:
    """Whether a field of this type can be read from a recipe and written to one.

    Numbers, texts, true and false, choices among them (Literal), tuples, lists, unions and nested
    attrs classes of such; any other class would not come back from TOML as it went.
    """
    if get_origin(annotation) is Literal:
        return True
    if get_origin(annotation) in (UnionType, Union, tuple, list):
        kinds = [kind for kind in get_args(annotation) if kind not in (Ellipsis, NoneType)]
        return all(map(is_writable, kinds))
    if attrs.has(annotation):
        attrs.resolve_types(annotation)
        return all(is_writable(field.type) for field in attrs.fields(annotation))
    return annotation in (int, float, str, bool, Any)


def convert(value: Any, annotation: Any) -> Any:
    """Convert one value of a recipe to the type of its field, strictly.

    Raises:
        ValueError: naming what was found and what would be right.
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


def one_line(problem: str) -> str:
    """Return a problem on one line that is not too long to be read."""
    return shorten("; ".join(problem.splitlines()), 1000)


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
        except (ValueError, TableProblems):
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


def has_origin(origins: tuple[Any, ...], annotation: Any) -> bool:
    """Whether a type is a Literal, a union or a tuple, by what it is made from."""
    return get_origin(annotation) in origins


converter = Converter()
converter.register_structure_hook(int, strict(int))
converter.register_structure_hook(float, strict(int, float))
converter.register_structure_hook(str, strict(str))
converter.register_structure_hook(bool, strict(bool))
for origins, take in (((Literal,), one_of), ((UnionType, Union), either), ((tuple,), listed)):
    converter.register_structure_hook_func(partial(has_origin, origins), take)


DEEPEST = 30
"""Tables and lists within each other that a recipe may have."""


def unwritable(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what no recipe can be told or written out with: dotted paths and sentences."""
    waiting: list[tuple[list[str], Any]] = [([], raw)]
    while waiting:
        path, value = waiting.pop()
        where = ".".join(path[:DEEPEST])
        if len(path) > DEEPEST:
            yield where, f"has more than {DEEPEST} tables and lists within each other"
        elif isinstance(value, Mapping):
            for key in value:
                if problem := unwritable_scalar(key):
                    yield ".".join([*path, quoted(key)]), problem
            waiting += (([*path, quoted(key)], value[key]) for key in value)
        elif isinstance(value, list | tuple):
            waiting += (([*path, str(place)], entry) for place, entry in enumerate(value))
        elif problem := unwritable_scalar(value):
            yield where, problem


def unwritable_scalar(value: Any) -> str:
    """Return what is wrong with a number or text that cannot be written out, or nothing."""
    try:
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int):
            str(value)
    except UnicodeEncodeError:
        return f"must be a text in Unicode, not {shorten(ascii(value), 100)}"
    except ValueError:
        return f"must be a number of fewer digits, not one of {value.bit_length()} bits"
    return ""
