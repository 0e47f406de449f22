"""Which sampler for which density: effective draws for a budget of gradients, and bias against it.

Run as `make samplers`. Every sampler is given the setting of a small grid with which it does best
on the density at hand, found with another seed than the one it is measured with.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from coopkit_hmc import Hmc
from coopkit_mala import Mala
from coopkit_parallel_tempering import ParallelTempering
from coopkit_underdamped import UnderdampedLangevin
from densities import Case, Counted, cases, statistics
from measured import machine, write_part

from coopkit.builtin import Langevin
from coopkit.interfaces import Sampler
from coopkit.sampling import run_chains

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "samplers.md"
PLOT = ROOT / "docs" / "images" / "samplers-bias.svg"
SIZES = [2 ** (k / 2) for k in range(-5, 4)]
"""Step sizes that are tried, in units of the smallest standard deviation."""

Settings = dict[str, Any]


@attrs.frozen
class Contender:
    """A sampler's class, and the values of its other fields that are tried."""

    make: Callable[..., Sampler[Any]]
    tried: dict[str, Sequence[Any]] = attrs.field(factory=dict)

    def settings(self, scale: float) -> Iterator[Settings]:
        """Yield every setting of the grid."""
        for values in itertools.product(SIZES, *self.tried.values()):
            rest = dict(zip(self.tried, values[1:], strict=True))
            yield {"step_size": values[0] * scale, **rest}


CONTENDERS = {
    "langevin": Contender(Langevin),
    "mala": Contender(Mala),
    "hmc": Contender(Hmc, {"leapfrogs": (4, 16, 64)}),
    "underdamped-langevin": Contender(UnderdampedLangevin, {"friction": (0.3, 1.0, 3.0)}),
    "parallel-tempering": Contender(ParallelTempering, {"replicas": (4,), "hottest": (4.0, 16.0)}),
}


@attrs.frozen
class Effort:
    """Chains, and gradients that each of them may evaluate, where settings are tried and after."""

    tried: tuple[int, int] = (64, 2_000)
    measured: tuple[int, int] = (256, 10_000)
    cold: int = 4096
    budgets: tuple[int, ...] = (10, 30, 100, 300, 1_000, 3_000)


@attrs.frozen
class Worth:
    """What chains that started from the target itself were worth.

    Attributes:
        draws: exact independent draws that would give the same mean squared error, per chain.
        gradients: that one chain evaluated.
        seconds: that all chains took.
    """

    draws: float
    gradients: int
    seconds: float


def worth(sampler: Sampler[Any], case: Case, chains: int, gradients: int, seed: int) -> Worth:
    """Return what a time average over a budget of gradients is worth, in its worst statistic.

    A mean over n independent draws has the squared error 1/n in every statistic. The bias of a
    sampler is part of its error.
    """
    rng = torch.Generator().manual_seed(seed)
    target = Counted(case.density.target)
    state = sampler.init(target, case.density.draw(chains, rng))
    total, steps, begun = torch.zeros(()), 0, time.perf_counter()
    while target.gradients < gradients:
        state = sampler.step(target, state, rng)
        total = total + statistics(case.density.scores(state.position))
        steps += 1
    seconds = time.perf_counter() - begun
    error = (total / steps).square().mean(0).max()
    draws = float(1 / error) if error.isfinite() else 0.0
    return Worth(draws, target.gradients, seconds)


def best(contender: Contender, case: Case, effort: Effort) -> Settings:
    """Return the setting of the grid that is worth most."""
    chains, gradients = effort.tried
    found = {
        json.dumps(setting): worth(contender.make(**setting), case, chains, gradients, 1).draws
        for setting in contender.settings(case.density.scale)
    }
    setting: Settings = json.loads(max(found, key=lambda key: found[key]))
    return setting


def biases(sampler: Sampler[Any], case: Case, effort: Effort, seed: int) -> list[float]:
    """Return the largest error of a statistic's mean over cold chains, after each budget."""
    rng = torch.Generator().manual_seed(seed)
    target = Counted(case.density.target)
    state = sampler.init(target, case.cold(effort.cold))
    found = []
    for budget in effort.budgets:
        while target.gradients < budget:
            state = run_chains(sampler, target, state, 1, rng)
        means = statistics(case.density.scores(state.position)).mean(0)
        found.append(float(means.abs().max()))
    return found


def measure(effort: Effort, seed: int) -> dict[str, Any]:
    """Return the figures of every sampler on every density."""
    found: dict[str, Any] = {}
    for (place, case), (name, contender) in itertools.product(cases().items(), CONTENDERS.items()):
        setting = best(contender, case, effort)
        sampler = contender.make(**setting)
        chains, gradients = effort.measured
        measured = worth(sampler, case, chains, gradients, seed)
        found.setdefault(place, {})[name] = {
            "title": case.title,
            "setting": {**setting, "step_size": setting["step_size"] / case.density.scale},
            "draws": 1000 * measured.draws / measured.gradients,
            "rate": chains * measured.draws / measured.seconds,
            "bias": biases(sampler, case, effort, seed),
        }
        print(place, name, found[place][name], flush=True)
    return found


def table(found: dict[str, Any], effort: Effort) -> str:
    """Return the figures as tables of Markdown."""
    lines = [
        "| density | sampler | setting (δ in the smallest σ) | draws per 1,000 gradients "
        "| draws per second | bias after " + " | ".join(f"{b:,}" for b in effort.budgets) + " |",
        "| --- | --- | --- |" + " ---: |" * (2 + len(effort.budgets)),
    ]
    for rows in found.values():
        most = max(row["draws"] for row in rows.values())
        for name, row in rows.items():
            setting = ", ".join(f"{key} {value:.3g}" for key, value in row["setting"].items())
            setting = setting.replace("step_size", "δ")
            draws = f"{row['draws']:.3g}"
            draws = f"**{draws}**" if row["draws"] == most else draws
            bias = " | ".join(f"{value:.2f}" for value in row["bias"])
            lines.append(
                f"| {row['title']} | `{name}` | {setting} | {draws} | {row['rate']:,.0f} | {bias} |"
            )
    return "\n".join(lines) + "\n"


def plot(found: dict[str, Any], effort: Effort) -> None:
    """Draw bias against budget, a panel for each density."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "coopkit"
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True)
    for panel, rows in zip(panels, found.values(), strict=True):
        for name, row in rows.items():
            panel.loglog(effort.budgets, [max(b, 1e-3) for b in row["bias"]], label=name)
        panel.axhline(2 / effort.cold**0.5, color="grey", linestyle=":", linewidth=1)
        panel.set_title(next(iter(rows.values()))["title"], fontsize=8)
        panel.set_xlabel("gradients", fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0].set_ylabel("largest error of a moment", fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    """Measure, and write the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a smoke test; writes nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quick = Effort((8, 100), (8, 100), 64, (10, 30))
    effort = quick if arguments.quick else Effort()
    with torch.no_grad():
        found = measure(effort, arguments.seed)
    if not arguments.quick:
        said = f"Measured on {machine()}; one thread, seed {arguments.seed}.\n\n"
        write_part(PAGE, "densities", said + table(found, effort))
        plot(found, effort)


if __name__ == "__main__":
    main()
