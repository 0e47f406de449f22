"""The seed and the profile of checks where their author says neither.

Nothing here loads torch: pytest reads it at every start.
"""

import os
import secrets
from typing import TYPE_CHECKING

from coopkit.errors import CoopkitError, did_you_mean

if TYPE_CHECKING:
    from coopkit.testing.records import Profile

SEED = "COOPKIT_SEED"
"""Environment variable: the seed of checks that are given none."""

PROFILE = "COOPKIT_PROFILE"
"""Environment variable: the profile of checks that are given none."""

PROFILES: tuple["Profile", ...] = ("quick", "full")


def whole_seed(text: str) -> int:
    """Return the seed that a text says.

    Raises:
        ValueError: it is no whole number from 0 on.
    """
    if not text.strip().isdecimal():
        raise ValueError(f"a seed is a whole number from 0 on, not {text!r}")
    return int(text)


def chosen_seed(seed: int | None) -> int:
    """Return a seed: the given one, that of COOPKIT_SEED, or a new one.

    Raises:
        CoopkitError: the environment variable is no seed.
    """
    if seed is not None:
        return seed
    if not (text := os.environ.get(SEED)):
        return secrets.randbelow(2**31)
    try:
        return whole_seed(text)
    except ValueError as error:
        raise CoopkitError(f"{SEED}: {error}") from error


def chosen_profile(profile: "Profile | None") -> "Profile":
    """Return a profile: the given one, that of COOPKIT_PROFILE, or "full".

    Raises:
        CoopkitError: there is none of that name.
    """
    wanted = profile or os.environ.get(PROFILE) or "full"
    for known in PROFILES:
        if known == wanted:
            return known
    hint = did_you_mean(wanted, PROFILES)
    raise CoopkitError(f"there is no profile {wanted!r} of checks; {hint}")
