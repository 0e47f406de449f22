"""Hypothesis strategies of the schedules that are installed."""

from collections.abc import Iterable
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from coopkit.builtin import Exponential, Piecewise, Polynomial
from coopkit.builtin.schedules import Interpolation
from coopkit.interfaces import Schedule
from coopkit.plugins import registry
from coopkit.testing.strategies.fields import LONGEST, Bounds, Table, tables_of

LARGEST = 1000.0
"""Of the numbers of a schedule, where nothing bounds them."""
MARGIN = 1e-6
"""Between a bound and the numbers drawn, relative to it, so that no rounding crosses the bound."""


def schedules(
    low: float = -LARGEST,
    high: float = LARGEST,
    iterations: int = 40,
    names: Iterable[str] | None = None,
) -> SearchStrategy[Schedule]:
    """Return a strategy of the installed schedules.

    The numbers of the schedules that come in the box are between the bounds at every t; another
    plugin's schedule has numbers of its own.

    Args:
        low: the lower bound.
        high: the upper bound.
        iterations: over which a schedule extends, up to twice as many.
        names: of the schedules; every one that is installed if left out.
    """
    return schedule_tables(Bounds(low, high), iterations, names, complete=True).map(made)


def made(table: Table) -> Schedule:
    """Return the schedule of a complete table."""
    cls = registry().find("schedule", table["schedule"])
    fields = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    schedule: Schedule = cls(**{key: v for key, v in fields.items() if key != "schedule"})
    return schedule


@st.composite
def schedule_tables(
    draw: st.DrawFn,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    iterations: int = 40,
    names: Iterable[str] | None = None,
    complete: bool = False,
) -> Table:
    """Return a strategy of the tables that stand for a number that follows a schedule.

    Args:
        draw: given by Hypothesis.
        bounds: between which the numbers of the schedules that come in the box are.
        iterations: of the run.
        names: of the schedules; every one that is installed if left out.
        complete: whether `iterations` is always there; a recipe may leave it to the run.

    Returns:
        A table with `schedule`, the name, and the fields of its class.
    """
    known = [entry.name for entry in registry().entries if entry.kind == "schedule"]
    name = draw(st.sampled_from(known if names is None else list(names)))
    cls = registry().find("schedule", name)
    if cls.__module__ != Polynomial.__module__:
        return {"schedule": name, **draw(tables_of(cls))}
    table = {"schedule": name, **draw(numbers_of(cls, bounds, iterations))}
    if "iterations" in attrs.fields_dict(cls) and (complete or draw(st.booleans())):
        table["iterations"] = draw(st.integers(1, 2 * iterations))
    if bounds.low <= 0 <= bounds.high and draw(st.booleans()):
        table["warmup"] = draw(st.integers(0, iterations))
    return table


def numbers_of(cls: type[Any], bounds: Bounds, iterations: int) -> SearchStrategy[Table]:
    """Return a strategy of the fields of one of the box's schedules, but for lengths of time."""
    numbers = between(bounds)
    if cls is Piecewise:
        return stairs(numbers, iterations)
    if cls is Polynomial:
        steepest = 3.0 if bounds.low <= 0 <= bounds.high else 0.0
        falls = {"b": st.floats(1, 100), "kappa": st.floats(0, steepest)}
        return st.fixed_dictionaries({"a": numbers, **falls})
    if cls is Exponential:
        return ends(between(bounds, sign=1)) | ends(between(bounds, sign=-1))
    if issubclass(cls, Interpolation):
        return ends(numbers)
    return st.fixed_dictionaries({"at": numbers})


def ends(numbers: SearchStrategy[float]) -> SearchStrategy[Table]:
    """Return a strategy of the two ends of an interpolation."""
    return st.fixed_dictionaries({"start": numbers, "end": numbers})


@st.composite
def stairs(draw: st.DrawFn, numbers: SearchStrategy[float], iterations: int) -> Table:
    """Return a strategy of a staircase's values and boundaries."""
    boundaries = sorted(draw(st.sets(st.integers(0, 2 * iterations), max_size=LONGEST)))
    count = len(boundaries) + 1
    table: Table = {"values": draw(st.lists(numbers, min_size=count, max_size=count))}
    told: bool = draw(st.booleans())
    if boundaries or told:
        table["boundaries"] = boundaries
    return table


def between(bounds: Bounds, sign: int = 0) -> SearchStrategy[float]:
    """Return a strategy of numbers well between bounds, of one sign and not 0 if a sign is given.

    Where nothing lies there, the strategy is empty.
    """
    low, high = max(bounds.low, -LARGEST), min(bounds.high, LARGEST)
    if bounds.low > -LARGEST and (bounds.above_low or bounds.low != 0):
        low += MARGIN * max(1.0, abs(low))
    if bounds.high < LARGEST and (bounds.below_high or bounds.high != 0):
        high -= MARGIN * max(1.0, abs(high))
    if sign > 0:
        low = max(low, MARGIN)
    if sign < 0:
        high = min(high, -MARGIN)
    return st.floats(low, high) if low <= high else st.nothing()
