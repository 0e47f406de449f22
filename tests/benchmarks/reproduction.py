"""docs/reproduction.md, from the folders of runs: what each took, what it draws, what it restores.

A run's figures are read from its own files: recipe.toml and metrics.jsonl of the training,
evaluation.json of ``coopkit evaluate RUN --out RUN/evaluation.json``, and figures.json of
``coopkit inpaint RUN ... --out RUN/inpaint-SIZE``. Pictures are drawn from its checkpoint.
"""

import json
import tomllib
from pathlib import Path
from statistics import mean
from typing import Any

import click
from PIL import Image

from coopkit.data import load_whole, to_signals
from coopkit.errors import RunError
from coopkit.sheets import draw_sheet
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.sample import sample
from coopkit.tasks.sizes import at_size
from coopkit.tasks.trained import Trained, load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reproduction.md"
PICTURES = PAGE.parent / "images" / "reproduction"
FREE = ("brick", "grass", "gravel")
"""Photographs that may be shown."""
TEXTURES, OTHERS = 4, 10
"""Signals shown of a texture, as large as its photograph, and of anything else."""
SIZES = (20, 30, 40)
PAPER = {20: (0.0966, 0.1123), 30: (0.1112, 0.1310), 40: (0.1184, 0.1525)}
"""The paper's Table 1: its own error and that of the best baseline."""
OWN = "coopkit"


def read(run: Path, name: str) -> Any:
    """Return a JSON file of a run, or None where it is not there."""
    path = run / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def trained(run: Path) -> dict[str, Any]:
    """Return the recipe of a run, the seconds of its iterations and its last figures."""
    recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics = [json.loads(line) for line in lines]
    return {
        "algorithm": recipe["algorithm"],
        "data": Path(recipe["data"]["source"]).name,
        "iterations": len(metrics),
        "seconds": sum(row["seconds"] for row in metrics),
        "last": metrics[-1],
    }


def runs_table(runs: list[Path]) -> list[str]:
    """Return a row for each run."""
    rows = [
        "| run | algorithm | data | iterations | seconds | S2−S1 | S3−S2, g(X)−Y | distance of S2 "
        "(floor, ceiling) | relative | diversity | nearest, over real |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        said, found = trained(run), read(run, "evaluation.json")
        last = said["last"]
        follows = last.get("reconstructed_minus_revised", last.get("reconstructed_minus_observed"))
        cells = [run.name, said["algorithm"], said["data"], said["iterations"]]
        cells += [f"{said['seconds']:.0f}", number(last.get("revised_minus_initial"))]
        cells += [number(follows), *evaluated(found)]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return rows


def evaluated(found: Any) -> list[str]:
    """Return the cells that come from an evaluation."""
    if found is None:
        return [""] * 4
    which = "revised" if "revised" in found["neighbours"]["drawn"] else "initial"
    distance = found["distance"]
    cells = ["", ""]
    if distance is not None:
        scale = distance["scale"]
        around = f"({number(scale['floor'])}, {number(scale['ceiling'])})"
        cells = [
            f"{number(distance['drawn'][which])} {around}",
            number(distance["relative"][which]),
        ]
    return [
        *cells,
        number(found["diversity"].get(which)),
        number(found["neighbours"]["ratio"].get(which)),
    ]


def claims(runs: list[Path]) -> list[str]:
    """Return, for each cooperative run, what its figures say of two claims of the paper."""
    rows = [
        "| run | E(S2) < E(S1), of all iterations | S3−S2, first 50 | S3−S2, last 50 | "
        "S2−S1, first 50 | S2−S1, last 50 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        metrics = [json.loads(line) for line in lines]
        if not {"energy_revised", "reconstructed_minus_revised"} <= metrics[0].keys():
            continue
        fell = [row["energy_revised"] < row["energy_initial"] for row in metrics]
        cells = [run.name, f"{sum(fell)} of {len(fell)}"]
        for name in ("reconstructed_minus_revised", "revised_minus_initial"):
            for part in (metrics[:50], metrics[-50:]):
                cells.append(number(sum(row[name] for row in part) / len(part)))
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def pictures(runs: list[Path]) -> list[str]:
    """Draw what each run draws, and return a table of the pictures."""
    PICTURES.mkdir(exist_ok=True)
    rows = ["| run | drawn by it |", "| --- | --- |"]
    for run in runs:
        path = PICTURES / f"{run.name}.png"
        picture(load(run)).save(path, optimize=True)
        rows.append(f"| {run.name} | ![S2 of {run.name}](images/reproduction/{path.name}) |")
    return rows


def picture(trained: Trained) -> Image.Image:
    """Return S2, or S1 with the fitted prior after Algorithm 2; a free photograph beside it."""
    table = trained.recipe.data
    count, panels = OTHERS, {}
    if Path(table.source).is_file() or table.source in FREE:
        whole = to_signals(load_whole(table))
        try:
            trained, count = at_size(trained, *whole.shape[-2:]), TEXTURES
        except RunError:
            count = OTHERS
        if table.source in FREE:
            panels["photograph"] = whole - trained.mean
    if trained.recipe.algorithm == "generator":
        trained = with_fitted_prior(trained)
    drawn = sample(trained, count)
    shown = drawn.initial if drawn.revised is None else drawn.revised
    panels["S1" if drawn.revised is None else "S2"] = shown
    return draw_sheet(panels, trained.mean, columns=None if count == TEXTURES else count // 2)


def number(value: float | None) -> str:
    """Return a number in three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


def restored(runs: list[Path]) -> list[str]:
    """Return Table 1: the errors of each run and of the baselines on the scale [−1, 1]."""
    errors: dict[str, dict[int, float]] = {}
    for run in runs:
        for size in SIZES:
            found = read(run, f"inpaint-{size}/figures.json")
            for name, entry in (found or {}).get("errors", {}).items():
                row = f"coopkit, {run.name}" if name == OWN else name
                errors.setdefault(row, {})[size] = entry["minus_one_to_one"]
    if not errors:
        return []
    others = [row for row in errors if not row.startswith("coopkit")]
    best = {size: min(errors[row][size] for row in others) for size in SIZES}
    heads = " | ".join(f"M{size} | over best" for size in SIZES)
    rows = [f"| restored by | {heads} |", "| --- |" + " --- |" * 2 * len(SIZES)]
    for row, found in sorted(errors.items(), key=lambda item: mean(item[1].values())):
        cells = [
            f"{found[size]:.4f} | {found[size] / best[size]:.3f}" if size in found else " | "
            for size in SIZES
        ]
        rows.append(f"| {row} | {' | '.join(cells)} |")
    paper = [f"{own:.4f} | {own / other:.2f}" for own, other in PAPER.values()]
    rows.append(f"| *the paper's, on its own faces* | {' | '.join(paper)} |")
    return rows


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(runs: tuple[Path, ...]) -> None:
    """Write the tables of docs/reproduction.md from the folders of RUNS."""
    text = PAGE.read_text(encoding="utf-8")
    tables = {"runs": runs_table, "claims": claims, "pictures": pictures, "table 1": restored}
    for mark, write in tables.items():
        rows = write(list(runs))
        opening, closing = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
        before, _, rest = text.partition(opening)
        _, _, after = rest.partition(closing)
        text = before + opening + "\n".join(rows) + "\n" + closing + after
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
