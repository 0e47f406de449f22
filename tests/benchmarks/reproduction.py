"""docs/reproduction.md, from the folders of runs: what each took, what it draws, what it restores.

A run's figures are read from its own files: recipe.toml and metrics.jsonl of the training,
evaluation.json of ``coopkit evaluate RUN --out RUN/evaluation.json``, and figures.json of
``coopkit inpaint RUN ... --out RUN/inpaint-SIZE``. Pictures are drawn from its checkpoint.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import click
from benchmarks.pictures import picture

from coopkit.folder import START, differences
from coopkit.recipes import Recipe, packaged_recipes
from coopkit.recipes.tables import Raw
from coopkit.tasks.trained import load
from coopkit.watchers.files import read_metrics

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reproduction.md"
PICTURES = PAGE.parent / "images" / "reproduction"
KINDS = ("texture", "object", "face", "scene")
VARIANT = "variant"
BEGUN = {"generator.start", "generator.architecture"}
"""What a run that begins from another one names; it is that run's, under whichever name."""
SIZES = (20, 30, 40)
PAPER = {20: (0.0966, 0.1123), 30: (0.1112, 0.1310), 40: (0.1184, 0.1525)}
"""The paper's Table 1: its own error and that of the best baseline."""
OWN = "coopkit"


def read(run: Path, name: str) -> Any:
    """Return a JSON file of a run, or None where it is not there."""
    path = run / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def runs_table(runs: list[Path]) -> list[str]:
    """Return a row for each run: what it took, and its figures."""
    headings = ["run", "recipe", "data", "iterations", "seconds (of a start)"]
    headings += ["S2−S1", "S3−S2, g(X)−Y"]
    headings += ["distance of S2 (floor, ceiling)", "relative", "diversity", "nearest, over real"]
    rows = []
    for run in runs:
        recipe = Recipe.read(run / "recipe.toml").raw
        metrics = read_metrics(run)
        last, seconds = metrics[-1], f"{duration(run):.0f}"
        if (run / START).is_dir():
            seconds += f" ({duration(run / START):.0f})"
        follows = last.get("reconstructed_minus_revised", last.get("reconstructed_minus_observed"))
        cells = [run.name, made_by(recipe), Path(recipe["data"]["source"]).name, len(metrics)]
        cells += [seconds, number(last.get("revised_minus_initial")), number(follows)]
        rows.append([*cells, *evaluated(read(run, "evaluation.json"))])
    return table(headings, rows)


def made_by(recipe: Raw) -> str:
    """Return the packaged recipe that a run's is nearest to, and what it has changed of that."""
    if recipe["algorithm"] == "generator":
        return "Algorithm 2"
    name, changed = nearest_recipe(recipe)
    return name + "".join(f", {key} = {value_at(recipe, key)}" for key in changed)


def nearest_recipe(recipe: Raw) -> tuple[str, list[str]]:
    """Return the packaged recipe that a run's is nearest to, and the keys that it has changed."""
    own = [f"data.source={json.dumps(recipe['data']['source'])}", f"seed={recipe['seed']}"]
    changed = {
        name: sorted(differences(Recipe.read(name, own).raw, recipe)) for name in packaged_recipes()
    }
    return min(changed.items(), key=lambda item: len(item[1]))


def section_of(run: Path) -> str:
    """Return where on the page a run stands: with its kind, the first word of its folder's name.

    A run that has changed a packaged recipe is a variant.

    Raises:
        ClickException: the folder's name begins with no kind.
    """
    recipe = Recipe.read(run / "recipe.toml").raw
    if recipe["algorithm"] != "generator" and set(nearest_recipe(recipe)[1]) - BEGUN:
        return VARIANT
    kind, _, _ = run.name.partition("-")
    if kind not in KINDS:
        raise click.ClickException(f"{run}: a run's folder is called KIND-…, KIND of {KINDS}")
    return kind


def value_at(recipe: Raw, key: str) -> object:
    """Return what a recipe says at a dotted key; of a run that it begins from, not where."""
    table, _, below = key.partition(".")
    value = value_at(recipe[table], below) if below else recipe.get(table, "left out")
    if key == "generator.start":
        return "another run" if value else "left out"
    return value


def duration(run: Path) -> float:
    """Return the seconds that all iterations of a run took."""
    return sum(row["seconds"] for row in read_metrics(run))


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
    headings = ["run", "E(S2) < E(S1), of all iterations", "S3−S2, first 50", "S3−S2, last 50"]
    headings += ["S2−S1, first 50", "S2−S1, last 50"]
    rows = []
    for run in runs:
        metrics = read_metrics(run)
        if not {"energy_revised", "reconstructed_minus_revised"} <= metrics[0].keys():
            continue
        fell = [row["energy_revised"] < row["energy_initial"] for row in metrics]
        cells = [run.name, f"{sum(fell)} of {len(fell)}"]
        for name in ("reconstructed_minus_revised", "revised_minus_initial"):
            for part in (metrics[:50], metrics[-50:]):
                cells.append(number(sum(row[name] for row in part) / len(part)))
        rows.append(cells)
    return table(headings, rows)


def pictures(runs: list[Path]) -> list[str]:
    """Draw what each run draws, and return a table of the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    rows = []
    for run in runs:
        path = PICTURES / f"{run.name}.png"
        picture(load(run)).save(path, optimize=True)
        rows.append((run.name, f"![S2 of {run.name}](images/reproduction/{path.name})"))
    return table(("run", "drawn by it"), rows)


def number(value: float | None) -> str:
    """Return a number in three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


def restored(runs: list[Path], old: Sequence[str]) -> list[str]:
    """Return Table 1: the errors of each run and of the baselines on the scale [−1, 1].

    Args:
        runs: what they restored comes in.
        old: the lines of the table; its other rows stay.
    """
    errors = dict(map(errors_in, old[2:-1]))
    for run in runs:
        for size in SIZES:
            found = read(run, f"inpaint-{size}/figures.json")
            for name, entry in (found or {}).get("errors", {}).items():
                row = f"coopkit, {run.name}" if name == OWN else name
                errors.setdefault(row, {})[size] = entry["minus_one_to_one"]
    others = [row for row in errors if not row.startswith("coopkit")]
    if not others:
        return list(old)
    best = {size: min(errors[row][size] for row in others) for size in SIZES}
    headings = ["restored by"]
    for size in SIZES:
        headings += [f"M{size}", "over best"]
    rows = []
    for row, found in sorted(errors.items(), key=lambda item: mean(item[1].values())):
        cells = [row]
        for size in SIZES:
            known = size in found
            cells += (
                [f"{found[size]:.4f}", f"{found[size] / best[size]:.3f}"] if known else ["", ""]
            )
        rows.append(cells)
    paper = ["*the paper's, on its own faces*"]
    for own, other in PAPER.values():
        paper += [f"{own:.4f}", f"{own / other:.2f}"]
    return table(headings, [*rows, paper])


def errors_in(row: str) -> tuple[str, dict[int, float]]:
    """Return the method of a row of Table 1, and its errors, of which four digits are kept."""
    method, *cells = (cell.strip() for cell in row.split("|")[1:-1])
    known = zip(SIZES, cells[::2], strict=True)
    return method, {size: float(error) for size, error in known if error}


def updated(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the lines of a table with the rows of new runs put in, by the names of the runs."""
    heading, rows = list(new[:2]), {row.split(" | ")[0]: row for row in [*old[2:], *new[2:]]}
    return [*heading, *sorted(rows.values())]


def lines_at(text: str, mark: str) -> list[str]:
    """Return the lines of the page between the marks of a table."""
    return (
        text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0].splitlines()
    )


def put(text: str, mark: str, lines: Sequence[str]) -> str:
    """Return the page with other lines between the marks of a table."""
    before, opening, rest = text.partition(f"<!-- {mark} -->\n")
    _, closing, after = rest.partition(f"<!-- end of {mark} -->")
    return "".join([before, opening, *(f"{line}\n" for line in lines), closing, after])


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(runs: tuple[Path, ...]) -> None:
    """Write the rows of RUNS, folders, into the tables of docs/reproduction.md.

    Rows of other runs, and of Table 1 those of other methods, stay.
    """
    text, chosen = PAGE.read_text(encoding="utf-8"), list(runs)
    sections = {run: section_of(run) for run in chosen}

    def add(mark: str, rows: list[str]) -> str:
        return put(text, mark, updated(lines_at(text, mark), rows))

    for section in dict.fromkeys(sections.values()):
        members = [run for run in chosen if sections[run] == section]
        text = add(f"runs: {section}", runs_table(members))
        text = add(f"pictures: {section}", pictures(members))
    text = add("claims", claims([run for run in chosen if sections[run] != VARIANT]))
    text = put(text, "table 1", restored(chosen, lines_at(text, "table 1")))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
