"""What a learning iteration is told, and what it draws and measures."""

from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from coopkit.derivatives import Function, Mixed
from coopkit.interfaces import Sampler
from coopkit.steps import Backward
from coopkit.targets import Freeze, exact, frozen


@attrs.frozen(eq=False)
class Learner:
    """A network, the optimiser that moves it, and the standard deviation of its Gaussian.

    Attributes:
        network: f or g.
        optimizer: of the network's parameters.
        std: s of a descriptor, σ of a generator, in the units of the signal.
        trained: the network as the updates call it, where that is not the network itself (wrapped
            for several devices).
        backward: how to accumulate gradients; the engine's own under mixed precision.
        freeze: turns the network into a function of its input alone, for chains.
        precise: the network without the engine's casts, where these are in half precision.
        exact: whether samplers are given log p by layers in float64.
    """

    network: nn.Module
    optimizer: Optimizer
    std: float
    trained: nn.Module = attrs.field(
        default=attrs.Factory(lambda self: self.network, takes_self=True)
    )
    backward: Backward = Tensor.backward
    freeze: Freeze = frozen
    precise: nn.Module | None = None
    exact: bool = False

    def frozen(self) -> Function:
        """Return the network as a function of its input alone, with the weights of now."""
        cast = self.freeze(self.network)
        if self.exact:
            return exact(self.network if self.precise is None else self.precise, cast)
        return cast if self.precise is None else Mixed(self.freeze(self.precise), cast)


@attrs.frozen
class Settings:
    """The numbers of one iteration, after all schedules.

    Attributes:
        revision: the sampler of D1.
        revision_steps: l_D.
        inference: the sampler of G1.
        inference_steps: l_G.
        draft_noise_std: standard deviation of ε in G0, in the units of the signal.
        score_penalty: γ of D2.
        updates: how many times G2 is done.
        residual: whether to measure the auto-encoder residual (26) of S2.
        shown: of how many chains S3 is drawn, the first ones; None for all.
    """

    revision: Sampler[Any] | None = None
    revision_steps: int = 0
    inference: Sampler[Any] | None = None
    inference_steps: int = 0
    draft_noise_std: float = 0.0
    score_penalty: float = 0.0
    updates: int = 1
    residual: bool = False
    shown: int | None = None


@attrs.frozen
class Streams:
    """The sources of randomness of a run, one for each purpose, on the device of the chains."""

    draft: torch.Generator
    revision: torch.Generator
    inference: torch.Generator


@attrs.frozen(eq=False)
class Batch:
    """Observed examples Y_i, (n, ...), and their places in the data set, (n,)."""

    signals: Tensor
    places: Tensor


@attrs.frozen(eq=False)
class Iteration:
    """What one learning iteration drew and measured.

    Attributes:
        observed: Y_i.
        figures: scalar tensors by name.
        initial: S1, Ŷ; the chains before revision in Algorithm 1; None in Algorithm 2.
        revised: S2, Ỹ; None in Algorithm 2.
        latents: X, drafted or inferred; None in Algorithm 1.
        reconstructed: S3, g(X) after the update of the chains that are shown; None in Algorithm 1.
    """

    observed: Tensor
    figures: dict[str, Tensor]
    initial: Tensor | None = None
    revised: Tensor | None = None
    latents: Tensor | None = None
    reconstructed: Tensor | None = None
