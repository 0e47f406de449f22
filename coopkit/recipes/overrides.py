"""Single keys of nested tables, as they are given on a command line."""

import tomllib
from collections.abc import Iterable
from typing import Any

from coopkit.conversion import TableProblems, quoted
from coopkit.recipes.tables import Parts


def apply_overrides(tables: dict[str, Any], overrides: Iterable[str]) -> None:
    """Put every "table.key=value" into nested tables.

    Raises:
        TableProblems: with all those that cannot be put there.
    """
    parts = Parts()
    for override in overrides:
        parts.add("", apply_override, tables, override)
    parts.all()


def apply_override(tables: dict[str, Any], override: str) -> None:
    """Put one "table.key=value" into nested tables.

    Raises:
        TableProblems: it has not that form.
    """
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        said = override if override.isprintable() else ascii(override)
        raise TableProblems([(f"--set {said}", "must be --set table.key=value")])
    table = tables
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            where = ".".join(map(quoted, keys))
            raise TableProblems([(where, f"cannot be set: {key!r} is not a table")])
    table[keys[-1]] = override_value(text)


def override_value(text: str) -> Any:
    """Return the value that a text says in TOML, or else the text as a bare word."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return table["value"] if len(table) == 1 else text.strip()
