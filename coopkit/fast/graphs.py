"""Reading and changing a traced list of operations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx


def value(node: fx.Node) -> Tensor:
    """Return a tensor without memory of the shape and type of a node's value."""
    tensor: Tensor = node.meta["val"]
    return tensor


def is_half(graph: fx.Graph) -> bool:
    """Whether a value of a graph is in half precision."""
    values = [node.meta.get("val") for node in graph.nodes]
    half = (torch.bfloat16, torch.float16)
    return any(isinstance(value, Tensor) and value.dtype in half for value in values)


def is_image(node: fx.Node) -> bool:
    """Whether a node's value is a tensor (n, channels, height, width)."""
    return isinstance(node.meta.get("val"), Tensor) and value(node).dim() == 4


def replace(
    graph: fx.Graph, node: Any, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """Put another operation of the same value in the place of a node."""
    with graph.inserting_before(node):
        other = graph.call_function(function, arguments)
    other.meta = dict(node.meta)
    node.replace_all_uses_with(other)


def insert_after(
    graph: fx.Graph, node: Any, function: Callable[..., Any], users: list[fx.Node]
) -> None:
    """Let some users of a node read function(value) instead."""
    with graph.inserting_after(node):
        other = graph.call_function(function, (node,))
    other.meta = dict(node.meta)
    for user in users:
        user.replace_input_with(node, other)
