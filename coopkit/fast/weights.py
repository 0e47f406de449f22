"""In which order the weights of a network lie in memory while it learns."""

import copy
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import torch
from torch import Tensor, nn

from coopkit.fast.choices import MEASURED, WORTH_MEASURING, Choices, fastest, where

ORDERS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


def order_weights(network: nn.Module, x: Tensor, choices: Choices) -> None:
    """Put the weights of a network into the order in which it was measured to learn fastest.

    Args:
        network: changed in place; its values stay the same.
        x: an input as the updates give it, of which only shape, type and device are read.
        choices: what was measured before.
    """
    if not any(is_heavy(module) for module in network.modules()):
        return
    text = f"{network} {tuple(x.shape)} {x.dtype}"
    key = f"training {sha256(text.encode()).hexdigest()[:12]}, {where(x)}"
    order = choices.settle(key, list(ORDERS), lambda: measured_order(network, x))
    put_in_order(network, ORDERS[order])


def is_heavy(module: nn.Module) -> bool:
    """Whether a module is a convolution of images with many weights."""
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return False
    return module.weight.numel() * 100 >= WORTH_MEASURING


def measured_order(network: nn.Module, x: Tensor) -> str:
    """Return the order in which forward and backward pass took the least time."""
    given = torch.zeros((min(len(x), MEASURED), *x.shape[1:]), dtype=x.dtype, device=x.device)
    updates: dict[str, Callable[[], None]] = {}
    for name, order in ORDERS.items():
        copied = copy.deepcopy(network).train()
        put_in_order(copied, order)
        updates[name] = partial(pass_through, copied, given)
        updates[name]()
    return fastest(updates, x.device)


def put_in_order(network: nn.Module, order: torch.memory_format) -> None:
    """Put all weights of images into an order in memory."""
    network.to(memory_format=order)  # type: ignore[call-overload]


def pass_through(network: nn.Module, x: Tensor) -> None:
    """Do the forward and the backward pass of an update."""
    network.zero_grad(set_to_none=True)
    network(x).sum().backward()
