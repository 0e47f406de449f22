"""Options that several commands have, and what of them is refused before anything is computed."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from coopkit.cli.folders import (
    cannot_be_written,
    check_apart,
    check_no_run_has,
    check_place,
    check_unread,
    nearest_folder,
)
from coopkit.errors import RunError

if TYPE_CHECKING:
    from coopkit.tasks.trained import Trained

FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".pdf")
"""Of pictures that a user may ask for."""


def check_picture(option: str, path: Path, run_folder: Path, *sources: str) -> None:
    """Refuse a name that no picture can have, before anything is computed.

    Raises:
        RunError: saying which ending would be right, or as `check_file` and `check_apart` do.
    """
    check_file(option, path)
    check_apart(option, path, run_folder, *sources)
    if path.suffix.lower() not in FORMATS:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise RunError(f"{option} {path}: the name must end in {known}")


def check_figures(option: str, path: Path, run_folder: Path, *sources: str) -> None:
    """Refuse a name that figures are not to have, before anything is computed.

    Raises:
        RunError: it does not end in .json, or as `check_file` and `check_unread` do.
    """
    check_file(option, path)
    check_unread(option, path, run_folder, *sources)
    if path.suffix.lower() != ".json":
        raise RunError(f"{option} {path}: the name must end in .json")


def check_file(option: str, path: Path) -> None:
    """Refuse a place where no file is to be written, before anything is computed.

    Raises:
        RunError: it is a folder or a file of a run's own, or nothing can be written there.
    """
    check_place(option, path)
    if path.is_dir():
        raise RunError(f"{option} {path} is a folder; give the name of a file")
    check_no_run_has(option, path)
    with cannot_be_written(option, path), TemporaryFile(dir=nearest_folder(path.absolute())):
        pass


def check_steps(run_folder: Path, steps: int | None, asked: str = "--steps") -> None:
    """Refuse revision steps where nothing revises, before anything is computed.

    Args:
        run_folder: of the run.
        steps: None where no revision is asked for.
        asked: the option that asks for them.

    Raises:
        RunError: there is no run, or it has no descriptor.
    """
    from coopkit.tasks.trained import run_recipe

    if run_recipe(run_folder).descriptor is None and steps is not None:
        raise RunError(f"{asked} is of no use: the run {run_folder} has no descriptor to revise by")


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


def load_run(run_folder: Path, device: str, prior: str = "standard") -> "Trained":
    """Return a run with the prior of its latents that was asked for.

    Raises:
        RunError: there is no run, or nothing to fit a prior to.
    """
    from coopkit.fast import keep_memory
    from coopkit.tasks.prior import with_fitted_prior
    from coopkit.tasks.trained import load

    trained = load(run_folder, device)
    if trained.device.type == "cpu":
        keep_memory()
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
    help="Law of the latents: N(0, I), or a Gaussian fitted to the latents inferred in training "
    "(Algorithm 2 only).",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace earlier results.")
