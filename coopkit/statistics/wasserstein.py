"""How far one set of images is from another: the multi-scale sliced Wasserstein distance.

Source: Karras, Aila, Laine and Lehtinen, "Progressive growing of GANs for improved quality,
stability, and variation", 2018, section 5.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from coopkit.errors import DataError
from coopkit.statistics.scales import Scale, scale_of

PATCH = 7
"""The side of a patch, in pixels."""

COARSEST = 16
"""The shortest side of the last level of a pyramid, in pixels; smaller images have one level."""

PATCHES = 4096
"""Patches drawn of each level of each set."""

DIRECTIONS = 512
"""Directions onto which they are projected."""

SPLITS = 4
"""Ways to halve a set, over which its scale is a mean."""


def widened(images: Tensor) -> Tensor:
    """Return images (n, c, height, width) under the binomial window 1, 4, 6, 4, 1, over 16."""
    window = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=images.dtype, device=images.device) / 16
    channels = images.shape[1]
    kernel = torch.outer(window, window).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2,) * 4, mode="reflect"), kernel, groups=channels)


def enlarged(images: Tensor, height: int, width: int) -> Tensor:
    """Return images of twice the size, or one less, by zeros between pixels and the window."""
    spaced = images.new_zeros(*images.shape[:2], height, width)
    spaced[..., ::2, ::2] = 4 * images
    return widened(spaced)


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Return what each octave of images (n, c, height, width) holds, the finest first.

    The last level holds all that is coarser.
    """
    levels = []
    while min(images.shape[-2:]) >= 2 * COARSEST:
        smaller = widened(images)[..., ::2, ::2]
        levels.append(images - enlarged(smaller, *images.shape[-2:]))
        images = smaller
    return [*levels, images]


def draw_patches(level: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Return patches at random places of random images, each channel with mean 0 and variance 1.

    Args:
        level: (n, channels, height, width).
        count: how many.
        rng: of the places; on the CPU.

    Returns:
        (count, channels · 7 · 7). Mean and variance are those of all the patches.
    """
    n, _, height, width = level.shape
    sizes = (n, height - PATCH + 1, width - PATCH + 1)
    image, row, column = (torch.randint(size, (count,), generator=rng) for size in sizes)
    offsets = torch.arange(PATCH)
    rows = (row[:, None] + offsets)[:, :, None]
    columns = (column[:, None] + offsets)[:, None, :]
    patches = level[image[:, None, None], :, rows, columns]
    centred = patches - patches.mean((0, 1, 2))
    deviation = centred.square().mean((0, 1, 2)).sqrt()
    even = centred / (deviation + torch.finfo(level.dtype).eps)
    return rearrange(even, "n height width c -> n (c height width)")


def sliced_wasserstein(a: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    """Return the mean over directions of the Wasserstein-1 distance of two sets projected there.

    Args:
        a: (n, d).
        b: (n, d), as many.
        directions: (d, directions), of length 1 each.
    """
    first, second = (ordered(directions.T @ points.T) for points in (a, b))
    return (first - second).abs().mean()


def ordered(rows: Tensor) -> Tensor:
    """Return rows in ascending order; on a CPU numpy sorts faster than torch."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.sort(rows.detach().numpy(), axis=-1))
    return torch.sort(rows).values


def check_sets(*sets: Tensor) -> None:
    """Refuse sets of images that cannot be compared.

    Raises:
        DataError: they differ in shape, are empty, or smaller than a patch.
    """
    shapes = {tuple(images.shape[1:]) for images in sets}
    if len(shapes) > 1:
        raise DataError(f"images of one shape only can be compared, not {sorted(shapes)}")
    smallest = min(min(images.shape[-2:]) for images in sets)
    if smallest < PATCH or not all(len(images) for images in sets):
        raise DataError(f"the sliced Wasserstein distance needs images of {PATCH} x {PATCH} pixels")


def swd(a: Tensor, b: Tensor, seed: int = 0) -> float:
    """Return the multi-scale sliced Wasserstein distance between two sets of images.

    Args:
        a: (n, channels, height, width), in any unit: patches are normalised over the set.
        b: (m, channels, height, width).
        seed: of the patches and the directions.

    Returns:
        The mean over the levels of the Laplacian pyramids, in standard deviations of a channel.

    Raises:
        DataError: the images differ in shape or are smaller than a patch.
    """
    check_sets(a, b)
    rng = torch.Generator().manual_seed(seed)
    distances = []
    for levels in zip(laplacian_pyramid(a), laplacian_pyramid(b), strict=True):
        patches = [draw_patches(level, PATCHES, rng) for level in levels]
        drawn = torch.randn(patches[0].shape[1], DIRECTIONS, generator=rng).to(patches[0])
        directions = drawn / drawn.norm(dim=0)
        distances.append(sliced_wasserstein(patches[0], patches[1], directions))
    return float(torch.stack(distances).mean())


def like_gaussian(data: Tensor, count: int, seed: int = 0) -> Tensor:
    """Return images from the Gaussian that has the mean and the covariance of a set.

    They are the mean and a random sum of the deviations from it, so that the covariance, of lower
    rank than it has rows, is never formed.

    Args:
        data: (n, ...), n ≥ 2.
        count: how many.
        seed: of all randomness.
    """
    rng = torch.Generator().manual_seed(seed)
    mean = data.mean(0)
    weights = torch.randn(count, len(data), generator=rng).to(data) / (len(data) - 1) ** 0.5
    deviations: Tensor = torch.tensordot(weights, data - mean, dims=1)
    return mean + deviations


def swd_scale(data: Tensor, seed: int = 0, others: Tensor | None = None) -> Scale:
    """Return how far the halves of a set are apart, and one's Gaussian from the other.

    Both are distances from the same half, so that few images raise the one as they raise the other.
    They are means over several ways to halve the set, and the spread is that between these.

    Args:
        data: (n, channels, height, width), n ≥ 2.
        seed: of the halves, the Gaussian images, the patches and the directions.
        others: another set, of two images or more: half of it then takes the place of the second
            half of the data.

    Raises:
        DataError: there are fewer than two images, or they are smaller than a patch.
    """
    if min(len(data), len(data if others is None else others)) < 2:
        raise DataError("a set of one image has no halves to compare")
    seeds = range(seed, seed + SPLITS)
    floors, ceilings = zip(*(halved(data, split, others) for split in seeds), strict=True)
    return scale_of(floors, ceilings)


def halved(data: Tensor, seed: int, others: Tensor | None = None) -> tuple[float, float]:
    """Return how far half of a set, and its Gaussian, is from its other half or half of another."""
    rest, one = halves(data, seed)
    if others is not None:
        rest, _ = halves(others, seed)
    noise = like_gaussian(one, len(one), seed) if len(one) > 1 else one
    return swd(one, rest, seed), swd(noise, rest, seed)


def halves(data: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return two halves of a set; of an odd number the second is larger."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    half = len(data) // 2
    return data[order[:half]], data[order[half:]]
