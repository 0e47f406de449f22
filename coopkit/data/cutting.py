"""One image file to crops of 8 bits a channel."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from coopkit.data.sources import Opener
from coopkit.data.table import DataTable
from coopkit.errors import DataError

Pixels = NDArray[np.uint8]


def attempt(
    table: DataTable, seed: int, asked: str, index: int, source: tuple[str, Opener]
) -> Pixels | DataError:
    """Return the crops of one image, (crops, height, width, channels), or what is wrong with it."""
    name, opener = source
    try:
        with reading(name), opener() as image:
            array = decode(image, name, table)
            check_large_enough(array, name, table, asked)
            return cut(array, table, np.random.default_rng([seed, index]))
    except DataError as error:
        return error


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Say of whatever goes wrong while an image is read which image it is.

    Raises:
        DataError: something went wrong.
    """
    try:
        yield
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{name} has more than {most:,} pixels; make it smaller first") from error
    except Exception as error:
        raise DataError(f"{name} cannot be read as an image: {error}") from error


def decode(image: Image.Image, name: str, table: DataTable) -> Pixels:
    """Return an upright, resized image as (height, width, 1 or 3)."""
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{name} has more than 8 bits a channel; convert it to 8 bits first")
    upright = ImageOps.exif_transpose(image)
    grey = upright.mode in ("1", "L", "LA") if table.color == "as is" else table.color == "grey"
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        if upright.getchannel("A").getextrema()[0] != 255:
            raise DataError(f"{name} is partly transparent; flatten it on a background first")
    return np.atleast_3d(np.asarray(resize(upright.convert("L" if grey else "RGB"), table)))


def resize(image: Image.Image, table: DataTable) -> Image.Image:
    """Return the image at the size that cropping starts from."""
    if table.resize == "none":
        return image
    scale = max(table.height / image.height, table.width / image.width)
    if table.resize != "fit":
        scale = table.resize / min(image.height, image.width)
    size = (round(image.width * scale), round(image.height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def check_large_enough(array: Pixels, name: str, table: DataTable, asked: str) -> None:
    """Refuse an image that is smaller than a crop."""
    if min(array.shape[0] - table.height, array.shape[1] - table.width) < 0:
        crop, resized = f"{table.height} x {table.width}", table.resize != "none"
        given = "such a shape" if resized else f"{crop} pixels or more; the run does not resize"
        remedy = 'set data.resize to "fit"' if asked == "data.source" else f"give images of {given}"
        size = f"{array.shape[0]} x {array.shape[1]} pixels{' after resizing' if resized else ''}"
        raise DataError(f"{name} is {size}, smaller than the crop of {crop}; {remedy}")


def cut(array: Pixels, table: DataTable, rng: np.random.Generator) -> Pixels:
    """Return the crops of one image, (crops, height, width, channels)."""
    spare_rows, spare_columns = array.shape[0] - table.height, array.shape[1] - table.width
    corners = [(spare_rows // 2, spare_columns // 2)]
    if table.crop == "random":
        draws = rng.integers(0, [spare_rows + 1, spare_columns + 1], (table.crops, 2))
        corners = [(int(row), int(column)) for row, column in draws]
    elif table.crop == "grid":
        rows = range(0, spare_rows + 1, table.height)
        corners = list(product(rows, range(0, spare_columns + 1, table.width)))
    return np.stack([array[r : r + table.height, c : c + table.width] for r, c in corners])
