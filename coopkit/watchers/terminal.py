"""Telling a person how a run goes: a bar in a terminal, plain lines elsewhere."""

import time
from typing import TYPE_CHECKING

import attrs
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from coopkit.data import left_out
from coopkit.interfaces import hookimpl
from coopkit.iterations import Iteration
from coopkit.sheets import in_words, own_figures

if TYPE_CHECKING:
    from coopkit.training import Run

SHOWN = {
    "f_observed_minus_revised": "Δf",
    "revised_minus_initial": "S2−S1",
    "reconstructed_minus_revised": "S3−S2",
    "reconstructed_minus_observed": "g(X)−Y",
}
"""The figures that matter most, with the short names under which they are shown."""


def summary(figures: dict[str, float]) -> str:
    """Return the figures that matter, in short, and the samplers' own."""
    shown = {short: figures[name] for name, short in SHOWN.items() if name in figures}
    return in_words(shown | own_figures(figures))


def announcement(run: "Run") -> str:
    """Return what is said of a run of [generator.start] before it begins."""
    total = run.recipe.run.iterations
    return f"first the generator alone, {total} iterations of Algorithm 2, in {run.folder}"


def watcher(console: Console) -> object:
    """Return a bar for a terminal, plain lines for a pipe or a CI log."""
    return Bar(console) if console.is_terminal else Lines(console)


@attrs.define
class Beginning:
    """Lines of what a run begins with: how many images, and that there is nothing to resume."""

    console: Console
    resumes: bool = False
    begun: bool = False

    @hookimpl
    def run_started(self, run: "Run") -> None:
        """Print them of the first of a run and its start."""
        if run.is_main and not self.begun and run.iteration == 0:
            folder = run.folder.parent if run.is_start else run.folder
            if self.resumes:
                self.say(f"{folder} holds no run to go on with; beginning at iteration 1")
            source, size = run.recipe.data.source, " x ".join(map(str, run.images.shape))
            others = left_out(source)
            self.say(f"{source}: {len(run.images)} examples of {size}")
            if others:
                self.say(f"{' and '.join(others)} left out, which cannot be read as images")
        self.begun = True

    def say(self, line: str) -> None:
        """Print a line as it is."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


@attrs.define
class Bar:
    """A progress bar with rate, time left and the figures that matter."""

    console: Console
    progress: Progress | None = None
    task: int = 0

    @hookimpl
    def run_started(self, run: "Run") -> None:
        """Show the bar."""
        if not run.is_main:
            return
        if run.is_start and not run.finished:
            self.console.print(announcement(run), highlight=False, soft_wrap=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
        )
        total = run.recipe.run.iterations
        self.task = self.progress.add_task(
            "start" if run.is_start else "",
            total=total,
            completed=run.iteration,
            rate="",
            figures="",
        )
        self.progress.start()

    @hookimpl
    def iteration_finished(self, run: "Run", iteration: Iteration) -> None:
        """Move the bar."""
        if self.progress is None:
            return
        speed = self.progress.tasks[0].speed
        self.progress.update(
            self.task,  # type: ignore[arg-type]
            completed=run.iteration,
            rate=f"{speed:.2f}/s" if speed else "",
            figures=summary(run.figures),
        )

    @hookimpl
    def run_finished(self, run: "Run") -> None:
        """Leave the bar as it stands."""
        if self.progress is not None:
            self.progress.stop()


@attrs.define
class Lines:
    """A line at the start, the end, and about every ten seconds between."""

    console: Console
    every: float = 10.0
    began: float = 0.0
    first: int = 0
    told: float = 0.0

    @hookimpl
    def run_started(self, run: "Run") -> None:
        """Start the clock."""
        self.began = self.told = time.perf_counter()
        self.first = run.iteration
        if run.is_main and run.is_start and not run.finished:
            self.console.print(announcement(run), highlight=False, soft_wrap=True)

    @hookimpl
    def iteration_finished(self, run: "Run", iteration: Iteration) -> None:
        """Print a line if it is time for one."""
        now = time.perf_counter()
        done, total = run.iteration, run.recipe.run.iterations
        due = now - self.told >= self.every or done == self.first + 1 or run.finished
        if not run.is_main or not due:
            return
        self.told = now
        rate = (done - self.first) / (now - self.began)
        left = (total - done) / rate
        name = "start, iteration" if run.is_start else "iteration"
        line = f"{name} {done}/{total}  {rate:.2f}/s  {left:.0f} s left  {summary(run.figures)}"
        self.console.print(line, highlight=False, soft_wrap=True)
