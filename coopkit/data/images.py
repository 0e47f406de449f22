"""Images to tensors: one fixed linear map from [0, 255] to [−1, 1], the same for every image."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import count

import attrs
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from coopkit.data.cutting import Pixels, attempt, decode, reading
from coopkit.data.sources import find_images
from coopkit.data.table import DataTable
from coopkit.errors import DataError
from coopkit.interfaces import Shape


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
