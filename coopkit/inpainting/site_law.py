"""The law of one site of the ℓ1 field, with density proportional to exp(−β Σ_k |x − y_k|).

Between two neighbours y_k the logarithm of the density is linear, so that its distribution
function has a closed form on each piece and draws are exact.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDING = 2.0**-53
"""How near to 0 and 1 a fraction of a piece may come; its logarithm stays finite."""


def pieces(knots: Floats, beta: Floats) -> tuple[Floats, Floats, Floats]:
    """Return what the K + 1 pieces of the density are.

    Args:
        knots: the K neighbours of each site in rising order, (K, sites), in units of the field.
        beta: of each site, (sites,), positive, in 1 / units of the field.

    Returns:
        The slope of the log density, (K + 1, sites); what the density falls by from the higher
        to the lower end of each piece, in [0, 1], (K + 1, sites); and the masses of the pieces up
        to a factor of each site, (K + 1, sites).
    """
    count = len(knots)
    slopes = beta * (count - 2.0 * np.arange(count + 1))[:, None]
    rises = slopes[1:-1] * np.diff(knots, axis=0)
    heights = np.cumsum(np.concatenate([np.zeros_like(knots[:1]), rises]), axis=0)
    heights = np.exp(heights - heights.max(axis=0))
    falls = np.zeros_like(slopes)
    falls[1:-1] = np.exp(-np.abs(rises))
    tops = np.concatenate([heights[:1], np.maximum(heights[:-1], heights[1:]), heights[-1:]])
    steep = np.where(slopes == 0, 1.0, np.abs(slopes))
    masses = tops * (1 - falls) / steep
    if count % 2 == 0:
        middle = count // 2
        masses[middle] = tops[middle] * (knots[middle] - knots[middle - 1])
    return slopes, falls, masses


def quantile(neighbours: Floats, beta: Floats, level: Floats) -> Floats:
    """Return the quantile of the law of each site, (sites,), in units of the field.

    Args:
        neighbours: the values y_k beside each site, (K, sites), K ≥ 1, in any order.
        beta: of each site, (sites,), positive, in 1 / units of the field.
        level: in [0, 1], (sites,); uniform levels give draws.
    """
    knots = np.sort(neighbours, axis=0)
    slopes, falls, masses = pieces(knots, beta)
    reached = np.cumsum(masses, axis=0)
    wanted = level * reached[-1]
    piece = (wanted > reached[:-1]).sum(axis=0)[None]

    def of_piece(values: Floats) -> Floats:
        chosen: Floats = np.take_along_axis(values, piece, axis=0)[0]
        return chosen

    mass = of_piece(masses)
    left = wanted - (of_piece(reached) - mass)
    share = np.clip(left / np.where(mass == 0, 1.0, mass), ROUNDING, 1 - ROUNDING)
    low = of_piece(np.concatenate([knots[:1], knots]))
    high = of_piece(np.concatenate([knots, knots[-1:]]))
    return within(of_piece(slopes), of_piece(falls), share, low, high)


def within(slope: Floats, fall: Floats, share: Floats, low: Floats, high: Floats) -> Floats:
    """Return where a piece has this share of its mass to its left, (sites,).

    Args:
        slope: of the log density; 0 where it is flat.
        fall: what the density falls by from the piece's higher to its lower end, 0 in a tail.
        share: in (0, 1).
        low: the left end; in the left tail the right one.
        high: the right end; in the right tail the left one.
    """
    from_top = np.where(slope > 0, share, 1 - share)
    steep = np.where(slope == 0, 1.0, slope)
    away = np.log(fall + from_top * (1 - fall)) / steep
    sloped = np.where(slope > 0, high, low) + away
    return np.where(slope == 0, low + share * (high - low), sloped)
