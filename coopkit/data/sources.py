"""Where images are: files, folders, and the packaged names."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from coopkit.errors import DataError, did_you_mean

PHOTOGRAPHS = ("brick", "grass", "gravel", "camera", "chelsea", "coffee", "rocket")
"""CC0 photographs in scikit-image, found in its installed files without importing it."""

DIGITS = "digits"
"""scikit-learn's 1,797 handwritten digits of 8×8 (extra ``digits``)."""

Opener = Callable[[], Image.Image]


def find_images(source: str, asked: str = "data.source") -> Iterator[tuple[str, Opener]]:
    """Yield the name of each image of a source and how to open it, in a fixed order.

    Args:
        source: as `DataTable` has it.
        asked: what a user has written it to, for messages.

    Raises:
        DataError: the source does not exist or holds no image.
    """
    path = place_of(source)
    if path is None:
        yield from digits(asked) if source == DIGITS else photograph(source)
    elif path.is_file():
        yield str(path), partial(Image.open, path)
    elif not source or not path.is_dir():
        raise DataError(
            f"{asked}: {source!r} is no file, no folder and no packaged name; "
            f"{did_you_mean(source, [*PHOTOGRAPHS, DIGITS])}"
        )
    else:
        files = [file for file in visible_files(path) if is_image(file)]
        if not files:
            left = left_out(source)
            others = f", only {' and '.join(left)}" if left else ""
            raise DataError(f"{asked}: the folder {source!r} holds no image{others}")
        for file in files:
            yield str(file), partial(Image.open, file)


def left_out(source: str) -> list[str]:
    """Return how many files of a folder cannot be read as images, by ending: "3 of .heic"."""
    path = place_of(source)
    if path is None or not path.is_dir():
        return []
    endings = Counter(file.suffix.lower() for file in visible_files(path) if not is_image(file))
    return [f"{count} of {ending or 'no ending'}" for ending, count in sorted(endings.items())]


def place_of(source: str) -> Path | None:
    """Return where the images of a source are; None where they are packaged."""
    return None if source in (*PHOTOGRAPHS, DIGITS) else Path(os.path.expanduser(source))


def visible_files(folder: Path) -> list[Path]:
    """Return the files below a folder, in order, of which nothing on the way is hidden."""
    return sorted(
        file
        for file in folder.rglob("*")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and not file.is_dir()
    )


def is_image(file: Path) -> bool:
    """Whether a file, which is there, is named as an image that can be read."""
    readable = Image.registered_extensions().get(file.suffix.lower()) in Image.OPEN
    return readable and file.is_file()


def photograph(name: str) -> Iterator[tuple[str, Opener]]:
    """Yield one of scikit-image's photographs."""
    (packaged,) = Path(str(resources.files("skimage.data"))).glob(f"{name}.*")
    yield name, partial(Image.open, packaged)


def digits(asked: str) -> Iterator[tuple[str, Opener]]:
    """Yield scikit-learn's digits, 0 to 16 mapped to 0 to 255."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"{asked}: digits needs scikit-learn; install it with: pip install 'coopkit[digits]'"
        ) from error
    for number, image in enumerate(load_digits().images):
        grey = np.rint(image * (255 / 16)).astype(np.uint8)
        yield f"digit {number}", partial(Image.fromarray, grey)
