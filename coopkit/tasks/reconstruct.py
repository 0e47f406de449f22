"""Given signals as the generator draws them: Langevin inference of X, and g(X) beside each."""

import attrs
from einops import rearrange, reduce
from torch import Tensor

from coopkit.tasks.infer import InferenceSettings, drawn_from, infer_latents
from coopkit.tasks.trained import Trained
from coopkit.tasks.watching import Watch, nobody


@attrs.frozen(eq=False)
class Reconstructed:
    """Given signals and what the generator makes of them, in the units of training.

    Attributes:
        latents: X, (n, *latent), of each signal's best chain.
        signals: g(X), (n, channels, height, width).
        error: the mean absolute difference per entry of each, (n,).
    """

    latents: Tensor
    signals: Tensor
    error: Tensor


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
    """
    settings = settings or InferenceSettings()
    latents = infer_latents(trained, signals, settings, seed=seed, watch=watch)
    drawn = drawn_from(trained, latents.flatten(0, 1), settings.batch)
    chains = rearrange(drawn, "(n chains) ... -> n chains ...", chains=settings.chains)
    errors = reduce((chains - signals[:, None]).abs(), "n chains ... -> n chains", "mean")
    error, best = errors.min(dim=1)
    rows = range(len(signals))
    return Reconstructed(latents[rows, best], chains[rows, best], error)


__all__ = ["Reconstructed", "reconstruct"]
