"""Checks of the way that chains take, step by step, each against a closed form."""

import math
from collections.abc import Callable
from typing import Any

import attrs
import torch
from scipy import stats
from torch import Tensor

from coopkit.interfaces import LinearOnGaussians, Sampler, Target
from coopkit.targets import RevisionTarget
from coopkit.testing.law.dynamics import (
    BOLDER,
    FINE,
    STEPS,
    after,
    bold,
    evolved,
    invariant,
    linear_step,
    sized,
    stream_from,
    walk,
)
from coopkit.testing.law.evidence import (
    ENERGY_CHAINS,
    LEVEL,
    Evidence,
    energy_test,
    independence,
    moments,
    normal_bound,
    normality,
    paired_test,
    worst,
)
from coopkit.testing.law.gaussians import Gaussian, correlated, described, isotropic, whitened
from coopkit.testing.law.laws import TwoModes
from coopkit.testing.records import Experiment, capabilities_of

MakeGaussian = Callable[[int, torch.Generator], Gaussian]

ARRIVAL = 200
"""Steps within which a sampler whose speed is not known has to arrive from four deviations off."""

ARROW_STEPS = 12

HINT = "a sampler with momentum is no descent at T = 0, and leaves tempered out"
"""What `descent` says of the samplers that it is not for."""


def one_step(make: MakeGaussian) -> Experiment:
    """Compare a step from fixed points x with N(m + A(x − m), C), and measure its two factors."""

    def experiment(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
        law = make(chains, rng)
        sampler = bold(sampler, law.scale)
        transition, noise = linear_step(sampler, law.precision)
        wide = law.following(4 * law.covariance)
        start = wide.draw(chains, rng)
        end = walk(sampler, law.target, start, 1, rng)
        offset = law.moving(start) - law.mean
        conditional = attrs.evolve(law, mean=law.mean + offset @ transition.T, covariance=noise)
        scores = conditional.scores(end)
        drift = offset @ (transition - torch.eye(len(noise), dtype=torch.float64)).T
        moved = law.moving(end) - law.moving(start)
        factor = float((moved * drift).sum() / (drift * drift).sum())
        left = attrs.evolve(conditional, mean=law.moving(start) + factor * drift).scores(end)
        clues = {"drift": factor, "noise": float(left.square().mean().sqrt())}
        found = normality(torch.cat([scores, wide.scores(start)], 1), rng)
        detail = "{}; the drift is {drift:.3f} and the noise {noise:.3f} times what they should be"
        return attrs.evolve(found, clues=clues, detail=detail.format(found.detail, **clues))

    return experiment


def convergence(make: MakeGaussian) -> Experiment:
    """Start far away, each chain elsewhere; the moments arrive when and where they should.

    A sampler whose speed is not known goes the first half at a smaller step size: a trajectory of
    fixed length may turn a direction by half a circle, which mixes nothing, at one of them only.
    """

    def experiment(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
        law = make(chains, rng)
        sampler = bold(sampler, law.scale)
        width = len(law.covariance)
        away = torch.randn(chains, width, generator=rng, dtype=torch.float64)
        far = 4 * away @ torch.linalg.cholesky(law.covariance).T
        x = law.embed(law.mean + far)
        if isinstance(sampler, LinearOnGaussians):
            step = linear_step(sampler, law.precision)
            mean, covariance = after(STEPS, far, torch.zeros(width, width).double(), step)
            law = attrs.evolve(law, mean=law.mean + mean, covariance=covariance)
            return normality(law.scores(walk(sampler, law.target, x, STEPS, rng)), rng)
        for each in (sized(sampler, 0.7 * BOLDER * law.scale), sampler):
            x = walk(each, law.target, x, ARRIVAL // 2, rng)
        return normality(law.scores(x), rng)

    return experiment


def arrow_of_time(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """Measure KL(chains ‖ invariant law) along the way: it never rises, equation (23).

    The rise of a step is compared with the standard error of its estimate, from the influence of
    every chain on it, and with what is of second order: 2n KL of n draws from the law itself is a
    chi-square of d(d + 3)/2 degrees of freedom.
    """
    law = correlated(chains, rng)
    sampler = bold(sampler, law.scale)
    law = invariant(sampler, law)
    narrow = torch.randn(chains, 3, generator=rng, dtype=torch.float64)
    x = law.embed(law.mean + 2.0 + 0.1 * narrow)
    noise = stream_from(rng)
    state = sampler.init(law.target, x)
    before, influence = divergence(law.scores(x))
    quantile = stats.chi2.isf(LEVEL / (2 * ARROW_STEPS), 9) / (2 * chains)
    outcomes = []
    for step in range(1, ARROW_STEPS + 1):
        state = sampler.step(law.target, state, noise)
        now, own = divergence(law.scores(state.position))
        error = float((own - influence).std()) / math.sqrt(chains)
        rise = (now - before - quantile) / max(error, 1e-12)
        detail = f"step {step} changes the divergence from {before:.4f} to {now:.4f}"
        outcomes.append(Evidence(rise, normal_bound(ARROW_STEPS, LEVEL / 2), detail))
        before, influence = now, own
    return worst(outcomes)


def divergence(scores: Tensor) -> tuple[float, Tensor]:
    """Return KL(N(m, S) ‖ N(0, I)) of chains with sample moments m and S, and their influences."""
    mean, centred = scores.mean(0), scores - scores.mean(0)
    covariance = centred.T @ centred / len(scores)
    inverse = torch.linalg.inv(covariance)
    dimension = scores.shape[1]
    value = (covariance.trace() + mean @ mean - dimension - covariance.logdet()) / 2
    gap = torch.eye(dimension, dtype=scores.dtype) - inverse
    influence = ((centred @ gap) * centred).sum(1) / 2 + centred @ mean
    return float(value), influence


def descent(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """At T = 0 and δ²/2 ≤ 1/L no chain's energy rises; what rounding does is allowed."""
    outcomes = []
    gaussian, modes = correlated(chains, rng), TwoModes()
    for target, lipschitz in ((gaussian.target, gaussian.lipschitz), (modes, 4.0)):
        cold = evolved(sampler, step_size=0.999 * (2 / lipschitz) ** 0.5, temperature=0.0)
        width = 3 if target is gaussian.target else 2
        x = 3 * torch.randn(chains // 10, width, generator=rng, dtype=torch.float64)
        state = cold.init(target, x)
        before = energy_of(target, x)
        for step in range(1, 2 * STEPS):
            state = cold.step(target, state, rng)
            energy = energy_of(target, state.position)
            rounding = 64 * torch.finfo(energy.dtype).eps * (1 + before.abs() + energy.abs())
            rise = float(((energy - before) / rounding).max())
            detail = f"step {step} raises an energy by {float((energy - before).max()):.3g}; {HINT}"
            outcomes.append(Evidence(rise, 1.0, detail))
            before = energy
    return worst(outcomes)


def energy_of(target: Target, x: Tensor) -> Tensor:
    """Return −log p(x) without a graph, (chains,)."""
    with torch.no_grad():
        return -target.log_prob(x)


def equivariance(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """Rotate the start, and turn the end back: the law is the same, on an isotropic target."""
    std = 0.6
    law = described(std**2 * torch.eye(3, dtype=torch.float64), torch.zeros(3).double(), std)
    sampler = bold(sampler, std)
    axes = torch.linalg.qr(torch.randn(3, 3, generator=rng)).Q
    rotation = axes * axes.det()
    start = torch.tensor([[2.0, 0.0, 0.0]]).expand(chains, 3).contiguous()
    plain = walk(sampler, law.target, start, 3, rng)
    turned = walk(sampler, law.target, start @ rotation.T, 3, rng) @ rotation
    functions, names = zip(*(moments(law.scores(x)) for x in (plain, turned)), strict=True)
    by_moments = paired_test(functions[0] - functions[1], names[0], LEVEL / 2)
    part = [law.scores(x)[:ENERGY_CHAINS] for x in (plain, turned)]
    return worst([by_moments, energy_test(part[0], part[1], rng, LEVEL / 2)])


def noise(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """On a flat density the increments are the noise: independent, and normal of the known scale.

    Where the step is not known, increments in equilibrium on an isotropic Gaussian have to be
    independent between chains. The first steps are left out: a biased sampler goes to its own
    equilibrium in them, and the squares of all chains change together. Where proposals are
    rejected, chains that stick make sums of such squares heavy-tailed: half of the level pays it.

    Clues are whether a chain ever rests, as one does whose proposal is rejected, and, where the
    step is not known, how it compares with one of Langevin dynamics.
    """
    width, many = 3, chains // 2
    flat = RevisionTarget(lambda y: 0 * y.sum(1), math.inf)
    is_linear = isinstance(sampler, LinearOnGaussians)
    law = isotropic(many, rng)
    sampler = bold(sampler, law.scale)
    target, x = (flat, torch.zeros(many, width)) if is_linear else (law.target, law.draw(many, rng))
    state = sampler.init(target, x)
    increments = []
    for _ in range(6 * STEPS):
        following = sampler.step(target, state, rng)
        increments.append((following.position - state.position).detach().double())
        state = following
    moved = torch.stack(increments[STEPS:])
    clues = {"rests": float((moved == 0).all(2).any())}
    if not is_linear:
        clocked = capabilities_of(sampler).clocked
        found = independence(moved[:, :, :1], False, LEVEL / 2, clocked)
        return attrs.evolve(found, clues=clues | beside_langevin(sampler, law, many, rng))
    _, covariance = linear_step(sampler, torch.zeros(width, width).double())
    scores = whitened(moved.flatten(0, 1), torch.linalg.cholesky(covariance))
    by_products = independence(scores.reshape(moved.shape), True, LEVEL / 2)
    found = worst([by_products, normality(scores, rng, LEVEL / 2)])
    return attrs.evolve(found, clues=clues)


def beside_langevin(
    sampler: Sampler[Any], law: Gaussian, chains: int, rng: torch.Generator
) -> dict[str, float]:
    """Return drift and noise of a step from far away, as multiples of those of Langevin dynamics.

    A right sampler of another kind has other multiples, so that they are no evidence.
    """
    delta = FINE * law.scale
    start = law.following(16 * law.covariance).draw(chains, rng)
    end = walk(sized(sampler, delta), law.target, start, 1, rng)
    drift = -(delta**2) / 2 * (law.moving(start) - law.mean) @ law.precision
    moved = law.moving(end) - law.moving(start)
    factor = float((moved * drift).sum() / (drift * drift).sum())
    left = moved - factor * drift
    return {"drift": factor, "noise": float(left.square().mean().sqrt()) / delta}
