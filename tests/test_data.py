from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coopkit.data import (
    DIGITS,
    PHOTOGRAPHS,
    DataTable,
    Images,
    load_images,
    load_whole,
    to_pixels,
    to_signals,
)
from coopkit.errors import DataError


def noise(height: int, width: int, *channels: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, *channels), np.uint8))


def read(source: Path | str, seed: int = 0, **keys: Any) -> Images:
    table: dict[str, Any] = {"height": 8, "width": 8, "resize": "none", **keys}
    return load_images(DataTable(source=str(source), **table), seed)


def test_linear_map_is_exact_and_invertible():
    pixels = torch.arange(256, dtype=torch.uint8)
    signals = to_signals(pixels)
    assert signals.dtype == torch.float32
    torch.testing.assert_close(signals.double(), pixels.double() / 127.5 - 1, atol=1e-7, rtol=0)
    assert (signals[0], signals[-1]) == (-1.0, 1.0)
    assert torch.equal(to_pixels(signals), pixels)
    assert torch.equal(to_pixels(to_signals(pixels, mean=0.3), mean=0.3), pixels)


def test_pixels_outside_the_range_are_cut_off():
    assert to_pixels(torch.tensor([-5.0, 5.0])).tolist() == [0, 255]


def test_dull_image_is_not_stretched(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 100, np.uint8)).save(tmp_path / "dull.png")
    noise(8, 8).save(tmp_path / "vivid.png")
    images = read(tmp_path)
    assert torch.equal(images.pixels[0], torch.full((1, 8, 8), 100, dtype=torch.uint8))
    assert images.signals(torch.tensor([0])).unique().item() == pytest.approx(100 / 127.5 - 1)


def test_mean_of_all_pixels_is_subtracted(tmp_path: Path):
    noise(8, 8, seed=1).save(tmp_path / "a.png")
    noise(8, 8, seed=2).save(tmp_path / "b.png")
    images = read(tmp_path, subtract_mean=True)
    assert images.signals(torch.arange(2)).mean().abs() < 1e-6
    assert abs(images.mean) > 1e-4


@pytest.mark.parametrize("cropped", [{"crop": "random", "crops": 2}, {"crop": "grid"}])
def test_mirror_images_come_after_all_others(tmp_path: Path, cropped: dict[str, Any]):
    noise(8, 16, 3, seed=1).save(tmp_path / "a.png")
    noise(8, 16, 3, seed=2).save(tmp_path / "b.png")
    plain, images = read(tmp_path, **cropped), read(tmp_path, mirror=True, **cropped)
    assert len(images) == 8
    assert torch.equal(images.pixels[:4], plain.pixels)
    for place in range(4):
        mirrored = Image.fromarray(np.moveaxis(plain.pixels[place].numpy(), 0, -1))
        mirrored = mirrored.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert np.array_equal(np.moveaxis(images.pixels[4 + place].numpy(), 0, -1), mirrored)
    assert images.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("channels", "color", "shape"),
    [
        ((), "as is", (1, 8, 8)),
        ((3,), "as is", (3, 8, 8)),
        ((3,), "grey", (1, 8, 8)),
        ((), "rgb", (3, 8, 8)),
    ],
)
def test_grey_and_colour(tmp_path: Path, channels: tuple[int, ...], color: str, shape: object):
    noise(8, 8, *channels).save(tmp_path / "a.png")
    assert read(tmp_path, color=color).shape == shape


def test_grey_with_opaque_alpha_stays_grey(tmp_path: Path):
    grey = noise(8, 8)
    grey.convert("LA").save(tmp_path / "a.png")
    images = read(tmp_path)
    assert np.array_equal(images.pixels[0, 0], np.asarray(grey))


def test_mixed_folder_names_one_of_each(tmp_path: Path):
    noise(8, 8).save(tmp_path / "ash.png")
    noise(8, 8, 3).save(tmp_path / "rose.png")
    with pytest.raises(DataError, match=r"ash\.png is grey but .*rose\.png is in colour; set data"):
        read(tmp_path)
    assert read(tmp_path, color="rgb").shape == (3, 8, 8)


def test_transparent_image_is_refused(tmp_path: Path):
    image = noise(8, 8, 3).convert("RGBA")
    image.putalpha(100)
    image.save(tmp_path / "ghost.png")
    with pytest.raises(DataError, match=r"ghost\.png is partly transparent; flatten it"):
        read(tmp_path)


def test_sixteen_bits_are_refused(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png has more than 8 bits a channel"):
        read(tmp_path)


def test_rotation_of_a_camera_is_undone(tmp_path: Path):
    upright = noise(12, 8)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    images = read(tmp_path, height=12)
    assert np.array_equal(images.pixels[0, 0], np.asarray(upright))


def test_truncated_image_is_named(tmp_path: Path):
    noise(64, 64, 3).save(tmp_path / "whole.jpg")
    half = (tmp_path / "whole.jpg").read_bytes()[:2000]
    (tmp_path / "torn.jpg").write_bytes(half)
    with pytest.raises(DataError, match=r"torn\.jpg cannot be read as an image: .*truncated"):
        read(tmp_path)


def test_several_bad_images_are_told_at_once(tmp_path: Path):
    for number in range(7):
        (tmp_path / f"{number}.png").write_text("no image")
    with pytest.raises(DataError, match=r"(?s)0\.png.*4\.png.*and 2 more") as caught:
        read(tmp_path)
    assert "5.png" not in str(caught.value)


def test_single_file_that_is_no_image(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"notes\.txt cannot be read as an image"):
        read(tmp_path / "notes.txt")


def test_other_and_hidden_files_of_a_folder_are_passed_over(tmp_path: Path):
    noise(8, 8).save(tmp_path / "a.png")
    for name in ("notes.txt", "paper.pdf", "._a.png", ".thumbnails/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    assert len(read(tmp_path)) == 1


def test_folder_is_searched_in_depth_and_in_order(tmp_path: Path):
    for number, name in enumerate(["b/x.png", "a/y.PNG", "c.png"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / name)
    assert read(tmp_path).pixels[:, 0, 0, 0].tolist() == [1, 0, 2]


def test_empty_folder(tmp_path: Path):
    with pytest.raises(DataError, match="holds no image"):
        read(tmp_path)


def test_missing_path_suggests_a_packaged_name():
    with pytest.raises(DataError, match=r"'brik' is no file, no folder .* did you mean 'brick'\?"):
        read("brik")


def test_empty_source_is_not_the_working_folder():
    with pytest.raises(DataError, match="'' is no file"):
        read("")


def test_image_smaller_than_the_crop(tmp_path: Path):
    noise(6, 20).save(tmp_path / "low.png")
    with pytest.raises(
        DataError, match=r"low\.png is 6 x 20 pixels, smaller than the crop of 8 x 8"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("resize", "asked", "says"),
    [
        ("none", "data.source", 'is 6 x 9 pixels, .* of 8 x 12; set data.resize to "fit"'),
        ("none", "--images", "give images of 8 x 12 pixels or more; the run does not resize"),
        (8, "data.source", 'is 8 x 12 pixels after resizing, .* 8 x 16; set data.resize to "fit"'),
        (8, "--images", "is 8 x 12 pixels after resizing, .* 8 x 16; give images of such a shape"),
    ],
)
def test_a_remedy_is_one_that_whoever_asks_has(
    tmp_path: Path, resize: object, asked: str, says: str
):
    noise(6, 9).save(tmp_path / "low.png")
    width = 12 if resize == "none" else 16
    table = DataTable(source=str(tmp_path), height=8, width=width, resize=resize)
    with pytest.raises(DataError, match=says):
        load_images(table, asked=asked)


@pytest.mark.parametrize(("resize", "size"), [("fit", (8, 16)), (10, (10, 20)), ("none", (30, 60))])
def test_resizing_keeps_the_shape_of_things(tmp_path: Path, resize: object, size: tuple[int, int]):
    """A ramp along the width keeps its slope per share of the width, whatever the crop."""
    ramp = np.tile(np.linspace(0, 240, 60), (30, 1)).round().astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    images = read(tmp_path, resize=resize, width=8)
    drawn = images.pixels[0, 0, 0].float()
    slope = (drawn[5] - drawn[2]) / 3
    assert slope == pytest.approx(240 / size[1], rel=0.2)


def test_centre_crop(tmp_path: Path):
    image = noise(12, 10)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path).pixels[0, 0], np.asarray(image)[2:10, 1:9])


def test_grid_crops_tile_the_image(tmp_path: Path):
    image = noise(17, 24)
    image.save(tmp_path / "a.png")
    pixels = read(tmp_path, crop="grid").pixels
    whole = np.asarray(image)
    corners = [(r, c) for r in (0, 8) for c in (0, 8, 16)]
    expected = np.stack([whole[r : r + 8, c : c + 8] for r, c in corners])
    assert np.array_equal(pixels[:, 0], expected)


def test_random_crops_are_parts_of_the_image_and_follow_the_seed(tmp_path: Path):
    image = noise(20, 20)
    image.save(tmp_path / "a.png")
    drawn = read(tmp_path, crop="random", crops=5).pixels
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(image), (8, 8)).reshape(-1, 8, 8)
    assert all((windows == crop[0].numpy()).all((1, 2)).any() for crop in drawn)
    assert torch.equal(drawn, read(tmp_path, crop="random", crops=5).pixels)
    assert not torch.equal(drawn, read(tmp_path, seed=1, crop="random", crops=5).pixels)


def test_the_whole_image_holds_its_crops(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    table = DataTable(source=str(tmp_path), height=4, width=5, resize="none", color="grey")
    whole = load_whole(table)
    assert whole.shape == (1, 1, 20, 30)
    assert whole[..., 8:12, 12:17].equal(load_images(table).pixels)
    assert load_whole(DataTable(source="coffee", height=50, width=10)).shape == (1, 3, 50, 75)


def test_whole_image_that_is_none(tmp_path: Path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        load_whole(DataTable(source=str(tmp_path)))


def test_number_of_workers_changes_nothing(tmp_path: Path):
    for number in range(9):
        noise(10 + number, 12, seed=number).save(tmp_path / f"{number}.png")
    one, many = (read(tmp_path, crop="random", crops=3, workers=n).pixels for n in (1, 8))
    assert torch.equal(one, many)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_packaged_photographs(name: str):
    images = read(name, height=64, width=64, resize="fit")
    assert len(images) == 1
    assert images.pixels.float().std() > 5


def test_digits():
    pytest.importorskip("sklearn", reason="the extra coopkit[digits] is not installed")
    images = read(DIGITS)
    assert images.pixels.shape == (1797, 1, 8, 8)
    assert (images.pixels.min(), images.pixels.max()) == (0, 255)
