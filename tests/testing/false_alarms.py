"""How often the checks call a right sampler wrong, and how often an experiment is repeated.

Run as `make false-alarms`. Langevin dynamics goes through the whole kit with 300 seeds, and every
other right sampler with 10. It writes the table of docs/power.md.
"""

import argparse
import multiprocessing
import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import torch
from measured import machine, write_part
from reference_samplers import RIGHT

from coopkit.testing.checks import CHECKS
from coopkit.testing.law.evidence import FALSE_ALARM, LEVEL
from coopkit.testing.records import Result

PAGE = Path(__file__).parents[2] / "docs" / "power.md"


def run(task: tuple[int, int]) -> tuple[int, list[Result], float]:
    """Put one right sampler through all checks, with one seed."""
    index, seed = task
    torch.set_num_threads(1)
    begin = time.perf_counter()
    results = [check.run(RIGHT[index], seed, "full") for check in CHECKS]
    return index, results, time.perf_counter() - begin


def row(sampler: Any, runs: list[list[Result]], seconds: list[float]) -> tuple[str, Counter[str]]:
    """Return a line of the table, and which checks were repeated."""
    results = [r for results in runs for r in results if r.status != "not applicable"]
    failed = [result for result in results if result.status == "failed"]
    made = [result for result in results if result.false_alarm]
    again = Counter(result.check for result in made if result.stages > 1)
    share = again.total() / len(made)
    middle = sorted(seconds)[len(seconds) // 2]
    line = (
        f"| `{sampler}` | {len(runs)} | {len(results)} | {len(failed)} | {again.total()} of "
        f"{len(made)} ({100 * share:.2f}%) | {middle:.1f} |"
    )
    return line, again


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--others", type=int, default=10)
    parser.add_argument("--from", dest="first", type=int, default=1000)
    options = parser.parse_args()
    counts = [options.seeds] + [options.others] * (len(RIGHT) - 1)
    tasks = [
        (index, options.first + seed) for index, count in enumerate(counts) for seed in range(count)
    ]
    runs: dict[int, list[list[Result]]] = defaultdict(list)
    seconds: dict[int, list[float]] = defaultdict(list)
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for index, results, taken in pool.imap_unordered(run, tasks):
            runs[index].append(results)
            seconds[index].append(taken)
            for result in results:
                if result.status == "failed":
                    print(RIGHT[index], result, flush=True)
    lines = [
        "| right sampler | runs | checks | false alarms | experiments made again | seconds a run |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    repeated: Counter[str] = Counter()
    for index, sampler in enumerate(RIGHT):
        line, again = row(sampler, runs[index], seconds[index])
        lines.append(line)
        repeated += again
    most = ", ".join(f"{name} {count}" for name, count in repeated.most_common(5))
    note = (
        f"Seeds from {options.first}; {machine()}, one run on each core at a time. By design an "
        f"experiment is made again with probability {LEVEL}, and a check fails with "
        f"{FALSE_ALARM:.1g}. Most often made again: {most}."
    )
    write_part(PAGE, "false alarms", note + "\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
