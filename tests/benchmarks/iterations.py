"""Seconds and peak memory of one learning iteration of each packaged recipe, in three ways.

Run as `make bench`. Each recipe runs in a process of its own for each way, through `coopkit.run`
with all its files, on crops of scikit-image's brick photograph. It writes a table of
docs/performance.md.

The ways: "public" lets every step of a chain compute the gradients of the weights too, as loops
that call `backward()` do; "plain" is `run.fast = "off"`; "fast" is what a run does by default.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from measured import machine, write_part
from torch import Tensor, nn

import coopkit
import coopkit.algorithms
from coopkit.recipes.recipe import SHOWN, packaged_recipes
from coopkit.targets import frozen

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
WAYS = ("public", "plain", "fast")
TIMED = 5


@attrs.frozen(eq=False)
class WithWeights:
    """A network as public loops differentiate it: with respect to its weights as well."""

    network: nn.Module

    def __call__(self, x: Tensor) -> Tensor:
        return frozen(self.network)(x)

    def gradient(self, x: Tensor) -> Tensor:
        return self.pull(x, torch.ones_like)

    def pull(self, x: Tensor, toward: Callable[..., Tensor], *along: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        value = self.network(x)
        value.backward(toward(value.detach(), *along))
        self.network.zero_grad()
        assert x.grad is not None
        return x.grad


@attrs.define
class Stopwatch:
    """Times the iterations of a run, and what it spends on numbers that are only watched."""

    public: bool
    seconds: list[float] = attrs.field(factory=list)
    watching: list[float] = attrs.field(factory=list)
    clock: float = 0.0

    @coopkit.hookimpl
    def run_started(self, run: Any) -> None:
        for kind, learner in run.learners.items():
            freeze = WithWeights if self.public else learner.freeze
            setattr(run.algorithm, kind, attrs.evolve(learner, freeze=freeze))
        self.clock = time.perf_counter()

    @coopkit.hookimpl
    def iteration_finished(self, run: Any, iteration: Any) -> None:
        now = time.perf_counter()
        if run.iteration > 2:
            self.seconds.append(now - self.clock)
        else:
            self.watching.clear()
        self.clock = time.perf_counter()

    def share(self) -> float:
        """Return the part of the time that watching takes."""
        return sum(self.watching) / sum(self.seconds)

    def timed(self, module: Any, name: str, weight: float) -> None:
        """Let calls of a function add to the time of watching, or take away from it."""
        function = getattr(module, name)

        def call(*arguments: Any) -> Any:
            begin = time.perf_counter()
            result = function(*arguments)
            self.watching.append(weight * (time.perf_counter() - begin))
            return result

        setattr(module, name, call)


def watch(public: bool, chains: int) -> Stopwatch:
    """Return a stopwatch that knows which functions only watch.

    All of `shift` but `shift_density` does. S3 is one forward pass, as G0 is, of fewer chains.
    """
    stopwatch = Stopwatch(public)
    stopwatch.timed(coopkit.algorithms, "shift", 1)
    stopwatch.timed(coopkit.algorithms, "shift_density", -1)
    stopwatch.timed(coopkit.algorithms, "generate", min(1, SHOWN / chains))
    return stopwatch


def measure(name: str, way: str) -> None:
    """Run a recipe for a few iterations and print its figures as JSON."""
    overrides = [
        f"run.iterations={2 + TIMED}",
        "run.sheet_every=0",
        "run.checkpoint_every=0",
        f"run.fast={'auto' if way == 'fast' else 'off'}",
    ]
    if 'source = "' not in packaged_recipes()[name]:
        overrides += ["data.source=brick", "data.resize=192", "data.crop=random", "data.crops=200"]
    if "[generator.start]" in packaged_recipes()[name]:
        overrides.append("generator.start=")
    recipe = coopkit.Recipe.read(name, overrides)
    stopwatch = watch(way == "public", recipe.run.chains)
    with tempfile.TemporaryDirectory() as folder:
        coopkit.run(recipe, Path(folder) / "run", watchers=[stopwatch])
    figures = {
        "seconds": statistics.median(stopwatch.seconds),
        "watching": stopwatch.share(),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "chains": recipe.run.chains if recipe.revision else recipe.run.observed,
        "steps": recipe.settings(0).revision_steps or recipe.settings(0).inference_steps,
    }
    print(json.dumps(figures))


def figures_of(name: str, way: str) -> dict[str, float]:
    """Return the figures of a recipe, measured in a process of its own."""
    command = [sys.executable, __file__, name, way]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(printed.splitlines()[-1])
    return figures


def main() -> None:
    """Measure every recipe and write the table."""
    rows = []
    for name in packaged_recipes():
        public, plain, fast = (figures_of(name, way) for way in WAYS)
        ratios = [f"{way['seconds'] / fast['seconds']:.2f}" for way in (public, plain)]
        seconds = [f"{way['seconds']:.2f}" for way in (public, plain, fast)]
        memory = [f"{way['peak']:.2f}" for way in (public, plain, fast)]
        cells = [name, fast["chains"], fast["steps"], *seconds, *ratios, f"{fast['watching']:.1%}"]
        rows.append(" | ".join(["", *map(str, cells), " / ".join(memory), ""]).strip())
        print(rows[-1], flush=True)
    table = [
        f"Measured by `make bench`; {machine()}, {torch.get_num_threads()} threads:",
        "",
        "| recipe | chains | steps | public, s | plain, s | fast, s | public / fast | plain / fast "
        "| watching | peak memory, GiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    write_part(PAGE, "measured", "\n".join(table) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*sys.argv[1:])
    else:
        main()
