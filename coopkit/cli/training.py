"""The commands for a pair of networks: train it, say how far it is."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from coopkit.cli.console import counted, err, out, plain, say, warn_of_plugins
from coopkit.cli.folders import resolved
from coopkit.errors import RunError

if TYPE_CHECKING:
    from coopkit.training import Run

RESUME_HINT = "go on with: coopkit run {folder} --resume"


@click.command()
@click.argument("recipe")
@click.option("--out", "folder", type=Path, help="The run's folder; runs/NAME if left out.")
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override one key."
)
@click.option("--resume", is_flag=True, help="Go on from the folder's newest checkpoint.")
@click.option("--overwrite", is_flag=True, help="Remove the run that is in the folder first.")
def run(
    recipe: str, folder: Path | None, overrides: tuple[str, ...], resume: bool, overwrite: bool
) -> None:
    """Train as RECIPE says: a file, a packaged name, or with --resume a run's folder."""
    from coopkit.folder import RECIPE_FILE
    from coopkit.recipes import Recipe
    from coopkit.tasks.trained import run_recipe
    from coopkit.training import run as train
    from coopkit.watchers.terminal import Beginning, watcher

    warn_of_plugins()
    stored = Path(recipe) / RECIPE_FILE
    if resume and stored.is_file():
        if folder is not None and resolved(folder) != resolved(Path(recipe)):
            raise click.UsageError(
                f"--out {folder} is of no use: --resume goes on with the run {recipe} where it is; "
                "leave one of them out"
            )
        run_recipe(recipe)  # says which plugins are not there any more
        folder, recipe = folder or Path(recipe), str(stored)
    elif resume and Path(recipe).is_dir():
        raise RunError(f"{recipe} holds no run to go on with: there is no {RECIPE_FILE} in it")
    folder = folder or Path("runs") / Path(recipe).stem
    parsed = Recipe.read(recipe, overrides)
    watchers = [watcher(err), Beginning(err, resume)]
    ended = train(parsed, folder, resume=resume, overwrite=overwrite, watchers=watchers)
    if ended.is_main:
        tell_end(ended)
    if ended.interrupted:
        sys.exit(128 + ended.interrupted)


def tell_end(ended: "Run") -> None:
    """Say where the results of a run are, and how to go on with an interrupted one."""
    if ended.interrupted:
        hint = RESUME_HINT.format(folder=shlex.quote(str(ended.folder)))
        where = f"after iteration {ended.iteration}"
        if ended.start is not None:
            total = ended.start.recipe.run.iterations
            where = f"in the start, after iteration {ended.start.iteration} of {total},"
        say(f"stopped {where} by {ended.interrupted.name}; {hint}")
        return
    sheet = ended.folder / "sheets" / f"{ended.iteration:08d}.png"
    say(f"{counted(ended.iteration, 'iteration')} done. Look at {sheet}")
    folder = shlex.quote(str(ended.folder))
    many = "" if ended.recipe.generator is None else " -n 64"
    say(f"draw from it with: coopkit sample {folder}{many} --out sheet.png")


@click.command()
@click.argument("subject", metavar="RUN")
@click.option("--estimate", is_flag=True, help="RUN is a recipe: say how much memory it takes.")
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override one key of it."
)
def info(subject: str, estimate: bool, overrides: tuple[str, ...]) -> None:
    """Say what a run is: its recipe, how far it got, its last figures.

    With --estimate RUN is a recipe, a file or a packaged name, and what is said is how much memory
    a run of it takes.
    """
    if estimate:
        from coopkit.recipes import Recipe
        from coopkit.tasks.estimate import describe_estimate

        said = describe_estimate(Recipe.read(subject, overrides))
    else:
        from coopkit.tasks.describe import describe_run

        if overrides:
            raise click.UsageError("--set goes with --estimate")
        said = describe_run(Path(subject))
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in said.items():
        table.add_row(plain(key), plain(value))
    out.print(table)
