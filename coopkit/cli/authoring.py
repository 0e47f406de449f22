"""The commands for the author of a plugin."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from coopkit.cli.console import out, say, warn_of_plugins

KINDS = ("descriptor", "generator", "sampler", "schedule")
"""Written out, because the module that has them loads torch."""


@click.command()
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
    """Prove or refute that the sampler NAME, or file.py:Class, is right; status 1 if it fails."""
    from coopkit.testing.terminal import Request
    from coopkit.testing.terminal import check as conforms

    warn_of_plugins()
    if not conforms(Request(**asked), out):
        sys.exit(1)


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "--in",
    "folder",
    type=Path,
    default=Path(),
    metavar="DIR",
    help="Where to write coopkit-NAME; the working folder if left out.",
)
def new(kind: str, name: str, folder: Path) -> None:
    """Write a package with a plugin of that KIND, which works and passes its tests as it is."""
    from coopkit.scaffold import new_plugin

    warn_of_plugins()
    place = new_plugin(kind, name, folder)
    say(f"wrote {place}. What to do next:")
    say(f"  cd {shlex.quote(str(place))}")
    say('  pip install -e ".[test]"')
    say(f"  coopkit plugins show {name}")
    if kind == "sampler":
        say(f"  coopkit check {name} --profile quick")
    say("  pytest")
    say("  coopkit run recipe.toml")
