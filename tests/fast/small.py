"""A small descriptor, and the ways that its layers can be made to take."""

from collections.abc import Callable
from typing import Any, get_args

import attrs
from torch import nn

from coopkit.builtin import TextureDescriptor
from coopkit.builtin.layers import Normalization

WAYS = ("direct", "phases", "toom-cook 2", "toom-cook 3")
NORMALIZATIONS = get_args(Normalization)
CHAINS = 3

HE = {"weight_std": "he", "last_std": "he", "reference_std": 0.7}
TEXTURE = TextureDescriptor(
    filters=(6, 5), kernels=(5, 3), strides=(1, 1), nonlinearity="silu", **HE
)
SHAPE = (2, 14, 11)


def texture(stir: Callable[[nn.Module], nn.Module], **fields: Any) -> nn.Module:
    """Return a small descriptor, smooth unless the fields say otherwise."""
    return stir(attrs.evolve(TEXTURE, **fields).build(SHAPE))
