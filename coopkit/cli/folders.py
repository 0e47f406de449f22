"""Folders that the commands write, whole or not at all, and what none of them may replace."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coopkit.errors import RunError
from coopkit.writing import unfinished

FIGURES = "figures.json"
SHEET = "sheet.png"
COMPARED = "compared.png"
PICTURES = ("reconstructed", "restored", "uncertainty")
"""What a folder of results has beside its figures and sheets: folders of single pictures."""


def check_new_folder(option: str, path: Path) -> None:
    """Refuse a place that is taken where a folder is to be written, before anything is computed.

    Raises:
        RunError: it is a file, or a folder that is not empty, or a run's own, or can be none.
    """
    check_place(option, path)
    if path.exists() and not path.is_dir():
        raise RunError(f"{option} {path} is a file; give a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{option} {path} is not empty; give a new folder")
    check_no_run_has(option, path)


def check_no_run_has(option: str, path: Path) -> None:
    """Refuse a place at which a run keeps its own files.

    Raises:
        RunError: naming the run.
    """
    from coopkit.folder import run_that_keeps

    run = run_that_keeps(path)
    if run is not None:
        raise RunError(f"{option} {path} is a place of the run {run}'s own files; give another")


def check_unread(option: str, path: Path, run_folder: Path, *sources: str) -> None:
    """Refuse a place that is or holds what a command reads.

    Args:
        option: that gives the place.
        path: the place, of a file or a folder.
        run_folder: of the run, whose data must stay as they were, too.
        sources: of images, as `data.source` of a recipe, and other files.

    Raises:
        RunError: it is or holds one of them or the run.
    """
    for read in (run_folder, *places_of(run_folder, *sources)):
        if read.exists() and resolved(read).is_relative_to(resolved(path)):
            raise RunError(f"{option} {path} is, or holds, {read}, which is read; give another")


def check_apart(option: str, path: Path, run_folder: Path, *sources: str) -> None:
    """Refuse a place of pictures that is or holds what a command reads, or lies among images.

    The arguments are those of `check_unread`.

    Raises:
        RunError: it is or holds one of them or the run, or lies in a folder of images.
    """
    check_unread(option, path, run_folder, *sources)
    for read, whose in places_of(run_folder, *sources).items():
        if read.is_dir() and resolved(path).is_relative_to(resolved(read)):
            raise RunError(f"{option} {path} lies in {read}, {whose}; give a place outside it")


def places_of(run_folder: Path, *sources: str) -> dict[Path, str]:
    """Return where images are that a command reads, and the data of its run, and whose they are."""
    from coopkit.data import place_of
    from coopkit.tasks.trained import run_recipe

    whose = dict.fromkeys(sources, "the images given")
    whose[run_recipe(run_folder).data.source] = f"the data of the run {run_folder}"
    places = {place_of(source): said for source, said in whose.items() if source}
    return {place: said for place, said in places.items() if place is not None}


@contextmanager
def results(folder: Path, overwrite: bool, run_folder: Path, *sources: str) -> Iterator[Path]:
    """Give a folder to write to, which becomes `folder` once all is there.

    Args:
        folder: of results; what is there already may be earlier results and nothing else.
        overwrite: whether they may be replaced.
        run_folder: of the run that the command reads.
        sources: files and folders of images that it reads.

    Raises:
        RunError: something is there already that must not be lost, or it lies among images.
    """
    check_no_run_has("--out", folder)
    check_apart("--out", folder, run_folder, *sources)
    with written_whole("--out", folder) as writing:
        check_earlier(folder, overwrite)
        yield writing


def check_earlier(folder: Path, overwrite: bool) -> None:
    """Refuse a place where something stands that must not be lost.

    Raises:
        RunError: it is no folder of results, or one that was not to be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file, no folder of results; give another --out")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    foreign = first_foreign(folder)
    if foreign is not None:
        raise RunError(
            f"{folder} holds what is no result of coopkit, {foreign}; give another --out"
        )
    if not overwrite:
        raise RunError(f"{folder} already holds results; --overwrite replaces them")


def first_foreign(folder: Path) -> str | None:
    """Return the first thing in a folder that is none of our results, or None."""
    if not has_figures(folder):
        return min(entry.name for entry in folder.iterdir())
    for entry in sorted(folder.iterdir()):
        if entry.name in PICTURES and entry.is_dir():
            others = (file for file in sorted(entry.iterdir()) if not is_picture(file))
            other = next(others, None)
            if other is not None:
                return f"{entry.name}/{other.name}"
        elif entry.name not in (FIGURES, SHEET, COMPARED) or not entry.is_file():
            return entry.name
    return None


def has_figures(folder: Path) -> bool:
    """Whether the figures in a folder are such as the commands write: they say what was asked."""
    try:
        return "asked" in json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def is_picture(file: Path) -> bool:
    """Whether a file is named as single pictures of results are."""
    return file.suffix == ".png" and file.is_file()


@contextmanager
def written_whole(option: str, folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes the place of `folder` once all is there.

    Whatever ends the command before, an error, Ctrl-C or SIGTERM, leaves nothing behind: folders
    around it are made last. A link is followed, and stays.

    Raises:
        RunError: it is a folder that nothing can replace, or nothing can be written there.
    """
    from coopkit.interrupts import unwinding_sigterm

    place = resolved(folder)
    if Path.cwd().is_relative_to(place) or place.is_mount():
        raise RunError(f"{folder} cannot be replaced as a whole; give a new folder as {option}")
    check_place(option, folder)
    writing = beside(place)
    with unwinding_sigterm():
        shutil.rmtree(writing, ignore_errors=True)
        try:
            with cannot_be_written(option, folder):
                writing.mkdir()
            yield writing
            put(writing, place)
        finally:
            shutil.rmtree(writing, ignore_errors=True)


def check_place(option: str, path: Path) -> None:
    """Refuse a place at which nothing can ever stand, by its name or by what it lies in.

    Raises:
        RunError: with the system's reason.
    """
    with cannot_be_written(option, path), suppress(FileNotFoundError):
        path.lstat()


@contextmanager
def cannot_be_written(option: str, path: Path) -> Iterator[None]:
    """Have an error of the system say at which place of the user's it came up.

    Raises:
        RunError: for any error of the system.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{option} {path} cannot be written: {error.strerror}") from error


def resolved(folder: Path) -> Path:
    """Return where a folder is or would be, without links; one that leads in a circle stays."""
    return Path(os.path.realpath(folder))


def nearest_folder(place: Path) -> Path:
    """Return the nearest folder above a place that is there already."""
    return next(folder for folder in place.parents if folder.exists())


def beside(place: Path) -> Path:
    """Return where to write what is to be at a place: hidden, where no new folder is needed."""
    near = nearest_folder(place)
    return near / unfinished("-".join(place.relative_to(near).parts))


def put(writing: Path, place: Path) -> None:
    """Let two folders change places, the second of which need not be there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        writing.rename(place)
        return
    earlier = writing.with_name(f"{writing.name}-earlier")
    place.rename(earlier)
    try:
        writing.rename(place)
    except BaseException:
        earlier.rename(place)
        raise
    earlier.rename(writing)
