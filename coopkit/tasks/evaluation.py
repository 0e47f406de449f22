"""The figures of merit of a trained pair."""

from typing import Any

import attrs

from coopkit.statistics.scales import Scale


@attrs.frozen
class Distance:
    """How far what is drawn is from the data, or from other images.

    Attributes:
        name: "texture distance" or "sliced Wasserstein distance".
        real: "held out" or "observed": from which images.
        count: of the signals compared.
        height: of each, in pixels.
        width: of each, in pixels.
        scale: the distance of real from real, and of noise from real.
        drawn: by "initial" and "revised", the distance.
        relative: where it stands, 0 at the floor of the scale and 1 at its ceiling; None where the
            scale does not tell real images from noise.
        copies: the distance of the data themselves, as many of them, or pieces as large, as what is
            drawn; what the floor leaves below it.
        copies_relative: where this stands.
    """

    name: str
    real: str
    count: int
    height: int
    width: int
    scale: Scale
    drawn: dict[str, float]
    relative: dict[str, float | None]
    copies: float
    copies_relative: float | None


@attrs.frozen
class Neighbours:
    """How far the nearest image of the data is, as a root mean square per entry.

    Attributes:
        drawn: by "initial" and "revised", the median over the samples.
        real: the median for images that are no samples; None where there are none.
        ratio: drawn over real; copies have a ratio well below 1.
    """

    drawn: dict[str, float]
    real: float | None
    ratio: dict[str, float]


@attrs.frozen
class Energies:
    """The mean of E(Y), equation (25), as a log density; only differences matter.

    Attributes:
        drawn: by "initial" and "revised".
        real: of images that are no samples.
        gap: drawn less real; 0 where the descriptor cannot tell them apart.
    """

    drawn: dict[str, float]
    real: float
    gap: dict[str, float]


@attrs.frozen
class Recovery:
    """Mean absolute errors of g(X), X inferred from real images by (13), on the scale [−1, 1].

    Attributes:
        count: of the images.
        real: "held out" or "observed": which.
        side: of the square that was occluded in each, in pixels.
        restored: within the squares, X inferred from what is round them.
        by_mean: the same if the mean of the data is put there.
        reconstructed: of whole images, X inferred from all of them.
    """

    count: int
    real: str
    side: int
    restored: float
    by_mean: float
    reconstructed: float


@attrs.frozen
class Evaluation:
    """Figures of merit, for S1 ("initial") and S2 ("revised").

    Attributes:
        iteration: how many learning iterations were done.
        samples: how many signals were drawn.
        seed: of all randomness.
        real: "held out" if other images than the training's were given, else "observed"; what
            features and energies are held against.
        distance: from them, or of a texture from its photograph; None where there are too few
            images, or they are too small.
        neighbours: in the training data.
        diversity: the mean distance between two samples over that between two of the data.
        energies: under the descriptor; None after Algorithm 2.
        features: by "initial", "revised" and "real", what real images have in the place of drawn
            ones, by "fid", "kid", "precision" and "recall"; empty without a network.
        recovery: of real images by the generator; None without one, for textures, or if it was left
            out.
    """

    iteration: int
    samples: int
    seed: int
    real: str
    distance: Distance | None
    neighbours: Neighbours
    diversity: dict[str, float]
    energies: Energies | None
    features: dict[str, dict[str, float]]
    recovery: Recovery | None

    def as_json(self) -> dict[str, Any]:
        """Return the figures as nested dictionaries."""
        return attrs.asdict(self)


__all__ = ["Distance", "Energies", "Evaluation", "Neighbours", "Recovery"]
