"""Files that stand whole in their place, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".writing-"
"""Begins the names of files and folders that are not whole yet."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file, which then is moved to its place; nothing is left of an error.

    The folder of `path` is made if it is not there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        yield writing
        writing.replace(path)
    finally:
        writing.unlink(missing_ok=True)


__all__ = ["TEMPORARY", "whole_file"]
