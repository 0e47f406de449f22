"""Hypothesis strategies of recipes that are not right: broken tables, texts and overrides."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import tomli_w
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from coopkit.recipes.recipe import TABLES
from coopkit.testing.strategies.fields import Table
from coopkit.testing.strategies.recipes import right_tables
from coopkit.testing.strategies.schedules import schedule_tables

Place = tuple[Any, Any]
"""A table or list, and a key or place in it."""

MUTATIONS = 3
ODD: list[Any] = [
    *(float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7e308),
    *(0, -1, 2**63, -(2**63) - 1, 10**400, True, False),
    *("", " ", "inf", "auto", "none", "langevin", "\x00", "a\nb", "\u2028", "ü" * 300, "~nobody/x"),
    *([], [[]], {}, {"schedule": "linear"}, {"schedule": ["linear"]}, {"schedule": {}}),
]
"""Values that are often at the edge of what is right, or just beyond."""


def toml_values() -> SearchStrategy[Any]:
    """Return a strategy of any value that a TOML file can have, odd ones more often."""
    scalars = [st.booleans(), st.integers(), st.floats(), st.text(max_size=20)]
    times = [st.datetimes(), st.dates(), st.times()]
    leaves = st.sampled_from(ODD) | st.one_of(scalars) | st.one_of(times)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
        ),
        max_leaves=8,
    ).map(deepcopy)


def recipe_tables() -> SearchStrategy[Table]:
    """Return a strategy of nested tables for `Recipe.from_tables` that are seldom right.

    They are right tables with values of a wrong type or size, without keys that are needed, with
    misspelt and unknown keys, or nested wrongly; and tables with nothing right in them.
    """
    names = st.sampled_from(["algorithm", "seed", *TABLES["cooperative"]]) | st.text(max_size=9)
    arbitrary = st.dictionaries(names, toml_values(), max_size=6)
    return st.integers(0, 3).flatmap(lambda kind: broken_tables() if kind < 3 else arbitrary)


@st.composite
def broken_tables(draw: st.DrawFn) -> Table:
    """Return a strategy of right tables that were changed at one to three places."""
    tables = deepcopy(draw(right_tables()))
    for _ in range(draw(st.integers(1, MUTATIONS))):
        places = list(places_of(tables))
        if places:
            holder, key = draw(st.sampled_from(places))
            change = draw(st.sampled_from([replace, replace, remove, misspell, wrap, add]))
            change(draw, holder, key)
    return tables


def places_of(value: Any) -> Iterator[Place]:
    """Yield every place in nested tables and lists."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places_of(value[key])


def replace(draw: st.DrawFn, holder: Any, key: Any) -> None:
    """Put another value in a place."""
    holder[key] = draw(toml_values() | wild_schedules() | st.floats(allow_nan=False))


@st.composite
def wild_schedules(draw: st.DrawFn) -> Table:
    """Return a strategy of schedules with the right keys and, now and then, impossible numbers."""
    table = draw(schedule_tables())
    for key in list(table)[1:]:
        if draw(st.booleans()):
            table[key] = draw(toml_values() | st.floats(allow_nan=False) | st.integers())
    return table


def remove(draw: st.DrawFn, holder: Any, key: Any) -> None:
    """Leave a place out."""
    del holder[key]


def misspell(draw: st.DrawFn, holder: Any, key: Any) -> None:
    """Change a letter of a key; a list's entry is said twice."""
    if isinstance(holder, list):
        holder.insert(key, holder[key])
        return
    at = draw(st.integers(0, len(key)))
    letter = draw(st.characters(codec="utf-8"))
    holder[f"{key[:at]}{letter}{key[at + 1 :]}"] = holder.pop(key)


def wrap(draw: st.DrawFn, holder: Any, key: Any) -> None:
    """Put a value into lists or tables of its own."""
    for _ in range(draw(st.sampled_from([1, 2, 40]))):
        holder[key] = draw(st.sampled_from([[holder[key]], {"value": holder[key]}]))


def add(draw: st.DrawFn, holder: Any, key: Any) -> None:
    """Add a key, or an entry, that nobody asked for."""
    if isinstance(holder, list):
        holder.append(draw(toml_values()))
    else:
        holder[draw(st.text(max_size=9))] = draw(toml_values())


@st.composite
def recipe_texts(draw: st.DrawFn) -> str:
    """Return a strategy of the texts of recipe files, from right ones to no TOML at all."""
    text = tomli_w.dumps(draw(right_tables() | recipe_tables()))
    for _ in range(draw(st.integers(0, MUTATIONS))):
        first = draw(st.integers(0, len(text)))
        last = draw(st.integers(first, min(first + 40, len(text))))
        text = text[:first] + draw(st.text(max_size=5) | st.just("[" * 2000)) + text[last:]
    return text


def overrides() -> SearchStrategy[str]:
    """Return a strategy of overrides, "table.key=value", of known keys and of any others."""
    paths = [f"{place}.{key}" for place, keys in OVERRIDDEN.items() for key in keys]
    values = st.sampled_from(VALUES) | st.text(max_size=12)
    known = st.tuples(st.sampled_from([*paths, *OVERRIDDEN, "seed", "algorithm"]), values)
    return st.one_of(known.map("=".join), known.map("=".join), st.text(max_size=20))


OVERRIDDEN = {
    "data": ("source", "height", "resize", "crop", "crops"),
    "descriptor": ("architecture", "reference_std", "filters", "scale", "optimizer"),
    "descriptor.optimizer": ("name", "lr", "layer_rates", "betas"),
    "generator": ("architecture", "latent_size", "kernel", "weight_std"),
    "revision": ("sampler", "steps", "step_size", "temperature.deeper"),
    "run": ("iterations", "chains", "device", "unknown"),
}
VALUES = [
    *("3", "-1", "0.5", "nan", "inf", "1e999", "9" * 5000, "0x" + "f" * 5000, "true", "[]", "{}"),
    *("[3]", "[[3]]", "Adam", '"SGD"', "~nobody", "1979-05-27", "1\nb = 2", "1 # one", "\ud800"),
    *("{schedule='linear', start=1}", "{schedule='constant', at=1}", "[" * 2000, "=", ""),
]
