"""The interfaces a plugin may supply, and `Target`, which a sampler sees.

A plugin's class is its recipe table: a frozen attrs class whose fields are the keys, with types,
defaults and validators, and whose docstring has an ``Attributes:`` section that gives meaning and
units. `name` is the word that a recipe uses for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import attrs
import pluggy
import torch
from attrs.validators import ge, optional
from torch import Tensor, nn

from coopkit.derivatives import gradient, value_and_pull

INTERFACE_VERSION = 1
"""Raised when these interfaces or the hooks change so that older plugins no longer work."""

hookimpl = pluggy.HookimplMarker("coopkit")
"""Marks a function of a plugin as the implementation of the coopkit hook of the same name."""

Shape = tuple[int, ...]


class Target(ABC):
    """A density over a batch of independent chains, known up to its normalising constant.

    The first dimension of every position is the chain. A target never reads one chain's values to
    answer for another: reductions run over the entries of a signal, never over chains. What a
    target is given may belong to its chains, as the signals of an inference do: a sampler asks for
    all of them, in their order, and never for more at once.
    """

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) + const for each chain: (chains, ...) to (chains,).

        Of the precision of x or a finer one: coopkit's own targets give float64 for float32 chains.
        What a sampler computes of it must be of the type of x again before it moves them.
        """

    def score(self, x: Tensor) -> Tensor:
        """Return ∇ log p(x), of the shape of x, detached; by autograd unless overridden."""
        return gradient(self.log_prob, x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both at x, detached: (chains,), and of the shape of x.

        In one evaluation, by autograd, where the score is by autograd; at the cost of both unless
        overridden where it is not.
        """
        if type(self).score is not Target.score:
            with torch.no_grad():
                return self.log_prob(x), self.score(x)
        return value_and_pull(self.log_prob, x, torch.ones_like, lambda value: value)

    def project(self, x: Tensor) -> Tensor:
        """Return x with the entries that the target holds fixed put back; identity by default.

        `log_prob` and `score` must not change under it, so that whatever a sampler has computed at
        x stays valid at project(x).
        """
        return x


@runtime_checkable
class State(Protocol):
    """What a sampler keeps between steps: a frozen attrs class with at least `position`."""

    @property
    def position(self) -> Tensor:
        """The chains, (chains, ...), float32."""


S = TypeVar("S", bound=State)


@runtime_checkable
class Sampler(Protocol[S]):
    """A Markov transition on a batch of independent chains."""

    name: ClassVar[str]

    def init(self, target: Target, position: Tensor) -> S:
        """Return the state of chains that start at `position`, which is not modified."""

    def step(self, target: Target, state: S, rng: torch.Generator) -> S:
        """Return the state one transition later; all randomness comes from `rng`."""


@runtime_checkable
class FusedSampler(Sampler[S], Protocol[S]):
    """A sampler that offers many steps at once, for speed."""

    def run(self, target: Target, state: S, steps: int, rng: torch.Generator) -> S:
        """Return what `steps` ≥ 1 calls of `step` give, each followed by `target.project`."""


@runtime_checkable
class Reporting(Sampler[S], Protocol[S]):
    """A sampler with figures of its own, such as how many proposals were accepted.

    They stand in the metrics of a run, in its progress and under its sheets.
    """

    def figures(self, state: S) -> Mapping[str, Tensor]:
        """Return finite numbers by lower-case name, each a scalar or one for each chain.

        They tell of the steps since `init`, or `resume`, made the first of the states.
        """


@attrs.frozen(eq=False)
class Kept:
    """What outlives the states of one call; every tensor has a row for each chain.

    Attributes:
        chains: what belongs to these very chains, such as their momentum.
        tuned: what was found for chains like these, such as a step size.
    """

    chains: Mapping[str, Tensor] = attrs.field(factory=dict)
    tuned: Mapping[str, Tensor] = attrs.field(factory=dict)

    def rows(self, which: Tensor | slice | list[int]) -> "Kept":
        """Return what was kept of some of the chains."""
        parts = (self.chains, self.tuned)
        return Kept(*({name: value[which] for name, value in part.items()} for part in parts))


@runtime_checkable
class Keeping(Sampler[S], Protocol[S]):
    """A sampler of which something but the positions should outlive an iteration of learning.

    Between two iterations the weights have moved, and with them the target, so that nothing that
    was computed of it may be kept. Algorithms 1 and 2 go on with the same chains and give back all
    that was kept; Algorithm 3 starts new ones and gives back what was tuned, and so does Algorithm
    2 where one of the examples is seen for the first time.
    """

    def keep(self, state: S) -> Kept:
        """Return what later calls need, by the same names always."""

    def resume(self, target: Target, position: Tensor, kept: Kept) -> S:
        """Return the state of chains at `position`, which is not modified; as `init` else.

        `kept.chains` is empty where the chains are new.
        """


@attrs.frozen(kw_only=True)
class Capabilities:
    """What a sampler claims of its transition; `coopkit.testing` holds it to every claim.

    A sampler states them as `capabilities: ClassVar[Capabilities]`. One that states none is held
    to be exact, and to nothing else.

    Attributes:
        bias_order: p, when expectations under the invariant law differ from those under the target
            by a multiple of δ^p; None for an exact sampler, whose invariant law is the target.
        reversible: in equilibrium (x, x') and (x', x) have the same law.
        equivariant: a rotation of the target and of the start rotates the law of the chains.
        tempered: the field `temperature` T makes p^(1/T) the target, and T = 0 a descent.
        clocked: in some steps all chains move in another way, by a clock that they share, such as
            swaps in every n-th step; their moves are then compared within a step.
        gradients_per_step: evaluations of the score for each step after the first; None where
            their number is not fixed.
    """

    bias_order: int | None = attrs.field(default=None, validator=optional(ge(1)))
    reversible: bool = False
    equivariant: bool = False
    tempered: bool = False
    clocked: bool = False
    gradients_per_step: int | None = None


@runtime_checkable
class LinearOnGaussians(Protocol):
    """A sampler whose step on a Gaussian is known: x' = m + A (x − m) + N(0, C)."""

    def gaussian_step(self, precision: Tensor) -> tuple[Tensor, Tensor]:
        """Return A and C, (d, d) float64 each, of a step on N(m, P⁻¹) with `precision` P (d, d).

        P = 0 is the flat density, where nothing but the noise moves a chain.
        """


@runtime_checkable
class Schedule(Protocol):
    """A number that depends on the learning iteration, and on nothing else."""

    name: ClassVar[str]

    def value(self, t: int) -> float:
        """Return the number at learning iteration t = 0, 1, 2, ..."""


@runtime_checkable
class Descriptor(Protocol):
    """The architecture of f in P_D(Y) ∝ exp f(Y) · N(0, s²I), equations (2) and (3).

    `reference_std` is s, in the units of the signal; infinity leaves the reference out.
    """

    name: ClassVar[str]

    @property
    def reference_std(self) -> float:
        """The standard deviation s of the reference distribution q = N(0, s²I)."""

    def build(self, signal_shape: Shape) -> nn.Module:
        """Return a module that maps signals (chains, *signal_shape) to f of shape (chains,).

        Initial weights are drawn from torch's global stream, which the caller has seeded. The
        module is trained in training mode, and evaluated in evaluation mode by samplers. One that
        joins a batch, and not by a batch normalisation of torch.nn, sees the observed and the
        revised apart where [shift] has a score_penalty.
        """


@runtime_checkable
class Generator(Protocol):
    """The architecture of g in Y = g(X) + ε, X ~ N(0, I_d), ε ~ N(0, σ²I), equation (9).

    `noise_std` is σ, in the units of the signal.
    """

    name: ClassVar[str]

    @property
    def noise_std(self) -> float:
        """The standard deviation σ of the noise ε."""

    def latent_shape(self, signal_shape: Shape) -> Shape:
        """Return the shape of one X for signals of `signal_shape`."""

    def build(self, signal_shape: Shape) -> nn.Module:
        """Return a module that maps latents (chains, *latent_shape) to (chains, *signal_shape)."""


__all__ = [
    "INTERFACE_VERSION",
    "Capabilities",
    "Descriptor",
    "FusedSampler",
    "Generator",
    "Keeping",
    "Kept",
    "LinearOnGaussians",
    "Reporting",
    "Sampler",
    "Schedule",
    "Shape",
    "State",
    "Target",
    "hookimpl",
]
