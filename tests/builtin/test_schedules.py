"""Schedules: exact values, warm-up, the Robbins-Monro condition, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopkit.builtin.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    Piecewise,
    Polynomial,
)

positive = st.floats(1e-6, 1e3)
iterations = st.integers(1, 10_000)

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
WARMED = [
    (Constant, {"at": 0.3}),
    (Linear, {"start": 1.0, "end": 3.0, "iterations": 8}),
    (Cosine, {"start": 1.0, "end": 3.0, "iterations": 8}),
    (Exponential, {"start": 1.0, "end": 3.0, "iterations": 8}),
    (Polynomial, {"a": 6.0}),
    (Piecewise, {"values": (3.0, 2.0), "boundaries": (2,)}),
]


@pytest.mark.parametrize(("schedule", "values"), CASES)
def test_exact_values(schedule, values):
    assert {t: schedule.value(t) for t in values} == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize(("cls", "fields"), WARMED)
def test_warm_up_rises_in_equal_steps_and_then_the_schedule_begins(cls, fields):
    plain, warmed = cls(**fields), cls(**fields, warmup=4)
    steps = [warmed.value(t) / plain.value(0) for t in range(4)]
    assert steps == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [warmed.value(t + 4) for t in range(12)] == [plain.value(t) for t in range(12)]


@pytest.mark.parametrize("cls", [Linear, Cosine, Exponential])
@given(start=positive, end=positive, iterations=iterations, t=st.integers(0, 20_000))
def test_an_interpolation_stays_between_its_ends_and_never_turns(cls, start, end, iterations, t):
    schedule = cls(start=start, end=end, iterations=iterations)
    low, high = sorted((start, end))
    slack = 1e-9 * high
    assert low - slack <= schedule.value(t) <= high + slack
    assert (schedule.value(t + 1) - schedule.value(t)) * (end - start) >= -slack * high


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


@pytest.mark.parametrize(("cls", "fields"), WARMED)
def test_a_schedule_is_a_pure_function_of_t(cls, fields):
    schedule = cls(**fields, warmup=2)
    forwards = [schedule.value(t) for t in range(20)]
    assert [schedule.value(t) for t in reversed(range(20))] == forwards[::-1]
