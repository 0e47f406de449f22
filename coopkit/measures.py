"""How far apart signals are, and how long a gradient is."""

import torch
from einops import rearrange
from torch import Tensor
from torch.optim import Optimizer


def spread(x: Tensor) -> Tensor:
    """Return the mean distance ‖·‖ between two of the signals (n, ...), n ≥ 2."""
    return torch.pdist(rearrange(x, "n ... -> n (...)")).mean()


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference per entry, in the units of the signal."""
    return (a - b).abs().mean()


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """Return ‖·‖ of all gradients that an optimiser is about to use, a scalar tensor."""
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    return torch.nn.utils.get_total_norm(gradients)
