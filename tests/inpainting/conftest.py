"""Fields and holes that the tests of every baseline share."""

import os

import numpy as np
import pytest


@pytest.fixture
def draws() -> np.random.Generator:
    """Return a stream of its own for one test; COOPKIT_TEST_SEED chooses another seed."""
    return np.random.default_rng(int(os.environ.get("COOPKIT_TEST_SEED", "2016")))
