"""The probability that each check catches each planted mistake.

Run as `make power`, or with `--seeds N` for other than the default. Every mutant goes through all
checks once for each seed. It writes the table of docs/power.md, and the patterns from which
`coopkit check` tells the likeliest mistake: coopkit/testing/mistakes.json.
"""

import argparse
import json
import multiprocessing
import os
import statistics
from collections import defaultdict
from itertools import groupby
from pathlib import Path

import torch
from measured import machine, write_part
from mutants import MUTANTS

from coopkit.testing.checks import CHECKS
from coopkit.testing.diagnosis import CLUES
from coopkit.testing.records import Result

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "power.md"
MISTAKES = ROOT / "coopkit" / "testing" / "mistakes.json"


def run(task: tuple[int, int]) -> tuple[int, list[Result]]:
    """Put one mutant through all checks, with one seed."""
    index, seed = task
    torch.set_num_threads(1)
    mutant = MUTANTS[index]
    with mutant.plant():
        return index, [check.run(mutant.sampler, seed, "full") for check in CHECKS]


def measure(seeds: int) -> dict[int, list[list[Result]]]:
    """Return the results of every mutant, by seed."""
    tasks = [(index, seed) for seed in range(seeds) for index in range(len(MUTANTS))]
    found: dict[int, list[list[Result]]] = defaultdict(list)
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for index, results in pool.imap_unordered(run, tasks):
            found[index].append(results)
    return found


def kills(runs: list[list[Result]]) -> dict[str, float]:
    """Return how often each check failed, for those that did at all."""
    counts: dict[str, int] = defaultdict(int)
    for results in runs:
        for result in results:
            counts[result.check] += result.status == "failed"
    return {name: count / len(runs) for name, count in counts.items() if count}


def clues(runs: list[list[Result]]) -> dict[str, float]:
    """Return the median of every clue that one step on the correlated Gaussian gives."""
    seen: dict[str, list[float]] = defaultdict(list)
    for results in runs:
        for result in results:
            if result.check == CLUES:
                for name, value in result.clues.items():
                    seen[name].append(value)
    return {name: round(statistics.median(values), 3) for name, values in seen.items()}


def grouped(by_check: dict[str, float]) -> str:
    """Return checks with their probabilities, cases of a family together: a[x, y] 1, b 0.8."""
    parts = []
    for family, members in groupby(by_check.items(), key=lambda item: item[0].partition("[")[0]):
        for chance, same in groupby(sorted(members, key=lambda m: -m[1]), key=lambda m: m[1]):
            cases = [name.partition("[")[2].rstrip("]") for name, _ in same]
            inside = f"[{', '.join(cases)}]" if any(cases) else ""
            parts.append(f"{family}{inside} {chance:.3g}")
    return "; ".join(parts)


def rows(found: dict[int, list[list[Result]]]) -> list[str]:
    """Return a line of the table for every mutant."""
    lines = [
        "| planted mistake | killed | checks that kill it, with their probabilities | only one |"
    ]
    lines.append("| --- | --- | --- | --- |")
    for index, mutant in enumerate(MUTANTS):
        runs, by_check = found[index], kills(found[index])
        caught = sum(any(r.status == "failed" for r in results) for results in runs)
        only = f"**{next(iter(by_check))}**" if len(by_check) == 1 else ""
        lines.append(f"| {mutant.name} | {caught}/{len(runs)} | {grouped(by_check)} | {only} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    found = measure(options.seeds)
    table = "\n".join(rows(found))
    note = f"{options.seeds} seeds each; {machine()}."
    write_part(PAGE, "full", f"{note}\n\n{table}\n")
    patterns = [
        {
            "name": mutant.name,
            "remedy": mutant.remedy,
            "kills": kills(found[index]),
            "clues": clues(found[index]),
        }
        for index, mutant in enumerate(MUTANTS)
    ]
    text = json.dumps(patterns, indent=1, ensure_ascii=False)
    MISTAKES.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
