"""The commands for the author of a plugin."""

import sys
from typing import Any

import click

from coopkit.cli.console import out, warn_of_plugins


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
    """Prove or refute that the sampler NAME, or module:Class, is right; status 1 if it fails."""
    from coopkit.testing.terminal import Request
    from coopkit.testing.terminal import check as conforms

    warn_of_plugins()
    if not conforms(Request(**asked), out):
        sys.exit(1)
