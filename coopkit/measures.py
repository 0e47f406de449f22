"""How far apart signals are."""

import torch
from einops import rearrange
from torch import Tensor


def spread(x: Tensor) -> Tensor:
    """Return the mean distance ‖·‖ between two of the signals (n, ...), n ≥ 2."""
    return torch.pdist(rearrange(x, "n ... -> n (...)")).mean()


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference per entry, in the units of the signal."""
    return (a - b).abs().mean()
