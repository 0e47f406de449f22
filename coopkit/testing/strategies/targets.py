"""Hypothesis strategies for samplers, targets and networks; all shrink to what is small."""

import attrs
import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st
from torch import Tensor, nn

from coopkit.testing.law.gaussians import (
    Gaussian,
    LinearGenerator,
    covariance_of,
    described,
    linear_generator,
)

SEEDS = st.integers(0, 2**31 - 1)
DTYPES = st.sampled_from([torch.float32, torch.float64])
VALUES = {"min_value": -4.0, "max_value": 4.0}


def signal_shapes(
    min_dims: int = 0, max_dims: int = 4, max_side: int = 3
) -> st.SearchStrategy[tuple[int, ...]]:
    """Return a strategy for the shape of one chain's position."""
    sides = st.integers(1, max_side)
    return st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def chain_batches(
    draw: st.DrawFn,
    chains: st.SearchStrategy[int] | None = None,
    shapes: st.SearchStrategy[tuple[int, ...]] | None = None,
    dtypes: st.SearchStrategy[torch.dtype] = DTYPES,
) -> Tensor:
    """Draw positions (chains, ...) of 1 to 5 dimensions, with values from −4 to 4.

    Args:
        draw: supplied by Hypothesis.
        chains: how many; 1 to 5 if left out.
        shapes: of one chain's position; up to four dimensions if left out.
        dtypes: float32 or float64 if left out.
    """
    count = draw(st.integers(1, 5) if chains is None else chains)
    dtype = draw(dtypes)
    width = 32 if dtype == torch.float32 else 64
    elements = st.floats(**VALUES, width=width, allow_subnormal=False)  # type: ignore[arg-type]
    shape = (count, *draw(signal_shapes() if shapes is None else shapes))
    array = draw(numpy_st.arrays(np.dtype(f"float{width}"), shape, elements=elements))
    return torch.from_numpy(array)


@st.composite
def gaussian_targets(draw: st.DrawFn, max_dimension: int = 4) -> Gaussian:
    """Draw Gaussian targets as descriptors with a reference give them, with their exact law.

    The standard deviations are from 0.25 to 1.5 along random axes.

    Args:
        draw: supplied by Hypothesis.
        max_dimension: of the signal.
    """
    stds = draw(
        st.lists(st.sampled_from([1.0, 0.25, 0.5, 1.5]), min_size=1, max_size=max_dimension)
    )
    mean = draw(st.lists(st.floats(-2, 2, width=32), min_size=len(stds), max_size=len(stds)))
    rng = torch.Generator().manual_seed(draw(SEEDS))
    reference_std = draw(st.sampled_from([1.0, 0.3, 2.0, float("inf")]))
    return described(covariance_of(stds, rng), torch.tensor(mean).double(), reference_std)


@st.composite
def linear_generators(
    draw: st.DrawFn, max_latents: int = 3, max_signals: int = 5
) -> LinearGenerator:
    """Draw linear generators Y = WX + b + ε, of which posterior and marginal are Gaussian.

    Args:
        draw: supplied by Hypothesis.
        max_latents: the most entries of X.
        max_signals: the most entries of Y.
    """
    latents, signals = draw(st.integers(1, max_latents)), draw(st.integers(1, max_signals))
    rng = torch.Generator().manual_seed(draw(SEEDS))
    drawn = linear_generator(rng, latents, signals)
    return attrs.evolve(drawn, noise_std=draw(st.sampled_from([1.0, 0.3, 0.6])))


@attrs.frozen(eq=False)
class DrawnDescriptor:
    """A small network with random weights.

    Attributes:
        network: f, from signals (chains, *signal_shape) to (chains,), in training mode.
        signal_shape: of one signal.
        reference_std: s.
    """

    network: nn.Module
    signal_shape: tuple[int, ...]
    reference_std: float


@st.composite
def descriptors(
    draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]] | None = None
) -> DrawnDescriptor:
    """Draw descriptors: a convolution for images, a hidden layer, with and without batch norm.

    Args:
        draw: supplied by Hypothesis.
        shapes: of the signals; one to four dimensions if left out.
    """
    shape = draw(signal_shapes(min_dims=1) if shapes is None else shapes)
    normalized = draw(st.booleans())
    activation = draw(st.sampled_from([nn.Tanh, nn.Softplus, nn.ELU]))
    layers: list[nn.Module] = []
    size = int(np.prod(shape))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(SEEDS))
        if len(shape) == 3 and draw(st.booleans()):
            layers += [nn.Conv2d(shape[0], 3, 3, padding=1)]
            layers += [nn.BatchNorm2d(3), activation()] if normalized else [activation()]
            size = 3 * shape[1] * shape[2]
        layers += [nn.Flatten(), nn.Linear(size, 4)]
        layers += [nn.BatchNorm1d(4), activation()] if normalized else [activation()]
        layers += [nn.Linear(4, 1), nn.Flatten(0)]
        network = nn.Sequential(*layers)
    return DrawnDescriptor(network, shape, draw(st.sampled_from([1.0, 0.4, 2.0])))


__all__ = [
    "DrawnDescriptor",
    "chain_batches",
    "descriptors",
    "gaussian_targets",
    "linear_generators",
    "signal_shapes",
]
