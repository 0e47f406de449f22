"""What a planted mistake is."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs

from coopkit.interfaces import LinearOnGaussians


@attrs.frozen
class Mutant:
    """A planted mistake.

    Attributes:
        name: what is wrong.
        remedy: what would be right.
        sampler: an instance of the wrong sampler.
        plant: while it is entered, the mistake is in the targets too.
        in_target: whether it is there alone, and the sampler is right.
    """

    name: str
    remedy: str
    sampler: Any
    plant: Callable[[], AbstractContextManager[Any]] = nullcontext
    in_target: bool = False

    def declarations(self) -> list[Any]:
        """Return the sampler, and where it can do without one, the same without gaussian_step."""
        if self.in_target or not isinstance(self.sampler, LinearOnGaussians):
            return [self.sampler]
        return [self.sampler, undeclared(self.sampler)]


def undeclared(sampler: Any) -> Any:
    """Return a sampler that does not say what its step does to a Gaussian."""
    cls = type("Undeclared", (type(sampler),), {"gaussian_step": None})
    return attrs.frozen(kw_only=True)(cls)(step_size=sampler.step_size)
