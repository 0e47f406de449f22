"""Completing signals by the descriptor: an associative memory, appendix 9.1 of the paper."""

import attrs
import torch
from attrs.validators import ge, gt, optional
from einops import rearrange, repeat
from torch import Tensor

from coopkit.errors import RunError
from coopkit.inpainting.methods import METHODS, check_batch
from coopkit.interfaces import Target
from coopkit.targets import MaskedTarget, RevisionTarget
from coopkit.tasks.arguments import check_signals
from coopkit.tasks.chains import Chains, stream
from coopkit.tasks.diverging import outside
from coopkit.tasks.trained import Trained, revision_of
from coopkit.tasks.watching import Watch, nobody


@attrs.frozen(kw_only=True)
class CompletionSettings:
    """How occluded pixels are drawn from the descriptor.

    Attributes:
        steps: l_D, of each chain; as in training if left out. f has learnt where revisions of that
            length lead: many times as many steps lead away from images.
        chains: of each signal.
        step_size: δ of the sampler of D1, in the units of the signal, from which it tunes anew; as
            in training, with what it has tuned, if left out.
        batch: chains at a time, which bounds the memory beside what all of them begin with and end
            at.
    """

    steps: int | None = attrs.field(default=None, validator=optional(ge(0)))
    chains: int = attrs.field(default=1, validator=ge(1))
    step_size: float | None = attrs.field(default=None, validator=optional(gt(0)))
    batch: int = attrs.field(default=64, validator=ge(1))


def complete(
    trained: Trained,
    signals: Tensor,
    holes: Tensor,
    settings: CompletionSettings | None = None,
    *,
    start: Tensor | None = None,
    seed: int = 0,
    watch: Watch = nobody,
) -> Tensor:
    """Return signals with their occluded pixels drawn from the descriptor, the others held.

    Args:
        trained: from `coopkit.load`.
        signals: Y, (n, channels, height, width), in the units of training; what stands in a hole
            is not read.
        holes: (n, height, width), boolean, True where a pixel is occluded.
        settings: the defaults if left out.
        start: what stands in the holes at first, (n, chains, channels, height, width); ∇² = 0 from
            the border inwards if left out.
        seed: of all randomness.
        watch: told how far it is.

    Returns:
        (n, chains, channels, height, width), on the observed pixels the signals bit for bit.

    Raises:
        RunError: the run has no descriptor, its sampler has no step size to set, or the chains
            diverged: they are not finite, or ten times as far out as images and the reference.
        ValueError: the signals do not fit the run, holes or start do not fit the signals, or a hole
            covers a whole image.
    """
    check_signals(trained, signals, any_size=True)
    check_batch(signals, holes)
    settings = settings or CompletionSettings()
    every, shape = settings.chains, (settings.chains, *signals.shape[1:])
    if start is not None and start.shape != (len(signals), *shape):
        raise ValueError(
            f"start must be of shape {(len(signals), *shape)}, not {tuple(start.shape)}"
        )
    f, std, sampler = revision_of(trained, settings.step_size)
    rng = stream(seed, "completion", trained.device)
    free = rearrange(holes, "n h w -> n 1 h w").to(signals.device)
    if start is None:
        smooth = METHODS["springs"](signals, holes, seed)
        start = repeat(smooth, "n ... -> n chains ...", chains=every)
    begin = torch.where(free[:, None], start, signals[:, None]).flatten(0, 1)

    def target_of(rows: slice) -> Target:
        of = torch.arange(len(begin))[rows] // every
        return MaskedTarget(RevisionTarget(f, std), free[of], begin[rows])

    kept = trained.tuned if settings.step_size is None else None
    doing = "revising occluded pixels"
    steps = trained.settings.revision_steps if settings.steps is None else settings.steps
    chains = Chains(sampler, steps, settings.batch, watch, doing, kept)
    ends = chains.ends(begin, target_of, rng)
    if outside(ends, std):
        raise RunError("the revision of occluded pixels diverged; try a smaller step size")
    return ends.reshape(len(signals), *shape)


def completing_step_size(trained: Trained, settings: CompletionSettings) -> float | None:
    """Return δ of the chains of `complete`; None where they have one of their own each, or none.

    Raises:
        RunError: the run has no descriptor, or its sampler has no step size to set.
    """
    _, _, sampler = revision_of(trained, settings.step_size)
    tuned = settings.step_size is None and trained.tuned is not None and trained.tuned.tuned
    return None if tuned else getattr(sampler, "step_size", None)


__all__ = ["CompletionSettings", "complete"]
