"""Networks as plugins may bring them."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce
from einops.layers.torch import Rearrange, Reduce
from torch import Tensor, nn

from coopkit.derivatives import gradient, pull
from coopkit.fast import Prepared

SHAPE = (3, 17, 14)
CHAINS = 4


class Network(nn.Module):
    """A network that is written as one function of its layers and its input."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layers, x)


def residual(layers: Any, x: Tensor) -> Tensor:
    x = layers["stem"](x)
    for block in layers["blocks"]:
        x = F.leaky_relu(x + block(x), 0.1)
    return reduce(x, "n c h w -> n", "mean")


def attending(layers: Any, x: Tensor) -> Tensor:
    """Attend from every place to every place, by hand."""
    places = rearrange(layers["stem"](x), "n c h w -> n (h w) c")
    query, key, value = layers["all"](places).chunk(3, -1)
    alike = einsum(query, key, "n i c, n j c -> n i j") / query.shape[-1] ** 0.5
    return layers["top"](places + alike.softmax(-1) @ value).tanh().sum((1, 2))


def attending_with_torch(layers: Any, x: Tensor) -> Tensor:
    places = rearrange(layers["stem"](x), "n c h w -> n (h w) c")
    seen, _ = layers["attention"](places, places, places, need_weights=False)
    return (places + seen).tanh().sum((1, 2))


def squeezing(layers: Any, x: Tensor) -> Tensor:
    """Scale every channel by what the mean of all says."""
    x = layers["stem"](x)
    gate = layers["gate"](reduce(x, "n c h w -> n c", "mean"))
    return x * rearrange(gate.sigmoid(), "n c -> n c 1 1")


def branching(layers: Any, x: Tensor) -> Tensor:
    """Read the same value three times, once before and twice after a non-linearity."""
    x = layers["first"](x)
    h = F.leaky_relu(x, 0.2)
    return torch.cat([layers["second"](h) + x, F.relu(x), h.tanh() * x], 1)


def tied(layers: Any, x: Tensor) -> Tensor:
    """Go up with the filters with which it went down."""
    down = layers["layer"]
    h = down(x).tanh()
    return F.conv_transpose2d(h, down.weight, None, down.stride, down.padding).sigmoid()


def skipping(layers: Any, x: Tensor) -> Tensor:
    """Join two sizes, as a U-net does."""
    fine = layers["fine"](x).relu()
    coarse = layers["coarse"](fine).relu()
    up = F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
    return layers["top"](torch.cat([fine, up], 1))


def positions(layers: Any, x: Tensor) -> Tensor:
    """See where a pixel is."""
    rows = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)[:, None]
    return layers["stem"](x).sin() * torch.cos(rows[:-2] / 3)


def filters_of_the_signal(layers: Any, x: Tensor) -> Tensor:
    """Convolve with filters that the input itself decides."""
    weight = layers["filters"](x.mean((0, 2, 3)))
    return F.conv2d(x, weight.view(2, 3, 3, 3)).tanh() + layers["stem"](x).tanh()


def gradient_penalty(layers: Any, x: Tensor) -> Tensor:
    """Take a value that is itself made of a norm, a logarithm and a softmax."""
    units = layers["stem"](x).flatten(1)
    return (units.logsumexp(1) + units.norm(dim=1).log1p() + F.softplus(units).mean(1)).view(-1, 1)


def conv(channels: int = 3, filters: int = 4, *numbers: Any, **named: Any) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, *(numbers or (3,)), **named)


PLUGINS: dict[str, Callable[[], nn.Module]] = {
    "residual": lambda: Network(
        residual,
        stem=conv(),
        blocks=nn.ModuleList(
            [nn.Sequential(conv(4, 4, 3, padding=1), nn.ELU(), conv(4, 4, 1)) for _ in range(2)]
        ),
    ),
    "einops": lambda: nn.Sequential(
        Rearrange("n c h w -> n (h c) w"),
        nn.Conv1d(51, 6, 3),
        nn.SiLU(),
        Reduce("n (c two) w -> n c two", "mean", two=2),
        Rearrange("n c two -> n (c two)"),
        nn.Linear(6, 2),
        nn.Tanh(),
    ),
    "attention": lambda: Network(
        attending, stem=conv(3, 6, 3, 2), all=nn.Linear(6, 18), top=nn.Linear(6, 3)
    ),
    "squeeze and excite": lambda: Network(squeezing, stem=conv(), gate=nn.Linear(4, 4)),
    "branches": lambda: Network(branching, first=conv(), second=conv(4, 4, 3, padding=1)),
    "tied": lambda: Network(tied, layer=conv(3, 4, (5, 4), 2, (2, 1))),
    "skips": lambda: Network(
        skipping, fine=conv(), coarse=conv(4, 5, 3, 2), top=conv(9, 2, (1, 3))
    ),
    "positions": lambda: Network(positions, stem=conv(3, 4, (3, 1))),
    "filters of the signal": lambda: Network(
        filters_of_the_signal, filters=nn.Linear(3, 54), stem=conv(3, 2)
    ),
    "norms": lambda: Network(gradient_penalty, stem=conv()),
    "pooling": lambda: nn.Sequential(
        conv(), nn.SiLU(), nn.MaxPool2d(2), conv(4, 6), nn.AvgPool2d((2, 1)), nn.SiLU(),
        nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(36, 5), nn.Tanh(),
    ),
    "layer norm of images": lambda: nn.Sequential(
        conv(), nn.LayerNorm([4, 15, 12]), nn.SiLU(), conv(4, 3), nn.LayerNorm(10), nn.Tanh()
    ),
    "layer norm of places": lambda: nn.Sequential(
        conv(), Rearrange("n c h w -> n h w c"), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3),
        nn.Softplus(), Rearrange("n h w c -> n c h w"), conv(3, 2),
    ),
    "group norm": lambda: nn.Sequential(
        conv(3, 6), nn.GroupNorm(3, 6), nn.SiLU(), conv(6, 4), nn.GroupNorm(2, 4, affine=False),
        nn.Tanh(),
    ),
    "instance norm": lambda: nn.Sequential(
        conv(3, 6), nn.InstanceNorm2d(6), nn.SiLU(), conv(6, 4),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.Tanh(),
    ),
    "batch norm": lambda: nn.Sequential(
        conv(3, 6), nn.BatchNorm2d(6, affine=False), nn.SiLU(), nn.BatchNorm2d(6), nn.Tanh(),
        nn.Flatten(2), nn.BatchNorm1d(6), nn.Flatten(), nn.Linear(1080, 7), nn.BatchNorm1d(7),
        nn.Tanh(),
    ),
    "batch norm of the batch": lambda: nn.Sequential(
        conv(3, 6), nn.BatchNorm2d(6, track_running_stats=False), nn.Tanh()
    ),
    "signals of one dimension": lambda: nn.Sequential(
        nn.Flatten(2), nn.Conv1d(3, 4, 5, 2), nn.SiLU(), nn.ConvTranspose1d(4, 3, 4, 2), nn.Tanh()
    ),
    "signals of three dimensions": lambda: nn.Sequential(
        conv(3, 4), nn.Unflatten(1, (2, 2)), nn.Conv3d(2, 3, (2, 3, 2)), nn.SiLU(),
        nn.ConvTranspose3d(3, 2, 2), nn.BatchNorm3d(2), nn.Tanh(),
    ),
    "signals without places": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(714, 20), nn.LayerNorm(20), nn.GELU(), nn.Linear(20, 3), nn.Tanh()
    ),
    "linear at the top": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(714, 20), nn.ReLU(), nn.Linear(20, 9), nn.Tanh(), nn.Linear(9, 1)
    ),
    "grouped": lambda: nn.Sequential(
        conv(3, 6, 3, groups=3), nn.SiLU(), conv(6, 6, 3, groups=6), nn.SiLU(),
        nn.ConvTranspose2d(6, 4, 3, 2, groups=2), nn.Tanh(),
    ),
    "dilated": lambda: nn.Sequential(
        conv(3, 4, 3, dilation=(2, 1)), nn.SiLU(), nn.ConvTranspose2d(4, 3, 3, 2, dilation=2),
        nn.Tanh(),
    ),
    "unequal": lambda: nn.Sequential(
        conv(3, 4, (5, 2), (1, 2), (2, 0), bias=False), nn.SiLU(),
        nn.ConvTranspose2d(4, 3, (2, 5), (2, 3), (0, 1), (1, 2), bias=False), nn.Tanh(),
    ),
    "padding of all kinds": lambda: nn.Sequential(
        conv(3, 4, 3, padding=1, padding_mode="reflect"), nn.SiLU(),
        conv(4, 4, 3, padding=1, padding_mode="replicate"), nn.SiLU(), nn.ZeroPad2d((1, 2, 0, 1)),
        conv(4, 3, (5, 3), padding="same"), nn.Tanh(),
    ),
    "circular": lambda: nn.Sequential(
        conv(3, 4, 3, padding=1, padding_mode="circular"), nn.SiLU()
    ),
    "parametrized": lambda: nn.Sequential(
        nn.utils.parametrizations.spectral_norm(conv()), nn.SiLU(),
        nn.utils.parametrizations.weight_norm(conv(4, 3)), nn.Tanh(),
    ),
    "sub-pixel": lambda: nn.Sequential(
        conv(3, 8), nn.PixelShuffle(2), nn.PReLU(2, 0.3), conv(2, 3), nn.PixelUnshuffle(2),
        nn.Softmax2d(), nn.Upsample(scale_factor=2, mode="bicubic"), nn.Hardtanh(-0.2, 0.2),
        conv(12, 2),
    ),
    "steps to the left of 0": lambda: nn.Sequential(
        conv(), nn.LeakyReLU(-0.3), conv(4, 4), nn.LeakyReLU(0.0), conv(4, 3), nn.ReLU6(),
        conv(3, 3), nn.Threshold(-0.1, -0.1), conv(3, 2), nn.SELU(), nn.CELU(0.7), nn.Mish(),
    ),
    "one channel": lambda: nn.Sequential(
        conv(3, 1), nn.SiLU(), conv(1, 1, 5, padding=2), nn.SiLU(), conv(1, 1, 1), nn.Tanh()
    ),
    "no parameters": lambda: nn.Sequential(nn.AvgPool2d(3), nn.Tanh(), nn.Flatten()),
    "recurrent": lambda: nn.Sequential(
        nn.Flatten(2), Network(lambda layers, x: layers["rnn"](x)[0], rnn=nn.GRU(238, 3))
    ),
    "torch's attention": lambda: Network(
        attending_with_torch, stem=conv(3, 4, 3, 2), attention=nn.MultiheadAttention(4, 2)
    ),
    "group norm of a line": lambda: nn.Sequential(
        conv(3, 4), nn.Flatten(2), nn.GroupNorm(2, 4), nn.Tanh()
    ),
    "group norm of a box": lambda: nn.Sequential(
        conv(3, 4), nn.Unflatten(1, (2, 2)), nn.GroupNorm(1, 2), nn.Tanh()
    ),
    "written in place": lambda: nn.Sequential(
        conv(3, 4), nn.ReLU(inplace=True), conv(4, 3), nn.LeakyReLU(0.1, inplace=True)
    ),
}  # fmt: skip
"""Networks of any kind, all of non-square images."""


def results_of(
    f: Any, x: Tensor, along: Tensor, by_autograd: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return value, gradient and pull."""
    if isinstance(f, Prepared) and not by_autograd:
        return f(x), f.gradient(x), f.pull(x, torch.mul, along)
    through = f.__call__
    return f(x).detach(), gradient(through, x), pull(through, x, torch.mul, along)
