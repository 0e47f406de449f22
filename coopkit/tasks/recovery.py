"""How well a generator finds given images again: recovery errors, section 5.3 of the paper."""

from torch import Tensor

from coopkit.tasks.comparing import Compared, evenly
from coopkit.tasks.evaluation import Recovery
from coopkit.tasks.infer import InferenceSettings
from coopkit.tasks.inpaint import InpaintingSettings, inpaint, restoration_error
from coopkit.tasks.masks import square_holes
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.trained import Trained
from coopkit.tasks.watching import Watch

ASCENT, ASCENTS = 200, 4
"""Steps to modes of X, from which signals are drawn, and how many climb: it takes seconds."""


def recovery_of(trained: Trained, compared: Compared, count: int, watch: Watch) -> Recovery | None:
    """Return the errors on so many real images; None without any, or without a generator."""
    _, height, width = trained.signal_shape
    if trained.generator is None or not count or max(height, width) < 2:
        return None
    signals = (evenly(compared.real, count) - trained.mean).to(trained.device)
    side = max(1, min(height, width) // 2)
    holes = square_holes(len(signals), side, trained.signal_shape, compared.seed)
    inference = InferenceSettings(steps=0, ascent=ASCENT, chains=ASCENTS)
    found = reconstruct(trained, signals, inference, seed=compared.seed, watch=watch)
    settings = InpaintingSettings(inference=inference)
    filled = inpaint(trained, signals, holes, settings, seed=compared.seed, watch=watch)

    def mean_error(restored: Tensor) -> float:
        return float(restoration_error(restored, signals, holes, trained.mean).mean())

    plain = (compared.data.mean(0) - trained.mean).to(signals).expand_as(signals)
    return Recovery(
        count=len(signals),
        real=compared.against,
        side=side,
        restored=mean_error(filled.signals),
        by_mean=mean_error(plain),
        reconstructed=float(found.error.mean()),
    )
