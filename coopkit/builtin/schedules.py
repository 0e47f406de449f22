"""Schedules: numbers that are pure functions of the learning iteration t."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import attrs
from attrs import Attribute
from attrs.validators import ge, gt, min_len


@attrs.frozen(kw_only=True)
class WarmUp(ABC):
    """The part that all schedules here share: a linear rise over the first iterations."""

    warmup: int = attrs.field(default=0, validator=ge(0))

    def value(self, t: int) -> float:
        """Return the number at learning iteration t."""
        if t < self.warmup:
            return self.after_warmup(0) * (t + 1) / (self.warmup + 1)
        return self.after_warmup(t - self.warmup)

    @abstractmethod
    def after_warmup(self, t: int) -> float:
        """Return the number t iterations after the warm-up."""


@attrs.frozen(kw_only=True)
class Constant(WarmUp):
    """The same number at every iteration: v.

    Attributes:
        at: the number v.
        warmup: iterations of linear rise towards it from 0.
    """

    name: ClassVar[str] = "constant"

    at: float

    def after_warmup(self, t: int) -> float:
        """Return v."""
        return self.at


@attrs.frozen(kw_only=True)
class Interpolation(WarmUp):
    """A number that goes from `start` to `end` and stays there."""

    start: float
    end: float
    iterations: int = attrs.field(validator=gt(0))

    def progress(self, t: int) -> float:
        """Return the share of the way that is gone, from 0 at t = 0 to 1 at t = iterations."""
        return min(t / self.iterations, 1.0)

    def between(self, share: float) -> float:
        """Return the number at a share of the straight way, exactly `start` at 0, `end` at 1."""
        return self.start * (1 - share) + self.end * share


@attrs.frozen(kw_only=True)
class Linear(Interpolation):
    """A straight line: start + (end − start) p, with p = t / iterations.

    Attributes:
        start: the number at t = 0.
        end: the number from t = iterations on.
        iterations: how long the change takes; the run's iterations if left out.
        warmup: iterations of linear rise from 0 to `start` before that.
    """

    name: ClassVar[str] = "linear"

    def after_warmup(self, t: int) -> float:
        """Return the point on the line."""
        return self.between(self.progress(t))


@attrs.frozen(kw_only=True)
class Cosine(Interpolation):
    """Half a period of a cosine: end + (start − end) (1 + cos πp)/2, with p = t / iterations.

    Attributes:
        start: the number at t = 0.
        end: the number from t = iterations on.
        iterations: how long the change takes; the run's iterations if left out.
        warmup: iterations of linear rise from 0 to `start` before that.
    """

    name: ClassVar[str] = "cosine"

    def after_warmup(self, t: int) -> float:
        """Return the point on the cosine."""
        return self.between((1 - math.cos(math.pi * self.progress(t))) / 2)


def not_zero(instance: object, attribute: "Attribute[float]", value: float) -> None:
    """Refuse numbers that no exponential passes through."""
    if value == 0:
        raise ValueError(f"{attribute.name!r} must not be 0: an exponential never reaches it")


@attrs.frozen(kw_only=True)
class Exponential(Interpolation):
    """A geometric change: start · (end / start)^p, with p = t / iterations.

    Attributes:
        start: the number at t = 0, not 0.
        end: the number from t = iterations on, of the same sign as `start`.
        iterations: how long the change takes; the run's iterations if left out.
        warmup: iterations of linear rise from 0 to `start` before that.
    """

    name: ClassVar[str] = "exponential"

    start: float = attrs.field(validator=not_zero)
    end: float = attrs.field(validator=not_zero)

    def __attrs_post_init__(self) -> None:
        if (self.start < 0) != (self.end < 0):
            raise ValueError(f"start {self.start} and end {self.end} must have the same sign")

    def after_warmup(self, t: int) -> float:
        """Return the point on the exponential."""
        share = self.progress(t)
        size = abs(self.start) ** (1 - share) * abs(self.end) ** share
        return float(math.copysign(size, self.start))


@attrs.frozen(kw_only=True)
class Polynomial(WarmUp):
    """A polynomial fall: a / (b + t)^κ.

    As a learning rate it satisfies the Robbins-Monro condition, Σ γ_t = ∞ and Σ γ_t² < ∞, exactly
    when 1/2 < κ ≤ 1 (Robbins and Monro 1951); stochastic approximation then converges.

    Attributes:
        a: the scale, in the units of the number.
        b: the offset b > 0, in iterations.
        kappa: the exponent κ ≥ 0.
        warmup: iterations of linear rise from 0 to a/b^κ before that.
    """

    name: ClassVar[str] = "polynomial"

    a: float
    b: float = attrs.field(default=1.0, validator=gt(0))
    kappa: float = attrs.field(default=1.0, validator=ge(0))

    @property
    def robbins_monro(self) -> bool:
        """Whether Σ γ_t diverges and Σ γ_t² converges."""
        return 0.5 < self.kappa <= 1

    def after_warmup(self, t: int) -> float:
        """Return a / (b + t)^κ."""
        return float(self.a / (self.b + t) ** self.kappa)


@attrs.frozen(kw_only=True)
class Piecewise(WarmUp):
    """A staircase: values[k] from boundaries[k − 1] on and before boundaries[k].

    Attributes:
        values: the numbers, one more than the boundaries.
        boundaries: rising iterations, from the end of the warm-up, at which the next number begins.
        warmup: iterations of linear rise from 0 to the first number before that.
    """

    name: ClassVar[str] = "piecewise"

    values: tuple[float, ...] = attrs.field(validator=min_len(1))
    boundaries: tuple[int, ...] = ()

    def __attrs_post_init__(self) -> None:
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"not {len(self.values)}"
            )
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError("the boundaries must rise")

    def after_warmup(self, t: int) -> float:
        """Return the number of the stair on which t is."""
        return self.values[sum(t >= boundary for boundary in self.boundaries)]
