"""Noise with the spectrum and the brightness of a photograph, and nothing else of it."""

import math

import torch
from torch import Tensor, fft


def periodic(image: Tensor) -> Tensor:
    """Return an image (..., height, width) less the smooth part by which its edges do not meet.

    Source: Moisan, "Periodic plus smooth image decomposition", 2011.
    """
    height, width = image.shape[-2:]
    jumps = torch.zeros_like(image)
    rows, columns = image[..., -1, :] - image[..., 0, :], image[..., -1] - image[..., 0]
    jumps[..., 0, :] += rows
    jumps[..., -1, :] -= rows
    jumps[..., 0] += columns
    jumps[..., -1] -= columns
    down = torch.cos(2 * math.pi * fft.fftfreq(height, dtype=image.dtype))[:, None]
    across = torch.cos(2 * math.pi * fft.fftfreq(width, dtype=image.dtype))
    laplacian = 2 * down + 2 * across - 4
    laplacian[0, 0] = 1
    smooth = fft.fft2(jumps) / laplacian
    smooth[..., 0, 0] = 0
    flattened: Tensor = image - fft.ifft2(smooth).real
    return flattened


def random_phase(image: Tensor, seed: int) -> Tensor:
    """Return an image with the same random phase added to all its channels.

    Args:
        image: (..., channels, height, width); it is taken to be periodic.
        seed: of the phases.

    Returns:
        Of the same shape; the spectrum of each channel and those across channels are kept.

    Source: Galerne, Gousseau and Morel, "Random phase textures: theory and synthesis", 2011.
    """
    rng = torch.Generator().manual_seed(seed)
    white = fft.fft2(torch.randn(image.shape[-2:], generator=rng, dtype=image.dtype))
    phase = white / white.abs()
    phase[0, 0] = 1
    phase = phase.to(image.device)
    shuffled: Tensor = fft.ifft2(fft.fft2(image) * phase).real
    return shuffled


def same_values(noise: Tensor, image: Tensor) -> Tensor:
    """Return the values of each channel of an image in the order of those of the noise."""
    values = image.flatten(-2).sort(-1).values
    order = noise.flatten(-2).argsort(dim=-1, stable=True)
    return torch.empty_like(values).scatter_(-1, order, values).view(image.shape)


def phase_noise(image: Tensor, seed: int) -> Tensor:
    """Return noise with the values of each channel of an image, and nearly its spectrum.

    Args:
        image: (..., channels, height, width).
        seed: of the noise.
    """
    return same_values(random_phase(periodic(image), seed), image)
