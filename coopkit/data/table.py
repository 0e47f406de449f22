"""What is observed: the table [data] of a recipe."""

from typing import Literal

import attrs
from attrs.validators import ge


def no_size_below_1(_: object, __: object, value: object) -> None:
    """Refuse sizes that no image has."""
    if isinstance(value, int) and value < 1:
        raise ValueError(f"must be >= 1: {value}")


@attrs.frozen(kw_only=True)
class DataTable:
    """Where the observed signals come from.

    Attributes:
        source: a file, a folder (searched in depth), or one of the packaged names brick, grass,
            gravel, camera, chelsea, coffee, rocket and digits. Write ./brick for a folder named so.
        height: of a signal, in pixels.
        width: of a signal, in pixels.
        color: "as is" wants all images grey or all in colour; "grey" and "rgb" convert.
        resize: the shorter side before cropping, in pixels; "fit" makes an image just cover the
            crop, "none" leaves it as it is.
        crop: "center" takes one crop of each image, "random" takes `crops` at random places drawn
            once from the run's seed, "grid" takes all that fit side by side.
        crops: random crops of each image.
        mirror: every crop, left and right exchanged, is an example, too, after all others.
        subtract_mean: subtract the mean of all pixels of the data set, one number.
        workers: threads that read and decode; the result does not depend on it.
    """

    source: str
    height: int = attrs.field(default=64, validator=ge(1))
    width: int = attrs.field(default=64, validator=ge(1))
    color: Literal["as is", "grey", "rgb"] = "as is"
    resize: int | Literal["fit", "none"] = attrs.field(default="fit", validator=no_size_below_1)
    crop: Literal["center", "random", "grid"] = "center"
    crops: int = attrs.field(default=1, validator=ge(1))
    mirror: bool = False
    subtract_mean: bool = False
    workers: int = attrs.field(default=4, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.crops > 1 and self.crop != "random":
            raise ValueError(
                f'has crops = {self.crops}, which needs crop = "random", not {self.crop!r}'
            )
