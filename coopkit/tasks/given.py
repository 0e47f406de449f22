"""Images that a user gives to a trained pair."""

import os
from itertools import chain, count
from pathlib import Path

import attrs
from torch import Tensor

from coopkit.data import find_images, load_images, to_signals
from coopkit.tasks.trained import Trained


@attrs.frozen(eq=False)
class Given:
    """Images of a file or folder, in the units of training.

    Attributes:
        files: where each image is in the source, with its ending.
        names: of the pictures that are made of them, each different: the same without the ending
            and with - for each /, and a number where that would be another's.
        signals: (n, channels, height, width), on the device of the pair.
    """

    files: tuple[str, ...]
    names: tuple[str, ...]
    signals: Tensor

    def __len__(self) -> int:
        return len(self.names)


def read_given(trained: Trained, source: str | Path, asked: str = "images") -> Given:
    """Return one signal for each image of a file or folder, in the order of their names.

    An image is prepared as those of the training were, but for its crop, which is always the
    central one and never mirrored, and its colour, which is made that of the run.

    Args:
        trained: from `coopkit.load`.
        source: as `data.source` of a recipe.
        asked: what a user has written it to, for messages.

    Raises:
        DataError: there is no image, or one that cannot be read or is too small.
    """
    channels, height, width = trained.signal_shape
    table = attrs.evolve(
        trained.recipe.data,
        source=str(source),
        height=height,
        width=width,
        crop="center",
        crops=1,
        mirror=False,
        color="grey" if channels == 1 else "rgb",
    )
    files = [inside(name, table.source) for name, _ in find_images(table.source, asked)]
    images = load_images(table, asked=asked)
    signals = to_signals(images.pixels, trained.mean).to(trained.device)
    return Given(tuple(files), distinct(files), signals)


def inside(file: str, source: str) -> str:
    """Return where a file is in the folder that is the source; the name of a source of its own."""
    folder = Path(os.path.expanduser(source))
    path = Path(file)
    return path.relative_to(folder).as_posix() if folder in path.parents else path.name


KEPT = 200
"""Bytes of the name of an image in that of its picture."""


def distinct(files: list[str]) -> tuple[str, ...]:
    """Return names for pictures of files; those that are not unique have a number.

    Of a long one the beginning is kept.
    """
    names: dict[str, None] = {}
    for file in files:
        flat = Path(file).with_suffix("").as_posix().replace("/", "-")
        if len(whole := os.fsencode(flat)) > KEPT:
            flat = whole[:KEPT].decode(errors="ignore")
        numbered = (f"{flat}-{number}" for number in count(2))
        names[next(name for name in chain([flat], numbered) if name not in names)] = None
    return tuple(names)


__all__ = ["Given", "read_given"]
