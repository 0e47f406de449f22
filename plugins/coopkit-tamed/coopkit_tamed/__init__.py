"""Tamed unadjusted Langevin dynamics, a plugin of coopkit."""

from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, gt
from einops import einsum, reduce
from torch import Tensor

from coopkit import Capabilities, Target, hookimpl

coopkit_interface = 1


@attrs.frozen(eq=False)
class TamedState:
    """The chains of a tamed Langevin sampler.

    Attributes:
        position: (chains, ...), float32.
    """

    position: Tensor


@attrs.frozen(kw_only=True)
class TamedLangevin:
    """Langevin dynamics whose drift is bounded, so that no score can throw a chain away.

    Update rule: x ← x + γ ∇ log p(x) / (1 + γ ‖∇ log p(x)‖) + δ √T U, with γ = δ²/2 and
    U ~ N(0, I). The norm is that of one chain.

    Source: N. Brosse, A. Durmus, É. Moulines, S. Sabanis (2019), "The tamed unadjusted Langevin
    algorithm", Stochastic Processes and their Applications 129.

    Symbols: x the position, in pixels for revision and latent units for inference; δ the step
    size, in the same units; γ in their square; T the temperature, dimensionless. The drift of one
    step is shorter than 1 unit of x whatever the score is.

    Invariant law: p in the limit δ → 0, with a bias that vanishes with δ. Unlike Langevin's own,
    the chain stays stable where the score grows faster than linearly.

    Step-size convention: `step_size` is δ as in coopkit's paper, the standard deviation of the
    noise. Brosse et al. call γ = δ²/2, the coefficient of the drift, the step size.

    Attributes:
        step_size: δ > 0, in the units of the position (pixels for revision, latents for inference).
        temperature: T ≥ 0, dimensionless; scales the variance of the noise.
    """

    name: ClassVar[str] = "tamed-langevin"
    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, equivariant=True, tempered=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.002, validator=gt(0))
    temperature: float = attrs.field(default=1.0, validator=ge(0))

    def init(self, target: Target, position: Tensor) -> TamedState:
        """Return the state of chains that start at `position`."""
        return TamedState(position.clone())

    def step(self, target: Target, state: TamedState, rng: torch.Generator) -> TamedState:
        """Return the state one tamed step later."""
        x = state.position
        drift = 0.5 * self.step_size**2 * target.score(x)
        length = reduce(drift * drift, "chains ... -> chains", "sum").sqrt()
        tamed = einsum(drift, 1 / (1 + length), "chains ..., chains -> chains ...")
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        return TamedState(x + tamed + self.step_size * self.temperature**0.5 * noise)


@hookimpl
def samplers() -> list[type[TamedLangevin]]:
    """Supply tamed Langevin dynamics."""
    return [TamedLangevin]


__all__ = ["TamedLangevin", "TamedState"]
