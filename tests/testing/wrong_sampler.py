"""Samplers in a file of somebody's own, found by their import path."""

from typing import ClassVar

import attrs
import torch

from coopkit import Target
from coopkit.builtin.langevin import Langevin, LangevinState


@attrs.frozen(kw_only=True)
class NoHalf(Langevin):
    """Langevin dynamics whose drift lacks the half."""

    name: ClassVar[str] = "no-half"

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        x = state.position
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        drift = self.step_size**2 * target.score(x)
        return LangevinState(x + drift + self.step_size * self.temperature**0.5 * noise)


class NoTable:
    """No attrs class."""

    name = "no-table"
