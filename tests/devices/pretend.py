"""A device that is not there, for want of a GPU.

Tensors that say they are on it compute on the CPU, and refuse to meet others, as those of a GPU do.
It is told when the host has to wait for what it reads back from the device; copies to it are free.
A narrow device has no float64, as Apple's have none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "pretend"
aten = torch.ops.aten
READS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""What has a result whose value, or shape, the host must know; and, untagged, `SOLVES`."""
SOLVES = (aten._linalg_eigh.default, aten._linalg_svd.default)
BETWEEN = (aten._to_copy.default, aten.copy_.default)
"""What may have tensors of both."""
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default)
"""What takes an index, its second argument, from either."""

Waits = Callable[[str], None]


class Held(Tensor):
    """A tensor on the device, whose numbers are in one on the CPU."""

    narrow = False
    """Whether the device has no float64."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Held":
        """Return a tensor of the same shape on the device.

        Raises:
            TypeError: the device has no such type.
        """
        if cls.narrow and inner.dtype == torch.float64:
            raise TypeError(f"{NAME} has no float64")
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, inner: Tensor) -> None:
        """Keep the numbers."""
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU."""
        return compute(func, args, kwargs or {}, lambda _: None)

    __torch_function__ = torch._C._disabled_torch_function_impl


class Stream(torch.Generator):
    """A stream of the CPU's random numbers that says it is of the device it was made for."""

    def __new__(cls, device: Any = "cpu") -> "Stream":
        """Return a stream; the device is there only by name."""
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        """Keep the name."""
        self.named = torch.device(device)

    @property
    def device(self) -> torch.device:
        """The device that was asked for."""
        return self.named


class Backend(_DummyBackendModule):
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """Return the types of mixed precision."""
        return [torch.float16, torch.bfloat16]


class Mode(TorchDispatchMode):
    """Sees what makes tensors on the device, which no tensor on it has a part in."""

    def __init__(self, waits: Waits) -> None:
        """Keep whom to tell."""
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU."""
        return compute(func, args, kwargs or {}, self.waits)


def compute(func: Any, args: Any, kwargs: dict[str, Any], waits: Waits) -> Any:
    """Return what an operation gives, on the device if that is where its tensors are or shall be.

    Raises:
        RuntimeError: some of its tensors are on the device and some are not.
    """
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    here = [tensor for tensor in tensors if isinstance(tensor, Held)]
    asked = kwargs.get("device")
    stays = bool(here) if asked is None else torch.device(asked).type == NAME
    if here and func not in BETWEEN and astray(func, args, kwargs):
        raise RuntimeError(f"{func} has tensors on two devices")
    if func in INDEXING:
        reads = by_mask(args[1])
    else:
        reads = func in SOLVES or any(tag in func.tags for tag in READS)
    if here and (reads or not stays):
        waits(str(func))
    plain = {name: tree_map(numbers, value) for name, value in kwargs.items()}
    plain |= {"device": torch.device("cpu")} if asked is not None else {}
    result = func(*tree_map(numbers, args), **plain)
    if func is aten.copy_.default:
        if here and not isinstance(args[0], Held):
            waits(str(func))
        return args[0]
    if not stays or func is aten._local_scalar_dense.default:
        return result
    wrapped = tree_map(lambda x: Held(x) if isinstance(x, Tensor) else x, result)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if here else wrapped


def astray(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether an operation on tensors of the device has one of the CPU that a GPU would refuse.

    It may be a single number, in what is done entry by entry, or an index.
    """
    written = func in INDEXING or func.overloadpacket.__name__.endswith("_")
    if written and not isinstance(args[0], Held):
        return True
    met = tree_leaves(((args[0], *args[2:]) if func in INDEXING else args, kwargs))
    others = [x for x in met if isinstance(x, Tensor) and not isinstance(x, Held)]
    single = torch.Tag.pointwise in func.tags or func in INDEXING
    return any(x.ndim > 0 or not single for x in others)


def by_mask(indices: Any) -> bool:
    """Whether an index says which entries are meant, so that their number is not known."""
    return any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in indices)


def numbers(leaf: Any) -> Any:
    """Return the tensor on the CPU that has a tensor's numbers."""
    return leaf.inner if isinstance(leaf, Held) else leaf


_setup_privateuseone_for_python_backend(NAME, Backend())  # before the first gradient, for good


class Streams(TorchFunctionMode):
    """Holds streams of random numbers to their device, which an operation is no longer told."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute, and refuse a stream of another device than the numbers are on.

        Raises:
            RuntimeError: the stream is of the other device.
        """
        result = func(*args, **(kwargs or {}))
        stream = (kwargs or {}).get("generator")
        if stream is not None and stream.device.type != result.device.type:
            raise RuntimeError(f"{func} on {result.device} has a stream of {stream.device}")
        return result


@contextmanager
def pretended(waits: Waits = lambda _: None, narrow: bool = False) -> Iterator[None]:
    """Have streams on the device and values that say their own.

    Args:
        waits: is told what the host waits for.
        narrow: whether the device has no float64.
    """
    to_list, like, made = Tensor.tolist, Tensor.new_tensor, torch.tensor

    def listed(tensor: Tensor) -> Any:
        if isinstance(tensor, Held):
            waits("tolist")
        return to_list(numbers(tensor))

    def made_like(tensor: Tensor, data: Any, **how: Any) -> Tensor:
        if not isinstance(tensor, Held):
            return like(tensor, data, **how)
        return made(data, dtype=how.get("dtype", tensor.dtype)).to(tensor.device)

    def made_there(data: Any, *, device: Any = None, **how: Any) -> Tensor:
        return made(data, **how).to(device)

    torch.__future__.set_swap_module_params_on_conversion(True)  # an optimiser holds parameters
    with (
        mock.patch.object(Held, "narrow", narrow),
        mock.patch.object(torch, "Generator", Stream),
        mock.patch.object(Tensor, "tolist", listed),
        mock.patch.object(Tensor, "new_tensor", made_like),
        mock.patch.object(torch, "tensor", made_there),
        Streams(),
        Mode(waits),
    ):
        yield
