"""How much memory a run will take, before it is begun."""

import copy
from collections.abc import Mapping, Sequence

import attrs
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from coopkit.building import begins_at_components, build_network, is_penalized
from coopkit.data import load_images
from coopkit.fast import cached_choices
from coopkit.fast.chunks import chunk_within
from coopkit.fast.memory import bytes_of, keeps_memory, peak_bytes
from coopkit.fast.plans import make_plan
from coopkit.fast.tracing import UntraceableError, constants_of, trace
from coopkit.interfaces import Shape
from coopkit.recipes import Recipe
from coopkit.recipes.sections import Network
from coopkit.statistics.components import fitting_bytes
from coopkit.targets import evaluating, joins_batch

aten = torch.ops.aten

ALLOCATOR = 0.35
"""What glibc's allocator has been seen to keep beyond what is in use, as a share of that."""

CHAIN_COPIES = 4
"""Tensors of the size of all chains in D1 and G1: start, position, score and noise."""


@attrs.frozen
class Estimate:
    """The memory of a run, in bytes.

    Attributes:
        kept: by name, what is there from the beginning to the end.
        stages: by name, what a step of the paper takes at its peak besides.
        allocator: what the memory allocator keeps beyond that, as a share of it.
    """

    kept: dict[str, int]
    stages: dict[str, int]
    allocator: float

    @property
    def peak(self) -> int:
        """Return the most that is taken at a time."""
        most = max(self.stages.values(), default=0)
        return round(sum(self.kept.values()) + most * (1 + self.allocator))


def estimate(recipe: Recipe) -> Estimate:
    """Return how much memory a run of a recipe takes, on one process, by tracing its networks.

    Nothing is computed but the networks' shapes. What torch itself takes is not in it: some 0.4 GiB
    on a CPU. A step whose network cannot be traced is left out.

    Raises:
        CoopkitError: the data or the recipe is not right.
    """
    images = load_images(recipe.data, recipe.seed)
    batch = min(recipe.run.observed, len(images))
    signals = images.signals(torch.arange(batch))
    kept = {"images": nbytes([signals]) // batch * len(images)}
    stages: dict[str, int] = {}
    chains = recipe.run.chains if recipe.revision else batch
    for kind in ("descriptor", "generator"):
        table: Network | None = getattr(recipe, kind)
        if table is None:
            continue
        network = build_network(recipe, kind, images.shape)
        descriptor = kind == "descriptor"
        entry = images.shape if descriptor else table.architecture.latent_shape(images.shape)
        kept[f"{kind}: weights, gradients, optimiser"] = kept_by(network, table, entry)
        stages |= evaluation(recipe, network, descriptor, torch.zeros(chains, *entry))
        rows = batch + chains if descriptor else chains
        update = f"D2, {rows} signals" if descriptor else f"G2, {rows} signals"
        twice = batch if descriptor and is_penalized(recipe) else 0
        stages[update] = training(network, torch.zeros(rows, *entry), twice)
    if begins_at_components(recipe):
        stages["components"] = fitting_bytes(len(images), signals[0].numel())
    keeping = recipe.run.fast == "auto" and keeps_memory()
    return Estimate(kept, stages, ALLOCATOR if keeping else 0.0)


def describe_estimate(recipe: Recipe) -> dict[str, str]:
    """Return an estimate in words, by heading; GiB are 2³⁰ bytes.

    Raises:
        CoopkitError: the data or the recipe is not right.
    """
    found = estimate(recipe)
    said = {name: in_gib(size) for name, size in (found.kept | found.stages).items()}
    said["peak"] = f"{in_gib(found.peak)}: what is kept, and the largest step"
    if found.allocator:
        said["peak"] += f" with {found.allocator:.0%} that the memory allocator keeps beyond it"
    if recipe.start_recipe is not None:
        first = estimate(recipe.start_recipe).peak
        said["generator.start"] = f"{in_gib(first)} at the peak of the run that comes first"
    said["besides"] = "what torch itself takes, some 0.4 GiB on a CPU"
    return said


def in_gib(size: int) -> str:
    """Return a number of bytes in GiB."""
    return f"{size / 2**30:.3f} GiB"


def nbytes(tensors: Sequence[Tensor]) -> int:
    """Return how much memory tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def kept_by(network: nn.Module, table: Network, entry: Shape) -> int:
    """Return the bytes of a network's weights, their gradients and what its optimiser keeps."""
    moved = copy.deepcopy(network)
    optimizer = table.optimizer.at(0).build(moved, torch.zeros(1, *entry))
    weights = list(moved.parameters())
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    states = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
    return nbytes([*weights, *weights, *network.buffers(), *states])


def evaluation(recipe: Recipe, network: nn.Module, descriptor: bool, x: Tensor) -> dict[str, int]:
    """Return the bytes of chains and network in D1 or G1, if the recipe has that step."""
    settings = recipe.settings(recipe.run.iterations - 1)
    if not (settings.revision_steps if descriptor else settings.inference_steps):
        return {}
    held = CHAIN_COPIES * nbytes([x])
    memory = recipe.run.memory * 2**30 if recipe.run.fast == "auto" else float("inf")
    step = "D1" if descriptor else "G1"
    choices = attrs.evolve(cached_choices(), measures=False)
    try:
        plan = make_plan(network, "gradient" if descriptor else "pull", x, choices)
    except UntraceableError:
        return {f"{step}, {len(x)} chains, without the network, which cannot be traced": held}
    chunk = chunk_within(memory, plan)
    return {f"{step}, {chunk} of {len(x)} chains at a time": held + plan.bytes * chunk // len(x)}


def training(network: nn.Module, x: Tensor, twice: int) -> int:
    """Return the bytes that an update takes at its peak, by second derivatives of the first rows.

    These pass alone where `coopkit.shift_density` lets them.
    """
    names = [name for name, _ in network.named_parameters()]
    alone = twice and not joins_batch(network)
    parts = [twice, len(x) - twice] if alone else [len(x)]

    def gradients(constants: Mapping[str, Tensor], x: Tensor) -> list[Tensor | None]:
        leaves = {name: constants[name].detach().requires_grad_() for name in names}
        first, *others = torch.split(x.detach(), parts)
        first = first.clone().requires_grad_(twice > 0)
        with torch.enable_grad():
            passed = (first, *others)
            drawn = [functional_call(network, {**constants, **leaves}, (y,)) for y in passed]
            total = sum(part.square().sum() for part in drawn)
            if twice:
                (slope,) = torch.autograd.grad(drawn[0][:twice].sum(), first, create_graph=True)
                total = total + slope.square().sum()
            return list(torch.autograd.grad(total, list(leaves.values()), allow_unused=True))

    try:
        with evaluating(network):
            graph = trace(gradients, constants_of(network), x)
    except UntraceableError:
        return 0
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    return peak_bytes(nodes, [], reordered if x.device.type == "cpu" else lambda node: 0)


def reordered(node: fx.Node) -> int:
    """Return the bytes that oneDNN takes to put the images of a convolution in its own order."""
    if node.target not in (aten.convolution.default, aten.convolution_backward.default):
        return 0
    return bytes_of(node) + sum(bytes_of(read) for read in node.all_input_nodes)


__all__ = ["Estimate", "describe_estimate", "estimate"]
