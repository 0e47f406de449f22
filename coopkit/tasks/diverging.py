"""When chains have gone where nothing that was asked for can be."""

import math

import torch
from torch import Tensor

from coopkit.derivatives import Function
from coopkit.divergence import RANGE, spread_of
from coopkit.interfaces import Shape
from coopkit.targets import InferenceTarget

UNLIKELY = 14.0
"""−log of a probability below 10⁻⁶."""

PROBES = 4
TIMES = 10.0


def farthest_latents(
    g: Function,
    signals: Tensor,
    noise_std: float,
    latent_shape: Shape,
    rng: torch.Generator,
    observed: Tensor | None = None,
) -> Tensor:
    """Return r of each signal, (n,), in `finest`, for which p(‖X‖ > r | Y) is below 10⁻⁶.

    Let Ē be the mean of ‖Y − g(X)‖²/2σ² over X ~ N(0, I). By Jensen's inequality p(Y) is e^−Ē at
    least, up to the constant that p(Y | X) has as well, so that p(‖X‖ > r | Y) is e^Ē times that of
    N(0, I) at most. There ‖X‖² is above d + 2√(dt) + 2t with a probability of at most e^−t (Laurent
    and Massart 2000); t = Ē + 14. The largest of a few X stands for the mean.

    Args:
        g: the generator, latents (chains, *latent) to signals.
        signals: Y, (n, channels, height, width), in the units of training.
        noise_std: σ, in the units of the signal.
        latent_shape: of one latent, d entries.
        rng: the source of these few X, on the device of the signals.
        observed: boolean, of the shape of Y, True where Y is known; everywhere if left out.
    """
    size = math.prod(latent_shape)
    target = InferenceTarget(g, signals, noise_std, observed)
    with torch.no_grad():
        tried = g(torch.randn((PROBES, *latent_shape), generator=rng, device=rng.device)).clone()
    off = [target.squared_error(drawn[None], *target.known) for drawn in tried]
    least = torch.stack(off).amax(0) / (2 * noise_std**2) + UNLIKELY
    return (size + 2 * (size * least).sqrt() + 2 * least).sqrt()


def outside(signals: Tensor, reference_std: float) -> bool:
    """Whether an entry is not finite, or ten times as far out as all that could be drawn.

    Images lie in [−1, 1], less the mean, so that they differ by 2 at most, and the reference, if
    there is one, spreads by s; a draw of the descriptor has no cause to be far beyond both.

    Args:
        signals: (n, ...), n ≥ 1, in the units of training.
        reference_std: s, in the units of the signal; infinity where there is no reference.
    """
    limit = TIMES * max(RANGE, spread_of(reference_std))
    return not (float(signals.amin()) >= -limit and float(signals.amax()) <= limit)


__all__ = ["farthest_latents", "outside"]
