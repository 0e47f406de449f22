"""Whether samples are copies of the data, and whether they differ from each other."""

import math
from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from coopkit.errors import DataError
from coopkit.measures import spread

CHUNK = 1024
"""Images of the data at a time, which bounds the memory."""

Prepare = Callable[[Tensor], Tensor]


@attrs.frozen(eq=False)
class Nearest:
    """The nearest image of a set to each of some images.

    Attributes:
        index: where it stands in the set, (n,).
        distance: the root of the mean square difference per entry, (n,), in the units of the image.
    """

    index: Tensor
    distance: Tensor


def as_they_are(images: Tensor) -> Tensor:
    """Return images."""
    return images


def nearest(
    images: Tensor, data: Tensor, chunk: int = CHUNK, prepare: Prepare = as_they_are
) -> Nearest:
    """Return the nearest image of the data to each image.

    Args:
        images: (n, ...).
        data: (m, ...), of the same shape each.
        chunk: images of the data at a time, which bounds the memory.
        prepare: makes images of a chunk of the data, which may be kept as something smaller.

    Raises:
        DataError: the shapes differ, or the data are empty.
    """
    check_alike(images, data)
    return closest(in_chunks(images, data, chunk, prepare))


def nearest_others(
    data: Tensor,
    places: Tensor | None = None,
    copies: int = 1,
    prepare: Prepare = as_they_are,
) -> Nearest:
    """Return the nearest other image of the data to each of them, or to those at some places.

    Args:
        data: (copies · m, ...), m ≥ 2: all images, then a copy of each in the same order, and so
            on; a copy of an image is no other one.
        places: below m; all of them if left out.
        copies: how often each image is among them, changed or not.
        prepare: as `nearest` has it.

    Raises:
        DataError: there are fewer than two.
    """
    originals = len(data) // copies
    if originals < 2:
        raise DataError("a set of one image has no other that could be near it")
    places = torch.arange(originals) if places is None else places
    table = in_chunks(prepare(data[places]), data, CHUNK, prepare)
    for first in range(0, len(data), originals):
        table[torch.arange(len(places)), places + first] = torch.inf
    return closest(table)


def in_chunks(images: Tensor, data: Tensor, chunk: int, prepare: Prepare) -> Tensor:
    """Return the distance of each image from each of the data, so many of them at a time."""
    return torch.cat([distances(images, prepare(part)) for part in torch.split(data, chunk)], 1)


def closest(table: Tensor) -> Nearest:
    """Return the least distance of each row (n, m) and its place."""
    least = table.min(1)
    return Nearest(index=least.indices, distance=least.values)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the root mean square difference of each of (n, ...) from each of (m, ...), (n, m)."""
    exact = "donot_use_mm_for_euclid_dist"
    lengths: Tensor = torch.cdist(a.flatten(1), b.flatten(1), compute_mode=exact)
    return lengths / math.sqrt(a[0].numel())


def check_alike(a: Tensor, b: Tensor) -> None:
    """Refuse images that cannot be subtracted from each other.

    Raises:
        DataError: the shapes differ, or there are none.
    """
    if a.shape[1:] != b.shape[1:] or not len(a) or not len(b):
        raise DataError(
            f"images of one shape only can be compared, not {tuple(a.shape)} and {tuple(b.shape)}"
        )


def diversity(images: Tensor, data: Tensor, apart: Tensor | None = None) -> float:
    """Return the mean distance between two of the images, over that between two of the data.

    Args:
        images: (n, ...), n ≥ 2.
        data: (m, ...), m ≥ 2.
        apart: the mean distance between two of the data, where it is known: it takes all pairs.

    Raises:
        DataError: the shapes differ, or there are fewer than two of either.
    """
    check_alike(images, data)
    if min(len(images), len(data)) < 2:
        raise DataError("diversity needs two images and two of the data at least")
    return float(spread(images) / (spread(data) if apart is None else apart))
