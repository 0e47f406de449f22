"""What a distance between images is held against."""

import attrs


@attrs.frozen
class Scale:
    """How far real images are from each other, and how far something plainly wrong is from them.

    Attributes:
        floor: the distance of real from real, where chance and uneven images alone are seen.
        ceiling: the distance of what has only the simplest statistics of the real.
    """

    floor: float
    ceiling: float

    def relative(self, distance: float) -> float | None:
        """Return where a distance stands: 0 at the floor, 1 at the ceiling, beyond either too.

        None where the ceiling is not above the floor, so that the distance tells nothing.
        """
        if self.ceiling <= self.floor:
            return None
        return (distance - self.floor) / (self.ceiling - self.floor)
