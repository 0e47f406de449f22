"""Unadjusted Langevin dynamics, the sampler of the paper."""

from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, gt
from torch import Tensor

from coopkit.interfaces import Capabilities, Target


@attrs.frozen(eq=False)
class LangevinState:
    """The chains of a Langevin sampler.

    Attributes:
        position: (chains, ...), float32.
    """

    position: Tensor


@attrs.frozen(kw_only=True)
class Langevin:
    """Langevin dynamics, discretised and not adjusted.

    Update rule: x ← x + δ²/2 · ∇ log p(x) + δ √T U, U ~ N(0, I).

    Source: equation (6) of the paper for revision, equation (13) for inference; at T = 0 gradient
    descent on the energy, equation (8).

    Invariant law: p in the limit δ → 0, with a bias of order δ² in its moments; on N(0, s²I) the
    stationary variance is s²/(1 − δ²/4s²).

    Step-size convention: `step_size` is the paper's δ, the standard deviation of the noise. Many
    libraries call ε = δ²/2, the coefficient of the drift, the step size.

    Attributes:
        step_size: δ > 0, in the units of the position (pixels for revision, latents for inference).
        temperature: T ≥ 0, dimensionless; scales the variance of the noise.
    """

    name: ClassVar[str] = "langevin"
    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, equivariant=True, tempered=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.002, validator=gt(0))
    temperature: float = attrs.field(default=1.0, validator=ge(0))

    def init(self, target: Target, position: Tensor) -> LangevinState:
        """Return the state of chains that start at `position`."""
        return LangevinState(position.clone())

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        """Return the state one step of equation (6) or (13) later."""
        x = state.position
        drifted = x + 0.5 * self.step_size**2 * target.score(x)
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        return LangevinState(drifted + self.step_size * self.temperature**0.5 * noise)

    def gaussian_step(self, precision: Tensor) -> tuple[Tensor, Tensor]:
        """Return A = I − δ²/2 · P and C = δ²T · I of a step on N(m, P⁻¹)."""
        identity = torch.eye(len(precision), dtype=precision.dtype)
        variance = self.step_size**2
        return identity - variance / 2 * precision, variance * self.temperature * identity
