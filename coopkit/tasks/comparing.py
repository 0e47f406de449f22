"""What is drawn held against the data: distances, nearest images, diversity, features."""

from functools import partial

import attrs
import torch
from torch import Tensor

from coopkit.data import to_signals
from coopkit.measures import spread
from coopkit.statistics.features import LEAST, coverage, fid, kid
from coopkit.statistics.neighbours import diversity, nearest, nearest_others
from coopkit.statistics.networks import FeatureNetwork
from coopkit.statistics.scales import Scale
from coopkit.statistics.wasserstein import PATCH, halves, swd, swd_scale
from coopkit.statistics.wavelets import NOISES, texture_distance, texture_scale
from coopkit.tasks.evaluation import Distance, Neighbours
from coopkit.tasks.watching import Watch, tell

ROWS = 256
"""Images of the training whose nearest others are looked for, at most."""


@attrs.frozen(eq=False)
class Compared:
    """What is compared: images in [−1, 1], (n, channels, height, width), on the CPU.

    Attributes:
        drawn: by "initial" and "revised".
        data: of the training, without mirror images, and no more than can be compared.
        others: held out, or None.
        seed: of all randomness.
        seen: all that was trained on, as 8-bit pixels, mirror images after all others.
        mirrored: whether there are mirror images among them.
    """

    drawn: dict[str, Tensor]
    data: Tensor
    others: Tensor | None
    seed: int
    seen: Tensor
    mirrored: bool = False

    @property
    def real(self) -> Tensor:
        """What is drawn is held against this: the images held out, or the data."""
        return self.data if self.others is None else self.others

    @property
    def against(self) -> str:
        """Which of the two."""
        return "observed" if self.others is None else "held out"


def distance_of(compared: Compared, watch: Watch) -> Distance | None:
    """Return the distance between two sets of images, or None where there are too few."""
    data, real, seed = compared.data, compared.real, compared.seed
    if min(len(data), len(real)) < 2 or min(data.shape[-2:]) < PATCH:
        return None
    found = {}
    for name, images in compared.drawn.items():
        watch(f"sliced Wasserstein distance, {name}", 0, None)
        found[name] = swd(images, real, seed)
    watch("the scale of the sliced Wasserstein distance", 0, None)
    scale = swd_scale(data, seed, compared.others)
    copies = swd(evenly(data, len(compared.drawn["initial"])), real, seed)
    return placed(
        "sliced Wasserstein distance", compared.against, compared.drawn, scale, found, copies
    )


def texture_distance_of(
    pictures: dict[str, Tensor], real: Tensor, seed: int, watch: Watch
) -> Distance:
    """Return the texture distance to the whole image, as a mean over the pictures."""
    found = {}
    for name, images in pictures.items():
        progress = partial(tell, watch, f"texture distance, {name}", len(images))
        found[name] = float(texture_distance(images, real, progress).mean())
    progress = partial(tell, watch, "the scale of the texture distance", NOISES)
    scale = texture_scale(real, seed, progress=progress)
    copies = float(texture_distance(corners(real, pictures["initial"]), real).mean())
    return placed("texture distance", "observed", pictures, scale, found, copies)


def placed(
    name: str,
    against: str,
    pictures: dict[str, Tensor],
    scale: Scale,
    drawn: dict[str, float],
    copies: float,
) -> Distance:
    """Return distances and where they stand on their scale."""
    relative = {which: scale.relative(distance) for which, distance in drawn.items()}
    count, _, height, width = pictures["initial"].shape
    own = scale.relative(copies)
    return Distance(name, against, count, height, width, scale, drawn, relative, copies, own)


def evenly(images: Tensor, most: int) -> Tensor:
    """Return images, if there are more than so many only these, evenly spread over all."""
    return images[torch.linspace(0, len(images) - 1, min(len(images), most)).long()]


def corners(image: Tensor, pictures: Tensor) -> Tensor:
    """Return the corners of an image (1, ...) as large as the pictures; itself where all of it."""
    height, width = pictures.shape[-2:]
    rows, columns = {0, image.shape[-2] - height}, {0, image.shape[-1] - width}
    return torch.cat([image[..., r : r + height, c : c + width] for r in rows for c in columns])


def neighbours_of(compared: Compared) -> Neighbours:
    """Return the medians of the distances to the nearest training image, of all there are.

    Real images of the training are at most `ROWS`; an image's own mirror image is no other one.
    """

    seen, copies = compared.seen, 2 if compared.mirrored else 1

    def from_seen(images: Tensor) -> float:
        return float(nearest(images, seen, prepare=to_signals).distance.median())

    drawn = {name: from_seen(images) for name, images in compared.drawn.items()}
    real = None
    if compared.others is not None:
        real = from_seen(compared.others)
    elif len(seen) > copies:
        places = evenly(torch.arange(len(seen) // copies), ROWS)
        real = float(nearest_others(seen, places, copies, to_signals).distance.median())
    ratio = {name: distance / real for name, distance in drawn.items()} if real else {}
    return Neighbours(drawn, real, ratio)


def diversity_of(compared: Compared) -> dict[str, float]:
    """Return the diversity of each set; nothing where there is none to compare with."""
    data = compared.data
    several = {name: images for name, images in compared.drawn.items() if len(images) > 1}
    if not several or bool((data == data[0]).all()):
        return {}
    apart = spread(data)
    return {name: diversity(images, data, apart) for name, images in several.items()}


def features_of(
    compared: Compared, network: FeatureNetwork, watch: Watch
) -> dict[str, dict[str, float]]:
    """Return what is computed from the features of a network, by "initial", "revised" and "real".

    What real images would have is that of as many of the training as were drawn, held against the
    images held out; without these, that of one half of the data against the other, left out where
    they are too small.
    """
    watch("features of real images", 0, None)
    real, seed = network.features(compared.real), compared.seed
    found = {}
    for name, images in compared.drawn.items():
        watch(f"features, {name}", 0, None)
        found[name] = figures_of(real, network.features(images), seed)
    watch("features of real images in the place of drawn ones", 0, None)
    if compared.others is not None:
        own = network.features(evenly(compared.data, len(compared.drawn["initial"])))
    else:
        real, own = halves(real, seed)
    if min(len(real), len(own)) >= LEAST:
        found["real"] = figures_of(real, own, seed)
    return found


def figures_of(real: Tensor, drawn: Tensor, seed: int) -> dict[str, float]:
    """Return FID, KID, precision and recall, by name, of two sets of features."""
    overlap = coverage(real, drawn)
    return {
        "fid": fid(real, drawn),
        "kid": kid(real, drawn, seed),
        "precision": overlap.precision,
        "recall": overlap.recall,
    }
