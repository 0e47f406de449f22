"""Step sizes that every chain tunes for itself, by dual averaging of its acceptance.

Sources: Y. Nesterov (2009), "Primal-dual subgradient methods for convex problems", Mathematical
Programming 120; M. D. Hoffman and A. Gelman (2014), "The No-U-Turn sampler", Journal of Machine
Learning Research 15, section 3.2. With δ the step size, α the acceptance probability of a step, a
the wanted one and H_i = a − α_i, equation (6) there with x = log δ is

    log δ_{t+1} = μ − (√t / γ) · 1/(t + t0) · Σ_{i ≤ t} H_i
    log δ̄_{t+1} = t^−κ log δ_{t+1} + (1 − t^−κ) log δ̄_t

with μ = log 10 δ_1, γ = 0.05, t0 = 10 and κ = 0.75. δ is what the chain uses while it tunes; δ̄
converges, and is what it uses afterwards.
"""

import math
from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

GAMMA = 0.05
"""γ > 0: how strongly log δ is drawn to μ."""

T0 = 10
"""t0 ≥ 0: how much the first steps are held back."""

KAPPA = 0.75
"""κ in (0.5, 1]: the smaller, the sooner δ̄ forgets the first steps; 1 is their plain mean."""

FARTHEST = math.log(1e6)
"""How far log δ may go from μ. Not of the paper: where every step is accepted, as on a flat
density, nothing else would keep δ finite."""


@attrs.frozen(eq=False)
class DualAveraging:
    """Where the tuning of chains stands; a row for each of them, and none reads another.

    Attributes:
        updates: t, how many steps have been counted, (chains,), int64.
        shortfall: the mean of H_i, 1/(t + t0) · Σ H_i, (chains,).
        log_step: log δ, (chains,).
        log_average: log δ̄, (chains,).
        origin: μ, (chains,).
    """

    updates: Tensor
    shortfall: Tensor
    log_step: Tensor
    log_average: Tensor
    origin: Tensor

    @classmethod
    def start(cls, step_size: float, position: Tensor) -> "DualAveraging":
        """Return chains at `position` (chains, ...) before their first step, which is `step_size`.

        Args:
            step_size: δ_1 > 0, in the units of the position.
            position: gives the number of chains, the device and the type.
        """
        chains = len(position)
        log_step = position.new_full((chains,), math.log(step_size))
        return cls(
            updates=torch.zeros(chains, dtype=torch.int64, device=position.device),
            shortfall=torch.zeros_like(log_step),
            log_step=log_step,
            log_average=log_step,
            origin=log_step + math.log(10),
        )

    @classmethod
    def resumed(
        cls, tensors: Mapping[str, Tensor], step_size: float, position: Tensor
    ) -> "DualAveraging":
        """Return the tuning of which `tensors` were kept; a new one if there are none."""
        return cls(**tensors) if tensors else cls.start(step_size, position)

    @property
    def step_size(self) -> Tensor:
        """Return δ, (chains,), in the units of the position."""
        return self.log_step.exp()

    @property
    def averaged(self) -> Tensor:
        """Return δ̄, (chains,), in the units of the position."""
        return self.log_average.exp()

    def in_use(self, warmup: int) -> Tensor:
        """Return δ of the chains that have counted fewer than `warmup` steps, and δ̄ of the rest."""
        return torch.where(self.updates < warmup, self.step_size, self.averaged)

    def update(self, acceptance: Tensor, wanted: float, counted: Tensor) -> "DualAveraging":
        """Return the tuning after one more step of the chains that are `counted`, equation (6).

        Args:
            acceptance: α, the probability with which the step was accepted, (chains,).
            wanted: a, in (0, 1).
            counted: boolean, (chains,); the others stay as they are.
        """
        t = (self.updates + 1).to(self.log_step.dtype)
        share = 1 / (t + T0)
        short = wanted - acceptance.to(self.shortfall.dtype)
        shortfall = (1 - share) * self.shortfall + share * short
        pulled = (t.sqrt() / GAMMA * shortfall).clamp(-FARTHEST, FARTHEST)
        log_step = self.origin - pulled
        weight = t**-KAPPA
        log_average = weight * log_step + (1 - weight) * self.log_average
        return DualAveraging(
            updates=self.updates + counted,
            shortfall=torch.where(counted, shortfall, self.shortfall),
            log_step=torch.where(counted, log_step, self.log_step),
            log_average=torch.where(counted, log_average, self.log_average),
            origin=self.origin,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields by name, for `Kept.tuned`; `resumed` is the way back."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(DualAveraging)}


def acceptance(gain: Tensor, sound: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the probability to accept, min(1, exp(gain/T)), of each chain; 0 where not sound.

    Args:
        gain: the logarithm of the ratio of Metropolis and Hastings at T = 1, (chains,).
        sound: boolean, (chains,): whether everything at the proposal is finite.
        temperature: T ≥ 0.
    """
    chance = (gain.clamp(max=0) / max(temperature, 1e-30)).exp().nan_to_num(0.0)
    return torch.where(sound, chance, torch.zeros_like(chance))


__all__ = ["DualAveraging", "acceptance"]
