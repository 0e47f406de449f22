"""What the tests of this folder have in common: the sampler, a normal law, a stream."""

import attrs
import pytest
import torch
from torch import Tensor

from coopkit import Target

tempering = pytest.importorskip(
    "coopkit_parallel_tempering",
    reason="coopkit-parallel-tempering is not installed: "
    "pip install ./plugins/coopkit-parallel-tempering",
)
ParallelTempering = tempering.ParallelTempering

STANDARD_ERRORS = 6.0
"""A normal figure is further off with probability 2e-9."""


@attrs.frozen(eq=False)
class Normal(Target):
    """log p(x) = −‖x‖²/2s², whose scores and densities are counted by their chains."""

    std: float = 1.0
    scores: list[int] = attrs.field(factory=list)
    densities: list[int] = attrs.field(factory=list)

    def log_prob(self, x: Tensor) -> Tensor:
        self.densities.append(len(x))
        return -x.flatten(1).square().sum(1) / (2 * self.std**2)

    def score(self, x: Tensor) -> Tensor:
        self.scores.append(len(x))
        return -x / self.std**2


def stream(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
