"""Which pixels of a signal are occluded."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coopkit.data import DataTable
from coopkit.data.cutting import decode, reading
from coopkit.errors import DataError
from coopkit.interfaces import Shape

DIGITS = 10
"""A number of pixels has fewer."""


def square_holes(count: int, size: int, signal_shape: Shape, seed: int) -> Tensor:
    """Return a square of `size` × `size` pixels at a place of its own for each signal.

    The places are uniform and a function of seed and number alone, whatever `count` is.

    Returns:
        (count, height, width), boolean, True where a pixel is occluded.

    Raises:
        DataError: the square does not leave anything of the signal.
    """
    _, height, width = signal_shape
    if not 1 <= size < max(height, width) or size > min(height, width):
        raise DataError(
            f"a square of {size} pixels does not fit signals of {height} x {width}; "
            f"give one of 1 to {min(height, width) - (height == width)}"
        )
    holes = torch.zeros(count, height, width, dtype=torch.bool)
    for number, hole in enumerate(holes):
        rng = np.random.default_rng([seed, number])
        row, column = rng.integers(0, [height - size + 1, width - size + 1])
        hole[row : row + size, column : column + size] = True
    return holes


def read_hole(path: Path, signal_shape: Shape) -> Tensor:
    """Return the hole that a picture shows: what is brighter than mid-grey is occluded.

    Returns:
        (height, width), boolean.

    Raises:
        DataError: it cannot be read, is partly transparent, has another size than the signals, or
            leaves nothing.
    """
    name, as_it_is = f"the mask {path}", DataTable(source="", color="grey", resize="none")
    with reading(name), Image.open(path) as image:
        grey = decode(image, name, as_it_is)[..., 0]
    shown = grey > 127
    if shown.shape != signal_shape[1:]:
        raise DataError(
            f"the mask {path} has {shown.shape[0]} x {shown.shape[1]} pixels, the signals "
            f"{signal_shape[1]} x {signal_shape[2]}"
        )
    if shown.all() or not shown.any():
        says = "everything" if shown.all() else "nothing"
        raise DataError(
            f"the mask {path} occludes {says}: pixels brighter than 127 of 255 are occluded, and "
            f"its own go from {grey.min()} to {grey.max()}"
        )
    return torch.from_numpy(shown)


def holes_of(mask: str, count: int, signal_shape: Shape, seed: int = 0) -> Tensor:
    """Return the holes that a user's word says: a size in pixels, or the file of a picture.

    Returns:
        (count, height, width), boolean.

    Raises:
        DataError: it is neither, or does not fit the signals.
    """
    if mask.isdecimal() and len(mask) < DIGITS:
        return square_holes(count, int(mask), signal_shape, seed)
    path = Path(os.path.expanduser(mask))
    if not path.is_file():
        raise DataError(
            f"the mask {mask!r} is neither a number of pixels, such as 30, nor a picture's file"
        )
    return read_hole(path, signal_shape).expand(count, -1, -1).clone()


__all__ = ["holes_of", "read_hole", "square_holes"]
