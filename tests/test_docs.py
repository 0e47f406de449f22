"""The documentation, executed: Python runs, recipes parse, commands exist."""

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from itertools import pairwise, takewhile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import attrs
import click
import pytest

from coopkit.cli import cli
from coopkit.plugins import load, supplied_by
from coopkit.recipes.recipe import KEYS, OPTIONAL, TABLES, Recipe, packaged_recipes
from coopkit.recipes.reference import fields_of

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / n for n in ("README.md", "CONTRIBUTING.md")),
]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN = "recipe.toml"
"""The recipe that `coopkit new` writes, which tests of its own read."""
PLUGIN = ROOT / "plugins" / "coopkit-tamed"


@attrs.frozen
class Block:
    """A code block: its page, its language, its text, and the output shown under it, if any."""

    page: Path
    line: int
    language: str
    text: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the code blocks of a page; a text block right after a Python block is its output."""
    text = page.read_text(encoding="utf-8")
    found = [*FENCE.finditer(text), None]
    blocks = []
    for block, after in pairwise(found):
        beside = after and after[1] == "text" and not text[block.end() : after.start()].strip()
        line = text.count("\n", 0, block.start()) + 2
        blocks.append(Block(page, line, block[1], block[2], after[2] if after and beside else None))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def chosen(*languages: str) -> list[Any]:
    """Return the blocks in these languages as parameters of a test."""
    return [pytest.param(b, id=str(b)) for b in BLOCKS if b.language in languages]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.language == "python" for b in blocks_of(page))],
    ids=lambda page: page.name,
)
def test_python_runs(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The blocks of a page run one after the other, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks_of(page):
        if block.language == "python":
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, names)
            printed = capsys.readouterr().out
            assert block.output is None or printed == block.output
    hooks = {
        name: names[name] for name in ("samplers", "descriptors", "schedules") if name in names
    }
    if hooks:
        assert list(supplied_by(SimpleNamespace(**hooks), distribution("coopkit")))


def merged(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe with tables put into it; a table of another class replaces the old one."""
    result = dict(base)
    for key, value in part.items():
        old = result.get(key)
        naming = ("architecture", "sampler", "name", "schedule")
        if isinstance(value, dict) and isinstance(old, dict):
            other = any(name in value and value[name] != old.get(name) for name in naming)
            kept = {"optimizer": old["optimizer"]} if "optimizer" in old else {}
            result[key] = merged(kept if other else old, value)
        else:
            result[key] = value
    return result


@pytest.mark.parametrize("block", chosen("toml"))
def test_recipes_are_right(block: Block) -> None:
    """A part of a recipe is right when it is put into the quickstart's."""
    tables = tomllib.loads(block.text)
    if "project" in tables:
        return
    base = tomllib.loads(packaged_recipes()["quickstart"])
    Recipe.from_tables(merged(base, tables), str(block))


def commands_of(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a console block."""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            words = shlex.split(line.removeprefix("$ "))
            while "=" in words[0]:
                words = words[1:]
            yield words


@pytest.mark.parametrize("block", chosen("console"))
def test_commands_exist(block: Block) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for program, *words in commands_of(block):
        assert program in ("coopkit", "make", "pip", "pytest", "cd", ".")
        if program == ".":
            assert words == [".venv/bin/activate"]
        if program == "make":
            assert {word for word in words if "=" not in word} <= set(targets)
        if program == "coopkit":
            check_command(cli, words)


def check_command(group: click.Group, words: list[str]) -> None:
    """Parse a command line without running it; read the recipe that it names, with overrides."""
    flags = list(takewhile(lambda word: word.startswith("-"), words))
    context = group.make_context(group.name, [*flags, *words[len(flags) :]])
    name, *rest = words[len(flags) :]
    assert name in group.commands, f"there is no command {name}"
    command = group.commands[name]
    if isinstance(command, click.Group):
        if rest:
            check_command(command, rest)
        return
    parsed = command.make_context(name, rest, parent=context).params
    if name == "run" and not parsed["resume"] and parsed["recipe"] != WRITTEN:
        Recipe.read(parsed["recipe"], installed(parsed["overrides"]))


def installed(overrides: tuple[str, ...]) -> list[str]:
    """Return overrides without a sampler of a plugin that is not installed here."""
    known = {entry.name for entry in load().entries}
    key = "revision.sampler="
    return [o for o in overrides if not (o.startswith(key) and o.removeprefix(key) not in known)]


def generator() -> ModuleType:
    """Return the script that fills in the recipe reference."""
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_reference_has_every_key_with_its_meaning() -> None:
    generate = generator()
    text = generate.fill((ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"))
    assert "<!--" not in text
    classes = [*KEYS.values(), *(e.cls for e in load(third_party=False).entries)]
    for cls in classes:
        for field in fields_of(cls):
            assert field.meaning, f"{cls.__name__}.{field.name} has no meaning in its docstring"
            assert f"| `{field.name}` | " in text
    for name in packaged_recipes():
        assert f"| `{name}` | " in text


def test_the_recipe_reference_says_which_algorithm_needs_which_table() -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    algorithms = ("descriptor", "generator", "cooperative")
    said = {}
    for table, *cells in re.findall(
        r"^\| `\[(\w+)\]` \|.*\|(.*)\|(.*)\|(.*)\|$", text, re.MULTILINE
    ):
        for algorithm, cell in zip(algorithms, cells, strict=True):
            said[algorithm, table] = cell.strip()
    for algorithm in algorithms:
        for table in TABLES["cooperative"]:
            need = "optional" if table in OPTIONAL[algorithm] else "required"
            assert said[algorithm, table] == (need if table in TABLES[algorithm] else "")


def test_every_module_has_a_page() -> None:
    modules = {title for _, title, _ in generator().api_pages()}
    assert {"coopkit", "coopkit.steps", "coopkit.builtin.langevin"} <= modules


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([\w./-]+\.(?:md|png))\)", page.read_text(encoding="utf-8")):
            generated = link.startswith("api/")
            assert generated or (page.parent / link).is_file(), f"{page.name}: {link}"


def test_what_the_plugin_page_includes_exists() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    included = re.findall(r'^--8<-- "(.+)"$', text, re.MULTILINE)
    tutorial, example = included
    assert tutorial == "docs/diagonal_langevin.py"
    assert example == "plugins/coopkit-tamed/coopkit_tamed/__init__.py"
    assert all((ROOT / path).is_file() for path in included)
    declared = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))
    assert declared["project"]["entry-points"]["coopkit"] == {"tamed": "coopkit_tamed"}


def test_the_sampler_of_the_tutorial_is_right() -> None:
    from coopkit.testing import check_sampler

    names: dict[str, Any] = {}
    exec((ROOT / "docs" / "diagonal_langevin.py").read_text(encoding="utf-8"), names)
    results = check_sampler(names["DiagonalLangevin"](), profile="quick", seed=1)
    assert [result.check for result in results if result.status == "failed"] == []


def test_the_readme_keeps_to_its_size() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    first = "\n".join(lines[:40])
    assert "$ make demo" in first
    assert "$ make test" in first
