"""The sampler diagonal-langevin, a plugin of coopkit."""

from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, gt
from torch import Tensor

from coopkit import Capabilities, Target, hookimpl

coopkit_interface = 1


@attrs.frozen(eq=False)
class Chains:
    """What is kept between two steps.

    Attributes:
        position: (chains, ...), float32.
        metric: the diagonal of M, of the shape of the position; in (0, 1], dimensionless.
    """

    position: Tensor
    metric: Tensor


@attrs.frozen(kw_only=True)
class DiagonalLangevin:
    """Langevin dynamics with smaller steps in those entries where a chain starts on a steep slope.

    Update rule: x ← x + δ²/2 · M ∇ log p(x) + δ √(T M) U, with U ~ N(0, I) and M diagonal,
    M_i = 1/√(1 + (δ ∂ log p(x₀)/∂x_i)²) at the start x₀ of the chain, the same in all of its steps.

    Source: G. O. Roberts, O. Stramer (2002), "Langevin diffusions and Metropolis-Hastings
    algorithms", Methodology and Computing in Applied Probability 4, with a constant M.

    Symbols: x the position, (chains, ...), in pixels for revision and latent units for inference;
    M of the shape of x, dimensionless; δ the step size, one number in the units of x; T the
    temperature, one number, dimensionless.

    Invariant law: p^(1/T) in the limit δ → 0, whatever M is, with a bias of order δ².

    Step-size convention: `step_size` is δ, the standard deviation of the noise at T = 1 and M = I.

    Attributes:
        step_size: δ > 0, in the units of the position (pixels for revision, latents for inference).
        temperature: T ≥ 0, dimensionless; scales the variance of the noise.
    """

    name: ClassVar[str] = "diagonal-langevin"
    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, tempered=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.002, validator=gt(0))
    temperature: float = attrs.field(default=1.0, validator=ge(0))

    def init(self, target: Target, position: Tensor) -> Chains:
        """Return the state of chains that start at `position`, with the metric of their start."""
        slope = self.step_size * target.score(position)
        return Chains(position.clone(), torch.rsqrt(1 + slope**2))

    def step(self, target: Target, state: Chains, rng: torch.Generator) -> Chains:
        """Return the state one step later."""
        x, metric = state.position, state.metric
        drift = self.step_size**2 / 2 * metric * target.score(x)
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        spread = self.step_size * (self.temperature * metric).sqrt()
        return Chains(x + drift + spread * noise, metric)

    def figures(self, state: Chains) -> dict[str, Tensor]:
        """Return the mean of the metric over the entries of each chain."""
        return {"metric": state.metric.reshape(len(state.metric), -1).mean(1)}


@hookimpl
def samplers() -> list[type[DiagonalLangevin]]:
    """Supply the sampler."""
    return [DiagonalLangevin]
