"""What is in the pictures that commands write."""

from pathlib import Path

import numpy as np
from PIL import Image

from coopkit.sheets import GAP, LEAST_CELL, TITLE


def cells(sheet: Path, count: int) -> "list[np.typing.NDArray[np.uint8]]":
    """Return the signals of 8×8 that stand first in a sheet's topmost row, one colour of each."""
    with Image.open(sheet) as image:
        shown = np.asarray(image)[TITLE : TITLE + LEAST_CELL, :, 0]
    width = LEAST_CELL + GAP
    return [shown[::16, k * width : k * width + LEAST_CELL : 16] for k in range(count)]


def rows(sheet: Path, count: int) -> "list[list[np.typing.NDArray[np.uint8]]]":
    """Return, of each of a sheet's panels of one column, its signals of 8×8, one colour of each."""
    with Image.open(sheet) as image:
        shown = np.asarray(image)[TITLE:, :, 0]
    cell, panel = LEAST_CELL + GAP, LEAST_CELL + 4 * GAP
    return [
        [
            shown[top : top + LEAST_CELL : 16, k * panel : k * panel + LEAST_CELL : 16]
            for top in range(0, len(shown) - GAP, cell)
        ]
        for k in range(count)
    ]


def size(path: Path) -> tuple[int, int]:
    """Return width and height of a picture."""
    with Image.open(path) as image:
        return image.size
