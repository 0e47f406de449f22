from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from tasks.linear import linear_pair

from coopkit.data import DataTable, load_whole
from coopkit.errors import DataError
from coopkit.tasks.given import distinct, read_given
from coopkit.tasks.masks import holes_of, read_hole, square_holes


def picture(path: Path, pixels: "np.typing.NDArray[np.uint8]") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_images_are_prepared_as_those_of_the_training(tmp_path: Path):
    pair = linear_pair(0.5, 1.0, "data.resize=none", "data.mirror=true")
    pixels = np.arange(6 * 7, dtype=np.uint8).reshape(6, 7)
    picture(tmp_path / "a" / "b.png", pixels)
    colour = np.repeat(pixels[..., None], 3, axis=2)
    picture(tmp_path / "b.png", colour)
    given = read_given(pair, tmp_path)
    assert given.files == ("a/b.png", "b.png")
    assert given.names == ("a-b", "b")
    expected = torch.from_numpy(pixels[1:5, 1:6].copy()) / 127.5 - 1
    assert len(given) == 2
    torch.testing.assert_close(given.signals, expected.expand(2, 1, 4, 5))


def test_the_mean_of_the_training_is_subtracted(tmp_path: Path):
    pair = attrs.evolve(linear_pair(), mean=0.25)
    path = picture(tmp_path / "a.png", np.full((4, 5), 255, np.uint8))
    torch.testing.assert_close(read_given(pair, path).signals, torch.full((1, 1, 4, 5), 0.75))


def test_a_file_alone_and_what_is_packaged_are_in_no_folder(tmp_path: Path):
    path = picture(tmp_path / "a.b.png", np.zeros((4, 5), np.uint8))
    assert read_given(linear_pair(), path).files == ("a.b.png",)
    assert read_given(linear_pair(), path).names == ("a.b",)
    assert read_given(linear_pair(), "brick").files == ("brick",)


def test_names_differ_also_from_those_that_have_a_number_already():
    assert distinct(["a/b.png", "b.png", "b-2.png", "b.jpg"]) == ("a-b", "b", "b-2", "b-3")
    assert distinct(["a/b.png", "a-b.png", "a/b.jpg"]) == ("a-b", "a-b-2", "a-b-3")
    assert distinct(["a/b/c.png", "a.c/b.png"]) == ("a-b-c", "a.c-b")


def test_images_that_are_not_there(tmp_path: Path):
    with pytest.raises(DataError, match=r"^images: 'nowhere' is no file, no folder"):
        read_given(linear_pair(), "nowhere")
    with pytest.raises(DataError, match=r"^images: the folder .* holds no image"):
        read_given(linear_pair(), tmp_path)


def test_squares_have_their_size_and_do_not_depend_on_their_number():
    holes = square_holes(20, 3, (3, 8, 9), seed=1)
    assert holes.shape == (20, 8, 9)
    assert holes.flatten(1).sum(1).eq(9).all()
    rows, columns = holes.any(2).sum(1), holes.any(1).sum(1)
    assert rows.eq(3).all()
    assert columns.eq(3).all()
    assert square_holes(5, 3, (3, 8, 9), seed=1).equal(holes[:5])
    assert not square_holes(20, 3, (3, 8, 9), seed=2).equal(holes)


@pytest.mark.parametrize(("size", "most"), [(0, 7), (8, 7), (9, 7)])
def test_squares_must_leave_something(size: int, most: int):
    with pytest.raises(DataError, match=f"give one of 1 to {most}"):
        square_holes(1, size, (1, 8, 8), 0)


def test_a_picture_is_a_mask_where_it_is_bright(tmp_path: Path):
    pixels = np.array([[0, 127, 128], [255, 0, 0]], dtype=np.uint8)
    path = picture(tmp_path / "mask.png", pixels)
    expected = torch.tensor([[False, False, True], [True, False, False]])
    assert read_hole(path, (1, 2, 3)).equal(expected)
    assert holes_of(str(path), 2, (1, 2, 3)).equal(expected.expand(2, 2, 3))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_a_mask_has_transparent_is_not_guessed_at(tmp_path: Path, mode: str):
    """White paint on nothing: by its colours alone, all of it is bright."""
    pixels = np.full((4, 5, 4), 255, np.uint8)
    pixels[:2, :, 3] = 0
    path = tmp_path / "mask.png"
    if mode == "P":
        Image.fromarray(pixels[..., 3]).convert("P").save(path, transparency=0)
    else:
        Image.fromarray(pixels).convert(mode).save(path)
    with pytest.raises(DataError, match="is partly transparent; flatten it on a background first"):
        read_hole(path, (1, 4, 5))


def test_an_opaque_mask_may_have_an_alpha_channel(tmp_path: Path):
    pixels = np.full((4, 5, 4), 255, np.uint8)
    pixels[:2, :, :3] = 0
    hole = read_hole(picture(tmp_path / "mask.png", pixels), (1, 4, 5))
    assert hole.any(1).tolist() == [False, False, True, True]


def test_pictures_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9)
    path = picture(tmp_path / "large.png", np.arange(20, dtype=np.uint8).reshape(4, 5))
    said = r"large\.png has more than 18 pixels; make it smaller first"
    with pytest.raises(DataError, match=said):
        holes_of(str(path), 1, (1, 4, 5))
    with pytest.raises(DataError, match=said):
        read_given(linear_pair(), path)
    with pytest.raises(DataError, match=said):
        load_whole(DataTable(source=str(path)))


def test_masks_that_cannot_be_used(tmp_path: Path):
    white = picture(tmp_path / "white.png", np.full((4, 5), 255, np.uint8))
    black = picture(tmp_path / "black.png", np.zeros((4, 5), np.uint8))
    text = tmp_path / "text.png"
    text.write_text("no picture")
    shape = (1, 4, 5)
    for mask, said in (
        (white, "occludes everything"),
        (black, "occludes nothing"),
        (text, "cannot be read as an image"),
        (tmp_path / "none.png", "neither a number of pixels"),
    ):
        with pytest.raises(DataError, match=said):
            holes_of(str(mask), 1, shape)
    with pytest.raises(DataError, match="has 4 x 5 pixels, the signals 8 x 8"):
        holes_of(str(black), 1, (1, 8, 8))
