"""Convolutions and their adjoints, each in several ways that give the same numbers.

A correlation maps the input of a convolution to its output. Its adjoint, the spreading, is the
gradient with respect to the input, and what a transposed convolution does. A way is made for the
numbers of one layer; `derive` is called once for given weights, `apply` for every input.
"""

from typing import Any, Protocol

import attrs
import torch
from einops import rearrange
from torch import Tensor

Pair = tuple[int, int]
CHANNELS_LAST = torch.channels_last
aten = torch.ops.aten


@attrs.frozen
class Layer:
    """The numbers of a convolution of (n, channels, *size) to (n, filters, *out).

    Attributes:
        channels: of the input.
        filters: of the output.
        size: height and width of the input.
        kernel: height and width of the filters.
        stride: down, and to the right.
        padding: with zeros, above and below, left and right.
    """

    channels: int
    filters: int
    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair

    @property
    def out(self) -> Pair:
        """Return height and width of the output."""
        rows, columns = (
            (self.size[i] + 2 * self.padding[i] - self.kernel[i]) // self.stride[i] + 1
            for i in (0, 1)
        )
        return rows, columns

    @property
    def multiplications(self) -> int:
        """Return how many the definition takes for one chain."""
        rows, columns = self.out
        return self.channels * self.filters * self.kernel[0] * self.kernel[1] * rows * columns


class Way(Protocol):
    """One way to compute a correlation or a spreading."""

    def derive(self, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
        """Return all that depends on the weights (filters, channels, rows, columns) alone."""

    def apply(self, x: Tensor, derived: tuple[Any, ...]) -> Tensor:
        """Return the result for one input."""


@attrs.frozen
class Direct:
    """The correlation as torch does it, channels last."""

    layer: Layer

    def derive(self, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
        """Return the weights, channels last."""
        return weight.contiguous(memory_format=CHANNELS_LAST), bias

    def apply(self, x: Tensor, derived: tuple[Any, ...]) -> Tensor:
        """Return the output (n, filters, *out)."""
        layer, (weight, bias) = self.layer, derived
        result: Tensor = aten.convolution(
            x, weight, bias, layer.stride, layer.padding, (1, 1), False, (0, 0), 1
        )
        return result


@attrs.frozen
class DirectSpreading:
    """The spreading as torch does it, channels last."""

    layer: Layer

    def derive(self, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
        """Return the weights, channels last."""
        return weight.contiguous(memory_format=CHANNELS_LAST), bias

    def apply(self, x: Tensor, derived: tuple[Any, ...]) -> Tensor:
        """Return the spread input (n, channels, *size)."""
        layer, (weight, bias) = self.layer, derived
        shape = torch.empty(
            (len(x), layer.channels, *layer.size),
            dtype=x.dtype,
            device=x.device,
            memory_format=CHANNELS_LAST,
        )
        wanted = [True, False, False]
        geometry = (layer.stride, layer.padding, (1, 1), False, (0, 0), 1)
        result: Tensor = aten.convolution_backward(x, shape, weight, None, *geometry, wanted)[0]
        return result if bias is None else result.add_(rearrange(bias, "c -> c 1 1"))


@attrs.frozen
class Packed:
    """The correlation by oneDNN with weights packed for it once, channels last; float32, CPU.

    Attributes:
        layer: what to compute.
        chains: how many at a time the packing is for.
        groups: of channels that do not see each other.
    """

    layer: Layer
    chains: int
    groups: int = 1

    def derive(self, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
        """Return the packed weights; (filters, channels / groups, rows, columns)."""
        layer = self.layer
        shape = [self.chains, layer.channels, *layer.size]
        return (
            torch.ops.mkldnn._reorder_convolution_weight(
                weight, layer.padding, layer.stride, (1, 1), self.groups, shape
            ),
            bias,
        )

    def apply(self, x: Tensor, derived: tuple[Any, ...]) -> Tensor:
        """Return the output (n, filters, *out)."""
        layer, (weight, bias) = self.layer, derived
        geometry = (layer.padding, layer.stride, (1, 1), self.groups)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, *geometry, "none", [], ""
        )
        return result


@attrs.frozen
class Phases:
    """The spreading as a correlation, of stride 1, to all places of the input at once.

    Each of the stride² phases of the input is a correlation of the output with every stride-th
    tap, turned round; the filters of that correlation are the phases, which are then interleaved
    (sub-pixel convolution, Shi et al. 2016).

    Attributes:
        layer: whose spreading to compute.
        correlation: how to compute the correlation of `phase_layer(layer)`.
    """

    layer: Layer
    correlation: Way

    def derive(self, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
        """Return what the correlation derives from the phases of the weights."""
        down, right = self.layer.stride
        rows, columns = phase_kernel(self.layer)
        whole = weight.new_zeros((*weight.shape[:2], rows * down, columns * right))
        whole[..., : weight.shape[2], : weight.shape[3]] = weight
        phases = rearrange(
            whole, "f c (rows down) (cols right) -> (down right c) f rows cols",
            down=down, right=right,
        )  # fmt: skip
        spread = None if bias is None else bias.repeat(down * right)
        return self.correlation.derive(phases.flip(-2, -1), spread)

    def apply(self, x: Tensor, derived: tuple[Any, ...]) -> Tensor:
        """Return the spread input (n, channels, *size)."""
        layer = self.layer
        drawn = self.correlation.apply(x, derived)
        if layer.stride == (1, 1):
            return drawn
        first = [layer.padding[i] % layer.stride[i] for i in (0, 1)]
        woven = rearrange(
            drawn, "n (down right c) rows cols -> n c (rows down) (cols right)",
            down=layer.stride[0], right=layer.stride[1],
        )  # fmt: skip
        return woven[..., first[0] : first[0] + layer.size[0], first[1] : first[1] + layer.size[1]]


def phase_kernel(layer: Layer) -> Pair:
    """Return height and width of the filters of one phase."""
    rows, columns = (-(-layer.kernel[i] // layer.stride[i]) for i in (0, 1))
    return rows, columns


def phase_layer(layer: Layer) -> Layer | None:
    """Return the correlation that gives all phases of a spreading.

    None where it would need to be padded unevenly, or to be cut.
    """
    kernel = phase_kernel(layer)
    skipped = [layer.padding[i] // layer.stride[i] for i in (0, 1)]
    padding = kernel[0] - 1 - skipped[0], kernel[1] - 1 - skipped[1]
    phases = layer.stride[0] * layer.stride[1]
    found = Layer(layer.filters, layer.channels * phases, layer.out, kernel, (1, 1), padding)
    last = [(layer.padding[i] + layer.size[i] - 1) // layer.stride[i] for i in (0, 1)]
    fits = all(found.out[i] == last[i] - skipped[i] + 1 and padding[i] >= 0 for i in (0, 1))
    return found if fits else None
