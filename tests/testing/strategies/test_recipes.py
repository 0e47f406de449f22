"""Recipes as the strategies draw them: what is right reads back, what is not gets a sentence."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coopkit import cli
from coopkit.conversion import quoted
from coopkit.errors import RecipeError
from coopkit.plugins import registry
from coopkit.recipes import Recipe
from coopkit.testing.strategies.broken import overrides, recipe_tables, recipe_texts
from coopkit.testing.strategies.recipes import recipes, right_tables

TINY = Path(__file__).parents[2] / "tiny" / "cooperative.toml"
SMALL = Recipe.read(TINY)

KEY = r"""(?:[A-Za-z0-9_-]+|'(?:[^'\\]|\\.)*'|"[^"]*")"""
PROBLEM = re.compile(rf"(?:--set .*|{KEY}(?:\.{KEY})*) \S.*")
UNREADABLE = re.compile(r"this is (not )?TOML\b.*")


def problems_of(make: Any, *arguments: Any) -> list[str]:
    """Return the problems of what may be a recipe, after checking that each is a good line."""
    try:
        recipe = make(*arguments)
    except RecipeError as error:
        problems = list(error.problems)
    else:
        assert recipe.to_toml().encode()
        return []
    assert problems
    for problem in problems:
        assert PROBLEM.fullmatch(problem) or UNREADABLE.fullmatch(problem), problem
        assert problem.isprintable(), "neither line breaks nor what a terminal would obey"
        assert len(problem) <= 1000
    return problems


def set_in(tables: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of tables with another value at a dotted path."""
    changed = deepcopy(tables)
    *above, key = path.split(".")
    table = changed
    for name in above:
        table = table[name]
    table[key] = value
    return changed


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes") / "mine.toml"


def optimizers_at(recipe: Recipe, t: int) -> list[object]:
    networks = [recipe.descriptor, recipe.generator]
    return [network.optimizer.at(t) for network in networks if network is not None]


@settings(max_examples=80, deadline=None)
@given(recipe=recipes())
@example(recipe=Recipe.read(TINY, ["data.source=a\r\n\u2028\t\x00 ü/\U0001f9ea"]))
@example(recipe=Recipe.read(TINY, ["descriptor.reference_std=inf", "seed=340282366920938463463"]))
def test_a_recipe_that_is_written_out_and_read_back_is_the_same(path: Path, recipe: Recipe):
    text = recipe.to_toml()
    path.write_text(text, encoding="utf-8")
    again = Recipe.read(path)
    data = attrs.evolve(recipe.data, source=recipe.raw["data"]["source"])
    settled = attrs.evolve(recipe.run, choices=recipe.raw["run"]["choices"])
    assert again == attrs.evolve(recipe, data=data, run=settled)
    assert again.raw == recipe.raw
    assert again.to_toml() == text
    for t in {0, 1, recipe.run.iterations // 2, recipe.run.iterations - 1}:
        assert again.settings(t) == recipe.settings(t)
        assert optimizers_at(again, t) == optimizers_at(recipe, t)
    assert again.start_recipe == recipe.start_recipe


@settings(max_examples=20, deadline=None)
@given(recipe=recipes(["generator"]))
def test_recipes_of_one_algorithm_have_its_tables(recipe: Recipe):
    assert recipe.algorithm == "generator"
    assert (recipe.descriptor, recipe.draft, recipe.revision) == (None, None, None)
    assert recipe.reconstruction is not None


def test_a_strategy_of_a_plugins_own_takes_the_place_of_the_kits():
    (langevin,) = [entry.cls for entry in registry().entries if entry.name == "langevin"]
    own = st.just({"step_size": 0.25})

    @settings(max_examples=30, deadline=None)
    @given(recipe=recipes(["descriptor"], {langevin: own}))
    def check(recipe: Recipe) -> None:
        sampler = recipe.revision.sampler.at(0)
        assert sampler.step_size == 0.25 or sampler.name != "langevin"

    check()


@settings(max_examples=120, deadline=None)
@given(tables=recipe_tables())
@example(tables={"a\nb": 1, "": 2, "run": {"c\u2028d": 3, "e" * 5000: 4}})
@example(tables={"'\"": 1, "\\": 2})
@example(tables=set_in(SMALL.raw, "descriptor.reference_std", 10**400))
@example(tables=set_in(SMALL.raw, "data.source", "\udcff"))
@example(tables=set_in(SMALL.raw, "data.source", "~nobody-of-this-name/photos"))
@example(tables=set_in(SMALL.raw, "descriptor.optimizer", {"name": "Adam", "a\nb": 1}))
@example(tables=set_in(SMALL.raw, "generator.optimizer", {"name": "x\n" * 5000}))
@example(tables=set_in(SMALL.raw, "draft", ["x" * 5000]))
def test_no_tables_give_a_traceback(tables: dict[str, Any]):
    problems_of(Recipe.from_tables, tables)


def lists_in_each_other(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("seed", 16**5000, "seed must be a number of fewer digits, not one of 20001 bits"),
        ("data.height", -(16**5000), "data.height must be a number of fewer digits"),
        ("run.chains", lists_in_each_other(5000), "has more than 30 tables and lists"),
        ("generator.optimizer", {"name": "Adam", "lr": 10**5000}, "optimizer.lr must be a number"),
    ],
    ids=["seed", "field", "nested", "argument"],
)
def test_what_cannot_even_be_shown_is_refused(path: str, value: object, said: str):
    (problem,) = problems_of(Recipe.from_tables, set_in(SMALL.raw, path, value))
    assert said in problem


@settings(max_examples=60, deadline=None)
@given(text=recipe_texts())
@example(text="[" * 5000)
@example(text="seed = " + "9" * 5000)
@example(text="seed = 0x" + "f" * 5000)
@example(text="a." * 5000 + "b = 1")
def test_no_text_gives_a_traceback(path: Path, text: str):
    path.write_text(text, encoding="utf-8")
    problems_of(Recipe.read, path)


@settings(max_examples=150, deadline=None)
@given(said=st.lists(overrides(), max_size=3))
@example(said=["seed=" + "9" * 5000])
@example(said=["seed=0x" + "f" * 5000, "data.source=\udcff"])
@example(said=["seed=" + "[" * 5000])
@example(said=["a." * 5000 + "b=1"])
@example(said=["a\nb", "\x1b[31m"])
@example(said=["seed.a\nb=1", "run.\n=1"])
def test_no_overrides_give_a_traceback(said: list[str]):
    problems_of(Recipe.read, TINY, said)


@settings(max_examples=40, deadline=None)
@given(text=recipe_texts(), said=st.lists(overrides(), max_size=2))
@example(text=TINY.read_text(), said=[])
@example(text=TINY.read_text(), said=["data.source=\udcff"])
@example(text=TINY.read_text(), said=["\udcff"])
def test_the_command_line_trains_or_ends_with_status_2(path: Path, text: str, said: list[str]):
    path.write_text(text, encoding="utf-8")
    options = [word for override in said for word in ("--set", override)]
    ended = mock.Mock(is_main=False, interrupted=0)
    with mock.patch("coopkit.training.run", return_value=ended) as train:
        try:
            cli.main(["run", str(path), *options])
        except SystemExit as exit_:
            status = exit_.code
        else:
            status = 0
    assert (status, train.call_count) in [(0, 1), (2, 0)]
    if train.called:
        assert train.call_args.args[0] == Recipe.read(path, said)


def tables_in(tables: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield tables and all tables in them."""
    yield tables
    for value in tables.values():
        if isinstance(value, dict):
            yield from tables_in(value)


@settings(max_examples=80, deadline=None)
@given(tables=right_tables(), data=st.data(), start=st.text(max_size=9))
def test_an_unknown_key_is_refused_and_named(
    tables: dict[str, Any], data: st.DataObject, start: str
):
    changed = deepcopy(tables)
    key = f"{start}?"
    data.draw(st.sampled_from(list(tables_in(changed))))[key] = 1
    (problem,) = problems_of(Recipe.from_tables, changed)
    assert quoted(key) in problem or repr(key) in problem


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ('{name="Adam", lr=nan}', "wants lr to be a number up to 3e38: nan"),
        ('{name="Adam", lr=true}', "wants lr to be a number up to 3e38: True"),
        ('{name="Adam", lr=1e39}', "wants lr to be a number up to 3e38: 1e+39"),
        ('{name="Adam", lr=0x' + "f" * 300 + "}", "wants lr to be a number up to 3e38"),
        ('{name="SGD", lr=0.1, momentum=nan}', "wants momentum to be a number up to 3e38: nan"),
        ('{name="SGD", lr=0.1, dampening="x"}', "wants dampening to be a number up to 3e38: 'x'"),
        ('{name="Adam", amsgrad="no"}', "wants amsgrad to be true or false: 'no'"),
        ('{name="Adam", betas=[]}', "wants betas to be a list of a number up to 3e38 and a"),
        ('{name="Adam", betas=[0.5]}', "wants betas to be a list of"),
        ('{name="Adam", betas={a=1}}', "wants betas to be a list of"),
        ('{name="Adam", betas=[0.5, 1979-05-27]}', "wants betas to be a list of"),
        ('{name="Adam", foreach=true, fused=true}', "refuses its arguments"),
        ('{name="Muon", ns_steps=100}', "cannot use its arguments: Number of steps must be"),
        ('{name="Adam", betas={schedule="constant", at=0.5}}', "wants betas to be a list of"),
        ('{name="Adam", lr={schedule="constant", at=inf}}', "lr at iteration 0 of its schedule"),
        ('{name="Adam", lr={schedule="linear", start=-inf, end=inf}}', "must be finite: nan"),
    ],
)
def test_arguments_that_torch_would_choke_on_later_are_refused_at_once(optimizer: str, said: str):
    (problem,) = problems_of(Recipe.read, TINY, [f"generator.optimizer={optimizer}"])
    assert said in problem


def test_schedules_of_a_run_without_end_are_checked_in_no_time():
    lr = 'generator.optimizer.lr={schedule="linear", start=0.1, end=0.01}'
    stairs = '{schedule="piecewise", values=[1, -1], boundaries=[999_999_999_999]}'
    long = ["run.iterations=1_000_000_000_000", lr]
    recipe = Recipe.read(TINY, long)
    assert recipe.generator.optimizer.at(5 * 10**11).arguments["lr"] == pytest.approx(0.055)
    (problem,) = problems_of(Recipe.read, TINY, [*long, f"revision.temperature={stairs}"])
    assert "at iteration 999999999999 of its schedule: must be >= 0" in problem


@pytest.mark.parametrize("source", ["", "~nobody-of-this-name/photos"])
def test_a_source_that_means_nothing_is_refused(source: str):
    (problem,) = problems_of(Recipe.from_tables, set_in(SMALL.raw, "data.source", source))
    assert problem.startswith("data.source ")


def test_an_override_sets_one_key_and_drops_nothing_that_was_said():
    (problem,) = problems_of(Recipe.read, TINY, ["run.chains=3\nobserved = 4"])
    assert problem == "run.chains must be a whole number, not '3\\nobserved = 4'"


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ('{schedule="constant", at=inf}', "at iteration 0 of its schedule: must be finite: inf"),
        ('{schedule="linear", start=inf, end=1}', "must be finite"),
        ('{schedule="polynomial", a=1, b=1e-320, kappa=2}', "has no value at iteration 0"),
        ('{schedule="polynomial", a=1, b=1e300, kappa=2}', "Numerical result out of range"),
    ],
)
def test_a_schedule_without_a_finite_number_is_refused(schedule: str, said: str):
    (problem,) = problems_of(Recipe.read, TINY, [f"revision.step_size={schedule}"])
    assert problem.startswith("revision.step_size ")
    assert said in problem
