"""The pieces from which the built-in architectures are made, chosen by name."""

from collections.abc import Callable
from typing import Literal, cast

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

Nonlinearity = Literal["relu", "leaky_relu", "elu", "silu", "softplus"]
Normalization = Literal["none", "instance", "layer", "batch"]
Padding = Literal["zeros", "reflect", "replicate", "circular", "none"]
Spread = float | Literal["he"]

NONLINEARITIES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}
NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "batch": nn.BatchNorm2d,
}


def positive(
    instance: object, attribute: "attrs.Attribute[tuple[int, ...]]", value: tuple[int, ...]
) -> None:
    """Refuse an empty list, and one with a number under 1."""
    if not value or min(value) < 1:
        raise ValueError(f"{attribute.name!r} must be a list of whole numbers from 1 up: {value}")


def check_spread(instance: object, attribute: "attrs.Attribute[Spread]", value: Spread) -> None:
    """Refuse a standard deviation that is not above 0."""
    if not isinstance(value, str) and not value > 0:
        raise ValueError(f'{attribute.name!r} must be > 0, or "he": {value}')


def convolution(
    channels: int, filters: int, kernel: int, stride: int, padding: Padding
) -> nn.Module:
    """Return a convolution; padded, its output is the input's size over `stride`, rounded up.

    Filters of even size leave the last row and column out where they do not fit.
    """
    if padding == "none":
        return nn.Conv2d(channels, filters, kernel, stride)
    before = (kernel - 1) // 2
    return nn.Conv2d(channels, filters, kernel, stride, before, padding_mode=padding)


def upsampling(channels: int, filters: int, kernel: int, factor: int, how: str) -> nn.Module:
    """Return a layer that multiplies height and width by `factor`, exactly.

    Args:
        channels: of the input.
        filters: of the output.
        kernel: height and width of the filters, at least `factor` where they are transposed.
        factor: of the up-sampling.
        how: "transposed" for one transposed convolution, the paper's; "nearest" or "bilinear" for
            an interpolation followed by a convolution with its borders repeated, which leaves no
            checkerboard (Odena, Dumoulin and Olah 2016); the nearest in one operation.
    """
    if how == "transposed":
        padding = -((factor - kernel) // 2)
        extra = factor - kernel + 2 * padding
        return nn.ConvTranspose2d(channels, filters, kernel, factor, padding, extra)
    interpolation = nn.Upsample(
        scale_factor=factor, mode=how, align_corners=False if how == "bilinear" else None
    )
    convolved = nn.Conv2d(channels, filters, kernel, padding="same", padding_mode="replicate")
    if how == "nearest":
        return NearestUpsampling(interpolation, convolved)
    return nn.Sequential(interpolation, convolved)


class NearestUpsampling(nn.Sequential):
    """Nearest up-sampling by f and a k×k convolution, as one transposed convolution.

    Pixels of a cell are equal, and so the weights that meet them are summed first: filters of
    k + f − 1 pixels in steps of f, which take ((k + f − 1) / f)² products per pixel of the output
    and pair of channels in place of k².

    The convolution must be square, of stride, dilation and groups 1, padded to the same size by
    repeating the border. Neither module is called: hooks on them do not fire.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (chains, filters, f · height, f · width) of (chains, channels, height, width)."""
        interpolation, convolved = cast(tuple[nn.Upsample, nn.Conv2d], tuple(self))
        f, k = round(cast(float, interpolation.scale_factor)), convolved.kernel_size[0]
        before = (k - 1) // 2
        border = -(-(k - 1 - before) // f)
        repeated = functional.pad(x, [border] * 4, mode="replicate")
        turned = functional.pad(convolved.weight.flip(-2, -1).transpose(0, 1), [f - 1] * 4)
        summed = functional.avg_pool2d(turned, f, stride=1, divisor_override=1)
        cut = border * f - before + k - 1
        return functional.conv_transpose2d(
            repeated, summed, convolved.bias, f, cut, k - 1 - 2 * before
        )


@torch.no_grad()
def initialize(network: nn.Module, weight_std: Spread, last_std: Spread) -> None:
    """Draw all weights from zero-mean normals, biases 0; the last layer has its own spread.

    Args:
        network: with the layers in the order in which they act.
        weight_std: a standard deviation, or "he" for √(2 / inputs of a unit) (He et al. 2015).
        last_std: the same for the last layer.
    """
    layers = weighted_layers(network)
    for layer in layers:
        std = last_std if layer is layers[-1] else weight_std
        nn.init.normal_(layer.weight, 0.0, he_std(layer) if isinstance(std, str) else std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def weighted_layers(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]:
    """Return the layers that weights are drawn for, in order."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [module for module in network.modules() if isinstance(module, kinds)]


def normalize_weights(network: nn.Module) -> None:
    """Divide each layer's weights by their spectral norm, now and whenever they change.

    The norm is that of the matrix (outputs, inputs · kernel), by one power iteration in each pass
    of training (Miyato et al. 2018). With zero padding or none, a convolution's own norm is at most
    √(outputs that see an input) times that.
    """
    for layer in weighted_layers(network):
        spectral_norm(layer)


def he_std(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    """Return √(2 / number of inputs that one output unit sums)."""
    inputs = layer.weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):
        overlap = layer.stride[0] * layer.stride[1]
        inputs = layer.weight.shape[0] * layer.weight[0, 0].numel() // overlap
    return float((2 / max(inputs, 1)) ** 0.5)


def centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of (chains, channels, H, W), unchanged where the size is right."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
