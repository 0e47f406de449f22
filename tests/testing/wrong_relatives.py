"""Relatives of Langevin dynamics, each with a mistake: adjusted, underdamped, held to be exact."""

from typing import ClassVar

import attrs
import torch
from mutant import Mutant
from reference_samplers import Mala, MalaState, MomentumState, Underdamped, per_chain
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.interfaces import Capabilities, Target


@attrs.frozen(kw_only=True)
class HeldToBeExact(Langevin):
    """Right Langevin dynamics that does not say that it is biased."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        equivariant=True, tempered=True, gradients_per_step=1
    )


@attrs.frozen(kw_only=True)
class Unadjusted(Mala):
    """Computes the Metropolis test, and moves whatever comes of it."""

    def step(self, target: Target, state: MalaState, rng: torch.Generator) -> MalaState:
        proposed, accept = self.proposal(target, state, rng)
        return MalaState(
            proposed.position,
            proposed.score,
            torch.where(accept, proposed.log_prob, state.log_prob),
        )


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
        x, (proposed, accept) = state.position, self.proposal(target, state, rng)
        moved = per_chain(accept, x)
        return MalaState(
            torch.where(moved, proposed.position, x),
            proposed.score,
            torch.where(accept, proposed.log_prob, state.log_prob),
        )


@attrs.frozen(kw_only=True)
class FromRest(Underdamped):
    def opening(self, state: MomentumState, rng: torch.Generator) -> Tensor:
        return torch.zeros_like(state.position)


@attrs.frozen(kw_only=True)
class Rolling(Underdamped):
    """Right at every temperature but 0, where it rolls on."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, equivariant=True, tempered=True, gradients_per_step=1
    )

    temperature: float = 1.0

    def normal(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return self.temperature**0.5 * super().normal(x, rng)


WRONG_RELATIVES = [
    Mutant(
        "a bias is not declared",
        "if the sampler is not meant to be exact, state its bias_order in capabilities",
        HeldToBeExact(step_size=0.1),
    ),
    Mutant(
        "the Metropolis decision is not used",
        "if there is a Metropolis test, leave a chain where it is when its proposal is rejected",
        Unadjusted(),
    ),
    Mutant(
        "the Metropolis test has the wrong sign",
        "if there is one, accept where log U < log p(x') − log p(x) + log q(x|x') − log q(x'|x)",
        WrongWay(),
    ),
    Mutant(
        "the Metropolis test leaves out the proposal's density",
        "if there is one, add Hastings' correction log q(x|x') − log q(x'|x)",
        NoHastings(),
    ),
    Mutant(
        "one uniform number decides for all chains",
        "if there is a Metropolis test, draw a uniform number for every chain",
        OneUniform(),
    ),
    Mutant(
        "one Metropolis decision is taken for all chains",
        "if there is a Metropolis test, accept or reject each chain by its own ratio",
        OneDecision(),
    ),
    Mutant(
        "the score of a rejected proposal is kept",
        "if proposals are rejected, keep the old score with the old position",
        RejectedProposal(),
    ),
    Mutant(
        "momentum starts from zero at every call",
        "if there is a momentum, keep it in the state, and draw it where there is none",
        FromRest(),
    ),
    Mutant(
        "a sampler with momentum declares a temperature",
        "if there is a momentum, leave tempered out of capabilities: at T = 0 it does not descend",
        Rolling(),
    ),
]
