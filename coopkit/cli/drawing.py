"""The commands that draw: samples, and paths between latents."""

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coopkit.cli.console import counted, say, watching
from coopkit.cli.folders import check_apart, check_new_folder, resolved, written_whole
from coopkit.cli.results import (
    check_picture,
    check_steps,
    device_option,
    load_run,
    prior_option,
    run_argument,
    seed_option,
)
from coopkit.errors import DataError, RunError

if TYPE_CHECKING:
    from torch import Tensor

    from coopkit.tasks.trained import Trained
    from coopkit.tasks.watching import Watch

PATHS = ("linear", "spherical")
"""Written out, because the module that has them loads torch."""

SHOWN = 1024
"""Samples on a sheet at most: 32 rows."""

ASCENT, ASCENTS = 300, 8
"""Steps to a mode of the latents of a given image, and how many climb, of which the best counts."""


class Size(click.ParamType[tuple[int, int]]):
    """Pixels: 512, or HEIGHTxWIDTH."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Return height and width."""
        found = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", str(value))
        if found is None or 0 in (sides := [int(side) for side in found.groups() if side]):
            self.fail(f"{value!r} is no size; give pixels, such as 512 or 256x512", param, ctx)
        return sides[0], sides[-1]


steps_option = click.option(
    "--steps",
    type=click.IntRange(min=0),
    help="Revision steps; as in training. Many more lead off.",
)


@click.command()
@run_argument
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    help="How many signals; as many as run.chains if left out.",
)
@click.option(
    "--out",
    "path",
    type=Path,
    help="The picture to write; sheet.png if left out, none if --files is given.",
)
@click.option("--files", type=Path, metavar="DIR", help="A folder for one picture of each signal.")
@click.option("--size", type=Size(), help="Pixels, 512 or 256x512, of textures; as in training.")
@steps_option
@seed_option
@device_option
@prior_option
def sample(
    run_folder: Path,
    count: int | None,
    path: Path | None,
    files: Path | None,
    device: str,
    prior: str,
    **how: Any,
) -> None:
    """Draw signals from the trained pair of RUN: S1 initial and S2 revised, side by side."""
    from coopkit.sheets import draw_sheet, save_image
    from coopkit.tasks.sample import sample as draw

    if path is None and files is None:
        path = Path("sheet.png")
    if path is not None:
        check_picture("--out", path, run_folder)
    check_steps(run_folder, how["steps"])
    if files is not None:
        check_files(files, path, run_folder)
    with written_whole("--files", files) if files else nullcontext() as writing:
        trained = load_run(run_folder, device, prior)
        count = count or trained.recipe.run.chains
        with watching() as watch:
            drawn = draw(trained, count, watch=watch, **how)
        panels = {"S1 initial": drawn.initial}
        if drawn.revised is not None:
            panels["S2 revised"] = drawn.revised
        if writing is not None:
            save_each(panels, trained.mean, writing)
    if trained.latents is not None and not trained.fitted_prior:
        say("X was drawn from N(0, I); --prior fitted draws from the law that it had in training")
    if path is not None:
        save_image(draw_sheet(panels, trained.mean, most=SHOWN), path)
        say(f"wrote {path}")
        if count > SHOWN:
            say(f"it shows the first {SHOWN} of {count} signals; --files DIR writes each of them")
    if files is not None:
        say(f"wrote {counted(count * len(panels), 'picture')} into {files}")


def check_files(files: Path, path: Path | None, run_folder: Path) -> None:
    """Refuse a folder that single pictures are not to be written to.

    Raises:
        RunError: it is not new, a run's or its data's, or it is where the sheet goes.
    """
    check_new_folder("--files", files)
    check_apart("--files", files, run_folder)
    if path is not None and resolved(files).is_relative_to(resolved(path)):
        raise RunError(f"--files {files} is, or lies in, the --out {path}; give another place")


def save_each(panels: Mapping[str, "Tensor"], mean: float, folder: Path) -> None:
    """Write each signal as a picture, S1-00000.png and on."""
    from coopkit.sheets import save_signals

    for title, signals in panels.items():
        names = [f"{title.partition(' ')[0]}-{number:05d}" for number in range(len(signals))]
        save_signals(folder, names, signals, mean)


@click.command()
@run_argument
@click.option(
    "-n", "paths", type=click.IntRange(min=1), help="Paths between random latents; 4 if left out."
)
@click.option(
    "--frames",
    type=click.IntRange(min=2, max=SHOWN),
    default=8,
    help="Of each path; 8 if left out.",
)
@click.option("--path", type=click.Choice(PATHS), default="spherical", help="Between the latents.")
@click.option(
    "--images",
    "ends",
    nargs=2,
    type=Path,
    metavar="FIRST LAST",
    help="Two images, whose inferred latents are the ends.",
)
@click.option(
    "--out",
    type=Path,
    default=Path("paths.png"),
    help="The picture to write; paths.png if left out.",
)
@click.option("--gif", type=Path, help="A moving picture to write, there and back.")
@steps_option
@seed_option
@device_option
@prior_option
def interpolate(
    run_folder: Path,
    paths: int | None,
    ends: tuple[Path, Path] | None,
    out: Path,
    gif: Path | None,
    seed: int,
    device: str,
    prior: str,
    **how: Any,
) -> None:
    """Draw what lies between latents of the generator of RUN, with and without revision."""
    import torch

    from coopkit.sheets import draw_sheet, save_frames, save_image
    from coopkit.tasks.interpolate import interpolate as draw
    from coopkit.tasks.interpolate import random_ends

    sources = [str(end) for end in ends or ()]
    check_picture("--out", out, run_folder, *sources)
    check_steps(run_folder, how["steps"])
    if gif is not None:
        check_gif(gif, out)
        check_picture("--gif", gif, run_folder, *sources)
    if ends and paths:
        raise click.UsageError("-n is of no use with --images, between which there is one path")
    check_ends(ends or ())
    trained = load_run(run_folder, device, prior)
    with watching() as watch:
        if ends:
            first, last = inferred(trained, ends, seed, watch)
        else:
            first, last = random_ends(trained, paths or 4, seed)
        drawn = draw(trained, first, last, seed=seed, watch=watch, **how)
    panels = {"g(X)": drawn.initial}
    if drawn.revised is not None:
        panels["revised"] = drawn.revised
    rows = {title: panel.flatten(0, 1) for title, panel in panels.items()}
    frames = drawn.initial.shape[1]
    shown = SHOWN // frames
    sheet = draw_sheet(rows, trained.mean, most=shown * frames, columns=frames)
    save_image(sheet, out)
    say(f"wrote {out}")
    if len(first) > shown:
        say(f"it shows the first {shown} of {counted(len(first), 'path')}; ask for fewer with -n")
    if gif is not None:
        moving = torch.cat([panel[:shown] for panel in panels.values()], dim=-1)
        save_frames([moving[:, frame] for frame in range(frames)], trained.mean, gif)
        say(f"wrote {gif}")


def check_gif(gif: Path, out: Path) -> None:
    """Refuse a name that a moving picture is not to have.

    Raises:
        RunError: it has another ending, or is that of the sheet.
    """
    if gif.suffix.lower() != ".gif":
        raise RunError(f"--gif {gif}: the name must end in .gif")
    if resolved(gif) == resolved(out):
        raise RunError(f"--gif {gif} is the --out of the sheet; give each a name of its own")


def check_ends(ends: Sequence[Path]) -> None:
    """Refuse ends of a path that are more than one image each.

    Raises:
        DataError: there is no image, or there are several.
    """
    from coopkit.data import find_images

    for end in ends:
        count = len(list(find_images(str(end), "--images")))
        if count > 1:
            raise DataError(f"--images: {end} holds {count} images; an end of a path is one")


def inferred(
    trained: "Trained", ends: tuple[Path, Path], seed: int, watch: "Watch"
) -> "tuple[Tensor, Tensor]":
    """Return the latents of two images, (1, *latent) each, at modes of p(X | Y)."""
    import torch

    from coopkit.tasks.given import read_given
    from coopkit.tasks.infer import InferenceSettings
    from coopkit.tasks.reconstruct import reconstruct

    signals = torch.cat([read_given(trained, end, "--images").signals for end in ends])
    modes = InferenceSettings(steps=0, ascent=ASCENT, chains=ASCENTS)
    latents = reconstruct(trained, signals, modes, seed=seed, watch=watch).latents
    return latents[:1], latents[1:]
