"""Turning a traced list of operations into a faster one that gives the same numbers."""

from typing import Any

import torch
from torch import Tensor, fx

from coopkit.fast.choices import Choices, Kind
from coopkit.fast.convolutions import Layer
from coopkit.fast.graphs import replace, value
from coopkit.fast.layout import lay_out, write_in_place
from coopkit.fast.normalization import NORMALIZATIONS
from coopkit.fast.tracing import levels

aten = torch.ops.aten

CONSTANT_LIKE = {aten.ones_like.default: 1.0, aten.zeros_like.default: 0.0}
VIEWS = (aten.view.default, aten._unsafe_view.default)


def rewrite(graph: fx.Graph, constants: int, choices: Choices) -> None:
    """Make a traced graph faster, in place.

    Args:
        graph: from `trace`.
        constants: how many of its placeholders are constants.
        choices: how to compute each convolution.
    """
    for node in list(graph.nodes):
        if node.target in CONSTANT_LIKE:
            fill(graph, node)
    level = levels(graph, constants)
    for node in [node for node in graph.nodes if level[node] > 0]:
        if node.target in VIEWS:
            node.target = torch.reshape
        elif node.target in NORMALIZATIONS:
            NORMALIZATIONS[node.target](graph, node)
    level = levels(graph, constants)
    for node in [node for node in graph.nodes if level[node] > 0]:
        if node.target is aten.convolution.default and level[node.args[1]] == 0:
            rewrite_convolution(graph, node, choices)
        elif node.target is aten.convolution_backward.default and level[node.args[2]] == 0:
            rewrite_convolution_backward(graph, node, choices)
    graph.eliminate_dead_code()
    lay_out(graph, levels(graph, constants))
    write_in_place(graph, levels(graph, constants))
    graph.eliminate_dead_code()


def fill(graph: fx.Graph, node: Any) -> None:
    """Let a tensor of ones or zeros depend on no other."""
    like, number = value(node), CONSTANT_LIKE[node.target]
    with graph.inserting_before(node):
        full = graph.call_function(aten.full.default, (like.shape, number))
    full.kwargs = {"dtype": like.dtype, "device": like.device}
    full.meta = dict(node.meta)
    node.replace_all_uses_with(full)


def rewrite_convolution(graph: fx.Graph, node: Any, choices: Choices) -> None:
    """Compute a convolution, or a transposed one, in the chosen way."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = node.args
    if transposed:
        found = plain_layer(value(node), value(weight), stride, padding, dilation, groups)
        if found is not None and found.out == tuple(value(x).shape[2:]):
            compute(graph, node, "spreading", found, choices, x, weight, bias)
        return
    found = plain_layer(value(x), value(weight), stride, padding, dilation, groups)
    if found is not None:
        compute(graph, node, "correlation", found, choices, x, weight, bias)


def rewrite_convolution_backward(graph: fx.Graph, node: Any, choices: Choices) -> None:
    """Compute the gradient of a convolution with respect to its input in the chosen way."""
    pull, x, weight, _, stride, padding, dilation, transposed, _, groups, _ = node.args
    places = {user.args[1] for user in node.users if len(user.users)}
    if places != {0}:
        return
    (result,) = (user for user in node.users if user.args[1] == 0)
    image = value(pull if transposed else x)
    kind: Kind = "correlation" if transposed else "spreading"
    found = plain_layer(image, value(weight), stride, padding, dilation, groups)
    if found is not None:
        compute(graph, result, kind, found, choices, pull, weight, None)


def plain_layer(
    image: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int
) -> Layer | None:
    """Return the numbers of a plain two-dimensional convolution of `image`; None of another."""
    if image.dim() != 4 or groups != 1 or set(dilation) != {1}:
        return None
    filters, channels, *kernel = weight.shape
    size = tuple(image.shape[2:])
    return Layer(channels, filters, size, tuple(kernel), tuple(stride), tuple(padding))  # type: ignore[arg-type]


def compute(
    graph: fx.Graph,
    node: Any,
    kind: Kind,
    layer: Layer,
    choices: Choices,
    x: Any,
    weight: Any,
    bias: Any,
) -> None:
    """Put the chosen way in the place of a node."""
    way = choices.choose(kind, layer, value(x))
    with graph.inserting_before(node):
        derived = graph.call_function(way.derive, (weight, bias))
        replace(graph, node, way.apply, (x, derived))
