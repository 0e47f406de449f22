"""The rooms of docs/architecture.md: imports point one way, files stay short."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "coopkit"
PAGE = ROOT / "docs" / "architecture.md"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 300
FORBIDDEN = {"utils.py", "helpers.py"}


def floors() -> dict[str, int]:
    """Return the floor of each room, as the page says."""
    rows = re.findall(r"^\| (\d+) \| (`[^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


def room_of(module: str) -> str:
    """Return the room of a dotted module; the package's own top is called coopkit."""
    return module.split(".")[1] if "." in module else module


def module_of(file: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, typing: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the coopkit modules that a file imports, and whether only type checkers see it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [node.module or ""]
            if node.module == "coopkit":
                names = [f"coopkit.{alias.name}" for alias in node.names]
        else:
            checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from imports(node, typing or checking)
            continue
        yield from ((name, typing) for name in names if name.split(".")[0] == "coopkit")


def wrong_imports(module: str, source: str) -> list[str]:
    """Return what a module imports from its own floor or above it."""
    own, floor = room_of(module), floors()
    return [
        name
        for name, typing in imports(ast.parse(source))
        if not typing and room_of(name) != own and floor[room_of(name)] >= floor[own]
    ]


def test_every_room_stands_on_one_floor() -> None:
    rooms = {room_of(module_of(file)) for file in FILES} - {"coopkit"}
    assert rooms == set(floors()), "docs/architecture.md must name the floor of every room"


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_down(file: Path) -> None:
    module = module_of(file)
    if module != "coopkit":
        assert wrong_imports(module, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("coopkit.steps", "from coopkit.algorithms import Learner"),
        ("coopkit.targets", "def late():\n    import coopkit.training"),
        ("coopkit.plugins", "from coopkit import recipes"),
        ("coopkit.recipes.sections", "from coopkit.folder import Hold"),
    ],
)
def test_an_import_that_points_up_is_noticed(module: str, source: str) -> None:
    assert wrong_imports(module, source)


@pytest.mark.parametrize("file", sorted((PACKAGE / "builtin").glob("*.py")), ids=module_of)
def test_builtin_imports_what_a_third_party_may(file: Path) -> None:
    found = {name for name, _ in imports(ast.parse(file.read_text(encoding="utf-8")))}
    others = {name for name in found if not name.startswith("coopkit.builtin")}
    assert others <= {"coopkit.interfaces", "coopkit.precision"}


@pytest.mark.parametrize("file", [f for f in FILES if f.name != "__main__.py"], ids=module_of)
def test_nothing_imports_the_command_line(file: Path) -> None:
    found = {name for name, _ in imports(ast.parse(file.read_text(encoding="utf-8")))}
    assert "coopkit.cli" not in found


@pytest.mark.parametrize(
    "file",
    [*FILES, *sorted((ROOT / "plugins").rglob("*.py"))],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_files_are_short_and_named_after_what_they_do(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert file.name not in FORBIDDEN


def test_importing_coopkit_loads_nothing_heavy() -> None:
    code = "import sys, coopkit; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "torch",
        "accelerate",
        "cattrs",
        "einops",
        "PIL",
        "rich",
        "skimage",
        "click",
    }
