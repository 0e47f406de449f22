"""How good what a trained pair draws is, in numbers."""

from functools import partial
from typing import Any

from torch import Tensor

from coopkit.data import Images, find_images, load_images, load_whole, to_signals
from coopkit.errors import DataError, RunError
from coopkit.statistics.features import LEAST
from coopkit.statistics.networks import FeatureNetwork
from coopkit.statistics.wavelets import SMALLEST
from coopkit.streams import stream_seed
from coopkit.tasks.arguments import check_counts
from coopkit.tasks.chains import at_a_time
from coopkit.tasks.comparing import (
    Compared,
    distance_of,
    diversity_of,
    evenly,
    features_of,
    neighbours_of,
    texture_distance_of,
)
from coopkit.tasks.energy import energies
from coopkit.tasks.evaluation import Energies, Evaluation
from coopkit.tasks.given import read_given
from coopkit.tasks.recovery import recovery_of
from coopkit.tasks.sample import sample
from coopkit.tasks.sizes import at_size
from coopkit.tasks.trained import Trained
from coopkit.tasks.watching import Watch, nobody

TRIED = 64
"""Images with which a feature network is tried before anything is drawn, at most."""

MOST = 2048
"""Images of the data that are compared at most, evenly spread over all of them."""

USUAL = 64
"""Signals drawn where no number is given."""

LARGEST = 1024 * 1024
"""Pixels of a texture that is drawn as large as its photograph."""


def evaluate(
    trained: Trained,
    n: int | None = None,
    *,
    held_out: str | None = None,
    network: FeatureNetwork | None = None,
    seed: int = 0,
    steps: int | None = None,
    restore: int = 8,
    watch: Watch = nobody,
) -> Evaluation:
    """Return how good what a trained pair draws is.

    Signals are compared as they are shown: the mean added, cut off to [−1, 1]. A texture, learned
    from one image, is compared with that image as a whole, and drawn as large as it where the
    networks can be had at that size (see `at_size`) and the image has no more than 1024 x 1024
    pixels: the statistics of a small piece are those of the piece, real pieces included. Other data
    are compared as a set. Mirror images (`data.mirror`) are no data of their own here: they only
    count where the nearest training image is looked for.

    Args:
        trained: from `coopkit.load`.
        n: how many signals to draw; 64, or all chains of Algorithm 1 if they are fewer. Of a
            texture that is drawn as large as its image, as many as have the pixels of n signals, or
            one.
        held_out: a file or folder of images that the run has not seen. What is drawn is held
            against them in place of the data, but for the nearest images and the diversity; the
            distance of a texture remains that from its photograph.
        network: what FID, KID, precision and recall are computed from; they are left out without.
        seed: of all randomness.
        steps: l_D; as in training if left out.
        restore: how many real images the generator is to restore; 0 leaves this out, as it is for
            textures, of which nothing says what stands in a hole.
        watch: told how far it is.

    Raises:
        CoopkitError: there are not so many chains, or too few images for features, what was drawn
            is not finite, the data are no longer what they were, or the network does not give
            features.
        ValueError: n is not positive, or steps or restore is negative.
    """
    check_counts(1, n=n)
    check_counts(0, steps=steps, restore=restore)
    table, mean = trained.recipe.data, trained.mean
    watch("reading the data", 0, None)
    images = read(trained)
    seen, mirrored = images.pixels, table.mirror
    originals = seen[: len(seen) // 2] if mirrored else seen
    data = to_signals(evenly(originals, MOST))
    others = None if held_out is None else read_held_out(trained, held_out)
    chains = USUAL if trained.chains is None or trained.generator else len(trained.chains)
    count = min(USUAL, chains) if n is None else n
    real_ones = len(data if others is None else others)
    if network is not None and min(count, real_ones) < LEAST:
        raise DataError(
            f"features need at least {LEAST} images of each set; there are {count} drawn and "
            f"{real_ones} real"
        )
    if network is not None:
        watch("trying the feature network", 0, None)
        network.features(data[:count][:TRIED])
    draw = partial(drawn_signals, seed=seed, steps=steps, watch=watch)
    signals = draw(trained, count)
    drawing = stream_seed(seed, "evaluation")
    compared = Compared(shown(signals, mean), data, others, drawing, seen, mirrored)
    real, recovery = texture_of(trained), None
    if real is None:
        recovery = recovery_of(trained, compared, restore, watch)
        distance = distance_of(compared, watch)
    else:
        pictures, larger = compared.drawn, as_large_as(trained, real)
        if larger is not trained:
            fewer = round(count * data[0, 0].numel() / real[0, 0].numel())
            pictures = shown(draw(larger, max(1, fewer)), mean)
        distance = texture_distance_of(pictures, real, compared.seed, watch)
    watch("comparing", 0, None)
    return Evaluation(
        iteration=trained.iteration,
        samples=count,
        seed=seed,
        real=compared.against,
        distance=distance,
        neighbours=neighbours_of(compared),
        diversity=diversity_of(compared),
        energies=energies_of(trained, signals, compared.real, watch),
        features={} if network is None else features_of(compared, network, watch),
        recovery=recovery,
    )


def read(trained: Trained) -> Images:
    """Return the images that a run has seen.

    Raises:
        DataError: they cannot be read.
        RunError: they are not those that the run has seen.
    """
    table = trained.recipe.data
    images: Images = load_images(table, trained.recipe.seed)
    if trained.data not in (None, images.fingerprint) or images.shape != trained.signal_shape:
        raise RunError(
            f"data.source {table.source!r} gives other images than those that the run has seen; "
            "put them back to compare with them"
        )
    return images


def read_held_out(trained: Trained, source: str) -> Tensor:
    """Return other images, one signal of each, in [−1, 1].

    Raises:
        DataError: they cannot be read.
    """
    signals = read_given(trained, source, "held_out").signals
    return evenly(signals.cpu() + trained.mean, MOST)


def drawn_signals(trained: Trained, count: int, **how: Any) -> dict[str, Tensor]:
    """Return S1 and S2 by "initial" and "revised", in the units of training.

    Raises:
        RunError: they are not finite.
    """
    drawn = sample(trained, count, **how)
    signals = {"initial": drawn.initial}
    if drawn.revised is not None:
        signals["revised"] = drawn.revised
    for name, x in signals.items():
        if not bool(x.isfinite().all()):
            raise RunError(f"the {name} signals are not finite; the run has diverged")
    return signals


def shown(signals: dict[str, Tensor], mean: float) -> dict[str, Tensor]:
    """Return signals as they are shown, in [−1, 1], on the CPU."""
    return {name: (x.cpu() + mean).clamp(-1, 1) for name, x in signals.items()}


def texture_of(trained: Trained) -> Tensor | None:
    """Return the one image that the data are cut from, if its texture can be measured.

    Raises:
        DataError: it cannot be read.
    """
    table = trained.recipe.data
    sources = list(find_images(table.source))
    if len(sources) > 1 or min(trained.signal_shape[1:]) < SMALLEST:
        return None
    whole = to_signals(load_whole(table))
    return None if min(whole.shape[-2:]) < 2 * SMALLEST else whole


def as_large_as(trained: Trained, image: Tensor) -> Trained:
    """Return the pair at the size of an image (1, ...), or as it is where it has no such size."""
    if image[0, 0].numel() > LARGEST:
        return trained
    try:
        return at_size(trained, *image.shape[-2:])
    except RunError:
        return trained


def energies_of(
    trained: Trained, signals: dict[str, Tensor], real: Tensor, watch: Watch
) -> Energies | None:
    """Return the mean energies of what was drawn and of real images, if there is a descriptor."""
    if trained.descriptor is None:
        return None

    def mean_energy(x: Tensor) -> float:
        found = energies(trained, x, at_a_time(trained.signal_shape), watch)
        return float(found.energy.cpu().double().mean())

    observed = mean_energy(real - trained.mean)
    drawn = {name: mean_energy(x) for name, x in signals.items()}
    return Energies(drawn, observed, {name: energy - observed for name, energy in drawn.items()})


__all__ = ["evaluate"]
