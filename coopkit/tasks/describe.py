"""Saying what a run is."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from coopkit.checkpoint import CHECKPOINTS, list_checkpoints
from coopkit.errors import RunError
from coopkit.folder import ENVIRONMENT_FILE, FAST_FILE, START
from coopkit.recipes.scheduling import values_at
from coopkit.tasks.trained import run_recipe
from coopkit.watchers.files import read_metrics


def describe_run(folder: Path) -> dict[str, str]:
    """Return what a run is, by heading: recipe, progress, environment and last figures.

    Raises:
        RunError: the folder holds no run, or its files are damaged.
    """
    recipe = run_recipe(folder)
    said = {"algorithm": recipe.algorithm, "data": recipe.data.source}
    for kind in ("descriptor", "generator"):
        network = getattr(recipe, kind)
        if network is not None:
            optimizer = network.optimizer.table.name
            said[kind] = f"{network.architecture.name}, trained by {optimizer}"
    if recipe.revision is not None:
        sampler, steps = recipe.revision.sampler, recipe.revision.steps
        said["revision"] = f"{sampler.table}, {steps.table.steps} steps"
        last = recipe.run.iterations - 1
        for followed in (sampler, steps):
            for name, value in values_at(followed.table, followed.schedules, last).items():
                said["revision"] += f"; at the end {name} {value:.3g}"
    if recipe.start_recipe is not None:
        done = iterations_done(read_metrics(folder / START))
        total = recipe.start_recipe.run.iterations
        said["start"] = f"{done} of {total} iterations of Algorithm 2"
    metrics, places = read_metrics(folder), list_checkpoints(folder / CHECKPOINTS)
    done = max(iterations_done(metrics), int(places[-1].name) if places else 0)
    said["iterations"] = f"{done} of {recipe.run.iterations}"
    said["newest checkpoint"] = str(places[-1]) if places else "none yet"
    environment = describe_environment(folder / ENVIRONMENT_FILE)
    said["data"] += environment.pop("examples")
    said |= environment
    said |= describe_evaluations(folder / FAST_FILE)
    for name, value in (metrics[-1] if metrics else {}).items():
        if name != "iteration":
            said[name] = f"{value:.6g}"
    return said


def iterations_done(metrics: Sequence[Mapping[str, float]]) -> int:
    """Return how far a run got."""
    return int(metrics[-1]["iteration"]) if metrics else 0


def describe_environment(path: Path) -> dict[str, str]:
    """Return with what a run was made.

    Raises:
        RunError: the file is damaged.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {
            "examples": f", {said['examples']} examples" if "examples" in said else "",
            "device": f"{said['device']}, mixed precision {said['mixed_precision']}",
            "versions": ", ".join(f"{name} {number}" for name, number in said["versions"].items()),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged or missing: {error}") from error


def describe_evaluations(path: Path) -> dict[str, str]:
    """Return how each network is evaluated in D1 and G1, as far as that is known yet.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        ways = Counter(said["choices"].values())
        described = {f"fast {kind}": text for kind, text in said["networks"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if ways:
        described["ways of its convolutions"] = ", ".join(
            f"{count} {name}" for name, count in sorted(ways.items())
        )
    return described
