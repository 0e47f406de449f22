"""Which sampler in training: the same recipe with each, at equal evaluations of the score.

Run as `make samplers`, or with a folder of photographs for the object recipe:
`python tests/benchmarks/samplers_training.py --objects FOLDER`. Each sampler has the settings of
`SETTINGS`, on top of those of the recipe.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from measured import machine, write_part
from torch import Tensor

import coopkit
from coopkit.data import load_images
from coopkit.recipes import Recipe
from coopkit.sheets import draw_sheet, save_image
from coopkit.streams import stream_seed
from coopkit.watchers.files import read_metrics

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "samplers.md"
SHEET = ROOT / "docs" / "images" / "samplers-bricks.png"
SETTINGS: dict[str, dict[str, Any]] = {
    "langevin": {},
    "langevin, longer steps": {"sampler": "langevin", "longer": 2.0},
    "mala": {"warmup": 1440},
    "hmc": {"warmup": 720, "leapfrogs": 2},
    "underdamped-langevin": {"friction": 100.0},
    "parallel-tempering": {"replicas": 2, "hottest": 1.1},
}
"""What each is given beside the recipe's step size, which `longer` multiplies."""
SHARE = {"parallel-tempering": 2}
"""Scores that a step takes, where that is not one."""
LAST = 20
"""Iterations at the end whose figures are averaged."""


def overrides(name: str, recipe: Recipe) -> list[str]:
    """Return what is changed in a recipe for a sampler."""
    settings = recipe.settings(recipe.run.iterations)
    assert settings.revision is not None
    changes: dict[str, Any] = {
        "sampler": name,
        "steps": settings.revision_steps // SHARE.get(name, 1),
    }
    changes |= SETTINGS[name]
    if longer := changes.pop("longer", None):
        changes["step_size"] = longer * settings.revision.step_size  # type: ignore[attr-defined]
    return [f"revision.{key}={value}" for key, value in changes.items()]


def spectrum(signals: Tensor) -> Tensor:
    """Return log10 of the mean power in rings of equal frequency."""
    power = torch.fft.fft2(signals - signals.mean((2, 3), keepdim=True)).abs().square().mean((0, 1))
    down, right = (torch.fft.fftfreq(n) for n in power.shape)
    ring = (32 * torch.hypot(down[:, None], right[None])).round().long().flatten()
    sums = torch.zeros(int(ring.max()) + 1).index_add_(0, ring, power.flatten())
    counts = torch.bincount(ring)
    return (sums / counts)[1:17].log10()


def spectral_distance(first: Tensor, second: Tensor) -> float:
    """Return the mean difference of two spectra, in decades of power."""
    return float((spectrum(first) - spectrum(second)).abs().mean())


def patch_distance(first: Tensor, second: Tensor, directions: int = 256) -> float:
    """Return the sliced Wasserstein distance of 8×8 patches, in the units of the signal."""
    rng = torch.Generator().manual_seed(0)
    rows = [
        rearrange(x.unfold(2, 8, 4).unfold(3, 8, 4), "n c h w a b -> (n h w) (c a b)")
        for x in (first, second)
    ]
    count = min(map(len, rows))
    rows = [x[torch.randperm(len(x), generator=rng)[:count]] for x in rows]
    slices = torch.randn(rows[0].shape[1], directions, generator=rng)
    slices = slices / slices.norm(dim=0)
    lines = [(x @ slices).sort(0).values for x in rows]
    return float((lines[0] - lines[1]).abs().mean())


def train(name: str, recipe: str, changes: list[str], folder: Path) -> dict[str, Any]:
    """Train with one sampler and return its figures, and S2."""
    base = Recipe.read(recipe, changes)
    ours = Recipe.read(recipe, [*changes, *overrides(name, base)])
    begun = time.perf_counter()
    try:
        coopkit.run(ours, folder)
    except coopkit.CoopkitError as error:
        return {"failed": str(error).partition(";")[0]}
    seconds = time.perf_counter() - begun
    metrics = read_metrics(folder)[-LAST:]
    means = {key: sum(line[key] for line in metrics) / len(metrics) for key in metrics[-1]}
    revised = coopkit.sample(coopkit.load(folder), 64).revised
    images = load_images(ours.data, ours.seed)
    rng = torch.Generator().manual_seed(stream_seed(ours.seed, "compared"))
    some = images.signals(torch.randperm(len(images), generator=rng)[: min(64, len(images))])
    assert revised is not None
    return {
        "seconds": seconds,
        "energy gap": means["energy_revised"] - means["energy_observed"],
        "moved": means["revised_minus_initial"],
        "reconstructed": means["reconstructed_minus_revised"],
        "diversity": means.get("diversity", float("nan")),
        "spectrum": spectral_distance(revised, some),
        "patches": patch_distance(revised, some),
        "own": {key: value for key, value in means.items() if "." in key},
        "S2": revised,
        "observed": some,
        "mean": images.mean,
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the figures as a table of Markdown."""
    columns = (
        "energy gap",
        "moved",
        "reconstructed",
        "diversity",
        "spectrum",
        "patches",
        "seconds",
    )
    head = "| sampler | settings | " + " | ".join(columns) + " | its own figures |\n"
    lines = [head, "| --- | --- |" + " ---: |" * len(columns) + " --- |\n"]
    for name, row in found.items():
        settings = ", ".join(f"{key} {v}" for key, v in SETTINGS[name].items() if key != "sampler")
        if "failed" in row:
            lines.append(f"| `{name}` | {settings} | {row['failed']} |\n")
            continue
        figures = " | ".join(f"{row[column]:.3g}" for column in columns)
        own = ", ".join(f"{key.partition('.')[2]} {value:.3g}" for key, value in row["own"].items())
        lines.append(f"| `{name}` | {settings} | {figures} | {own} |\n")
    return "".join(lines)


def main() -> None:
    """Train with every sampler, and write the tables and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=Path, help="a folder of photographs of one object")
    parser.add_argument("--iterations", type=int, help="other than those of the recipes")
    arguments = parser.parse_args()
    changes = [f"run.iterations={arguments.iterations}"] if arguments.iterations else []
    recipes = {"bricks": ("quickstart", ["run.iterations=200", *changes])}
    if arguments.objects:
        few = ["run.iterations=150", "run.chains=16", f"data.source={arguments.objects}"]
        recipes["object"] = ("object", [*few, *changes])
    for title, (recipe, changed) in recipes.items():
        found = {}
        for name in SETTINGS:
            with tempfile.TemporaryDirectory() as folder:
                found[name] = train(name, recipe, changed, Path(folder) / "run")
            shown = {key: value for key, value in found[name].items() if key[0] != "S"}
            print(title, name, json.dumps({k: str(v)[:60] for k, v in shown.items()}), flush=True)
        done = {name: row for name, row in found.items() if "failed" not in row}
        if arguments.iterations:
            continue
        write_part(PAGE, title, f"Measured on {machine()}; seed 0.\n\n{table(found)}")
        if title == "bricks":
            first = next(iter(done.values()))
            panels = {"data": first["observed"], **{name: row["S2"] for name, row in done.items()}}
            save_image(draw_sheet(panels, first["mean"], most=4), SHEET)


if __name__ == "__main__":
    main()
