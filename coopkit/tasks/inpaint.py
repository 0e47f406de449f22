"""Restoring occluded pixels by the generator, section 5.3 of the paper, and how far off it is."""

from collections.abc import Mapping

import attrs
import torch
from attrs.validators import ge
from einops import rearrange, reduce
from torch import Tensor

from coopkit.inpainting import METHODS
from coopkit.inpainting.methods import check_batch
from coopkit.tasks.arguments import check_compared, check_signals
from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.infer import InferenceSettings, drawn_from, inferred
from coopkit.tasks.trained import Trained, revision_of
from coopkit.tasks.watching import Watch, nobody


@attrs.frozen(kw_only=True)
class InpaintingSettings:
    """How a hole is filled from inferred latents.

    Attributes:
        inference: of the latents, from the observed pixels alone.
        blend: whether what g(X) of each chain is off by at the border of a hole is carried into it,
            by ∇² = 0.
        revision_steps: of the descriptor on the occluded pixels, afterwards; 0 for none.
    """

    inference: InferenceSettings = attrs.field(factory=InferenceSettings)
    blend: bool = False
    revision_steps: int = attrs.field(default=0, validator=ge(0))


@attrs.frozen(eq=False)
class Restored:
    """Signals whose occluded pixels were restored, in the units of training.

    Attributes:
        signals: (n, channels, height, width), the mean of the chains, or, where latents
            were inferred by ascents alone, what the highest mode gives; where Y is observed, Y.
        chains: (n, chains, channels, height, width), what each chain restored.
        step_size: δ of the chains, given or chosen, of latents where these were inferred; None
            where there were none.
        stable_below: 2/√λ, above which the δ of latents is unstable where g is steepest; None where
            the sampler was that of the recipe.
    """

    signals: Tensor
    chains: Tensor
    step_size: float | None = None
    stable_below: float | None = None

    @property
    def uncertainty(self) -> Tensor:
        """Return the standard deviation between chains, (n, height, width), over all channels.

        Its square is the unbiased estimate of the variance; it is zero with a single chain.
        """
        variance = self.chains.var(1, correction=min(1, self.chains.shape[1] - 1))
        return reduce(variance, "n c h w -> n h w", "mean").sqrt()


def inpaint(
    trained: Trained,
    signals: Tensor,
    holes: Tensor,
    settings: InpaintingSettings | None = None,
    *,
    seed: int = 0,
    watch: Watch = nobody,
) -> Restored:
    """Return signals with their occluded pixels taken from g(X), X inferred from the others.

    The squared error of equation (13) is summed over observed pixels only.

    Args:
        trained: from `coopkit.load`.
        signals: Y, (n, channels, height, width), in the units of training; what stands in a hole
            is not read.
        holes: (n, height, width), boolean, True where a pixel is occluded.
        settings: the defaults if left out.
        seed: of all randomness.
        watch: told how far it is.

    Raises:
        RunError: the run has no generator, or no descriptor where one is to revise; or the chains
            diverged.
        ValueError: the signals do not fit the run, or the holes do not fit the signals.
    """
    check_signals(trained, signals)
    check_batch(signals, holes)
    settings = settings or InpaintingSettings()
    if settings.revision_steps:
        revision_of(trained)
    free = rearrange(holes, "n h w -> n 1 h w").to(signals.device)
    found = inferred(
        trained,
        signals,
        settings.inference,
        observed=~free.expand_as(signals),
        seed=seed,
        watch=watch,
    )
    every, batch = settings.inference.chains, settings.inference.batch
    drawn = drawn_from(trained, found.latents.flatten(0, 1), batch)
    if settings.blend:
        for rows in torch.split(torch.arange(len(drawn)), batch):
            of = rows // every
            drawn[rows] += METHODS["laplace"](signals[of] - drawn[rows], holes[of], 0)
    filled = rearrange(drawn, "(n chains) ... -> n chains ...", chains=every)
    if settings.revision_steps:
        completion = CompletionSettings(steps=settings.revision_steps, chains=every)
        filled = complete(trained, signals, holes, completion, start=filled, seed=seed, watch=watch)
    restored = restored_by(signals, holes, filled)
    modes = settings.inference.steps == 0
    return attrs.evolve(
        restored,
        signals=restored.chains[:, 0] if modes else restored.signals,
        step_size=found.step_size,
        stable_below=found.stable_below,
    )


def restored_by(signals: Tensor, holes: Tensor, filled: Tensor) -> Restored:
    """Return what stands in the holes of each chain, (n, chains, ...), beside what is observed."""
    free = rearrange(holes, "n h w -> n 1 1 h w").to(signals.device)
    chains = torch.where(free, filled, signals[:, None])
    return Restored(torch.where(free[:, 0], chains.mean(1), signals), chains)


def restoration_error(
    restored: Tensor, signals: Tensor, holes: Tensor, mean: float = 0.0
) -> Tensor:
    """Return the mean absolute difference over the occluded pixels of each signal, (n,).

    Both are compared as they are shown, cut off to [−1, 1]; half of it is the difference on the
    scale of [0, 1].

    Args:
        restored: (n, channels, height, width).
        signals: the truth, of the same shape.
        holes: (n, height, width), boolean, True where a pixel is occluded.
        mean: what was subtracted from the data.

    Raises:
        ValueError: the shapes do not fit, holes are not boolean, or one of them is empty.
    """
    check_compared(restored, signals, holes)
    shown = [(x + mean).clamp(-1, 1) for x in (restored, signals)]
    apart = reduce((shown[0] - shown[1]).abs(), "n c h w -> n h w", "mean")
    inside = holes.to(apart.device)
    return (apart * inside).sum((1, 2)) / inside.sum((1, 2))


@attrs.frozen
class Baselines:
    """What the methods of `coopkit.inpainting` do, which know no data.

    Attributes:
        restored: by method, the signals with their holes filled.
        refused: by method, why it cannot fill these holes.
    """

    restored: Mapping[str, Tensor]
    refused: Mapping[str, str]


def baselines(signals: Tensor, holes: Tensor, seed: int = 0, watch: Watch = nobody) -> Baselines:
    """Return the signals restored by each method that can.

    Args:
        signals: (n, channels, height, width); what stands in a hole is not read.
        holes: (n, height, width), boolean, True where a pixel is occluded.
        seed: of the methods that draw.
        watch: told how far it is.

    Raises:
        ValueError: the holes do not fit the signals.
    """
    check_batch(signals, holes)
    restored, refused = {}, {}
    for number, (name, method) in enumerate(METHODS.items()):
        watch(f"filling by {name}", number, len(METHODS))
        try:
            restored[name] = method(signals, holes, seed)
        except ValueError as error:
            refused[name] = str(error)
    return Baselines(restored, refused)


__all__ = [
    "Baselines",
    "InpaintingSettings",
    "Restored",
    "baselines",
    "inpaint",
    "restoration_error",
]
