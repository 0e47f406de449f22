"""The commands that draw: what they write."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.pictures import cells, size
from PIL import Image

from coopkit.cli.results import FORMATS
from coopkit.sheets import draw_signal, save_image
from coopkit.tasks.given import read_given
from coopkit.tasks.infer import InferenceSettings, drawn_from
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.trained import load

Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("runs")


def test_sample_writes_single_files(call: Call, tmp_path: Path):
    status, _, said = call("sample", "@cooperative", "-n", "3", "--files", "each")
    assert (status, said) == (0, "wrote 6 pictures into each\n")
    assert [path.name for path in tmp_path.iterdir()] == ["each"]
    names = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert names == [f"S{kind}-0000{number}.png" for kind in (1, 2) for number in range(3)]
    assert size(tmp_path / "each" / names[0]) == (8, 8)
    status, _, said = call("sample", "@cooperative", "--files", "each")
    assert (status, said) == (2, "coopkit: --files each is not empty; give a new folder\n")
    assert call("sample", "@cooperative")[2] == "wrote sheet.png\n"
    status, _, said = call("sample", "@cooperative", "--files", "sheet.png")
    assert (status, said) == (2, "coopkit: --files sheet.png is a file; give a new folder\n")


def test_one_picture_is_no_pictures(call: Call):
    said = call("sample", "@cooperative", "-n", "1", "--files", "each")[2]
    assert said == "wrote 2 pictures into each\n"
    said = call("sample", "@generator", "-n", "1", "--files", "own", "--prior", "fitted")[2]
    assert said == "wrote 1 picture into own\n"


def test_of_algorithm_2_the_better_prior_is_named(call: Call):
    said = call("sample", "@generator", "-n", "1")[2]
    hint = "X was drawn from N(0, I); --prior fitted draws from the law that it had in training\n"
    assert said == f"{hint}wrote sheet.png\n"


def test_single_files_are_written_whole_or_not_at_all(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written: list[Path] = []

    def full_disk(image: Image.Image, path: Path) -> None:
        if len(written) == 4:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        save_image(image, path)

    monkeypatch.setattr("coopkit.sheets.save_image", full_disk)
    (tmp_path / "each").mkdir()
    status, _, said = call("sample", "@cooperative", "-n", "3", "--files", "each")
    assert status == 2
    assert "cannot be used: No space left on device" in said
    assert len(written) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["each"]
    assert not list((tmp_path / "each").iterdir())


def test_single_files_beside_their_sheet(call: Call, tmp_path: Path):
    beside = ("--files", "each", "--out", "each/sheet.png")
    assert call("sample", "@generator", "-n", "2", *beside)[0] == 0
    names = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert names == ["S1-00000.png", "S1-00001.png", "sheet.png"]


def test_a_sheet_of_many_shows_the_first(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("coopkit.cli.drawing.SHOWN", 4)
    sample = ("sample", "@generator", "--prior", "fitted", "-n")
    assert call(*sample, "4")[2] == "wrote sheet.png\n"
    expected = size(tmp_path / "sheet.png")
    said = call(*sample, "9")[2]
    shown = "it shows the first 4 of 9 signals; --files DIR writes each of them"
    assert said == f"wrote sheet.png\n{shown}\n"
    assert size(tmp_path / "sheet.png") == expected


def test_a_sheet_of_many_paths_shows_the_first(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whole paths, however long one is."""
    monkeypatch.setattr("coopkit.cli.drawing.SHOWN", 8)
    asked = ("interpolate", "@generator", "--frames", "3", "-n")
    assert call(*asked, "2")[2] == "wrote paths.png\n"
    expected = size(tmp_path / "paths.png")
    said = call(*asked, "9")[2]
    assert said == "wrote paths.png\nit shows the first 2 of 9 paths; ask for fewer with -n\n"
    assert size(tmp_path / "paths.png") == expected
    said = call("interpolate", "@generator", "--frames", "8", "-n", "2")[2]
    assert said == "wrote paths.png\nit shows the first 1 of 2 paths; ask for fewer with -n\n"


def test_a_sheet_too_large_for_its_format_is_one_sentence(call: Call, tmp_path: Path):
    asked = ("-n", "1", "--frames", "600", "--out")
    status, _, said = call("interpolate", "@generator", *asked, "p.webp")
    assert status == 2
    assert "coopkit: p.webp: a picture of 160 x 79200 pixels cannot be written as .webp" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", FORMATS)
def test_a_sheet_is_written_in_every_format_that_is_named(call: Call, tmp_path: Path, ending: str):
    assert call("sample", "@generator", "-n", "1", "--out", f"sheet{ending}")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"sheet{ending}"]


def test_sample_of_another_size(call: Call, tmp_path: Path):
    assert call("sample", "@cooperative", "--size", "16x24", "-n", "1", "--files", "a")[0] == 0
    assert size(tmp_path / "a" / "S2-00000.png") == (24, 16)
    assert call("sample", "@cooperative", "--size", "12", "-n", "1", "--files", "b")[0] == 0
    assert size(tmp_path / "b" / "S2-00000.png") == (12, 12)
    status, _, said = call("sample", "@cooperative", "--size", "big")
    assert status == 2
    assert "'big' is no size; give pixels, such as 512 or 256x512" in said


def test_interpolate(call: Call, tmp_path: Path):
    arguments = ("interpolate", "@cooperative", "-n", "2", "--frames", "3", "--gif", "p.gif")
    assert call(*arguments)[0] == 0
    with Image.open(tmp_path / "p.gif") as moving:
        assert moving.n_frames == 4
    assert size(tmp_path / "paths.png")[0] > 2 * 3 * 128
    status, _, said = call(*arguments[:-1], "p.mp4")
    assert (status, said) == (2, "coopkit: --gif p.mp4: the name must end in .gif\n")


def test_interpolate_between_images(call: Call, tmp_path: Path):
    ends = ("--images", "@images/0.png", "@images/1.png")
    assert call("interpolate", "@generator", *ends, "--out", "two.png")[0] == 0
    assert (tmp_path / "two.png").is_file()


def test_interpolate_goes_from_the_first_image_to_the_last(call: Call, tmp_path: Path, runs: Path):
    pair = load(runs / "generator")
    files = [runs / "images" / f"{name}.png" for name in ("1", "0")]
    signals = torch.cat([read_given(pair, file).signals for file in files])
    latents = reconstruct(pair, signals, InferenceSettings(steps=0, ascent=300, chains=8)).latents
    expected = [draw_signal(x, pair.mean) for x in drawn_from(pair, latents)]
    arguments = ("interpolate", "@generator", "--images", *map(str, files), "--frames", "3")
    assert call(*arguments)[0] == 0
    first, between, last = cells(tmp_path / "paths.png", 3)
    assert np.array_equal(first, expected[0])
    assert np.array_equal(last, expected[1])
    assert not np.array_equal(first, last)
    assert not np.array_equal(first, between)


def test_a_folder_with_one_image_is_an_end(call: Call, tmp_path: Path, runs: Path):
    (tmp_path / "one").mkdir()
    Image.open(runs / "images" / "0.png").save(tmp_path / "one" / "a.png")
    assert call("interpolate", "@generator", "--images", "one", "@images/1.png")[0] == 0
