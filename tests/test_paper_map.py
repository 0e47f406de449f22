"""The paper-to-code map: every entry resolves, and nothing that the code follows is missing."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "paper.md"

EQUATIONS = {2, 3, 6, 7, 8, 9, 10, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26}
NAMED = {"Algorithm 1", "Algorithm 2", "Algorithm 3"} | {
    *("G0", "D1", "G1", "D2", "G2"),
    *("S1", "S2", "S3"),
}


def rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield what each row is about and the names that it gives in its last column."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if line.startswith("|") and len(cells) == 3 and "`" in cells[2]:
            yield cells[0], re.findall(r"`([^`]+)`", cells[2])


def resolve(dotted: str) -> Any:
    """Return what a dotted name stands for, a field of an attrs class included.

    Raises:
        LookupError: there is no such thing.
    """
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            fields = attrs.fields_dict(found) if attrs.has(found) else {}
            if part not in fields and not hasattr(found, part):
                raise LookupError(f"{dotted}: there is no {part!r}")
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise LookupError(f"{dotted}: there is no such module")


ROWS = list(rows(PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", sorted({name for _, names in ROWS for name in names}))
def test_every_name_of_the_map_can_be_imported(name: str) -> None:
    resolve(name)


def test_every_numbered_equation_is_in_the_map() -> None:
    numbers = {int(number) for about, _ in ROWS for number in re.findall(r"\((\d+)\)", about)}
    assert numbers == EQUATIONS


def test_every_algorithm_and_step_is_in_the_map() -> None:
    assert NAMED - {about for about, _ in ROWS} == set()


def test_every_equation_that_a_docstring_cites_is_in_the_map() -> None:
    package = PAGE.parent.parent / "coopkit"
    said = " ".join(file.read_text(encoding="utf-8") for file in package.rglob("*.py"))
    lists = re.findall(r"[Ee]quations? ((?:\(\d+\)(?:, | and )?)+)", said)
    cited = {int(number) for found in lists for number in re.findall(r"\d+", found)}
    assert cited
    assert cited <= EQUATIONS


@pytest.mark.parametrize(
    "wrong", ["coopkit.steps.revised", "coopkit.iterations.Iteration.S2", "no"]
)
def test_a_name_that_does_not_exist_is_noticed(wrong: str) -> None:
    with pytest.raises(LookupError):
        resolve(wrong)
