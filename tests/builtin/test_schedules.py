"""Schedules: closed forms, bounds, ends, warm-up, Robbins-Monro, and what is refused."""

import math
from bisect import bisect_right
from contextlib import nullcontext
from fractions import Fraction
from itertools import pairwise

import attrs
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from coopkit.builtin.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    Piecewise,
    Polynomial,
)
from coopkit.testing.strategies.recipes import schedules

INTERPOLATIONS = ("linear", "cosine", "exponential")
BUILTIN = ("constant", *INTERPOLATIONS, "polynomial", "piecewise")
ends = st.floats(-100, 100)
times = st.integers(0, 200)

CASES = [
    (Constant(at=0.3), {0: 0.3, 10**6: 0.3}),
    (Linear(start=1.0, end=3.0, iterations=8), {0: 1.0, 2: 1.5, 4: 2.0, 8: 3.0, 99: 3.0}),
    (
        Cosine(start=1.0, end=3.0, iterations=8),
        {0: 1.0, 2: 2 - math.sqrt(0.5), 4: 2.0, 8: 3.0, 99: 3.0},
    ),
    (
        Exponential(start=1.0, end=0.01, iterations=80),
        {0: 1.0, 20: 10**-0.5, 40: 0.1, 80: 0.01, 99: 0.01},
    ),
    (Exponential(start=-4.0, end=-1.0, iterations=2), {0: -4.0, 1: -2.0, 2: -1.0}),
    (Polynomial(a=6.0, b=2.0, kappa=1.0), {0: 3.0, 1: 2.0, 4: 1.0, 10: 0.5}),
    (Polynomial(a=6.0, b=4.0, kappa=0.5), {0: 3.0, 5: 2.0, 32: 1.0}),
    (
        Piecewise(values=(3.0, 2.0, 1.0), boundaries=(2, 5)),
        {0: 3.0, 1: 3.0, 2: 2.0, 4: 2.0, 5: 1.0, 99: 1.0},
    ),
    (Piecewise(values=(3.0,)), {0: 3.0, 99: 3.0}),
]

SMALL = 1e-9


@pytest.mark.parametrize(("schedule", "values"), CASES)
def test_exact_values(schedule, values):
    assert {t: schedule.value(t) for t in values} == pytest.approx(values, rel=1e-12)


@settings(max_examples=300, deadline=None)
@given(schedule=schedules(names=BUILTIN), ts=st.lists(times, min_size=1, max_size=20))
def test_a_schedule_is_a_pure_function_of_t(schedule, ts):
    twin = attrs.evolve(schedule)
    first = [schedule.value(t) for t in ts]
    assert [twin.value(t) for t in reversed(ts)] == first[::-1]
    assert [schedule.value(t) for t in ts] == first
    assert all(type(value) is float for value in first)


@settings(max_examples=300, deadline=None)
@given(bounds=st.tuples(ends, ends).map(sorted), data=st.data(), t=times)
def test_a_schedule_stays_between_the_bounds_of_its_numbers(bounds, data, t):
    low, high = bounds
    assume(low + 1e-3 < high)
    value = data.draw(schedules(low, high, names=BUILTIN)).value(t)
    assert low <= value <= high


@settings(max_examples=300, deadline=None)
@given(schedule=schedules(names=BUILTIN), t=times)
def test_the_warm_up_rises_in_equal_steps_and_then_the_schedule_begins(schedule, t):
    plain = attrs.evolve(schedule, warmup=0)
    rise = [schedule.value(s) for s in range(schedule.warmup)]
    steps = range(1, schedule.warmup + 1)
    assert rise == pytest.approx([plain.value(0) * k / (schedule.warmup + 1) for k in steps])
    assert schedule.value(schedule.warmup + t) == plain.value(t)


@settings(max_examples=200, deadline=None)
@given(schedule=schedules(names=["constant"]), t=times)
def test_a_constant_is_its_number_and_nothing_else(schedule, t):
    assert schedule.value(schedule.warmup + t) == schedule.at


@settings(max_examples=300, deadline=None)
@given(schedule=schedules(names=INTERPOLATIONS), t=times)
@example(schedule=Linear(start=1.0, end=1e-20, iterations=3), t=0)
@example(schedule=Cosine(start=1e-20, end=1.0, iterations=3), t=0)
@example(schedule=Linear(start=-1e308, end=1e308, iterations=3), t=0)
@example(schedule=Exponential(start=1e-300, end=1e300, iterations=3), t=0)
def test_an_interpolation_has_exactly_the_ends_that_it_was_given(schedule, t):
    assert schedule.value(schedule.warmup) == schedule.start
    assert schedule.value(schedule.warmup + schedule.iterations + t) == schedule.end


@settings(max_examples=300, deadline=None)
@given(schedule=schedules(names=INTERPOLATIONS), t=times)
@example(schedule=Linear(start=-1e308, end=1e308, iterations=3), t=1)
@example(schedule=Exponential(start=1e-300, end=1e300, iterations=3), t=1)
def test_an_interpolation_stays_between_its_ends_and_never_turns(schedule, t):
    now, then = (schedule.value(schedule.warmup + s) for s in (t, t + 1))
    low, high = sorted((schedule.start, schedule.end))
    slack = SMALL * max(abs(low), abs(high))
    assert low - slack <= now <= high + slack
    assert then >= now - slack if schedule.end >= schedule.start else then <= now + slack


@settings(max_examples=300, deadline=None)
@given(schedule=schedules(names=INTERPOLATIONS), t=times)
def test_an_interpolation_is_its_closed_form(schedule, t):
    p = Fraction(min(t, schedule.iterations), schedule.iterations)
    start, end = Fraction(schedule.start), Fraction(schedule.end)
    share = {
        "linear": p,
        "cosine": Fraction(math.sin(math.pi * p / 2) ** 2),
        "exponential": Fraction(0),
    }[schedule.name]
    expected = float(start + (end - start) * share)
    if schedule.name == "exponential":
        expected = schedule.start * math.exp(p * math.log(schedule.end / schedule.start))
    size = max(abs(schedule.start), abs(schedule.end))
    value = schedule.value(schedule.warmup + t)
    assert value == pytest.approx(expected, rel=SMALL, abs=1e-14 * size)


@settings(max_examples=300, deadline=None)
@given(schedule=schedules(names=["polynomial"]), t=times)
def test_a_polynomial_is_its_closed_form_and_falls_towards_0(schedule, t):
    now, then = (schedule.value(schedule.warmup + s) for s in (t, t + 1))
    assert now * (schedule.b + t) ** schedule.kappa == pytest.approx(schedule.a)
    assert abs(then) <= abs(now) <= abs(schedule.a)


@settings(max_examples=300, deadline=None)
@given(schedule=schedules(names=["piecewise"]), t=times)
def test_a_staircase_changes_at_its_boundaries_and_nowhere_else(schedule, t):
    stair = bisect_right(schedule.boundaries, t)
    assert schedule.value(schedule.warmup + t) == schedule.values[stair]
    for k, boundary in enumerate(schedule.boundaries):
        assert schedule.value(schedule.warmup + boundary) == schedule.values[k + 1]
        if boundary > 0:
            before = bisect_right(schedule.boundaries, boundary - 1)
            assert schedule.value(schedule.warmup + boundary - 1) == schedule.values[before]


def partial_sum(schedule: Polynomial, power: int, first: int, last: int) -> float:
    return sum(schedule.value(t) ** power for t in range(first, last))


@pytest.mark.parametrize("kappa", [0.3, 0.5, 0.75, 1.0, 1.5])
def test_robbins_monro_is_what_the_sums_do(kappa):
    """A sum of decades of t^−p diverges where the decades do not shrink, p ≤ 1."""
    schedule = Polynomial(a=1.0, b=1.0, kappa=kappa)
    grows = [
        partial_sum(schedule, power, 10**4, 10**5)
        > 0.99 * partial_sum(schedule, power, 10**3, 10**4)
        for power in (1, 2)
    ]
    assert schedule.robbins_monro == (grows == [True, False])


@pytest.mark.parametrize(
    ("cls", "fields", "sentence"),
    [
        (Constant, {"at": 1.0, "warmup": -1}, "'warmup' must be >= 0"),
        (Linear, {"start": 1.0, "end": 2.0, "iterations": 0}, "'iterations' must be > 0"),
        (Exponential, {"start": 0.0, "end": 1.0, "iterations": 5}, "'start' must not be 0"),
        (Exponential, {"start": 1.0, "end": 0.0, "iterations": 5}, "'end' must not be 0"),
        (Exponential, {"start": 1.0, "end": -1.0, "iterations": 5}, "must have the same sign"),
        (Polynomial, {"a": 1.0, "b": 0.0}, "'b' must be > 0"),
        (Polynomial, {"a": 1.0, "kappa": -0.1}, "'kappa' must be >= 0"),
        (Piecewise, {"values": ()}, "Length of 'values' must be >= 1"),
        (Piecewise, {"values": (1.0, 2.0)}, "0 boundaries need 1 values, not 2"),
        (Piecewise, {"values": (1.0, 2.0, 3.0), "boundaries": (5, 5)}, "the boundaries must rise"),
    ],
)
def test_impossible_schedules_are_refused(cls, fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        cls(**fields)


@settings(max_examples=200, deadline=None)
@given(size=st.floats(5e-324, 1e308), other=st.floats(5e-324, 1e308), turned=st.booleans())
@example(size=1e-200, other=1e-200, turned=True)
def test_an_exponential_does_not_cross_0_however_small_its_ends(size, other, turned):
    start, end = (-size, other) if turned else (size, -other)
    with pytest.raises(ValueError, match="must have the same sign"):
        Exponential(start=start, end=end, iterations=5)


@settings(max_examples=200, deadline=None)
@given(boundaries=st.lists(st.integers(0, 20), max_size=5), extra=st.integers(0, 3))
def test_a_staircase_needs_rising_boundaries_and_one_number_more(boundaries, extra):
    right = extra == 1 and all(a < b for a, b in pairwise(boundaries))
    values = (1.0,) * (len(boundaries) + extra)
    with nullcontext() if right else pytest.raises(ValueError, match=r"boundaries|Length"):
        Piecewise(values=values, boundaries=tuple(boundaries))
