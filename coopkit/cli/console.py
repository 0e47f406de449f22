"""What the commands print with: tables to standard output, everything else to standard error."""

from typing import Any

from rich.console import Console

out = Console()
err = Console(stderr=True)


def say(text: str) -> None:
    """Print to standard error, as it is."""
    err.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def plain(text: str) -> Any:
    """Return a text that rich shows as it is."""
    from rich.text import Text

    return Text(text)


def warn_of_plugins() -> None:
    """Say which installed plugins could not be used."""
    from coopkit.plugins import registry

    for problem in registry().problems:
        say(f"warning: {problem}")
