"""Checks of the law that a sampler leaves invariant, each against a closed form."""

import math
from typing import Any

import attrs
import torch
from torch import Tensor

from coopkit.interfaces import LinearOnGaussians, Sampler
from coopkit.testing.law.dynamics import (
    BOLD,
    FINE,
    STEPS,
    bold,
    evolved,
    invariant,
    linear_step,
    sized,
    stationary,
    walk,
)
from coopkit.testing.law.evidence import (
    LEVEL,
    Evidence,
    moments,
    normal_bound,
    normality,
    paired_test,
    unbounded,
    worst,
)
from coopkit.testing.law.gaussians import Gaussian, correlated, linear_generator, whitened
from coopkit.testing.law.laws import Law, MakeLaw
from coopkit.testing.law.motion import ARRIVAL
from coopkit.testing.records import Experiment, capabilities_of

GEWEKE_ROUNDS = 6

TEMPERATURES = (0.5, 2.0)


def invariance(make: MakeLaw) -> Experiment:
    """Start at exact draws from the invariant law; after k steps they still follow it."""

    def experiment(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
        law = make(chains, rng)
        sampler = bold(sampler, law.scale)
        if isinstance(law, Gaussian):
            law = invariant(sampler, law)
        end = walk(sampler, law.target, law.draw(chains, rng), STEPS, rng)
        return normality(law.scores(end), rng)

    return experiment


def bias_order(make: MakeLaw, steps: int = 2 * STEPS, off: float = 0.0) -> Experiment:
    """Halve δ: every moment's distance from the target's falls to 2^(½ − p) of it at the least.

    The chains start at exact draws, or off them, and take 4 times as many steps at δ/2.
    """

    def experiment(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
        law = make(chains, rng)
        return shrinkage(sampler, law, law.draw(chains, rng) + off, steps, 1.0, rng)

    return experiment


def tempered_bias_order(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """Halve δ at two temperatures: the moments come closer to those of N(m, T Σ)."""
    outcomes = []
    for value in TEMPERATURES:
        law = correlated(chains, rng)
        law = law.following(value * law.covariance)
        start, level = law.draw(chains, rng), LEVEL / len(TEMPERATURES)
        found = shrinkage(sampler, law, start, 2 * STEPS, value, rng, level)
        outcomes.append(attrs.evolve(found, detail=f"at T = {value}, {found.detail}"))
    return worst(outcomes)


def shrinkage(
    sampler: Sampler[Any],
    law: Law,
    start: Tensor,
    steps: int,
    temperature: float,
    rng: torch.Generator,
    level: float = LEVEL,
) -> Evidence:
    """Return the evidence that halving δ does not shrink the bias as declared."""
    order = capabilities_of(sampler).bias_order
    assert order is not None
    means, errors, values = [], [], []
    for delta, count in ((FINE, steps), (FINE / 2, 4 * steps)):
        each = evolved(sized(sampler, delta * law.scale), temperature=temperature)
        end = walk(each, law.target, start, count, rng)
        functions, names = moments(law.scores(end))
        means.append(functions.mean(0).abs())
        errors.append(functions.std(0) / math.sqrt(len(start)))
        values.append(functions)
    allowed = 2 ** (0.5 - order)
    z = (means[1] - allowed * means[0]) / torch.hypot(errors[1], allowed * errors[0])
    index = int(z.argmax())
    if not bool(torch.isfinite(z).all()):
        return unbounded(z, names, level, torch.cat(values))
    figure = float(z[index])
    left = float(means[1][index] / means[0][index])
    detail = f"{names[index]}: halving the step size leaves {left:.2f} of the bias"
    return Evidence(figure, normal_bound(len(z), level), detail)


def declared_bias(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """Compare the declared step's own invariant law with the target's, at δ and at δ/2."""
    law = correlated(chains, rng)
    target = law.covariance
    coarse, fine = (
        (stationary(linear_step(sized(sampler, delta), law.precision)) - target).norm()
        for delta in (BOLD / 8 * law.scale, BOLD / 16 * law.scale)
    )
    floor = 1e-9 * target.norm()
    order = capabilities_of(sampler).bias_order
    if order is None:
        figure = float(coarse / target.norm())
        return Evidence(figure, 1e-9, f"the declared step is biased by {figure:.2g}")
    seen = math.inf if fine < floor else float((coarse / fine).log2())
    return Evidence(order - seen, 0.5, f"the declared step's bias is of order {seen:.2f}")


def reversibility(make: MakeLaw) -> Experiment:
    """In equilibrium (x, x') and (x', x) have the same law: E[a(x) b(x') − b(x) a(x')] = 0.

    A biased sampler of unknown invariant law is let into its own equilibrium first.
    """

    def experiment(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
        law = make(chains, rng)
        sampler = bold(sampler, law.scale)
        known = isinstance(law, Gaussian) and isinstance(sampler, LinearOnGaussians)
        if isinstance(law, Gaussian):
            law = invariant(sampler, law)
        start = law.draw(chains, rng)
        if capabilities_of(sampler).bias_order and not known:
            start = walk(sampler, law.target, start, ARRIVAL, rng)
        now, names = moments(law.scores(start))
        then, _ = moments(law.scores(walk(sampler, law.target, start, 1, rng)))
        pairs = torch.triu_indices(len(names), len(names), 1)
        first, second = pairs
        difference = now[:, first] * then[:, second] - now[:, second] * then[:, first]
        labels = [f"{names[i]} now with {names[j]} then" for i, j in pairs.T.tolist()]
        return paired_test(difference, labels)

    return experiment


def temperature(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """At T the covariance of a Gaussian is T times that at 1, declared and sampled."""
    law = correlated(chains, rng)
    sampler = bold(sampler, law.scale)
    base = invariant(sampler, law).covariance
    outcomes = []
    for value in TEMPERATURES:
        warm = evolved(sampler, temperature=value)
        if isinstance(warm, LinearOnGaussians):
            declared = stationary(linear_step(warm, law.precision))
            off = float((declared - value * base).norm() / base.norm())
            outcomes.append(Evidence(off, 1e-9, f"the declared covariance at T = {value} is off"))
        scaled = law.following(value * base)
        end = walk(warm, law.target, scaled.draw(chains, rng), STEPS, rng)
        found = normality(scaled.scores(end), rng, LEVEL / len(TEMPERATURES))
        outcomes.append(attrs.evolve(found, detail=f"at T = {value}, {found.detail}"))
    return worst(outcomes)


def geweke(sampler: Sampler[Any], chains: int, rng: torch.Generator) -> Evidence:
    """Alternate X | Y by the sampler and Y | X by the generator: the joint law stays.

    Source: Geweke (2004), "Getting it right: joint distribution tests of posterior simulators".
    The joint law of a sampler with a linear step is that of
    X' = KY + A (X − KY) + N(0, C), Y' = WX' + N(0, σ²I), its bias included.
    """
    model = linear_generator(rng)
    width, height = model.weight.shape[1], model.weight.shape[0]
    sampler = bold(sampler, model.posterior(torch.zeros(1, height)).scale)
    joint = joint_covariance(sampler, model.weight, model.gain, model.precision, model.noise_std)
    factor = torch.linalg.cholesky(joint)
    bias = model.network.bias.detach().double()
    pair = torch.randn(chains, width + height, generator=rng, dtype=torch.float64) @ factor.T
    latents, signals = pair[:, :width].float(), (pair[:, width:] + bias).float()
    for _ in range(GEWEKE_ROUNDS):
        law = model.posterior(signals)
        latents = walk(sampler, law.target, latents, 1, rng)
        signals = model.emit(latents, rng)
    pair = torch.cat([latents.double(), signals.double() - bias], 1)
    return normality(whitened(pair, factor), rng)


def joint_covariance(
    sampler: Sampler[Any], weight: Tensor, gain: Tensor, precision: Tensor, noise_std: float
) -> Tensor:
    """Return the covariance of (X, Y) that alternating the sampler and the generator keeps."""
    height, width = weight.shape
    identity, spread = torch.eye(width).double(), noise_std**2 * torch.eye(height).double()
    if isinstance(sampler, LinearOnGaussians):
        transition, noise = linear_step(sampler, precision)
    else:
        transition, noise = 0 * identity, precision.inverse()
    move = torch.cat([transition, (identity - transition) @ gain], 1)
    onward = torch.cat([identity, weight])
    shaken = onward @ noise @ onward.T
    shaken[width:, width:] += spread
    return stationary((onward @ move, shaken))
