"""The command that ranks images by their energy."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coopkit.cli import console

Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("runs")


def test_energy_ranks_and_tells_apart(call: Call, tmp_path: Path):
    arguments = ("--images", "@images", "--against", "@others", "--show", "2", "--out", "e.json")
    status, said, _ = call("energy", "@cooperative", *arguments)
    assert status == 0
    figures = json.loads((tmp_path / "e.json").read_text())
    ranked = [row["energy"] for row in figures["images"]]
    assert ranked == sorted(ranked, reverse=True)
    assert len(ranked) == 5
    assert f"AUROC of the energy: {figures['auroc']['energy']:.4f}" in said
    assert figures["asked"]["run_folder"].endswith("cooperative")
    assert (figures["asked"]["show"], figures["iteration"]) == (2, 4)
    assert len([line for line in said.splitlines() if "images:" in line or "others:" in line]) == 2


@pytest.mark.parametrize(
    ("show", "places"),
    [(1, [0, "…"]), (2, [0, "…", 4]), (3, [0, 1, "…", 4]), (5, [0, 1, 2, 3, 4]), (9, range(5))],
)
def test_energy_shows_both_ends(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    show: int,
    places: list[int | str],
):
    monkeypatch.setattr(console.out, "width", 400)  # the folder's name, however long, in a line
    arguments = ("--images", "@images", "--against", "@others", "--out", "e.json", "--show", show)
    status, said, _ = call("energy", "@cooperative", *map(str, arguments))
    assert status == 0
    ranked = json.loads((tmp_path / "e.json").read_text())["images"]
    expected = [place if place == "…" else ranked[place]["name"] for place in places]
    rows = said.splitlines()[1 : len(expected) + 1]
    named = [next(word for word in row.split() if word == "…" or ".png" in word) for row in rows]
    assert named == expected
    assert said.splitlines()[len(expected) + 1].startswith("AUROC")


@pytest.mark.parametrize("command", ["energy", "evaluate"])
def test_figures_are_kept_where_nothing_can_be_printed(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("coopkit.cli.evaluating.out.print", full)
    own = ["-n", "4", "--restore", "0"] if command == "evaluate" else []
    place = tmp_path / "figures.json"
    status, _, said = call(command, "@cooperative", "--images", "@images", *own, "--out", place)
    assert status == 2
    assert "No space left on device" in said
    assert json.loads(place.read_text(encoding="utf-8"))["iteration"] == 4
