"""What the commands print with: tables to standard output, everything else to standard error."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from coopkit.writing import whole_file

out = Console()
err = Console(stderr=True)

EVERY = 10.0
"""Seconds to the first line that says how far a command is, and from line to line, at least."""


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


def counted(number: int, one: str) -> str:
    """Return a number of things, "1 signal" or "2 signals"."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


@contextmanager
def watching() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show on standard error what is being done and how far it is: a bar, lines elsewhere."""
    from rich.progress import Progress

    told = time.monotonic()
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def watch(doing: str, done: int, total: int | None) -> None:
            nonlocal told
            progress.update(task, description=doing, completed=done, total=total)
            if not err.is_terminal and time.monotonic() - told >= EVERY:
                told = time.monotonic()
                say(doing if total is None else f"{doing} {done}/{total}")

        yield watch


def write_json(figures: Mapping[str, Any], path: Path) -> None:
    """Write figures as JSON, whole or not at all."""
    text = json.dumps(figures, indent=1, allow_nan=False)
    with whole_file(path) as writing:
        writing.write_text(text + "\n", encoding="utf-8")
