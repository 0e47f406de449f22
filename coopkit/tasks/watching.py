"""Telling whoever waits how far a task is."""

from collections.abc import Callable

Watch = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is, and of how much if that is known."""


def nobody(doing: str, done: int, total: int | None) -> None:
    """Listen to nothing."""


def tell(watch: Watch, doing: str, total: int, done: int) -> None:
    """Pass on how much is done of what is counted."""
    watch(doing, done, total)


__all__ = ["Watch", "nobody", "tell"]
