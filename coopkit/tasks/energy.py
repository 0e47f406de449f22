"""How likely given signals are under the descriptor, and how well that tells others apart."""

import attrs
import torch
from scipy.stats import rankdata
from torch import Tensor

from coopkit.targets import RevisionTarget, squared_norm
from coopkit.tasks.arguments import check_counts, check_signals
from coopkit.tasks.trained import Trained, revision_of
from coopkit.tasks.watching import Watch, nobody


@attrs.frozen(eq=False)
class Energies:
    """What the descriptor says of given signals.

    Attributes:
        energy: E(Y) of equation (25), (n,); only differences matter. Smooth signals have low ones.
        residual: ‖Y/s² − ∂f/∂Y‖, (n,): by equation (26) zero at a local mode, which the descriptor
            codes and decodes without loss.
    """

    energy: Tensor
    residual: Tensor


def energies(trained: Trained, signals: Tensor, batch: int = 64, watch: Watch = nobody) -> Energies:
    """Return energies and auto-encoder residuals of signals (n, channels, height, width).

    Args:
        trained: from `coopkit.load`.
        signals: Y, in the units of training.
        batch: signals at a time, which bounds the memory.
        watch: told how far it is.

    Raises:
        RunError: the run has no descriptor.
        ValueError: the signals do not fit the run, or batch is not positive.
    """
    check_signals(trained, signals, any_size=True)
    check_counts(1, batch=batch)
    f, std, _ = revision_of(trained)
    target = RevisionTarget(f, std)
    found: list[tuple[Tensor, Tensor]] = []
    for part in torch.split(signals, batch):
        watch("energies", batch * len(found), len(signals))
        log_prob, score = target.log_prob_and_score(part.to(trained.device))
        found.append((-log_prob, squared_norm(score).sqrt()))
    energy, residual = (torch.cat(column) for column in zip(*found, strict=True))
    return Energies(energy, residual)


def auroc(inside: Tensor, outside: Tensor) -> float:
    """Return the area under the receiver operating characteristic of a score of outliers.

    It is the probability that one of `outside` has a higher score than one of `inside`, ties
    counted half: 1 where the score tells all apart, ½ where it knows nothing.

    Args:
        inside: scores of usual signals, (n,).
        outside: scores of outliers, (m,).

    Raises:
        ValueError: there are none of either.
    """
    if not len(inside) or not len(outside):
        raise ValueError("there must be scores of one usual signal and of one outlier at least")
    ranks = rankdata(torch.cat([outside, inside]).cpu().double().numpy())
    count, others = len(outside), len(inside)
    above = float(ranks[:count].sum()) - count * (count + 1) / 2
    return above / (count * others)


__all__ = ["Energies", "auroc", "energies"]
