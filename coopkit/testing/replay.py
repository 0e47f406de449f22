"""What a seed of Hypothesis leaves open: the constants of the modules in the working tree.

Hypothesis draws numbers that it finds in the source of local modules now and then, and keeps them
in a folder beside them. So a seed would mean one thing in a test, where the test's own module is
loaded, and another on the command line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

PROVIDERS = "hypothesis.internal.conjecture.providers"


@contextmanager
def draws_from_the_seed_alone() -> Iterator[None]:
    """Let Hypothesis draw what its seed says, whatever modules are loaded.

    Hypothesis has no setting for it; a version that has not these names is left as it is.
    """
    try:
        providers: Any = import_module(PROVIDERS)
        nothing, cache = providers.Constants, type(providers.CONSTANTS_CACHE)
        found = hasattr(providers, "_get_local_constants")
    except (AttributeError, ImportError):
        found = False
    if not found:
        yield
        return
    with mock.patch.multiple(providers, _get_local_constants=nothing, CONSTANTS_CACHE=cache(1024)):
        yield
