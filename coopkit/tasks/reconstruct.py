"""Given signals as the generator draws them: Langevin inference of X, and g(X) beside each."""

import attrs
import torch
from einops import reduce
from torch import Tensor

from coopkit.tasks.infer import InferenceSettings, drawn_in_parts, inferred
from coopkit.tasks.trained import Trained
from coopkit.tasks.watching import Watch, nobody


@attrs.frozen(eq=False)
class Reconstructed:
    """Given signals and what the generator makes of them, in the units of training.

    Attributes:
        latents: X, (n, *latent), of each signal's best chain.
        signals: g(X), (n, channels, height, width).
        error: the mean absolute difference per entry of each, (n,).
        step_size: δ of the chains, given or chosen; None where there were none.
        stable_below: 2/√λ, above which δ is unstable where g is steepest; None where the sampler
            was that of the recipe.
    """

    latents: Tensor
    signals: Tensor
    error: Tensor
    step_size: float | None = None
    stable_below: float | None = None


def reconstruct(
    trained: Trained,
    signals: Tensor,
    settings: InferenceSettings | None = None,
    *,
    seed: int = 0,
    watch: Watch = nobody,
) -> Reconstructed:
    """Return g(X) of given signals, X inferred by equation (13); of several chains the closest.

    Args:
        trained: from `coopkit.load`.
        signals: Y, (n, channels, height, width), in the units of training.
        settings: of the inference; the defaults if left out.
        seed: of all randomness.
        watch: told how far it is.

    Raises:
        RunError: the run has no generator, or the chains diverged.
        ValueError: the signals do not fit the run.
    """
    settings = settings or InferenceSettings()
    found = inferred(trained, signals, settings, seed=seed, watch=watch)
    latents, every = found.latents.flatten(0, 1), settings.chains
    best, drawn = torch.zeros(len(signals), dtype=torch.long), torch.empty_like(signals)
    error = torch.full((len(signals),), torch.inf, device=signals.device)
    numbers = torch.split(torch.arange(len(latents)), settings.batch)
    parts = drawn_in_parts(trained, latents, settings.batch)
    for rows, part in zip(numbers, parts, strict=True):
        off = reduce((part - signals[rows // every]).abs(), "chains ... -> chains", "mean")
        for row, own, picture in zip(rows.tolist(), off, part, strict=True):
            if own < error[row // every]:
                error[row // every], drawn[row // every], best[row // every] = own, picture, row
    return Reconstructed(latents[best], drawn, error, found.step_size, found.stable_below)


__all__ = ["Reconstructed", "reconstruct"]
