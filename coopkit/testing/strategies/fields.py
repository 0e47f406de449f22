"""Strategies that draw right values for the fields of a recipe table, from types and validators."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Table = dict[str, Any]
Values = SearchStrategy[Any]
Vary = Callable[["attrs.Attribute[Any]", Values], Values]

WIDEST = 64
"""What whole numbers without an upper bound go up to, above their lower bound."""
LONGEST = 4
"""Entries of the longest list that is drawn."""
STEPS = {">=": ("low", 0), ">": ("low", 1), "<=": ("high", 0), "<": ("high", -1)}


@attrs.frozen
class Bounds:
    """Between which numbers a field's validators let a number be.

    Attributes:
        low: the lower bound.
        high: the upper bound.
        above_low: whether the lower bound itself is refused.
        below_high: whether the upper bound itself is refused.
    """

    low: float = float("-inf")
    high: float = float("inf")
    above_low: bool = False
    below_high: bool = False

    def floats(self) -> SearchStrategy[float]:
        """Return a strategy of the numbers between the bounds, infinity among them."""
        return st.floats(
            None if self.low == float("-inf") else self.low,
            None if self.high == float("inf") else self.high,
            allow_nan=False,
            exclude_min=self.above_low,
            exclude_max=self.below_high,
        )

    def integers(self) -> SearchStrategy[int]:
        """Return a strategy of whole numbers between the bounds, WIDEST of them at most."""
        low = 1 if self.low == float("-inf") else int(self.low) + self.above_low
        high = low + WIDEST if self.high == float("inf") else int(self.high) - self.below_high
        return st.integers(low, high)


def validators_of(validator: object) -> Iterator[object]:
    """Yield the validators that attrs has put together in one."""
    for inner in getattr(validator, "_validators", [validator]):
        if inner is not None:
            yield inner


def bounds_of(validator: object) -> Bounds:
    """Return the bounds that attrs' own validators ge, gt, le and lt set."""
    bounds = Bounds()
    for inner in validators_of(validator):
        side, step = STEPS.get(getattr(inner, "compare_op", ""), ("", 0))
        limit: float = getattr(inner, "bound", 0.0)
        if side == "low" and limit > bounds.low:
            bounds = attrs.evolve(bounds, low=limit, above_low=bool(step))
        elif side == "high" and limit < bounds.high:
            bounds = attrs.evolve(bounds, high=limit, below_high=bool(step))
    return bounds


def values_of(field: "attrs.Attribute[Any]", size: int | None = None) -> Values:
    """Return a strategy of the values that a field takes.

    Args:
        field: of an attrs class whose types are resolved.
        size: the entries of a list; any number up to LONGEST if left out.

    Raises:
        TypeError: the field's type is none that a recipe can have.
    """
    return values_like(field.type, field.validator, size).filter(partial(is_taken, field))


def values_like(annotation: Any, validator: object = None, size: int | None = None) -> Values:
    """Return a strategy of the values of a type, within the bounds of a validator."""
    arguments = get_args(annotation)
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return bounds_of(validator).integers()
    if annotation is float:
        return bounds_of(validator).floats()
    if annotation is str:
        return st.text(max_size=20)
    if get_origin(annotation) is Literal:
        return st.sampled_from(arguments)
    if get_origin(annotation) in (UnionType, Union):
        choices = [choice for choice in arguments if choice is not NoneType]
        return st.one_of([values_like(choice, validator) for choice in choices])
    if get_origin(annotation) is tuple:
        return lists_like(arguments, validator, size)
    if get_origin(annotation) in (dict, Mapping):
        return st.dictionaries(st.text(max_size=9), values_like(arguments[1]), max_size=LONGEST)
    if attrs.has(annotation):
        return tables_of(annotation)
    raise TypeError(f"no strategy for a field of type {annotation!r}; give one for its class")


def lists_like(kinds: tuple[Any, ...], validator: object, size: int | None) -> Values:
    """Return a strategy of the lists of a tuple's entries."""
    if kinds[-1] is not Ellipsis:
        return st.tuples(*map(values_like, kinds)).map(list)
    members = [getattr(inner, "member_validator", None) for inner in validators_of(validator)]
    entries = values_like(kinds[0], next(filter(None, members), None))
    shortest = max(getattr(inner, "min_length", 0) for inner in (*validators_of(validator), None))
    return st.lists(entries, min_size=size or shortest, max_size=size or max(LONGEST, shortest))


def is_taken(field: "attrs.Attribute[Any]", value: Any) -> bool:
    """Whether a field's validator takes a value as it stands in a recipe."""
    if field.validator is None:
        return True
    try:
        field.validator(None, field, tuple(value) if isinstance(value, list) else value)
    except (ValueError, TypeError):
        return False
    return True


def as_is(field: "attrs.Attribute[Any]", values: Values) -> Values:
    """Return the values of a field as they are."""
    return values


@st.composite
def tables_of(draw: st.DrawFn, cls: type[Any], vary: Vary = as_is) -> Table:
    """Return a strategy of the tables that an attrs class takes.

    Keys with a default are there or not. All lists of a table have the same number of entries, or
    are left out together, since classes want them equally long.

    Args:
        draw: given by Hypothesis.
        cls: a class with resolved types, such as those of the registry.
        vary: changes the strategy of a field, which it is given with the field; what it draws is
            not what the class is checked with, which has the strategy's own values.

    Returns:
        A table without the class's name.
    """
    fields = [field for field in attrs.fields(cls) if field.init]
    several = {field.name for field in fields if is_list(field)}
    lists = draw(st.booleans()) or any(is_required(field) for field in fields if is_list(field))
    size = draw(st.integers(1, LONGEST))
    kept = [field for field in fields if lists or field.name not in several]
    always = {f.name: values_of(f, size) for f in kept if is_required(f) or f.name in several}
    optional = {f.name: values_of(f) for f in kept if f.name not in always}
    table = draw(
        st.fixed_dictionaries(always, optional=optional).filter(partial(is_constructible, cls))
    )
    named = {field.name: field for field in fields}
    return {key: draw(vary(named[key], st.just(value))) for key, value in table.items()}


def is_list(field: "attrs.Attribute[Any]") -> bool:
    """Whether a field holds any number of entries."""
    return get_origin(field.type) is tuple and get_args(field.type)[-1] is Ellipsis


def is_required(field: "attrs.Attribute[Any]") -> bool:
    """Whether a table must have a field."""
    return field.default is attrs.NOTHING


def is_constructible(cls: type[Any], table: Mapping[str, Any]) -> bool:
    """Whether a class takes the values of a table together."""
    try:
        cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in table.items()})
    except (ValueError, TypeError):
        return False
    return True
