"""Markov random fields of nearest neighbours: the baselines "MRF-ℓ1" and "MRF-ℓ2" of Table 1.

The density of a field is proportional to exp(−β Σ ρ(x_i − x_j)) over the horizontal and vertical
edges, with ρ(d) = |d| or d². Channels are independent. What fills a hole is the mean of the
posterior of its entries given the known ones, which is best in squared error; the paper takes
draws of a Gibbs sampler.
"""

import attrs
import numpy as np
from attrs.validators import ge, instance_of
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import label
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from coopkit.inpainting import stencils
from coopkit.inpainting.holes import Field, Hole, checked
from coopkit.inpainting.solves import springs

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

SMALLEST = 1e-12
"""What the mean absolute difference of a flat field counts as, in units of the field."""

NARROWEST = 1e-6
"""What a smaller difference counts as when the precision of its edge is drawn, in units of 1/β."""


def squared_mean(field: ArrayLike, hole: ArrayLike) -> Field:
    """Fill a hole by the mean of the ℓ2 field's posterior.

    It is Gaussian with the graph's Laplacian on the hole for precision, up to 2β, and its mean is
    where `springs` are at rest, whatever β is. See `coopkit.inpainting.solves.springs` for
    arguments and errors.
    """
    return springs(field, hole)


def fitted_beta(field: ArrayLike, hole: ArrayLike) -> float:
    """Return the β of the ℓ1 field under which what is known is likeliest.

    The energy is homogeneous of degree 1, so that the normaliser of N entries in C connected
    pieces is β^(C − N) times a constant and the maximum is at (N − C) / Σ|x_i − x_j|. The known
    entries are taken for a field by themselves, with the edges among them.

    Args:
        field: (..., height, width); all leading axes share one β.
        hole: (height, width), True where the value is unknown.

    Returns:
        β in 1 / units of the field. Without an edge among the known entries it is 1.

    Raises:
        ValueError: see `coopkit.inpainting.holes.checked`.
    """
    values, unknown = checked(field, hole)
    known, total = ~unknown, 0.0
    for axis in (0, 1):
        steps = np.abs(np.diff(np.where(known, values, 0.0), axis=axis - 2))
        beside = np.delete(known, 0, axis) & np.delete(known, -1, axis)
        total += float(steps[..., beside].sum())
    channels = values.size // unknown.size
    freedom = channels * (int(known.sum()) - int(label(known)[1]))
    return freedom / max(total, SMALLEST * freedom) if freedom else 1.0


@attrs.frozen
class AbsoluteMean:
    """Fills holes by the mean of the ℓ1 field's posterior, from a Gibbs sampler of blocks.

    The Laplace law of a difference is that of a Gaussian whose variance is exponential (Andrews and
    Mallows 1974), as in the Bayesian lasso (Park and Casella 2008). Given the precisions of all
    edges a hole is Gaussian, and is drawn as a whole; given the hole each precision is inverse
    Gaussian. The means of these Gaussians are averaged, which vary less than draws. Chains start
    from the ℓ2 field's mean. Single sites, drawn one after another, would take some thousand sweeps
    to move a hole of 40 x 40 as a whole; the correlation of its mean over two sweeps is 0.1 here.

    Attributes:
        sweeps: over all precisions and the hole, whose Gaussian means are averaged.
        burn_in: sweeps before them.
        beta: in 1 / units of the field; None fits it to the known entries of each image.
    """

    sweeps: int = attrs.field(default=60, validator=[instance_of(int), ge(1)])
    burn_in: int = attrs.field(default=10, validator=[instance_of(int), ge(0)])
    beta: float | None = attrs.field(default=None)

    def __attrs_post_init__(self) -> None:
        if self.beta is not None and not 0 < self.beta < float("inf"):
            raise ValueError(f"beta must be positive and finite: {self.beta}")

    def __call__(self, fields: Field, holes: Hole, rng: np.random.Generator) -> Field:
        """Return the fields with their holes filled, (images, channels, height, width).

        Args:
            fields: (images, channels, height, width); what stands in a hole is not read.
            holes: (images, height, width), True where the value is unknown.
            rng: of the draws, moved on.

        Raises:
            ValueError: see `coopkit.inpainting.holes.checked`.
        """
        filled, keep = np.empty(fields.shape), range(self.burn_in, self.burn_in + self.sweeps)
        for place, (field, hole) in enumerate(zip(fields, holes, strict=True)):
            filled[place] = squared_mean(field, hole)
            if hole.any():
                beta, edges = self.beta_of(field, hole), Edges.of(hole)
                for channel in filled[place].reshape(len(field), -1):
                    channel[edges.places] = chain_mean(channel.copy(), edges, beta, keep, rng)
        return filled

    def beta_of(self, field: Field, hole: Hole) -> float:
        """Return the β of one image."""
        return fitted_beta(field, hole) if self.beta is None else self.beta


def chain_mean(
    field: Floats, edges: "Edges", beta: float, keep: range, rng: np.random.Generator
) -> Floats:
    """Return the mean of the entries of a hole, in the order of `Edges.places`.

    Args:
        field: one channel, (entries,), with where the chain starts in the hole; written to.
        edges: of the hole.
        beta: in 1 / units of the field.
        keep: the sweeps of which the mean is taken, the last among them.
        rng: of the draws.
    """
    total = np.zeros(len(edges.places))
    for sweep in range(keep.stop):
        precisions = drawn_precisions(edges.differences(field), beta, rng)
        mean, field[edges.places] = edges.filled(field, precisions, rng)
        if sweep in keep:
            total += mean
    return total / len(keep)


def drawn_precisions(differences: Floats, beta: float, rng: np.random.Generator) -> Floats:
    """Draw the precisions of edges given the differences along them: inverse Gaussian ones.

    Given d, 1/v has the mean β/|d| and the shape β², for exp(−β|d|) is the integral over v of
    v^−½ exp(−d²/2v) exp(−β²v/2) up to a constant.
    """
    return rng.wald(beta / np.maximum(np.abs(differences), NARROWEST / beta), beta**2)


@attrs.frozen(eq=False)
class Edges:
    """The edges between neighbours that touch a hole, and the system of its entries.

    Attributes:
        places: of the entries of the hole in the field, counted row by row, in the system's order.
        ends: of each edge, places in the field, (2, edges).
        rows: of the ends in the system, −1 where an end is known, (2, edges).
        width: how far apart in the system the ends of an edge are at most.
    """

    places: Places
    ends: Places
    rows: Places
    width: int

    @classmethod
    def of(cls, hole: Hole) -> "Edges":
        """Return the edges of a hole (height, width) with at least one entry."""
        unknown, ends = np.flatnonzero(hole), stencils.edges(hole.shape)
        inside: Hole = hole.ravel()[ends]
        within = np.searchsorted(unknown, ends[:, inside.all(axis=0)])
        graph = csr_array((np.ones(within.shape[1]), tuple(within)), shape=(len(unknown),) * 2)
        order = reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)
        row_of = np.full(hole.size, -1)
        row_of[unknown[order]] = np.arange(len(unknown))
        apart = np.abs(np.diff(row_of[ends[:, inside.all(axis=0)]], axis=0))
        ends = ends[:, inside.any(axis=0)]
        return cls(unknown[order], ends, row_of[ends], int(apart.max(initial=0)))

    def differences(self, field: Floats) -> Floats:
        """Return x_j − x_i along each edge of a field (entries,)."""
        along: Floats = field[self.ends[1]] - field[self.ends[0]]
        return along

    def filled(
        self, field: Floats, precisions: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Return the mean of the hole's entries given all else, and a draw, (entries of the hole,).

        Their precision is Σ w (e_j − e_i)(e_j − e_i)ᵀ. Noise of variance 1/w in the difference
        along each edge makes the mean a draw.
        """
        known = field.copy()
        known[self.places] = 0
        mean = self.gathered(-precisions * self.differences(known))
        noise = self.gathered(np.sqrt(precisions) * rng.standard_normal(len(precisions)))
        sides = np.stack([mean, noise], axis=1)
        solved = solveh_banded(self.banded(precisions), sides, lower=True)
        return solved[:, 0], solved.sum(axis=1)

    def gathered(self, along: Floats) -> Floats:
        """Return the sum of what an entry's edges have, less where it is their first end."""
        first, second = (self.summed(rows, along) for rows in self.rows)
        return second - first

    def summed(self, rows: Places, along: Floats) -> Floats:
        """Return the sum, for each entry of the hole, of what the edges that end there have."""
        sums = np.bincount(rows[rows >= 0], along[rows >= 0], len(self.places))
        return np.asarray(sums, dtype=np.float64)

    def banded(self, precisions: Floats) -> Floats:
        """Return the precision of the hole's entries, its lower bands, (width + 1, entries)."""
        bands = np.zeros((self.width + 1, len(self.places)))
        bands[0] = sum(self.summed(rows, precisions) for rows in self.rows)
        inner = (self.rows >= 0).all(axis=0)
        first, second = np.sort(self.rows[:, inner], axis=0)
        bands[second - first, first] = -precisions[inner]
        return bands
