"""D1 of a trained pair: what was drawn, revised by the descriptor."""

import torch
from torch import Tensor

from coopkit.interfaces import Kept
from coopkit.targets import RevisionTarget
from coopkit.tasks.arguments import check_counts, check_signals
from coopkit.tasks.chains import Chains, at_a_time
from coopkit.tasks.trained import Trained, revision_of
from coopkit.tasks.watching import Watch, nobody


def revise_signals(
    trained: Trained,
    initial: Tensor,
    rng: torch.Generator,
    steps: int | None = None,
    kept: Kept | None = None,
    *,
    chunk: int | None = None,
    watch: Watch = nobody,
) -> Tensor:
    """Return S2 of S1, each signal the start of a chain of its own.

    Args:
        trained: from `coopkit.load`.
        initial: S1, (n, channels, height, width), in the units of training.
        rng: the source of all randomness, on the device of the pair.
        steps: l_D; as in training if left out.
        kept: what the sampler of D1 kept of earlier chains.
        chunk: signals at a time, which bounds the memory; by their size if left out. With others
            each signal has other noise.
        watch: told how far it is.

    Raises:
        RunError: the run has no descriptor.
        ValueError: the signals do not fit the run, steps is negative, or chunk is not positive.
    """
    check_signals(trained, initial, any_size=True)
    check_counts(0, steps=steps)
    check_counts(1, chunk=chunk)
    f, std, sampler = revision_of(trained)
    target = RevisionTarget(f, std)
    count = trained.settings.revision_steps if steps is None else steps
    chunk = chunk or at_a_time(trained.signal_shape)
    chains = Chains(sampler, count, chunk, watch, "revising signals", kept)
    return chains.ends(initial, lambda rows: target, rng)


__all__ = ["revise_signals"]
