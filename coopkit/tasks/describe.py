"""Saying what a run is."""

import json
from pathlib import Path

from coopkit.checkpoint import list_checkpoints
from coopkit.tasks.trained import run_recipe
from coopkit.watchers.files import ENVIRONMENT_FILE, read_metrics


def describe_run(folder: Path) -> dict[str, str]:
    """Return what a run is, by heading: recipe, progress, environment and last figures.

    Raises:
        RunError: the folder holds no run.
    """
    recipe = run_recipe(folder)
    said = {"algorithm": recipe.algorithm, "data": recipe.data.source}
    for kind in ("descriptor", "generator"):
        network = getattr(recipe, kind)
        if network is not None:
            optimizer = network.optimizer.table.name
            said[kind] = f"{network.architecture.name}, trained by {optimizer}"
    if recipe.revision is not None:
        said["revision"] = (
            f"{recipe.revision.sampler.table}, {recipe.revision.steps.table.steps} steps"
        )
    metrics = read_metrics(folder)
    done = int(metrics[-1]["iteration"]) if metrics else 0
    said["iterations"] = f"{done} of {recipe.run.iterations}"
    places = list_checkpoints(folder / "checkpoints")
    said["newest checkpoint"] = str(places[-1]) if places else "none yet"
    environment = json.loads((folder / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    said["device"] = f"{environment['device']}, mixed precision {environment['mixed_precision']}"
    said["versions"] = ", ".join(f"{k} {v}" for k, v in environment["versions"].items())
    for name, value in (metrics[-1] if metrics else {}).items():
        if name != "iteration":
            said[name] = f"{value:.6g}"
    return said
