"""The page of results: its tables, and that its pictures show no photograph of a data set."""

import json
from pathlib import Path

import click
import pytest
import torch
from benchmarks import reproduction
from benchmarks.pictures import no_copies
from torch import Tensor

from coopkit.data import Images
from coopkit.recipes import Recipe
from coopkit.watchers.files import METRICS_FILE


def photographs(seed: int) -> Tensor:
    """Return smooth images of which no two are alike, (6, 3, 16, 16) in [0, 255]."""
    coarse = torch.rand(6, 3, 4, 4)
    return torch.nn.functional.interpolate(coarse, size=16, mode="bilinear") * 200 + 20


@pytest.mark.parametrize(
    "changed",
    [
        lambda x: x,
        lambda x: x.flip(-1),
        lambda x: 0.4 * x + 0.3,
        lambda x: x + 0.2 * torch.randn_like(x),
        lambda x: x.flip(1),
    ],
    ids=["itself", "mirrored", "in other light", "in noise", "in other colours"],
)
def test_what_shows_a_photograph_is_left_out(changed, seed: int):
    pixels = photographs(seed).to(torch.uint8)
    images = Images(pixels, 0.0)
    signals = pixels / 127.5 - 1
    others = photographs(seed) / 127.5 - 1
    shown = no_copies(torch.cat([others, changed(signals)]), images)
    assert len(shown) >= len(others) - 1
    assert all(any(torch.equal(one, other) for other in others) for one in shown)


def run_folder(place: Path, recipe: str, *changes: str) -> Path:
    """Return the folder of a run of a recipe, as far as its tables are read from it."""
    place.mkdir()
    given = Recipe.read(recipe, ["data.source=a/wall.jpg", "seed=3", *changes])
    (place / "recipe.toml").write_text(given.to_toml(), encoding="utf-8")
    figures = {"iteration": 1, "seconds": 2.0, "energy_initial": 3.0, "energy_revised": 2.0}
    distances = {"revised_minus_initial": 0.5, "reconstructed_minus_revised": 0.25}
    (place / METRICS_FILE).write_text(f"{json.dumps(figures | distances)}\n", encoding="utf-8")
    return place


def test_runs_stand_with_their_kind_and_variants_apart(tmp_path: Path):
    own = run_folder(tmp_path / "texture-wall", "texture-small")
    changed = run_folder(tmp_path / "texture-wall-steep", "texture-small", "run.iterations=9")
    begun = run_folder(tmp_path / "face-full", "face", 'generator.start="elsewhere"')
    stray = run_folder(tmp_path / "wall", "texture-small")
    assert [reproduction.section_of(run) for run in (own, changed, begun)] == [
        "texture",
        "variant",
        "face",
    ]
    with pytest.raises(click.ClickException, match="a run's folder is called KIND-"):
        reproduction.section_of(stray)
    rows = reproduction.runs_table([own, begun])[2:]
    assert rows[0].startswith("| texture-wall | texture-small | wall.jpg | 1 | 2 | 0.5 | 0.25 |")
    assert rows[1].startswith("| face-full | face, generator.start = another run | wall.jpg |")


def test_rows_of_other_runs_stay():
    page = "a\n<!-- claims -->\n| run |\n| --- |\n| a | 1 |\n| c | 1 |\n<!-- end of claims -->\nb\n"
    old = reproduction.lines_at(page, "claims")
    rows = reproduction.updated(old, ["| run |", "| --- |", "| c | 2 |", "| b | 2 |"])
    assert rows == ["| run |", "| --- |", "| a | 1 |", "| b | 2 |", "| c | 2 |"]
    again = reproduction.put(page, "claims", rows)
    assert reproduction.lines_at(again, "claims") == rows
    assert (again[:2], again[-2:]) == ("a\n", "b\n")
