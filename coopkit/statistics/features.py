"""Distances between sets of features: FID, KID, precision and recall.

FID and KID are torchmetrics' (extra ``metrics``), which need no network of its own.
"""

import warnings
from importlib import import_module
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from coopkit.errors import DataError
from coopkit.streams import seeded

LEAST = 4
"""Images of each set, at least: `coverage` asks for the third neighbour of each."""

SUBSETS = 100
"""Subsets over which KID is the mean where the sets are larger than one."""

SUBSET = 1000
"""The most features of each set in a subset."""


class Given(nn.Module):
    """What torchmetrics takes for a network, where the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return the features."""
        return features


def metric_of(module: str, name: str) -> Any:
    """Return a class of torchmetrics' metrics of images.

    Raises:
        DataError: torchmetrics is not installed.
    """
    try:
        return getattr(import_module(f"torchmetrics.image.{module}"), name)
    except ImportError as error:
        raise DataError(
            "FID and KID need torchmetrics; install it with: pip install 'coopkit[metrics]'"
        ) from error


def check_features(real: Tensor, drawn: Tensor, least: int = 2) -> None:
    """Refuse sets of features that cannot be compared.

    Raises:
        DataError: they are not (n, d) and (m, d), or too few.
    """
    if real.ndim != 2 or drawn.ndim != 2 or real.shape[1] != drawn.shape[1]:
        raise DataError(
            f"features must be (n, d) and (m, d), not {tuple(real.shape)} and {tuple(drawn.shape)}"
        )
    if min(len(real), len(drawn)) < least:
        raise DataError(f"{least} features of each set are needed at least")


def fid(real: Tensor, drawn: Tensor) -> float:
    """Return the Fréchet distance ‖m − m'‖² + tr(C + C' − 2 (C C')^½) of Gaussians fitted to both.

    Args:
        real: features (n, d).
        drawn: features (m, d). With fewer than some thousand the distance comes out too large.

    Raises:
        DataError: torchmetrics is missing, or the features cannot be compared.

    Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", 2017.
    """
    check_features(real, drawn)
    metric = metric_of("fid", "FrechetInceptionDistance")(feature=Given(real.shape[1])).set_dtype(
        torch.float64
    )
    return float(filled(metric, real, drawn).compute())


def kid(real: Tensor, drawn: Tensor, seed: int = 0) -> float:
    """Return the unbiased squared maximum mean discrepancy, kernel (x·y / d + 1)³.

    Args:
        real: features (n, d).
        drawn: features (m, d).
        seed: of the subsets over which it is a mean, where one of the sets does not fit in one.

    Raises:
        DataError: torchmetrics is missing, or the features cannot be compared.

    Source: Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", 2018.
    """
    check_features(real, drawn)
    size = min(len(real), len(drawn), SUBSET)
    subsets = 1 if len(real) == len(drawn) == size else SUBSETS
    with warnings.catch_warnings(), seeded(seed):
        warnings.filterwarnings("ignore", message=".*will save all extracted features")
        metric = metric_of("kid", "KernelInceptionDistance")(
            feature=Given(real.shape[1]), subsets=subsets, subset_size=size
        ).set_dtype(torch.float64)
        mean, _ = filled(metric, real, drawn).compute()
    return float(mean)


def filled(metric: Any, real: Tensor, drawn: Tensor) -> Any:
    """Return a metric that has seen both sets."""
    metric.update(real.double(), real=True)
    metric.update(drawn.double(), real=False)
    return metric


@attrs.frozen
class Coverage:
    """How two sets overlap.

    Attributes:
        precision: the share of what was drawn that lies among the real.
        recall: the share of the real that lies among what was drawn.
    """

    precision: float
    recall: float


def coverage(real: Tensor, drawn: Tensor, neighbours: int = 3) -> Coverage:
    """Return the improved precision and recall.

    A feature lies among a set if it is within the distance of some member to the member's own k-th
    neighbour.

    Args:
        real: features (n, d), n > k.
        drawn: features (m, d), m > k.
        neighbours: k.

    Raises:
        DataError: the features cannot be compared, or are too few.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
    models", 2019, section 2.
    """
    check_features(real, drawn, neighbours + 1)
    return Coverage(among(drawn, real, neighbours), among(real, drawn, neighbours))


def among(points: Tensor, members: Tensor, neighbours: int) -> float:
    """Return the share of points that lie among the members."""
    exact = "donot_use_mm_for_euclid_dist"
    own = torch.cdist(members, members, compute_mode=exact)
    radii = own.kthvalue(neighbours + 1, dim=1).values
    within = torch.cdist(points, members, compute_mode=exact) <= radii
    return float(within.any(1).double().mean())
