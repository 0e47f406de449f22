"""What a recipe table's fields are, read from its class and docstring."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import attrs
import docstring_parser

from coopkit.conversion import describe


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
            default_value(field),
            said.get(field.name, ""),
        )


def type_name(annotation: Any) -> str:
    """Return the words for a type, short where they are."""
    words = describe(annotation)
    return words if get_args(annotation) else words.removeprefix("a ")


def default_value(field: "attrs.Attribute[Any]") -> str:
    """Return what a field is where a recipe leaves it out."""
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return "computed" if default.takes_self else toml_value(default.factory())
    return "required" if default is attrs.NOTHING else toml_value(default)


def toml_value(value: Any) -> str:
    """Return a default as a recipe would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{key} = {toml_value(entry)}" for key, entry in value.items())
        return f"{{{', '.join(pairs)}}}"
    if attrs.has(type(value)):
        return toml_value(attrs.asdict(value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
