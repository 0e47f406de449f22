"""Strategies for targets and networks keep to what they say, and shrink to what is small."""

import math

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coopkit.testing.strategies.targets import (
    chain_batches,
    descriptors,
    gaussian_targets,
    linear_generators,
    signal_shapes,
)

FEW = hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
SMALLEST = hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)


def smallest(strategy, condition=lambda found: True):
    return hypothesis.find(strategy, condition, settings=SMALLEST)


@FEW
@given(signal_shapes(1, 3, 2))
def test_shapes_have_the_dimensions_and_sides_asked_for(shape):
    assert isinstance(shape, tuple)
    assert 1 <= len(shape) <= 3
    assert all(1 <= side <= 2 for side in shape)


@FEW
@given(chain_batches())
def test_batches_are_of_one_to_five_dimensions_and_tame(batch):
    assert 1 <= batch.ndim <= 5
    assert 1 <= len(batch) <= 5
    assert batch.dtype in (torch.float32, torch.float64)
    assert not batch.requires_grad
    assert torch.isfinite(batch).all()
    assert batch.abs().max() <= 4
    tiny = batch[batch != 0].abs()
    assert not len(tiny) or tiny.min() >= torch.finfo(batch.dtype).tiny


@FEW
@given(chain_batches(st.just(2), st.just((3,)), st.just(torch.float64)))
def test_batches_are_as_asked_for(batch):
    assert batch.shape == (2, 3)
    assert batch.dtype == torch.float64


@FEW
@given(gaussian_targets(3))
def test_gaussians_have_the_law_that_they_say(law):
    width = len(law.mean)
    assert 1 <= width <= 3
    stds = torch.linalg.eigvalsh(law.covariance).sqrt()
    assert stds.min() > 0.2499
    assert stds.max() < 1.5001
    assert law.mean.abs().max() <= 2
    x = torch.linspace(-2, 2, 5 * width).reshape(5, width)
    expected = -(x.double() - law.mean) @ law.precision
    assert torch.allclose(law.target.score(x).double(), expected, atol=1e-3)


@FEW
@given(linear_generators(2, 3))
def test_linear_generators_have_their_posterior(model):
    height, width = model.weight.shape
    assert 1 <= width <= 2
    assert 1 <= height <= 3
    assert model.noise_std in (1.0, 0.3, 0.6)
    signals, latents = torch.ones(4, height), torch.linspace(-1, 1, 4 * width).reshape(4, width)
    law = model.posterior(signals)
    expected = -(latents.double() - law.mean) @ law.precision
    assert torch.allclose(law.target.score(latents).double(), expected, atol=1e-3)


@FEW
@given(descriptors())
def test_descriptors_take_signals_of_their_shape(drawn):
    assert 1 <= len(drawn.signal_shape) <= 4
    assert drawn.reference_std in (1.0, 0.4, 2.0)
    assert drawn.network.training
    assert drawn.network(torch.ones(3, *drawn.signal_shape)).shape == (3,)


@FEW
@given(descriptors(st.just((1, 2, 2))))
def test_descriptors_have_the_shape_asked_for(drawn):
    assert drawn.signal_shape == (1, 2, 2)


def test_drawing_a_descriptor_does_not_seed_torch(seed):
    torch.manual_seed(seed)
    expected = torch.rand(3)
    torch.manual_seed(seed)
    smallest(descriptors())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", ["Conv2d", "BatchNorm1d", "BatchNorm2d", "Softplus", "ELU"])
def test_descriptors_of_every_kind_are_drawn(kind):
    def has(drawn):
        return any(type(module).__name__ == kind for module in drawn.network)

    found = smallest(descriptors(), has)
    assert found.reference_std == 1.0
    assert math.prod(found.signal_shape) == 1


def test_the_smallest_of_each_is_plain():
    assert smallest(signal_shapes()) == ()
    batch = smallest(chain_batches())
    assert torch.equal(batch, torch.zeros(1))
    assert batch.dtype == torch.float32
    law = smallest(gaussian_targets())
    assert law.covariance.tolist() == [[1.0]]
    assert law.mean.tolist() == [0.0]
    assert smallest(linear_generators()).weight.shape == (1, 1)
    kinds = [type(module).__name__ for module in smallest(descriptors()).network]
    assert kinds == ["Flatten", "Linear", "Tanh", "Linear", "Flatten"]


def test_a_condition_keeps_no_more_than_it_needs():
    found = smallest(chain_batches(), lambda batch: bool((batch > 1).any()))
    assert found.numel() == 1
    assert found.item() == 2.0
    wide = smallest(gaussian_targets(), lambda law: len(law.mean) >= 2)
    assert torch.allclose(wide.covariance, torch.eye(2).double())
