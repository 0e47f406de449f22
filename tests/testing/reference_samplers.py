"""Right samplers of other kinds than Langevin's, to try the checks on and to plant mistakes in."""

from typing import ClassVar

import attrs
import torch
from attrs.validators import gt
from torch import Tensor

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.interfaces import Capabilities, Target


def normal_like(x: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)


def per_chain(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1 for _ in like.shape[1:]))


@attrs.frozen(eq=False)
class MalaState:
    position: Tensor
    score: Tensor
    log_prob: Tensor


@attrs.frozen(kw_only=True)
class Mala:
    """Langevin dynamics adjusted by Metropolis and Hastings: exact and reversible."""

    name: ClassVar[str] = "reference-mala"
    capabilities: ClassVar[Capabilities] = Capabilities(
        reversible=True, equivariant=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.1, validator=gt(0))

    def init(self, target: Target, position: Tensor) -> MalaState:
        return self.at(target, position.clone())

    def at(self, target: Target, x: Tensor) -> MalaState:
        with torch.no_grad():
            return MalaState(x, target.score(x), target.log_prob(x))

    def log_proposal(self, state: MalaState, onto: Tensor) -> Tensor:
        mean = state.position + self.step_size**2 / 2 * state.score
        return -(onto - mean).square().reshape(len(onto), -1).sum(1) / (2 * self.step_size**2)

    def log_ratio(self, now: MalaState, proposed: MalaState) -> Tensor:
        forward = self.log_proposal(now, proposed.position)
        back = self.log_proposal(proposed, now.position)
        return proposed.log_prob - now.log_prob + back - forward

    def uniform(self, chains: int, x: Tensor, rng: torch.Generator) -> Tensor:
        return torch.rand(chains, generator=rng, device=x.device, dtype=x.dtype)

    def proposal(
        self, target: Target, state: MalaState, rng: torch.Generator
    ) -> tuple[MalaState, Tensor]:
        """Return where the chains would go, and which of them may, (chains,)."""
        x = state.position
        noise = self.step_size * normal_like(x, rng)
        proposed = self.at(target, x + self.step_size**2 / 2 * state.score + noise)
        log_uniform = self.uniform(len(x), x, rng).log()
        return proposed, log_uniform < self.log_ratio(state, proposed)

    def step(self, target: Target, state: MalaState, rng: torch.Generator) -> MalaState:
        x, (proposed, accept) = state.position, self.proposal(target, state, rng)
        moved = per_chain(accept, x)
        return MalaState(
            torch.where(moved, proposed.position, x),
            torch.where(moved, proposed.score, state.score),
            torch.where(accept, proposed.log_prob, state.log_prob),
        )


@attrs.frozen(eq=False)
class MomentumState:
    position: Tensor
    score: Tensor
    momentum: Tensor | None = None


@attrs.frozen(kw_only=True)
class Underdamped:
    """Underdamped Langevin dynamics by the splitting OBABO: a bias of order 2, and a memory."""

    name: ClassVar[str] = "reference-underdamped"
    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, equivariant=True, gradients_per_step=1
    )

    step_size: float = attrs.field(default=0.1, validator=gt(0))
    persistence: float = 0.7

    def init(self, target: Target, position: Tensor) -> MomentumState:
        return MomentumState(position.clone(), target.score(position))

    def step(self, target: Target, state: MomentumState, rng: torch.Generator) -> MomentumState:
        x, old = state.position, self.persistence**0.5
        momentum = self.opening(state, rng)
        momentum = old * momentum + (1 - old**2) ** 0.5 * self.normal(x, rng)
        momentum = momentum + self.step_size / 2 * state.score
        x = x + self.step_size * momentum
        score = target.score(x)
        momentum = momentum + self.step_size / 2 * score
        momentum = old * momentum + (1 - old**2) ** 0.5 * self.normal(x, rng)
        return MomentumState(x, score, momentum)

    def opening(self, state: MomentumState, rng: torch.Generator) -> Tensor:
        """Return the momentum of the state; in equilibrium where it has none yet."""
        if state.momentum is None:
            return self.normal(state.position, rng)
        return state.momentum

    def normal(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return normal_like(x, rng)


@attrs.frozen(kw_only=True)
class Hamiltonian:
    """Hamiltonian Monte Carlo of three leapfrog steps: exact and reversible."""

    name: ClassVar[str] = "reference-hmc"
    capabilities: ClassVar[Capabilities] = Capabilities(
        reversible=True, equivariant=True, gradients_per_step=4
    )

    step_size: float = attrs.field(default=0.1, validator=gt(0))

    def init(self, target: Target, position: Tensor) -> LangevinState:
        return LangevinState(position.clone())

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        x = state.position
        momentum = normal_like(x, rng)
        end, last = x, momentum + self.step_size / 2 * target.score(x)
        for leap in range(3):
            end = end + self.step_size * last
            last = last + self.step_size * (0.5 if leap == 2 else 1.0) * target.score(end)
        with torch.no_grad():
            gain = target.log_prob(end) - target.log_prob(x)
        energy = (momentum.square() - last.square()).reshape(len(x), -1).sum(1) / 2
        uniform = torch.rand(len(x), generator=rng, device=x.device, dtype=x.dtype)
        return LangevinState(torch.where(per_chain(uniform.log() < gain + energy, x), end, x))


@attrs.frozen(kw_only=True)
class FusedLangevin(Langevin):
    """Langevin dynamics that offers many steps at once."""

    def run(
        self, target: Target, state: LangevinState, steps: int, rng: torch.Generator
    ) -> LangevinState:
        x = state.position
        for _ in range(steps):
            drifted = x + 0.5 * self.step_size**2 * target.score(x)
            x = drifted + self.step_size * self.temperature**0.5 * normal_like(x, rng)
            x = target.project(x)
        return LangevinState(x)


RIGHT = [
    Langevin(step_size=0.1),
    FusedLangevin(step_size=0.1),
    Mala(),
    Underdamped(),
    Hamiltonian(),
]
