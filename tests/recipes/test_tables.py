from typing import Any, Literal

import attrs
import pytest
from attrs.validators import deep_iterable, ge, gt, instance_of, min_len

from coopkit.conversion import TableProblems
from coopkit.recipes.tables import structure, structure_scheduled


@attrs.frozen(kw_only=True)
class Inner:
    depth: int = 1


@attrs.frozen(kw_only=True)
class Outer:
    number: float = attrs.field(default=1.0, validator=ge(0))
    whole: int = attrs.field(default=2, validator=ge(1))
    flag: bool = False
    choice: Literal["left", "right"] = "left"
    sizes: tuple[int, ...] = ()
    filters: tuple[int, ...] = attrs.field(
        default=(1,), validator=[min_len(1), deep_iterable(ge(1))]
    )
    pair: tuple[int, float] = (1, 1.0)
    either: int | Literal["auto"] = "auto"
    maybe: float | None = None
    inner: Inner = Inner()
    rates: dict[str, float] = attrs.field(factory=dict)


def problems_of(raw: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(TableProblems) as caught:
        structure_scheduled(Outer, raw, iterations=10)
    return caught.value.items


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("number", "1", "must be a number, not '1'"),
        ("number", True, "must be a number, not True"),
        ("number", float("nan"), "must be a number, not nan"),
        ("number", -1, "must be >= 0: -1.0"),
        ("whole", 1.5, "must be a whole number, not 1.5"),
        ("whole", 0, "must be >= 1: 0"),
        ("flag", 1, "must be true or false, not 1"),
        ("choice", "rigth", "must be 'left' or 'right', not 'rigth'; did you mean 'right'?"),
        ("sizes", 3, "must be a list, each entry a whole number, not 3"),
        ("sizes", [1, "2"], "must be a list, each entry a whole number, not [1, '2']"),
        ("filters", [], "length must be >= 1: 0"),
        ("filters", [2, 0], "must be >= 1: 0"),
        ("pair", [1], "must be a list of a whole number and a number, not [1]"),
        ("either", "never", "must be a whole number, or 'auto', not 'never'"),
        ("maybe", "x", "must be a number, not 'x'"),
        ("inner", 1, "must be a table, not 1"),
        ("rates", {"a": "fast"}, "must be a table, not {'a': 'fast'}"),
    ],
)
def test_wrong_value_is_answered_with_what_is_right(key: str, value: object, sentence: str):
    assert problems_of({key: value}) == [(key, sentence)]


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("number", 3, 3.0),
        ("sizes", [1, 2], (1, 2)),
        ("pair", [1, 2], (1, 2.0)),
        ("either", 7, 7),
        ("maybe", 2, 2.0),
        ("inner", {"depth": 3}, Inner(depth=3)),
        ("rates", {"a": 1}, {"a": 1.0}),
    ],
)
def test_right_value_is_taken(key: str, value: object, kept: object):
    assert getattr(structure(Outer, {key: value}), key) == kept


def test_every_problem_is_found_at_once():
    raw = {"number": -1, "whol": 3, "flag": "yes", "inner": {"dept": 1}}
    assert {path for path, _ in problems_of(raw)} == {"number", "whol", "flag", "inner.dept"}


def test_misspelt_key_is_answered_with_a_suggestion():
    assert problems_of({"whol": 3}) == [("whol", "is no key of this table; did you mean 'whole'?")]


def test_long_value_is_cut_short():
    ((_, sentence),) = problems_of({"number": "9" * 5000})
    assert len(sentence) < 200


def test_schedule_in_place_of_a_number():
    raw = {"number": {"schedule": "linear", "start": 0.0, "end": 1.0}}
    table = structure_scheduled(Outer, raw, iterations=10)
    assert [table.at(t).number for t in (0, 5, 10)] == [0.0, 0.5, 1.0]


def test_schedule_of_a_whole_number_is_rounded():
    raw = {"whole": {"schedule": "linear", "start": 1, "end": 9}}
    table = structure_scheduled(Outer, raw, iterations=10)
    assert [table.at(t).whole for t in (0, 1, 5)] == [1, 2, 5]
    assert type(table.at(1).whole) is int


def test_schedule_is_checked_at_every_iteration():
    stairs = {"schedule": "piecewise", "values": [1, -1, 1], "boundaries": [6, 7]}
    assert problems_of({"number": stairs}) == [
        ("number", "at iteration 6 of its schedule: must be >= 0: -1.0")
    ]


@pytest.mark.parametrize(
    ("key", "schedule", "path", "sentence"),
    [
        ("choice", {"schedule": "linear"}, "choice", "cannot follow a schedule"),
        ("number", {"schedule": "linaer"}, "number.schedule", "did you mean 'linear'?"),
        ("number", {"schedule": "linear", "start": 1}, "number.end", "is missing"),
        ("number", {"schedule": 3}, "number.schedule", "must name a schedule: constant"),
    ],
)
def test_wrong_schedule(key: str, schedule: object, path: str, sentence: str):
    ((where, said),) = problems_of({key: schedule})
    assert where == path
    assert sentence in said


@attrs.frozen(kw_only=True)
class Failing:
    """A schedule of a plugin whose value cannot be had."""

    name = "failing"

    kind: str

    def value(self, t: int) -> float:
        if t == 3:
            raise {"index": IndexError, "key": KeyError, "log": ValueError}[self.kind]("so it is")
        return 1.0


@pytest.mark.parametrize(
    ("kind", "error"), [("index", "IndexError"), ("key", "KeyError"), ("log", "ValueError")]
)
def test_a_schedule_that_fails_is_a_problem_with_its_place(kind, error, monkeypatch):
    monkeypatch.setattr("coopkit.recipes.tables.find_class", lambda *_: Failing)
    said = f"has no value at iteration 3 of its schedule: {error}: so it is"
    assert problems_of({"number": {"schedule": "failing", "kind": kind}}) == [("number", said)]


@attrs.frozen(kw_only=True)
class Refused:
    """Tables whose defaults their own validators refuse."""

    std: float = attrs.field(default=float("nan"), validator=gt(0))
    count: int = attrs.field(default="many", validator=instance_of(int))


@pytest.mark.parametrize(
    ("raw", "name", "said"),
    [
        ({"count": 1}, "std", "is left out, and its default must be > 0: nan"),
        ({"std": 1.0}, "count", "is left out, and its default must be <class 'int'>"),
    ],
)
def test_a_default_that_its_validator_refuses_is_named(raw, name, said):
    with pytest.raises(TableProblems) as caught:
        structure(Refused, raw)
    ((where, sentence),) = caught.value.items
    assert where == name
    assert sentence.startswith(said)


def test_table_of_the_whole_run_has_no_schedules():
    with pytest.raises(TableProblems) as caught:
        structure(Outer, {"number": {"schedule": "constant", "at": 1.0}})
    assert "is the same throughout a run" in caught.value.items[0][1]


def test_a_schedule_that_says_not_how_long_ends_with_the_run_after_its_warmup():
    raw = {"number": {"schedule": "linear", "start": 1, "end": 3, "warmup": 4}}
    table = structure_scheduled(Outer, raw, iterations=10)
    assert table.schedules["number"].iterations == 6
    assert table.at(10).number == 3


@attrs.frozen(kw_only=True)
class Pulse:
    iterations: int = 3

    def value(self, t: int) -> float:
        return float(t < self.iterations)


def test_a_schedule_that_has_a_length_of_its_own_keeps_it(monkeypatch):
    monkeypatch.setattr("coopkit.recipes.tables.find_class", lambda *_: Pulse)
    table = structure_scheduled(Outer, {"number": {"schedule": "pulse"}}, iterations=10)
    assert [table.at(t).number for t in (2, 3)] == [1, 0]


def test_a_short_dip_of_a_long_schedule_is_seen():
    stairs = {"schedule": "piecewise", "values": [1, -1, 1], "boundaries": [5, 6]}
    with pytest.raises(TableProblems) as caught:
        structure_scheduled(Outer, {"number": stairs}, iterations=20_000)
    assert caught.value.items[0][1].startswith("at iteration 5 of its schedule")


def speechless(_: object, __: object, value: object) -> None:
    if value == 7:
        raise ValueError


@attrs.frozen(kw_only=True)
class Pair:
    low: float = 0.0
    high: float = 1.0
    number: int = attrs.field(default=1, validator=speechless)
    arguments: tuple[float, ...] = (0.5,)

    def __attrs_post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be under high {self.high}")


def test_numbers_that_follow_schedules_are_checked_together_at_every_iteration():
    rising = {"schedule": "linear", "start": 0, "end": 2}
    with pytest.raises(TableProblems) as caught:
        structure_scheduled(Pair, {"low": rising}, iterations=10)
    said = "at iteration 5 of its schedules: low 1.0 must be under high 1.0"
    assert caught.value.items == [("", said)]


def under_high(table: "Bounded", _: object, value: float) -> None:
    if value >= table.high:
        raise ValueError(f"low {value} must be under high {table.high}")


@attrs.frozen(kw_only=True)
class Bounded:
    low: float = attrs.field(default=0.0, validator=under_high)
    high: float = 1.0


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (2.0, "low 2.0 must be under high 1.0"),
        (
            {"schedule": "linear", "start": 0, "end": 2},
            "at iteration 5 of its schedules: low 1.0 must be under high 1.0",
        ),
    ],
)
def test_a_validator_may_read_other_fields(low, said):
    with pytest.raises(TableProblems) as caught:
        structure_scheduled(Bounded, {"low": low}, iterations=10)
    assert caught.value.items == [("", said)]
    assert structure_scheduled(Bounded, {"low": low, "high": 3.0}, iterations=10).at(5).low > 0


def test_a_field_may_have_any_name_beside_a_schedule():
    rising = {"schedule": "linear", "start": 0, "end": 1}
    table = structure_scheduled(Pair, {"low": rising, "arguments": [0.25]}, iterations=10)
    assert table.at(5) == Pair(low=0.5, arguments=(0.25,))


def test_a_validator_that_says_nothing_still_gives_a_sentence():
    with pytest.raises(TableProblems) as caught:
        structure(Pair, {"number": 7})
    assert caught.value.items == [("number", "cannot be 7")]


@attrs.frozen
class Slow:
    """One of two tables."""

    wait: float


@attrs.frozen
class Fast:
    """The other."""

    skip: int


@attrs.frozen
class Paced:
    """A field that holds one of two tables."""

    pace: Slow | Fast


def test_a_field_may_hold_one_of_several_tables():
    assert structure(Paced, {"pace": {"wait": 1.5}}).pace == Slow(1.5)
    assert structure(Paced, {"pace": {"skip": 2}}).pace == Fast(2)
    with pytest.raises(TableProblems, match="must be a table, or a table, not"):
        structure(Paced, {"pace": {"run": 2}})


@attrs.frozen
class Listed:
    """A field that is a list."""

    sizes: list[int]


def test_a_list_is_a_list():
    assert structure(Listed, {"sizes": [3, 4]}).sizes == [3, 4]
    with pytest.raises(TableProblems, match="must be a list, each entry a whole number, not"):
        structure(Listed, {"sizes": ["a"]})
