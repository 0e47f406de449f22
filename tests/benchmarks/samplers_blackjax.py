"""The same sampler of another library: moments and acceptance on the same targets, after as much.

Run as `BLACKJAX_PYTHON=path/to/python make samplers-blackjax`, with a Python that has blackjax. The
chains of both start at the same place. Where a trajectory's length is random, coopkit counts
leapfrog steps and blackjax trajectories; both have then had time to forget the start.
"""

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import attrs
import torch
from coopkit_hmc import Hmc
from coopkit_mala import Mala
from densities import Case, cases, statistics
from measured import machine, write_part

from coopkit.interfaces import Sampler
from coopkit.sampling import run_chains

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "samplers.md"
CHAINS = 20_000
LONG = 400
"""Trajectories after which a start is forgotten."""


@attrs.frozen
class Job:
    """One comparison."""

    density: str
    sampler: str
    step_size: float
    steps: int
    leapfrogs: int = 1

    @property
    def own(self) -> tuple[Sampler[Any], int]:
        """Return coopkit's sampler, and how many of its steps are as many transitions."""
        if self.sampler == "mala":
            return Mala(step_size=self.step_size), self.steps
        hmc = Hmc(step_size=self.step_size, leapfrogs=self.leapfrogs)
        return hmc, self.steps * self.leapfrogs


JOBS = [
    Job("gaussian-100", "mala", 0.13, 5),
    Job("gaussian-100", "mala", 0.13, 100),
    Job("gaussian-100", "hmc", 0.13, 5),
    Job("gaussian-100", "hmc", 0.13, LONG, 8),
    Job("skewed", "mala", 1.5, 5),
    Job("skewed", "mala", 1.5, 100),
    Job("skewed", "hmc", 1.0, LONG, 4),
    Job("barrier", "mala", 1.0, 5),
    Job("barrier", "hmc", 0.5, LONG, 4),
]


def theirs(job: Job, start: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return where blackjax's chains end, and the share that they accepted."""
    asked = {**attrs.asdict(job), "start": start.tolist(), "seed": 1}
    done = subprocess.run(
        [os.environ["BLACKJAX_PYTHON"], str(HERE / "blackjax_chains.py")],
        input=json.dumps(asked),
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return torch.tensor(found["positions"]), found["acceptance"]


def ours(job: Job, case: Case, start: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return where coopkit's chains end, and the share that they accepted."""
    sampler, steps = job.own
    rng = torch.Generator().manual_seed(0)
    target = case.density.target
    state = run_chains(sampler, target, sampler.init(target, start), steps, rng)
    return state.position, float(sampler.figures(state)["acceptance"].float().mean())  # type: ignore[attr-defined]


def main() -> None:
    """Compare, and write the table."""
    rows = [
        "| density | sampler | δ | transitions | accepted, coopkit and blackjax "
        "| furthest apart of the moments, in standard errors | bound at 1 in 1,000 |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for job in JOBS:
        case = cases()[job.density]
        start = case.cold(CHAINS)
        ends, accepted = zip(ours(job, case, start), theirs(job, start), strict=True)
        moments = [statistics(case.density.scores(end)) for end in ends]
        error = sum(m.var(0) / len(m) for m in moments) ** 0.5  # type: ignore[union-attr]
        apart = float(((moments[0].mean(0) - moments[1].mean(0)) / error).abs().max())
        level = 1e-3 / moments[0].shape[1]
        bound = float(torch.special.ndtri(torch.tensor(1 - level / 2, dtype=torch.float64)))
        name = job.sampler if job.sampler == "mala" else f"{job.sampler}, leapfrogs {job.leapfrogs}"
        rows.append(
            f"| {case.title} | `{name}` | {job.step_size} | {job.steps} "
            f"| {accepted[0]:.3f}, {accepted[1]:.3f} | {apart:.1f} | {bound:.1f} |"
        )
        print(rows[-1], flush=True)
        assert math.isfinite(apart)
    said = f"{CHAINS:,} chains each, {machine()}.\n\n" + "\n".join(rows) + "\n"
    write_part(PAGE, "blackjax", said)


if __name__ == "__main__":
    main()
