"""What a run leaves in its folder: records, metrics, sample sheets and checkpoints."""

import json
import platform
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs
import torch

from coopkit.checkpoint import CHECKPOINTS, save_checkpoint
from coopkit.errors import RunError
from coopkit.folder import (
    ENVIRONMENT_FILE,
    FAST_FILE,
    METRICS_FILE,
    RECIPE_FILE,
    SHEETS,
)
from coopkit.interfaces import hookimpl
from coopkit.iterations import Iteration
from coopkit.plugins import registry
from coopkit.recipes import Recipe
from coopkit.resuming import state_of
from coopkit.sheets import draw_sheet, in_words, own_figures, save_image
from coopkit.writing import whole_file

if TYPE_CHECKING:
    from coopkit.training import Run


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as writing:
        writing.write_text(text, encoding="utf-8")


class Records:
    """Writes the resolved recipe, and the versions and device it runs with."""

    @hookimpl
    def run_started(self, run: "Run") -> None:
        """Write both files, the recipe last: where it is, a run has begun."""
        if not run.is_main:
            return
        run.folder.mkdir(parents=True, exist_ok=True)
        write_text(run.folder / ENVIRONMENT_FILE, json.dumps(environment(run), indent=2) + "\n")
        write_text(run.folder / RECIPE_FILE, run.recipe.to_toml())


def environment(run: "Run") -> dict[str, Any]:
    """Return what a run depends on besides its recipe."""
    device = run.accelerator.device
    cuda = device.type == "cuda"
    packages = {"coopkit", "torch", "accelerate", "numpy", "pillow"} | distributions_of(run.recipe)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": run.recipe.seed,
        "examples": len(run.images),
        "device": torch.cuda.get_device_name(device) if cuda else f"{device.type}",
        "threads": torch.get_num_threads(),
        "processes": run.accelerator.num_processes,
        "mixed_precision": run.accelerator.mixed_precision,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in sorted(packages)},
    }


def distributions_of(recipe: Recipe) -> set[str]:
    """Return the names of the distributions whose plugins a recipe names."""
    names = set(named(recipe.raw))
    return {entry.distribution for entry in registry().entries if entry.name in names}


def named(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the architectures, samplers and schedules in nested tables."""
    for key, value in raw.items():
        if isinstance(value, Mapping):
            yield from named(value)
        elif key in ("architecture", "sampler", "schedule"):
            yield value


@attrs.define
class Evaluations:
    """Writes which way each network of D1 and G1 is evaluated, so that it can be done again.

    Attributes:
        written: what is in the file.
    """

    written: dict[str, Any] = attrs.field(factory=dict)

    @hookimpl
    def iteration_finished(self, run: "Run", iteration: Iteration) -> None:
        """Write the file when there is more to say."""
        said = evaluations(run)
        if run.is_main and said != self.written:
            write_text(run.folder / FAST_FILE, json.dumps(said, indent=2, ensure_ascii=False))
            self.written = said


def evaluations(run: "Run") -> dict[str, Any]:
    """Return the choices of a run, and for each network how it is evaluated."""
    if run.preparation is None:
        return {"networks": dict.fromkeys(run.learners, "as it is: run.fast is off"), "choices": {}}
    return {
        "networks": {
            kind: said_of(run.preparation.reason(learner.network))
            for kind, learner in run.learners.items()
            if learner.network in run.preparation.plans
        },
        "choices": dict(run.preparation.choices.used),
    }


def said_of(reason: str) -> str:
    """Return how a network is evaluated."""
    return f"as it is: {reason}" if reason else "prepared"


@attrs.define
class Metrics:
    """Writes a line of JSON for every iteration."""

    file: IO[str] | None = None
    clock: float = 0.0

    @hookimpl
    def run_started(self, run: "Run") -> None:
        """Open the file; a resumed run keeps the lines of the iterations that are done."""
        if not run.is_main:
            return
        run.folder.mkdir(parents=True, exist_ok=True)
        path = run.folder / METRICS_FILE
        write_text(path, "".join(kept_lines(path, run.iteration)))
        self.file = path.open("a", encoding="utf-8")
        self.clock = time.perf_counter()

    @hookimpl
    def iteration_finished(self, run: "Run", iteration: Iteration) -> None:
        """Write the line of this iteration."""
        if self.file is None:
            return
        now = time.perf_counter()
        line = {"iteration": run.iteration, **run.figures, "seconds": now - self.clock}
        self.clock = now
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    @hookimpl
    def run_finished(self, run: "Run") -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None


def kept_lines(path: Path, iteration: int) -> list[str]:
    """Return the whole lines of a metrics file up to an iteration."""
    return [f"{json.dumps(line)}\n" for line in read_lines(path) if line["iteration"] <= iteration]


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Return the metrics of a run, a dictionary for each iteration.

    Raises:
        RunError: the file is damaged.
    """
    return read_lines(folder / METRICS_FILE)


def read_lines(path: Path) -> list[dict[str, float]]:
    """Return the whole lines of a metrics file; the last of a killed run may not be whole."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1].splitlines()
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise RunError(f"the metrics in {path} are damaged: {error}; mend or remove it") from error


@attrs.define
class Sheets:
    """Draws observed | S1 | S2 | S3 side by side, now and then and at the end."""

    last: Iteration | None = None

    @hookimpl
    def iteration_finished(self, run: "Run", iteration: Iteration) -> None:
        """Draw a sheet if it is time for one."""
        self.last = iteration
        every = run.recipe.run.sheet_every
        if run.finished or (every and run.iteration % every == 0):
            self.draw(run, iteration)

    @hookimpl
    def run_finished(self, run: "Run") -> None:
        """Draw the last sheet of a run that was interrupted."""
        if run.interrupted and self.last is not None:
            self.draw(run, self.last)

    def draw(self, run: "Run", iteration: Iteration) -> None:
        """Write one sheet."""
        if not run.is_main:
            return
        panels = {
            "observed": iteration.observed[: run.recipe.run.chains],
            "S1 initial": iteration.initial,
            "S2 revised": iteration.revised,
            "S3 reconstructed": iteration.reconstructed,
        }
        drawn = {title: signals for title, signals in panels.items() if signals is not None}
        caption = in_words(own_figures(run.figures))
        sheet = draw_sheet(drawn, run.images.mean, caption=caption)
        save_image(sheet, run.folder / SHEETS / f"{run.iteration:08d}.png")


class Checkpoints:
    """Writes checkpoints now and then, and the state in which a run ends."""

    @hookimpl
    def iteration_finished(self, run: "Run", iteration: Iteration) -> None:
        """Write a checkpoint if it is time for one."""
        every = run.recipe.run.checkpoint_every
        if run.finished or (every and run.iteration % every == 0):
            self.save(run)

    @hookimpl
    def run_finished(self, run: "Run") -> None:
        """Write the state of a run that was interrupted; a failed one keeps its last good."""
        if run.interrupted and not run.failed:
            self.save(run)

    def save(self, run: "Run") -> None:
        """Write one checkpoint; every process takes part, the main one writes."""
        state = state_of(run)
        if run.is_main:
            save_checkpoint(run.folder / CHECKPOINTS, state, run.recipe.run.keep_checkpoints)
