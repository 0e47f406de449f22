"""The correlation by Toom–Cook over interleaved parts: fewer multiplications for large filters."""

from typing import Any

import attrs
import torch
from einops import rearrange
from torch import Tensor

from coopkit.fast.convolutions import Layer, Packed, Pair
from coopkit.fast.toom_cook import Correlation, short_correlation


@attrs.define(eq=False)
class Scratch:
    """Memory that is used again for every chain.

    Attributes:
        padded: the input within zeros, (rows, columns, channels).
        tall: transformed down, (height, n, columns * channels).
        wide: transformed to the right as well, (height, n, width + 1, n, channels).
        parts: the same as an image of n² groups of channels, (height, width, n, n, channels).
        outputs: the m² interleaved parts of the output, (height' · width', m², filters).
        joined: the output, (height' · m, width' · m, filters).
    """

    padded: Tensor
    tall: Tensor
    wide: Tensor
    parts: Tensor
    outputs: Tensor
    joined: Tensor


@attrs.define(eq=False)
class Polyphase:
    """The correlation of stride 1 with (2m − 1)²/m⁴ of the multiplications.

    Taps and places are split into m interleaved parts each way. The parts of the output are a
    correlation with m taps of the parts of the input, whose products are convolutions with
    filters m times smaller: 2m − 1 of them instead of m² (Mou and Duhamel 1991), each way.

    The chains are done one after another, so that what is between stays in the caches.

    Attributes:
        layer: what to compute; stride 1.
        m: how many parts, 2 or 3.
    """

    layer: Layer
    m: int
    short: Correlation = attrs.field(init=False)
    scratch: Scratch | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.short = short_correlation(self.m)

    @property
    def products(self) -> int:
        """Return n = 2m − 1."""
        return 2 * self.m - 1

    @property
    def taps(self) -> Pair:
        """Return height and width of the small filters."""
        rows, columns = self.layer.kernel
        return -(-rows // self.m), -(-columns // self.m)

    @property
    def out(self) -> Pair:
        """Return height and width of a part of the output."""
        rows, columns = self.layer.out
        return -(-rows // self.m), -(-columns // self.m)

    @property
    def small(self) -> Packed:
        """Return the convolutions of the parts, as one with n² groups of channels."""
        groups, layer = self.products**2, self.layer
        size = self.out[0] + self.taps[0] - 1, self.out[1] + self.taps[1] - 1
        channels, filters = groups * layer.channels, groups * layer.filters
        return Packed(Layer(channels, filters, size, self.taps, (1, 1), (0, 0)), 1, groups)

    def derive(self, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
        """Return the small filters, packed."""
        m, (rows, columns) = self.m, self.taps
        whole = weight.new_zeros((*weight.shape[:2], rows * m, columns * m))
        whole[..., : weight.shape[2], : weight.shape[3]] = weight
        parts = rearrange(whole, "f c (rows a) (cols b) -> a b f c rows cols", a=m, b=m)
        taps = self.short.taps.to(weight)
        filters = torch.tensordot(taps, torch.tensordot(taps, parts, ([1], [1])), ([1], [1]))
        small = rearrange(filters, "down right f c rows cols -> (down right f) c rows cols")
        return self.small.derive(small.contiguous(), None)[0], bias

    def apply(self, x: Tensor, derived: tuple[Any, ...]) -> Tensor:
        """Return the output (n, filters, *out), channels last."""
        filters, bias = derived
        if self.scratch is None:
            self.scratch = self.new_scratch(x)
        rows, columns = self.layer.out
        out = x.new_empty((len(x), rows, columns, self.layer.filters))
        for chain, result in zip(rearrange(x, "n c h w -> n h w c"), out, strict=True):
            joined = self.correlate(chain, filters, self.scratch)
            if bias is None:
                result.copy_(joined[:rows, :columns])
            else:
                torch.add(joined[:rows, :columns], bias, out=result)
        return rearrange(out, "n h w f -> n f h w")

    def new_scratch(self, like: Tensor) -> Scratch:
        """Return the memory that one chain needs."""
        layer, m, n, (rows, columns) = self.layer, self.m, self.products, self.out
        height, width = self.small.layer.size
        new = like.new_zeros
        return Scratch(
            padded=new(((height + 1) * m, (width + 1) * m, layer.channels)),
            tall=new((height * n + 1, (width + 1) * m * layer.channels)),
            wide=new((height, n, width + 1, n, layer.channels)),
            parts=new((height, width, n, n, layer.channels)),
            outputs=new((rows * columns, m * m, layer.filters)),
            joined=new((rows, m, columns, m, layer.filters)),
        )

    def correlate(self, x: Tensor, filters: Tensor, memory: Scratch) -> Tensor:
        """Return the output of one chain, rounded up to multiples of m: (rows, columns, filters).

        Args:
            x: the input, (height, width, channels).
            filters: packed.
            memory: overwritten.
        """
        layer, m, n, (rows, columns) = self.layer, self.m, self.products, self.out
        height, width = self.small.layer.size
        above, left = layer.padding
        memory.padded[above : above + layer.size[0], left : left + layer.size[1]].copy_(x)
        inputs = self.short.inputs.to(x)
        line = memory.padded[0].numel()
        windows = memory.padded.as_strided((height, n, line), (m * line, line, 1))
        tall = rearrange(memory.tall[:-1], "(h a) line -> h a line", a=n)
        torch.bmm(inputs.expand(height, n, n), windows, out=tall)
        count, step = height * n * (width + 1), m * layer.channels
        windows = memory.tall.as_strided((count, n, layer.channels), (step, layer.channels, 1))
        wide = memory.wide.flatten(0, 2)
        torch.bmm(inputs.expand(count, n, n), windows, out=wide)
        memory.parts.copy_(rearrange(memory.wide[:, :, :-1], "h a w b c -> h w a b c"))
        image = rearrange(memory.parts, "h w a b c -> 1 (a b c) h w")
        product = self.small.apply(image, (filters, None))
        product = rearrange(product, "1 (ab f) h w -> (h w) ab f", ab=n * n)
        outputs = self.short.outputs.to(x)
        both = torch.kron(outputs, outputs)
        torch.bmm(both.expand(rows * columns, -1, -1), product, out=memory.outputs)
        parts = rearrange(memory.outputs, "(h w) (a b) f -> h a w b f", h=rows, a=m)
        memory.joined.copy_(parts)
        return rearrange(memory.joined, "h a w b f -> (h a) (w b) f")
