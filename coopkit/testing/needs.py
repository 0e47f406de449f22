"""What the checks need beside coopkit itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from coopkit.errors import CoopkitError

NEEDED = ("hypothesis", "pytest", "scipy")
"""Packages of the extra `testing`."""


class MissingExtraError(CoopkitError, ModuleNotFoundError):
    """A package is missing that the extra `testing` brings."""


@contextmanager
def needed_extra() -> Iterator[None]:
    """Answer an import of what the extra brings with how to install it.

    Raises:
        MissingExtraError: one of its packages is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED:
            raise
        hint = 'pip install "coopkit[testing]"'
        raise MissingExtraError(
            f"the checks of samplers need {missing}; install it with: {hint}"
        ) from error
