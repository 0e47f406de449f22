"""The commands that list what there is: recipes, and what plugins supply."""

from typing import Any

import click
from rich.table import Table

from coopkit.cli.console import out, plain, warn_of_plugins


@click.group(invoke_without_command=True)
@click.pass_context
def recipes(context: click.Context) -> None:
    """List the packaged recipes."""
    if context.invoked_subcommand is not None:
        return
    from coopkit.recipes import packaged_recipes

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
    from coopkit.recipes import packaged_recipes

    known = packaged_recipes()
    if name not in known:
        raise RecipeError(
            name, [f"no packaged recipe has this name; {did_you_mean(name, list(known))}"]
        )
    click.echo(known[name], nl=False)


@recipes.command("keys")
@click.argument("table")
def show_keys(table: str) -> None:
    """Print the keys of TABLE: types, defaults, units and meaning.

    TABLE is data, draft, shift, reconstruction, run, start, steps (of revision and inference) or
    capped (the optimiser). Networks, samplers and schedules are plugins: coopkit plugins show NAME.
    """
    from coopkit.errors import CoopkitError, did_you_mean
    from coopkit.recipes import KEYS

    if table in ("descriptor", "generator", "revision", "inference"):
        raise CoopkitError(
            f"the keys of [{table}] are those of the plugin that it names: coopkit plugins lists "
            "them, coopkit plugins show NAME prints the keys"
        )
    if table not in KEYS:
        raise CoopkitError(f"no table is called {table!r}; {did_you_mean(table, list(KEYS))}")
    out.print(keys_of(KEYS[table], "key"))


@click.group(invoke_without_command=True)
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
    from coopkit.recipes.reference import first_line

    entries = [entry for entry in registry().entries if entry.name == name]
    if not entries:
        known = sorted({entry.name for entry in registry().entries})
        sentence = f"no plugin supplies {name!r}; {did_you_mean(name, known)}"
        raise PluginError("\n".join([sentence, *registry().problems]))
    warn_of_plugins()
    for entry in entries:
        out.print(f"{entry.kind} {entry.name}, {entry.distribution} {entry.version}", style="bold")
        out.print(first_line(entry.cls), markup=False, highlight=False, emoji=False)
        out.print(keys_of(entry.cls, "field"))


def keys_of(cls: type[Any], heading: str) -> Table:
    """Return the fields of a class as a table."""
    from coopkit.recipes.reference import fields_of

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in (heading, "type", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for field in fields_of(cls):
        table.add_row(*map(plain, (field.name, field.type, field.default, field.meaning)))
    return table
