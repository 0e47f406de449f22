"""Metropolis-adjusted and underdamped Langevin dynamics, each with a mistake."""

import attrs
import torch
from mutant import Mutant
from reference_samplers import Mala, MalaState, MomentumState, Underdamped
from torch import Tensor

from coopkit.interfaces import Target


@attrs.frozen(kw_only=True)
class WrongWay(Mala):
    def log_ratio(self, now: MalaState, proposed: MalaState) -> Tensor:
        return -super().log_ratio(now, proposed)


@attrs.frozen(kw_only=True)
class NoHastings(Mala):
    def log_ratio(self, now: MalaState, proposed: MalaState) -> Tensor:
        return proposed.log_prob - now.log_prob


@attrs.frozen(kw_only=True)
class OneUniform(Mala):
    def uniform(self, chains: int, x: Tensor, rng: torch.Generator) -> Tensor:
        return torch.rand((), generator=rng, dtype=x.dtype).expand(chains)


@attrs.frozen(kw_only=True)
class OneDecision(Mala):
    def log_ratio(self, now: MalaState, proposed: MalaState) -> Tensor:
        ratio = super().log_ratio(now, proposed)
        return ratio.mean().expand_as(ratio)


@attrs.frozen(kw_only=True)
class RejectedProposal(Mala):
    """Keeps the score of a rejected proposal."""

    def step(self, target: Target, state: MalaState, rng: torch.Generator) -> MalaState:
        x = state.position
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        proposed = self.at(target, x + self.step_size**2 / 2 * state.score + self.step_size * noise)
        log_uniform = self.uniform(len(x), x, rng).log()
        accept = log_uniform < self.log_ratio(state, proposed)
        moved = accept.reshape(-1, *(1 for _ in x.shape[1:]))
        return MalaState(
            torch.where(moved, proposed.position, x),
            proposed.score,
            torch.where(accept, proposed.log_prob, state.log_prob),
        )


@attrs.frozen(kw_only=True)
class FromRest(Underdamped):
    def opening(self, state: MomentumState, rng: torch.Generator) -> Tensor:
        return torch.zeros_like(state.position)


WRONG_RELATIVES = [
    Mutant(
        "the Metropolis test has the wrong sign",
        "accept where log U < log p(x') − log p(x) + log q(x|x') − log q(x'|x)",
        WrongWay(),
    ),
    Mutant(
        "the Metropolis test leaves out the proposal's density",
        "add Hastings' correction log q(x|x') − log q(x'|x)",
        NoHastings(),
    ),
    Mutant(
        "one uniform number decides for all chains",
        "draw a uniform number for every chain",
        OneUniform(),
    ),
    Mutant(
        "one Metropolis decision is taken for all chains",
        "accept or reject each chain by its own ratio",
        OneDecision(),
    ),
    Mutant(
        "the score of a rejected proposal is kept",
        "where a proposal is rejected, keep the old score as well",
        RejectedProposal(),
    ),
    Mutant(
        "momentum starts from zero at every call",
        "keep the momentum in the state; draw it where there is none",
        FromRest(),
    ),
]
