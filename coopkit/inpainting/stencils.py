"""Difference operators on a grid as sparse matrices.

A column belongs to a place of the grid, counted row by row. So does a row, except in `springs`,
which has one for each edge. A stencil that does not fit into the grid at a place has no row there,
which is how every operator is reduced at the borders.
"""

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from coopkit.inpainting.holes import Hole

Offset = tuple[int, int]
"""Rows down and columns to the right."""

VERTICAL: Mapping[Offset, float] = {(-1, 0): 1, (0, 0): -2, (1, 0): 1}
HORIZONTAL: Mapping[Offset, float] = {(0, -1): 1, (0, 0): -2, (0, 1): 1}
CROSS: Mapping[Offset, float] = {(-1, 0): 1, (0, -1): 1, (0, 0): -4, (0, 1): 1, (1, 0): 1}
PLATE: Mapping[Offset, float] = {
    (0, 0): 20,
    **dict.fromkeys([(-1, 0), (0, -1), (0, 1), (1, 0)], -8),
    **dict.fromkeys([(-1, -1), (-1, 1), (1, -1), (1, 1)], 2),
    **dict.fromkeys([(-2, 0), (0, -2), (0, 2), (2, 0)], 1),
}
"""∇⁴ on a square grid, the 13-point stencil: CROSS applied twice."""

SIDES: tuple[Offset, ...] = ((-1, 0), (0, -1), (0, 1), (1, 0))
AROUND: tuple[Offset, ...] = tuple(
    (down, right) for down, right in product((-1, 0, 1), repeat=2) if (down, right) != (0, 0)
)


def fitting(shape: tuple[int, int], offsets: Iterable[Offset]) -> Hole:
    """Return where all these neighbours lie in a grid of this shape, (height, width)."""
    rows, columns = np.indices(shape)
    fits = np.ones(shape, dtype=np.bool_)
    for down, right in offsets:
        fits &= (rows + down >= 0) & (rows + down < shape[0])
        fits &= (columns + right >= 0) & (columns + right < shape[1])
    return fits


def stencil(at: Hole, weights: Mapping[Offset, float]) -> csr_array:
    """Return the operator that weighs the neighbours of these places, (places, places).

    Args:
        at: (height, width), where it acts; elsewhere, and where it does not fit, its rows are
            empty.
        weights: of each neighbour.
    """
    places = np.flatnonzero(at & fitting(at.shape, weights))
    columns = [places + down * at.shape[1] + right for down, right in weights]
    values = np.repeat(np.array(list(weights.values()), dtype=np.float64), len(places))
    rows = np.tile(places, len(weights))
    return csr_array((values, (rows, np.concatenate(columns))), shape=(at.size, at.size))


def laplacian(at: Hole) -> csr_array:
    """Return ∇²: second differences down and across; on a border only those along it."""
    return stencil(at, VERTICAL) + stencil(at, HORIZONTAL)


def plate(at: Hole) -> csr_array:
    """Return ∇⁴; one place from a border ∇² by five points, on it the difference along it."""
    near = ~fitting(at.shape, PLATE)
    on = ~fitting(at.shape, CROSS)
    return stencil(at, PLATE) + stencil(at & near, CROSS) + laplacian(at & on)


def differences_to(at: Hole, neighbours: Iterable[Offset]) -> csr_array:
    """Return the sum of the differences to those of these neighbours that exist."""
    operator = csr_array((at.size, at.size))
    for neighbour in neighbours:
        operator = operator + stencil(at, {(0, 0): -1, neighbour: 1})
    return operator


def edges(shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return the two ends of every edge between neighbours, across and then down, (2, edges)."""
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    across = np.stack([places[:, :-1].ravel(), places[:, 1:].ravel()])
    down = np.stack([places[:-1].ravel(), places[1:].ravel()])
    return np.concatenate([across, down], axis=1)


def springs(shape: tuple[int, int]) -> csr_array:
    """Return the difference along each edge, (edges, places)."""
    first, second = edges(shape)
    count = len(first)
    ends = np.tile(np.arange(count), 2), np.concatenate([first, second])
    size = shape[0] * shape[1]
    return csr_array((np.repeat([-1.0, 1.0], count), ends), shape=(count, size))


def touched(hole: Hole, neighbours: Iterable[Offset]) -> Hole:
    """Return the hole together with these neighbours of its entries, (height, width)."""
    reached = hole.copy()
    for down, right in neighbours:
        inside = hole & fitting(hole.shape, [(down, right)])
        rows, columns = np.nonzero(inside)
        reached[rows + down, columns + right] = True
    return reached
