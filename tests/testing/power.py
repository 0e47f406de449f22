"""The probability that each check catches each planted mistake.

Run as `make power`, or with `--seeds N` for other than the default. Every mutant goes through all
checks once for each seed, and, where it says what its step does to a Gaussian, once more without
that. It writes the tables of docs/power.md, and the patterns from which `coopkit check` tells the
likeliest mistake: coopkit/testing/mistakes.json.
"""

import argparse
import json
import multiprocessing
import os
import statistics
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from measured import machine, write_part
from mutants import MUTANTS

from coopkit.testing.checks import CHECKS
from coopkit.testing.diagnosis import CLUES, clue_width
from coopkit.testing.records import Result

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "power.md"
MISTAKES = ROOT / "coopkit" / "testing" / "mistakes.json"

LAW = {check.name for check in CHECKS if check.experiment}

Runs = list[list[Result]]
"""The results of one sampler: for every seed, those of all checks."""

Found = dict[tuple[int, int], Runs]
"""By the index of the mutant, and of what it declares."""


def tasks(seeds: int) -> list[tuple[int, int, int]]:
    """Return what is to be run: the index of a mutant, that of what it declares, and a seed."""
    return [
        (index, declaration, seed)
        for seed in range(seeds)
        for index, mutant in enumerate(MUTANTS)
        for declaration in range(len(mutant.declarations()))
    ]


def run(task: tuple[int, int, int]) -> tuple[tuple[int, int], list[Result]]:
    """Put one mutant through all checks, with one seed."""
    index, declaration, seed = task
    torch.set_num_threads(1)
    mutant = MUTANTS[index]
    sampler = mutant.declarations()[declaration]
    with mutant.plant():
        return (index, declaration), [check.run(sampler, seed, "full") for check in CHECKS]


def measure(seeds: int) -> Found:
    """Return the results of every mutant, by seed."""
    found: Found = defaultdict(list)
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for which, results in pool.imap_unordered(run, tasks(seeds)):
            found[which].append(results)
    return found


def shares(runs: Runs) -> dict[str, float]:
    """Return how often each check failed, of those that applied."""
    counts: dict[str, int] = defaultdict(int)
    for results in runs:
        for result in results:
            if result.status != "not applicable":
                counts[result.check] += result.status == "failed"
    return {name: round(count / len(runs), 3) for name, count in counts.items()}


def kills(runs: Runs) -> dict[str, float]:
    """Return how often each check failed, for those that did at all."""
    return {name: share for name, share in shares(runs).items() if share}


def clues(runs: Runs) -> dict[str, float]:
    """Return the median of every clue, of those that are the same with every seed.

    A mistake that no check of law catches has none: its numbers are those of the right sampler.
    """
    if not LAW & kills(runs).keys():
        return {}
    seen: dict[str, list[float]] = defaultdict(list)
    for results in runs:
        for result in results:
            if result.check in CLUES:
                for name, value in result.clues.items():
                    seen[name].append(value)
    usual = {name: statistics.median(values) for name, values in seen.items()}
    return {
        name: round(usual[name], 2)
        for name, values in seen.items()
        if all(abs(value - usual[name]) < 2 * clue_width(usual[name]) for value in values)
    }


def grouped(by_check: dict[str, float]) -> str:
    """Return checks with their probabilities, cases of a family together: a[x, y] 1, b 0.8."""
    parts = []
    for family, members in groupby(by_check.items(), key=lambda item: item[0].partition("[")[0]):
        for chance, same in groupby(sorted(members, key=lambda m: -m[1]), key=lambda m: m[1]):
            cases = [name.partition("[")[2].rstrip("]") for name, _ in same]
            inside = f"[{', '.join(cases)}]" if any(cases) else ""
            parts.append(f"{family}{inside} {chance:.3g}")
    return "; ".join(parts)


def rows(found: Found, declaration: int) -> list[str]:
    """Return a line of the table for every mutant that was measured with such a declaration."""
    lines = [
        "| planted mistake | killed | checks that kill it, with their probabilities | only one |"
    ]
    lines.append("| --- | --- | --- | --- |")
    for index, mutant in enumerate(MUTANTS):
        if (index, declaration) not in found:
            continue
        runs = found[index, declaration]
        by_check = kills(runs)
        caught = sum(any(r.status == "failed" for r in results) for results in runs)
        only = f"**{next(iter(by_check))}**" if len(by_check) == 1 else ""
        lines.append(f"| {mutant.name} | {caught}/{len(runs)} | {grouped(by_check)} | {only} |")
    return lines


def entry(index: int, found: Found) -> dict[str, Any]:
    """Return what the diagnosis knows of one mistake."""
    mutant = MUTANTS[index]
    measured = [runs for (which, _), runs in sorted(found.items()) if which == index]
    return {
        "name": mutant.name,
        "remedy": mutant.remedy,
        "in_target": mutant.in_target,
        "patterns": [{"kills": shares(runs), "clues": clues(runs)} for runs in measured],
    }


def write(found: Found) -> None:
    """Write the tables and the patterns."""
    for declaration, part in enumerate(("full", "undeclared")):
        note = f"{len(found[0, declaration])} seeds each; {machine()}."
        table = "\n".join(rows(found, declaration))
        write_part(PAGE, part, f"{note}\n\n{table}\n")
    lines = [json.dumps(entry(index, found), ensure_ascii=False) for index in range(len(MUTANTS))]
    MISTAKES.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    write(measure(parser.parse_args().seeds))


if __name__ == "__main__":
    main()
