from typing import Any

import attrs
import pytest

from coopkit.data import DataTable
from coopkit.optimizers import Capped, TorchOptimizer
from coopkit.plugins import registry
from coopkit.recipes import Recipe
from coopkit.recipes.reference import fields_of, first_line, meanings, toml_value, type_name
from coopkit.recipes.sections import DraftTable, ReconstructionTable, RunTable, Steps

SECTIONS = [DataTable, RunTable, DraftTable, ReconstructionTable, Steps, Capped, TorchOptimizer]


CLASSES = [pytest.param(cls, id=cls.__name__) for cls in SECTIONS] + [
    pytest.param(entry.cls, id=f"{entry.kind} {entry.name}")
    for entry in registry().entries
    if entry.distribution == "coopkit"
]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_has_type_default_and_meaning(cls: type[Any]):
    for field in fields_of(cls):
        assert field.meaning, f"{cls.__name__}.{field.name} has no meaning in the docstring"
        assert field.type
        assert field.default
        assert "<" not in field.type + field.default, "a repr is no word of a recipe"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_table_says_what_it_is(cls: type[Any]):
    assert first_line(cls).endswith(".")


@pytest.mark.parametrize("cls", CLASSES)
def test_docstring_describes_no_field_that_is_gone(cls: type[Any]):
    assert set(meanings(cls)) <= set(attrs.fields_dict(cls))


def test_tables_of_a_recipe_are_described():
    fields = {field.name for field in attrs.fields(Recipe)}
    assert set(meanings(Recipe)) == fields


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (0.002, "0.002"),
        (1e-4, "0.0001"),
        (3, "3"),
        ("he", '"he"'),
        ((1, 2), "[1, 2]"),
        (float("inf"), "inf"),
        (None, "none"),
        ({}, "{}"),
    ],
)
def test_defaults_are_shown_as_toml(value: object, text: str):
    assert toml_value(value) == text


def test_types_are_shown_in_words():
    assert type_name(float) == "number"
    assert type_name(tuple[int, ...]) == "a list, each entry a whole number"
