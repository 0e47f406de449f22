"""Underdamped Langevin dynamics by the BAOAB splitting, a plugin of coopkit."""

import math
from collections.abc import Mapping
from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, gt
from einops import reduce
from torch import Tensor

from coopkit import Capabilities, Target, hookimpl
from coopkit.interfaces import Kept

coopkit_interface = 1


@attrs.frozen(eq=False)
class UnderdampedState:
    """The chains of an underdamped Langevin sampler.

    Attributes:
        position: (chains, ...), float32.
        score: ∇ log p at the position, of its shape.
        momentum: of the shape of the position; None until the first step draws it.
        heat: the sum over the steps of the mean momentum² of an entry, (chains,).
        steps: taken since the chains began or were resumed.
    """

    position: Tensor
    score: Tensor
    momentum: Tensor | None
    heat: Tensor
    steps: int = 0


@attrs.frozen(kw_only=True)
class UnderdampedLangevin:
    """Langevin dynamics with a momentum, which carries a chain on in the direction that it has.

    Update rule (BAOAB), with F = ∇ log p, c = exp(−γδ) and U ~ N(0, I):
    B: v ← v + δ/2 · F(x). A: x ← x + δ/2 · v. O: v ← c v + √(T (1 − c²)) U.
    A: x ← x + δ/2 · v. B: v ← v + δ/2 · F(x).
    F at the end of a step is that of the next one's beginning, so that a step costs one score. New
    chains draw v ~ N(0, T I) in their first step; chains that go on keep theirs.

    Source: B. Leimkuhler, C. Matthews (2013), "Rational construction of stochastic numerical
    methods for molecular sampling", Applied Mathematics Research eXpress 2013(1), 34–56; the same
    authors (2015), "Molecular Dynamics", Springer, chapter 7.

    Symbols: x the position, in pixels for revision and latent units for inference; v the momentum
    of unit mass, dimensionless; δ the step size, a time in the units of x; γ the friction, in one
    over them; T the temperature, dimensionless.

    Invariant law: p^(1/T) for the position in the limit δ → 0, with a bias of order δ². On a
    Gaussian there is no bias: on N(0, s²) the position has variance T s² for every δ < 2s and
    every γ, and the momentum, independent of it, T (1 − δ²/4s²). For the half-steps B and A turn
    this law into x ~ N(0, T (s² − δ²/4)) beside an independent v ~ N(0, T), which O leaves as it
    is, and the other A and B turn it back. From δ = 2s on the chains leave every bound.

    Step-size convention: `step_size` is the time step δ; a momentum of variance 1 covers the
    length δ in it. On a constant score it drifts and spreads as Langevin dynamics of the step size
    δ √coth(γδ/2). For γδ → ∞ that is δ itself, and from the second step on the chain is
    x ← x + δ²/2 · F(x) + δ √T (U_n + U_(n+1))/2: Langevin's, but that neighbouring steps share
    half of their noise. For γδ → 0 it is √(2δ/γ).

    Attributes:
        step_size: δ > 0, in the units of the position (pixels for revision, latents for inference).
        friction: γ > 0, in one over these units; momentum is forgotten within about 1/(γδ) steps.
        temperature: T ≥ 0, dimensionless; scales the variance of momentum and noise.
    """

    name: ClassVar[str] = "underdamped-langevin"
    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, equivariant=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.002, validator=gt(0))
    friction: float = attrs.field(default=50.0, validator=gt(0))
    temperature: float = attrs.field(default=1.0, validator=ge(0))

    def init(self, target: Target, position: Tensor) -> UnderdampedState:
        """Return the state of new chains at `position`, which have no momentum yet."""
        score, heat = target.score(position), position.new_zeros(len(position))
        return UnderdampedState(position.clone(), score, None, heat)

    def step(
        self, target: Target, state: UnderdampedState, rng: torch.Generator
    ) -> UnderdampedState:
        """Return the state one step of BAOAB later."""
        half, forgotten = self.step_size / 2, self.friction * self.step_size
        spread = math.sqrt(self.temperature * -math.expm1(-2 * forgotten))
        momentum = self.opening(state, rng) + half * state.score
        x = state.position + half * momentum
        momentum = math.exp(-forgotten) * momentum + spread * normal_like(x, rng)
        x = x + half * momentum
        score = target.score(x)
        momentum = momentum + half * score
        heat = state.heat + mean_square(momentum)
        return UnderdampedState(x, score, momentum, heat, state.steps + 1)

    def opening(self, state: UnderdampedState, rng: torch.Generator) -> Tensor:
        """Return the momentum of the state; N(0, T I) of chains that have none yet."""
        if state.momentum is None:
            return math.sqrt(self.temperature) * normal_like(state.position, rng)
        return state.momentum

    def figures(self, state: UnderdampedState) -> Mapping[str, Tensor]:
        """Return the mean momentum² of an entry over the steps; 0 before the first."""
        return {"kinetic_temperature": state.heat / max(1, state.steps)}

    def keep(self, state: UnderdampedState) -> Kept:
        """Return the momentum, which belongs to its chain; chains without a step are at rest."""
        at_rest = torch.zeros_like(state.position)
        return Kept(chains={"momentum": at_rest if state.momentum is None else state.momentum})

    def resume(self, target: Target, position: Tensor, kept: Kept) -> UnderdampedState:
        """Return the state of chains at `position` with the momentum that they had, if any."""
        return attrs.evolve(self.init(target, position), momentum=kept.chains.get("momentum"))


def normal_like(x: Tensor, rng: torch.Generator) -> Tensor:
    """Return standard normals of the shape and kind of x."""
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)


def mean_square(x: Tensor) -> Tensor:
    """Return the mean square of an entry of each chain: (chains, ...) to (chains,)."""
    return reduce(x * x, "chains ... -> chains", "mean")


@hookimpl
def samplers() -> list[type[UnderdampedLangevin]]:
    """Supply underdamped Langevin dynamics."""
    return [UnderdampedLangevin]


__all__ = ["UnderdampedLangevin", "UnderdampedState"]
