"""The command line: a thin skin over the Python API, of the same words.

Everything heavy is imported inside the commands, so that help and listings come at once.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from coopkit.errors import CoopkitError

if TYPE_CHECKING:
    from coopkit.training import Run

out = Console()
err = Console(stderr=True)

RESUME_HINT = "go on with: coopkit run {folder} --resume"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that a user can mend is one message and status 2."""
    try:
        cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except CoopkitError as error:
        say(f"coopkit: {error}")
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        say(f"coopkit: there is not enough memory: {str(error).partition(chr(10))[0]}")
        say("try a smaller run.chains or run.observed, fewer filters, or smaller signals")
        sys.exit(2)
    except OSError as error:
        say(f"coopkit: {error.filename or 'a file'} cannot be used: {error.strerror or error}")
        sys.exit(2)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not have the memory of a device or of the machine."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def say(text: str) -> None:
    """Print to standard error, as it is."""
    err.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="coopkit")
@click.option(
    "--no-plugins", is_flag=True, help="Leave third-party plugins out (as COOPKIT_NO_PLUGINS=1)."
)
def cli(no_plugins: bool) -> None:
    """Train descriptor and generator networks that teach each other."""
    if no_plugins:
        os.environ["COOPKIT_NO_PLUGINS"] = "1"


@cli.command()
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
    from coopkit.recipe import Recipe
    from coopkit.training import run as train
    from coopkit.watchers.terminal import watcher

    warn_of_plugins()
    stored = Path(recipe) / RECIPE_FILE
    if resume and stored.is_file():
        folder, recipe = folder or Path(recipe), str(stored)
    folder = folder or Path("runs") / Path(recipe).stem
    parsed = Recipe.read(recipe, overrides)
    ended = train(parsed, folder, resume=resume, overwrite=overwrite, watchers=[watcher(err)])
    if ended.is_main:
        tell_end(ended)
    if ended.interrupted:
        sys.exit(128 + ended.interrupted)


def tell_end(ended: "Run") -> None:
    """Say where the results of a run are, and how to go on with an interrupted one."""
    if ended.interrupted:
        hint = RESUME_HINT.format(folder=shlex.quote(str(ended.folder)))
        say(f"stopped after iteration {ended.iteration} by {ended.interrupted.name}; {hint}")
        return
    sheet = ended.folder / "sheets" / f"{ended.iteration:08d}.png"
    say(f"{ended.iteration} iterations done. Look at {sheet}")
    folder = shlex.quote(str(ended.folder))
    many = "" if ended.recipe.generator is None else " -n 64"
    say(f"draw from it with: coopkit sample {folder}{many} --out sheet.png")


def warn_of_plugins() -> None:
    """Say which installed plugins could not be used."""
    from coopkit.plugins import registry

    for problem in registry().problems:
        say(f"warning: {problem}")


@cli.group(invoke_without_command=True)
@click.pass_context
def recipes(context: click.Context) -> None:
    """List the packaged recipes."""
    if context.invoked_subcommand is not None:
        return
    from coopkit.recipe import packaged_recipes

    table = Table(box=None, pad_edge=False)
    table.add_column("recipe")
    table.add_column("what it trains")
    for name, text in packaged_recipes().items():
        table.add_row(name, text.splitlines()[0].lstrip("# "))
    out.print(table)


@recipes.command("show")
@click.argument("name")
def show_recipe(name: str) -> None:
    """Print the packaged recipe NAME, to copy and change."""
    from coopkit.errors import RecipeError, did_you_mean
    from coopkit.recipe import packaged_recipes

    known = packaged_recipes()
    if name not in known:
        raise RecipeError(
            name, [f"no packaged recipe has this name; {did_you_mean(name, list(known))}"]
        )
    click.echo(known[name], nl=False)


@cli.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List what the installed plugins supply."""
    if context.invoked_subcommand is not None:
        return
    from coopkit.plugins import registry

    table = Table(box=None, pad_edge=False)
    for column in ("name", "kind", "distribution", "version"):
        table.add_column(column)
    for entry in registry().entries:
        table.add_row(entry.name, entry.kind, entry.distribution, entry.version)
    out.print(table)
    warn_of_plugins()


@plugins.command("show")
@click.argument("name")
def show_plugin(name: str) -> None:
    """Print the fields of NAME: types, defaults, units and meaning."""
    from coopkit.errors import PluginError, did_you_mean
    from coopkit.plugins import registry
    from coopkit.reference import fields_of, first_line

    entries = [entry for entry in registry().entries if entry.name == name]
    if not entries:
        known = [entry.name for entry in registry().entries]
        raise PluginError(f"no plugin supplies {name!r}; {did_you_mean(name, known)}")
    for entry in entries:
        out.print(f"{entry.kind} {entry.name}, {entry.distribution} {entry.version}", style="bold")
        out.print(first_line(entry.cls), markup=False, highlight=False, emoji=False)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("field", "type", "default", "meaning"):
            table.add_column(column, overflow="fold")
        for field in fields_of(entry.cls):
            table.add_row(*map(plain, (field.name, field.type, field.default, field.meaning)))
        out.print(table)


def plain(text: str) -> Any:
    """Return a text that rich shows as it is."""
    from rich.text import Text

    return Text(text)


@cli.command()
@click.argument("name")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one of its fields."
)
@click.option(
    "--profile",
    type=click.Choice(["quick", "full"]),
    default="full",
    help="quick has fewer chains and examples, for an editor's loop; full if left out.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of all randomness; a new one if left out."
)
@click.option("--only", multiple=True, metavar="CHECK", help="A check, or a family of them.")
@click.option(
    "--expect-failure",
    "expected",
    multiple=True,
    metavar="CHECK=REASON",
    help="Expect a check to fail; that it passes is a failure then.",
)
def check(**asked: Any) -> None:
    """Prove or refute that the sampler NAME, or module:Class, is right; status 1 if it fails."""
    from coopkit.testing.terminal import Request
    from coopkit.testing.terminal import check as conforms

    warn_of_plugins()
    if not conforms(Request(**asked), out):
        sys.exit(1)


@cli.command()
@click.argument("run_folder", metavar="RUN", type=Path)
@click.option("-n", "count", type=click.IntRange(min=1), help="How many signals; as in training.")
@click.option("--out", "path", type=Path, default=Path("sheet.png"), help="The picture to write.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of all randomness.")
@click.option("--steps", type=click.IntRange(min=0), help="Revision steps; as in training.")
@click.option("--device", default="cpu", help="A torch device, such as cuda.")
def sample(
    run_folder: Path, count: int | None, path: Path, seed: int, steps: int | None, device: str
) -> None:
    """Draw signals from the trained pair of RUN: S1 initial and S2 revised, side by side."""
    from PIL import Image

    from coopkit.errors import RunError
    from coopkit.sheets import draw_sheet, save_image
    from coopkit.tasks.sample import sample as draw
    from coopkit.tasks.trained import load

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise RunError(f"--out {path}: the name must end in an image format, such as .png")
    trained = load(run_folder, device)
    count = count or trained.recipe.run.chains
    drawn = draw(trained, count, seed, steps)
    panels = {"S1 initial": drawn.initial}
    if drawn.revised is not None:
        panels["S2 revised"] = drawn.revised
    save_image(draw_sheet(panels, trained.mean, most=count), path)
    say(f"wrote {path}")


@cli.command()
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
        from coopkit.recipe import Recipe
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
