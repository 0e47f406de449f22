"""Images to tensors: one fixed linear map from [0, 255] to [−1, 1], the same for every image."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from importlib import resources
from itertools import count, product
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import torch
from attrs.validators import ge
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from coopkit.errors import DataError, did_you_mean
from coopkit.interfaces import Shape

PHOTOGRAPHS = ("brick", "grass", "gravel", "camera", "chelsea", "coffee", "rocket")
"""CC0 photographs in scikit-image, found in its installed files without importing it."""

DIGITS = "digits"
"""scikit-learn's 1,797 handwritten digits of 8×8 (extra ``digits``)."""

Pixels = NDArray[np.uint8]
Opener = Callable[[], Image.Image]


def no_size_below_1(_: object, __: object, value: object) -> None:
    """Refuse sizes that no image has."""
    if isinstance(value, int) and value < 1:
        raise ValueError(f"must be >= 1: {value}")


@attrs.frozen(kw_only=True)
class DataTable:
    """Where the observed signals come from.

    Attributes:
        source: a file, a folder (searched in depth), or one of the packaged names brick, grass,
            gravel, camera, chelsea, coffee, rocket and digits. Write ./brick for a folder named so.
        height: of a signal, in pixels.
        width: of a signal, in pixels.
        color: "as is" wants all images grey or all in colour; "grey" and "rgb" convert.
        resize: the shorter side before cropping, in pixels; "fit" makes an image just cover the
            crop, "none" leaves it as it is.
        crop: "center" takes one crop of each image, "random" takes `crops` at random places drawn
            once from the run's seed, "grid" takes all that fit side by side.
        crops: random crops of each image.
        mirror: every crop, left and right exchanged, is an example, too, after all others.
        subtract_mean: subtract the mean of all pixels of the data set, one number.
        workers: threads that read and decode; the result does not depend on it.
    """

    source: str
    height: int = attrs.field(default=64, validator=ge(1))
    width: int = attrs.field(default=64, validator=ge(1))
    color: Literal["as is", "grey", "rgb"] = "as is"
    resize: int | Literal["fit", "none"] = attrs.field(default="fit", validator=no_size_below_1)
    crop: Literal["center", "random", "grid"] = "center"
    crops: int = attrs.field(default=1, validator=ge(1))
    mirror: bool = False
    subtract_mean: bool = False
    workers: int = attrs.field(default=4, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.crops > 1 and self.crop != "random":
            raise ValueError(f'crops = {self.crops} needs crop = "random", not {self.crop!r}')


@attrs.frozen(eq=False)
class Images:
    """A data set in memory.

    Attributes:
        pixels: (examples, channels, height, width), uint8.
        mean: what is subtracted from every signal after the map to [−1, 1].
    """

    pixels: Tensor
    mean: float

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> Shape:
        """The shape of one signal, (channels, height, width)."""
        return tuple(self.pixels.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the data set, by which a resumed run knows that it is the same."""
        return hashlib.sha256(self.pixels.contiguous().numpy().data).hexdigest()

    def signals(self, places: Tensor) -> Tensor:
        """Return the signals at these places, (n, channels, height, width), float32."""
        return to_signals(self.pixels[places], self.mean)


def to_signals(pixels: Tensor, mean: float = 0.0) -> Tensor:
    """Return pixels / 127.5 − 1 − mean as float32."""
    return pixels.to(torch.float32) / 127.5 - 1.0 - mean


def to_pixels(signals: Tensor, mean: float = 0.0) -> Tensor:
    """Return the nearest uint8 pixels; what lies outside [−1, 1] is cut off, never stretched."""
    return ((signals.float() + mean + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def load_images(table: DataTable, seed: int = 0, asked: str = "data.source") -> Images:
    """Read a data set.

    Args:
        table: what to read and how to cut it.
        seed: of the places of random crops.
        asked: what a user has written the source to, for messages.

    Raises:
        DataError: nothing is there, or a file is unreadable, truncated, too small or unlike the
            others; the message names it.
    """
    sources = list(find_images(table.source, asked))
    with ThreadPoolExecutor(table.workers) as pool:
        attempts = list(pool.map(partial(attempt, table, seed, asked), count(), sources))
    failures = [str(item) for item in attempts if isinstance(item, DataError)]
    if failures:
        more = f"\n... and {len(failures) - 5} more" if len(failures) > 5 else ""
        raise DataError("\n".join(failures[:5]) + more)
    crops = [item for item in attempts if not isinstance(item, DataError)]
    check_alike(table, [name for name, _ in sources], crops)
    pixels = torch.from_numpy(rearrange(np.concatenate(crops), "n h w c -> n c h w").copy())
    if table.mirror:
        pixels = torch.cat([pixels, pixels.flip(-1)])
    mean = float(pixels.double().mean() / 127.5 - 1) if table.subtract_mean else 0.0
    return Images(pixels, mean)


def load_whole(table: DataTable) -> Tensor:
    """Return the first image of a source, resized but not cropped, (1, channels, height, width).

    Raises:
        DataError: it cannot be read.
    """
    name, opener = next(find_images(table.source))
    with reading(name), opener() as image:
        pixels = decode(image, name, table)
    return torch.from_numpy(rearrange(pixels, "h w c -> 1 c h w").copy())


def check_alike(table: DataTable, names: list[str], crops: list[Pixels]) -> None:
    """Refuse grey and colour images in one data set.

    Raises:
        DataError: naming one file of each kind and the key that converts.
    """
    channels = [crop.shape[-1] for crop in crops]
    if len(set(channels)) > 1:
        grey, colour = names[channels.index(1)], names[channels.index(3)]
        raise DataError(
            f"{table.source}: {grey} is grey but {colour} is in colour; "
            'set data.color to "grey" or "rgb" to convert them'
        )


def find_images(source: str, asked: str = "data.source") -> Iterator[tuple[str, Opener]]:
    """Yield the name of each image of a source and how to open it, in a fixed order.

    Args:
        source: as `DataTable` has it.
        asked: what a user has written it to, for messages.

    Raises:
        DataError: the source does not exist or holds no image.
    """
    path = Path(os.path.expanduser(source))
    if source in PHOTOGRAPHS:
        (packaged,) = Path(str(resources.files("skimage.data"))).glob(f"{source}.*")
        yield source, partial(Image.open, packaged)
    elif source == DIGITS:
        yield from digits(asked)
    elif path.is_file():
        yield str(path), partial(Image.open, path)
    elif not source or not path.is_dir():
        raise DataError(
            f"{asked}: {source!r} is no file, no folder and no packaged name; "
            f"{did_you_mean(source, [*PHOTOGRAPHS, DIGITS])}"
        )
    else:
        files = sorted(file for file in path.rglob("*") if is_visible_image(file, path))
        if not files:
            raise DataError(f"{asked}: the folder {source!r} holds no image")
        for file in files:
            yield str(file), partial(Image.open, file)


def is_visible_image(file: Path, folder: Path) -> bool:
    """Whether a file is named as an image that can be read, and nothing on the way is hidden."""
    readable = Image.registered_extensions().get(file.suffix.lower()) in Image.OPEN
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return readable and not hidden and file.is_file()


def digits(asked: str) -> Iterator[tuple[str, Opener]]:
    """Yield scikit-learn's digits, 0 to 16 mapped to 0 to 255."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"{asked}: digits needs scikit-learn; install it with: pip install 'coopkit[digits]'"
        ) from error
    for number, image in enumerate(load_digits().images):
        grey = np.rint(image * (255 / 16)).astype(np.uint8)
        yield f"digit {number}", partial(Image.fromarray, grey)


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
