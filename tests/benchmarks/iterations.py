"""Seconds, network share and peak memory of one learning iteration of each packaged recipe.

Run as `make bench`. Each recipe runs in a process of its own, through `coopkit.run` with all its
files, on crops of scikit-image's brick photograph. It writes the table of docs/performance.md.

The share is profiled: time inside the forward passes of the networks plus time inside the autograd
engine, over the wall time of the same iterations.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import torch
from measured import machine, write_part
from torch.profiler import ProfilerActivity, profile, record_function

import coopkit
from coopkit.recipe import packaged_recipes

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
ENGINE = "autograd::engine::evaluate_function"
TIMED, PROFILED = 3, 2


@attrs.define
class Stopwatch:
    """Times the iterations of a run, and profiles the last ones."""

    seconds: list[float] = attrs.field(factory=list)
    clock: float = 0.0
    profiler: profile | None = None
    profiled: float = 0.0

    @coopkit.hookimpl
    def run_started(self, run: Any) -> None:
        for learner in run.learners.values():
            mark(learner.network)
        self.clock = time.perf_counter()

    @coopkit.hookimpl
    def iteration_finished(self, run: Any, iteration: Any) -> None:
        now = time.perf_counter()
        if run.iteration > 1 and self.profiler is None:
            self.seconds.append(now - self.clock)
        if run.iteration == 1 + TIMED:
            self.profiler = profile(activities=[ProfilerActivity.CPU])
            self.profiler.start()
            now = time.perf_counter()
            self.profiled = -now
        if run.iteration == 1 + TIMED + PROFILED:
            self.profiled += now
            assert self.profiler is not None
            self.profiler.stop()
        self.clock = now

    def share(self) -> float:
        """Return network time over wall time."""
        assert self.profiler is not None
        events = self.profiler.key_averages()
        inside = [e for e in events if e.key == "network" or e.key.startswith(ENGINE)]
        return sum(event.cpu_time_total for event in inside) / 1e6 / self.profiled


def mark(network: torch.nn.Module) -> None:
    """Let the profiler see the forward passes of a network."""
    open_ranges: list[record_function] = []

    def enter(*_: object) -> None:
        open_ranges.append(record_function("network"))
        open_ranges[-1].__enter__()

    def leave(*_: object) -> None:
        open_ranges.pop().__exit__(None, None, None)

    network.register_forward_pre_hook(enter)
    network.register_forward_hook(leave)


def measure(name: str) -> None:
    """Run a recipe for a few iterations and print its figures as JSON."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"run.iterations={1 + TIMED + PROFILED + 1}",
            "run.sheet_every=0",
            "run.checkpoint_every=0",
        ]
        if 'source = "' not in packaged_recipes()[name]:
            overrides += [
                "data.source=brick",
                "data.resize=192",
                "data.crop=random",
                "data.crops=200",
            ]
        recipe = coopkit.Recipe.read(name, overrides)
        coopkit.run(recipe, Path(folder) / "run", watchers=[watch])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = {
        "seconds": statistics.median(watch.seconds),
        "share": watch.share(),
        "peak": peak,
        "chains": recipe.run.chains if recipe.revision else recipe.run.observed,
        "steps": recipe.settings(0).revision_steps or recipe.settings(0).inference_steps,
    }
    print(json.dumps(figures))


def main() -> None:
    """Measure every recipe and write the table."""
    rows = []
    for name in packaged_recipes():
        command = [sys.executable, __file__, name]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        f = json.loads(printed.splitlines()[-1])
        rows.append(
            f"| {name} | {f['chains']} | {f['steps']} | {f['seconds']:.2f} | "
            f"{f['share']:.0%} | {f['peak']:.2f} |"
        )
        print(rows[-1], flush=True)
    table = [
        f"Measured by `make bench`; {machine()}, {torch.get_num_threads()} threads:",
        "",
        "| recipe | chains | steps | seconds per iteration | network share | peak memory, GiB |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    write_part(PAGE, "measured", "\n".join(table) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
