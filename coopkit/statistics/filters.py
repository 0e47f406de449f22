"""Oriented band-pass filters, and images brought to the same local contrast."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, fft

HIGHEST = 0.7
"""The frequency at the centre of the finest band, 1 being half a cycle per pixel."""

SHADING = 12.0
"""The width of the window within which light and contrast are evened out, in pixels."""

QUIET = 0.05
"""The share of the whole image's variance added to the local one, which leaves flat parts flat."""

LUMINANCE = (0.299, 0.587, 0.114)
"""The weights of red, green and blue (ITU-R BT.601)."""


def luminance(images: Tensor) -> Tensor:
    """Return the grey of images (n, 1 or 3, height, width) as (n, height, width)."""
    if images.shape[1] == 1:
        return images[:, 0]
    weights = torch.tensor(LUMINANCE, dtype=images.dtype, device=images.device)
    return torch.einsum("nchw,c->nhw", images, weights)


@lru_cache(maxsize=4)
def oriented(height: int, width: int, scales: int, orientations: int) -> Tensor:
    """Return the frequency responses of complex band-pass filters, an octave wide.

    They are those of the steerable pyramid, but of one half of the plane of frequencies each, so
    that what they let pass is complex and its magnitude knows no phase. Within the bands the
    squares of all of them and their mirror images add up to 1.

    Returns:
        (scales, orientations, height, width), real, in the order of `torch.fft`; scales from fine
        to coarse, orientations π/orientations apart, the first of vertical stripes.

    Source: Portilla and Simoncelli, "A parametric texture model based on joint statistics of
    complex wavelet coefficients", 2000.
    """
    down, across = 2 * fft.fftfreq(height)[:, None], 2 * fft.fftfreq(width)[None]
    octave = torch.log2(torch.hypot(down, across).clamp(min=1e-9) / HIGHEST)
    angle = torch.atan2(down, across)
    bands = [torch.cos(math.pi / 2 * (octave + j).clamp(-1, 1)) for j in range(scales)]
    order = orientations - 1
    total = orientations * math.comb(2 * order, order) / 4**order
    lobes = [
        torch.cos(angle - math.pi * k / orientations).clamp(min=0) ** order / math.sqrt(total)
        for k in range(orientations)
    ]
    return torch.stack([torch.stack([band * lobe for lobe in lobes]) for band in bands])


def blur(images: Tensor, width: float) -> Tensor:
    """Return images (n, height, width) under a Gaussian window, mirrored at their edges.

    Args:
        images: at least 2 pixels a side.
        width: the standard deviation of the window, in pixels.
    """
    reach = min(math.ceil(3 * width), min(images.shape[-2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    window = torch.softmax(-offsets.square() / (2 * width**2), 0)
    padded = F.pad(images[:, None], (reach,) * 4, mode="reflect")
    down = F.conv2d(padded, window[None, None, :, None])
    return F.conv2d(down, window[None, None, None, :])[:, 0]


def even_contrast(images: Tensor) -> Tensor:
    """Return grey images (n, height, width) less their local mean, over their local contrast."""
    share = QUIET * images.var((-2, -1), keepdim=True)
    centred = images - blur(images, SHADING)
    tiny = torch.finfo(images.dtype).tiny
    return centred / (blur(centred.square(), SHADING) + share + tiny).sqrt()
