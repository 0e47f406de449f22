"""Noise that belongs to a chain: the same for it whoever else is in the batch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from coopkit.streams import stream_seed

REFILL: dict[str, str] = {
    "randn": "normal_",
    "randn_like": "normal_",
    "rand": "uniform_",
    "rand_like": "uniform_",
}
"""How a tensor of the standard normal or uniform law is drawn again in place."""

WHOLE = ("randint", "randint_like")
"""Functions of torch that draw whole numbers between bounds."""

BY_ROW = (*REFILL, *WHOLE, "normal", "bernoulli", "binomial", "poisson", "multinomial")
"""Functions of torch that draw every row by itself, beside those that work in place."""


class OwnNoise(TorchFunctionMode):
    """Give every chain its own stream while a sampler draws from one generator for all of them.

    What is drawn with a chain axis is drawn again row by row from the chains' own streams; all else
    stays common to the batch. So a batch, a part of it and a permutation of it see the same noise,
    chain by chain, and must take the same paths. The chain axis is the one before the entries of a
    position, where a shape ends in them, and else the first axis of that length.

    Args:
        seed: of the chains' streams.
        chains: which chains the rows of the batch are.
        device: of the batch.
        entries: the shape of one chain's position, if it is known.
    """

    def __init__(
        self,
        seed: int,
        chains: Sequence[int],
        device: torch.device,
        entries: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.entries = entries
        self.streams = [
            torch.Generator(device).manual_seed(stream_seed(seed, "chain", chain))
            for chain in chains
        ]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, and draw its result again if it is random."""
        kwargs = dict(kwargs or {})
        drawn = func(*args, **kwargs)
        if kwargs.get("generator") is None or not isinstance(drawn, Tensor):
            return drawn
        by_row = func.__name__ in BY_ROW or func.__name__.endswith("_")
        if not by_row or len(self.streams) not in drawn.shape:
            return drawn
        del kwargs["generator"]
        axis = self.chain_axis(drawn)
        for row, stream in enumerate(self.streams):
            self.draw_again(func, drawn, axis, row, args, {**kwargs, "generator": stream})
        return drawn

    def chain_axis(self, drawn: Tensor) -> int:
        """Return which axis of what was drawn is that of the chains."""
        if self.entries is not None:
            position = (len(self.streams), *self.entries)
            if drawn.shape[-len(position) :] == position:
                return drawn.ndim - len(position)
        return list(drawn.shape).index(len(self.streams))

    def draw_again(
        self,
        func: Callable[..., Any],
        drawn: Tensor,
        axis: int,
        row: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Fill one row of what a random function drew from the chain's own stream."""
        place, stream = drawn.select(axis, row), kwargs["generator"]
        name = func.__name__
        if name in REFILL:
            getattr(place, REFILL[name])(generator=stream)
            return
        if name in WHOLE:
            named = [kwargs[key] for key in ("low", "high") if key in kwargs]
            bounds = [value for value in args if isinstance(value, int)] + named
            low, high = ([0, *bounds])[-2:]
            place.random_(low, high, generator=stream)
            return
        parts = [rowed(value, drawn, axis, row) for value in args]
        kwargs = {key: rowed(value, drawn, axis, row) for key, value in kwargs.items()}
        if name == "normal":
            mean, std = mean_and_std(*parts, **kwargs)
            place.normal_(generator=stream).mul_(std).add_(mean)
        elif "tensor" in kwargs:
            func(**{**kwargs, "tensor": place})
        elif name.endswith("_"):
            getattr(place, name)(*parts[1:], **kwargs)
        else:
            place.copy_(func(*parts, **kwargs))


def rowed(value: Any, drawn: Tensor, axis: int, row: int) -> Any:
    """Return the part of an argument that belongs to one row, where it has a part for each."""
    if not isinstance(value, Tensor):
        return value
    own = axis - (drawn.ndim - value.ndim)
    if own < 0:
        return value
    return value.select(own, row if value.shape[own] > 1 else 0)


def mean_and_std(mean: Any = 0.0, std: Any = 1.0, *size: Any, **others: Any) -> tuple[Any, Any]:
    """Return the law that `torch.normal` draws from, out of its arguments."""
    return mean, std
