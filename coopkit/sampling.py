"""The one loop that every chain of coopkit runs in."""

from typing import TypeGuard

import attrs
import torch
from torch import Tensor

from coopkit.interfaces import FusedSampler, S, Sampler, Target


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


def sample_chains(
    sampler: Sampler[S], target: Target, start: Tensor, steps: int, rng: torch.Generator
) -> Tensor:
    """Return where fresh chains from `start` (chains, ...) stand after `steps` transitions."""
    if steps == 0:
        return start.clone()
    return run_chains(sampler, target, sampler.init(target, start), steps, rng).position
