"""The hooks of coopkit: what a plugin may supply, and the moments of a run it may watch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from coopkit.interfaces import Descriptor, Generator, Sampler, Schedule
    from coopkit.iterations import Iteration
    from coopkit.training import Run

hookspec = pluggy.HookspecMarker("coopkit")


@hookspec
def descriptors() -> Iterable[type[Descriptor]]:  # type: ignore[empty-body]
    """Return the descriptor architectures of this plugin."""


@hookspec
def generators() -> Iterable[type[Generator]]:  # type: ignore[empty-body]
    """Return the generator architectures of this plugin."""


@hookspec
def samplers() -> Iterable[type[Sampler]]:  # type: ignore[empty-body, type-arg]
    """Return the samplers of this plugin."""


@hookspec
def schedules() -> Iterable[type[Schedule]]:  # type: ignore[empty-body]
    """Return the schedules of this plugin."""


@hookspec
def run_started(run: Run) -> None:
    """Called once the networks are built or restored, before the first iteration.

    A recipe with [generator.start] is two runs, one after the other: `run.is_start` in the first.
    """


@hookspec
def iteration_finished(run: Run, iteration: Iteration) -> None:
    """Called after every learning iteration, in every process; `run.iteration` counts it."""


@hookspec
def run_finished(run: Run) -> None:
    """Called once after the last iteration, also when the run was interrupted or failed."""
