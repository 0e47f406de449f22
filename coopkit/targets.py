"""What a sampler sees: the two densities of the paper, and wrappers round any density.

Revision and inference are two targets, not two samplers. Reductions run over the entries of a
signal or a latent, never over chains.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import torch
from attrs.validators import gt
from einops import reduce
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from coopkit.derivatives import (
    Function,
    Mixed,
    each_chain,
    gradient,
    knows_gradients,
    pull,
    value_and_pull,
)
from coopkit.interfaces import Target
from coopkit.precision import all_digits, finest, total_of_squares


def squared_norm(x: Tensor) -> Tensor:
    """Return ‖x‖² of each chain: (chains, ...) to (chains,)."""
    return reduce(x * x, "chains ... -> chains", "sum")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every part of a network into evaluation mode, and back as it was.

    In this mode batch normalisation uses its running statistics, so that no chain reads another.
    """
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def joins_batch(network: nn.Module) -> bool:
    """Whether a network must see a batch in one pass: for its statistics, or its processes."""
    joining = (_BatchNorm, DistributedDataParallel)
    return any(isinstance(module, joining) for module in network.modules())


def frozen(network: nn.Module | Function, dtype: torch.dtype | None = None) -> Function:
    """Return the network as a function of its input alone; what is no module is one already.

    Its parameters enter as constants: no gradient with respect to them is computed, kept or
    accumulated, and their flags are untouched. It runs in evaluation mode.

    Args:
        network: f or g.
        dtype: in which its layers compute; of its weights if left out.
    """
    if not isinstance(network, nn.Module):
        return network
    constants = {name: value.detach() for name, value in network.named_parameters()}
    constants |= {name: value.detach() for name, value in network.named_buffers()}
    if dtype is not None:
        floating = {name: value for name, value in constants.items() if value.is_floating_point()}
        with torch.inference_mode(False):
            constants |= {name: value.to(dtype) for name, value in floating.items()}

    def evaluate(x: Tensor) -> Tensor:
        with evaluating(network):
            given = x if dtype is None else x.to(dtype)
            value: Tensor = functional_call(network, constants, (given,))
        return value

    return evaluate


def exact(network: nn.Module, cast: Function) -> Function:
    """Return a network as `cast` computes it, but for its values, whose layers are in `finest`.

    For samplers that accept by differences of log p, which float32 rounds away where f is large.
    """
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    return Mixed(frozen(network, finest(device)), cast)


Freeze = Callable[[nn.Module], Function]
"""Turns a network into a function of its input alone, as `frozen` does."""


@attrs.frozen(eq=False)
class RevisionTarget(Target):
    """The descriptor's density, log p(Y) = f(Y) − ‖Y‖²/2s², equations (2), (3) and (25).

    Attributes:
        f: maps signals (chains, ...) to (chains,).
        reference_std: s > 0, in the units of the signal; infinity leaves the reference out.
    """

    f: Callable[[Tensor], Tensor]
    reference_std: float = attrs.field(validator=gt(0))

    @all_digits()
    def log_prob(self, x: Tensor) -> Tensor:
        """Return −E(Y) of equation (25), (chains,).

        Raises:
            ValueError: f does not give one number for each chain.
        """
        return self.of_each(x) - total_of_squares(x) / (2 * self.reference_std**2)

    def score(self, x: Tensor) -> Tensor:
        """Return ∂f/∂Y − Y/s², the bracket of equation (6) with its sign turned.

        Raises:
            ValueError: f does not give one number for each chain.
        """
        x = x.detach()
        f = self.f if knows_gradients(self.f) else self.of_each
        return torch.sub(gradient(f, x), x, alpha=self.reference_std**-2)

    def of_each(self, x: Tensor) -> Tensor:
        """Return f(Y), (chains,)."""
        return each_chain(self.f(x), x)

    @all_digits()
    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return −E(Y) and ∂f/∂Y − Y/s² from one pass through f.

        Raises:
            ValueError: f does not give one number for each chain.
        """
        x = x.detach()
        f, slope = value_and_pull(self.f, x, torch.ones_like, lambda value: value)
        log_prob = f - total_of_squares(x) / (2 * self.reference_std**2)
        return log_prob, torch.sub(slope, x, alpha=self.reference_std**-2)

    def energy(self, x: Tensor) -> Tensor:
        """Return E(Y) = ‖Y‖²/2s² − f(Y) without a graph, equation (25), (chains,)."""
        with torch.no_grad():
            return -self.log_prob(x)


@attrs.frozen(eq=False)
class InferenceTarget(Target):
    """The generator's posterior of X, log p(X|Y) = −‖Y − g(X)‖²/2σ² − ‖X‖²/2, equation (10).

    Attributes:
        g: maps latents (chains, ...) to signals.
        signal: Y, one for each chain, or a single one for all.
        noise_std: σ > 0, in the units of the signal.
        observed: boolean, True where Y is known; of the shape of Y, or with a single chain. The
            squared error is summed over these entries alone, and the others are not read. None
            where all of Y is known.
    """

    g: Callable[[Tensor], Tensor]
    signal: Tensor
    noise_std: float = attrs.field(validator=gt(0))
    observed: Tensor | None = None

    @all_digits()
    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(X, Y) + const of equation (10), (chains,)."""
        self.check(x)
        error = self.squared_error(self.g(x), *self.known) / (2 * self.noise_std**2)
        return -error - total_of_squares(x) / 2

    def score(self, x: Tensor) -> Tensor:
        """Return σ⁻² (Y − g(X)) ∂g/∂X − X, the gradient of equation (13)."""
        self.check(x)
        x = x.detach()
        return pull(self.g, x, self.error, *self.known) - x

    @all_digits()
    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(X, Y) + const and σ⁻² (Y − g(X)) ∂g/∂X − X from one pass through g."""
        self.check(x)
        x = x.detach()
        off, slope = value_and_pull(self.g, x, self.error, self.squared_error, *self.known)
        return -off / (2 * self.noise_std**2) - total_of_squares(x) / 2, slope - x

    def check(self, x: Tensor) -> None:
        """Refuse latents that the signals do not belong to.

        Raises:
            ValueError: there are not as many of them as signals, nor a single signal.
        """
        if len(self.signal) not in (1, len(x)):
            raise ValueError(f"{len(x)} latents cannot be of {len(self.signal)} signals")

    @property
    def known(self) -> tuple[Tensor, ...]:
        """Return Y, and where it is known if it is not everywhere."""
        return (self.signal,) if self.observed is None else (self.signal, self.observed)

    @staticmethod
    def difference(drawn: Tensor, signal: Tensor, observed: Tensor | None = None) -> Tensor:
        """Return Y − g(X) where Y is known, and zero elsewhere."""
        apart = signal - drawn
        return apart if observed is None else torch.where(observed, apart, torch.zeros_like(apart))

    def squared_error(self, drawn: Tensor, *known: Tensor) -> Tensor:
        """Return ‖Y − g(X)‖² over the known entries, (chains,)."""
        return total_of_squares(self.difference(drawn, *known))

    def error(self, drawn: Tensor, *known: Tensor) -> Tensor:
        """Return (Y − g(X)) / σ², of the shape of Y, zero where Y is unknown."""
        return self.difference(drawn, *known) / self.noise_std**2


@attrs.frozen(eq=False)
class TemperedTarget(Target):
    """p(x)^(1/T) of another target: flatter for T > 1, sharper for T < 1.

    Attributes:
        base: the target at temperature 1.
        temperature: T > 0, dimensionless. The limit T = 0 has no density; a sampler with a
            `temperature` of its own reaches it by leaving out the noise, equation (8).
    """

    base: Target
    temperature: float = attrs.field(validator=gt(0))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) / T, (chains,)."""
        return self.base.log_prob(x) / self.temperature

    def score(self, x: Tensor) -> Tensor:
        """Return ∇ log p(x) / T."""
        return self.base.score(x) / self.temperature

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both of the base, over T."""
        log_prob, score = self.base.log_prob_and_score(x)
        return log_prob / self.temperature, score / self.temperature

    def project(self, x: Tensor) -> Tensor:
        """Hold what the base target holds."""
        return self.base.project(x)


@attrs.frozen(eq=False)
class MaskedTarget(Target):
    """The law of the free entries of another target, the others held fixed.

    The density does not depend on what a sampler does with the held entries, so every sampler is
    right on the free ones; `project` puts the held ones back, bit for bit.

    Attributes:
        base: the target of all entries.
        free: boolean, True where an entry may move; broadcasts against the position.
        held: the values of the entries that may not, of the shape of the position.
    """

    base: Target
    free: Tensor
    held: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p of the free entries of x beside the held ones, + const, (chains,)."""
        return self.base.log_prob(self.project(x))

    def score(self, x: Tensor) -> Tensor:
        """Return the score of the free entries, and zero at the held ones."""
        return self.of_free(self.base.score(self.project(x)))

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both beside the held entries, the score zero at these."""
        log_prob, score = self.base.log_prob_and_score(self.project(x))
        return log_prob, self.of_free(score)

    def of_free(self, score: Tensor) -> Tensor:
        """Return a score with zero at the held entries."""
        return torch.where(self.free, score, torch.zeros_like(score))

    def project(self, x: Tensor) -> Tensor:
        """Return x with the held entries put back."""
        return self.base.project(torch.where(self.free, x, self.held))
