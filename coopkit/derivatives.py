"""Functions of a batch, and their derivatives with respect to it."""

from collections.abc import Callable
from typing import Protocol, TypeGuard, runtime_checkable

import attrs
import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""A function of a batch, which depends on nothing that learns."""


@runtime_checkable
class Differentiated(Protocol):
    """A function that knows its own gradients, for speed; `frozen` returns one that does not."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the value at x."""

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the sum of all values with respect to x, detached."""

    def pull(self, x: Tensor, toward: Callable[..., Tensor], *along: Tensor) -> Tensor:
        """Return p · ∂f/∂x for p = toward(f(x), *along), detached; `along` is (chains, ...)."""


def leaf(x: Tensor) -> Tensor:
    """Return x as what a gradient is taken with respect to.

    What was made under `torch.inference_mode` can have none, and is copied.
    """
    x = x.detach()
    return (x.clone() if x.is_inference() else x).requires_grad_()


def each_chain(values: Tensor, x: Tensor) -> Tensor:
    """Return values that are one for each row of x; others would broadcast against such.

    Raises:
        ValueError: they have another shape.
    """
    if values.shape != x.shape[:1]:
        raise ValueError(
            f"f, or log p, gives shape {tuple(values.shape)} for {len(x)} chains; it must give "
            f"{(len(x),)}, one number for each"
        )
    return values


def knows_gradients(f: Callable[[Tensor], Tensor]) -> TypeGuard[Differentiated]:
    """Whether f is `Differentiated`: as isinstance says, in a hundredth of its time."""
    return hasattr(f, "gradient") and hasattr(f, "pull")


def gradient(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ∂ Σ f(x) / ∂x, detached; by autograd unless f knows it."""
    if knows_gradients(f):
        return f.gradient(x)
    with torch.inference_mode(False), torch.enable_grad():
        x = leaf(x)
        (result,) = torch.autograd.grad(f(x).sum(), x)
    return result


def pull(
    f: Callable[[Tensor], Tensor], x: Tensor, toward: Callable[..., Tensor], *along: Tensor
) -> Tensor:
    """Return p · ∂f/∂x for p = toward(f(x), *along), detached; by autograd unless f knows it."""
    if knows_gradients(f):
        return f.pull(x, toward, *along)
    with torch.inference_mode(False), torch.enable_grad():
        x = leaf(x)
        value = f(x)
        (result,) = torch.autograd.grad(value, x, grad_outputs=toward(value.detach(), *along))
    return result


@attrs.frozen(eq=False)
class Mixed:
    """A function with its values in one precision and its derivatives in a lower one.

    Whether a proposal is accepted is a matter of small differences of large values, which a lower
    precision rounds away. Derivatives bear it: a step in any direction that is a function of the
    position can be accepted or rejected exactly.

    Attributes:
        precise: the function in the higher precision.
        cast: the same in the lower one: half under mixed precision, float32 beside float64.
    """

    precise: Function
    cast: Function

    def __call__(self, x: Tensor) -> Tensor:
        """Return the value, in the higher precision."""
        return self.precise(x)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the sum of all values with respect to x, detached."""
        return gradient(self.cast, x)

    def pull(self, x: Tensor, toward: Callable[..., Tensor], *along: Tensor) -> Tensor:
        """Return p · ∂f/∂x for p = toward(f(x), *along), detached."""
        return pull(self.cast, x, toward, *along)


def value_and_pull(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    toward: Callable[..., Tensor],
    of_value: Callable[..., Tensor],
    *along: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return of_value(f(x), *along), (chains,), and p · ∂f/∂x for p = toward(f(x), *along).

    A function that is evaluated in chunks may fill the last one up with copies of the last chain.

    Raises:
        ValueError: of_value does not give one number for each row of x.
    """
    if isinstance(f, Mixed):
        with torch.no_grad():
            return each_chain(of_value(f(x), *along), x), pull(f, x, toward, *along)
    seen: list[Tensor] = []

    def note(value: Tensor, *along: Tensor) -> Tensor:
        seen.append(of_value(value, *along).clone())
        return toward(value, *along)

    slope = pull(f, x, note, *along)
    values = torch.cat(seen)[: len(x)] if knows_gradients(f) else seen[0]
    return each_chain(values, x), slope
