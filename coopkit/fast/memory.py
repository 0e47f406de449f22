"""The memory of an evaluation: how much it takes, and keeping it from one to the next."""

import ctypes
import platform
from collections.abc import Callable, Sequence
from functools import cache

from torch import Tensor, fx

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""


def keeps_memory() -> bool:
    """Whether `keep_memory` does anything on this system."""
    return platform.libc_ver()[0] == "glibc"


@cache
def keep_memory() -> None:
    """Let this process keep the memory that it frees, where glibc allocates it.

    Otherwise large activations are given back to the system after every step and asked for again in
    the next, and the kernel fills them with zeros each time.
    """
    if keeps_memory():
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def bytes_of(node: fx.Node) -> int:
    """Return how much memory the value of a node takes."""
    value = node.meta.get("val")
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, list | tuple):
        return sum(part.numel() * part.element_size() for part in value if isinstance(part, Tensor))
    return 0


def peak_bytes(
    nodes: Sequence[fx.Node],
    outputs: Sequence[fx.Node],
    scratch: Callable[[fx.Node], int] = lambda node: 0,
) -> int:
    """Return the most memory that the values of `nodes` take at a time, run one after another.

    A value lives from where it is made to where it, or a view of it, is last read; `outputs` live
    to the end. A view takes no memory of its own; `scratch` says what an operation takes while it
    runs.
    """
    owner: dict[fx.Node, fx.Node] = {}
    last: dict[fx.Node, int] = {}
    own = set(nodes)
    for place, node in enumerate(nodes):
        viewed = viewed_by(node)
        owner[node] = owner.get(viewed, viewed) if viewed is not None else node
        for read in (*node.all_input_nodes, node):
            if read in owner:
                last[owner[read]] = place
    for node in outputs:
        if node in owner:
            last[owner[node]] = len(nodes)
    held = most = 0
    ends: dict[int, int] = {}
    for place, node in enumerate(nodes):
        if owner[node] is node and node in own:
            size = bytes_of(node)
            held += size
            ends[last[node]] = ends.get(last[node], 0) + size
        most = max(most, held + scratch(node))
        held -= ends.pop(place, 0)
    return most


def viewed_by(node: fx.Node) -> fx.Node | None:
    """Return the node whose memory a node's value may share, if there is one."""
    schema = getattr(node.target, "_schema", None)
    first = next(iter(node.all_input_nodes), None)
    if schema is not None:
        shares = any(returned.alias_info is not None for returned in schema.returns)
        return first if shares else None
    name = getattr(node.target, "__name__", "")
    return (
        first if name in ("getitem", "reshape", "write", "scaled", "scaled_and_shifted") else None
    )
