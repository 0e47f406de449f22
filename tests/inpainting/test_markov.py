"""Markov random fields against dense Gaussians, quadrature and exact laws of single sites."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from coopkit.inpainting.markov import AbsoluteMean, fitted_beta, sites, squared_mean
from coopkit.inpainting.site_law import quantile


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


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("beta", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_quantiles_of_one_site_against_quadrature(count, beta, spread, draws):
    neighbours = spread * draws.normal(size=count)
    levels = np.array([1e-6, 0.01, 0.2, 0.4, 0.5, 0.6, 0.8, 0.99, 1 - 1e-6])
    repeated = np.repeat(neighbours[:, None], len(levels), axis=1)
    found = quantile(repeated, np.full(len(levels), beta), levels)
    assert (np.diff(found) > 0).all()
    law = law_by_quadrature(neighbours, beta)
    np.testing.assert_allclose([law(x) for x in found], levels, rtol=1e-7, atol=1e-9)


def test_quantiles_do_not_mix_sites(draws):
    neighbours, beta = draws.normal(size=(4, 50)), draws.uniform(0.1, 9, 50)
    levels = draws.random(50)
    together = quantile(neighbours, beta, levels)
    for site in range(50):
        alone = quantile(neighbours[::-1, [site]], beta[[site]], levels[[site]])
        assert alone[0] == pytest.approx(together[site], rel=1e-12)


def test_one_neighbour_is_the_laplace_law():
    levels = np.linspace(0.001, 0.999, 101)
    found = quantile(np.full((1, 101), 0.7), np.full(101, 3.0), levels)
    np.testing.assert_allclose(found, stats.laplace(0.7, 1 / 3).ppf(levels), atol=1e-12)


@pytest.mark.parametrize("neighbours", [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 1]])
def test_equal_neighbours(neighbours):
    levels = np.linspace(0.05, 0.95, 7)
    repeated = np.repeat(np.array(neighbours, dtype=float)[:, None], 7, axis=1)
    law = law_by_quadrature(np.array(neighbours, dtype=float), 2.0)
    found = quantile(repeated, np.full(7, 2.0), levels)
    np.testing.assert_allclose([law(x) for x in found], levels, atol=1e-9)


@pytest.mark.parametrize("beta", [1e-9, 1.0, 1e12])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_quantiles_are_finite_at_the_extremes(beta, level):
    neighbours = np.array([[0, 0, -50, 0], [0, 1e-300, 50, 5], [5, 1, 50, 6], [5, 1e6, 60, 99]])
    found = quantile(neighbours, np.full(4, beta), np.full(4, level))
    assert np.isfinite(found).all()
    if beta == 1e12 and level == 0.5:
        np.testing.assert_allclose(found, [2.5, 0.5, 50, 5.5])


PLACES = {"inside": (1, 2), "on the left": (2, 0), "on top": (0, 1), "in a corner": (3, 4)}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_draws_of_one_site_follow_its_law(place, draws):
    """A Kolmogorov–Smirnov test of 4,000 independent draws; its p-value is below 1e-6 by chance."""
    field, hole = draws.normal(size=(4, 5)), np.zeros((4, 5), dtype=bool)
    hole[place] = True
    images, beta = 4000, 1.3
    states = np.repeat(np.where(hole, np.nan, field)[None, None], images, axis=0)
    holes = np.repeat(hole[None], images, axis=0)
    drawn = AbsoluteMean(sweeps=1, burn_in=0, beta=beta)(states, holes, draws)
    around = [(place[0] + d, place[1] + r) for d, r in [(-1, 0), (1, 0), (0, -1), (0, 1)]]
    beside = np.array([field[r, c] for r, c in around if 0 <= r < 4 and 0 <= c < 5])
    law, grid = law_by_quadrature(beside, beta), np.linspace(-9, 9, 226)
    levels = [law(x) for x in grid]
    draws_of_it = drawn[:, 0, *place]
    assert stats.kstest(draws_of_it, lambda x: np.interp(x, grid, levels)).pvalue > 1e-6
    np.testing.assert_array_equal(drawn[:, :, ~hole], states[:, :, ~hole])


@pytest.mark.parametrize("second", [(2, 1), (1, 2)], ids=["down", "right"])
def test_the_mean_of_two_sites_by_quadrature(second, draws):
    """The mean of 400 chains of 100 sweeps each, within 6 standard errors and the grid's."""
    field, hole = draws.normal(size=(3, 4)), np.zeros((3, 4), dtype=bool)
    hole[1, 1] = hole[second] = True
    beta, grid = 0.9, np.linspace(-9, 9, 361)
    fields = np.broadcast_to(field, (361, 361, 3, 4)).copy()
    fields[..., 1, 1], fields[..., second[0], second[1]] = grid[:, None], grid
    weights = np.exp(-beta * energy(fields))
    exact = [(weights * fields[..., r, c]).sum() / weights.sum() for r, c in [(1, 1), second]]
    holes, copies = np.repeat(hole[None], 400, axis=0), np.repeat(field[None, None], 400, axis=0)
    means = AbsoluteMean(sweeps=100, burn_in=30, beta=beta)(copies, holes, draws)
    for mean, at in zip(exact, [(1, 1), second], strict=True):
        chains = means[:, 0, *at]
        assert abs(chains.mean() - mean) < 6 * chains.std() / 20 + 1e-3


def test_all_sites_are_drawn_once_and_none_beside_another(draws):
    holes = draws.random((3, 5, 6)) < 0.6
    groups = sites(holes, 2)
    places = np.concatenate([group.places for group in groups])
    expected = np.flatnonzero(np.broadcast_to(holes[:, None], (3, 2, 5, 6)))
    np.testing.assert_array_equal(np.sort(places), expected)
    for group in groups:
        assert not np.isin(group.neighbours, group.places).any()
        np.testing.assert_array_equal(group.images, group.places // 60)
        for site, beside in zip(group.places, group.neighbours.T, strict=True):
            within = {(i, j) for pair in edges((5, 6)) for i, j in (pair, pair[::-1])}
            wanted = {site // 30 * 30 + j for i, j in within if i == site % 30}
            assert set(beside) == wanted
            assert len(beside) == len(wanted)


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
