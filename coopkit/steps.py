"""The five steps of the paper, one small function each: G0, D1, G1, D2, G2.

They take plain modules and tensors, so that they can be used by hand. Signals are (chains, ...)
and latents (chains, ...); nothing here knows of recipes, files or devices.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from coopkit.derivatives import Function, each_chain
from coopkit.interfaces import Kept, Sampler, Shape
from coopkit.measures import gradient_norm
from coopkit.sampling import walk_chains
from coopkit.targets import (
    Freeze,
    InferenceTarget,
    RevisionTarget,
    frozen,
    joins_batch,
    squared_norm,
)

Backward = Callable[[Tensor], object]
"""Accumulates the gradients of a scalar; under mixed precision the engine's own."""


@attrs.frozen(eq=False)
class Draft:
    """What G0 returns: the latents X̂ and S1, the initial signals Ŷ drawn from them."""

    latents: Tensor
    initial: Tensor


@attrs.frozen(eq=False)
class Revision:
    """What D1 returns.

    Attributes:
        initial: S1, as it was given.
        revised: S2, the revised signals Ỹ.
        figures: the sampler's own, scalar tensors by name.
        kept: what the sampler's next call may be given, if it keeps anything.
    """

    initial: Tensor
    revised: Tensor
    figures: Mapping[str, Tensor] = attrs.field(factory=dict)
    kept: Kept | None = None


@attrs.frozen(eq=False)
class Inference:
    """What G1 returns.

    Attributes:
        latents: X of the signals.
        figures: the sampler's own, scalar tensors by name.
        kept: what the sampler's next call may be given, if it keeps anything.
    """

    latents: Tensor
    figures: Mapping[str, Tensor] = attrs.field(factory=dict)
    kept: Kept | None = None


@attrs.frozen(eq=False)
class DensityShift:
    """What D2 returns.

    Attributes:
        f_observed: mean of f over the observed signals before the update, a scalar tensor.
        f_revised: the same over the revised signals.
        gradient_norm: ‖·‖ of the ascent direction (7), a penalty's part included, a scalar tensor.
        penalty: what was added to mean f(Ỹ) − mean f(Y), a scalar tensor, or None.
    """

    f_observed: Tensor
    f_revised: Tensor
    gradient_norm: Tensor
    penalty: Tensor | None = None


@attrs.frozen(eq=False)
class Reconstruction:
    """What G2 returns.

    Attributes:
        reconstructed: S3, g(X) after the update, detached.
        gradient_norm: ‖·‖ of the ascent direction (14) at the first update, a scalar tensor.
    """

    reconstructed: Tensor
    gradient_norm: Tensor


def generate(
    generator: nn.Module | Function,
    latent_shape: Shape,
    chains: int,
    noise_std: float,
    rng: torch.Generator,
) -> Draft:
    """G0: draw X̂ ~ N(0, I_d) and Ŷ = g(X̂) + ε, ε ~ N(0, σ²I), equation (9).

    Args:
        generator: g, from (chains, *latent_shape) to signals; a function is taken as it is.
        latent_shape: the shape of one X.
        chains: how many to draw.
        noise_std: σ ≥ 0, in the units of the signal; 0 gives g(X̂) itself.
        rng: on the device of the generator.

    Raises:
        ValueError: σ is no number ≥ 0.
    """
    if not noise_std >= 0:
        raise ValueError(f"noise_std must be >= 0: {noise_std}")
    latents = torch.randn((chains, *latent_shape), generator=rng, device=rng.device)
    with torch.no_grad():
        drawn = frozen(generator)(latents)
    if noise_std > 0:
        noise = torch.randn(drawn.shape, generator=rng, device=rng.device)
        drawn = drawn + noise_std * noise
    return Draft(latents=latents, initial=drawn)


def revise(
    descriptor: nn.Module | Function,
    reference_std: float,
    sampler: Sampler[Any],
    initial: Tensor,
    steps: int,
    rng: torch.Generator,
    kept: Kept | None = None,
) -> Revision:
    """D1: revise the initial signals by l_D steps towards the descriptor, equation (6).

    Args:
        descriptor: f, from signals to (chains,); a function is taken as it is.
        reference_std: s > 0, in the units of the signal; infinity leaves the reference out.
        sampler: any sampler; the paper's is Langevin dynamics.
        initial: Ŷ of S1, or the persistent chains of Algorithm 1.
        steps: l_D; at 0 the signals come back as they are.
        rng: on the device of the signals.
        kept: what the sampler kept of an earlier call.

    Raises:
        ValueError: s is no number > 0, or f does not give one number for each signal.
        TypeError: `sampler` is a class.
        PluginError: one of the sampler's methods gives what it must not.
    """
    target = RevisionTarget(frozen(descriptor), reference_std)
    walk = walk_chains(sampler, target, initial, steps, rng, kept)
    return Revision(initial, walk.position, walk.figures, walk.kept)


def infer(
    generator: nn.Module | Function,
    noise_std: float,
    sampler: Sampler[Any],
    latents: Tensor,
    signals: Tensor,
    steps: int,
    rng: torch.Generator,
    kept: Kept | None = None,
) -> Inference:
    """G1: infer the latents of given signals by l_G steps from where they are, equation (13).

    Args:
        generator: g, from latents to signals; a function is taken as it is.
        noise_std: σ > 0, in the units of the signal.
        sampler: any sampler; the paper's is Langevin dynamics.
        latents: where the chains start, X̂ or the persistent latents of Algorithm 2.
        signals: Y, one for each latent.
        steps: l_G; at 0 the latents come back as they are.
        rng: on the device of the latents.
        kept: what the sampler kept of an earlier call.

    Raises:
        ValueError: σ is no number > 0, or there are not as many latents as signals.
    """
    target = InferenceTarget(frozen(generator), signals, noise_std)
    walk = walk_chains(sampler, target, latents, steps, rng, kept)
    return Inference(walk.position, walk.figures, walk.kept)


def shift_density(
    descriptor: nn.Module,
    optimizer: Optimizer,
    observed: Tensor,
    revised: Tensor,
    backward: Backward = Tensor.backward,
    score_penalty: float = 0.0,
    reference_std: float | None = None,
) -> DensityShift:
    """D2: move density from the revised to the observed signals, equation (7).

    The ascent direction is the mean of ∂f/∂W over the observed minus that over the revised; the
    optimiser, which descends, is given its negative. Both pass through the descriptor as one batch,
    whose statistics a batch normalisation uses here, and only here.

    With a penalty γ, what descends is mean f(Ỹ) − mean f(Y) + γ/2 · s² · mean ‖∂E/∂Y‖², the last
    over the observed signals, E the energy (25), which becomes level around them, as for the
    auto-encoder (26). It is the penalty R₁ of Mescheder, Geiger and Nowozin (2018) on an energy in
    place of a classifier. Only the observed are then differentiated twice, in a pass of their own
    where nothing joins the batch. A batch normalisation has the slope under the statistics of the
    batch, which is not the one that chains follow.

    Args:
        descriptor: f, from signals to (chains,).
        optimizer: of the descriptor's parameters.
        observed: Y_i, (n, ...).
        revised: Ỹ_i, (ñ, ...).
        backward: how to accumulate gradients.
        score_penalty: γ ≥ 0; 0 is the paper's. With more f is differentiated twice.
        reference_std: s of E, in the units of the signal, which the penalty needs; of infinity E is
            −f, and s² in the penalty is 1.

    Raises:
        ValueError: γ is no number ≥ 0, s is needed and not given, or f is not one for each signal.
    """
    if not score_penalty >= 0:
        raise ValueError(f"score_penalty must be >= 0: {score_penalty}")
    if score_penalty > 0 and reference_std is None:
        raise ValueError("a score_penalty needs the reference_std of the energy")
    optimizer.zero_grad(set_to_none=True)
    count, apart = len(observed), score_penalty > 0 and not joins_batch(descriptor)
    parts = [observed, revised] if apart else [torch.cat([observed, revised])]
    signals, *others = (part.detach().clone() for part in parts)
    signals.requires_grad_(score_penalty > 0)
    with parametrize.cached():
        f = torch.cat([each_chain(descriptor(part), part) for part in (signals, *others)])
    f_observed, f_revised = f[:count].mean(), f[count:].mean()
    loss, penalty = f_revised - f_observed, None
    if reference_std is not None and score_penalty > 0:
        (slope,) = torch.autograd.grad(f[:count].sum(), signals, create_graph=True)
        unit = reference_std if reference_std < math.inf else 1.0
        score = unit * (slope[:count] - signals[:count].detach() / reference_std**2)
        penalty = score_penalty / 2 * squared_norm(score).mean()
        loss = loss + penalty
    backward(loss)
    norm = gradient_norm(optimizer)
    optimizer.step()
    return DensityShift(
        f_observed.detach(), f_revised.detach(), norm, None if penalty is None else penalty.detach()
    )


def reconstruct(
    generator: nn.Module,
    optimizer: Optimizer,
    latents: Tensor,
    signals: Tensor,
    noise_std: float,
    updates: int = 1,
    backward: Backward = Tensor.backward,
    freeze: Freeze = frozen,
) -> Reconstruction:
    """G2: let the generator learn to give the signals from their latents, equation (14).

    The ascent direction is the mean over chains of σ⁻² (Y − g(X)) ∂g(X)/∂W, the gradient of
    −‖Y − g(X)‖²/2σ².

    Args:
        generator: g, from latents to signals.
        optimizer: of the generator's parameters.
        latents: X_i, (chains, ...).
        signals: Ỹ_i or Y_i, one for each latent.
        noise_std: σ > 0, in the units of the signal.
        updates: how many updates on the same pairs, 0 or more.
        backward: how to accumulate gradients.
        freeze: turns the generator into a function of the latents alone, for S3.

    Raises:
        ValueError: σ is no number > 0.
    """
    if not noise_std > 0:
        raise ValueError(f"noise_std must be > 0: {noise_std}")
    norms: list[Tensor] = []
    latents, signals = latents.detach(), signals.detach()
    for _ in range(updates):
        optimizer.zero_grad(set_to_none=True)
        error = squared_norm(signals - generator(latents)).mean()
        backward(error / (2 * noise_std**2))
        norms.append(gradient_norm(optimizer))
        optimizer.step()
    with torch.no_grad():
        reconstructed = freeze(generator)(latents)
    return Reconstruction(reconstructed, norms[0] if norms else torch.zeros(()))
