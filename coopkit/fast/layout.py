"""How the values of a traced list of operations lie in memory: channels last, and overwritten."""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, fx

from coopkit.fast.convolutions import CHANNELS_LAST
from coopkit.fast.graphs import insert_after, is_image, value
from coopkit.fast.normalization import column_of, group_norm_backward, only_scale, scale_and_shift

aten = torch.ops.aten

CONTIGUOUS_ONLY = (
    aten.native_group_norm_backward.default,
    aten.native_layer_norm.default,
    aten.native_layer_norm_backward.default,
)
"""Operations that give wrong numbers, or none, for images with their channels last."""


def lay_out(graph: fx.Graph, level: dict[fx.Node, int]) -> None:
    """Let images that enter the steps have their channels last, and results leave as usual."""
    nodes = list(graph.nodes)
    if not any(isinstance(node.target, MethodType) for node in nodes):
        return
    for node in nodes:
        later = [user for user in node.users if level[user] > 0 and wants_channels_last(user)]
        if is_image(node) and later and (node.op == "placeholder" or level[node] == 0):
            insert_after(graph, node, channels_last, later)
    for node in nodes:
        readers = [user for user in node.users if user.target in CONTIGUOUS_ONLY]
        if is_image(node) and level[node] > 0 and readers:
            insert_after(graph, node, torch.Tensor.contiguous, readers)
        normed = [user for user in node.users if user.target is aten.native_group_norm.default]
        if is_image(node) and level[node] > 0 and normed:
            on_cpu = value(node).device.type == "cpu"
            insert_after(graph, node, channels_last if on_cpu else torch.Tensor.contiguous, normed)
    (output,) = (node for node in nodes if node.op == "output")
    for node in output.all_input_nodes:
        insert_after(graph, node, torch.Tensor.contiguous, [output])


def wants_channels_last(node: fx.Node) -> bool:
    """Whether an operation may read images with their channels last."""
    return node.op != "output" and node.target not in CONTIGUOUS_ONLY


def channels_last(x: Tensor) -> Tensor:
    """Return x with the channels of a place side by side in memory."""
    return x.contiguous(memory_format=CHANNELS_LAST)


def write_in_place(graph: fx.Graph, level: dict[fx.Node, int]) -> None:
    """Let element-wise operations write over an argument that nothing else reads."""
    for node in list(graph.nodes):
        if node.target is aten.leaky_relu_backward.default:
            read_result(node)
    for node in graph.nodes:
        function = IN_PLACE.get(node.target)
        if function is None:
            continue
        written: Any = node.args[0]
        alone = list(written.users) == [node] and level[written] == level[node]
        if alone and is_fresh(written):
            node.target = function


def read_result(node: Any) -> None:
    """Let the gradient of a leaky ReLU look at its result, whose signs are those of its input."""
    pull, x, slope, of_result = node.args
    for forward in x.users:
        same = forward.target is aten.leaky_relu.default and [*forward.args[1:], 0.01][0] == slope
        if same and slope > 0 and not of_result:
            node.args = (pull, forward, slope, True)
            return


def is_fresh(node: fx.Node) -> bool:
    """Whether a node's value is memory of its own."""
    if isinstance(node.target, torch._ops.OpOverload):
        returned = node.target._schema.returns
        return len(returned) == 1 and returned[0].alias_info is None
    return node.target in FRESH or isinstance(node.target, MethodType)


def scaled_and_shifted(x: Tensor, derived: tuple[Tensor, Tensor]) -> Tensor:
    """Multiply x by scale and add shift, channel by channel."""
    scale, shift = (column_of(part, x) for part in derived)
    return x.mul_(scale).add_(shift)


def scaled(x: Tensor, derived: tuple[Tensor, Tensor]) -> Tensor:
    """Multiply x by scale, channel by channel."""
    return x.mul_(column_of(derived[0], x))


def over_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the gradient of a non-linearity, written over its first argument."""

    def write(pull: Tensor, *arguments: Any) -> Tensor:
        result: Tensor = function(pull, *arguments, grad_input=pull)
        return result

    return write


FRESH = (scale_and_shift, only_scale, group_norm_backward)
"""Functions of ours whose results are memory of their own."""
IN_PLACE: dict[Any, Callable[..., Any]] = {
    aten.relu.default: aten.relu_.default,
    aten.leaky_relu.default: aten.leaky_relu_.default,
    aten.elu.default: aten.elu_.default,
    aten.tanh.default: aten.tanh_.default,
    aten.threshold_backward.default: over_first(aten.threshold_backward.grad_input),
    aten.leaky_relu_backward.default: over_first(aten.leaky_relu_backward.grad_input),
    aten.tanh_backward.default: over_first(aten.tanh_backward.grad_input),
    scale_and_shift: scaled_and_shifted,
    only_scale: scaled,
}
"""Operations that may write over their first argument, and how."""
