"""New plugins: each kind's package is whole, right and in use as it comes, or is not there."""

import ast
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from string import ascii_lowercase, digits

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from coopkit import scaffold
from coopkit.cli import authoring, cli
from coopkit.errors import CoopkitError
from coopkit.scaffold import KINDS, LONGEST, NAME, new_plugin, suggestion

FILES = {
    ".github/workflows/test.yml",
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "recipe.toml",
    "coopkit_odd_name/__init__.py",
    "coopkit_odd_name/py.typed",
    "tests/test_odd_name.py",
}
WORDS = st.text(ascii_lowercase + digits, min_size=1, max_size=6)


def files_of(package: Path) -> set[str]:
    return {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_whole(kind, tmp_path):
    package = new_plugin(kind, "odd-name", tmp_path)
    assert package == tmp_path / "coopkit-odd-name"
    assert files_of(package) == FILES
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "coopkit-odd-name"
    assert project["entry-points"]["coopkit"] == {"odd-name": "coopkit_odd_name"}
    assert "OddName" in (package / "coopkit_odd_name" / "__init__.py").read_text(encoding="utf-8")
    texts = [(package / name).read_text(encoding="utf-8") for name in FILES]
    assert not any("@@" in text for text in texts)
    assert [path.name for path in tmp_path.iterdir()] == ["coopkit-odd-name"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sampler"])
def test_what_is_of_the_example_is_told_from_what_holds_of_all(kind, tmp_path):
    """No field of the example is spoken of above the comment, and the README names them all."""
    package = new_plugin(kind, "odd-name", tmp_path)
    tests = (package / "tests" / "test_odd_name.py").read_text(encoding="utf-8")
    above, comment, below = tests.partition("# What follows is of the example: replace it")
    assert comment
    assert "def test_" in above
    assert "def test_" in below
    keys = {
        "descriptor": ["filters"],
        "generator": ["latent_size", "filters"],
        "schedule": ["start", "end", "half_life"],
    }
    readme = (package / "README.md").read_text(encoding="utf-8")
    for key in keys[kind]:
        assert f"{key}=" not in above
        assert f".{key}" not in above
        assert f"`{key}`" in readme


def install(package: Path) -> None:
    """Put a distribution's metadata beside a package, as an installer would."""
    written = package / "coopkit_odd_name-0.1.0.dist-info"
    written.mkdir()
    metadata = "Metadata-Version: 2.1\nName: coopkit-odd-name\nVersion: 0.1.0\n"
    (written / "METADATA").write_text(metadata, encoding="utf-8")
    points = "[coopkit]\nodd-name = coopkit_odd_name\n"
    (written / "entry_points.txt").write_text(points, encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_passes_its_tests_as_it_comes_out(kind, tmp_path):
    package = new_plugin(kind, "odd-name", tmp_path)
    install(package)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package), "COOPKIT_PROFILE": "quick"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["tensor", "target", "int", "x", "a1-b2-c3", "z" * LONGEST])
def test_whatever_the_name_the_code_is_python(kind, name, tmp_path):
    """A class called as one that the templates import would hide it."""
    package = new_plugin(kind, name, tmp_path)
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lines = path.read_text(encoding="utf-8").splitlines()
        assert max(map(len, lines), default=0) <= 100
        imported = [
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        assert not set(imported) & set(defined)


def test_a_descriptor_and_a_sampler_of_one_name_do_not_hide_each_other(tmp_path):
    with pytest.raises(CoopkitError, match=r"coopkit 0.* supplies a descriptor 'texture' already"):
        new_plugin("descriptor", "texture", tmp_path)
    assert new_plugin("sampler", "texture", tmp_path).is_dir()


REFUSED = {
    "Odd": "lower-case words of letters and digits joined by hyphens, a letter first, such as odd",
    "odd name": "such as odd-name",
    "odd_name": "such as odd-name",
    "OddName": "such as odd-name",
    "1st": "such as sampler-1st",
    "-odd": "such as odd",
    "odd--name": "such as odd-name",
    "é": "such as e",
    "../odd": "such as odd",
    "": "such as my-sampler",
    "coopkit-odd": "give NAME alone, such as odd",
    "class": "a keyword of Python, such as class-sampler",
    "none": "a keyword of Python, such as none-sampler",
    "odd" * 20: f"at most {LONGEST} characters, not 60",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_name_is_refused_with_a_right_one(name, tmp_path):
    with pytest.raises(CoopkitError) as caught:
        new_plugin("sampler", name, tmp_path)
    assert str(caught.value).startswith(f"{name!r} cannot name a sampler: ")
    assert REFUSED[name] in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_there_are_four_kinds(tmp_path):
    with pytest.raises(CoopkitError, match="no kind of plugin 'target'; known: descriptor, "):
        new_plugin("target", "odd", tmp_path)


@given(st.lists(WORDS, min_size=1, max_size=8).map("-".join))
def test_every_suggestion_is_itself_a_name(text):
    assert_usable(suggestion("sampler", text))


@given(st.text(max_size=60))
def test_every_text_has_a_suggestion(text):
    assert_usable(suggestion("generator", text))


def assert_usable(name: str) -> None:
    assert NAME.fullmatch(name)
    assert len(name) <= LONGEST
    scaffold.refuse_wrong_name("sampler", name)


def test_what_is_installed_is_not_hidden(tmp_path):
    with pytest.raises(CoopkitError, match="a package coopkit-tamed is installed already"):
        new_plugin("sampler", "tamed", tmp_path)
    with pytest.raises(CoopkitError, match=r"coopkit-tamed .* supplies a sampler 'tamed-langevin'"):
        new_plugin("sampler", "tamed-langevin", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_module_in_reach_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "coopkit_odd.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CoopkitError, match="module coopkit_odd can be imported already, from"):
        new_plugin("sampler", "odd", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("kind", ["folder", "file", "broken link"])
def test_what_is_there_stays(kind, tmp_path):
    place = tmp_path / "coopkit-odd"
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("mine", encoding="utf-8")
    else:
        place.symlink_to(tmp_path / "nowhere")
    before = place.lstat()
    with pytest.raises(CoopkitError, match="is there already"):
        new_plugin("sampler", "odd", tmp_path)
    assert place.lstat() == before


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CoopkitError, match="gone is no folder; make it"):
        new_plugin("sampler", "odd", tmp_path / "gone")


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    written = []

    def full(path: Path, *args: object, **kwargs: object) -> int:
        written.append(path)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        path.touch()
        return 0

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CoopkitError, match=r"cannot be written: No space left on device$"):
        new_plugin("sampler", "odd", tmp_path)
    assert len(written) == 4
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_to_do_next(tmp_path):
    done = CliRunner().invoke(cli, ["new", "sampler", "odd-name", "--in", str(tmp_path)])
    assert done.exit_code == 0
    assert "pip install -e" in done.output
    assert "coopkit check odd-name" in done.output
    assert (tmp_path / "coopkit-odd-name" / "recipe.toml").is_file()


def test_the_command_refuses_in_one_line(tmp_path):
    command = [sys.executable, "-m", "coopkit", "new", "sampler", "Odd", "--in", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("coopkit: 'Odd' cannot name a sampler: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(find_spec("ruff") is None, reason="needs the extra lint")
@pytest.mark.parametrize("kind", KINDS)
def test_the_code_is_clean_and_formatted_whatever_the_name(kind, tmp_path):
    for name in ("x", "odd-name", "z" * LONGEST):
        package = new_plugin(kind, name, tmp_path)
        for command in (["check"], ["format", "--check"]):
            words = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
            done = subprocess.run(words, cwd=package, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout


def test_the_command_line_knows_the_same_kinds():
    assert authoring.KINDS == KINDS
