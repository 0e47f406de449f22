"""Latents by principal components: what factor analysis would infer of a data set."""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from coopkit.streams import seeded

ENTRIES = 2**27
"""Of the examples that the axes are computed from, at most, evenly spread over all: 512 MiB."""

AT_A_TIME = 1024
EXTRA, POWERS = 16, 3
SMALLEST = 1e-5
"""Axes along which examples spread less than this, of the first axis's spread, are left out."""


def component_latents(
    signals: Callable[[Tensor], Tensor], examples: int, drawn: Tensor, seed: int
) -> Tensor:
    """Return latents whose entries are the whitened principal components of the examples.

    Each entry has mean 0 and variance 1 over the examples, and no two are correlated, as N(0, I)
    has it. The first of them tell most of the examples, so that a generator needs not find out
    first what its latents are to mean. Axes are found by a randomised singular value decomposition
    (Halko, Martinsson and Tropp 2011). Bojanowski et al. 2018 begin latents like this, too.

    Args:
        signals: gives the examples at places (n,), (n, channels, height, width).
        examples: how many there are.
        drawn: (examples, *latent); entries for which the examples have no axis stay as they are.
        seed: of the decomposition.

    Returns:
        (examples, *latent).
    """
    places = fitted_places(examples, signals(torch.zeros(1).long()).numel())
    fitted = flat(signals(places))
    mean = fitted.mean(0)
    fitted -= mean
    latents = rearrange(drawn, "n ... -> n (...)").clone()
    rank = min(latents.shape[1] + EXTRA, *fitted.shape)
    with seeded(seed):
        _, spreads, axes = torch.svd_lowrank(fitted, rank, niter=POWERS)
    spread = int((spreads > SMALLEST * spreads[0]).sum())
    told = min(spread, latents.shape[1], len(places) - 1)
    whitened = axes[:, :told] * (len(places) ** 0.5 / spreads[:told])
    for rows in torch.split(torch.arange(examples), AT_A_TIME):
        own = (flat(signals(rows)) - mean) @ whitened
        latents[rows, :told] = own.to(latents.device)
    return latents.reshape(drawn.shape)


def fitted_places(examples: int, entries: int) -> Tensor:
    """Return the places of the examples of so many entries that the axes are computed from."""
    most = max(2, ENTRIES // entries)
    return torch.linspace(0, examples - 1, min(examples, most)).long()


def fitting_bytes(examples: int, entries: int) -> int:
    """Return the memory that computing the axes takes, about: examples in float32, twice."""
    return 2 * 4 * len(fitted_places(examples, entries)) * entries


def flat(signals: Tensor) -> Tensor:
    """Return each signal as a row, (n, entries)."""
    return rearrange(signals, "n ... -> n (...)")


__all__ = ["component_latents", "fitting_bytes"]
