"""Finding the latents of given signals: equation (13) with a trained generator."""

import math
from collections.abc import Iterator
from typing import Any

import attrs
import torch
from attrs.validators import ge, gt, optional
from einops import rearrange
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.derivatives import Function, leaf
from coopkit.errors import RunError
from coopkit.interfaces import Sampler, Shape, Target
from coopkit.targets import InferenceTarget, frozen, squared_norm
from coopkit.tasks.arguments import check_counts, check_latents, check_observed, check_signals
from coopkit.tasks.ascent import ascend
from coopkit.tasks.chains import Chains, stream
from coopkit.tasks.diverging import farthest_latents
from coopkit.tasks.trained import Trained, generator_of
from coopkit.tasks.watching import Watch, nobody

PROBES = 4
POWERS = 12

LARGEST = 2.0
"""The δ above which Langevin dynamics is unstable for N(0, I) alone, which every p(X | Y) has."""


@attrs.frozen(kw_only=True)
class InferenceSettings:
    """How latents are inferred.

    Attributes:
        steps: l_G, of each chain; 0 leaves it where it begins.
        chains: of each signal, each from its own X ~ N(0, I) unless they climb first.
        ascent: steps of Adam up log p(X | Y) before the chains begin, the first of them from X = 0,
            so that several may end at several modes. Langevin dynamics, whose step suits the
            steepest direction, needs very many to go far along flat ones; Adam has a step for each.
        step_size: δ of Langevin dynamics, 2 at most; None takes the sampler of the recipe's
            [inference], or, without that table and where anything else was changed, the δ that
            suits the generator's steepest direction.
        noise_std: σ, in the units of the signal; the generator's if left out.
        temperature: T of Langevin dynamics; 0 descends to a local mode.
        batch: chains at a time, which bounds the memory beside what is returned.
    """

    steps: int = attrs.field(default=1000, validator=ge(0))
    chains: int = attrs.field(default=1, validator=ge(1))
    ascent: int = attrs.field(default=0, validator=ge(0))
    step_size: float | None = attrs.field(default=None, validator=optional(gt(0)))
    noise_std: float | None = attrs.field(default=None, validator=optional(gt(0)))
    temperature: float = attrs.field(default=1.0, validator=ge(0))
    batch: int = attrs.field(default=128, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.steps == self.ascent == 0:
            raise ValueError("steps = 0 without an ascent leaves latents that know nothing of Y")
        if self.steps == 0 and self.step_size is not None:
            raise ValueError("steps = 0 has no use for a step_size")
        if self.step_size is not None and self.step_size > LARGEST:
            raise ValueError(
                f"step_size = {self.step_size:g} is unstable for every generator; it must be "
                f"{LARGEST:g} at most"
            )


@attrs.frozen(eq=False)
class Inferred:
    """Latents, and what they were inferred by.

    Attributes:
        latents: (n, chains, *latent), as `infer_latents` returns them.
        step_size: δ of the chains, given or chosen; None where there were none, or where the
            sampler of the recipe has none.
        stable_below: 2/√λ, λ being the largest curvature that was found at a few X ~ N(0, I): of a
            larger δ Langevin dynamics is unstable where g is as steep as that. None where the
            sampler was that of the recipe.
    """

    latents: Tensor
    step_size: float | None = None
    stable_below: float | None = None


def infer_latents(
    trained: Trained,
    signals: Tensor,
    settings: InferenceSettings | None = None,
    *,
    observed: Tensor | None = None,
    seed: int = 0,
    watch: Watch = nobody,
) -> Tensor:
    """Return latents of signals, (n, chains, *latent): draws from p(X | Y), equation (13).

    Of ascents alone they are no draws but modes, those of each signal from the highest down.

    Args:
        trained: from `coopkit.load`.
        signals: Y, (n, channels, height, width), in the units of training.
        settings: the defaults if left out.
        observed: boolean, of the shape of Y, True where Y is known; everywhere if left out.
        seed: of all randomness.
        watch: told how far it is.

    Raises:
        RunError: the run has no generator, or the chains diverged: they are not finite, or as far
            out as p(X | Y) is with a probability below 10⁻⁶ only.
        ValueError: the signals, or what is observed of them, do not fit the run.
    """
    settings = settings or InferenceSettings()
    return inferred(trained, signals, settings, observed=observed, seed=seed, watch=watch).latents


def inferred(
    trained: Trained,
    signals: Tensor,
    settings: InferenceSettings,
    *,
    observed: Tensor | None = None,
    seed: int = 0,
    watch: Watch = nobody,
) -> Inferred:
    """Return what `infer_latents` does, and the step size of the chains."""
    latent_shape, own_std = generator_of(trained)
    check_signals(trained, signals)
    if observed is not None:
        check_observed(signals, observed)
    assert trained.generator is not None
    std = settings.noise_std or own_std
    rng = stream(seed, "inference", trained.device)
    sampler, stable = None, None
    if settings.steps:
        sampler, stable = sampler_of(trained, settings, latent_shape, std, rng)
    every, count = settings.chains, len(signals) * settings.chains
    g = trained.for_chains(trained.generator)

    def target_of(rows: slice) -> Target:
        of = torch.arange(count)[rows] // every
        return InferenceTarget(g, signals[of], std, None if observed is None else observed[of])

    latents = torch.randn((count, *latent_shape), generator=rng, device=rng.device)
    if settings.ascent:
        latents[::every] = 0
        latents, heights = ascend(target_of, latents, settings.ascent, settings.batch, watch)
    if sampler is not None:
        chains = Chains(sampler, settings.steps, settings.batch, watch, "inferring latents")
        latents = chains.ends(latents, target_of, rng)
    found = rearrange(latents, "(n chains) ... -> n chains ...", chains=every)
    probing = stream(seed, "farthest", trained.device)
    farthest = farthest_latents(g, signals, std, latent_shape, probing, observed)
    hot = max(1.0, getattr(sampler, "temperature", 1.0))
    if not bool((found.flatten(2).norm(dim=2) <= farthest[:, None] * hot**0.5).all()):
        smaller = "a smaller step size, or " if settings.steps else ""
        raise RunError(f"the inference of latents diverged; try {smaller}a larger noise_std")
    if sampler is not None:
        return Inferred(found, getattr(sampler, "step_size", None), stable)
    heights = rearrange(heights, "(n chains) -> n chains", chains=every)
    order = heights.argsort(dim=1, descending=True, stable=True)
    return Inferred(found[torch.arange(len(found), device=found.device)[:, None], order])


def sampler_of(
    trained: Trained,
    settings: InferenceSettings,
    latent_shape: Shape,
    std: float,
    rng: torch.Generator,
) -> tuple[Sampler[Any], float | None]:
    """Return the recipe's sampler of G1, or Langevin dynamics and 2/√λ, below which it is stable.

    Where a step size is given, 2/√λ is the same for every seed.
    """
    planned, size = trained.settings, settings.step_size
    asked = size or settings.noise_std or settings.temperature != 1 or trained.fitted_prior
    if planned.inference is not None and planned.inference_steps and not asked:
        return planned.inference, None
    assert trained.generator is not None
    probing = rng if size is None else stream(0, "stability", trained.device)
    suits = stable_step_size(frozen(trained.generator), latent_shape, std, probing)
    return Langevin(step_size=size or suits, temperature=settings.temperature), 2 * suits


def stable_step_size(
    g: Function, latent_shape: Shape, noise_std: float, rng: torch.Generator
) -> float:
    """Return δ = 1/√λ, λ = 1 + the largest eigenvalue of (∂g/∂X)ᵀ ∂g/∂X / σ² at a few X ~ N(0, I).

    λ is the curvature of −log p(X | Y) where g is linear; Langevin dynamics is stable below
    2/√λ. Found by power iteration, which needs products with the Jacobian only.
    """
    x = torch.randn((PROBES, *latent_shape), generator=rng, device=rng.device)
    direction = torch.randn(x.shape, generator=rng, device=rng.device)
    largest = torch.zeros(PROBES, device=rng.device)
    for _ in range(POWERS):
        direction = direction / norms(direction)
        direction = curved(g, x, direction)
        largest = squared_norm(direction).sqrt()
    curvature = 1 + float(largest.max()) / noise_std**2
    return 1 / math.sqrt(curvature)


def curved(g: Function, x: Tensor, direction: Tensor) -> Tensor:
    """Return (∂g/∂X)ᵀ ∂g/∂X · direction of each chain, of the shape of x."""
    with torch.inference_mode(False), torch.enable_grad():
        x = leaf(x)
        drawn = g(x)
        toward = torch.zeros_like(drawn).requires_grad_()
        (pulled,) = torch.autograd.grad(drawn, x, toward, create_graph=True)
        (along,) = torch.autograd.grad(pulled, toward, direction)
        (result,) = torch.autograd.grad(drawn, x, along)
    return result


def norms(x: Tensor) -> Tensor:
    """Return ‖x‖ of each chain, shaped to divide x by; 1 where it is zero."""
    lengths = squared_norm(x).sqrt().reshape(-1, *[1] * (x.ndim - 1))
    return torch.where(lengths > 0, lengths, torch.ones_like(lengths))


def drawn_from(trained: Trained, latents: Tensor, batch: int = 128) -> Tensor:
    """Return g(X), (n, channels, height, width), of latents (n, *latent), n ≥ 1.

    Raises:
        RunError: the run has no generator.
        ValueError: they are no latents of the run, or batch is not positive.
    """
    check_counts(1, batch=batch)
    latent_shape, _ = generator_of(trained)
    check_latents(latents, latent_shape)
    return torch.cat(list(drawn_in_parts(trained, latents, batch)))


def drawn_in_parts(trained: Trained, latents: Tensor, batch: int) -> Iterator[Tensor]:
    """Yield g(X) of so many latents at a time.

    Raises:
        RunError: the run has no generator.
    """
    generator_of(trained)
    assert trained.generator is not None
    g = trained.freeze(trained.generator)
    for part in torch.split(latents, batch):
        with torch.no_grad():
            drawn = g(part).clone()
        yield drawn


__all__ = ["InferenceSettings", "drawn_from", "infer_latents", "stable_step_size"]
