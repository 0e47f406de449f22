"""The one loop that every chain of coopkit runs in."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import attrs
import torch
from torch import Tensor

from coopkit.errors import PluginError
from coopkit.interfaces import FusedSampler, Keeping, Kept, Reporting, S, Sampler, Target


def run_chains(
    sampler: Sampler[S], target: Target, state: S, steps: int, rng: torch.Generator
) -> S:
    """Return the state after `steps` transitions; entries that the target holds stay fixed.

    A sampler that offers a fused `run` is asked for all of them at once.

    Args:
        sampler: any sampler.
        target: what to sample from.
        state: from `sampler.init` or an earlier call; n + m steps equal n and then m.
        steps: how many, 0 or more.
        rng: the source of all randomness, on the device of the chains.

    Raises:
        ValueError: `steps` is negative.
        PluginError: the sampler gives no state, or chains of another shape, type or device.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}; it must be 0 or more")
    if steps and is_fused(sampler):
        end: S = sampler.run(target, state, steps, rng)
        position_like(state.position, sampler, "run", end)
        return end
    return step_chains(sampler, target, state, steps, rng)


def is_fused(sampler: Sampler[S]) -> TypeGuard[FusedSampler[S]]:
    """Whether a sampler's `run` goes with its `step`.

    A class that has a `step` of its own and inherits `run` has the `run` of another sampler.
    """
    offered = {name: cls for cls in reversed(type(sampler).__mro__) for name in vars(cls)}
    return "run" in offered and issubclass(offered["run"], offered.get("step", object))


def half_kept(sampler: object) -> str:
    """Say what a sampler, or its class, lacks to keep something between calls, if it half does."""
    pair = ("keep", "resume")
    has = [name for name in pair if callable(getattr(sampler, name, None))]
    if len(has) != 1:
        return ""
    (lacks,) = set(pair) - set(has)
    return f"it has {has[0]} and no {lacks}; what keeps something between calls has both"


def is_keeping(sampler: Sampler[S]) -> TypeGuard[Keeping[S]]:
    """Whether a sampler keeps something between calls.

    Raises:
        PluginError: it has `keep` without `resume`, or `resume` without `keep`.
    """
    if half := half_kept(sampler):
        raise PluginError(f"the sampler {name_of(sampler)} cannot be used: {half}")
    return isinstance(sampler, Keeping)


def name_of(sampler: Sampler[Any]) -> str:
    """Return the name of a sampler, or of its class where it has none."""
    name: str = getattr(sampler, "name", type(sampler).__name__)
    return name


def step_chains(
    sampler: Sampler[S], target: Target, state: S, steps: int, rng: torch.Generator
) -> S:
    """Return the state after single steps, also of a sampler that offers a fused `run`.

    The arguments are those of `run_chains`.

    Raises:
        PluginError: a step gives no state, or chains of another shape, type or device.
    """
    start = state.position
    for _ in range(steps):
        state = sampler.step(target, state, rng)
        position = position_like(start, sampler, "step", state)
        held = target.project(position)
        if held is not position:
            state = attrs.evolve(state, position=held)  # type: ignore[misc]
    return state


def position_like(start: Tensor, sampler: Sampler[Any], method: str, state: object) -> Tensor:
    """Return where a state's chains are; fewer of them would train by broadcasting, unseen.

    Args:
        start: where the chains were, (chains, ...).
        sampler: of the state.
        method: of the sampler, which gave the state.
        state: with a position of the shape, the type and on the device of the start.

    Raises:
        PluginError: it has not.
    """
    position = getattr(state, "position", None)
    if not isinstance(position, Tensor):
        raise not_right(sampler, method, named(state), "a state, whose `position` is a tensor")
    if (
        position.shape == start.shape
        and position.dtype == start.dtype
        and position.device == start.device
    ):
        return position
    raise not_right(sampler, method, f"chains of {kind_of(position)}", kind_of(start))


def kind_of(x: Tensor) -> str:
    """Return shape, type and device in words."""
    return f"shape {tuple(x.shape)} in {str(x.dtype).removeprefix('torch.')} on {x.device}"


def named(given: object) -> str:
    """Return in words what was given in the place of something else."""
    return "None" if given is None else f"a {type(given).__name__}"


def not_right(sampler: Sampler[Any], method: str, given: str, right: str) -> PluginError:
    """Return the error for a sampler's method that gives what it must not."""
    name = name_of(sampler)
    return PluginError(
        f"the sampler {name} gives {given} by its {method}; it must give {right}: "
        f"coopkit check {name}"
    )


@attrs.frozen(eq=False)
class Walk:
    """Where chains stand after a call, and what their sampler has to say.

    Attributes:
        position: (chains, ...).
        figures: the sampler's own, by name, each a mean over the chains.
        kept: what a later call may be given, if the sampler keeps anything.
    """

    position: Tensor
    figures: Mapping[str, Tensor] = attrs.field(factory=dict)
    kept: Kept | None = None


def walk_chains(
    sampler: Sampler[Any],
    target: Target,
    start: Tensor,
    steps: int,
    rng: torch.Generator,
    kept: Kept | None = None,
) -> Walk:
    """Return where chains from `start` (chains, ...) stand after `steps` transitions.

    Args:
        sampler: any sampler.
        target: what to sample from.
        start: where the chains are; neither modified nor differentiated.
        steps: how many, 0 or more.
        rng: the source of all randomness, on the device of the chains.
        kept: of an earlier call. What was tuned is used again whatever the number of chains; for
            new chains leave out what belonged to the old ones.

    Raises:
        ValueError: `steps` is negative.
        TypeError: `sampler` is a class.
        PluginError: one of the sampler's methods gives what it must not.
    """
    start = start.detach()
    if steps == 0:
        return Walk(start.clone(), kept=kept)
    state = begin_chains(sampler, target, start, kept)
    state = run_chains(sampler, target, state, steps, rng)
    return Walk(state.position, figures_of(sampler, state), kept_of(sampler, state))


def begin_chains(
    sampler: Sampler[Any], target: Target, start: Tensor, kept: Kept | None = None
) -> Any:
    """Return the state of chains at `start`, with what was kept of an earlier call if anything.

    Raises:
        TypeError: `sampler` is a class.
        PluginError: the sampler gives no state, or chains of another shape, type or device; or it
            has only one of `keep` and `resume`.
    """
    if isinstance(sampler, type):
        cls = sampler.__name__
        raise TypeError(f"the sampler is the class {cls}; it must be an instance, {cls}(...)")
    if is_keeping(sampler) and kept is not None:
        method, tuned = "resume", in_turn(kept, len(start))
        state = sampler.resume(target, start, attrs.evolve(kept, tuned=tuned))
    else:
        method, state = "init", sampler.init(target, start)
    position_like(start, sampler, method, state)
    return state


def figures_of(sampler: Sampler[Any], state: Any) -> dict[str, Tensor]:
    """Return what a sampler has to say of a state, by name, each a mean over the chains.

    Raises:
        PluginError: it says something else than tensors by name.
    """
    if not isinstance(sampler, Reporting):
        return {}
    told: object = sampler.figures(state)
    if not isinstance(told, Mapping):
        raise not_right(sampler, "figures", named(told), "tensors by name")
    for name, value in told.items():
        if not isinstance(value, Tensor):
            raise not_right(sampler, "figures", f"{named(value)} as {name!r}", "a tensor")
    return {name: value.detach().float().mean() for name, value in told.items()}


def kept_of(sampler: Sampler[Any], state: Any) -> Kept | None:
    """Return what should outlive a state, or None if its sampler keeps nothing.

    Raises:
        PluginError: it is no `Kept` of tensors with a row for each chain.
    """
    if not is_keeping(sampler):
        return None
    kept: object = sampler.keep(state)
    if not isinstance(kept, Kept):
        raise not_right(sampler, "keep", named(kept), "coopkit.interfaces.Kept(...)")
    chains = len(state.position)
    for name, value in (*kept.chains.items(), *kept.tuned.items()):
        if not isinstance(value, Tensor) or value.shape[:1] != (chains,):
            is_tensor = isinstance(value, Tensor)
            given = f"shape {tuple(value.shape)}" if is_tensor else named(value)
            right = f"a tensor with a row for each of {chains} chains"
            raise not_right(sampler, "keep", f"{given} as {name!r}", right)
    return kept


def in_turn(kept: Kept, chains: int, first: int = 0) -> dict[str, Tensor]:
    """Return what was tuned for so many chains, the rows in turn from the first chain's on."""
    return {
        name: value[torch.arange(first, first + chains, device=value.device) % len(value)]
        for name, value in kept.tuned.items()
    }


def sample_chains(
    sampler: Sampler[S], target: Target, start: Tensor, steps: int, rng: torch.Generator
) -> Tensor:
    """Return where fresh chains from `start` (chains, ...) stand after `steps` transitions."""
    return walk_chains(sampler, target, start, steps, rng).position


__all__ = ["Walk", "is_fused", "run_chains", "sample_chains", "step_chains", "walk_chains"]
