import attrs
import pytest
import torch
from tasks.linear import SHAPE, linear_pair

from coopkit.errors import RunError
from coopkit.tasks.energy import auroc, energies


def test_energies_and_residuals_of_a_gaussian():
    pair = linear_pair(0.5, 0.8)
    f = pair.descriptor
    signals = torch.randn((7, *SHAPE), generator=torch.Generator().manual_seed(0))
    flat, precision = signals.flatten(1), f.precision.detach() + torch.eye(20) / 0.8**2
    told: list[int] = []
    found = energies(pair, signals, batch=3, watch=lambda doing, done, total: told.append(done))
    expected = ((flat @ precision) * flat).sum(1) / 2 - flat @ f.linear.detach()
    torch.testing.assert_close(found.energy, expected.double(), rtol=1e-6, atol=1e-6)
    residual = (flat @ precision - f.linear.detach()).norm(dim=1)
    torch.testing.assert_close(found.residual, residual)
    assert told == [0, 3, 6]


def test_residual_is_zero_at_the_mode():
    pair = linear_pair()
    precision = pair.descriptor.precision.detach() + torch.eye(20)
    mode = torch.linalg.solve(precision, pair.descriptor.linear.detach()).reshape(1, *SHAPE)
    assert float(energies(pair, mode).residual) < 1e-4


def test_auroc_counts_pairs_and_half_of_the_ties():
    inside, outside = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0])
    assert auroc(inside, outside) == pytest.approx((1 + 0.5 + 0 + 3) / 6)
    assert auroc(inside, inside) == 0.5
    assert auroc(inside, inside + 10) == 1


def test_run_without_descriptor():
    pair = attrs.evolve(linear_pair(), descriptor=None)
    with pytest.raises(RunError, match="has no descriptor"):
        energies(pair, torch.zeros(1, *SHAPE))
