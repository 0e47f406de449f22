"""The modes of torch that an evaluation is called in, and the one that it runs in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


@contextmanager
def as_traced(device: torch.device) -> Iterator[None]:
    """Run operations as they stand: no graph, no casts but the traced ones, memory for any use."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def cast_to(device: torch.device) -> torch.dtype | None:
    """Return the type that mixed precision computes in; None where it is off."""
    if not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def is_transformed(x: Tensor) -> bool:
    """Whether x is inside a function transform or carries a tangent."""
    inside = torch._C._functorch.is_functorch_wrapped_tensor(x)
    return bool(inside) or unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
