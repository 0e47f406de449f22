"""The update rule of the authors' own code, and any optimiser of torch.optim by name.

An optimiser's recipe table is a frozen attrs class with ``build(network, example)``. Learning rate
and the other numbers of a table may follow schedules: `apply_settings` puts the values of an
iteration into an optimiser that is already running.
"""

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

import attrs
import torch
from attrs.validators import deep_iterable, ge, gt, lt
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from coopkit.errors import did_you_mean


class CappedMomentum(Optimizer):
    """Momentum on gradients divided by the number of positions and capped by their largest entry.

    For each parameter tensor W with gradient G:

        G ← G / positions
        G ← G · min(1, cap / max|G|)
        V ← momentum · V + G + weight_decay · W
        W ← W − lr · rate · V

    Source: the authors' MATLAB code; ``docs/training.md`` says why it is stable where plain
    gradient ascent is not.

    Args:
        params: tensors or groups; a group may set any of the numbers below for itself.
        lr: Γ, in the units of the weights.
        cap: largest absolute entry of a gradient.
        momentum: in [0, 1).
        weight_decay: ≥ 0.
        rate: factor on `lr`, for groups.
        positions: the number H·W of positions of a layer's output, for groups.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        cap: float,
        momentum: float = 0.5,
        weight_decay: float = 0.0,
        rate: float = 1.0,
        positions: int = 1,
    ) -> None:
        defaults = {
            "lr": lr,
            "cap": cap,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "rate": rate,
            "positions": positions,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, group)
        return loss

    def update(self, parameter: Tensor, ascent: Tensor, group: Mapping[str, float]) -> None:
        """Update one parameter tensor by the four lines of the rule."""
        gradient = ascent / group["positions"]
        gradient *= (group["cap"] / gradient.abs().max()).clamp(max=1.0)
        gradient += group["weight_decay"] * parameter
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        velocity = state["velocity"]
        velocity.mul_(group["momentum"]).add_(gradient)
        parameter.sub_(velocity, alpha=group["lr"] * group["rate"])


@attrs.frozen(kw_only=True)
class Capped:
    """The authors' update rule, `CappedMomentum`, with its groups for the layers of a network.

    Attributes:
        lr: Γ, in the units of the weights; in the paper's runs it falls exponentially.
        cap: largest absolute entry of a gradient before the learning rate.
        momentum: share of the last update that is kept.
        weight_decay: pull of the weights (not the biases) towards 0, before the learning rate.
        bias_rate: factor on the learning rate of biases.
        layer_rates: factors on the learning rates of the layers that have weights, normalisations
            among them, from the first; 1 beyond the list.
        per_position: divide a layer's gradient by the number of positions of its output.
    """

    name: ClassVar[str] = "capped"

    lr: float = attrs.field(default=0.02, validator=gt(0))
    cap: float = attrs.field(default=20 / 255, validator=gt(0))
    momentum: float = attrs.field(default=0.5, validator=[ge(0), lt(1)])
    weight_decay: float = attrs.field(default=1e-4, validator=ge(0))
    bias_rate: float = attrs.field(default=2.0, validator=ge(0))
    layer_rates: tuple[float, ...] = attrs.field(default=(), validator=deep_iterable(ge(0)))
    per_position: bool = True

    def settings(self, group: Mapping[str, Any]) -> dict[str, float]:
        """Return the numbers of a group, all of which may change during a run."""
        return {
            "lr": self.lr,
            "cap": self.cap,
            "momentum": self.momentum,
            "weight_decay": 0.0 if group["bias"] else self.weight_decay,
            "rate": group["layer_rate"] * (self.bias_rate if group["bias"] else 1.0),
        }

    def build(self, network: nn.Module, example: Tensor) -> Optimizer:
        """Return the optimiser of a network, one group for each parameter tensor.

        Args:
            network: whose layers are told apart by a forward pass.
            example: one input, (1, ...); only its shape matters.
        """
        groups = []
        for depth, (layer, positions) in enumerate(output_positions(network, example)):
            for name, parameter in own_parameters(layer).items():
                group = {
                    "params": [parameter],
                    "bias": name == "bias",
                    "layer_rate": self.layer_rates[depth] if depth < len(self.layer_rates) else 1.0,
                    "positions": positions if self.per_position else 1,
                }
                groups.append({**group, **self.settings(group)})
        return CappedMomentum(groups, lr=self.lr, cap=self.cap)


def own_parameters(layer: nn.Module) -> dict[str, nn.Parameter]:
    """Return a layer's parameters by name, those that its weights are computed from among them."""
    own = dict(layer.named_parameters(recurse=False))
    if is_parametrized(layer):
        for name, held in layer.parametrizations.items():  # type: ignore[union-attr,operator]
            own |= {f"{name}.{part}": x for part, x in held.named_parameters(recurse=False)}
    return own


def output_positions(network: nn.Module, example: Tensor) -> list[tuple[nn.Module, int]]:
    """Return each layer that has parameters with the number H·W of positions of its output.

    Only outputs (chains, channels, H, W) have positions; others count as 1. The output of a layer
    that another computes in its own pass, without calling it, is that one's.
    """
    positions: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        positions[layer] = 1
        if isinstance(output, Tensor) and output.ndim == 4:
            positions[layer] = output[0, 0].numel()

    handles: list[RemovableHandle] = [
        module.register_forward_hook(note) for module in network.modules()
    ]
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    named, found = dict(network.named_modules()), []
    for name, layer in named.items():
        if not own_parameters(layer) or isinstance(layer, ParametrizationList):
            continue
        while named[name] not in positions:
            name = name.rpartition(".")[0]
        found.append((layer, positions[named[name]]))
    return found


TORCH_OPTIMIZERS: dict[str, type[Optimizer]] = {
    name: cls
    for name, cls in vars(torch.optim).items()
    if inspect.isclass(cls) and issubclass(cls, Optimizer) and cls is not Optimizer
}


UNUSABLE = ("maximize", "differentiable", "capturable")
"""Arguments that would reverse an update, or that need another training loop."""


@attrs.frozen
class TorchOptimizer:
    """Any optimiser of torch.optim.

    Attributes:
        name: the name of its class, such as Adam.
        arguments: its keyword arguments; `lr` among them.
    """

    name: str
    arguments: dict[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.name not in TORCH_OPTIMIZERS:
            known = [Capped.name, *TORCH_OPTIMIZERS]
            raise ValueError(f"no optimiser {self.name!r}; {did_you_mean(self.name, known)}")
        if self.name in ("LBFGS", "SparseAdam"):
            raise ValueError(f"{self.name} does not fit this training loop; Adam does")
        signature = inspect.signature(TORCH_OPTIMIZERS[self.name])
        accepted = [key for key in list(signature.parameters)[1:] if key not in UNUSABLE]
        for key, value in self.arguments.items():
            if key not in accepted:
                raise ValueError(f"{self.name} takes no {key!r}; {did_you_mean(key, accepted)}")
            annotation = signature.parameters[key].annotation
            if not fits(value, annotation):
                raise ValueError(f"{self.name} wants {key} to be {wanted(annotation)}: {value!r}")
        try:
            TORCH_OPTIMIZERS[self.name]([nn.Parameter(torch.zeros(2, 2))], **self.arguments)
        except (ValueError, TypeError, AssertionError, RuntimeError) as error:
            raise ValueError(f"{self.name} refuses its arguments: {error}") from error

    def rehearse(self) -> None:
        """Make one update, for the arguments that torch looks at no earlier.

        Raises:
            ValueError: torch cannot update with these arguments.
        """
        parameter = nn.Parameter(torch.ones(2, 2))
        parameter.grad = torch.ones(2, 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                TORCH_OPTIMIZERS[self.name]([parameter], **self.arguments).step()
        except (ValueError, ArithmeticError, RuntimeError) as error:
            raise ValueError(f"{self.name} cannot use its arguments: {error}") from error

    def settings(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, all of which may change during a run."""
        return dict(self.arguments)

    def build(self, network: nn.Module, example: Tensor) -> Optimizer:
        """Return the optimiser of a network; the example is not needed."""
        return TORCH_OPTIMIZERS[self.name](network.parameters(), **self.arguments)


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value that TOML has is of the type of an argument; nan and None never are."""
    if get_origin(annotation) in (UnionType, Union):
        return any(fits(value, choice) for choice in get_args(annotation))
    if get_origin(annotation) is tuple:
        entries = get_args(annotation)
        listed = isinstance(value, list | tuple) and len(value) == len(entries)
        return listed and all(map(fits, value, entries))
    if annotation is float:
        largest = torch.finfo(torch.float32).max
        return type(value) in (int, float) and (abs(value) <= largest or value == float("inf"))
    if annotation is int:
        return type(value) is int
    known = isinstance(annotation, type) and annotation is not inspect.Parameter.empty
    return annotation is not NoneType and isinstance(value, annotation) if known else True


def wanted(annotation: Any) -> str:
    """Say what `fits` the type of an argument."""
    words = {float: "a number up to 3e38", int: "a whole number", bool: "true or false"}
    if get_origin(annotation) is tuple:
        return f"a list of {' and '.join(map(wanted, get_args(annotation)))}"
    choices = get_args(annotation) or (annotation,)
    return next((words[choice] for choice in choices if choice in words), "a text")


OptimizerTable = Capped | TorchOptimizer


def apply_settings(optimizer: Optimizer, table: OptimizerTable) -> None:
    """Put the numbers of a table into all groups of a running optimiser."""
    for group in optimizer.param_groups:
        group.update(table.settings(group))
