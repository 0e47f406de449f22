"""The bottom-up networks of the paper: texture, object, face and scene."""

from typing import ClassVar, Literal

import attrs
import torch
from attrs.validators import ge, gt
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call

from coopkit.builtin.layers import (
    NONLINEARITIES,
    NORMALIZATIONS,
    Nonlinearity,
    Normalization,
    Padding,
    Spread,
    check_spread,
    convolution,
    initialize,
    normalize_weights,
    positive,
)
from coopkit.interfaces import Shape
from coopkit.precision import total


class ConvolutionalF(nn.Module):
    """f(Y) of a stack of convolutions, (chains, channels, height, width) to (chains,).

    The sum over units and positions runs in `finest` whatever the precision of the layers: a
    sampler accepts by differences that float32 has not. The weights of the fully connected units
    are summed before they meet the convolutions, Σ_c (W_c · x + b_c) = (Σ_c W_c) · x + Σ_c b_c, in
    float32 at least; hooks on their layer do not fire.
    """

    def __init__(self, features: nn.Module, top: nn.Linear | None, scale: float) -> None:
        super().__init__()
        self.features = features
        self.top = top
        self.scale = scale

    def forward(self, signal: Tensor) -> Tensor:
        """Return f of each chain."""
        features = self.features(signal)
        with torch.autocast(signal.device.type, enabled=False):
            if self.top is None:
                return self.scale * total(features)
            weights, biases = self.top.weight.sum(0), self.top.bias.sum()
            units = rearrange(features.to(weights.dtype), "chains c h w -> chains (c h w)")
            return self.scale * (total(units * weights) + biases)


@attrs.frozen(kw_only=True)
class ConvolutionalDescriptor:
    """A stack of convolutions, each followed by a non-linearity, summed to f.

    Attributes:
        reference_std: s > 0 of the reference N(0, s²I), in the units of the signal.
        filters: channels of each layer.
        kernels: height and width of each layer's filters, in its input's pixels.
        strides: sub-sampling of each layer.
        channels: f sums this many units fully connected to the last convolution; 0 sums the last
            convolution itself, at every position.
        padding: how a layer sees beyond the border; "none" lets it see only what is there.
        nonlinearity: after each convolution.
        normalization: after each convolution but the first. "none", "instance" and "layer" keep
            chains independent everywhere; "batch" uses its running statistics where a sampler runs.
        weight_std: standard deviation of the initial weights, or "he".
        last_std: the same for the last layer.
        scale: "one" for f = net, the paper's; "reference" for f = net/s², so that the network
            works at the scale of ‖Y‖².
        spectral_norm: each layer's weights are divided by their spectral norm, and f is multiplied
            by this number, so that without normalisation its slope stays bounded however long it
            learns (Miyato et al. 2018); the spread of the initial weights then says how fast they
            turn, not how large f is. 0 leaves the weights free.
    """

    reference_std: float = attrs.field(default=0.016, validator=gt(0))
    filters: tuple[int, ...] = attrs.field(validator=positive)
    kernels: tuple[int, ...] = attrs.field(validator=positive)
    strides: tuple[int, ...] = attrs.field(validator=positive)
    channels: int = attrs.field(default=1, validator=ge(0))
    padding: Padding = "zeros"
    nonlinearity: Nonlinearity = "relu"
    normalization: Normalization = "none"
    weight_std: Spread = attrs.field(default=0.01, validator=check_spread)
    last_std: Spread = attrs.field(default=0.01, validator=check_spread)
    scale: Literal["one", "reference"] = "one"
    spectral_norm: float = attrs.field(default=0.0, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if self.scale == "reference" and self.reference_std == float("inf"):
            raise ValueError('scale = "reference" needs a finite reference_std; use "one"')
        if not len(self.filters) == len(self.kernels) == len(self.strides):
            raise ValueError(
                f"filters, kernels and strides must be equally long, not {len(self.filters)}, "
                f"{len(self.kernels)} and {len(self.strides)}"
            )

    def build(self, signal_shape: Shape) -> nn.Module:
        """Return f for signals of shape (channels, height, width).

        Raises:
            ValueError: the signal is too small for the layers.
        """
        layers: list[nn.Module] = []
        channels = signal_shape[0]
        shape = zip(self.filters, self.kernels, self.strides, strict=True)
        for depth, (filters, kernel, stride) in enumerate(shape):
            layers.append(convolution(channels, filters, kernel, stride, self.padding))
            if depth > 0 and self.normalization != "none":
                layers.append(NORMALIZATIONS[self.normalization](filters))
            layers.append(NONLINEARITIES[self.nonlinearity]())
            channels = filters
        features = nn.Sequential(*layers)
        inputs = self.top_units(features, signal_shape)
        top = nn.Linear(inputs, self.channels) if self.channels else None
        scale = 1.0 if self.scale == "one" else self.reference_std**-2
        network = ConvolutionalF(features, top, scale * (self.spectral_norm or 1.0))
        initialize(network, self.weight_std, self.last_std)
        if self.spectral_norm:
            normalize_weights(network)
        return network

    def top_units(self, features: nn.Module, signal_shape: Shape) -> int:
        """Return how many units the last convolution has for signals of that shape.

        Only shapes are computed, whatever the size: what fails is no lack of memory.
        """
        state = {
            name: torch.empty_like(value, device="meta")
            for name, value in features.state_dict().items()
        }
        signal = torch.empty(1, *signal_shape, device="meta")
        try:
            with torch.no_grad():
                return int(functional_call(features.eval(), state, (signal,)).numel())
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"signals of {' x '.join(map(str, signal_shape))} are too small for kernels "
                f"{list(self.kernels)} with strides {list(self.strides)}, padding "
                f"{self.padding!r} and normalization {self.normalization!r}"
            ) from error
        finally:
            features.train()


@attrs.frozen(kw_only=True)
class TextureDescriptor(ConvolutionalDescriptor):
    """The paper's texture descriptor, fully convolutional: 100 15×15/3, 70 9×9/1, 30 7×7/1.

    f sums the top layer over all positions (section 5.1 of the paper), so that a network trained
    at one size is one of any size.
    """

    name: ClassVar[str] = "texture"

    reference_std: float = attrs.field(default=0.012, validator=gt(0))
    filters: tuple[int, ...] = attrs.field(default=(100, 70, 30), validator=positive)
    kernels: tuple[int, ...] = attrs.field(default=(15, 9, 7), validator=positive)
    strides: tuple[int, ...] = attrs.field(default=(3, 1, 1), validator=positive)
    channels: int = attrs.field(default=0, validator=ge(0))


@attrs.frozen(kw_only=True)
class ObjectDescriptor(ConvolutionalDescriptor):
    """The paper's object descriptor: 100 4×4/2, 64 2×2/1, fully connected to 1 channel."""

    name: ClassVar[str] = "object"

    filters: tuple[int, ...] = attrs.field(default=(100, 64), validator=positive)
    kernels: tuple[int, ...] = attrs.field(default=(4, 2), validator=positive)
    strides: tuple[int, ...] = attrs.field(default=(2, 1), validator=positive)
    channels: int = attrs.field(default=1, validator=ge(0))


@attrs.frozen(kw_only=True)
class FaceDescriptor(ConvolutionalDescriptor):
    """The paper's face descriptor: 96, 128, 256 of 5×5/2, fully connected to 50 channels."""

    name: ClassVar[str] = "face"

    filters: tuple[int, ...] = attrs.field(default=(96, 128, 256), validator=positive)
    kernels: tuple[int, ...] = attrs.field(default=(5, 5, 5), validator=positive)
    strides: tuple[int, ...] = attrs.field(default=(2, 2, 2), validator=positive)
    channels: int = attrs.field(default=50, validator=ge(0))


@attrs.frozen(kw_only=True)
class SceneDescriptor(ConvolutionalDescriptor):
    """The paper's scene descriptor: 64 5×5/2, 128 3×3/2, 256 3×3/1, fully connected to 100."""

    name: ClassVar[str] = "scene"

    filters: tuple[int, ...] = attrs.field(default=(64, 128, 256), validator=positive)
    kernels: tuple[int, ...] = attrs.field(default=(5, 3, 3), validator=positive)
    strides: tuple[int, ...] = attrs.field(default=(2, 2, 1), validator=positive)
    channels: int = attrs.field(default=100, validator=ge(0))
