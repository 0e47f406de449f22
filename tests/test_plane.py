"""The pair of docs/plane.md: what is measured there is right."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import attrs
import pytest
import torch
from torch import Tensor

PROGRAM = Path(__file__).parents[1] / "docs" / "plane.py"


@pytest.fixture(scope="module")
def plane() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plane", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pair(plane: ModuleType):
    return plane.train(iterations=20, steps=5)


def test_a_pair_is_trained(plane, pair):
    assert pair.initial.shape == pair.revised.shape == (plane.CHAINS, 2)
    assert pair.revised.isfinite().all()
    assert plane.divergence(pair) > 0.1


def test_a_descriptor_that_is_the_data_has_no_divergence(plane, pair):
    def f(y: Tensor) -> Tensor:
        return plane.log_data(y) + y.square().sum(1) / (2 * plane.REFERENCE_STD**2)

    assert plane.divergence(attrs.evolve(pair, f=f)) == pytest.approx(0, abs=1e-6)


def test_the_divergence_of_the_reference_is_in_nats(plane, pair):
    """KL(data ‖ N(0, s²I)) by E‖Y‖² = 2 · 1.4² + 2 · 0.5², N cut off at the edge of the grid."""
    data, step = plane.on_grid(plane.log_data), float(plane.LINE[1] - plane.LINE[0])
    s, squares = plane.REFERENCE_STD, 2 * 1.4**2 + 2 * 0.5**2
    inside = math.erf((4 + step / 2) / s / math.sqrt(2)) ** 2
    cross = math.log(2 * math.pi * s**2 / step**2) + squares / (2 * s**2) + math.log(inside)
    entropy = -float((data.exp() * data).sum())
    flat = attrs.evolve(pair, f=lambda y: 0 * y.sum(1))
    assert plane.divergence(flat) == pytest.approx(cross - entropy, abs=2e-3)


def test_data_have_the_density_that_is_said(plane):
    rng = torch.Generator().manual_seed(3)
    drawn = plane.observe(40_000, rng)
    probability = plane.on_grid(plane.log_data).exp()
    for moment in (lambda y: y[:, 0] ** 2, lambda y: (y[:, 0] * y[:, 1]) ** 2):
        exact = float((probability * moment(plane.GRID)).sum())
        assert float(moment(drawn).mean()) == pytest.approx(exact, rel=0.03)


def test_the_likelihood_of_the_data_is_their_negative_entropy(plane):
    """log p summed over the grid, with the area of a square."""
    area = float(plane.LINE[1] - plane.LINE[0]) ** 2
    data = plane.on_grid(plane.log_data)
    entropy = -float((data.exp() * (data - math.log(area))).sum())
    drawn = plane.observe(100_000, torch.Generator().manual_seed(4))
    assert plane.likelihood(drawn) == pytest.approx(-entropy, abs=0.02)
