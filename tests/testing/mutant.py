"""What a planted mistake is."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs


@attrs.frozen
class Mutant:
    """A planted mistake.

    Attributes:
        name: what is wrong.
        remedy: what would be right.
        sampler: an instance of the wrong sampler.
        plant: while it is entered, the mistake is in the targets too.
    """

    name: str
    remedy: str
    sampler: Any
    plant: Callable[[], AbstractContextManager[Any]] = nullcontext
