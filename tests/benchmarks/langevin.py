"""Seconds of one Langevin step: coopkit's fast and plain ways, torchebm and the usual loop.

Run as `make bench`, or with the names of cases, which measures these alone and writes nothing. Each
contender lives in a process of its own, so that none is helped by the memory or the caches of
another; all are warmed up, and then take turns, one at a time. A ratio is the median over rounds of
the ratio within a round. torchebm takes part where it can be imported; the environment variable
TORCHEBM_PATH may name the folder that it was installed to.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import contenders
import torch
from contenders import Job
from measured import machine, write_part

ROOT = Path(__file__).parents[2]
WAYS = ("public", "torchebm", "plain", "fast")
GROWN = 2**30
"""Bytes that an evaluation may take at a time where the growth is measured."""

PLAIN_CHAINS = 256
"""The plain way, whose memory has no bound, is measured with so many chains at most."""

CASES = {
    "texture": Job(network="texture", size=224, chains=1),
    "texture-6": Job(network="texture", size=224, chains=6),
    "object": Job(network="object", size=64, chains=36),
    "face": Job(network="face", size=64, chains=36),
    "scene": Job(network="scene", size=64, chains=36),
    "face-generator": Job(network="face generator", size=64, chains=36),
    "texture-generator": Job(network="texture generator", size=224, chains=1),
}
GPU_CASES = {
    "scene-100": Job(network="scene", size=64, chains=100),
    "scene-100-bfloat16": Job(network="scene", size=64, chains=100, bfloat16=True),
}

Figures = dict[str, Any]


@attrs.frozen
class Effort:
    """How many rounds, steps in a chain, and chains where the growth is measured, at most."""

    rounds: int = 5
    steps: int = 10
    chains: int = 4096


@attrs.define
class Worker:
    """A contender in a process of its own.

    Attributes:
        process: it waits for a line and answers with another.
        found: what it said when it was ready.
        turns: what it measured in each round.
    """

    process: "subprocess.Popen[str]"
    found: Figures = attrs.field(factory=dict)
    turns: list[Figures] = attrs.field(factory=list)

    @classmethod
    def start(cls, job: Job) -> "Worker":
        """Return a worker that is warmed up."""
        command = [sys.executable, contenders.__file__, json.dumps(attrs.asdict(job))]
        pipe = subprocess.PIPE
        worker = cls(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        worker.found = worker.answer()
        return worker

    def answer(self) -> Figures:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended early: {self.process.args}")
        figures: Figures = json.loads(line)
        return figures

    def take_turn(self) -> None:
        """Let it measure once."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.turns.append(self.answer())

    def stop(self) -> None:
        """Let it end."""
        self.process.communicate()

    def median(self, figure: str) -> float:
        """Return the median of a figure over the rounds."""
        return statistics.median(turn[figure] for turn in self.turns)


def race(job: Job, ways: list[str], rounds: int) -> dict[str, Worker]:
    """Return the contenders of a job after some rounds; those that are missing had no turns."""
    workers: dict[str, Worker] = {}
    try:
        for way in ways:
            workers[way] = Worker.start(attrs.evolve(job, way=way))
        running = [worker for worker in workers.values() if "missing" not in worker.found]
        for _ in range(rounds):
            for worker in running:
                worker.take_turn()
    finally:
        for worker in workers.values():
            worker.stop()
    agree(workers)
    return workers


def agree(workers: dict[str, Worker]) -> None:
    """Make sure that all contenders go the same way from the same start."""
    tolerance = 5e-2 if torch.cuda.is_available() else 1e-3
    signatures = {way: w.found["signature"] for way, w in workers.items() if "signature" in w.found}
    norm, along = signatures["fast"]
    for way, (other, along_other) in signatures.items():
        if abs(other - norm) > tolerance * norm or abs(along_other - along) > tolerance:
            raise RuntimeError(f"{way} and fast do different things: {signatures}")


def ratio(slow: Worker | None, fast: Worker) -> str:
    """Return how many times as long one takes, with its quartiles over rounds."""
    if slow is None or not slow.turns:
        return "–"
    pairs = zip(slow.turns, fast.turns, strict=True)
    ratios = [other["seconds"] / own["seconds"] for other, own in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def milliseconds(worker: Worker | None) -> str:
    """Return the time of one step, or why there is none."""
    if worker is None:
        return "–"
    return f"{1e3 * worker.median('seconds'):.1f}" if worker.turns else worker.found["missing"]


def row(*cells: object) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*cells: str) -> list[str]:
    """Return the first two rows of a table."""
    return [row(*cells), row(*("---" for _ in cells))]


def shown(lines: list[str]) -> list[str]:
    """Print lines, and return them."""
    print(*lines, sep="\n", flush=True)
    return lines


def compare(jobs: dict[str, Job], effort: Effort) -> tuple[list[str], list[str], str]:
    """Return the tables of steps and of floors, and the version of torchebm."""
    over = [f"{way} / fast" for way in WAYS[:-1]]
    steps = shown(head("network", "chains", *(f"{way}, ms" for way in WAYS), *over))
    floors: list[dict[str, str]] = []
    version = ""
    for job in jobs.values():
        ways = [way for way in WAYS if way != "torchebm" or "generator" not in job.network]
        workers = race(attrs.evolve(job, steps=effort.steps), [*ways, "rates"], effort.rounds)
        times = [milliseconds(workers.get(way)) for way in WAYS]
        ratios = [ratio(workers.get(way), workers["fast"]) for way in WAYS[:-1]]
        steps += shown([row(title(job), job.chains, *times, *ratios)])
        floors.append(floor_of(job, workers))
        if "torchebm" in workers:
            version = workers["torchebm"].found.get("version", "")
    table = [*head(*floors[0]), *(row(*floor.values()) for floor in floors)]
    return steps, shown(table), version or "not installed"


def title(job: Job) -> str:
    """Return the network of a job, with its size."""
    return f"{job.network} {job.size}{' bfloat16' if job.bfloat16 else ''}"


def floor_of(job: Job, workers: dict[str, Worker]) -> dict[str, str]:
    """Return the cells, by title, that compare a step with what the machine can do."""
    rates, fast, plain = (workers[way] for way in ("rates", "fast", "plain"))
    flops, least = rates.found["flops"], rates.found["bytes"]
    product, convolution, copy = map(rates.median, ("sgemm", "convolution", "bandwidth"))
    reached, plainly = (flops / worker.median("seconds") for worker in (fast, plain))
    return {
        "network": title(job),
        "chains": str(job.chains),
        "GFLOP per step": f"{flops / 1e9:.1f}",
        "fast, GFLOP/s": f"{reached / 1e9:.0f}",
        "plain, GFLOP/s": f"{plainly / 1e9:.0f}",
        "matrix product, GFLOP/s": f"{product / 1e9:.0f}",
        "convolution, GFLOP/s": f"{convolution / 1e9:.0f}",
        "fast / matrix product": f"{reached / product:.0%}",
        "fast / convolution": f"{reached / convolution:.0%}",
        "MiB at least": f"{least / 2**20:.0f}",
        "copy, GB/s": f"{copy / 1e9:.0f}",
        "floor by memory, ms": f"{1e3 * least / copy:.1f}",
        "fast, ms": milliseconds(fast),
    }


def grow(first: str, jobs: dict[int, Job], rounds: int) -> list[str]:
    """Return a table of times and memory along one quantity, `first`."""
    measures = ("ms", "ms per chain", "peak GiB")
    titles = [f"{way}, {measure}" for way in ("plain", "fast") for measure in measures]
    rows = shown(head(first, *titles, "plain / fast"))
    for value, job in jobs.items():
        many = job.chains > PLAIN_CHAINS
        workers = race(job, ["fast"] if many else ["plain", "fast"], 1 if many else rounds)
        cells: list[str] = []
        for way in ("plain", "fast"):
            cells += grown(workers[way], job) if way in workers else ["–"] * len(measures)
        rows += shown([row(value, *cells, ratio(workers.get("plain"), workers["fast"]))])
    return [*rows, ""]


def grown(worker: Worker, job: Job) -> list[str]:
    """Return the time of a step, of a step of one chain, and the peak memory."""
    one = 1e3 * worker.median("seconds") / job.chains
    return [milliseconds(worker), f"{one:.2f}", f"{worker.turns[-1]['peak']:.2f}"]


def by_chains(effort: Effort) -> list[str]:
    """Return the table of growing numbers of chains."""
    base = attrs.evolve(CASES["object"], memory=GROWN)
    jobs = {
        n: attrs.evolve(base, chains=n, steps=max(1, min(effort.steps, PLAIN_CHAINS // n)))
        for n in (4**power for power in range(7))
        if n <= effort.chains
    }
    return grow("object 64: chains", jobs, effort.rounds)


def by_size(effort: Effort) -> list[str]:
    """Return the table of growing signals."""
    base = attrs.evolve(CASES["texture"], memory=GROWN, steps=effort.steps)
    jobs = {size: attrs.evolve(base, size=size) for size in (32, 64, 128, 256, 512)}
    return grow("texture, 1 chain: height and width", jobs, effort.rounds)


def by_threads(effort: Effort) -> list[str]:
    """Return the table of growing numbers of threads."""
    most = torch.get_num_threads()
    threads = sorted({most, *(2**n for n in range(most.bit_length()))})
    base = attrs.evolve(CASES["object"], memory=GROWN, steps=effort.steps)
    jobs = {n: attrs.evolve(base, threads=n) for n in threads}
    return grow("object 64, 36 chains: threads", jobs, effort.rounds)


GROWTHS = {"chains": by_chains, "sizes": by_size, "threads": by_threads}


def main() -> None:
    """Measure what was asked for; write the page where that is everything."""
    cases = CASES | (GPU_CASES if torch.cuda.is_available() else {})
    given = arguments([*cases, *GROWTHS])
    asked = given.cases or [*cases, *GROWTHS]
    effort = Effort(rounds=3, steps=3, chains=64) if given.quick else Effort()
    where = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    by = f"Measured by `make bench`; {where}{machine()}, {torch.get_num_threads()} threads"
    shown([by])
    jobs = {name: job for name, job in cases.items() if name in asked}
    compared, floors, version = compare(jobs, effort) if jobs else ([], [], "")
    tables = [growth(effort) for name, growth in GROWTHS.items() if name in asked]
    if given.page is None or given.cases:
        return
    growths = [line for table in tables for line in table][:-1]
    by = f"{by}, torchebm {version}:"
    for name, lines in {"steps": compared, "floors": floors, "growth": growths}.items():
        write_part(given.page, name, "\n".join([by, "", *lines]) + "\n")


def arguments(names: list[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(names)}; all, if left out")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; written to --page only")
    parser.add_argument("--page", type=Path, help="instead of docs/performance.md")
    given = parser.parse_args()
    unknown = set(given.cases) - set(names)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    if given.page is None and not given.quick:
        given.page = ROOT / "docs" / "performance.md"
    return given


if __name__ == "__main__":
    main()
