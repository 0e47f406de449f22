"""Densities that tell samplers apart, with statistics whose expectations are known."""

import math
from collections.abc import Callable
from typing import Protocol

import attrs
import torch
from torch import Tensor

from coopkit.interfaces import Target
from coopkit.testing.law.laws import Skewed, TwoModes


class Density(Protocol):
    """A target, exact draws from it, and a map to the standard normal."""

    scale: float

    @property
    def target(self) -> Target:
        """What a sampler sees."""

    def draw(self, chains: int, rng: torch.Generator) -> Tensor:
        """Return exact draws, (chains, d)."""

    def scores(self, x: Tensor) -> Tensor:
        """Return what is N(0, I) when x follows the law, (chains, d)."""


class Ellipse(Target):
    """N(0, diag(1, ..., 1/κ)), variances evenly spaced in their logarithms."""

    def __init__(self, condition: float, dimension: int = 20) -> None:
        self.std = torch.logspace(0, -math.log10(condition) / 2, dimension)
        self.scale = float(self.std.min())

    @property
    def target(self) -> Target:
        """The law itself."""
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """Return −Σ x²/2σ²."""
        return -((x / self.std) ** 2).sum(1) / 2

    def score(self, x: Tensor) -> Tensor:
        """Return −x/σ²."""
        return -x / self.std**2

    def draw(self, chains: int, rng: torch.Generator) -> Tensor:
        """Return exact draws."""
        return self.std * torch.randn(chains, len(self.std), generator=rng)

    def scores(self, x: Tensor) -> Tensor:
        """Return x/σ."""
        return (x / self.std).double()


class Barrier(TwoModes):
    """0.3 N(−3, 0.7²) + 0.7 N(3, 0.7²) beside N(0, 1): nine units of energy between the modes."""

    WEIGHTS, MEANS, STDS = (0.3, 0.7), (-3.0, 3.0), (0.7, 0.7)
    scale = 0.7


@attrs.frozen(eq=False)
class Case:
    """A density, where cold chains start, and its name in the tables."""

    title: str
    density: Density
    cold: Callable[[int], Tensor]


def far(density: Density) -> Callable[[int], Tensor]:
    """Return what starts chains three standard deviations out in every coordinate."""
    spread = density.draw(10_000, torch.Generator().manual_seed(0)).std(0)
    return lambda chains: (3 * spread).expand(chains, -1).clone()


def left(chains: int) -> Tensor:
    """Start chains in the lighter mode."""
    return torch.tensor([[-3.0, 0.0]]).expand(chains, -1).clone()


def cases() -> dict[str, Case]:
    """Return the densities by name."""
    ellipses = {f"gaussian-{k}": Ellipse(k) for k in (1, 100, 10_000)}
    found = {
        name: Case(f"Gaussian, 20 dimensions, κ = {name.partition('-')[2]}", density, far(density))
        for name, density in ellipses.items()
    }
    skewed = Skewed()
    found["skewed"] = Case("skewed, 2 dimensions", skewed, far(skewed))
    found["barrier"] = Case("two modes, a barrier between", Barrier(), left)
    return found


def statistics(scores: Tensor) -> Tensor:
    """Return z and (z² − 1)/√2 of each coordinate: expectation 0 and variance 1, (chains, 2d)."""
    return torch.cat([scores, (scores**2 - 1) / math.sqrt(2)], 1)


@attrs.define(eq=False)
class Counted(Target):
    """A target that counts how often its score is asked for."""

    base: Target
    gradients: int = 0

    def log_prob(self, x: Tensor) -> Tensor:
        """Return that of the base."""
        return self.base.log_prob(x)

    def score(self, x: Tensor) -> Tensor:
        """Return that of the base, and count."""
        self.gradients += 1
        return self.base.score(x)
