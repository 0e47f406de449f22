"""What every way of filling wants of a field and its hole."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float64]
"""Values on a grid, (..., height, width); the leading axes share one hole."""

Hole = NDArray[np.bool_]
"""(height, width), True where the value is unknown."""


def checked(field: ArrayLike, hole: ArrayLike) -> tuple[Field, Hole]:
    """Return a field as float64 and its hole as booleans; what stands in the hole is not read.

    Raises:
        ValueError: the shapes do not fit, the hole covers everything, or a known entry is not
            finite.
    """
    values, unknown = np.asarray(field, dtype=np.float64), np.asarray(hole)
    if unknown.dtype != np.bool_:
        raise ValueError(f"a hole is an array of booleans, not of {unknown.dtype}")
    if unknown.ndim != 2 or values.shape[-2:] != unknown.shape:
        raise ValueError(
            f"a hole of shape {unknown.shape} does not fit a field of shape {values.shape}: "
            "it must be (height, width), the last two axes of the field"
        )
    if unknown.all():
        raise ValueError("the hole covers the whole field: no known entry is left to fill it from")
    if not np.isfinite(values[..., ~unknown]).all():
        raise ValueError("a known entry of the field is not finite; put it into the hole")
    return values, unknown


def filled_with(field: Field, hole: Hole, inside: Field) -> Field:
    """Return the field with these values, (entries of the hole, channels), in its hole."""
    filled = field.copy()
    filled[..., hole] = inside.T.reshape(*field.shape[:-2], -1)
    return filled
