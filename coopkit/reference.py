"""What a recipe table's fields are, read from its class and docstring."""

from collections.abc import Iterator
from typing import Any, get_args

import attrs
import docstring_parser

from coopkit.tables import describe


@attrs.frozen
class FieldReference:
    """One key of a recipe table, in words."""

    name: str
    type: str
    default: str
    meaning: str


def first_line(cls: type[Any]) -> str:
    """Return the first sentence of a class's docstring."""
    return docstring_parser.parse(cls.__doc__ or "").short_description or ""


def meanings(cls: type[Any]) -> dict[str, str]:
    """Return what the ``Attributes:`` sections of a class and its bases say of each field."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for entry in docstring_parser.parse(vars(base).get("__doc__") or "").params:
            found[entry.arg_name] = " ".join((entry.description or "").split())
    return found


def fields_of(cls: type[Any]) -> Iterator[FieldReference]:
    """Yield the fields of a recipe table in their order."""
    said = meanings(cls)
    for field in attrs.fields(cls):
        yield FieldReference(
            field.name,
            type_name(field.type),
            "required" if field.default is attrs.NOTHING else toml_value(field.default),
            said.get(field.name, ""),
        )


def type_name(annotation: Any) -> str:
    """Return the words for a type, short where they are."""
    words = describe(annotation)
    return words if get_args(annotation) else words.removeprefix("a ")


def toml_value(value: Any) -> str:
    """Return a default as a recipe would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:.6g}"
