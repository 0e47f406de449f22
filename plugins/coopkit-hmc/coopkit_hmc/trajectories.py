"""Where the chains of Hamiltonian Monte Carlo stand, and one leapfrog step of all of them."""

import attrs
import torch
from einops import rearrange, reduce
from torch import Tensor

from coopkit import Target
from coopkit.tuning import DualAveraging


@attrs.frozen(eq=False)
class Counts:
    """What happened since the chains were started; a row for each of them, (chains,), int64.

    Attributes:
        trajectories: how many are finished.
        accepted: how many of these were.
        divergences: at the end of how many the energy had risen by more than 1000, or was not
            finite.
    """

    trajectories: Tensor
    accepted: Tensor
    divergences: Tensor

    @classmethod
    def none(cls, position: Tensor) -> "Counts":
        """Return the counts of chains at `position` (chains, ...) before their first step."""
        zero = torch.zeros(len(position), dtype=torch.int64, device=position.device)
        return cls(zero, zero, zero)

    def after(self, ended: Tensor, accepted: Tensor, diverged: Tensor) -> "Counts":
        """Return the counts after a step at which some trajectories may have ended."""
        return Counts(
            self.trajectories + ended, self.accepted + accepted, self.divergences + diverged
        )


@attrs.frozen(eq=False)
class Moving:
    """A point of every chain on its trajectory.

    Attributes:
        point: (chains, ...).
        momentum: (chains, ...).
        score: ∇ log p at the point, (chains, ...).
        log_prob: log p + const at the point, (chains,), as the target gives it.
    """

    point: Tensor
    momentum: Tensor
    score: Tensor
    log_prob: Tensor

    def leap(self, target: Target, delta: Tensor) -> "Moving":
        """Return the points one leapfrog step later, Neal (2011), section 5.2.3.

        Args:
            target: evaluated once, at the new point.
            delta: the step size in a shape that multiplies a point.
        """
        momentum = self.momentum + delta / 2 * self.score
        point = self.point + delta * momentum
        log_prob, score = target.log_prob_and_score(point)
        return Moving(point, momentum + delta / 2 * score, score, log_prob)

    def where(self, chosen: Tensor, other: "Moving") -> "Moving":
        """Return the points of the chains that are chosen, (chains,), and else those of another."""
        mask = beside(chosen, self.point)
        return Moving(
            torch.where(mask, self.point, other.point),
            torch.where(mask, self.momentum, other.momentum),
            torch.where(mask, self.score, other.score),
            torch.where(chosen, self.log_prob, other.log_prob),
        )


@attrs.frozen(eq=False)
class HmcState:
    """The chains of Hamiltonian Monte Carlo.

    Attributes:
        position: where the last accepted trajectory ended, (chains, ...), float32.
        score: ∇ log p at the position, (chains, ...).
        log_prob: log p + const at the position, (chains,), as the target gives it.
        moving: the point on the present trajectory.
        energy: ‖momentum‖²/2 − log p at the start of the present trajectory, (chains,).
        remaining: leapfrog steps to its end, (chains,), int64; at 0 a new one begins.
        counts: what happened so far.
        tuning: of the step sizes; None without a warm-up.
    """

    position: Tensor
    score: Tensor
    log_prob: Tensor
    moving: Moving
    energy: Tensor
    remaining: Tensor
    counts: Counts
    tuning: DualAveraging | None = None


def all_finite(x: Tensor) -> Tensor:
    """Return whether every entry of a chain is finite: (chains, ...) to (chains,)."""
    return reduce(x.isfinite(), "chains ... -> chains", "all")


def beside(values: Tensor, x: Tensor) -> Tensor:
    """Return one value for each chain, (chains,), in a shape that multiplies x, (chains, ...)."""
    return rearrange(values, f"chains -> chains {'1 ' * (x.ndim - 1)}")


__all__ = ["Counts", "HmcState", "Moving", "all_finite", "beside"]
