"""The parts of an evaluation: what is done once for given weights, and once for each input."""

from collections.abc import Callable
from types import MethodType
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, fx, nn

from coopkit.fast.choices import WORTH_MEASURING, Choices
from coopkit.fast.graphs import is_half, value
from coopkit.fast.memory import peak_bytes
from coopkit.fast.rewriting import rewrite
from coopkit.fast.tracing import (
    UntraceableError,
    constants_of,
    gradient_of,
    levels,
    part,
    pull_of,
    trace,
    value_of,
)
from coopkit.targets import evaluating

Purpose = Literal["value", "gradient", "pull"]
PURPOSES: dict[Purpose, Callable[[nn.Module], Callable[..., Any]]] = {
    "value": value_of,
    "gradient": gradient_of,
    "pull": pull_of,
}


@attrs.frozen(eq=False)
class Plan:
    """The operations of a network for one purpose and one shape, in up to three parts.

    Attributes:
        derive: constants to all that depends on them alone.
        forward: (*derived, x) to the results that depend on x alone, and what `backward` needs.
        backward: (*derived, *kept, pull) to the rest; for the purpose "pull" only.
        chains: how many it is for.
        bytes: the most memory that it takes at a time, besides constants and inputs.
        weighty: whether a convolution of it is worth measuring.
        half: whether some of its values are in half precision.
        text: its operations, the same in every process.
    """

    derive: Callable[..., tuple[Any, ...]]
    forward: Callable[..., tuple[Any, ...]]
    backward: Callable[..., tuple[Any, ...]] | None
    chains: int
    bytes: int
    weighty: bool
    half: bool
    text: str


def make_plan(network: nn.Module, purpose: Purpose, x: Tensor, choices: Choices) -> Plan:
    """Trace a network and rewrite what was traced.

    Raises:
        UntraceableError: the network must be run as it is.
    """
    constants = constants_of(network)
    inputs = [x]
    with evaluating(network):
        if purpose == "pull":
            drawn = trace(value_of(network), constants, x)
            (result,) = next(node for node in drawn.nodes if node.op == "output").all_input_nodes
            like = value(result)
            inputs.append(torch.empty(like.shape, dtype=like.dtype, device=like.device))
        graph = trace(PURPOSES[purpose](network), constants, *inputs)
    rewrite(graph, len(constants), choices)
    return split(graph, len(constants), len(x))


def split(graph: fx.Graph, constants: int, chains: int) -> Plan:
    """Return a rewritten graph in its parts.

    Raises:
        UntraceableError: a result does not depend on the input at all.
    """
    level = levels(graph, constants)
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    given = [node for node in graph.nodes if node.op == "placeholder"]
    (output,) = (node for node in graph.nodes if node.op == "output")
    (results,) = output.args
    results = results if isinstance(results, list | tuple) else (results,)
    if any(level[node] == 0 for node in results):
        raise UntraceableError("its result, or its gradient, is the same for every input")

    def crossing(lower: int) -> list[fx.Node]:
        """Return what is made at one level and read at a later one."""
        made = [node for node in (*given, *nodes) if level[node] == lower]
        return [node for node in made if any(level[user] > lower for user in node.users)]

    stages = [[node for node in nodes if level[node] == stage] for stage in range(3)]
    derived, kept = crossing(0), crossing(1)
    kept = [node for node in kept if any(level[user] == 2 for user in node.users)]
    early = [node for node in results if level[node] < 2]
    derive = part(stages[0], given[:constants], derived)
    forward = part(stages[1], [*derived, given[constants]], [*early, *kept])
    backward = None
    if len(given) == constants + 2:
        late = [node for node in results if level[node] == 2]
        backward = part(stages[2], [*derived, *kept, given[constants + 1]], late)
    taken = peak_bytes([node for node in nodes if level[node] > 0], results)
    ways: list[Any] = [n.target.__self__ for n in nodes if isinstance(n.target, MethodType)]
    weighty = any(way.layer.multiplications >= WORTH_MEASURING for way in ways)
    return Plan(derive, forward, backward, chains, taken, weighty, is_half(graph), str(graph))
