"""Batch and group normalisation for fixed weights, whatever the order of an image in memory."""

from typing import Any

import torch
from einops import reduce, repeat
from torch import Tensor, fx

from coopkit.fast.graphs import is_image, replace

aten = torch.ops.aten


def rewrite_batch_norm(graph: fx.Graph, node: Any) -> None:
    """Write a batch normalisation with fixed statistics as one scale and one shift."""
    x, weight, bias, mean, variance, training, _, eps = node.args
    users = [user for user in node.users if user.args[1] == 0]
    if training or len(users) != 1:
        return
    with graph.inserting_before(node):
        derived = graph.call_function(affine, (weight, bias, mean, variance, eps))
    replace(graph, users[0], scale_and_shift, (x, derived))


def rewrite_batch_norm_backward(graph: fx.Graph, node: Any) -> None:
    """Write its gradient with respect to the input as one scale."""
    pull, _, weight, mean, variance, _, _, training, eps, _ = node.args
    users = [user for user in node.users if len(user.users)]
    if training or [user.args[1] for user in users] != [0]:
        return
    with graph.inserting_before(node):
        derived = graph.call_function(affine, (weight, None, mean, variance, eps))
    replace(graph, users[0], only_scale, (pull, derived))


def rewrite_group_norm_backward(graph: fx.Graph, node: Any) -> None:
    """Write its gradient with respect to the input so that channels may be last."""
    pull, x, mean, rstd, weight, *_ = node.args
    users = [user for user in node.users if len(user.users)]
    if is_image(pull) and [user.args[1] for user in users] == [0]:
        replace(graph, users[0], group_norm_backward, (pull, x, mean, rstd, weight))


def affine(weight: Any, bias: Any, mean: Tensor, variance: Tensor, eps: float) -> Any:
    """Return scale and shift of a batch normalisation with fixed statistics, (channels,)."""
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    return scale, shift if bias is None else shift + bias


def scale_and_shift(x: Tensor, derived: tuple[Tensor, Tensor]) -> Tensor:
    """Return x · scale + shift, channel by channel, of the type of x."""
    scale, shift = (column_of(part, x) for part in derived)
    return torch.addcmul(shift, x, scale).to(x.dtype)


def only_scale(x: Tensor, derived: tuple[Tensor, Tensor]) -> Tensor:
    """Return x · scale, channel by channel, of the type of x."""
    return (x * column_of(derived[0], x)).to(x.dtype)


def group_norm_backward(
    pull: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None
) -> Tensor:
    """Return the gradient of a group normalisation with respect to x, (n, channels, h, w).

    Args:
        pull: the gradient with respect to its output.
        x: its input.
        mean: of each group, (n, groups).
        rstd: one over the standard deviation of each group, (n, groups).
        weight: of each channel, or None.
    """
    groups = mean.shape[1]
    scale = x.new_ones(x.shape[1]) if weight is None else weight
    sums = [scale * part.sum((2, 3)) for part in (pull, pull * x)]
    total, product = (reduce(part, "n (g c) -> n g", "sum", g=groups) for part in sums)
    entries = x[0].numel() // groups
    slope = (total * mean - product) * rstd**3 / entries
    offset = -slope * mean - total * rstd / entries
    each = [repeat(part, "n g -> n (g c) 1 1", c=len(scale) // groups) for part in (slope, offset)]
    rate = repeat(rstd, "n g -> n (g c) 1 1", c=len(scale) // groups) * column_of(scale, x)
    return torch.addcmul(each[1], pull, rate).addcmul_(x, each[0]).to(x.dtype)


def column_of(part: Tensor, x: Tensor) -> Tensor:
    """Return (channels,) so that it broadcasts against x, (n, channels, ...)."""
    return part.reshape(-1, *(1 for _ in x.shape[2:]))


NORMALIZATIONS = {
    aten.native_batch_norm.default: rewrite_batch_norm,
    aten.native_batch_norm_backward.default: rewrite_batch_norm_backward,
    aten.native_group_norm_backward.default: rewrite_group_norm_backward,
}
"""What is rewritten, and how."""
