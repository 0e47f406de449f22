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
from scipy.ndimage import label

from coopkit.inpainting.holes import Field, Hole, checked
from coopkit.inpainting.site_law import Floats, quantile
from coopkit.inpainting.solves import springs
from coopkit.inpainting.stencils import SIDES, fitting

SMALLEST = 1e-12
"""What the mean absolute difference of a flat field counts as, in units of the field."""


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
    """Fills holes by the mean of the ℓ1 field's posterior, from a Gibbs sampler.

    Each site is drawn from its exact law given its neighbours, all sites of one colour of a
    checkerboard at once, of all images together. Chains start from the ℓ2 field's mean.

    Attributes:
        sweeps: over all unknown entries, whose values are averaged.
        burn_in: sweeps before them.
        beta: in 1 / units of the field; None fits it to the known entries of each image.
    """

    sweeps: int = attrs.field(default=200, validator=[instance_of(int), ge(1)])
    burn_in: int = attrs.field(default=50, validator=[instance_of(int), ge(0)])
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
        state = np.empty(fields.shape)
        for place, (field, hole) in enumerate(zip(fields, holes, strict=True)):
            state[place] = squared_mean(field, hole)
        betas = np.array([self.beta_of(*pair) for pair in zip(fields, holes, strict=True)])
        groups = sites(holes, fields.shape[1])
        total = np.zeros_like(state)
        for sweep in range(self.burn_in + self.sweeps):
            for group in groups:
                group.draw(state.reshape(-1), betas, rng)
            if sweep >= self.burn_in:
                total += state
        unknown = np.broadcast_to(holes[:, None], state.shape)
        return np.where(unknown, total / self.sweeps, state)

    def beta_of(self, field: Field, hole: Hole) -> float:
        """Return the β of one image."""
        return fitted_beta(field, hole) if self.beta is None else self.beta


@attrs.frozen(eq=False)
class Sites:
    """Unknown entries that are no neighbours of each other and have equally many neighbours.

    Attributes:
        places: of the entries in the batch, counted entry by entry, (sites,).
        neighbours: places of their neighbours, (K, sites).
        images: the image that each belongs to, (sites,).
    """

    places: NDArray[np.intp]
    neighbours: NDArray[np.intp]
    images: NDArray[np.intp]

    def draw(self, state: Floats, betas: Floats, rng: np.random.Generator) -> None:
        """Draw these entries given all others, in place.

        Args:
            state: all entries of the batch, (entries,).
            betas: of each image, (images,).
            rng: of the draws.
        """
        levels = rng.random(len(self.places))
        state[self.places] = quantile(state[self.neighbours], betas[self.images], levels)


def sites(holes: Hole, channels: int) -> list[Sites]:
    """Return the unknown entries of a batch by colour and by which neighbours they have.

    Args:
        holes: (images, height, width).
        channels: of each image.
    """
    height, width = holes.shape[1:]
    steps = np.array([down * width + right for down, right in SIDES])
    borders = np.stack([fitting((height, width), [side]) for side in SIDES])
    colours = np.indices((height, width)).sum(axis=0) % 2
    kinds = np.concatenate([borders, colours[None] == 1]).reshape(len(SIDES) + 1, -1)
    groups = []
    for kind in np.unique(kinds, axis=1).T:
        of_kind = (kinds == kind[:, None]).all(axis=0).reshape(height, width)
        chosen = np.broadcast_to((holes & of_kind)[:, None], (len(holes), channels, height, width))
        places = np.flatnonzero(chosen)
        if len(places):
            neighbours = places + steps[kind[:-1], None]
            groups.append(Sites(places, neighbours, places // (channels * height * width)))
    return groups
