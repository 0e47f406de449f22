"""The command that says in numbers how good what a pair draws is."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from coopkit.cli.console import err, out, say

if TYPE_CHECKING:
    from coopkit.statistics.networks import Range
    from coopkit.tasks.evaluation import Evaluation

RANGES = ("[-1, 1]", "[0, 1]")


@click.command()
@click.argument("run_folder", metavar="RUN", type=Path)
@click.option("-n", "n", type=click.IntRange(min=1), help="How many signals; 64 if left out.")
@click.option("--images", "held_out", metavar="DIR", help="Images that the run has not seen.")
@click.option("--features", type=Path, help="A TorchScript or .pt2 file, for FID and KID.")
@click.option("--size", type=click.IntRange(min=1), default=299, help="Pixels that it wants.")
@click.option("--range", "values", type=click.Choice(RANGES), default=RANGES[0], help="Of these.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of all randomness.")
@click.option("--steps", type=click.IntRange(min=0), help="Revision steps; as in training.")
@click.option("--device", default="cpu", help="A torch device, such as cuda.")
@click.option("--out", "path", type=Path, help="A JSON file to write the figures to.")
def evaluate(
    run_folder: Path,
    features: Path | None,
    size: int,
    values: "Range",
    device: str,
    path: Path | None,
    **how: Any,
) -> None:
    """Say how good the signals are that the trained pair of RUN draws, S1 initial and S2 revised.

    Distances stand beside a floor, that of real images from each other, and a ceiling, that of
    noise like them from them.
    """
    from coopkit.statistics.networks import load_network
    from coopkit.tasks.evaluate import evaluate as measure
    from coopkit.tasks.trained import load

    trained = load(run_folder, device)
    network = None if features is None else load_network(features, size, values, device)
    with watching() as watch:
        found = measure(trained, network=network, watch=watch, **how)
    out.print(table_of(found))
    if path is not None:
        write(found, path)
        say(f"wrote {path}")


@contextmanager
def watching() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show on standard error, if that is a terminal, what is being done and how far it is."""
    from rich.progress import Progress

    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def watch(doing: str, done: int, total: int | None) -> None:
            progress.update(task, description=doing, completed=done, total=total)

        yield watch


def write(found: "Evaluation", path: Path) -> None:
    """Write the figures as JSON, whole or not at all."""
    from coopkit.checkpoint import TEMPORARY

    text = json.dumps(found.as_json(), indent=1, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f"{TEMPORARY}{path.name}")
    writing.write_text(text + "\n", encoding="utf-8")
    writing.replace(path)


def table_of(found: "Evaluation") -> Table:
    """Return the figures as a table, S1 and S2 beside what they are held against."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "S1 initial", "S2 revised", "held against"):
        table.add_column(heading, justify="left" if heading in ("", "held against") else "right")

    def row(name: str, figures: Mapping[str, float | None], against: str = "") -> None:
        cells = [figures.get(which) for which in ("initial", "revised")]
        table.add_row(name, *("-" if x is None else f"{x:.4g}" for x in cells), against)

    if found.distance is not None:
        scale = found.distance.scale
        floor, ceiling = f"floor {scale.floor:.3g}", f"ceiling {scale.ceiling:.3g}"
        row(found.distance.name, found.distance.drawn, f"{floor}, {ceiling}")
        row("  on its scale", found.distance.relative, "floor 0, ceiling 1")
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
            row(name, {which: values[name] for which, values in found.features.items()})
    return table
