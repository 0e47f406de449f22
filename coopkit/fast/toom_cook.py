"""The matrices of a short correlation with fewer multiplications, exactly.

A correlation of r taps with m outputs, y_i = Σ_a w_a x_{i+a}, takes m·r products as it stands and
m + r − 1 as y = A [(G w) ⊙ (B x)], by evaluating polynomials at m + r − 1 points (Toom 1963, Cook
1966; transposed, Winograd 1980). The products may themselves be convolutions, of the interleaved
parts of a longer signal (Mou and Duhamel 1991).
"""

from fractions import Fraction

import attrs
import torch
from torch import Tensor

Matrix = list[list[Fraction]]

POINTS: dict[int, tuple[Fraction, ...]] = {
    2: (Fraction(0), Fraction(1)),
    3: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2)),
}
"""Where to evaluate, by m = r, besides infinity; small numbers, which keep rounding small."""


@attrs.frozen(eq=False)
class Correlation:
    """y = A [(G w) ⊙ (B x)] for m outputs, r = m taps and n = 2m − 1 products; float64.

    Attributes:
        outputs: A, (m, n).
        taps: G, (n, r).
        inputs: B, (n, n).
    """

    outputs: Tensor
    taps: Tensor
    inputs: Tensor


def short_correlation(m: int) -> Correlation:
    """Return the matrices of a correlation with m outputs and m taps, m = 2 or 3."""
    points = POINTS[m]
    evaluated = [vandermonde(points, size) for size in (m, 2 * m - 1)]
    inputs = transposed(inverse(evaluated[1]))
    taps = evaluated[0]
    largest = [max(abs(value) for value in row) for row in inputs]
    return Correlation(
        outputs=as_tensor(transposed(evaluated[0])),
        taps=as_tensor([[v * size for v in row] for row, size in zip(taps, largest, strict=True)]),
        inputs=as_tensor(
            [[v / size for v in row] for row, size in zip(inputs, largest, strict=True)]
        ),
    )


def vandermonde(points: tuple[Fraction, ...], size: int) -> Matrix:
    """Return the matrix that evaluates a polynomial of `size` coefficients, at infinity last."""
    finite = [[point**power for power in range(size)] for point in points]
    return [*finite, [Fraction(int(power == size - 1)) for power in range(size)]]


def transposed(matrix: Matrix) -> Matrix:
    """Return the transpose."""
    return [list(column) for column in zip(*matrix, strict=True)]


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a regular matrix, by Gauss and Jordan."""
    size = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(i for i in range(column, size) if rows[i][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for i in range(size):
            if i != column:
                factor = rows[i][column]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [row[size:] for row in rows]


def as_tensor(matrix: Matrix) -> Tensor:
    """Return the matrix in float64."""
    return torch.tensor([[float(value) for value in row] for row in matrix], dtype=torch.float64)
