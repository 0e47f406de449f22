import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coopkit import training
from coopkit.errors import PluginError, RecipeError
from coopkit.plugins import Registry, load, registry
from coopkit.recipes import Recipe
from coopkit.tasks.describe import describe_run

SAMPLER = """
import attrs, torch
from typing import ClassVar
from coopkit import hookimpl

@attrs.frozen
class State:
    position: torch.Tensor

@attrs.frozen
class Stay:
    name: ClassVar[str] = "stay"
    patience: float = 1.0

    def init(self, target, position):
        return State(position)

    def step(self, target, state, rng):
        return state

@hookimpl
def samplers():
    return [Stay]
"""

Install = Callable[..., None]


def write_distribution(folder: Path, name: str, code: str) -> None:
    """Lay down what pip leaves of a distribution with one module and one entry point."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[coopkit]\n{name} = {module}\n")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install distributions for one test."""
    before = set(sys.modules)

    def add(name: str, code: str) -> None:
        write_distribution(tmp_path, name, code)
        monkeypatch.syspath_prepend(tmp_path)
        load.cache_clear()

    yield add
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]
    load.cache_clear()


def supplied(found: Registry, distribution: str) -> list[str]:
    return [entry.name for entry in found.entries if entry.distribution == distribution]


def test_builtins_come_through_the_entry_point_group():
    assert "langevin" in supplied(registry(), "coopkit")
    assert registry().problems == ()


def test_third_party_comes_by_the_same_path(install: Install):
    install("fake-stay", SAMPLER)
    assert supplied(registry(), "fake-stay") == ["stay"]
    assert registry().find("sampler", "stay").__name__ == "Stay"
    assert registry().problems == ()


def test_unknown_name_is_answered_with_a_suggestion():
    with pytest.raises(PluginError, match=r"no sampler named 'langvin'; did you mean 'langevin'\?"):
        registry().find("sampler", "langvin")


def test_unknown_name_also_tells_what_could_not_be_loaded(install: Install):
    install("fake-torn", "import nothing_of_this_name")
    with pytest.raises(PluginError, match=r"fake-torn 1\.5"):
        registry().find("sampler", "torn")


STAY = "supplies Stay as a sampler, but"

BROKEN = {
    "a misspelt hook": (
        SAMPLER.replace("def samplers()", "def sampler()"),
        "implements a hook that does not exist, 'sampler': did you mean 'samplers'?",
    ),
    "a hook with a wrong argument": (
        SAMPLER.replace("def samplers()", "def samplers(speed)"),
        "has a hook that does not match: ",
    ),
    "no hook": (SAMPLER.replace("@hookimpl", ""), "implements no hook; mark its functions"),
    "an import that fails": ("import nothing_of_this_name", "cannot be imported: ModuleNotFound"),
    "an import that exits": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "a newer interface": (
        SAMPLER + "\ncoopkit_interface = 99",
        "is made for interface 99, newer than this coopkit's 1; upgrade coopkit",
    ),
    "an older interface": (
        SAMPLER + "\ncoopkit_interface = 0",
        "is made for interface 0, older than this coopkit's 1; upgrade the plugin",
    ),
    "an interface that is no number": (
        SAMPLER + "\ncoopkit_interface = '2'",
        "has a coopkit_interface that is no whole number: '2'",
    ),
    "a hook that fails": (
        SAMPLER.replace("return [Stay]", "return 1 / 0"),
        "failed in a hook: ZeroDivisionError",
    ),
    "a class that is no table": (
        SAMPLER.replace("@attrs.frozen\nclass Stay", "class Stay"),
        f"{STAY} it is not an attrs class; decorate it with @attrs.frozen",
    ),
    "a class that can be changed": (
        SAMPLER.replace("@attrs.frozen\nclass Stay", "@attrs.define\nclass Stay"),
        f"{STAY} it is not frozen; decorate it with @attrs.frozen",
    ),
    "a sampler that keeps and cannot resume": (
        SAMPLER.replace("    def step", "    def keep(self, state): ...\n\n    def step"),
        f"{STAY} it has keep and no resume; what keeps something between calls has both",
    ),
    "a sampler that resumes and keeps nothing": (
        SAMPLER.replace("    def step", "    def resume(self, *given): ...\n\n    def step"),
        f"{STAY} it has resume and no keep; what",
    ),
    "a class without a name": (
        SAMPLER.replace('name: ClassVar[str] = "stay"', ""),
        f"{STAY} it has no `name: ClassVar[str]`",
    ),
    "a class that lacks a method": (
        SAMPLER.replace("def step", "def stop"),
        f"{STAY} it has no step",
    ),
    "a field that recipes use": (
        SAMPLER.replace("patience: float = 1.0", "steps: int = 1"),
        f"{STAY} its field 'steps' is a key of the recipe's own table",
    ),
    "a type that TOML has not": (
        SAMPLER.replace("patience: float = 1.0", "patience: tuple[set, ...] = ()"),
        f"{STAY} its field 'patience' is of a type that no recipe can hold, tuple[set, ...]; int, ",
    ),
    "a private field": (
        SAMPLER.replace("patience: float", "_patience: float"),
        f"{STAY} its field '_patience' is no key; take the underscore away",
    ),
    "a field that cannot be set": (
        SAMPLER.replace("patience: float = 1.0", "patience: float = attrs.field(init=False)"),
        f"{STAY} its field 'patience' cannot be set; make it a property",
    ),
    "a type that is nowhere": (
        SAMPLER.replace("patience: float", "patience: 'Nowhere'"),
        f"{STAY} the type of a field cannot be found: name 'Nowhere' is not defined",
    ),
}


@pytest.mark.parametrize(("code", "sentence"), BROKEN.values(), ids=BROKEN)
def test_broken_plugin_is_named_and_the_others_load(install: Install, code: str, sentence: str):
    install("fake-broken", code)
    install("fake-stay", SAMPLER)
    (problem,) = registry().problems
    assert problem.startswith("the plugin 'fake-broken' of fake-broken 1.5 ")
    assert sentence in problem
    assert supplied(registry(), "fake-stay") == ["stay"]
    assert "langevin" in supplied(registry(), "coopkit")


def test_wrong_argument_is_named(install: Install):
    install("fake-broken", SAMPLER.replace("def samplers()", "def samplers(speed)"))
    (problem,) = registry().problems
    assert problem.endswith(
        "has a hook that does not match: samplers(speed) asks for 'speed', which there is not; it "
        "may ask for nothing"
    )


def test_a_class_may_be_frozen_by_any_way_of_attrs(install: Install):
    ways = ("@attrs.define(frozen=True)", "@attrs.frozen(slots=False)", "@attrs.frozen(eq=False)")
    for number, way in enumerate(ways):
        code = SAMPLER.replace("@attrs.frozen\nclass Stay", f"{way}\nclass Stay")
        code = code.replace('"stay"', f'"stay-{number}"').replace("patience", "keep")
        install(f"fake-frozen-{number}", code)
        assert supplied(registry(), f"fake-frozen-{number}") == [f"stay-{number}"]
    assert registry().problems == ()


def test_postponed_annotations_are_understood(install: Install):
    from coopkit.recipes.tables import structure

    install("fake-later", "from __future__ import annotations\n" + SAMPLER)
    assert structure(registry().find("sampler", "stay"), {"patience": 2}).patience == 2.0


def test_duplicate_names_both_distributions(install: Install):
    install("fake-one", SAMPLER)
    install("fake-two", SAMPLER)
    with pytest.raises(PluginError, match=r"'stay' is supplied twice, by fake-one .* fake-two"):
        registry().find("sampler", "stay")
    assert "'stay' is supplied twice" in registry().problems[0]


@pytest.mark.parametrize(
    ("value", "loaded"), [("1", False), ("yes", False), ("0", True), ("", True)]
)
def test_environment_leaves_third_parties_out(
    install: Install, monkeypatch: pytest.MonkeyPatch, value: str, loaded: bool
):
    install("fake-stay", SAMPLER)
    monkeypatch.setenv("COOPKIT_NO_PLUGINS", value)
    assert bool(supplied(registry(), "fake-stay")) is loaded
    assert "langevin" in supplied(registry(), "coopkit")


def test_no_plugins_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_distribution(tmp_path, "fake-stay", SAMPLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [sys.executable, "-m", "coopkit", "plugins"]
    with_them = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "fake-stay" in with_them.stdout
    command.insert(3, "--no-plugins")
    without = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "fake-stay" not in without.stdout
    assert "langevin" in without.stdout


def test_third_party_sampler_trains_and_its_watcher_is_called(install: Install, tmp_path: Path):
    from coopkit.recipes import Recipe
    from coopkit.training import run

    told = tmp_path / "told.json"
    watcher = f"""
import json
from pathlib import Path
calls = []

@hookimpl
def run_started(run):
    calls.append("started")

@hookimpl
def iteration_finished(run, iteration):
    calls.append(run.iteration)

@hookimpl
def run_finished(run):
    Path({str(told)!r}).write_text(json.dumps([*calls, "finished"]))
"""
    install("fake-stay", SAMPLER + watcher)
    tiny = Path(__file__).parent / "tiny" / "descriptor.toml"
    table = 'revision={sampler="stay", steps=2, patience={schedule="linear", start=1, end=2}}'
    recipe = Recipe.read(tiny, [table, "run.iterations=3"])
    ended = run(recipe, tmp_path / "out")
    assert ended.figures["revised_minus_initial"] == 0.0
    assert json.loads(told.read_text()) == ["started", 1, 2, 3, "finished"]


def test_a_run_says_which_plugins_it_was_made_with(install: Install, call, tmp_path: Path):
    tiny = Path(__file__).parent / "tiny" / "cooperative.toml"
    install("fake-stay", SAMPLER)
    training.run(
        Recipe.read(tiny, ["revision={sampler='stay', steps=1}", "run.iterations=1"]),
        tmp_path / "run",
    )
    versions = json.loads((tmp_path / "run" / "environment.json").read_text())["versions"]
    assert versions["fake-stay"] == "1.5"
    shutil.rmtree(tmp_path / "fake_stay-1.5.dist-info")
    load.cache_clear()
    with pytest.raises(RecipeError, match="no sampler named 'stay'") as caught:
        describe_run(tmp_path / "run")
    lacking = "made with fake-stay 1.5, which is not installed"
    assert lacking in str(caught.value)
    assert lacking in call("run", str(tmp_path / "run"), "--resume")[2]


def test_what_is_wrong_with_a_plugin_is_said_where_it_is_looked_for(install: Install, call):
    install("fake-torn", "import nothing_of_this_name")
    status, _, complaint = call("plugins", "show", "torn")
    assert status == 2
    assert "no plugin supplies 'torn'" in complaint
    assert "fake-torn 1.5 (fake_torn) cannot be imported" in complaint
    assert complaint.count("texture") <= 1
