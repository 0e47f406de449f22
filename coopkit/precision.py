"""Sums over the entries of a chain, in the finest precision that a device has."""

import torch
from einops import rearrange
from torch import Tensor


def finest(device: torch.device) -> torch.dtype:
    """Return float64, and float32 on Apple's graphics processors, which have no wider type."""
    return torch.float32 if device.type == "mps" else torch.float64


def total(x: Tensor) -> Tensor:
    """Return the sum over the entries of each chain, (chains, ...) to (chains,), in `finest`.

    Samplers accept by differences of log p of one unit and less, while its two parts, f and
    ‖Y‖²/2s², are in the millions for an image, where the numbers of float32 are half a unit apart.
    """
    entries: Tensor = rearrange(x, "chains ... -> chains (...)")
    return entries.sum(1, dtype=finest(x.device))


def total_of_squares(x: Tensor) -> Tensor:
    """Return ‖x‖² of each chain, (chains, ...) to (chains,), in `finest`."""
    fine = x.to(finest(x.device))
    return total(fine * fine)
