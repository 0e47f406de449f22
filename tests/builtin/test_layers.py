"""The layers of the built-in networks against what they are defined to be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coopkit.builtin.layers import NearestUpsampling, upsampling


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 7),
    factor=st.integers(2, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
)
def test_nearest_upsampling_is_interpolation_and_then_convolution(
    kernel: int, factor: int, height: int, width: int
):
    """Values and gradients, in float64, of one transposed convolution and of the two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = upsampling(3, 4, kernel, factor, "nearest").double()
        x = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    inputs = [x, *layer.parameters()]
    for drawn, expected in zip(
        *((y, *torch.autograd.grad(y.sin().sum(), inputs)) for y in (layer(x), two(layer, x))),
        strict=True,
    ):
        torch.testing.assert_close(drawn, expected, atol=1e-9, rtol=1e-9)


def two(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what the interpolation and the convolution in a layer give one after the other."""
    assert isinstance(layer, NearestUpsampling)
    return nn.Sequential.forward(layer, x)


def test_nearest_upsampling_sums_the_filters_entries_that_meet_a_pixel():
    """A 3×3 filter of ones over cells of 2×2: an output's window covers 2×2 cells, 9 pixels."""
    layer = upsampling(1, 1, 3, 2, "nearest")
    nn.init.ones_(layer[1].weight)
    nn.init.zeros_(layer[1].bias)
    x = torch.zeros(1, 1, 3, 3)
    x[..., 1, 1] = 1.0
    row = torch.tensor([0.0, 1, 2, 2, 1, 0])
    torch.testing.assert_close(layer(x)[0, 0], row[:, None] * row)


@pytest.mark.parametrize("factor", [2, 3])
def test_nearest_upsampling_leaves_a_constant_constant_up_to_the_border(factor: int):
    layer = upsampling(2, 3, 5, factor, "nearest")
    drawn = layer(torch.ones(1, 2, 4, 4))
    assert drawn.shape == (1, 3, 4 * factor, 4 * factor)
    torch.testing.assert_close(drawn, drawn.mean((-2, -1), keepdim=True).expand_as(drawn))
