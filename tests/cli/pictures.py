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


def size(path: Path) -> tuple[int, int]:
    """Return width and height of a picture."""
    with Image.open(path) as image:
        return image.size
