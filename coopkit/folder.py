"""Whether a run may write to a folder, and from where it goes on."""

import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from pathlib import Path
from typing import Any

import attrs
from filelock import FileLock, Timeout

from coopkit.checkpoint import CHECKPOINTS, list_checkpoints
from coopkit.data import place_of
from coopkit.errors import RunError
from coopkit.recipes import Recipe
from coopkit.writing import TEMPORARY

SOFT = "fallback_to_soft"
HARD: dict[str, Any] = {SOFT: False} if SOFT in signature(FileLock).parameters else {}
"""A lock that the system lets go with its process, not a file that has to be deleted after it."""

RECIPE_FILE = "recipe.toml"
ENVIRONMENT_FILE = "environment.json"
FAST_FILE = "fast.json"
METRICS_FILE = "metrics.jsonl"
SHEETS = "sheets"
START = "start"
"""Where [generator.start] has its run."""
LOCK_FILE = f"{TEMPORARY}lock"
OWN = (RECIPE_FILE, ENVIRONMENT_FILE, FAST_FILE, METRICS_FILE, CHECKPOINTS, SHEETS, START)
"""What a run may write to its folder."""


def check_folder(recipe: Recipe, folder: Path, resume: bool, overwrite: bool) -> list[Path]:
    """Return the checkpoints to resume from; refuse a folder that must not be written to.

    Raises:
        RunError: another run is there, what is to be resumed is not this recipe's run, or sheets
            would come to lie among the images that are learnt from.
    """
    images = place_of(recipe.data.source)
    if images is not None and images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise RunError(
            f"{folder} lies in data.source {recipe.data.source}, whose images its sheets would "
            "join; --out chooses a folder outside it"
        )
    if resume and overwrite:
        raise RunError("--resume and --overwrite exclude each other; choose one")
    if overwrite:
        check_start_is_elsewhere(recipe, folder)
    stored = folder / RECIPE_FILE
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; a run needs a folder of its own")
    if folder.is_dir() and not stored.exists() and any(map(foreign, folder.iterdir())):
        raise RunError(f"{folder} holds files that are no run's; give another folder")
    if stored.exists() and not (folder / ENVIRONMENT_FILE).exists():
        raise RunError(
            f"{folder} holds a {RECIPE_FILE} but no run that was begun; give another folder"
        )
    if not stored.exists() or overwrite:
        return []
    if not resume:
        raise RunError(
            f"{folder} already holds a run; --resume goes on with it, --overwrite removes it (in "
            "Python resume=True, overwrite=True), --out chooses another folder"
        )
    changed = sorted(differences(Recipe.read(stored).raw, recipe.raw))
    if changed:
        raise RunError(
            f"{folder} was begun with another recipe: {', '.join(changed)} differ; only "
            f"{', '.join(sorted(FREE_ON_RESUME))} may change on the way; "
            f"coopkit run {folder} --resume takes the recipe that is in the folder"
        )
    return list_checkpoints(folder / CHECKPOINTS)


def check_start_is_elsewhere(recipe: Recipe, folder: Path) -> None:
    """Refuse to overwrite the run from which another is to begin.

    Raises:
        RunError: generator.start is the folder, or lies in it.
    """
    start = recipe.generator.start if recipe.generator is not None else ""
    if isinstance(start, str) and start and Path(start).resolve().is_relative_to(folder.resolve()):
        raise RunError(
            f"generator.start: {start} is in {folder}, which --overwrite removes; "
            "--out chooses another folder"
        )


def foreign(path: Path) -> bool:
    """Whether something in a folder is more than what a run leaves that is killed at its start."""
    return not path.name.startswith(TEMPORARY) and path.name != ENVIRONMENT_FILE


def run_that_keeps(path: Path) -> Path | None:
    """Return the folder of the run whose own files a path is one of, or would be; None mostly."""
    path = Path(os.path.realpath(path))
    for above in path.parents:
        if (above / RECIPE_FILE).is_file() and (above / ENVIRONMENT_FILE).is_file():
            return above if path.relative_to(above).parts[0] in OWN else None
    return None


def clear_run(folder: Path) -> None:
    """Remove what a run has written to its folder, its start first, and nothing else.

    Whenever this is cut off, it can be done again.
    """
    if has_start(folder):
        clear_run(folder / START)
        with suppress(OSError):
            (folder / START).rmdir()
    for name in (SHEETS, CHECKPOINTS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (METRICS_FILE, FAST_FILE, RECIPE_FILE, ENVIRONMENT_FILE):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def cleared_unless(folder: Path, learnt: Callable[..., bool], *parts: object) -> Iterator[None]:
    """Remove the files of a new run that an error ends before its parts have `learnt` at all.

    They would be in the way of the same run with a mistake less. A run that is resumed, or that was
    stopped, keeps what it has.
    """
    new = not (folder / RECIPE_FILE).exists()
    try:
        yield
    except Exception:
        if new and not learnt(*parts):
            clear_run(folder)
        raise


def standing(folder: Path) -> tuple[bool, list[Path]]:
    """Return what tells of a run at work in a folder: whether it has a recipe, its checkpoints."""
    return (folder / RECIPE_FILE).exists(), list_checkpoints(folder / CHECKPOINTS)


@attrs.frozen
class Hold:
    """The folder of a run, as it is found, and then kept from other runs.

    Attributes:
        folder: of the run.
        found: what was `standing` there.
    """

    folder: Path
    found: tuple[bool, list[Path]] = attrs.field(
        default=attrs.Factory(lambda self: standing(self.folder), takes_self=True)
    )

    @contextmanager
    def kept(self, writes: bool) -> Iterator[None]:
        """Keep other runs from the folder, which is made if it is not there.

        A folder that was made goes with what is in it: it is removed where nothing is left. File
        systems that cannot lock a file go without.

        Args:
            writes: whether this process writes to it; nothing is done by the others.

        Raises:
            RunError: another run is at work in it, or was since it was found.
        """
        if not writes:
            yield
            return
        made = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / LOCK_FILE
        lock = FileLock(place, timeout=0, **HARD)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(
                f"another run is at work in {self.folder}; wait until it ends, or --out chooses "
                "another folder"
            ) from error
        except (OSError, NotImplementedError):
            pass
        try:
            if standing(self.folder) != self.found:
                raise RunError(f"another run has just been at work in {self.folder}; look at it")
            yield
        finally:
            with suppress(OSError):
                place.unlink()
            lock.release()
            if made:
                with suppress(OSError):
                    self.folder.rmdir()


def has_start(folder: Path) -> bool:
    """Whether the run in a folder has made the one in its folder start/."""
    try:
        tables = tomllib.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
        return isinstance(tables["generator"]["start"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        return False


FREE_ON_RESUME = {
    "run.iterations",
    "run.sheet_every",
    "run.checkpoint_every",
    "run.keep_checkpoints",
    "run.device",
    "run.fast",
    "run.choices",
    "run.memory",
    "data.workers",
}


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted keys in which two recipes differ and may not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            below = f"{path}.{key}" if path else key
            yield from differences(old.get(key), new.get(key), below)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        if list(old) != list(new):
            yield path
    elif old != new and path not in FREE_ON_RESUME:
        yield path
