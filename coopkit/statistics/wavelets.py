"""How far one texture is from another: statistics of the magnitudes of wavelets.

Uneven light and contrast are evened out first. What is compared then are means over positions,
so that images of different sizes can be held against each other. Colour is not looked at: the noise
at the ceiling has the colours of the real image, so that the scale would say nothing of them.

Source: Portilla and Simoncelli, "A parametric texture model based on joint statistics of complex
wavelet coefficients", 2000; Bruna and Mallat, "Invariant scattering convolution networks", 2013.
"""

from collections.abc import Callable
from itertools import combinations, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, fft

from coopkit.errors import DataError
from coopkit.statistics.filters import even_contrast, luminance, oriented
from coopkit.statistics.noise import phase_noise
from coopkit.statistics.scales import Scale, scale_of

SCALES = 4
ORIENTATIONS = 4

SMALLEST = 64
"""The shortest side of an image whose statistics mean something, in pixels."""

MIRRORED = 16
"""What is mirrored round an image before it is filtered, in pixels."""

MARGIN = 8
"""What is left out at each side of the filtered image, in pixels."""

NOISES = 16
"""Draws of the noise at the ceiling, whose distances from a photograph vary by up to a tenth."""

WEIGHTS = {
    "energy": 1.5,
    "variation": 1.5,
    "skewness": 0.35,
    "across orientations": 0.5,
    "across scales": 1.3,
    "phase": 1.0,
    "modulation": 4.0,
}
"""By how much the differences of a group count: the inverse of how large they come, about."""


def check_size(images: Tensor) -> None:
    """Refuse images whose statistics would mean nothing.

    Raises:
        DataError: they are too small, or not images.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"texture statistics need images (n, 1 or 3, height, width), not {tuple(images.shape)}"
        )
    if min(images.shape[-2:]) < SMALLEST:
        raise DataError(
            f"texture statistics need images of {SMALLEST} x {SMALLEST} pixels or more, "
            f"not {images.shape[-2]} x {images.shape[-1]}"
        )


def texture_statistics(images: Tensor) -> Tensor:
    """Return the statistics of each image, weighted so that each group counts alike.

    Args:
        images: (n, 1 or 3, height, width) in [−1, 1], of 64 pixels a side or more.

    Returns:
        (n, statistics), no unit. The mean square difference of two rows is the mean over the groups
        of the weighted mean square difference within the group.

    Raises:
        DataError: the images are too small, or not images.
    """
    check_size(images)
    return torch.cat([image_statistics(image[None]) for image in images])


def image_statistics(image: Tensor) -> Tensor:
    """Return the statistics of one image (1, channels, height, width) as (1, statistics)."""
    even = even_contrast(luminance(image))
    padded = F.pad(even[:, None], (MIRRORED,) * 4, mode="reflect")[0, 0]
    height, width = padded.shape
    filters = oriented(height, width, SCALES, ORIENTATIONS).to(padded.device)
    waves = fft.ifft2(fft.fft2(padded) * filters)
    magnitudes = power(waves).sqrt()
    groups = {"energy": energies(magnitudes, even)}
    groups |= moments(magnitudes)
    groups |= correlations(magnitudes)
    groups["phase"] = phases(waves)
    groups["modulation"] = modulations(magnitudes, filters)
    total = sum(len(values) for values in groups.values())
    weighted = [
        values * WEIGHTS[name] * (total / (len(groups) * len(values))) ** 0.5
        for name, values in groups.items()
    ]
    return torch.cat(weighted)[None]


def inner(filtered: Tensor) -> Tensor:
    """Return what of a filtered image (..., height, width) the edges do not reach."""
    edge = MIRRORED + MARGIN
    return filtered[..., edge:-edge, edge:-edge]


def power(waves: Tensor) -> Tensor:
    """Return |waves|², whose root takes a fifth of the time of `abs`."""
    return waves.real.square() + waves.imag.square()


def standardised(magnitudes: Tensor) -> Tensor:
    """Return magnitudes (..., height, width) less their mean, over their standard deviation."""
    spread = magnitudes.std((-2, -1), keepdim=True)
    tiny = torch.finfo(magnitudes.dtype).eps
    return (magnitudes - magnitudes.mean((-2, -1), keepdim=True)) / (spread + tiny)


def energies(magnitudes: Tensor, even: Tensor) -> Tensor:
    """Return the root of each band's share of the energy, (scales · orientations,)."""
    share = inner(magnitudes).square().mean((-2, -1)) / (even.square().mean() + 1e-12)
    return share.sqrt().flatten()


def moments(magnitudes: Tensor) -> dict[str, Tensor]:
    """Return the variation, log std/mean, and the skewness of each band's magnitudes."""
    within = inner(magnitudes)
    spread, mean = within.std((-2, -1)), within.mean((-2, -1))
    variation = ((spread + 1e-6) / (mean + 1e-6)).log()
    skewness = standardised(within).pow(3).mean((-2, -1))
    return {"variation": variation.flatten(), "skewness": skewness.flatten()}


def correlations(magnitudes: Tensor) -> dict[str, Tensor]:
    """Return how magnitudes go together, between orientations and between neighbouring scales."""
    even = standardised(inner(magnitudes)).flatten(2)
    count = even.shape[-1]
    one, other = torch.triu_indices(ORIENTATIONS, ORIENTATIONS, 1)
    orientations = [(scale @ scale.T / count)[one, other] for scale in even]
    scales = [(fine @ coarse.T / count).flatten() for fine, coarse in pairwise(even)]
    return {"across orientations": torch.cat(orientations), "across scales": torch.cat(scales)}


def phases(waves: Tensor) -> Tensor:
    """Return how the phase of a band follows the doubled phase of the next coarser one.

    Lines and edges differ in it, and so do bright lines from dark ones. Of the sines only the size
    is returned.
    """
    found = []
    for fine, coarse in pairwise(inner(waves)):
        doubled = coarse.square() / (power(coarse).sqrt() + 1e-6)
        both = power(fine).mean((-2, -1)) * power(doubled).mean((-2, -1))
        together = (fine * doubled.conj()).mean((-2, -1)) / (both.sqrt() + 1e-12)
        found += [together.real.flatten(), together.imag.abs().flatten()]
    return torch.cat(found)


def modulations(magnitudes: Tensor, filters: Tensor) -> Tensor:
    """Return the root of the shares of the variance of magnitudes in bands coarser than theirs."""
    variance = inner(magnitudes).var((-2, -1))[:, :, None]
    spectra = fft.fft2(magnitudes - magnitudes.mean((-2, -1), keepdim=True))
    found = []
    for fine, coarse in combinations(range(len(magnitudes)), 2):
        modes = fft.ifft2(spectra[fine, :, None] * filters[coarse])
        energy = power(inner(modes)).mean((-2, -1))
        found.append((energy / (variance[fine] + 1e-12)).sqrt().flatten())
    return torch.cat(found)


def root_mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance between statistics (n, d) and (n or 1, d), (n,)."""
    return (a - b).square().mean(-1).sqrt()


def texture_distance(
    images: Tensor, real: Tensor, progress: Callable[[int], None] = lambda done: None
) -> Tensor:
    """Return how far the texture of each image is from that of a real one.

    Args:
        images: (n, 1 or 3, height, width) in [−1, 1], of 64 pixels a side or more.
        real: (1, 1 or 3, height, width), of any such size.
        progress: told how many images are done.

    Returns:
        (n,), no unit: the root of the mean square difference of the statistics.

    Raises:
        DataError: the images are too small, or not images.
    """
    check_size(images)
    wanted = texture_statistics(real)
    distances = []
    for done, image in enumerate(images, 1):
        distances.append(root_mean_square(texture_statistics(image[None]), wanted))
        progress(done)
    return torch.cat(distances)


def texture_scale(
    real: Tensor,
    seed: int = 0,
    draws: int = NOISES,
    progress: Callable[[int], None] = lambda done: None,
) -> Scale:
    """Return how far the halves of a real image are apart, and how far noise like it is from it.

    Args:
        real: (1, 1 or 3, height, width) in [−1, 1], of 128 pixels a side or more.
        seed: of the noise, which has the spectrum and the values of the image.
        draws: of the noise, at least 2.
        progress: told how many draws are done.

    Returns:
        The floor: the mean of the distances of left from right and of top from bottom. The ceiling:
        the mean distance of the noise. The spread has both: where the two distances of halves
        differ much, the image is no one texture, and no distance from it means much.

    Raises:
        DataError: the image is too small.
    """
    rows, columns = real.shape[-2] // 2, real.shape[-1] // 2
    across = texture_distance(real[..., :columns], real[..., -columns:])
    down = texture_distance(real[..., :rows, :], real[..., -rows:, :])
    wanted, noise = texture_statistics(real), []
    for draw in range(draws):
        drawn = texture_statistics(phase_noise(real, seed + draw))
        noise.append(float(root_mean_square(drawn, wanted)))
        progress(draw + 1)
    return scale_of([float(across), float(down)], noise)
