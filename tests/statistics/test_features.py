import sys

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from coopkit.errors import DataError
from coopkit.statistics.features import coverage, fid, kid


@pytest.fixture
def metrics() -> None:
    pytest.importorskip("torchmetrics", reason="needs the extra metrics")


def exactly(mean: Tensor, covariance: Tensor, rng: torch.Generator, n: int = 60) -> Tensor:
    """Return points whose own mean and covariance are the given ones."""
    drawn = torch.randn(n, len(mean), generator=rng, dtype=torch.float64)
    centred = drawn - drawn.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.cov(centred.T)), centred.T, upper=False
    )
    return (torch.linalg.cholesky(covariance) @ white).T + mean


def cubic(x: Tensor, y: Tensor) -> float:
    return float(x @ y / len(x) + 1) ** 3


@pytest.mark.usefixtures("metrics")
def test_fid_of_known_gaussians(rng: torch.Generator):
    means = torch.tensor([[0.0, 1, 2], [3.0, 1, -2]]).double()
    root = torch.randn(2, 3, 3, generator=rng, dtype=torch.float64)
    covariances = root @ root.mT + torch.eye(3)
    real, drawn = (exactly(m, c, rng) for m, c in zip(means, covariances, strict=True))
    product = sqrtm((covariances[0] @ covariances[1]).numpy()).real
    wanted = 25 + float(covariances.sum(0).trace()) - 2 * product.trace()
    assert fid(real, drawn) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.usefixtures("metrics")
def test_fid_of_a_set_to_itself_is_0(rng: torch.Generator):
    points = torch.randn(50, 4, generator=rng)
    assert fid(points, points) == pytest.approx(0, abs=1e-6)
    assert fid(points, points + 2) == pytest.approx(16, rel=1e-5)


@pytest.mark.usefixtures("metrics")
def test_fid_of_fewer_points_than_features(rng: torch.Generator):
    points = torch.randn(5, 20, generator=rng)
    assert fid(points, points + 1) == pytest.approx(20, rel=1e-3)


@pytest.mark.usefixtures("metrics")
def test_kid_of_tiny_sets_by_hand():
    x, y = torch.tensor([[1.0, 0], [0, 2]]), torch.tensor([[1.0, 1], [0, -1]])
    crossed = sum(cubic(a, b) for a in x for b in y)
    wanted = cubic(x[0], x[1]) + cubic(y[0], y[1]) - 2 * crossed / 4
    assert kid(x, y) == pytest.approx(wanted)


@pytest.mark.usefixtures("metrics")
def test_kid_is_unbiased(rng: torch.Generator):
    draws = torch.randn(400, 2, 10, 3, generator=rng)
    found = torch.tensor([kid(real, drawn) for real, drawn in draws])
    assert found.mean().abs() < 6 * found.std() / 20
    assert found.min() < 0 < found.max()


@pytest.mark.usefixtures("metrics")
def test_kid_of_sets_of_different_sizes_follows_the_seed(rng: torch.Generator):
    real, drawn = torch.randn(30, 4, generator=rng), torch.randn(12, 4, generator=rng) + 1
    before = torch.get_rng_state()
    assert kid(real, drawn, 1) == kid(real, drawn, 1) != kid(real, drawn, 2)
    assert torch.get_rng_state().equal(before)
    assert kid(real, drawn) > 0


def test_precision_and_recall_of_lines():
    real = torch.arange(10.0)[:, None]
    inside = torch.tensor([2.2, 2.3, 2.4, 2.5, 2.6])[:, None]
    found = coverage(real, torch.cat([inside, inside + 100]), neighbours=1)
    assert found.precision == 0.5
    assert found.recall == 0
    found = coverage(real, real + 0.5, neighbours=1)
    assert (found.precision, found.recall) == (1, 1)


def test_the_radius_reaches_the_kth_neighbour():
    real = torch.tensor([[0.0], [1], [3], [7]])
    drawn = torch.tensor([[-2.0], [-4], [12], [20]])
    assert coverage(real, drawn, neighbours=1).precision == 0
    assert coverage(real, drawn, neighbours=2).precision == 0.5
    assert coverage(real, drawn, neighbours=3).precision == 0.75


def test_precision_and_recall_of_equal_sets_are_1(rng: torch.Generator):
    points = torch.randn(20, 5, generator=rng)
    found = coverage(points, points)
    assert (found.precision, found.recall) == (1, 1)


def test_features_that_cannot_be_compared():
    for compare in (fid, kid, coverage):
        with pytest.raises(DataError, match=r"\(n, d\) and \(m, d\)"):
            compare(torch.zeros(5, 3), torch.zeros(5, 4))
        with pytest.raises(DataError, match="features of each set are needed"):
            compare(torch.zeros(5, 3), torch.zeros(1, 3))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch):
    for name in ("torchmetrics.image.fid", "torchmetrics.image.kid"):
        monkeypatch.setitem(sys.modules, name, None)
    for compare in (fid, kid):
        with pytest.raises(DataError, match=r"pip install 'coopkit\[metrics\]'"):
            compare(torch.zeros(5, 3), torch.ones(5, 3))
