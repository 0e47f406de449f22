"""Evidence against a sampler: statistics whose law is known when the sampler is right.

A law check is an experiment that a right sampler fails with probability `LEVEL`. A sampler is
called wrong only when `STAGES` independent experiments, with fresh seeds and ever more chains, all
fail, so that a right one is called wrong with probability `FALSE_ALARM` = LEVEL ** STAGES. The
first experiment is cheap, and nearly always the last.

The levels are kept moderate on purpose: the normal approximations below are accurate there, and
need not be trusted at one in a billion.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import attrs
import torch
from torch import Tensor

LEVEL = 0.005
STAGES = 4
FALSE_ALARM = LEVEL**STAGES


@attrs.frozen
class Evidence:
    """The outcome of one experiment.

    Attributes:
        figure: what was measured; beyond `bound` it speaks against the sampler.
        bound: what a right sampler stays below, up to the false-alarm probability.
        detail: which of the statistics is the figure, in words.
        clues: measured numbers that tell one mistake from another, by name.
    """

    figure: float
    bound: float
    detail: str = ""
    clues: Mapping[str, float] = attrs.field(factory=dict)

    @property
    def against(self) -> bool:
        """Whether the figure is beyond the bound, or no number."""
        return not self.figure <= self.bound


def worst(evidence: Sequence[Evidence]) -> Evidence:
    """Return the outcome that is furthest beyond its bound, with the clues of all."""
    clues = {name: value for part in evidence for name, value in part.clues.items()}
    ratios = [
        math.inf if math.isnan(part.figure) else part.figure / max(part.bound, 1e-300)
        for part in evidence
    ]
    return attrs.evolve(evidence[ratios.index(max(ratios))], clues=clues)


def normal_bound(statistics: int, level: float = LEVEL) -> float:
    """Return what |z| of all of so many standard normals stays below, with probability 1 − level.

    By Bonferroni's inequality, so whatever the dependence between them.
    """
    return NormalDist().inv_cdf(1 - level / (2 * statistics))


def z_test(
    z: Tensor, names: Sequence[str], level: float = LEVEL, values: Tensor | None = None
) -> Evidence:
    """Return the evidence of statistics (n,) that are standard normal for a right sampler.

    Args:
        z: the statistics.
        names: what they are called.
        level: the probability that a right sampler raises an alarm.
        values: what they were computed from; the statistics themselves if left out.
    """
    if not bool(torch.isfinite(z).all()):
        return unbounded(z, names, level, z if values is None else values)
    index = int(z.abs().argmax())
    value = float(z[index])
    detail = f"{names[index]} is {value:+.1f} standard errors off"
    return Evidence(abs(value), normal_bound(len(z), level), detail)


def unbounded(z: Tensor, names: Sequence[str], level: float, values: Tensor) -> Evidence:
    """Return the evidence of statistics that are not finite, and which of two reasons they have.

    Either the values of the chains are not finite, or a statistic has none of the spread between
    the chains that it is divided by.
    """
    if bool(torch.isfinite(values).all()):
        name = names[int((~torch.isfinite(z)).int().argmax())]
        why = f"{name} is the same for all chains; is the noise drawn for each of them?"
    else:
        why = "the chains left the finite numbers; is step_size δ, a length?"
    return Evidence(math.inf, normal_bound(len(z), level), why)


def moments(scores: Tensor) -> tuple[Tensor, list[str]]:
    """Return Hermite functions of standard normals and the weights of their tails, and names.

    They are the means, the (co)variances, the third moments and the tails: all have expectation 0
    and variance 1 under N(0, I), and but for a tail and its variance they are uncorrelated.
    Equations: He1 = z, He2 = z² − 1, He3 = z³ − 3z, of variances 1, 2 and 6.

    Args:
        scores: (chains, d), float64.
    """
    dimension = scores.shape[1]
    first, second = scores, (scores**2 - 1) / math.sqrt(2)
    third = (scores**3 - 3 * scores) / math.sqrt(6)
    tail = 2 * (1 - NormalDist().cdf(2.0))
    beyond = ((scores.abs() > 2).double() - tail) / math.sqrt(tail * (1 - tail))
    columns = [first, second, third, beyond]
    names = [
        f"{what} {i + 1}"
        for what in ("mean", "variance", "third moment", "tail weight")
        for i in range(dimension)
    ]
    for i in range(dimension):
        for j in range(dimension):
            if i < j:
                columns.append(first[:, i : i + 1] * first[:, j : j + 1])
                names.append(f"covariance {i + 1}, {j + 1}")
            if i != j:
                columns.append(second[:, i : i + 1] * first[:, j : j + 1])
                names.append(f"third moment {i + 1}, {i + 1}, {j + 1}")
    return torch.cat(columns, dim=1), names


SHARE_OF_MOMENTS = 0.35
"""Of the level of `normality`, beside half for the energy test.

Sums of 2,000 third moments or tails are beyond the bound up to 1.4 times as often as a normal is,
and what is left of the level pays for it.
"""


def normality(scores: Tensor, rng: torch.Generator, level: float = LEVEL) -> Evidence:
    """Return the evidence that chains (chains, d) are not independent draws from N(0, I).

    All moments of `moments`, and a two-sample energy test against fresh normals, which needs no
    choice of moments, at half of the level.
    """
    scores = scores.double().cpu()
    functions, names = moments(scores)
    z = functions.sum(0) / math.sqrt(len(scores))
    by_moments = z_test(z, names, SHARE_OF_MOMENTS * level, functions)
    if not math.isfinite(by_moments.figure):
        return by_moments
    part = scores[:ENERGY_CHAINS]
    fresh = torch.randn(part.shape, generator=rng, dtype=torch.float64)
    return worst([by_moments, energy_test(part, fresh, rng, level / 2)])


ENERGY_CHAINS = 300
"""Chains of each sample that an energy test compares; its cost is their square."""


def energy_test(
    first: Tensor, second: Tensor, rng: torch.Generator, level: float = LEVEL
) -> Evidence:
    """Return the evidence that two samples (n, d) come from different laws.

    The statistic is the energy distance of Székely and Rizzo (2013), "Energy statistics",
    2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖; its bound is the greatest that random permutations of the
    pooled sample reach, which is exact at any sample size.
    """
    pooled = torch.cat([first, second]).double()
    distances = torch.cdist(pooled, pooled)
    permutations = math.ceil(1 / level) - 1
    order = torch.rand(permutations, len(pooled), generator=rng).argsort(dim=1)
    labels = torch.where(order < len(first), 1 / len(first), -1 / len(second)).double()
    observed = torch.full((1, len(pooled)), 1 / len(first), dtype=torch.float64)
    observed[:, len(first) :] = -1 / len(second)
    labels = torch.cat([observed, labels])
    energies = -((labels @ distances) * labels).sum(1)
    figure, bound = float(energies[0]), float(energies[1:].max())
    return Evidence(figure, bound, f"the energy distance between the samples is {figure:.2g}")


def paired_test(functions: Tensor, names: Sequence[str], level: float = LEVEL) -> Evidence:
    """Return the evidence that functions of independent chains (chains, n) have not mean 0.

    The standard error is that of the sample.
    """
    chains = len(functions)
    error = functions.std(0) / math.sqrt(chains)
    return z_test(functions.mean(0) / error.clamp_min(1e-300), names, level, functions)


def independence(
    increments: Tensor, across_steps: bool, level: float = LEVEL, clocked: bool = False
) -> Evidence:
    """Return the evidence that the increments of chains are not independent.

    Products of neighbours, in the order of chains, of coordinates and, with `across_steps`, of
    steps, have mean 0; so have those of squares of neighbouring chains. Their standard errors are
    those of the sample of chains, over the mean of all steps. With `across_steps` the mean of all
    chains has the variance of a mean of independent ones as well.

    Args:
        increments: (steps, chains, d), of mean 0 and variance 1 for a right sampler.
        across_steps: whether the increments of different steps are independent too.
        level: the probability that independent increments raise an alarm.
        clocked: whether squares of the chains may change together from step to step.
    """
    chains = increments.shape[1]
    mean = (increments**2).mean(1, keepdim=True)
    squares = increments**2 - (mean if clocked else mean.mean(0))
    found: dict[str, Tensor] = {}
    for lag in (1, 2, chains // 2):
        for what, values in (("chains", increments), ("the squares of chains", squares)):
            found[f"correlation of {what} {lag} apart"] = values[:, lag:] * values[:, :-lag]
    for lag in range(1, increments.shape[2]):
        products = increments[..., lag:] * increments[..., :-lag]
        found[f"correlation of coordinates {lag} apart"] = products
    for lag in (1, 2) if across_steps else ():
        found[f"correlation of steps {lag} apart"] = increments[lag:] * increments[:-lag]
    z = [student(products.mean((0, 2))) for products in found.values()]
    names = list(found)
    if across_steps:
        names.append("variance of the mean of all chains")
        z.append(chi_square_score(chains * increments.mean(1) ** 2))
    return z_test(torch.stack(z), names, level, increments)


def student(values: Tensor) -> Tensor:
    """Return the mean of independent values over its standard error."""
    return values.mean() / (values.std() / math.sqrt(len(values))).clamp_min(1e-300)


def chi_square_score(squares: Tensor) -> Tensor:
    """Return a standard normal from squares of independent standard normals.

    By the cube root of Wilson and Hilferty (1931), "The distribution of chi-square".
    """
    spread = 2 / (9 * squares.numel())
    cube_root: Tensor = squares.mean() ** (1 / 3)
    return (cube_root - (1 - spread)) / math.sqrt(spread)
