"""Where the commands put what they make: pictures and figures, whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from coopkit.errors import RunError

if TYPE_CHECKING:
    from coopkit.tasks.trained import Trained

FIGURES = "figures.json"


def check_picture(option: str, path: Path) -> None:
    """Refuse a name that no picture can have, before anything is computed.

    Raises:
        RunError: saying which ending would be right.
    """
    from PIL import Image

    check_file(option, path)
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise RunError(f"{option} {path}: the name must end in an image format, such as .png")


def check_file(option: str, path: Path) -> None:
    """Refuse a folder where a file is to be written, before anything is computed.

    Raises:
        RunError: it is one.
    """
    if path.is_dir():
        raise RunError(f"{option} {path} is a folder; give the name of a file")


def check_new_folder(option: str, path: Path) -> None:
    """Refuse a place that is taken where a folder is to be written, before anything is computed.

    Raises:
        RunError: it is a file, or a folder that is not empty.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{option} {path} is a file; give a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{option} {path} is not empty; give a new folder")


def check_steps(run_folder: Path, steps: int | None) -> None:
    """Refuse revision steps where nothing revises, before anything is computed.

    Raises:
        RunError: there is no run, or it has no descriptor.
    """
    from coopkit.tasks.trained import run_recipe

    if run_recipe(run_folder).descriptor is None and steps is not None:
        raise RunError(f"--steps is of no use: the run {run_folder} has no descriptor to revise by")


def refuse_without(needed: str, *names: str) -> None:
    """Refuse options of the command that say something of another, which was left out.

    Raises:
        click.UsageError: one of them was given.
    """
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") == ParameterSource.COMMANDLINE
        if option.name in names and given:
            raise click.UsageError(f"{option.opts[0]} is of no use without {needed}")


@contextmanager
def results(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write to, which becomes `folder` once all is there.

    Raises:
        RunError: something is there already that must not be lost.
    """
    occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if occupied and not (folder / FIGURES).is_file():
        raise RunError(f"{folder} holds what is no result of this command; give another --out")
    if occupied and not overwrite:
        raise RunError(f"{folder} already holds results; --overwrite replaces them")
    with written_whole("--out", folder) as writing:
        yield writing


@contextmanager
def written_whole(option: str, folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes the place of `folder` once all is there.

    Raises:
        RunError: it is a folder that nothing can take the place of.
    """
    from coopkit.checkpoint import TEMPORARY

    if folder.name in ("", "..") or (folder.exists() and folder.samefile(Path.cwd())):
        raise RunError(f"{folder} cannot be replaced as a whole; give a new folder as {option}")
    writing = folder.with_name(f"{TEMPORARY}{folder.name}")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    try:
        yield writing
        if folder.exists():
            shutil.rmtree(folder)
        writing.rename(folder)
    finally:
        shutil.rmtree(writing, ignore_errors=True)


def load_with_prior(run_folder: Path, device: str, prior: str) -> "Trained":
    """Return a run with the prior of its latents that was asked for.

    Raises:
        RunError: there is no run, or nothing to fit a prior to.
    """
    from coopkit.tasks.prior import with_fitted_prior
    from coopkit.tasks.trained import load

    trained = load(run_folder, device)
    return with_fitted_prior(trained) if prior == "fitted" else trained


run_argument = click.argument("run_folder", metavar="RUN", type=Path)
images_option = click.option(
    "--images", "source", required=True, metavar="DIR", help="A file, or a folder of images."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Of all randomness; 0 if left out."
)
device_option = click.option("--device", default="cpu", help="A torch device, such as cuda.")
prior_option = click.option(
    "--prior",
    type=click.Choice(["standard", "fitted"]),
    default="standard",
    help="Of the latents: N(0, I), or of the law that Algorithm 2 saw those of its data have.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace earlier results.")
