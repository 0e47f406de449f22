"""What a sampler does to a law: exactly where its step on Gaussians is known, else by chains."""

from typing import Any

import attrs
import torch
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor

from coopkit.interfaces import LinearOnGaussians, Sampler, Target
from coopkit.sampling import run_chains
from coopkit.testing.law.gaussians import Gaussian
from coopkit.testing.records import capabilities_of

BOLD = 0.9
"""Step size of most checks, in smallest standard deviations of the target: Langevin dynamics
contracts that direction to 0.6 of itself in a step, and its variance is 25% too large."""

FINE = 0.6
"""The same where only the order of the bias is known: small enough for that order to show."""

BOLDER = 1.5
"""The same for exact samplers, which are right at any step size, and have to reject at this one."""

STEPS = 8
"""Steps of most checks: enough to contract all but the widest directions of a target."""


def evolved(sampler: Sampler[Any], **values: float) -> Sampler[Any]:
    """Return the sampler with other values of those of the fields that it has."""
    cls: Any = type(sampler)
    known = attrs.fields_dict(cls)
    evolve: Any = attrs.evolve
    changed: Sampler[Any] = evolve(
        sampler, **{name: value for name, value in values.items() if name in known}
    )
    return changed


def sized(sampler: Sampler[Any], step_size: float) -> Sampler[Any]:
    """Return the sampler with a step size that suits a target, at temperature 1."""
    tempered = {"temperature": 1.0} if capabilities_of(sampler).tempered else {}
    return evolved(sampler, step_size=step_size, **tempered)


def bold(sampler: Sampler[Any], scale: float) -> Sampler[Any]:
    """Return the sampler with a step size that shows its mistakes on a target of that scale."""
    factor = BOLD if capabilities_of(sampler).bias_order else BOLDER
    return sized(sampler, factor * scale)


def walk(
    sampler: Sampler[Any], target: Target, start: Tensor, steps: int, rng: torch.Generator
) -> Tensor:
    """Return where chains from `start` stand after so many steps, with a stream of their own."""
    state = sampler.init(target, start)
    end: Tensor = run_chains(sampler, target, state, steps, stream_from(rng)).position
    return end.detach()


def stream_from(rng: torch.Generator) -> torch.Generator:
    """Return a stream for a sampler, seeded from that of the experiment."""
    return torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=rng)))


def linear_step(sampler: Sampler[Any], precision: Tensor) -> tuple[Tensor, Tensor]:
    """Return A and C of x' = m + A (x − m) + N(0, C) on N(m, P⁻¹), as the sampler declares them."""
    assert isinstance(sampler, LinearOnGaussians)
    return sampler.gaussian_step(precision)


def after(
    steps: int, mean: Tensor, covariance: Tensor, step: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of x − m after so many linear steps."""
    transition, noise = step
    for _ in range(steps):
        mean = mean @ transition.T
        covariance = transition @ covariance @ transition.T + noise
    return mean, covariance


def stationary(step: tuple[Tensor, Tensor]) -> Tensor:
    """Return Σ of the law that a linear step leaves invariant: Σ = AΣAᵀ + C."""
    transition, noise = (part.numpy() for part in step)
    covariance: Tensor = torch.from_numpy(solve_discrete_lyapunov(transition, noise))
    return covariance


def invariant(sampler: Sampler[Any], law: Gaussian) -> Gaussian:
    """Return the law that a sampler says it leaves invariant on a Gaussian target."""
    if isinstance(sampler, LinearOnGaussians):
        return law.following(stationary(linear_step(sampler, law.precision)))
    return law
