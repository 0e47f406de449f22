"""The commands that judge: what a pair draws, and given images by the descriptor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from coopkit.cli.console import counted, out, plain, say, watching, write_json
from coopkit.cli.folders import resolved
from coopkit.cli.restored import made_by
from coopkit.cli.results import (
    check_figures,
    check_steps,
    device_option,
    images_option,
    load_run,
    prior_option,
    refuse_without,
    run_argument,
    seed_option,
)

if TYPE_CHECKING:
    from coopkit.statistics.networks import Range
    from coopkit.tasks.evaluation import Evaluation, Recovery

RANGES = ("[-1, 1]", "[0, 1]")
SIGNALS = "How many signals; 64 if left out. Of a texture, so many pixels in larger pictures."
HELD_OUT = (
    "Images that the run has not seen, to compare with in place of the data; a texture is compared "
    "with its photograph all the same."
)
SIDE = "Of the feature network: the side of its images in pixels; 299 if left out."
VALUES = "The range of pixel values that the feature network expects; [-1, 1] if left out."
RESTORE = "Images whose occluded squares the generator restores, of no texture; 8 if left out."


class Spaced(click.Choice[str]):
    """A choice between words with blanks in them, which may be left out."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the word that has the same letters."""
        asked = "".join(str(value).split())
        same = (word for word in self.choices if "".join(word.split()) == asked)
        return super().convert(next(same, value), param, ctx)


@click.command()
@run_argument
@click.option("-n", "n", type=click.IntRange(min=1), help=SIGNALS)
@click.option("--images", "held_out", metavar="DIR", help=HELD_OUT)
@click.option("--features", type=Path, help="A TorchScript or .pt2 file, for FID and KID.")
@click.option("--size", type=click.IntRange(min=1), default=299, help=SIDE)
@click.option("--range", "values", type=Spaced(RANGES), default=RANGES[0], help=VALUES)
@seed_option
@click.option("--steps", type=click.IntRange(min=0), help="Revision steps; as in training.")
@click.option("--restore", type=click.IntRange(min=0), default=8, help=RESTORE)
@device_option
@prior_option
@click.option("--out", "path", type=Path, help="A JSON file to write the figures to.")
def evaluate(
    run_folder: Path,
    features: Path | None,
    size: int,
    values: "Range",
    device: str,
    prior: str,
    path: Path | None,
    **how: Any,
) -> None:
    """Say how good the signals are that the trained pair of RUN draws, S1 initial and S2 revised.

    Distances stand beside a floor, that of real images from each other, and a ceiling, that of
    noise like them from them.
    """
    from coopkit.data import find_images
    from coopkit.statistics.networks import load_network
    from coopkit.tasks.evaluate import evaluate as measure
    from coopkit.tasks.evaluate import texture_of
    from coopkit.tasks.trained import run_recipe

    if path is not None:
        check_figures("--out", path, run_folder, how["held_out"] or "")
    check_steps(run_folder, how["steps"])
    if run_recipe(run_folder).generator is None:
        refuse_without("a generator", "restore")
    if features is None:
        refuse_without("--features", "size", "values")
    else:
        check_comparable(how["n"])
    if how["held_out"] is not None:
        list(find_images(how["held_out"], "--images"))
    trained = load_run(run_folder, device, prior)
    if texture_of(trained) is not None:
        refuse_without("several images in the data: this run has the texture of one", "restore")
    network = None if features is None else load_network(features, size, values, device)
    with watching() as watch:
        found = measure(trained, network=network, watch=watch, **how)
    if path is not None:
        write_json(made_by(trained) | found.as_json(), path)
        say(f"wrote {path}")
    out.print(table_of(found))


def check_comparable(n: int | None) -> None:
    """Refuse features that could not be compared once they are there, before any are computed.

    Raises:
        click.UsageError: there would be too few for precision and recall.
        DataError: what computes FID and KID is not installed.
    """
    from coopkit.statistics.features import LEAST, metric_of

    if n is not None and n < LEAST:
        raise click.UsageError(f"--features needs -n {LEAST} at least, not -n {n}")
    metric_of("fid", "FrechetInceptionDistance")


def table_of(found: "Evaluation") -> Table:
    """Return the figures as a table, S1 and S2 beside what they are held against."""
    table = Table(box=None, pad_edge=False, caption_justify="left")
    for heading in ("", "S1 initial", "S2 revised", "held against"):
        table.add_column(heading, justify="left" if heading in ("", "held against") else "right")

    def row(name: str, figures: Mapping[str, float | None], against: str = "") -> None:
        cells = [figures.get(which) for which in ("initial", "revised")]
        table.add_row(name, *("-" if x is None else f"{x:.4g}" for x in cells), against)

    notes = []
    if found.distance is not None:
        scale = found.distance.scale
        floor, ceiling = f"floor {scale.floor:.3g}", f"ceiling {scale.ceiling:.3g}"
        row(found.distance.name, found.distance.drawn, f"{floor}, {ceiling}")
        copies = found.distance.copies_relative
        against = f"none: both vary by {scale.spread:.2g}"
        if copies is not None:
            against = f"from 0 to 1; copies {copies:.2f}"
        row("  on its scale", found.distance.relative, against)
        size = f"{found.distance.height} x {found.distance.width}"
        signals = f"{counted(found.distance.count, 'signal')} of {size}"
        notes.append(f"{found.distance.name} of {signals} from {found.distance.real} images")
    real = found.neighbours.real
    against = "" if real is None else f"{found.real} {real:.4g}"
    row("nearest training image", found.neighbours.drawn, against)
    row("  over that of real images", found.neighbours.ratio, "copies: below 1")
    row("diversity", found.diversity, "observed 1")
    if found.energies is not None:
        row("energy", found.energies.drawn, f"{found.real} {found.energies.real:.4g}")
        row("  less that of real images", found.energies.gap, "alike: 0")
    for name in ("fid", "kid", "precision", "recall"):
        if found.features:
            values = {which: features[name] for which, features in found.features.items()}
            own = f", real images {values['real']:.4g}" if "real" in values else ""
            row(name, values, found.real + own)
    if found.real == "held out" and real == 0:
        notes.append("the images held out are training images: they say nothing of unseen ones")
    if found.recovery is not None:
        notes += recovered(found.recovery)
    table.caption = "\n".join(notes)
    return table


def recovered(found: "Recovery") -> list[str]:
    """Return what is said of recovery errors, which are of neither S1 nor S2."""
    images = counted(found.count, f"{found.real} image")
    return [
        f"mean absolute errors of g(X), X inferred from {images}:",
        f"  {found.reconstructed:.4g} of all pixels",
        f"  {found.restored:.4g} in occluded squares of {found.side} pixels, "
        f"{found.by_mean:.4g} by the data's mean",
    ]


@click.command()
@run_argument
@images_option
@click.option("--against", metavar="DIR", help="Other images: how well energies tell them apart.")
@click.option("--out", "path", type=Path, help="A JSON file to write the figures to.")
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=10,
    help="Images of both ends together, at most; 10 if left out.",
)
@device_option
def energy(
    run_folder: Path, source: str, against: str | None, path: Path | None, show: int, device: str
) -> None:
    """Rank given images by their energy under the descriptor of RUN, the highest first.

    A high energy says that the descriptor finds an image unlikely. Blurred, flat and smooth images
    often have low energies, though unlike all that the run has seen: look at both ends.

    With --against, the area under the receiver operating characteristic says how well energy and
    auto-encoder residual (26) tell the images of the second folder from those of the first.
    """
    from coopkit.tasks.energy import auroc, energies
    from coopkit.tasks.given import read_given

    if path is not None:
        check_figures("--out", path, run_folder, source, against or "")
    if against is not None and resolved(Path(against)) == resolved(Path(source)):
        raise click.UsageError(f"--against {against} is what --images has; give other images")
    trained = load_run(run_folder, device)
    sources = (
        {"--images": source} if against is None else {"--images": source, "--against": against}
    )
    given = [read_given(trained, folder, option) for option, folder in sources.items()]
    rows, scores = [], []
    figures = made_by(trained)
    for folder, images in zip(sources.values(), given, strict=True):
        with watching() as watch:
            found = energies(trained, images.signals, watch=watch)
        scores.append((found.energy, found.residual))
        names = [(folder, name) for name in images.files]
        rows += list(zip(names, found.energy.tolist(), found.residual.tolist(), strict=True))
    rows.sort(key=lambda row: -row[1])
    figures["images"] = [
        {"folder": folder, "name": name, "energy": energy, "residual": residual}
        for (folder, name), energy, residual in rows
    ]
    areas = {}
    if against is not None:
        inside, outside = scores
        for column, name in enumerate(("energy", "residual")):
            areas[name] = auroc(inside[column], outside[column])
        figures["auroc"] = areas
    if path is not None:
        write_json(figures, path)
        say(f"wrote {path}")
    if show:
        out.print(ranking(rows, show))
    for name, area in areas.items():
        out.print(f"AUROC of the {name}: {area:.4f}", highlight=False)


def ranking(rows: Sequence[tuple[tuple[str, str], float, float]], show: int) -> Table:
    """Return images with their energies and residuals as a table, so many from both its ends."""
    table = Table(box=None, pad_edge=False)
    table.add_column("image")
    table.add_column("energy", justify="right")
    table.add_column("residual (26)", justify="right")
    several = len({folder for (folder, _), _, _ in rows}) > 1
    left_out = range(show - show // 2, len(rows) - show // 2)
    for place, ((folder, name), energy, residual) in enumerate(rows):
        if place not in left_out:
            image = plain(f"{folder}: {name}" if several else name)
            table.add_row(image, f"{energy:.6g}", f"{residual:.4g}")
        elif place == left_out.start:
            table.add_row("…", "…", "…")
    return table
