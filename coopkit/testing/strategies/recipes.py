"""Hypothesis strategies of right recipes, and of the schedules that numbers may follow in them.

They are drawn from the classes that the installed plugins supply: types and validators say what a
field may be. A plugin's class that needs more than that is helped with a strategy of its own.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from coopkit.data import DIGITS, PHOTOGRAPHS, DataTable
from coopkit.plugins import registry
from coopkit.recipes.recipe import OPTIONAL, TABLES, AlgorithmName, Recipe
from coopkit.recipes.sections import SCHEDULABLE, RunTable, StartTable, Steps
from coopkit.testing.strategies.fields import Table, Values, bounds_of, is_taken, tables_of
from coopkit.testing.strategies.optimizers import optimizer_tables
from coopkit.testing.strategies.schedules import made, schedule_tables, schedules

Declared = Mapping[type[Any], SearchStrategy[Table]]

ALGORITHMS: tuple[str, ...] = get_args(AlgorithmName)
ITERATIONS = 40
"""Of the longest run that is drawn, so that checking its schedules takes no time."""


def recipes(
    algorithms: Sequence[str] = ALGORITHMS, declared: Declared | None = None
) -> SearchStrategy[Recipe]:
    """Return a strategy of right recipes with every table and key, and every installed plugin.

    Numbers follow schedules or not, keys with a default are there or not, the source of the data
    is a packaged name or any other and need not exist. Networks and runs are small, yet nothing
    says that a network fits the signals.

    Args:
        algorithms: those to draw from; the first is what a failing example shrinks to.
        declared: strategies of the tables of plugin classes whose fields' types and validators
            do not say all, such as a network whose lists depend on each other.
    """
    return right_tables(algorithms, declared).map(Recipe.from_tables)


@st.composite
def right_tables(
    draw: st.DrawFn, algorithms: Sequence[str] = ALGORITHMS, declared: Declared | None = None
) -> Table:
    """Return a strategy of the nested tables of right recipes, as a file would have them.

    Args:
        draw: given by Hypothesis.
        algorithms: as in `recipes`.
        declared: as in `recipes`.

    Returns:
        The tables, for `Recipe.from_tables`.
    """
    algorithm = draw(st.sampled_from(list(algorithms)))
    iterations = draw(st.integers(1, ITERATIONS))
    tables: Table = {"algorithm": algorithm}
    if algorithm == "cooperative" and draw(st.booleans()):
        del tables["algorithm"]
    if draw(st.booleans()):
        tables["seed"] = draw(st.integers(0, 2**70))
    for name in TABLES[algorithm]:
        if name not in OPTIONAL[algorithm] or draw(st.booleans()):
            tables[name] = draw(section_tables(name, iterations, declared or {}))
    return tables


def section_tables(
    name: str, iterations: int = ITERATIONS, declared: Declared | None = None
) -> SearchStrategy[Table]:
    """Return a strategy of one of a recipe's tables.

    Args:
        name: of the table.
        iterations: of the run, over which schedules extend.
        declared: as in `recipes`.
    """
    vary = partial(number_or_schedule, iterations)
    if name in ("descriptor", "generator"):
        return network_tables(name, iterations, declared or {})
    if name in ("revision", "inference"):
        return chain_tables(iterations, declared or {})
    if name == "data":
        return data_tables()
    if name == "run":
        return run_tables(iterations)
    return tables_of(SCHEDULABLE[name], vary)


def number_or_schedule(iterations: int, field: "attrs.Attribute[Any]", values: Values) -> Values:
    """Return the values of a field, and schedules for it where it is a number."""
    if field.type is not int and field.type is not float:
        return values
    bounds = bounds_of(field.validator)
    following = schedule_tables(bounds, iterations).filter(partial(stays_right, field, iterations))
    return values | following


def stays_right(field: "attrs.Attribute[Any]", iterations: int, table: Table) -> bool:
    """Whether a field takes a schedule's number at every iteration."""
    schedule = made({"iterations": iterations, **table} if "start" in table else table)
    number = round if field.type is int else float
    return all(is_taken(field, number(schedule.value(t))) for t in range(iterations))


@st.composite
def network_tables(draw: st.DrawFn, kind: str, iterations: int, declared: Declared) -> Table:
    """Return a strategy of the table [descriptor] or [generator]."""
    name, cls = draw(plugins(kind))
    vary = partial(number_or_schedule, iterations)
    optimizer = draw(optimizer_tables(iterations, vary))
    own = draw(declared.get(cls, tables_of(cls)))
    begins = (
        {"start": draw(starts(declared))} if kind == "generator" and draw(st.booleans()) else {}
    )
    return {"architecture": name, **own, **begins, "optimizer": optimizer}


@st.composite
def starts(draw: st.DrawFn, declared: Declared) -> Table | str:
    """Return a strategy of how a generator begins: a folder, or the table [generator.start]."""
    if draw(st.booleans()):
        return draw(st.text(max_size=20).filter(is_of_no_home))
    table = draw(tables_of(StartTable).map(lambda own: {**own, "iterations": ITERATIONS}))
    vary = partial(number_or_schedule, ITERATIONS)
    optimizer = draw(optimizer_tables(ITERATIONS, vary))
    return {**table, "inference": draw(chain_tables(ITERATIONS, declared)), "optimizer": optimizer}


@st.composite
def chain_tables(draw: st.DrawFn, iterations: int, declared: Declared) -> Table:
    """Return a strategy of the table [revision] or [inference]."""
    name, cls = draw(plugins("sampler"))
    vary = partial(number_or_schedule, iterations)
    table = {} if name == "langevin" and draw(st.booleans()) else {"sampler": name}
    steps = draw(tables_of(Steps, vary))
    return {**table, **steps, **draw(declared.get(cls, tables_of(cls, vary)))}


def plugins(kind: str) -> SearchStrategy[tuple[str, type[Any]]]:
    """Return a strategy of the names and classes of a kind that the installed plugins supply."""
    entries = [(entry.name, entry.cls) for entry in registry().entries if entry.kind == kind]
    return st.sampled_from(entries)


@st.composite
def data_tables(draw: st.DrawFn) -> Table:
    """Return a strategy of the table [data]."""
    table = draw(tables_of(DataTable))
    table["source"] = draw(sources())
    return table


def run_tables(iterations: int) -> SearchStrategy[Table]:
    """Return a strategy of the table [run]."""
    tables = tables_of(RunTable).map(lambda table: {**table, "iterations": iterations})
    return tables.filter(lambda table: is_of_no_home(table.get("choices", "")))


def sources() -> SearchStrategy[str]:
    """Return a strategy of sources of data: packaged names, paths, and any text that can be one."""
    odd = ["photos", "./brick", "a b/ü.png", "../x", "/", "/x/../y", "C:\\x", "'\"", "\n", "\x00"]
    texts = st.text(min_size=1, max_size=20).filter(is_of_no_home)
    return st.sampled_from([*PHOTOGRAPHS, DIGITS, *odd]) | texts


def is_of_no_home(source: str) -> bool:
    """Whether a path is not in somebody's home folder, who may not exist."""
    return not str(Path(source)).startswith("~")


__all__ = [
    "recipes",
    "right_tables",
    "schedule_tables",
    "schedules",
    "section_tables",
    "sources",
]
