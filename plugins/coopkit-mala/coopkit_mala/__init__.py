"""The Metropolis-adjusted Langevin algorithm, a plugin of coopkit."""

from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, gt, lt
from einops import rearrange, reduce
from torch import Tensor

from coopkit import Capabilities, Target, hookimpl
from coopkit.interfaces import Kept
from coopkit.precision import total_of_squares
from coopkit.tuning import DualAveraging, acceptance

coopkit_interface = 1


@attrs.frozen(eq=False)
class MalaState:
    """The chains of the Metropolis-adjusted Langevin algorithm.

    Attributes:
        position: (chains, ...), float32.
        score: ∇ log p at the position, (chains, ...).
        log_prob: log p + const at the position, (chains,), as the target gives it.
        accepted: how many proposals were accepted, (chains,).
        proposed: how many there were.
        tuning: of the step sizes; None without a warm-up.
    """

    position: Tensor
    score: Tensor
    log_prob: Tensor
    accepted: Tensor
    proposed: int = 0
    tuning: DualAveraging | None = None


@attrs.frozen(kw_only=True)
class Mala:
    """Langevin dynamics whose every step is accepted or rejected, so that its law is exact.

    Update rule: x' = x + δ²/2 · ∇ log p(x) + δ √T U, U ~ N(0, I). The chain goes to x' with
    probability min(1, r^(1/T)) and else stays at x, where
    r = p(x') q(x' → x) / (p(x) q(x → x')) and log q(x → x') = −‖x' − x − δ²/2 · ∇ log p(x)‖² / 2δ².
    A proposal at which anything is not finite is rejected.

    Source: G. O. Roberts and R. L. Tweedie (1996), "Exponential convergence of Langevin
    distributions and their discrete approximations", Bernoulli 2. The tuning is that of
    `coopkit.tuning`, Hoffman and Gelman (2014), section 3.2.

    Symbols: x the position, in pixels for revision and latent units for inference; δ the step
    size, in the same units; T the temperature and the acceptance, dimensionless.

    Invariant law: p^(1/T) exactly, whatever δ is, and the chain is reversible. While a chain tunes
    its step size neither is true; afterwards both are. At T = 0 a descent that takes a step only
    if log p rises by ‖δ (∇ log p(x) + ∇ log p(x'))‖²/8 at least.

    Step-size convention: `step_size` is δ, the standard deviation of the noise, as everywhere in
    coopkit. Roberts and Tweedie call h = δ² the step. Take the δ at which 0.574 of the proposals
    are accepted, the best for many dimensions d (G. O. Roberts and J. S. Rosenthal (1998),
    "Optimal scaling of discrete approximations to Langevin diffusions", Journal of the Royal
    Statistical Society B 60); it shrinks as d^(−1/6).

    Attributes:
        step_size: δ > 0, in the units of the position (pixels for revision, latents for inference).
            With a warm-up, where the tuning begins.
        temperature: T ≥ 0, dimensionless; makes p^(1/T) the target.
        warmup: the number of first steps, over all iterations of learning, in which each chain
            tunes a step size of its own; it then keeps their average. 0 to tune nothing.
        acceptance: the share of accepted proposals that the warm-up aims at, in (0, 1).
    """

    name: ClassVar[str] = "mala"
    capabilities: ClassVar[Capabilities] = Capabilities(
        reversible=True, equivariant=True, tempered=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.002, validator=gt(0))
    temperature: float = attrs.field(default=1.0, validator=ge(0))
    warmup: int = attrs.field(default=0, validator=ge(0))
    acceptance: float = attrs.field(default=0.574, validator=[gt(0), lt(1)])

    def init(self, target: Target, position: Tensor) -> MalaState:
        """Return the state of chains that start at `position`."""
        return self.resume(target, position, Kept())

    def step(self, target: Target, state: MalaState, rng: torch.Generator) -> MalaState:
        """Return the state one proposal later."""
        x, delta = state.position, beside(self.delta(state), state.position)
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        uniform = torch.rand(len(x), generator=rng, device=x.device, dtype=x.dtype)
        noise = self.temperature**0.5 * noise
        proposal = x + delta * (delta / 2 * state.score + noise)
        log_prob, score = target.log_prob_and_score(proposal)
        back = noise + delta / 2 * (state.score + score)
        there, again = total_of_squares(noise) / 2, total_of_squares(back) / 2
        gain = log_prob - state.log_prob + there - again
        sound = (log_prob - again).isfinite() & all_finite(proposal)
        accepted = sound & (self.temperature * torch.log1p(-uniform) <= gain)
        moved = beside(accepted, x)
        return MalaState(
            position=torch.where(moved, proposal, x),
            score=torch.where(moved, score, state.score),
            log_prob=torch.where(accepted, log_prob, state.log_prob),
            accepted=state.accepted + accepted,
            proposed=state.proposed + 1,
            tuning=self.tuned(state.tuning, gain, sound),
        )

    def delta(self, state: MalaState) -> Tensor:
        """Return δ of each chain, (chains,)."""
        if state.tuning is None:
            return state.position.new_full((len(state.position),), self.step_size)
        return state.tuning.in_use(self.warmup)

    def tuned(
        self, tuning: DualAveraging | None, gain: Tensor, sound: Tensor
    ) -> DualAveraging | None:
        """Return the tuning after a proposal of log r = gain, which is void where not `sound`."""
        if tuning is None:
            return None
        chance = acceptance(gain, sound, self.temperature)
        return tuning.update(chance, self.acceptance, tuning.updates < self.warmup)

    def figures(self, state: MalaState) -> dict[str, Tensor]:
        """Return the share of accepted proposals, 0 before the first; δ as well if it is tuned."""
        figures = {"acceptance": state.accepted / max(state.proposed, 1)}
        return figures | ({"step_size": self.delta(state)} if self.warmup else {})

    def keep(self, state: MalaState) -> Kept:
        """Return how far the step sizes are tuned."""
        return Kept(tuned=state.tuning.tensors() if state.tuning else {})

    def resume(self, target: Target, position: Tensor, kept: Kept) -> MalaState:
        """Return the state of chains at `position` with the step sizes that were tuned."""
        tuning = None
        if self.warmup:
            tuning = DualAveraging.resumed(kept.tuned, self.step_size, position)
        log_prob, score = target.log_prob_and_score(position)
        return MalaState(
            position=position.clone(),
            score=score,
            log_prob=log_prob,
            accepted=torch.zeros(len(position), dtype=torch.int64, device=position.device),
            tuning=tuning,
        )


def all_finite(x: Tensor) -> Tensor:
    """Return whether every entry of a chain is finite: (chains, ...) to (chains,)."""
    return reduce(x.isfinite(), "chains ... -> chains", "all")


def beside(values: Tensor, x: Tensor) -> Tensor:
    """Return one value for each chain, (chains,), in a shape that multiplies x, (chains, ...)."""
    return rearrange(values, f"chains -> chains {'1 ' * (x.ndim - 1)}")


@hookimpl
def samplers() -> list[type[Mala]]:
    """Supply the Metropolis-adjusted Langevin algorithm."""
    return [Mala]


__all__ = ["Mala", "MalaState"]
