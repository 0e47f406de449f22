from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coopkit.errors import DataError
from coopkit.sheets import (
    CAPTION,
    GAP,
    TITLE,
    draw_grid,
    draw_sheet,
    in_words,
    own_figures,
    save_image,
)


def test_cells_show_the_exact_pixels():
    pixels = torch.randint(0, 256, (5, 3, 100, 120), dtype=torch.uint8)
    grid = draw_grid(pixels)
    for number in range(5):
        row, column = divmod(number, 3)
        top, left = row * (100 + GAP), column * (120 + GAP)
        cell = grid[top : top + 100, left : left + 120]
        assert np.array_equal(cell, pixels[number].permute(1, 2, 0).numpy())


def test_small_signals_are_magnified_by_whole_pixels():
    pixels = torch.randint(0, 256, (1, 1, 8, 10), dtype=torch.uint8)
    grid = draw_grid(pixels)[:128, :160]
    assert np.array_equal(grid[::16, ::16, 0], pixels[0, 0].numpy())
    assert np.array_equal(grid[15::16, 15::16, 2], pixels[0, 0].numpy())


def test_values_are_not_stretched_to_the_panel():
    signals = torch.stack([torch.full((1, 96, 96), value) for value in (0.0, 0.1)])
    sheet = np.asarray(draw_sheet({"flat": signals}, mean=0.2))[TITLE : TITLE + 96]
    assert (sheet[:, :96] == round(1.2 * 127.5)).all()
    assert (sheet[:, 100:196] == round(1.3 * 127.5)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_panels_stand_side_by_side_and_are_cut_to_the_most(channels: int):
    panels = {"one": torch.zeros(9, channels, 96, 96), "two": torch.zeros(4, channels, 96, 96)}
    sheet = draw_sheet(panels, mean=0.0, most=4)
    side = 2 * (96 + GAP)
    assert sheet.size == (2 * side + 3 * GAP, TITLE + side)


def test_a_title_is_not_cut_off_by_a_narrow_panel():
    """Nothing is drawn of a title where its panel ends, and it is all there."""
    wide = np.asarray(draw_sheet({"W" * 30: torch.zeros(4, 1, 400, 400)}, mean=0.0))[:TITLE]
    alone, first = (
        np.asarray(draw_sheet(panels, mean=0.0))[:TITLE]
        for panels in (
            {"W" * 30: torch.zeros(1, 1, 96, 96)},
            {"W" * 30: torch.zeros(1, 1, 96, 96), "I": torch.zeros(1, 1, 96, 96)},
        )
    )
    ink = (wide < 255).any((0, 2))
    last = int(np.flatnonzero(ink)[-1])
    assert last < alone.shape[1] - 1
    for narrow in (alone, first):
        assert np.array_equal(narrow[:, : last + 1], wide[:, : last + 1])
    assert (first[:, last + 1 : last + 1 + 3 * GAP] == 255).all()


def test_picture_is_written_whole(tmp_path: Path):
    path = tmp_path / "deep" / "sheet.png"
    save_image(Image.new("RGB", (4, 4)), path)
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]
    Image.open(path).verify()


@pytest.mark.parametrize("ending", ["gif", "webp", "jpg", "xbm"])
def test_a_picture_that_its_format_cannot_have_is_refused(tmp_path: Path, ending: str):
    path = tmp_path / f"sheet.{ending}"
    sentence = f"a picture of 1 x 70000 pixels cannot be written as .{ending}; ask for a .png"
    with pytest.raises(DataError, match=sentence):
        save_image(Image.new("RGB", (70_000, 1)), path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_matter_of_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(image: Image.Image, place: Path) -> None:
        place.touch()
        raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left on device"):
        save_image(Image.new("RGB", (4, 4)), tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())


def test_a_caption_stands_below_the_panels():
    panels = {"one": torch.zeros(4, 1, 96, 96)}
    plain, told = draw_sheet(panels, mean=0.0), draw_sheet(panels, mean=0.0, caption="a 0.5")
    assert told.size == (plain.width, plain.height + CAPTION)
    above, below = np.split(np.asarray(told), [plain.height])
    assert np.array_equal(above, np.asarray(plain))
    assert below.min() < 128


def test_a_caption_longer_than_the_panels_has_room():
    panels = {"one": torch.zeros(1, 1, 8, 8)}
    short, long = (draw_sheet(panels, mean=0.0, caption="figure " * n) for n in (20, 40))
    below = np.asarray(long)[-CAPTION:, short.width :]
    assert long.width > 1.8 * short.width
    assert below.min() < 128
    assert (below[:, -2:] > 250).all()


def test_the_samplers_own_figures_are_told_apart_by_their_dot():
    figures = {"energy_initial": 1.0, "revision.acceptance": 0.57349, "inference.swaps": 12345.0}
    assert in_words(own_figures(figures)) == "revision.acceptance 0.573  inference.swaps 1.23e+04"
