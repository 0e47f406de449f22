"""Drawing from a trained pair: S1 by ancestral sampling, S2 by revising it."""

import attrs
import torch
from torch import Tensor

from coopkit.errors import RunError
from coopkit.steps import generate
from coopkit.tasks.arguments import check_counts
from coopkit.tasks.chains import at_a_time, stream
from coopkit.tasks.revise import revise_signals
from coopkit.tasks.sizes import at_size
from coopkit.tasks.trained import Trained, generator_of
from coopkit.tasks.watching import Watch, nobody


@attrs.frozen(eq=False)
class Samples:
    """Signals drawn from a trained pair, in the units of training (the mean subtracted).

    Attributes:
        initial: S1, (n, channels, height, width); the persistent chains after Algorithm 1.
        revised: S2, of the same shape; None after Algorithm 2.
    """

    initial: Tensor
    revised: Tensor | None


def sample(
    trained: Trained,
    n: int,
    seed: int = 0,
    steps: int | None = None,
    chunk: int | None = None,
    size: tuple[int, int] | None = None,
    watch: Watch = nobody,
) -> Samples:
    """Draw n signals with the settings of the last iteration of training.

    Args:
        trained: from `coopkit.load`.
        n: how many.
        seed: of all randomness.
        steps: l_D; as in training if left out.
        chunk: signals drawn at a time, which bounds the memory; by their size if left out. S1 is
            the same whatever the chunk, S2 another draw, because chains share a stream of noise.
        size: height and width, in pixels; as in training if left out. A texture can be of any
            size, from a larger grid of latents.
        watch: told how far it is.

    Raises:
        ValueError: n or chunk is not positive, or steps is negative.
        RunError: after Algorithm 1, more are asked for than there are chains; or the networks
            cannot be had at that size.
    """
    check_counts(1, n=n, chunk=chunk)
    check_counts(0, steps=steps)
    if size is not None:
        trained = at_size(trained, *size)
    chunk = chunk or at_a_time(trained.signal_shape)
    if trained.generator is None and trained.chains is not None and n > len(trained.chains):
        raise RunError(
            f"the run has {len(trained.chains)} persistent chains and no generator; "
            f"ask for that many at most, not {n}"
        )
    initial = drafted(trained, n, stream(seed, "draft", trained.device), chunk, watch)
    if trained.descriptor is None:
        return Samples(initial, None)
    kept = trained.tuned if trained.generator is not None else trained.kept
    rng = stream(seed, "revision", trained.device)
    revised = revise_signals(trained, initial, rng, steps, kept, chunk=chunk, watch=watch)
    return Samples(initial, revised)


def drafted(trained: Trained, n: int, rng: torch.Generator, chunk: int, watch: Watch) -> Tensor:
    """Return S1: drawn by the generator, or the persistent chains where there is none."""
    if trained.generator is None:
        assert trained.chains is not None
        return trained.chains[:n].clone()
    latent_shape, _ = generator_of(trained)
    noise, generator = trained.settings.draft_noise_std, trained.freeze(trained.generator)
    drawn = []
    for first in range(0, n, chunk):
        watch("drawing signals", first, n)
        count = min(chunk, n - first)
        drawn.append(generate(generator, latent_shape, count, noise, rng).initial)
    return torch.cat(drawn)


__all__ = ["Samples", "sample"]
