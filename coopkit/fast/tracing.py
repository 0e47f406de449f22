"""From a network to the list of torch operations that its value or its gradient takes.

Tracing runs the network once on tensors without memory, so that nothing that depends on the values
of a tensor can slip into the list: a network that asks for them is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call, functionalize

from coopkit.fast.memory import viewed_by

aten = torch.ops.aten
IDENTITIES = (aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default)


class UntraceableError(Exception):
    """A network that must be run as it is; the message says why."""


def constants_of(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, detached."""
    named = [*network.named_parameters(), *network.named_buffers()]
    return {name: value.detach() for name, value in named}


def numbers_of(network: nn.Module) -> tuple[Any, ...]:
    """Return the parts of a network, the shapes of their weights and the numbers that they hold."""
    shapes = [(name, tuple(x.shape), x.dtype) for name, x in constants_of(network).items()]
    held = [
        (name, type(module), key, repr(value))
        for name, module in network.named_modules()
        for key, value in (("", 0), *vars(module).items())
        if key != "training" and is_number(value)
    ]
    return tuple(shapes), tuple(held)


def is_number(value: object) -> bool:
    """Whether a value is a number, a text or nothing, or a list or table of such."""
    if isinstance(value, list | tuple):
        return all(map(is_number, value))
    if isinstance(value, dict):
        return all(map(is_number, value.values()))
    return value is None or isinstance(value, int | float | str)


def value_of(network: nn.Module) -> Callable[..., Any]:
    """Return (constants, x) ↦ network(x)."""

    def value(constants: Mapping[str, Tensor], x: Tensor) -> Tensor:
        result: Tensor = functional_call(network, dict(constants), (x,))
        return result

    return value


def gradient_of(network: nn.Module) -> Callable[..., Any]:
    """Return (constants, x) ↦ ∂ Σ network(x) / ∂x."""

    def gradient(constants: Mapping[str, Tensor], x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (result,) = torch.autograd.grad(
                functional_call(network, dict(constants), (x,)).sum(), x
            )
        return result

    return gradient


def pull_of(network: nn.Module) -> Callable[..., Any]:
    """Return (constants, x, pull) ↦ (network(x), pull · ∂ network(x) / ∂x)."""

    def pulled(constants: Mapping[str, Tensor], x: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            drawn = functional_call(network, dict(constants), (x,))
            (result,) = torch.autograd.grad(drawn, x, grad_outputs=pull)
        return drawn.detach(), result

    return pulled


def trace(
    function: Callable[..., Any], constants: Mapping[str, Tensor], *inputs: Tensor
) -> fx.Graph:
    """Return the operations of function(constants, *inputs), without those that do nothing.

    The placeholders are the constants in their order, then the inputs.

    Raises:
        UntraceableError: the function draws random numbers, writes to a tensor that it was given,
            or depends on the values of one.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    names = list(constants)

    def flat(*tensors: Tensor) -> Any:
        given = dict(zip(names, tensors, strict=False))
        return function(given, *tensors[len(names) :])

    try:
        with torch.inference_mode(False), torch.no_grad():
            given = [x.clone() if x.is_inference() else x for x in (*constants.values(), *inputs)]
            module = make_fx(flat, tracing_mode="fake")(*given)
            refuse_side_effects(module.graph)
            if any(map(is_written, module.graph.nodes)):
                with torch.autocast(given[-1].device.type, enabled=False):
                    module = make_fx(functionalize(module), tracing_mode="fake")(*given)
                refuse_side_effects(module.graph)
    except UntraceableError:
        raise
    except Exception as error:
        raise UntraceableError(f"it cannot be traced: {first_line(error)}") from error
    graph = module.graph
    for node in list(graph.nodes):
        if node.target in IDENTITIES:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    graph.eliminate_dead_code()
    return graph


def is_written(node: fx.Node) -> bool:
    """Whether an operation writes into one of its arguments."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def is_given(node: fx.Node | None) -> bool:
    """Whether a value is one that was given from outside, or a view of it."""
    while node is not None and node.op != "placeholder":
        node = viewed_by(node)
    return node is not None


def refuse_side_effects(graph: fx.Graph) -> None:
    """Refuse operations that draw random numbers, write outside, or lean on a memory layout.

    Raises:
        UntraceableError: there is such an operation.
    """
    for node in graph.nodes:
        if node.op == "get_attr":
            raise UntraceableError("it makes tensors of its own")
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        name = str(node.target)
        if torch.Tag.nondeterministic_seeded in node.target.tags:
            raise UntraceableError(f"it draws random numbers ({name})")
        if is_written(node) and any(map(is_given, node.all_input_nodes[:1])):
            raise UntraceableError(f"it writes in place ({name})")
        if "as_strided" in name:
            raise UntraceableError(f"it depends on how memory is laid out ({name})")


def first_line(error: BaseException) -> str:
    """Return the kind and the first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"[:200]


def levels(graph: fx.Graph, constants: int) -> dict[fx.Node, int]:
    """Return on what each node depends: 0 constants alone, 1 the first input, 2 the second too."""
    found: dict[fx.Node, int] = {}
    for place, node in enumerate(node for node in graph.nodes if node.op == "placeholder"):
        found[node] = max(0, place - constants + 1)
    for node in graph.nodes:
        if node not in found:
            found[node] = max((found[part] for part in node.all_input_nodes), default=0)
    return found


def part(
    nodes: Sequence[fx.Node], given: Sequence[fx.Node], wanted: Sequence[Any]
) -> Callable[..., tuple[Any, ...]]:
    """Return a function that takes the values of `given` and runs `nodes` to those of `wanted`."""
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"given_{place}") for place, node in enumerate(given)}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(fx.map_arg(value, copies.__getitem__) for value in wanted))
    graph.eliminate_dead_code()
    module = fx.GraphModule(nn.Module(), graph)
    return module.forward
