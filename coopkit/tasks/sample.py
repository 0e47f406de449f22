"""Drawing from a trained pair: S1 by ancestral sampling, S2 by revising it."""

import attrs
import torch
from torch import Tensor

from coopkit.errors import RunError
from coopkit.interfaces import Kept
from coopkit.iterations import Settings
from coopkit.steps import generate, revise
from coopkit.streams import stream_seed
from coopkit.tasks.chains import at_a_time
from coopkit.tasks.sizes import at_size
from coopkit.tasks.trained import Trained
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
        chunk: signals drawn at a time, which bounds the memory; by their size if left out.
        size: height and width, in pixels; as in training if left out. A texture can be of any
            size, from a larger grid of latents.
        watch: told how far it is.

    Raises:
        ValueError: n is not positive.
        RunError: after Algorithm 1, more are asked for than there are chains; or the networks
            cannot be had at that size.
    """
    if n < 1:
        raise ValueError(f"n is {n}; it must be 1 or more")
    if size is not None:
        trained = at_size(trained, *size)
    chunk = chunk or at_a_time(trained.signal_shape)
    settings = trained.settings
    if steps is not None:
        settings = attrs.evolve(settings, revision_steps=steps)
    if trained.generator is None and trained.chains is not None and n > len(trained.chains):
        raise RunError(
            f"the run has {len(trained.chains)} persistent chains and no generator; "
            f"ask for that many at most, not {n}"
        )
    rngs = [
        torch.Generator(trained.device).manual_seed(stream_seed(seed, purpose))
        for purpose in ("draft", "revision")
    ]
    drawn = []
    for first in range(0, n, chunk):
        watch("drawing signals", first, n)
        drawn.append(draw(trained, settings, range(first, min(first + chunk, n)), *rngs))
    initial = torch.cat([part.initial for part in drawn])
    revised = [part.revised for part in drawn if part.revised is not None]
    return Samples(initial, torch.cat(revised) if revised else None)


def draw(
    trained: Trained,
    settings: Settings,
    which: range,
    draft_rng: torch.Generator,
    revision_rng: torch.Generator,
) -> Samples:
    """Draw one chunk."""
    kept = trained.kept
    if trained.generator is not None:
        kept = Kept(tuned=kept.tuned) if kept else None
        assert trained.recipe.generator is not None
        latent_shape = trained.recipe.generator.architecture.latent_shape(trained.signal_shape)
        noise = settings.draft_noise_std
        generator = trained.freeze(trained.generator)
        initial = generate(generator, latent_shape, len(which), noise, draft_rng).initial
    else:
        assert trained.chains is not None
        initial = trained.chains[which.start : which.stop]
        kept = kept and kept.rows(slice(which.start, which.stop))
    if trained.descriptor is None:
        return Samples(initial, None)
    assert trained.recipe.descriptor is not None
    assert settings.revision is not None
    revised = revise(
        trained.freeze(trained.descriptor),
        trained.recipe.descriptor.architecture.reference_std,
        settings.revision,
        initial,
        settings.revision_steps,
        revision_rng,
        kept,
    ).revised
    return Samples(initial, revised)


__all__ = ["Samples", "sample"]
