"""What a distance between images is held against."""

from collections.abc import Sequence

import attrs
import torch

APART = 2.0
"""The least number of spreads from floor to ceiling for a place between them to mean anything."""


@attrs.frozen
class Scale:
    """How far real images are from each other, and how far something plainly wrong is from them.

    Attributes:
        floor: the distance of real from real, where chance and uneven images alone are seen.
        ceiling: the distance of what has only the simplest statistics of the real.
        spread: the standard deviation of the difference of one reading of either, or more than it
            where what they share makes both large together; with all readings alike it is 0.
    """

    floor: float
    ceiling: float
    spread: float = 0.0

    @property
    def tells(self) -> bool:
        """Whether real images can be told from wrong ones: ceiling − floor > 2 spread.

        If readings are normal, and their spread is as measured, a real image is then farther off
        than a wrong one less than once in 44 times, Φ(−2). As it is measured by few readings, some
        10 of 100 scales whose true gap is a single spread tell as well. Below it, where a distance
        stands says more of the scale than of the image.
        """
        return self.ceiling - self.floor > APART * self.spread

    def relative(self, distance: float) -> float | None:
        """Return where a distance stands: 0 at the floor, 1 at the ceiling, beyond either too.

        None where the scale does not tell real images from wrong ones.
        """
        if not self.tells:
            return None
        return (distance - self.floor) / (self.ceiling - self.floor)


def scale_of(floors: Sequence[float], ceilings: Sequence[float]) -> Scale:
    """Return the scale that readings make, two or more of the floor and of the ceiling each."""
    low, high = torch.tensor(floors).double(), torch.tensor(ceilings).double()
    spread = (deviation(floors) ** 2 + deviation(ceilings) ** 2) ** 0.5
    return Scale(float(low.mean()), float(high.mean()), spread)


def deviation(readings: Sequence[float]) -> float:
    """Return the standard deviation of what readings are drawn from.

    Of two it is their difference. Their own standard deviation, 1/√2 of that, comes out too small
    in two of three pairs, P(|Z| < 1); the difference in about half of them, P(|Z| < 1/√2).
    """
    if len(readings) == 2:
        return abs(readings[0] - readings[1])
    return float(torch.tensor(readings).double().std())
