"""The sparse solves against polynomials they reproduce, hand-solved grids and dense algebra."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coopkit.inpainting import solves
from coopkit.inpainting.biharmonic import biharmonic
from coopkit.inpainting.stencils import PLATE

SOLVES = {
    "plate_near": solves.plate_near,
    "plate_whole": solves.plate_whole,
    "laplace": solves.laplace,
    "plate_fourth": solves.plate_fourth,
    "springs": solves.springs,
    "average": solves.average,
}
LINEAR_AT_BORDERS = ["plate_near", "plate_whole", "plate_fourth"]
HEIGHT, WIDTH = 17, 20
Y, X = np.mgrid[:HEIGHT, :WIDTH] / 10.0
POLYNOMIALS = {
    "constant": np.ones_like(X),
    "linear": 2 * X - 3 * Y + 1,
    "harmonic": X**2 - Y**2 + 3 * X * Y,
    "harmonic cubic": X**3 - 3 * X * Y**2,
    "quadratic": X**2 + 2 * Y**2,
    "cubic": X**3 + 5 * X * Y**2 - Y**3,
    "biharmonic quartic": X**4 - Y**4 + X**3 * Y,
    "quartic": X**4 + Y**4 + X**2 * Y**2,
    "quintic": X**5 - 2 * X**2 * Y**3,
    "octic": X**8,
}
REPRODUCED = {
    "plate_near": 7,
    "plate_whole": 7,
    "laplace": 4,
    "plate_fourth": 9,
    "springs": 4,
    "average": 4,
}
"""How many of the polynomials, in their order, a method reproduces in an inner hole."""


def inner_hole() -> np.ndarray:
    """Return a hole of an odd shape, far enough from all borders for every stencil."""
    hole = np.zeros((HEIGHT, WIDTH), dtype=bool)
    hole[4:11, 5:14] = True
    hole[7:13, 12:16] = True
    hole[8, 8] = False
    return hole


def emptied(field: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return the field with nothing left in its hole."""
    return np.where(hole, np.nan, field)


@pytest.mark.parametrize("name", SOLVES)
def test_what_an_inner_hole_reproduces(name):
    hole = inner_hole()
    for place, field in enumerate(POLYNOMIALS.values()):
        off = np.abs(SOLVES[name](emptied(field, hole), hole) - field).max() / np.abs(field).max()
        assert off < 1e-9 if place < REPRODUCED[name] else off > 1e-6


@pytest.mark.parametrize("name", LINEAR_AT_BORDERS)
@pytest.mark.parametrize("place", list(product([0, 6, 12], [0, 7, 15])))
def test_plates_go_on_linearly_over_a_border(name, place):
    hole = np.zeros((HEIGHT, WIDTH), dtype=bool)
    hole[place[0] : place[0] + 5, place[1] : place[1] + 5] = True
    field = POLYNOMIALS["linear"]
    np.testing.assert_allclose(SOLVES[name](emptied(field, hole), hole), field, atol=1e-9)


def second(values: np.ndarray, r: int, c: int, down: int, right: int) -> float | None:
    """Return a second difference by its definition, None where it leaves the grid."""
    inside = all(
        0 <= r + s * down < values.shape[0] and 0 <= c + s * right < values.shape[1]
        for s in (-1, 1)
    )
    if not inside:
        return None
    return values[r - down, c - right] - 2 * values[r, c] + values[r + down, c + right]


def plain_laplacian(values: np.ndarray, r: int, c: int) -> float:
    """Return the sum of those second differences that exist."""
    parts = (second(values, r, c, 1, 0), second(values, r, c, 0, 1))
    return sum(part for part in parts if part is not None)


def plain_corner(values: np.ndarray, r: int, c: int) -> float:
    """Return ∇², and in a corner the difference from its two neighbours."""
    if r in (0, len(values) - 1) and c in (0, values.shape[1] - 1):
        inner = (r + (1 if r == 0 else -1), c + (1 if c == 0 else -1))
        return values[inner[0], c] + values[r, inner[1]] - 2 * values[r, c]
    return plain_laplacian(values, r, c)


def plain_plate(values: np.ndarray, r: int, c: int) -> float:
    """Return ∇⁴ as ∇² of ∇² inside, ∇² one place from a border and along it on it."""
    rim = min(r, c, len(values) - 1 - r, values.shape[1] - 1 - c)
    if rim < 2:
        return plain_laplacian(values, r, c)
    near = ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1))
    around = sum(plain_laplacian(values, *place) for place in near)
    return around - 4 * plain_laplacian(values, r, c)


def plain_average(values: np.ndarray, r: int, c: int) -> float:
    """Return how far a place is from the mean of its neighbours."""
    window = values[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2]
    return window.sum() - values[r, c] - (window.size - 1) * values[r, c]


def plain_springs(values: np.ndarray) -> np.ndarray:
    """Return all edges' differences."""
    return np.concatenate([np.diff(values, axis=0).ravel(), np.diff(values, axis=1).ravel()])


def everywhere(plain, values: np.ndarray) -> np.ndarray:
    """Return a plain difference at every place, (places,)."""
    return np.array([plain(values, *place) for place in np.ndindex(values.shape)])


OPERATORS = {
    "plate_near": (lambda v, hole: everywhere(plain_laplacian, v)),
    "plate_whole": (lambda v, hole: everywhere(plain_laplacian, v)),
    "laplace": (lambda v, hole: everywhere(plain_corner, v)[hole.ravel()]),
    "plate_fourth": (lambda v, hole: everywhere(plain_plate, v)),
    "springs": (lambda v, hole: plain_springs(v)),
    "average": (lambda v, hole: everywhere(plain_average, v)[hole.ravel()]),
}


def dense(name: str, field: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the field filled by dense least squares of the plain operator, and the rank."""
    start = np.where(hole, 0.0, field)
    base = OPERATORS[name](start, hole)
    columns = []
    for place in np.argwhere(hole):
        unit = np.zeros_like(start)
        unit[tuple(place)] = 1
        columns.append(OPERATORS[name](unit, hole))
    inside, _, rank, _ = np.linalg.lstsq(np.array(columns).T, -base)
    start[hole] = inside
    return start, rank


@st.composite
def scenes(draw, smallest=3, largest=7, share=0.6):
    """Return a field of random values, a random hole in it that is not everything, and a stream."""
    shape = draw(st.integers(smallest, largest)), draw(st.integers(smallest, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    hole = rng.random(shape) < draw(st.sampled_from([0.1, 0.3, share]))
    hole[tuple(rng.integers(0, shape))] = False
    return rng.normal(size=shape), hole, rng


@pytest.mark.parametrize("name", SOLVES)
@settings(deadline=None, max_examples=60)
@given(scene=scenes())
def test_solves_agree_with_dense_algebra_of_plain_differences(name, scene):
    field, hole, _ = scene
    assume(hole.any())
    expected, rank = dense(name, field, hole)
    if rank == hole.sum():
        filled = SOLVES[name](emptied(field, hole), hole)
        np.testing.assert_allclose(filled, expected, rtol=1e-8, atol=1e-8)
    else:
        with pytest.raises(ValueError, match="do not determine"):
            SOLVES[name](field, hole)


@pytest.mark.parametrize("name", SOLVES)
@settings(deadline=None, max_examples=25)
@given(scene=scenes(5, 9, 0.2), a=st.floats(-3, 3), b=st.floats(-9, 9))
def test_what_every_solve_keeps(name, scene, a, b):
    field, hole, rng = scene
    solve, other = SOLVES[name], rng.normal(size=field.shape)
    try:
        filled = solve(emptied(field, hole), hole)
    except ValueError:
        assume(False)
    kept = field.copy()
    np.testing.assert_array_equal(filled[~hole], field[~hole])
    np.testing.assert_allclose(solve(a * field + b, hole), a * filled + b, atol=1e-7)
    np.testing.assert_allclose(solve(np.full(field.shape, b), hole), b, atol=1e-8)
    np.testing.assert_allclose(solve(field + other, hole), filled + solve(other, hole), atol=1e-6)
    stacked = solve(np.stack([[field], [other]]), hole)
    np.testing.assert_allclose(stacked[0, 0], filled, rtol=0, atol=1e-11)
    np.testing.assert_allclose(stacked[1, 0], solve(other, hole), rtol=0, atol=1e-11)
    np.testing.assert_allclose(solve(field.T, hole.T), filled.T, atol=1e-8)
    np.testing.assert_allclose(solve(field[::-1], hole[::-1]), filled[::-1], atol=1e-8)
    np.testing.assert_array_equal(field, kept)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_a_row_between_two_ends(shape):
    field = np.array([2.0, np.nan, np.nan, np.nan, 10.0]).reshape(shape)
    for name in SOLVES.keys() - {"plate_fourth"}:
        filled = SOLVES[name](field, np.isnan(field))
        np.testing.assert_allclose(filled.ravel(), [2, 4, 6, 8, 10])


def test_a_row_beyond_its_ends():
    field = np.array([[np.nan, 1.0, 3.0, np.nan]])
    hole = np.isnan(field)
    expected = {"plate_near": [-1, 5], "laplace": [1, 3], "springs": [1, 3], "average": [1, 3]}
    for name, ends in expected.items():
        np.testing.assert_allclose(SOLVES[name](field, hole)[hole], ends)


def test_grids_solved_by_hand():
    field = np.array([[1.0, 2.0, 6.0], [4.0, 0.0, 5.0], [3.0, 7.0, 9.0]])
    middle, corner = np.zeros((3, 3), dtype=bool), np.zeros((3, 3), dtype=bool)
    middle[1, 1] = corner[0, 0] = True
    assert solves.average(field, middle)[1, 1] == pytest.approx(37 / 8)
    assert solves.springs(field, middle)[1, 1] == pytest.approx(18 / 4)
    assert solves.laplace(field, middle)[1, 1] == pytest.approx(18 / 4)
    assert solves.average(field, corner)[0, 0] == pytest.approx(6 / 3)
    assert solves.springs(field, corner)[0, 0] == pytest.approx(6 / 2)
    assert solves.laplace(field, corner)[0, 0] == pytest.approx(6 / 2)
    across, down = -(6 - 2 * 2), -(3 - 2 * 4)
    assert solves.plate_near(field, corner)[0, 0] == pytest.approx((across + down) / 2)


def test_the_stencil_of_the_plate():
    weights = np.zeros((5, 5))
    for (down, right), weight in PLATE.items():
        weights[2 + down, 2 + right] = weight
    cross = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
    twice = sum(cross[r, c] * np.pad(cross, ((r, 2 - r), (c, 2 - c))) for r, c in np.ndindex(3, 3))
    np.testing.assert_array_equal(weights, twice)


def test_which_methods_are_one_and_the_same(draws):
    field, inner = draws.normal(size=(2, HEIGHT, WIDTH)), inner_hole()
    outer = draws.random((HEIGHT, WIDTH)) < 0.3
    near = solves.plate_near(field, inner)
    np.testing.assert_allclose(solves.laplace(field, inner), solves.springs(field, inner))
    for hole in (inner, outer):
        one, other = solves.plate_near(field, hole), solves.plate_whole(field, hole)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    known = field[:, ~inner]
    low, high = known.min(axis=1)[:, None, None], known.max(axis=1)[:, None, None]
    np.testing.assert_allclose(biharmonic(field, inner), near.clip(low, high), atol=1e-10)


def test_plate_fourth_keeps_its_digits_in_a_wide_hole():
    y, x = np.mgrid[:64, :64] / 32.0 - 1
    hole = np.zeros((64, 64), dtype=bool)
    hole[8:56, 8:56] = True
    field = x**5 - 2 * x**2 * y**3 + y
    np.testing.assert_allclose(solves.plate_fourth(field, hole), field, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SOLVES)
def test_what_cannot_be_filled_is_refused(name):
    field, solve = np.zeros((4, 5)), SOLVES[name]
    everything, frame = np.ones((4, 5), dtype=bool), np.ones((4, 5), dtype=bool)
    frame[1:-1, 1:-1] = False
    nothing = np.zeros((4, 5), dtype=bool)
    with pytest.raises(ValueError, match="covers the whole field"):
        solve(field, everything)
    with pytest.raises(ValueError, match=r"shape \(5, 4\) does not fit a field of shape \(4, 5\)"):
        solve(field, nothing.T)
    with pytest.raises(ValueError, match="booleans, not of float64"):
        solve(field, nothing.astype(float))
    with pytest.raises(ValueError, match="is not finite"):
        solve(np.full((4, 5), np.inf), nothing)
    np.testing.assert_array_equal(solve(field, nothing), field)
    if name == "laplace":
        with pytest.raises(ValueError, match="too few known neighbours"):
            solve(field, frame)
