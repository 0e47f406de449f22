"""Checks of structure on one run: what it keeps, and what it must leave alone."""

import copy
import random
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from coopkit.interfaces import Reporting, Sampler, Target
from coopkit.sampling import run_chains, sample_chains
from coopkit.testing.records import capabilities_of
from coopkit.testing.structure.properties import demand, same
from coopkit.testing.structure.scenes import Scene

PLAIN = (Tensor, bool, int, float, str, bytes, type(None))
"""What a state may be made of, beside tuples of it and other frozen attrs classes."""


def zero_steps(sampler: Sampler[Any], scene: Scene) -> None:
    """No steps give an equal copy, and draw nothing."""
    rng = scene.stream()
    before = rng.get_state()
    state = sampler.init(scene.target, scene.start)
    ends = (
        run_chains(sampler, scene.target, state, 0, rng).position,
        sample_chains(sampler, scene.target, scene.start, 0, rng),
    )
    for end in ends:
        same(end, scene.start, "zero steps change the chains")
        demand(end.data_ptr() != scene.start.data_ptr(), "zero steps give the start, not a copy")
    demand(torch.equal(rng.get_state(), before), "zero steps draw from the generator")


def kind_kept(sampler: Sampler[Any], scene: Scene) -> None:
    """Shape, dtype and device are kept, and float64 is float64 all the way."""
    state = sampler.init(scene.target, scene.start)
    end = sampler.step(scene.target, state, scene.stream()).position
    for what in ("shape", "dtype", "device"):
        had, has = getattr(scene.start, what), getattr(end, what)
        demand(had == has, f"the {what} of the chains becomes {has}, from {had}")
    origin = torch.zeros(4, *scene.start.shape[1:], dtype=torch.float64, device=end.device)
    nudged = origin.clone()
    nudged[0] = 2.0**-40
    ends = [scene.walk(sampler, x)[0] for x in (origin, nudged)]
    demand(not torch.equal(*ends), "float64 chains are computed in a lower precision")


def inputs_kept(sampler: Sampler[Any], scene: Scene) -> None:
    """Neither the start nor a state that was given to a step changes."""
    start = scene.start.clone()
    state = sampler.init(scene.target, start)
    same(start, scene.start, "init changes the start")
    rng = scene.stream()
    for _ in range(scene.steps):
        before = copy.deepcopy(tensors_of(state))
        following = sampler.step(scene.target, state, rng)
        for now, then in zip(tensors_of(state), before, strict=True):
            same(now, then, "step changes the state that it is given")
        same(start, scene.start, "step changes the start")
        state = following


def global_stream(sampler: Sampler[Any], scene: Scene) -> None:
    """All randomness comes from the generator: the global streams stay where they are."""
    before = torch.get_rng_state(), random.getstate(), numpy_stream()
    scene.walk(sampler)
    after = torch.get_rng_state(), random.getstate(), numpy_stream()
    demand(torch.equal(before[0], after[0]), "torch's global stream is drawn from")
    demand(before[1] == after[1], "Python's global stream is drawn from")
    demand(before[2] == after[2], "numpy's global stream is drawn from")


def numpy_stream() -> list[int]:
    """Return the words of numpy's global stream."""
    words: list[int] = np.random.get_state(legacy=True)[1].tolist()  # type: ignore[index]  # noqa: NPY002
    return words


class Trained(Target):
    """A density through a network whose parameters are not frozen: log p(x) = f(x) − ‖x‖²/2."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p of each chain."""
        value: Tensor = self.network(x) - (x * x).flatten(1).sum(1) / 2
        return value


def parameters_left(sampler: Sampler[Any], scene: Scene) -> None:
    """No gradient of a parameter is made or kept; flags, modes and statistics stay as they are."""
    network = scene.network
    assert network is not None
    first = next(network.parameters())
    first.grad = torch.ones_like(first)
    first.requires_grad_(False)
    before = condition(network)
    end = scene.walk(sampler)
    demand(condition(network) == before, "a run changes the network's flags, modes or statistics")
    network.eval()
    attrs.evolve(scene, target=Trained(network)).walk(sampler)
    gradients = [p.grad for p in network.parameters() if p is not first]
    demand(all(g is None for g in gradients), "a run leaves gradients with the parameters")
    demand(torch.equal(first.grad, torch.ones_like(first)), "a run adds to a parameter's gradient")
    demand(not end.requires_grad, "the chains keep the graph of their way")
    demand(torch.is_grad_enabled(), "a run leaves autograd switched off")


def condition(network: nn.Module) -> list[Any]:
    """Return the flags, the modes and the statistics of a network."""
    flags = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    values = [value.tolist() for value in network.state_dict().values()]
    return [flags, modes, values]


class Backward(torch.autograd.Function):
    """The identity, whose way back is counted."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, calls: list[int]) -> Tensor:
        """Return the value."""
        ctx.calls = calls
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Count, and pass the gradient on."""
        ctx.calls.append(len(gradients[0]))
        return gradients[0], None


@attrs.frozen(eq=False)
class Counted(Target):
    """A target that counts the chains whose gradient is evaluated."""

    base: Target
    calls: list[int] = attrs.field(factory=list)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) of the target."""
        value: Tensor = Backward.apply(self.base.log_prob(x), self.calls)  # type: ignore[no-untyped-call]
        return value


def gradients_counted(sampler: Sampler[Any], scene: Scene) -> None:
    """Each step after the first evaluates the declared number of gradients."""
    declared = capabilities_of(sampler).gradients_per_step
    totals = []
    for steps in (scene.steps, scene.steps + 3):
        counted = Counted(scene.target)
        attrs.evolve(scene, target=counted, steps=steps).walk(sampler)
        totals.append(sum(counted.calls))
    seen = (totals[1] - totals[0]) / (3 * len(scene.start))
    demand(seen == declared, f"a step evaluates {seen:g} gradients, not {declared}", seen)


def declares_gradients(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers that say how many gradients a step evaluates."""
    declared = capabilities_of(sampler).gradients_per_step
    return "it declares no number of gradients" if declared is None else ""


def figures_told(sampler: Sampler[Any], scene: Scene) -> None:
    """A sampler's own figures are finite numbers, of all chains or one for each, by fixed names."""
    assert isinstance(sampler, Reporting)
    state = sampler.init(scene.target, scene.start)
    end = run_chains(sampler, scene.target, state, scene.steps, scene.stream())
    first, last = sampler.figures(state), sampler.figures(end)
    demand(set(first) == set(last), f"the figures are {sorted(first)}, and then {sorted(last)}")
    for name, value in (*first.items(), *last.items()):
        demand(name.isidentifier() and name.islower(), f"the figure {name!r} is no lower-case name")
        fits = isinstance(value, Tensor) and value.shape in ((), (len(scene.start),))
        demand(fits, f"the figure {name!r} is neither a scalar tensor nor one for each chain")
        demand(bool(value.isfinite().all()), f"the figure {name!r} is not finite")


def reports(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers that tell figures of their own."""
    return "" if isinstance(sampler, Reporting) else "it tells no figures of its own"


def state_plain(sampler: Sampler[Any], scene: Scene) -> None:
    """A state is a frozen attrs class of plain data, and opens at the start."""
    state = sampler.init(scene.target, scene.start)
    same(state.position, scene.start, "init does not stand at the start")
    for current in (state, sampler.step(scene.target, state, scene.stream())):
        name = type(current).__name__
        demand(attrs.has(type(current)), f"the state, {name}, is no attrs class")
        try:
            current.position = current.position
        except attrs.exceptions.FrozenInstanceError:
            pass
        else:
            demand(False, f"the state, {name}, is not frozen")
        for field, value in attrs.asdict(current, recurse=False).items():
            demand(is_plain(value), f"{name}.{field} is no plain data: {type(value).__name__}")


def is_plain(value: Any) -> bool:
    """Whether a value of a state can be written to a file and read back: no graph, no object."""
    if isinstance(value, Tensor):
        return not value.requires_grad
    if isinstance(value, tuple | list):
        return all(is_plain(entry) for entry in value)
    if attrs.has(type(value)):
        return all(is_plain(entry) for entry in attrs.asdict(value, recurse=False).values())
    return isinstance(value, PLAIN)


def tensors_of(state: Any) -> list[Tensor]:
    """Return the tensors of a state."""
    if not attrs.has(type(state)):
        return []
    values = attrs.asdict(state, recurse=False).values()
    return [value for value in values if isinstance(value, Tensor)]
