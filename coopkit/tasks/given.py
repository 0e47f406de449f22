"""Images that a user gives to a trained pair."""

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
        names: of the files, without their folder and ending, each different.
        signals: (n, channels, height, width), on the device of the pair.
    """

    names: tuple[str, ...]
    signals: Tensor

    def __len__(self) -> int:
        return len(self.names)


def read_given(trained: Trained, source: str | Path, asked: str = "images") -> Given:
    """Return one signal for each image of a file or folder, in the order of their names.

    An image is prepared as those of the training were, but for its crop, which is always the
    central one, and its colour, which is made that of the run.

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
        color="grey" if channels == 1 else "rgb",
    )
    files = [name for name, _ in find_images(table.source, asked)]
    images = load_images(table, asked=asked)
    signals = to_signals(images.pixels, trained.mean).to(trained.device)
    return Given(distinct(files), signals)


def distinct(files: list[str]) -> tuple[str, ...]:
    """Return short names of files; those that are not unique have a number."""
    names: dict[str, None] = {}
    for stem in (Path(file).stem for file in files):
        numbered = (f"{stem}-{number}" for number in count(2))
        names[next(name for name in chain([stem], numbered) if name not in names)] = None
    return tuple(names)


__all__ = ["Given", "read_given"]
