"""Markov random fields against dense Gaussians and quadrature."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from coopkit.inpainting.markov import (
    AbsoluteMean,
    Edges,
    drawn_precisions,
    fitted_beta,
    squared_mean,
)


def edges(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the pairs of places, counted row by row, that are beside each other."""
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    down = zip(places[:-1].ravel(), places[1:].ravel(), strict=True)
    right = zip(places[:, :-1].ravel(), places[:, 1:].ravel(), strict=True)
    return [*down, *right]


def energy(fields: np.ndarray) -> np.ndarray:
    """Return Σ|x_i − x_j| over all edges of fields (..., height, width)."""
    down, right = np.diff(fields, axis=-2), np.diff(fields, axis=-1)
    return np.abs(down).sum(axis=(-2, -1)) + np.abs(right).sum(axis=(-2, -1))


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 6), width=st.integers(2, 6), seed=st.integers(0, 2**32))
def test_the_squared_mean_is_that_of_the_gaussian_posterior(height, width, seed):
    rng = np.random.default_rng(seed)
    field, hole = rng.normal(size=(2, height, width)), rng.random((height, width)) < 0.5
    hole[rng.integers(height), rng.integers(width)] = False
    precision = np.zeros((hole.size, hole.size))
    for i, j in edges(hole.shape):
        difference = np.zeros(hole.size)
        difference[i], difference[j] = 1, -1
        precision += np.outer(difference, difference)
    unknown = hole.ravel()
    known = field.reshape(2, -1)[:, ~unknown]
    shift = precision[np.ix_(unknown, ~unknown)] @ known.T
    mean = -np.linalg.solve(precision[np.ix_(unknown, unknown)], shift)
    filled = squared_mean(np.where(hole, np.nan, field), hole)
    np.testing.assert_allclose(filled[:, hole], mean.T, atol=1e-9)
    np.testing.assert_array_equal(filled[:, ~hole], field[:, ~hole])


def law_by_quadrature(neighbours: np.ndarray, beta: float):
    """Return the distribution function of one site from its density alone."""
    reach = 45 / beta
    knots = np.sort(neighbours)
    low = np.abs(knots[:, None] - knots).sum(axis=1).min()

    def density(x: float) -> float:
        return np.exp(-beta * (np.abs(x - neighbours).sum() - low))

    def mass(start: float, end: float) -> float:
        stops = [start, *[knot for knot in knots if start < knot < end], end]
        parts = [
            integrate.quad(density, a, b, epsabs=1e-13, epsrel=1e-11)[0] for a, b in pairwise(stops)
        ]
        return sum(parts)

    total = mass(knots[0] - reach, knots[-1] + reach)
    return lambda x: mass(knots[0] - reach, x) / total


def precision_of(shape: tuple[int, int], weights: np.ndarray) -> np.ndarray:
    """Return Σ w (e_j − e_i)(e_j − e_i)ᵀ over the edges of a field, in the order of `edges`."""
    differences = np.zeros((len(edges(shape)), shape[0] * shape[1]))
    for row, (i, j) in zip(differences, edges(shape), strict=True):
        row[i], row[j] = -1, 1
    return differences.T @ (weights[:, None] * differences)


class Standard:
    """Draws of N(0, 1) that are all 0 but one, so that noise is seen entry by entry."""

    def __init__(self, entry: int | None):
        self.entry = entry

    def standard_normal(self, count: int) -> np.ndarray:
        return (np.arange(count) == (-1 if self.entry is None else self.entry)).astype(float)


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 5), width=st.integers(2, 5), seed=st.integers(0, 2**32))
def test_a_hole_given_the_precisions_is_the_gaussian_of_the_dense_system(height, width, seed):
    """The covariance of a draw is the sum over the noises of edges, of which each acts alone."""
    rng = np.random.default_rng(seed)
    field, hole = rng.normal(size=height * width), rng.random((height, width)) < 0.5
    hole[rng.integers(height), rng.integers(width)] = False
    assume(hole.any())
    of_hole = Edges.of(hole)
    weights = rng.gamma(1.0, size=len(edges(hole.shape)))
    number = {frozenset(pair): k for k, pair in enumerate(edges(hole.shape))}
    own = np.array([number[frozenset(pair)] for pair in of_hole.ends.T.tolist()])
    full, inside = precision_of(hole.shape, weights), of_hole.places
    outside = np.flatnonzero(~hole)
    assert sorted(inside) == np.flatnonzero(hole).tolist()
    precision = full[np.ix_(inside, inside)]
    expected = -np.linalg.solve(precision, full[np.ix_(inside, outside)] @ field[outside])
    mean, draw = of_hole.filled(field, weights[own], Standard(None))
    np.testing.assert_allclose(mean, expected, atol=1e-9)
    np.testing.assert_allclose(draw, expected, atol=1e-9)
    np.testing.assert_allclose(
        of_hole.filled(field, weights[own], Standard(0))[0], expected, atol=1e-9
    )
    moved = [
        of_hole.filled(field, weights[own], Standard(k))[1] - expected for k in range(len(own))
    ]
    np.testing.assert_allclose(
        sum(np.outer(m, m) for m in moved), np.linalg.inv(precision), atol=1e-9
    )


@pytest.mark.parametrize("beta", [0.3, 2.0])
@pytest.mark.parametrize("difference", [0.05, -1.0, 4.0])
def test_precisions_of_an_edge_by_quadrature(beta, difference, draws):
    """Their law is that of 1/v, with v^−½ exp(−d²/2v − β²v/2) the density of v."""

    def density(log_v: float) -> float:
        v = np.exp(log_v)
        return v**0.5 * np.exp(-(difference**2) / (2 * v) - beta**2 * v / 2)

    grid = np.linspace(-25, 12, 4001)
    below = integrate.cumulative_simpson([density(x) for x in grid], x=grid, initial=0)
    drawn = drawn_precisions(np.full(20_000, difference), beta, draws)
    found = stats.kstest(-np.log(drawn), lambda x: np.interp(x, grid, below / below[-1]))
    assert found.pvalue > 1e-6


def test_a_flat_edge_has_a_precision(draws):
    drawn = drawn_precisions(np.zeros(1000), 2.0, draws)
    assert np.isfinite(drawn).all()
    assert (drawn > 0).all()


PLACES = {"inside": (1, 2), "on the left": (2, 0), "on top": (0, 1), "in a corner": (3, 4)}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_sweep_leaves_the_law_of_a_site_as_it_is(place, draws):
    """From exact draws: a Kolmogorov–Smirnov test, whose p-value is below 1e-6 by chance."""
    field, hole = draws.normal(size=(4, 5)), np.zeros((4, 5), dtype=bool)
    hole[place] = True
    beta, grid, of_hole = 1.3, np.linspace(-12, 12, 601), Edges.of(hole)
    around = [(place[0] + d, place[1] + r) for d, r in [(-1, 0), (1, 0), (0, -1), (0, 1)]]
    beside = np.array([field[r, c] for r, c in around if 0 <= r < 4 and 0 <= c < 5])
    law = law_by_quadrature(beside, beta)
    levels = np.array([law(x) for x in grid])
    starts = np.interp(draws.random(10_000), levels, grid)
    ends = []
    for start in starts:
        state = field.ravel().copy()
        state[of_hole.places] = start
        precisions = drawn_precisions(of_hole.differences(state), beta, draws)
        ends.append(of_hole.filled(state, precisions, draws)[1].item())
    assert stats.kstest(ends, lambda x: np.interp(x, grid, levels)).pvalue > 1e-6
    assert np.corrcoef(starts, ends)[0, 1] < 0.9


@pytest.mark.parametrize("second", [(2, 1), (1, 2)], ids=["down", "right"])
def test_the_mean_of_two_sites_by_quadrature(second, draws):
    """The mean of 64 chains of 100 sweeps each, within 6 standard errors and the grid's."""
    field, hole = draws.normal(size=(3, 4)), np.zeros((3, 4), dtype=bool)
    hole[1, 1] = hole[second] = True
    beta, grid = 0.9, np.linspace(-9, 9, 361)
    fields = np.broadcast_to(field, (361, 361, 3, 4)).copy()
    fields[..., 1, 1], fields[..., second[0], second[1]] = grid[:, None], grid
    weights = np.exp(-beta * energy(fields))
    exact = [(weights * fields[..., r, c]).sum() / weights.sum() for r, c in [(1, 1), second]]
    holes, copies = np.repeat(hole[None], 64, axis=0), np.repeat(field[None, None], 64, axis=0)
    means = AbsoluteMean(sweeps=100, burn_in=30, beta=beta)(copies, holes, draws)
    for mean, at in zip(exact, [(1, 1), second], strict=True):
        chains = means[:, 0, *at]
        assert abs(chains.mean() - mean) < 6 * chains.std() / 8 + 1e-3


def test_beta_is_where_the_likelihood_is_highest():
    """A path of four values: three independent Laplace differences."""
    field = np.array([[0.0, 1.0, -1.0, 0.5]])
    hole = np.zeros((1, 4), dtype=bool)
    assert fitted_beta(field, hole) == pytest.approx(3 / 4.5)
    assert fitted_beta(field.T, hole.T) == pytest.approx(3 / 4.5)
    assert fitted_beta(np.stack([field, 3 * field]), hole) == pytest.approx(6 / 18)
    cut = np.array([[False, False, True, False]])
    assert fitted_beta(np.where(cut, np.nan, field), cut) == pytest.approx(1 / 1.0)
    assert fitted_beta(field, np.array([[False, True, False, True]])) == 1.0
    flat = fitted_beta(np.ones((1, 4)), hole)
    assert flat == pytest.approx(1e12)


def test_beta_of_a_square_from_its_normaliser():
    """The normaliser of four values round a square is β⁻³ times a constant."""
    field = np.array([[0.3, -0.2], [1.0, 0.4]])
    total = energy(field)
    betas = np.linspace(0.1, 5, 100_000)
    best = betas[np.argmax(3 * np.log(betas) - betas * total)]
    assert fitted_beta(field, np.zeros((2, 2), dtype=bool)) == pytest.approx(best, abs=1e-4)


def test_draws_scale_with_the_field(draws):
    """A field c times as large, with c a power of two, has draws c times as large."""
    field, holes = draws.laplace(size=(1, 2, 6, 6)), np.zeros((1, 6, 6), dtype=bool)
    holes[0, 1:4, 2:6] = True
    small = AbsoluteMean(sweeps=5, burn_in=2)(field, holes, np.random.default_rng(0))
    large = AbsoluteMean(sweeps=5, burn_in=2)(8 * field, holes, np.random.default_rng(0))
    np.testing.assert_allclose(large, 8 * small, rtol=1e-9)


def test_each_image_is_drawn_with_its_own_beta(draws):
    """Half of the images are 8 times as large; a wrong β would move the ratio by the same 8."""
    field, hole = draws.normal(size=(1, 1, 4, 4)), np.zeros((1, 4, 4), dtype=bool)
    hole[0, 1, 2] = True
    fields = np.concatenate([field.repeat(1000, axis=0), 8 * field.repeat(1000, axis=0)])
    drawn = AbsoluteMean(sweeps=1, burn_in=0)(fields, hole.repeat(2000, axis=0), draws)
    spread = drawn[:, 0, 1, 2].reshape(2, 1000).std(axis=1)
    assert spread[1] / spread[0] == pytest.approx(8, rel=0.25)


def test_burn_in_is_left_out_and_sweeps_are_averaged(draws):
    field, hole = draws.normal(size=(1, 1, 3, 3)), np.zeros((1, 3, 3), dtype=bool)
    hole[0, 1, 1:] = True

    def means(sweeps: int, burn_in: int) -> np.ndarray:
        rng = np.random.default_rng(4)
        return AbsoluteMean(sweeps, burn_in)(field, hole, rng)[0, 0, 1, 1:]

    one, two, three = means(1, 0), means(1, 1), means(1, 2)
    np.testing.assert_allclose(means(3, 0), (one + two + three) / 3)
    np.testing.assert_allclose(means(2, 1), (two + three) / 2)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("inf"), float("nan")])
def test_a_beta_that_gives_no_density_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be positive and finite"):
        AbsoluteMean(beta=beta)


def test_sweeps_are_whole_numbers():
    with pytest.raises(ValueError, match="sweeps"):
        AbsoluteMean(sweeps=0)
    with pytest.raises(ValueError, match="burn_in"):
        AbsoluteMean(burn_in=-1)
    with pytest.raises(TypeError, match="sweeps"):
        AbsoluteMean(sweeps=2.5)
