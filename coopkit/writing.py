"""Files that stand whole in their place, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

TEMPORARY = ".writing-"
"""Begins the names of files and folders that are not whole yet."""

LONGEST = 240
"""Bytes of the name of what is not whole yet: most systems have room for 255, and `-earlier`."""


def unfinished(name: str) -> str:
    """Return a name for what is not whole yet, with the ending of `name`, which may be a long one.

    Args:
        name: of a file or a folder, or several joined.
    """
    if len(TEMPORARY) + len(os.fsencode(name)) <= LONGEST:
        return f"{TEMPORARY}{name}"
    return f"{TEMPORARY}{sha256(os.fsencode(name)).hexdigest()}{Path(name).suffix[:9]}"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file, which then is moved to its place; nothing is left of an error.

    The folder of `path` is made if it is not there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(unfinished(path.name))
    try:
        yield writing
        writing.replace(path)
    finally:
        writing.unlink(missing_ok=True)


__all__ = ["TEMPORARY", "unfinished", "whole_file"]
