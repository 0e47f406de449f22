"""Fixtures of the tests: a seed for all random draws, Monte Carlo bounds, the command line."""

import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coopkit.cli import main

Z = 6.0
"""Standard errors that an estimate may be off by.

A Gaussian is beyond ±6 with probability 2e-9. The estimates here have at least 10,000 chains, so
that the skewness of a variance raises that by less than a factor of 3; with at most 20 of them
compared in a test, a test raises a false alarm with probability below 1.2e-7.
"""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests measure out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Let SIGINT interrupt, which a shell has processes in the background ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def seed() -> Iterator[int]:
    """Seed torch's global stream for one test; COOPKIT_TEST_SEED chooses another seed."""
    chosen = int(os.environ.get("COOPKIT_TEST_SEED", "2016"))
    print(f"COOPKIT_TEST_SEED={chosen}")
    with torch.random.fork_rng():
        torch.manual_seed(chosen)
        yield chosen


@pytest.fixture
def rng(seed: int) -> torch.Generator:
    """Return a stream of its own for one test."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def assert_gaussian() -> Callable[[Tensor, Tensor, Tensor], None]:
    """Return a check of mean and covariance of independent Gaussian chains (chains, d)."""

    def check(samples: Tensor, mean: Tensor, covariance: Tensor) -> None:
        centred = samples.double() - mean
        variances = covariance.diagonal()
        mean_error = (variances / len(samples)).sqrt()
        product = variances[:, None] * variances[None, :] + covariance**2
        covariance_error = (product / len(samples)).sqrt()
        off_mean = centred.mean(0) / mean_error
        off_covariance = (centred.T @ centred / len(samples) - covariance) / covariance_error
        assert off_mean.abs().max() < Z, f"mean off by {off_mean} standard errors"
        assert off_covariance.abs().max() < Z, f"covariance off by {off_covariance} errors"

    return check


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Return the command line as a function, run in a folder of its own.

    It returns the exit status, and what was said on standard output and standard error. No task
    says how far it is, however slow the machine is.
    """
    monkeypatch.setattr("coopkit.cli.console.EVERY", math.inf)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = int(error.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run
