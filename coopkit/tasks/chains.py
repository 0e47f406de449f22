"""Long chains of a task: in batches that fit into memory, and watched."""

import math
from collections.abc import Callable
from typing import Any

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from coopkit.interfaces import Kept, Sampler, Shape, Target
from coopkit.sampling import begin_chains, in_turn, run_chains
from coopkit.streams import stream_seed
from coopkit.tasks.watching import Watch

AT_A_TIME = 64 * 64 * 64
"""Pixels of all signals that are held at a time, where no number of signals is given."""

STRIDE = 10
"""Steps between two words to whoever watches."""


@attrs.frozen(eq=False)
class Chains:
    """How chains are run.

    Attributes:
        sampler: any sampler.
        steps: of each chain.
        batch: chains at a time.
        watch: told how many steps of all batches are done.
        doing: what it is told is being done.
        kept: what the sampler kept of earlier chains. What was tuned is used again, in turn; what
            belonged to chains must be left out unless these are the same.
    """

    sampler: Sampler[Any]
    steps: int = attrs.field(validator=ge(0))
    batch: int = attrs.field(validator=ge(1))
    watch: Watch
    doing: str
    kept: Kept | None = None

    def ends(
        self, start: Tensor, target_of: Callable[[slice], Target], rng: torch.Generator
    ) -> Tensor:
        """Return where the chains from `start` (chains, ...) end.

        Args:
            start: all of them; not modified.
            target_of: the target of some of them, by their rows.
            rng: the source of all randomness, on the device of the chains.
        """
        if self.steps == 0:
            return start.clone()
        batches = [
            slice(k, min(k + self.batch, len(start))) for k in range(0, len(start), self.batch)
        ]
        total = self.steps * len(batches)
        ends = torch.empty_like(start)
        for number, rows in enumerate(batches):
            target = target_of(rows)
            state = begin_chains(self.sampler, target, start[rows], self.kept_of(rows))
            for done in range(0, self.steps, STRIDE):
                self.watch(self.doing, number * self.steps + done, total)
                steps = min(STRIDE, self.steps - done)
                state = run_chains(self.sampler, target, state, steps, rng)
            ends[rows] = state.position
        self.watch(self.doing, total, total)
        return ends

    def kept_of(self, rows: slice) -> Kept | None:
        """Return what was kept for some of the chains."""
        if self.kept is None:
            return None
        tuned = in_turn(self.kept, rows.stop - rows.start, rows.start)
        return Kept({name: value[rows] for name, value in self.kept.chains.items()}, tuned)


def at_a_time(signal_shape: Shape) -> int:
    """Return how many signals are held at a time where no number is given, by their size."""
    return max(1, AT_A_TIME // math.prod(signal_shape[1:]))


def stream(seed: int, purpose: str, device: torch.device) -> torch.Generator:
    """Return the source of randomness of one purpose of a task."""
    return torch.Generator(device).manual_seed(stream_seed(seed, purpose))


__all__ = ["Chains", "at_a_time", "stream"]
