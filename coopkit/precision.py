"""The precision of sums over the entries of a chain, and of a network that an engine casts."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn


@cache
def finest(device: torch.device) -> torch.dtype:
    """Return float64, or float32 where a device has no wider type, as Apple's have none."""
    if device.type in ("cpu", "cuda", "meta"):
        return torch.float64
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):
        return torch.float32
    return torch.float64


CONVOLUTIONS: tuple[Any, str, object] = (
    (torch.backends.cudnn.conv, "fp32_precision", "ieee")
    if hasattr(torch.backends.cudnn, "conv")
    else (torch.backends.cudnn, "allow_tf32", False)
)
"""Where torch, since 2.9 and before, has the precision of convolutions, and all digits' value."""


@contextmanager
def all_digits() -> Iterator[None]:
    """Have convolutions of float32 on a GPU keep all its digits, not the ten bits of TF32.

    That is what cuDNN does by default, and what a log p of some millions cannot bear; a gradient
    can.
    """
    flags, name, full = CONVOLUTIONS
    usual = getattr(flags, name)
    setattr(flags, name, full)
    try:
        yield
    finally:
        setattr(flags, name, usual)


def total(x: Tensor) -> Tensor:
    """Return the sum over the entries of each chain, (chains, ...) to (chains,), in `finest`.

    Samplers accept by differences of log p of one unit and less, while its two parts, f and
    ‖Y‖²/2s², are in the millions for an image, where the numbers of float32 are half a unit apart.
    """
    entries: Tensor = rearrange(x, "chains ... -> chains (...)")
    return entries.sum(1, dtype=finest(x.device))


def total_of_squares(x: Tensor) -> Tensor:
    """Return ‖x‖² of each chain, (chains, ...) to (chains,), in `finest`."""
    entries = rearrange(x, "chains ... -> chains (...)")
    norms: Tensor = torch.linalg.vector_norm(entries, dim=1, dtype=finest(x.device))
    return norms * norms


class Uncast(nn.Module):
    """A network by the forward it has now, whatever forward an engine that casts gives it later."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.own = network.forward

    def forward(self, x: Tensor) -> Tensor:
        """Return network(x) in the type of its weights."""
        cast, self.network.forward = self.network.forward, self.own
        try:
            value: Tensor = self.network(x)
        finally:
            self.network.forward = cast
        return value
