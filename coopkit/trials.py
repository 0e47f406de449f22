"""A network tried before a run learns with it: what a plugin's architecture makes, in sentences."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from coopkit.conversion import one_line
from coopkit.errors import RecipeError, is_out_of_memory
from coopkit.interfaces import Descriptor, Generator, Shape
from coopkit.plugins import registry
from coopkit.sampling import named
from coopkit.targets import evaluating, frozen

T = TypeVar("T")


def origin(architecture: Descriptor | Generator, kind: str) -> str:
    """Return which table of a recipe an architecture is of, its name and its distribution."""
    cls = type(architecture)
    found = [entry.distribution for entry in registry().entries if entry.cls is cls]
    return " ".join([f"{kind}.architecture", cls.name, *(f"({name})" for name in found)])


def attempted(doing: str, make: Callable[..., T], *arguments: Any) -> T:
    """Return what a plugin's code makes.

    Raises:
        RecipeError: saying with what error it fails, after the words for what it was doing.
    """
    try:
        return make(*arguments)
    except Exception as error:
        raise failure(doing, error) from error


def failure(doing: str, error: Exception) -> Exception:
    """Return the error for a plugin's code that fails; a lack of memory is no mistake of its."""
    if is_out_of_memory(error):
        return error
    return refusal(f"{doing}: {type(error).__name__}: {error}")


def refusal(problem: str) -> RecipeError:
    """Return the error for an architecture that is not right."""
    return RecipeError("recipe", [one_line(problem)])


def build_module(architecture: Descriptor | Generator, kind: str, shape: Shape) -> nn.Module:
    """Return what an architecture builds for signals of that shape.

    Raises:
        RecipeError: it does not fit them, fails, or builds no module.
    """

    label = origin(architecture, kind)
    try:
        built: object = architecture.build(shape)
    except ValueError as error:
        raise refusal(f"{kind} cannot be built: {error}") from error
    except Exception as error:
        raise failure(f"{label} cannot be built", error) from error
    if not isinstance(built, nn.Module):
        raise refusal(f"{label}: build gives {named(built)}; it must give a torch.nn.Module")
    return built


def latent_shape_of(architecture: Generator, shape: Shape) -> Shape:
    """Return the shape of a latent for signals of that shape.

    Raises:
        RecipeError: `latent_shape` fails, or gives no tuple of whole numbers.
    """
    label = f"{origin(architecture, 'generator')}: latent_shape"
    found: object = attempted(label, architecture.latent_shape, shape)
    if isinstance(found, tuple) and all(isinstance(n, int) and n > 0 for n in found):
        return found
    raise refusal(f"{label} gives {found!r}; it must give a tuple of whole numbers above 0")


def std_of(architecture: Descriptor | Generator, kind: str) -> float:
    """Return s of a descriptor's architecture, or σ of a generator's.

    Raises:
        RecipeError: it is no number above 0.
    """
    field = "reference_std" if kind == "descriptor" else "noise_std"
    std: object = getattr(architecture, field)
    if isinstance(std, int | float) and std > 0:
        return std
    raise refusal(f"{kind}.{field} of {origin(architecture, kind)} is {std!r}; it must be above 0")


def try_values(network: nn.Module, label: str, entry: Shape, value: Shape) -> None:
    """Refuse a network whose values are not one f, or one signal, of each chain, or cannot learn.

    Args:
        network: f or g.
        label: of its architecture, with which a problem begins.
        entry: the shape of what it is given, for one chain.
        value: the shape of what it must give.

    Raises:
        RecipeError: saying what is wrong.
    """
    for words, chains in (("two chains", 2), ("one chain", 1)):
        x, right = torch.zeros(chains, *entry), (chains, *value)
        with torch.no_grad():
            found: object = attempted(f"{label}, given {tuple(x.shape)}", frozen(network), x)
        if not isinstance(found, Tensor) or found.shape != right:
            given = tuple(found.shape) if isinstance(found, Tensor) else named(found)
            raise refusal(f"{label} gives {given} for {words}; it must give {right}")
        if value and found.dtype != x.dtype:
            raise refusal(f"{label} gives {found.dtype}; it must give {x.dtype}")
    # Not at zero, where a network may well be constant.
    x = torch.linspace(-1, 1, 2 * math.prod(entry)).reshape(2, *entry).requires_grad_()
    says = f"{label}, given {tuple(x.shape)}"
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    with torch.enable_grad(), evaluating(network):
        values = attempted(says, network, x)
        to_x, *to_weights = attempted(says, slopes, values, [x, *learning])
    if learning and all(to_weight is None for to_weight in to_weights):
        raise refusal(
            f"{label} gives values that do not depend on its weights, so that it cannot learn; "
            "a detach(), a no_grad() or a constant makes them so"
        )
    if to_x is None:
        raise refusal(f"{label} gives values that do not depend on what it is given")


def slopes(values: Tensor, at: list[Tensor]) -> Sequence[Tensor | None]:
    """Return ∂ Σ values / ∂x for each x; None where the values do not depend on it."""
    if not values.requires_grad:
        return [None] * len(at)
    return torch.autograd.grad(values.sum(), at, allow_unused=True)


def check_float64(network: nn.Module, kind: str, entry: Shape) -> None:
    """Refuse a network whose layers cannot compute in float64.

    Raises:
        RecipeError: saying what torch says.
    """
    try:
        with torch.no_grad():
            frozen(network, torch.float64)(torch.zeros(1, *entry))
    except RuntimeError as error:
        raise refusal(f'run.log_prob "float64" is not for this {kind}: {error}') from error


def check_second_derivative(network: nn.Module, entry: Shape) -> None:
    """Refuse a descriptor of which a penalty on the score cannot be learnt.

    Raises:
        RecipeError: saying what torch says.
    """
    x = torch.zeros(1, *entry, requires_grad=True)
    try:
        with evaluating(network):
            (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        # Asked for the weights' alone, torch would pass over what it cannot differentiate.
        torch.autograd.backward(slope.square().sum())
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise refusal(f"shift.score_penalty is not for this descriptor: {reason}") from error
    finally:
        network.zero_grad(set_to_none=True)
