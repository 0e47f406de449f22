"""The statistics: their laws for a right sampler, and that their shares of the level add up.

Levels are measured at 0.1 to 0.25, where some hundred experiments suffice; the bounds on counts are
binomial, and a right statistic is beyond one with probability below 1e-7.
"""

import math
from contextlib import ExitStack
from typing import ClassVar
from unittest import mock

import attrs
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from reference_samplers import Mala, Underdamped
from scipy import special, stats

from coopkit.builtin.langevin import Langevin
from coopkit.interfaces import Capabilities
from coopkit.testing.checks import CHECKS
from coopkit.testing.law import equilibrium, evidence, motion
from coopkit.testing.law.evidence import (
    LEVEL,
    Evidence,
    chi_square_score,
    energy_test,
    independence,
    moments,
    normal_bound,
    normality,
    paired_test,
    student,
    worst,
    z_test,
)

RARE = 1e-7
LAW_CHECKS = [check for check in CHECKS if check.experiment]


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alarms(experiment, seeds: int) -> int:
    return sum(experiment(stream(seed)).against for seed in range(seeds))


def at_most(level: float, seeds: int) -> float:
    return float(stats.binom.isf(RARE, seeds, level))


def test_hermite_functions_are_orthonormal():
    """Gauss-Hermite quadrature is exact for polynomials of such degrees."""
    points, weights = np.polynomial.hermite_e.hermegauss(12)
    grid = torch.cartesian_prod(*[torch.from_numpy(points)] * 3)
    mass = torch.cartesian_prod(*[torch.from_numpy(weights / weights.sum())] * 3).prod(1)
    functions, names = moments(grid)
    smooth = [i for i, name in enumerate(names) if not name.startswith("tail")]
    kept = functions[:, smooth]
    assert len(names) == functions.shape[1] == 4 * 3 + 3 + 6
    assert torch.allclose(mass @ kept, torch.zeros(len(smooth)).double(), atol=1e-12)
    assert torch.allclose(
        kept.T @ (mass[:, None] * kept), torch.eye(len(smooth)).double(), atol=1e-11
    )


def test_the_weight_of_a_tail_has_mean_0_and_variance_1():
    functions, names = moments(torch.tensor([[0.0], [2.5], [-2.5], [1.99]]).double())
    inside, above, below, near = functions[:, names.index("tail weight 1")]
    beyond = special.erfc(2 / math.sqrt(2))
    assert above == below
    assert inside == near
    assert float(above * beyond + inside * (1 - beyond)) == pytest.approx(0, abs=1e-12)
    assert float(above**2 * beyond + inside**2 * (1 - beyond)) == pytest.approx(1)


@pytest.mark.parametrize(("count", "level"), [(1, 0.05), (21, 0.005), (69, 0.0025)])
def test_the_bound_shares_the_level_by_bonferroni(count, level):
    assert 2 * count * stats.norm.sf(normal_bound(count, level)) == pytest.approx(level, rel=1e-6)


def test_z_test_names_the_worst_statistic():
    found = z_test(torch.tensor([1.0, -9.0, 3.0]), ["a", "b", "c"])
    assert found.against
    assert found.detail == "b is -9.0 standard errors off"
    assert z_test(torch.tensor([1.0, math.nan]), ["a", "b"]).against
    assert not z_test(torch.tensor([1.0, -2.0]), ["a", "b"]).against


def test_what_no_statistic_can_be_made_of_is_told_from_chains_without_spread(rng):
    """NaN where the chains are not finite, and where all of them are the same."""
    lost = torch.randn(50, 2, generator=rng)
    lost[3, 0] = math.inf
    equal = torch.ones(50, 2)
    for chains, said in (
        (lost, "left the finite numbers"),
        (equal, "a is the same for all chains"),
    ):
        found = paired_test(chains, ["a", "b"])
        assert found.against
        assert said in found.detail
    assert "left the finite" in normality(lost, rng).detail
    assert "left the finite" in independence(lost.repeat(4, 1, 1), False).detail
    same = torch.randn(4, 1, 1, generator=rng).expand(4, 50, 1)
    assert "the same for all chains" in independence(same, False).detail


FIGURES = st.floats(-9, 9) | st.sampled_from([math.nan, math.inf, -1e6])


@given(st.lists(st.builds(Evidence, FIGURES, st.floats(1e-9, 9)), min_size=1, max_size=3))
@example([Evidence(0.0, 1.0), Evidence(math.nan, 1.0)])
@example([Evidence(-9.0, 1.0), Evidence(3.0, 2.0), Evidence(8.0, 9.0)])
def test_the_worst_of_some_is_against_where_any_is(parts):
    assert worst(parts).against == any(part.against for part in parts)


def test_the_worst_of_some_keeps_the_clues_of_all():
    parts = [Evidence(1.0, 2.0, clues={"a": 1.0}), Evidence(5.0, 4.0, "b", {"b": 2.0})]
    assert worst(parts) == Evidence(5.0, 4.0, "b", {"a": 1.0, "b": 2.0})


def test_the_energy_distance_is_that_of_its_definition():
    rng = stream(1)
    first, second = torch.randn(4, 2, generator=rng), torch.randn(7, 2, generator=rng) + 1
    pairs = [
        torch.tensor([[math.dist(a, b) for b in second_.tolist()] for a in first_.tolist()]).mean()
        for first_, second_ in ((first, second), (first, first), (second, second))
    ]
    found = energy_test(first, second, rng, 0.25)
    assert found.figure == pytest.approx(float(2 * pairs[0] - pairs[1] - pairs[2]), rel=1e-5)


def test_the_energy_test_has_its_level_at_six_points_of_a_law_without_mean():
    """Exact by permutation: of 1200 experiments 300 are expected to raise an alarm, less ties."""

    def experiment(rng):
        x = torch.randn(2, 9, generator=rng)
        return energy_test(*(x[0] / x[1]).reshape(-1, 1).split([4, 5]), rng, 0.25)

    count = alarms(experiment, 1200)
    assert stats.binom.isf(1 - RARE, 1200, 0.25) <= count <= at_most(0.25, 1200)


def test_the_energy_test_tells_laws_of_the_same_moments_apart():
    """False alarm impossible: deterministic with its seed."""
    rng = stream(2)
    normal = torch.randn(300, 2, generator=rng)
    signs = torch.randint(2, (300, 2), generator=rng) * 2.0 - 1
    assert energy_test(normal, signs, rng).against


@pytest.mark.parametrize("dimension", [1, 3])
def test_normality_has_at_most_its_level(dimension):
    def experiment(rng):
        return normality(torch.randn(500, dimension, generator=rng), rng, 0.2)

    assert alarms(experiment, 200) <= at_most(0.2, 200)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda z: z + 0.15, "mean"),
        (lambda z: 1.1 * z, "variance"),
        (lambda z: torch.cat([z[:, :1], z[:, :1] * 0.2 + 0.98 * z[:, 1:]], 1), "covariance 1, 2"),
        (lambda z: 3**0.5 * (z / 2**0.5).erf(), "tail"),
        (lambda z: (z.square() - 1) / 2**0.5, "third"),
        (lambda z: z / (z[:, :1] > 9), "finite"),
    ],
)
def test_normality_tells_what_is_not_normal(wrong, named):
    """Deterministic with its seed."""
    rng = stream(3)
    found = normality(wrong(torch.randn(4000, 2, generator=rng)), rng)
    assert found.against
    assert named in found.detail


def test_the_shares_of_normality_leave_room_for_the_approximation():
    assert evidence.SHARE_OF_MOMENTS * 1.4 + 0.5 <= 1


def test_the_paired_test_is_that_of_the_students_t():
    values = torch.randn(50, 1, generator=stream(4), dtype=torch.float64) + 0.3
    expected = stats.ttest_1samp(values[:, 0].numpy(), 0).statistic
    assert paired_test(values, ["a"]).figure == pytest.approx(abs(expected))
    assert float(student(values[:, 0])) == pytest.approx(expected)
    assert not paired_test(torch.zeros(9, 1).double(), ["a"]).against
    assert paired_test(torch.ones(9, 1).double(), ["a"]).against


@pytest.mark.parametrize("tail", [1e-4, 1e-2, 0.5, 0.99, 0.9999])
def test_the_cube_root_makes_a_chi_square_normal(tail):
    mean = stats.chi2.isf(tail, 120) / 120
    score = float(chi_square_score(torch.full((120,), mean, dtype=torch.float64)))
    assert stats.norm.sf(score) == pytest.approx(tail, rel=0.03)


@pytest.mark.parametrize("across_steps", [True, False])
def test_independence_has_at_most_its_level(across_steps):
    def experiment(rng):
        moved = torch.randn(20, 200, 3, generator=rng, dtype=torch.float64)
        if not across_steps:
            for step in range(1, len(moved)):
                moved[step] = -0.6 * moved[step - 1] + 0.8 * moved[step]
        return independence(moved, across_steps, 0.2)

    assert alarms(experiment, 250) <= at_most(0.2, 250)


def shared_scale(u):
    return u * (1 + 0.8 * torch.randn(40, 1, 1, generator=stream(6)).sign())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda u: (u + 0.5 * u[:, :1]) / 1.25**0.5, "chains"),
        (lambda u: (u + 0.3 * u.roll(1, 1)) / 1.09**0.5, "chains 1 apart"),
        (lambda u: torch.cat([u[:, :250], -u[:, :250]], 1), "chains 250 apart"),
        (lambda u: (u + 0.3 * u.roll(1, 2)) / 1.09**0.5, "coordinates"),
        (lambda u: (u + 0.3 * u.roll(1, 0)) / 1.09**0.5, "steps 1 apart"),
        (lambda u: (u + 0.3 * u.roll(2, 0)) / 1.09**0.5, "steps 2 apart"),
        (shared_scale, "squares of chains"),
        (lambda u: u - u.mean(1, keepdim=True), "mean of all chains"),
    ],
)
def test_independence_tells_what_depends(wrong, named):
    """Deterministic with its seed."""
    moved = torch.randn(40, 500, 3, generator=stream(5), dtype=torch.float64)
    found = independence(wrong(moved), True)
    assert found.against
    assert named in found.detail


@attrs.frozen(kw_only=True)
class Tempered(Underdamped):
    """Claims what no other right sampler claims together."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, tempered=True, reversible=True
    )


def shares(check, sampler) -> float:
    """Return the sum of the levels that one experiment gives to its statistics."""
    spent = []

    def spy(position, answer):
        def spied(*args, **kwargs):
            spent.append(kwargs.get("level", (*args, *[LEVEL] * 9)[position]))
            return answer

        return spied

    calm = Evidence(0.0, 1.0)
    with ExitStack() as patches:
        for module, name, position, answer in (
            (evidence, "z_test", 2, calm),
            (evidence, "energy_test", 3, calm),
            (motion, "energy_test", 3, calm),
            (equilibrium, "normal_bound", 1, 3.0),
        ):
            patches.enter_context(mock.patch.object(module, name, spy(position, answer)))
        check.experiment(sampler, 80, stream(7))
    return sum(spent)


@pytest.mark.parametrize("check", LAW_CHECKS, ids=lambda check: check.name)
def test_the_shares_of_an_experiment_are_at_most_the_level(check):
    for sampler in (Langevin(), Mala(), Underdamped(), Tempered()):
        if not check.applies(sampler):
            assert shares(check, sampler) <= LEVEL * (1 + 1e-9)
