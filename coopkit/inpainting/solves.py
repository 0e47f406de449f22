"""Six ways to fill a hole by one sparse linear system, after D'Errico's `inpaint_nans`.

J. D'Errico, inpaint_nans, MATLAB Central File Exchange 4551; the paper's Table 1 calls them
"inter-mtd". They are written anew from what that package documents, with its numbers. Each takes a
field (..., height, width), whose leading axes share one factorisation, and a hole (height, width),
and returns a new field in float64; known entries are those of the field bit for bit.

Where a field is too small or its hole too wide for a system to have one solution, the original
returns one of many with a warning; here it is an error.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csc_array, csr_array
from scipy.sparse.linalg import SuperLU, splu

from coopkit.inpainting import stencils
from coopkit.inpainting.holes import Field, Hole, checked, filled_with

SINGULAR = 1e-13
"""Smallest pivot of a system with one solution, as a fraction of the largest."""


def plate_near(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill by the least squares of ∇² at the hole and its four neighbours: `inpaint_nans` 0.

    The least squares of ∇² are where ∇⁴ = 0 away from the borders, so that cubic fields are
    reproduced there; at a border linear ones still are.

    Args:
        field: (..., height, width).
        hole: (height, width), True where the value is unknown.

    Raises:
        ValueError: see `coopkit.inpainting.holes.checked`, or the known entries do not determine
            the others.
    """
    values, unknown = checked(field, hole)
    near = stencils.touched(unknown, stencils.SIDES)
    return by_least_squares(stencils.laplacian(near), values, unknown)


def plate_whole(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill by the least squares of ∇² over the whole field: `inpaint_nans` 1.

    Equations that touch no unknown drop out, so that this is `plate_near` up to rounding; only the
    work differs. See there for arguments and errors.
    """
    values, unknown = checked(field, hole)
    return by_least_squares(stencils.laplacian(np.ones_like(unknown)), values, unknown)


def laplace(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill by solving ∇² = 0 in the hole: `inpaint_nans` 2.

    On a border ∇² is the second difference along it, and in a corner the mean of its two
    neighbours, as in the original. In a field of one row or one column, which the original does
    not take, an end is equal to its neighbour. Away from the borders this is `springs`. See
    `plate_near` for arguments and errors.
    """
    values, unknown = checked(field, hole)
    corners = ~stencils.fitting(unknown.shape, stencils.VERTICAL)
    corners &= ~stencils.fitting(unknown.shape, stencils.HORIZONTAL)
    at_corners = stencils.differences_to(unknown & corners, stencils.SIDES)
    return by_solving(stencils.laplacian(unknown) + at_corners, values, unknown)


def plate_fourth(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill by the least squares of ∇⁴ at the hole and its twelve neighbours: `inpaint_nans` 3.

    Away from the borders its least squares reproduce polynomials of degree seven. One place from a
    border ∇⁴ becomes ∇², and on it the second difference along it, as in the original; only in
    fields of fewer than three rows or columns does the original's five-point stencil run over an
    edge, where this one is left out. See `plate_near` for arguments and errors.
    """
    values, unknown = checked(field, hole)
    near = stencils.touched(unknown, stencils.PLATE)
    return by_least_squares(stencils.plate(near), values, unknown)


def springs(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill so that springs of length zero between neighbours are at rest: `inpaint_nans` 4.

    The springs are horizontal and vertical and equally stiff. The original's text names diagonal
    ones too; its program has none, and it is the program that made the paper's figures. See
    `plate_near` for arguments and errors.
    """
    values, unknown = checked(field, hole)
    return by_least_squares(stencils.springs(unknown.shape), values, unknown)


def average(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill so that each entry is the mean of its eight neighbours: `inpaint_nans` 5.

    At a border it is the mean of those that exist. See `plate_near` for arguments and errors.
    """
    values, unknown = checked(field, hole)
    return by_solving(stencils.differences_to(unknown, stencils.AROUND), values, unknown)


def by_solving(operator: csr_array, field: Field, hole: Hole) -> Field:
    """Fill a hole so that the operator is zero in it.

    Raises:
        ValueError: the known entries do not determine the others.
    """
    if not hole.any():
        return field.copy()
    system, target = without_known(operator[hole.ravel()], field, hole)
    return filled_with(field, hole, factors(system).solve(target))


def by_least_squares(operator: csr_array, field: Field, hole: Hole) -> Field:
    """Fill a hole so that the sum of the operator's squares is smallest.

    The normal equations square the condition of the system. One correction from the residual of
    the system itself brings the lost digits back.

    Raises:
        ValueError: the known entries do not determine the others.
    """
    if not hole.any():
        return field.copy()
    system, target = without_known(operator, field, hole)
    normal = factors(system.T @ system)
    inside = normal.solve(system.T @ target)
    inside += normal.solve(system.T @ (target - system @ inside))
    return filled_with(field, hole, inside)


def without_known(operator: csr_array, field: Field, hole: Hole) -> tuple[csr_array, Field]:
    """Return the equations of the unknown entries: their matrix and right-hand sides.

    Args:
        operator: (equations, entries), zero at the solution.
        field: (..., height, width).
        hole: (height, width).

    Returns:
        The equations that touch the hole, (equations, entries of the hole), and the right-hand
        sides, (equations, channels).
    """
    unknown = hole.ravel()
    touching = np.diff(operator[:, unknown].indptr) > 0
    operator, known = operator[touching], field.reshape(-1, hole.size)[:, ~unknown].T
    return operator[:, unknown], -(operator[:, ~unknown] @ known)


def factors(system: csr_array) -> SuperLU:
    """Return the LU factors of a system.

    Raises:
        ValueError: it has no single solution.
    """
    try:
        lu = splu(csc_array(system), permc_spec="MMD_AT_PLUS_A")
    except RuntimeError as error:
        raise undetermined() from error
    pivots = np.abs(lu.U.diagonal())
    if pivots.min() < SINGULAR * pivots.max():
        raise undetermined()
    return lu


def undetermined() -> ValueError:
    """Return the error of a hole that its surroundings do not fill."""
    return ValueError(
        "the known entries do not determine those of the hole: it has too few known neighbours "
        "for this method"
    )
