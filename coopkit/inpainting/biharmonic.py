"""Filling a hole so that ∇⁴ = 0 in it, by scikit-image."""

from numpy.typing import ArrayLike
from skimage.restoration import inpaint_biharmonic

from coopkit.inpainting.holes import Field, checked


def biharmonic(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill a hole by `skimage.restoration.inpaint_biharmonic`.

    Away from the borders this is `coopkit.inpainting.solves.plate_near`, except that each channel
    is cut off at the smallest and the largest of its known entries.

    Args:
        field: (..., height, width).
        hole: (height, width), True where the value is unknown.

    Raises:
        ValueError: see `coopkit.inpainting.holes.checked`.
    """
    values, unknown = checked(field, hole)
    channels = values.reshape(-1, *unknown.shape)
    filled = inpaint_biharmonic(channels.transpose(1, 2, 0), unknown, channel_axis=-1)
    result: Field = filled.transpose(2, 0, 1).reshape(values.shape)
    return result
