"""The matrices of the short correlations against the definition of a correlation."""

from fractions import Fraction

import pytest
import torch

from coopkit.fast.toom_cook import inverse, short_correlation

EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.mark.parametrize("m", [2, 3])
def test_the_products_are_a_correlation(m, seed):
    """y_i = Σ_a w_a x_{i+a} of any taps and signals, which is bilinear: of all unit vectors."""
    short = short_correlation(m)
    n = 2 * m - 1
    taps, signals = torch.eye(m, dtype=torch.float64), torch.eye(n, dtype=torch.float64)
    for w in (*taps, torch.randn(m, dtype=torch.float64)):
        for x in (*signals, torch.randn(n, dtype=torch.float64)):
            expected = torch.stack([w @ x[i : i + m] for i in range(m)])
            y = short.outputs @ ((short.taps @ w) * (short.inputs @ x))
            torch.testing.assert_close(y, expected, **EXACT)


@pytest.mark.parametrize("m", [2, 3])
def test_there_are_as_many_products_as_toom_and_cook_need(m):
    short = short_correlation(m)
    n = 2 * m - 1
    assert short.outputs.shape == (m, n)
    assert short.taps.shape == (n, m)
    assert short.inputs.shape == (n, n)
    assert {matrix.dtype for matrix in (short.outputs, short.taps, short.inputs)} == {torch.float64}


@pytest.mark.parametrize("m", [2, 3])
def test_no_product_of_inputs_is_scaled_up(m):
    largest = short_correlation(m).inputs.abs().amax(1)
    torch.testing.assert_close(largest, torch.ones(2 * m - 1, dtype=torch.float64), **EXACT)


def test_an_inverse_is_exact_even_where_rows_must_be_swapped():
    matrix = [[Fraction(value) for value in row] for row in ((0, 2, 1), (3, 0, 0), (1, 1, 1))]
    inverted = inverse(matrix)
    for i in range(3):
        for j in range(3):
            assert sum(matrix[i][k] * inverted[k][j] for k in range(3)) == int(i == j)
