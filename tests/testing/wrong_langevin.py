"""Langevin dynamics with a mistake in one of its parts, or in the way that it is programmed."""

from collections.abc import Callable
from typing import Any

import attrs
import torch
from mutant import Mutant
from reference_samplers import FusedLangevin
from torch import Tensor

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.interfaces import Target
from coopkit.targets import MaskedTarget


@attrs.frozen(kw_only=True)
class Parts(Langevin):
    """Langevin dynamics in parts, each of which a mutant may get wrong."""

    def step(self, target: Target, state: Any, rng: torch.Generator) -> Any:
        x = state.position
        moved = x + self.drift(target, x) + self.noise_std() * self.noise(x, rng)
        return LangevinState(self.settled(moved))

    def drift(self, target: Target, x: Tensor) -> Tensor:
        return self.step_size**2 / 2 * self.score(target, x)

    def score(self, target: Target, x: Tensor) -> Tensor:
        return target.score(x)

    def noise_std(self) -> float:
        return self.step_size * self.temperature**0.5

    def noise(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)

    def settled(self, x: Tensor) -> Tensor:
        return x


def entries(x: Tensor) -> int:
    return max(1, x[0].numel())


def wrong(**parts: Callable[..., Any]) -> Any:
    """Return an instance of Langevin dynamics with other parts."""
    return attrs.make_class(
        "Wrong", {}, bases=(Parts,), frozen=True, kw_only=True, class_body=parts
    )(step_size=0.1)


def shared_noise(self: Parts, x: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(x.shape[1:], generator=rng, dtype=x.dtype).expand_as(x)


def reused_noise(self: Parts, x: Tensor, rng: torch.Generator) -> Tensor:
    again = torch.Generator().manual_seed(rng.initial_seed())
    return torch.randn(x.shape, generator=again, dtype=x.dtype)


def correlated_noise(self: Parts, x: Tensor, rng: torch.Generator) -> Tensor:
    flat = torch.randn(x.shape, generator=rng, dtype=x.dtype).reshape(len(x), -1)
    if flat.shape[1] == 1:
        return flat.reshape(x.shape)
    return ((flat + 0.5 * flat.roll(1, 1)) / 1.25**0.5).reshape(x.shape)


def antithetic_noise(self: Parts, x: Tensor, rng: torch.Generator) -> Tensor:
    half = torch.randn((len(x) + 1) // 2, *x.shape[1:], generator=rng, dtype=x.dtype)
    return torch.cat([half, -half])[: len(x)]


def uniform_noise(self: Parts, x: Tensor, rng: torch.Generator) -> Tensor:
    return (torch.rand(x.shape, generator=rng, dtype=x.dtype) - 0.5) * 12**0.5


def off_centre_noise(self: Parts, x: Tensor, rng: torch.Generator) -> Tensor:
    return torch.rand(x.shape, generator=rng, dtype=x.dtype)


def global_noise(self: Parts, x: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn_like(x)


@attrs.frozen(kw_only=True)
class Cast(Langevin):
    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        single = LangevinState(state.position.float())
        return LangevinState(super().step(target, single, rng).position.to(state.position.dtype))


@attrs.frozen(kw_only=True)
class Doubled(Langevin):
    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        target.score(state.position)
        return super().step(target, state, rng)


@attrs.frozen(eq=False)
class StaleState:
    position: Tensor
    score: Tensor


@attrs.frozen(kw_only=True)
class Stale(Langevin):
    def init(self, target: Target, position: Tensor) -> Any:
        return StaleState(position.clone(), target.score(position))

    def step(self, target: Target, state: Any, rng: torch.Generator) -> Any:
        x = state.position
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        drifted = x + self.step_size**2 / 2 * state.score
        return StaleState(drifted + self.step_size * self.temperature**0.5 * noise, target.score(x))


@attrs.frozen(kw_only=True)
class Accumulating(Stale):
    def step(self, target: Target, state: Any, rng: torch.Generator) -> Any:
        x = state.position
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        total = state.score + target.score(x)
        drifted = x + self.step_size**2 / 2 * total
        return StaleState(drifted + self.step_size * self.temperature**0.5 * noise, total)

    def init(self, target: Target, position: Tensor) -> Any:
        return StaleState(position.clone(), torch.zeros_like(position))


def through_backward(self: Parts, target: Target, x: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        target.log_prob(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


@attrs.frozen(kw_only=True)
class KeptGraph(Langevin):
    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        moved = super().step(target, state, rng).position
        return LangevinState(moved.requires_grad_())


@attrs.frozen(kw_only=True)
class InPlace(Langevin):
    def init(self, target: Target, position: Tensor) -> LangevinState:
        return LangevinState(position)

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        state.position.copy_(super().step(target, state, rng).position)
        return state


class OpenState:
    def __init__(self, position: Tensor) -> None:
        self.position = position


@attrs.frozen(kw_only=True)
class Open(Langevin):
    def init(self, target: Target, position: Tensor) -> Any:
        return OpenState(position.clone())

    def step(self, target: Target, state: Any, rng: torch.Generator) -> Any:
        return OpenState(super().step(target, state, rng).position)


@attrs.frozen(kw_only=True)
class Leaking(Langevin):
    """Keeps an average of the score in the sampler, as an optimiser keeps its momentum."""

    kept: dict[str, Tensor] = attrs.field(factory=dict, eq=False, repr=False)

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        x = state.position
        score = target.score(x)
        old = self.kept.get("score", score)
        if old.shape == score.shape and old.dtype == score.dtype:
            score = 0.5 * old + 0.5 * score
        self.kept["score"] = score
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        drifted = x + self.step_size**2 / 2 * score
        return LangevinState(drifted + self.step_size * self.temperature**0.5 * noise)


@attrs.frozen(kw_only=True)
class MaskedAtTheEnd(FusedLangevin):
    def run(
        self, target: Target, state: LangevinState, steps: int, rng: torch.Generator
    ) -> LangevinState:
        base = target.base if isinstance(target, MaskedTarget) else target
        end = super().run(base, state, steps, rng).position
        return LangevinState(target.project(end))


def drift_factor(factor: Callable[[Parts], float]) -> Any:
    """Return Langevin dynamics whose drift is a factor times the score."""
    return wrong(drift=lambda self, target, x: factor(self) * self.score(target, x))


WRONG_LANGEVIN = [
    Mutant(
        "the half is missing from the drift",
        "the drift is δ²/2 · score",
        drift_factor(lambda self: self.step_size**2),
    ),
    Mutant(
        "the drift has δ/2 where δ²/2 belongs",
        "the drift is δ²/2 · score: square the step size",
        drift_factor(lambda self: self.step_size / 2),
    ),
    Mutant(
        "the drift has δ where δ²/2 belongs",
        "the drift is δ²/2 · score: square the step size and halve it",
        drift_factor(lambda self: self.step_size),
    ),
    Mutant(
        "the sign of the score is wrong",
        "chains climb log p: add the score, subtract the gradient of the energy",
        drift_factor(lambda self: -(self.step_size**2) / 2),
    ),
    Mutant(
        "the score is left out",
        "add δ²/2 · score to the position",
        drift_factor(lambda self: 0.0),
    ),
    Mutant(
        "the noise has √δ where δ belongs",
        "the standard deviation of the noise is δ √T",
        wrong(noise_std=lambda self: (self.step_size * self.temperature) ** 0.5),
    ),
    Mutant(
        "the noise has 2δ where δ belongs",
        "the standard deviation of the noise is δ √T",
        wrong(noise_std=lambda self: 2 * self.step_size * self.temperature**0.5),
    ),
    Mutant(
        "the noise has δ² where δ belongs",
        "the standard deviation of the noise is δ √T",
        wrong(noise_std=lambda self: self.step_size**2 * self.temperature**0.5),
    ),
    Mutant(
        "there is no noise",
        "add δ √T U with U ~ N(0, I) in every step",
        wrong(noise_std=lambda self: 0.0),
    ),
    Mutant(
        "the noise is uniform, of the right variance",
        "draw U with torch.randn",
        wrong(noise=uniform_noise),
    ),
    Mutant(
        "the noise is uniform on [0, 1]",
        "draw U with torch.randn, not torch.rand",
        wrong(noise=off_centre_noise),
    ),
    Mutant(
        "all chains share their noise",
        "draw noise of the shape of the position, chains included",
        wrong(noise=shared_noise),
    ),
    Mutant(
        "half of the chains have the other half's noise with its sign turned",
        "draw noise of the shape of the position, chains included",
        wrong(noise=antithetic_noise),
    ),
    Mutant(
        "every step has the same noise",
        "draw from the generator that step is given, and do not seed it",
        wrong(noise=reused_noise),
    ),
    Mutant(
        "the noise of neighbouring coordinates is correlated",
        "draw independent noise for every coordinate",
        wrong(noise=correlated_noise),
    ),
    Mutant(
        "the global random stream is used",
        "pass generator=rng wherever something is drawn",
        wrong(noise=global_noise),
    ),
    Mutant(
        "the temperature multiplies the drift too",
        "temperature scales the variance of the noise alone",
        wrong(
            drift=lambda self, target, x: self.temperature * self.step_size**2 / 2 * target.score(x)
        ),
    ),
    Mutant(
        "the noise has T where √T belongs",
        "the standard deviation of the noise is δ √T",
        wrong(noise_std=lambda self: self.step_size * self.temperature),
    ),
    Mutant(
        "the score is averaged over chains",
        "differentiate the sum of log_prob over chains, not its mean",
        wrong(score=lambda self, target, x: target.score(x) / len(x)),
    ),
    Mutant(
        "the score is averaged over pixels",
        "log_prob sums over the entries of a signal",
        wrong(score=lambda self, target, x: target.score(x) / entries(x)),
    ),
    Mutant(
        "every chain follows the mean score of all",
        "each chain follows its own score",
        wrong(score=lambda self, target, x: target.score(x).mean(0, keepdim=True).expand_as(x)),
    ),
    Mutant(
        "every entry of the score is clipped to [−1, 1]",
        "follow the score as it is",
        wrong(score=lambda self, target, x: target.score(x).clamp(-1, 1)),
    ),
    Mutant(
        "the score is scaled to length 1",
        "follow the score as it is",
        wrong(
            score=lambda self, target, x: (
                target.score(x)
                / (
                    target.score(x)
                    .reshape(len(x), -1)
                    .norm(dim=1)
                    .reshape(-1, *(1,) * (x.dim() - 1))
                    + 1e-12
                )
            )
        ),
    ),
    Mutant(
        "the score is one step stale",
        "evaluate the score at the present position",
        Stale(step_size=0.1),
    ),
    Mutant(
        "gradients accumulate from step to step",
        "use torch.autograd.grad, or Target.score, not backward",
        Accumulating(step_size=0.1),
    ),
    Mutant(
        "gradients of the weights are left on",
        "use torch.autograd.grad with respect to the position, or Target.score",
        wrong(score=through_backward),
    ),
    Mutant(
        "the position keeps requiring a gradient",
        "detach the position before it goes into the state",
        KeptGraph(step_size=0.1),
    ),
    Mutant(
        "each step evaluates the score twice",
        "evaluate it once, or declare gradients_per_step=2",
        Doubled(step_size=0.1),
    ),
    Mutant(
        "float64 is silently cast to float32",
        "create tensors with the position's dtype",
        Cast(step_size=0.1),
    ),
    Mutant(
        "the input is changed in place",
        "copy the position in init, and give a new state in step",
        InPlace(step_size=0.1),
    ),
    Mutant(
        "the state can be changed",
        "make the state a frozen attrs class",
        Open(step_size=0.1),
    ),
    Mutant(
        "something is kept in the sampler from run to run",
        "keep what a step needs in the state",
        Leaking(step_size=0.1),
    ),
    Mutant(
        "positions are clamped to [−1, 1]",
        "leave the position as the step gives it; clamp pictures when they are shown",
        wrong(settled=lambda self, x: x.clamp(-1, 1)),
    ),
    Mutant(
        "positions are centred over chains",
        "leave the chains independent of each other",
        wrong(settled=lambda self, x: x - x.mean(0, keepdim=True)),
    ),
    Mutant(
        "the mask is applied only at the end of a fused run",
        "call target.project after every step",
        MaskedAtTheEnd(step_size=0.1),
    ),
]
