"""The one loop that every chain of coopkit runs in."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import attrs
import torch
from torch import Tensor

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
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}; it must be 0 or more")
    if steps and is_fused(sampler):
        end: S = sampler.run(target, state, steps, rng)
        return end
    return step_chains(sampler, target, state, steps, rng)


def is_fused(sampler: Sampler[S]) -> TypeGuard[FusedSampler[S]]:
    """Whether a sampler's `run` goes with its `step`.

    A class that has a `step` of its own and inherits `run` has the `run` of another sampler.
    """
    offered = {name: cls for cls in reversed(type(sampler).__mro__) for name in vars(cls)}
    return "run" in offered and issubclass(offered["run"], offered.get("step", object))


def step_chains(
    sampler: Sampler[S], target: Target, state: S, steps: int, rng: torch.Generator
) -> S:
    """Return the state after single steps, also of a sampler that offers a fused `run`.

    The arguments are those of `run_chains`.
    """
    for _ in range(steps):
        state = sampler.step(target, state, rng)
        held = target.project(state.position)
        if held is not state.position:
            state = attrs.evolve(state, position=held)  # type: ignore[misc]
    return state


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
    """
    start = start.detach()
    if steps == 0:
        return Walk(start.clone(), kept=kept)
    state = begin_chains(sampler, target, start, kept)
    state = run_chains(sampler, target, state, steps, rng)
    told = sampler.figures(state) if isinstance(sampler, Reporting) else {}
    figures = {name: value.detach().float().mean() for name, value in told.items()}
    return Walk(
        state.position, figures, sampler.keep(state) if isinstance(sampler, Keeping) else None
    )


def begin_chains(
    sampler: Sampler[Any], target: Target, start: Tensor, kept: Kept | None = None
) -> Any:
    """Return the state of chains at `start`, with what was kept of an earlier call if anything."""
    if kept is not None and isinstance(sampler, Keeping):
        tuned = in_turn(kept, len(start))
        return sampler.resume(target, start, attrs.evolve(kept, tuned=tuned))
    return sampler.init(target, start)


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
