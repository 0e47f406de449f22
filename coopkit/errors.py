"""What coopkit raises when a person, not the program, has to change something.

The command line prints these as one message and exits with status 2; everything else that is
raised is a defect and keeps its traceback.
"""

from collections.abc import Sequence
from difflib import get_close_matches


class CoopkitError(Exception):
    """Base of every error that a user can mend; its text says what is wrong and what is right."""


class PluginError(CoopkitError):
    """A plugin is missing, ambiguous or broken."""


class ScaffoldError(CoopkitError):
    """A new plugin's package cannot be written: its name, or its place, does not allow it."""


class DataError(CoopkitError):
    """Images are missing, unreadable or unlike each other."""


class RunError(CoopkitError):
    """A run's folder or checkpoint does not allow what was asked."""


class RecipeError(CoopkitError):
    """A recipe is not right; carries every problem found, not only the first.

    Attributes:
        problems: one sentence each, opening with the dotted key it is about.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class DivergedError(CoopkitError):
    """A monitored quantity is no longer finite, farther out than any image, or 0 for too long.

    In each case going on would learn nothing.

    Attributes:
        iteration: the learning iteration t at which it was seen.
        quantity: the name of the quantity.
    """

    def __init__(self, iteration: int, quantity: str, value: float, advice: str) -> None:
        self.iteration = iteration
        self.quantity = quantity
        super().__init__(f"iteration {iteration}: {quantity} is {value}. {advice}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the memory of a device or of the machine could not be had."""
    if isinstance(error, MemoryError):
        return True
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Say which known word was probably meant, or list them all."""
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(known)) or 'none'}"
