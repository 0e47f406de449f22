"""Hamiltonian Monte Carlo, one leapfrog step at a time."""

from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, gt, lt
from torch import Tensor

from coopkit import Capabilities, Target
from coopkit.interfaces import Kept
from coopkit.precision import finest, total_of_squares
from coopkit.tuning import DualAveraging, acceptance
from coopkit_hmc.trajectories import (
    Counts,
    HmcState,
    Moving,
    all_finite,
    beside,
)

DIVERGED = 1000.0
"""Error of the energy, in units of log p, beyond which a trajectory is called divergent."""


@attrs.frozen(kw_only=True)
class Hmc:
    """Hamiltonian Monte Carlo: trajectories of leapfrog steps, accepted or rejected at the end.

    Update rule: a step is one leapfrog step of every chain,
    m ← m + δ/2 · ∇ log p(y); y ← y + δ m; m ← m + δ/2 · ∇ log p(y).
    A trajectory begins at y = x with m ~ N(0, T·I) and a length L, uniform on
    {1, ..., 2·leapfrogs − 1}. After L steps the chain goes to y with probability
    min(1, exp((H(x, m₀) − H(y, m))/T)), where H(x, m) = ‖m‖²/2 − log p(x), and else stays at x.
    A trajectory at whose end anything is not finite is rejected. In between the position is x.

    Source: R. M. Neal (2011), "MCMC using Hamiltonian dynamics", Handbook of Markov Chain Monte
    Carlo, chapter 5; lengths at random: P. B. Mackenzie (1989), "An improved hybrid Monte Carlo
    method", Physics Letters B 226. The tuning is that of `coopkit.tuning`, Hoffman and Gelman
    (2014), section 3.2.

    Symbols: x the position, in pixels for revision and latent units for inference; y the moving
    point, m its momentum and δ the step size, all in the same units, as the mass is 1; T the
    temperature, L, H and the acceptance, dimensionless.

    Invariant law: p^(1/T) exactly, after every step and not only when a trajectory ends, as the
    lengths do not depend on the positions; the chain is reversible. While a chain tunes its step
    size neither is true; afterwards both are. At T = 0 a descent from rest, which never raises
    the energy −log p.

    Step-size convention: `step_size` is the leapfrog step, and as everywhere in coopkit the
    standard deviation of the noise, here of what a first step adds to x: at leapfrogs = 1 the
    algorithm is the Metropolis-adjusted Langevin algorithm of the same δ. Take the δ at which 0.65
    of the trajectories are accepted (A. Beskos, N. Pillai, G. Roberts, J.-M. Sanz-Serna, A. Stuart
    (2013), "Optimal tuning of the hybrid Monte Carlo algorithm", Bernoulli 19).

    Attributes:
        step_size: δ > 0, in the units of the position (pixels for revision, latents for inference).
            With a warm-up, where the tuning begins.
        leapfrogs: mean number of steps of a trajectory, at least 1. Take many trajectories' worth
            of steps: what has not come to its end when the steps are done is lost.
        temperature: T ≥ 0, dimensionless; makes p^(1/T) the target.
        warmup: the number of first trajectories, over all iterations of learning, in which each
            chain tunes a step size of its own; it then keeps their average. 0 to tune nothing.
        acceptance: the share of accepted trajectories that the warm-up aims at, in (0, 1).
    """

    name: ClassVar[str] = "hmc"
    capabilities: ClassVar[Capabilities] = Capabilities(
        reversible=True, equivariant=True, tempered=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.002, validator=gt(0))
    leapfrogs: int = attrs.field(default=3, validator=ge(1))
    temperature: float = attrs.field(default=1.0, validator=ge(0))
    warmup: int = attrs.field(default=0, validator=ge(0))
    acceptance: float = attrs.field(default=0.65, validator=[gt(0), lt(1)])

    def init(self, target: Target, position: Tensor) -> HmcState:
        """Return the state of chains that start at `position`."""
        return self.resume(target, position, Kept())

    def step(self, target: Target, state: HmcState, rng: torch.Generator) -> HmcState:
        """Return the state one leapfrog step later; every step draws for every chain."""
        x, chains, device = state.position, len(state.position), state.position.device
        noise = torch.randn(x.shape, generator=rng, device=device, dtype=x.dtype)
        uniform = torch.rand(chains, generator=rng, device=device, dtype=x.dtype)
        length = torch.randint(1, 2 * self.leapfrogs, (chains,), generator=rng, device=device)
        momentum = self.temperature**0.5 * noise
        begins = state.remaining == 0
        moving = Moving(x, momentum, state.score, state.log_prob).where(begins, state.moving)
        energy = torch.where(begins, total_of_squares(momentum) / 2 - state.log_prob, state.energy)
        remaining = torch.where(begins, length, state.remaining) - 1
        moving = moving.leap(target, beside(self.delta(state), x))
        state = attrs.evolve(state, moving=moving, energy=energy, remaining=remaining)
        return self.ended(state, self.temperature * torch.log1p(-uniform))

    def ended(self, state: HmcState, threshold: Tensor) -> HmcState:
        """Return the state with the trajectories that have come to their end accepted or rejected.

        Args:
            state: after a leapfrog step.
            threshold: T log U, (chains,), which the energy has to fall by.
        """
        moving, ends = state.moving, state.remaining == 0
        energy = total_of_squares(moving.momentum) / 2 - moving.log_prob
        gain = state.energy - energy
        sound = energy.isfinite() & all_finite(moving.point)
        accepted = ends & sound & (threshold <= gain)
        moved = beside(accepted, moving.point)
        return HmcState(
            position=torch.where(moved, moving.point, state.position),
            score=torch.where(moved, moving.score, state.score),
            log_prob=torch.where(accepted, moving.log_prob, state.log_prob),
            moving=moving,
            energy=state.energy,
            remaining=state.remaining,
            counts=state.counts.after(ends, accepted, ends & ~(sound & (gain >= -DIVERGED))),
            tuning=self.tuned(state.tuning, gain, sound, ends),
        )

    def delta(self, state: HmcState) -> Tensor:
        """Return δ of each chain, (chains,); the same all along a trajectory."""
        if state.tuning is None:
            return state.position.new_full((len(state.position),), self.step_size)
        return state.tuning.in_use(self.warmup)

    def tuned(
        self, tuning: DualAveraging | None, gain: Tensor, sound: Tensor, ends: Tensor
    ) -> DualAveraging | None:
        """Return the tuning after trajectories that lost so much energy; void where not `sound`."""
        if tuning is None:
            return None
        chance = acceptance(gain, sound, self.temperature)
        return tuning.update(chance, self.acceptance, ends & (tuning.updates < self.warmup))

    def figures(self, state: HmcState) -> dict[str, Tensor]:
        """Return how trajectories fared.

        The acceptance is that of all chains together, 0 if no trajectory is finished; the numbers
        of trajectories and of divergences are those of each chain, as is δ if it is tuned.
        """
        counts = state.counts
        figures = {
            "acceptance": counts.accepted.sum() / counts.trajectories.sum().clamp(min=1),
            "trajectories": counts.trajectories,
            "divergences": counts.divergences,
        }
        return figures | ({"step_size": self.delta(state)} if self.warmup else {})

    def keep(self, state: HmcState) -> Kept:
        """Return how far the step sizes are tuned."""
        return Kept(tuned=state.tuning.tensors() if state.tuning else {})

    def resume(self, target: Target, position: Tensor, kept: Kept) -> HmcState:
        """Return the state of chains at `position` with the step sizes that were tuned."""
        tuning = None
        if self.warmup:
            tuning = DualAveraging.resumed(kept.tuned, self.step_size, position)
        x, (log_prob, score) = position.clone(), target.log_prob_and_score(position)
        return HmcState(
            position=x,
            score=score,
            log_prob=log_prob,
            moving=Moving(x, torch.zeros_like(x), score, log_prob),
            energy=-log_prob.to(finest(x.device)),
            remaining=torch.zeros(len(x), dtype=torch.int64, device=x.device),
            counts=Counts.none(x),
            tuning=tuning,
        )


__all__ = ["DIVERGED", "Hmc"]
