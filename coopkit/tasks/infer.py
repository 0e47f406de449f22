"""Finding the latents of given signals: equation (13) with a trained generator."""

import math
from typing import Any

import attrs
import torch
from attrs.validators import ge, gt, optional
from einops import rearrange, repeat
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.derivatives import Function
from coopkit.errors import RunError
from coopkit.interfaces import Sampler, Shape, Target
from coopkit.targets import InferenceTarget, frozen, squared_norm
from coopkit.tasks.ascent import ascend
from coopkit.tasks.chains import Chains, stream
from coopkit.tasks.trained import Trained, generator_of
from coopkit.tasks.watching import Watch, nobody

PROBES = 4
POWERS = 12


@attrs.frozen(kw_only=True)
class InferenceSettings:
    """How latents are inferred.

    Attributes:
        steps: l_G, of each chain; 0 leaves it where it begins.
        chains: of each signal, each from its own X ~ N(0, I) unless they climb first.
        ascent: steps of Adam up log p(X | Y) before the chains begin, the first of them from X = 0,
            so that several may end at several modes. Langevin dynamics, whose step suits the
            steepest direction, needs very many to go far along flat ones; Adam has a step for each.
        step_size: δ of Langevin dynamics; None takes the sampler of the recipe's [inference], or,
            without that table and where anything else was changed, the δ that suits the
            generator's steepest direction.
        noise_std: σ, in the units of the signal; the generator's if left out.
        temperature: T of Langevin dynamics; 0 descends to a local mode.
        batch: chains at a time, which bounds the memory.
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
        RunError: the run has no generator, or the chains diverged.
    """
    settings = settings or InferenceSettings()
    latent_shape, own_std = generator_of(trained)
    assert trained.generator is not None
    std = settings.noise_std or own_std
    rng = stream(seed, "inference", trained.device)
    sampler = sampler_of(trained, settings, latent_shape, std, rng) if settings.steps else None
    every = settings.chains
    given = (signals,) if observed is None else (signals, observed)
    known = [repeat(x, "n ... -> (n every) ...", every=every) for x in given]
    g = trained.freeze(trained.generator)

    def target_of(rows: slice) -> Target:
        return InferenceTarget(g, known[0][rows], std, *(x[rows] for x in known[1:]))

    count = len(signals) * every
    latents = torch.randn((count, *latent_shape), generator=rng, device=rng.device)
    if settings.ascent:
        latents[::every] = 0
        latents, heights = ascend(target_of, latents, settings.ascent, settings.batch, watch)
    if sampler is not None:
        chains = Chains(sampler, settings.steps, settings.batch, watch, "inferring latents")
        latents = chains.ends(latents, target_of, rng)
    if not bool(latents.isfinite().all()):
        smaller = "a smaller step size, or " if settings.steps else ""
        raise RunError(f"the inference of latents diverged; try {smaller}a larger noise_std")
    found = rearrange(latents, "(n chains) ... -> n chains ...", chains=every)
    if sampler is not None:
        return found
    heights = rearrange(heights, "(n chains) -> n chains", chains=every)
    order = heights.argsort(dim=1, descending=True, stable=True)
    return found[torch.arange(len(found), device=found.device)[:, None], order]


def sampler_of(
    trained: Trained,
    settings: InferenceSettings,
    latent_shape: Shape,
    std: float,
    rng: torch.Generator,
) -> Sampler[Any]:
    """Return the recipe's sampler of G1, or Langevin dynamics of a step size that suits."""
    planned = trained.settings
    asked = settings.step_size or settings.noise_std or settings.temperature != 1
    asked = asked or trained.fitted_prior
    if planned.inference is not None and planned.inference_steps and not asked:
        return planned.inference
    size = settings.step_size
    if size is None:
        assert trained.generator is not None
        size = stable_step_size(frozen(trained.generator), latent_shape, std, rng)
    return Langevin(step_size=size, temperature=settings.temperature)


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
    with torch.enable_grad():
        x = x.detach().requires_grad_()
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
    """Return g(X), (n, channels, height, width), of latents (n, *latent).

    Raises:
        RunError: the run has no generator.
    """
    generator_of(trained)
    assert trained.generator is not None
    g = trained.freeze(trained.generator)
    with torch.no_grad():
        return torch.cat([g(part).clone() for part in torch.split(latents, batch)])


__all__ = ["InferenceSettings", "drawn_from", "infer_latents", "stable_step_size"]
