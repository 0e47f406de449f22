"""The top-down networks of the paper: texture from a latent grid, DCGAN from a latent vector."""

import math
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import ClassVar, Literal

import attrs
import torch
from attrs.validators import ge, gt
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torch.nn import functional

from coopkit.builtin.layers import (
    NONLINEARITIES,
    NORMALIZATIONS,
    Nonlinearity,
    Normalization,
    Spread,
    centre_crop,
    check_spread,
    initialize,
    positive,
    upsampling,
)
from coopkit.interfaces import Shape


def cut(drawn: Tensor, excess: tuple[int, int]) -> Tensor:
    """Return the middle of what was drawn, smaller by the excess in height and width."""
    return centre_crop(drawn, drawn.shape[-2] - excess[0], drawn.shape[-1] - excess[1])


class TopDownG(nn.Module):
    """g(X) of a stack of up-samplings, (chains, *latent) to (chains, channels, height, width)."""

    def __init__(self, stem: nn.Module, layers: nn.Module, excess: tuple[int, int]) -> None:
        super().__init__()
        self.stem = stem
        self.layers = layers
        self.excess = excess

    def forward(self, latents: Tensor) -> Tensor:
        """Return g of each chain, in [−1, 1]."""
        return cut(self.layers(self.stem(latents)), self.excess)


class PyramidG(nn.Module):
    """g(X) of a stack of up-samplings of which the lowest see X beside what is drawn below them.

    X is as fine as the input of the highest of these, and N(0, I); each sees it at its own size:
    sums over squares of p×p entries over p, which are N(0, I) as well.
    """

    def __init__(
        self, seeing: Iterable[nn.Module], above: nn.Module, factor: int, excess: tuple[int, int]
    ) -> None:
        super().__init__()
        self.seeing = nn.ModuleList(seeing)
        self.above = above
        self.factor = factor
        self.excess = excess

    def forward(self, latents: Tensor) -> Tensor:
        """Return g of each chain, in [−1, 1]."""
        lowest, *others = self.seeing
        drawn = lowest(self.seen_by(0, latents))
        for depth, layer in enumerate(others, start=1):
            drawn = layer(torch.cat((drawn, self.seen_by(depth, latents)), dim=1))
        return cut(self.above(drawn), self.excess)

    def seen_by(self, depth: int, latents: Tensor) -> Tensor:
        """Return X at the size of the input of a layer, 0 being the lowest."""
        p = self.factor ** (len(self.seeing) - 1 - depth)
        seen: Tensor = p * functional.avg_pool2d(latents, p)
        return seen


class WithLinear(nn.Module):
    """g(X) + W X + b: what layers draw and a linear map of a latent vector that begins at zero."""

    def __init__(self, network: nn.Module, latent_size: int, signal_shape: Shape) -> None:
        super().__init__()
        channels, height, width = signal_shape
        self.network = network
        self.linear = nn.Linear(latent_size, math.prod(signal_shape))
        self.shaped = Rearrange("chains (c h w) -> chains c h w", c=channels, h=height, w=width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the sum of each chain, (chains, channels, height, width)."""
        drawn: Tensor = self.network(latents) + self.shaped(self.linear(latents))
        return drawn


@attrs.frozen(kw_only=True)
class TopDownGenerator:
    """A stack of up-sampling layers that ends in tanh.

    Any height and width can be had: the grid under the first layer is rounded up, and what is
    drawn beyond the signal is cut off evenly.

    Attributes:
        noise_std: σ > 0 of ε ~ N(0, σ²I), in the units of the signal.
        latent_size: entries of X, at each place of the grid where X is a grid.
        filters: channels of the layers under the last, whose channels are the signal's.
        kernel: height and width of the filters, in their output's pixels.
        factor: up-sampling of each layer.
        margin: cells of the grid drawn beyond each side of the signal and cut off, so that what a
            layer sees at its border does not show.
        upsampling: "transposed" convolution, the paper's, or an interpolation ("nearest" or
            "bilinear") followed by a convolution, which leaves no checkerboard.
        nonlinearity: after each layer but the last.
        normalization: before each non-linearity. "none", "instance" and "layer" keep chains
            independent everywhere; "batch", DCGAN's, uses its running statistics where a sampler
            or a sheet needs g, and batch statistics only in the updates of G2.
        weight_std: standard deviation of the initial weights, or "he".
        last_std: the same for the last layer.
    """

    noise_std: float = attrs.field(default=0.3, validator=gt(0))
    latent_size: int = attrs.field(default=100, validator=ge(1))
    filters: tuple[int, ...] = attrs.field(default=(512, 256, 128, 64), validator=positive)
    kernel: int = attrs.field(default=5, validator=ge(1))
    factor: int = attrs.field(default=2, validator=ge(2))
    margin: int = attrs.field(default=0, validator=ge(0))
    upsampling: Literal["transposed", "nearest", "bilinear"] = "transposed"
    nonlinearity: Nonlinearity = "leaky_relu"
    normalization: Normalization = "layer"
    weight_std: Spread = attrs.field(default="he", validator=check_spread)
    last_std: Spread = attrs.field(default=0.02, validator=check_spread)

    def __attrs_post_init__(self) -> None:
        if self.upsampling == "transposed" and self.kernel < self.factor:
            raise ValueError(f"kernel {self.kernel} must be at least the factor {self.factor}")

    def stack(self, widths: Shape, seeing: int = 0, beside: int = 0) -> list[list[nn.Module]]:
        """Return each up-sampling layer from widths[0] to widths[-1] channels, the last with tanh.

        Args:
            widths: channels that each layer has of the one below, then those of the signal.
            seeing: how many layers, the lowest, see more channels than these.
            beside: how many more.
        """
        layers: list[list[nn.Module]] = []
        for depth, (channels, filters) in enumerate(pairwise(widths)):
            inputs = channels + beside if depth < seeing else channels
            layer = upsampling(inputs, filters, self.kernel, self.factor, self.upsampling)
            layers.append([layer, *self.activation(filters)])
        layers[-1][1:] = [nn.Tanh()]
        return layers

    def activation(self, channels: int) -> list[nn.Module]:
        """Return the normalisation, if any, and the non-linearity after a layer."""
        normalization = NORMALIZATIONS[self.normalization](channels)
        kept = [] if self.normalization == "none" else [normalization]
        return [*kept, NONLINEARITIES[self.nonlinearity]()]

    def grid(self, signal_shape: Shape, layers: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the grid under the first layer, and what the last one draws too much."""
        _, height, width = signal_shape
        cell = self.factor**layers
        rows, columns = (-(-size // cell) + 2 * self.margin for size in (height, width))
        return (rows, columns), (rows * cell - height, columns * cell - width)


@attrs.frozen(kw_only=True)
class TextureGenerator(TopDownGenerator):
    """The paper's texture generator: a grid of latents, five 5×5 layers up-sampling by 2, tanh.

    Fully convolutional: 7×7 latents give 224×224 (section 5.1), a larger grid a larger texture.

    Attributes:
        latent_layers: how many layers, from the first on, see X; 1 is the paper's. X is as fine as
            the input of the last of them, the others see it averaged over their own places: noise
            at several scales, as in Texture Networks (Ulyanov et al. 2016). What is random in a
            texture from pixel to pixel need not be made out of a few numbers for each cell.
    """

    name: ClassVar[str] = "texture"

    latent_size: int = attrs.field(default=1, validator=ge(1))
    latent_layers: int = attrs.field(default=1, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.latent_layers > len(self.filters) + 1:
            raise ValueError(
                f"latent_layers is {self.latent_layers}, but there are {len(self.filters) + 1} "
                "layers, one more than filters"
            )

    def latent_shape(self, signal_shape: Shape) -> Shape:
        """Return (latent_size, rows, columns) of the grid that covers the signal."""
        (rows, columns), _ = self.grid(signal_shape, len(self.filters) + 1)
        finer = self.factor ** (self.latent_layers - 1)
        return (self.latent_size, rows * finer, columns * finer)

    def build(self, signal_shape: Shape) -> nn.Module:
        """Return g for signals of shape (channels, height, width)."""
        _, excess = self.grid(signal_shape, len(self.filters) + 1)
        widths = (*self.filters, signal_shape[0])
        network: nn.Module
        if self.latent_layers == 1:
            layers = self.stack((self.latent_size, *widths))
            network = TopDownG(nn.Identity(), nn.Sequential(*chain(*layers)), excess)
        else:
            layers = self.stack((0, *widths), self.latent_layers, beside=self.latent_size)
            lower, upper = layers[: self.latent_layers], layers[self.latent_layers :]
            above = nn.Sequential(*chain(*upper))
            seeing = (nn.Sequential(*layer) for layer in lower)
            network = PyramidG(seeing, above, self.factor, excess)
        initialize(network, self.weight_std, self.last_std)
        return network


@attrs.frozen(kw_only=True)
class DCGANGenerator(TopDownGenerator):
    """A latent vector fully connected to 512 channels of 4×4, then four layers up-sampling by 2.

    The generator of DCGAN (Radford, Metz and Chintala 2016) with 5×5 kernels.

    Attributes:
        linear: whether W X + b is added to what the layers draw, after tanh: g then contains factor
            analysis, whose non-linear relative the paper's generator is. Many latents are learnt
            sooner; signals are no longer bounded by [−1, 1].
    """

    linear: bool = False

    def latent_shape(self, signal_shape: Shape) -> Shape:
        """Return (latent_size,)."""
        return (self.latent_size,)

    def build(self, signal_shape: Shape) -> nn.Module:
        """Return g for signals of shape (channels, height, width).

        Raises:
            ValueError: the signal is too small for the normalisation.
        """
        (rows, columns), excess = self.grid(signal_shape, len(self.filters))
        if self.normalization == "instance" and rows == columns == 1:
            raise ValueError(
                f"signals of {' x '.join(map(str, signal_shape))} leave 'instance' normalization a "
                'single position in the first layer; "layer" works there'
            )
        first = self.filters[0]
        stem = nn.Sequential(
            nn.Linear(self.latent_size, first * rows * columns),
            Rearrange("chains (c h w) -> chains c h w", c=first, h=rows, w=columns),
            *self.activation(first),
        )
        layers = nn.Sequential(*chain(*self.stack((*self.filters, signal_shape[0]))))
        network = TopDownG(stem, layers, excess)
        initialize(network, self.weight_std, self.last_std)
        return WithLinear(network, self.latent_size, signal_shape) if self.linear else network


@attrs.frozen(kw_only=True)
class ObjectGenerator(DCGANGenerator):
    """DCGAN for the object descriptor (section 5.2 of the paper)."""

    name: ClassVar[str] = "object"


@attrs.frozen(kw_only=True)
class FaceGenerator(DCGANGenerator):
    """DCGAN for the face descriptor (section 5.3 of the paper)."""

    name: ClassVar[str] = "face"


@attrs.frozen(kw_only=True)
class SceneGenerator(DCGANGenerator):
    """DCGAN for the scene descriptor (section 5.2 of the paper)."""

    name: ClassVar[str] = "scene"
