"""Local modes of a target, for chains that would take long to come near one."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from coopkit.interfaces import Target
from coopkit.tasks.watching import Watch, tell

RATE = 0.1
"""Of Adam at the first step, in the units of the position: a tenth of what N(0, 1) spreads."""


def ascend(
    target_of: Callable[[slice], Target], start: Tensor, steps: int, batch: int, watch: Watch
) -> tuple[Tensor, Tensor]:
    """Return where Adam ends that climbs log p from `start`, (chains, ...), and log p there.

    Its rate falls along a cosine, so that it settles. Adam has a step for each entry: it gets far
    along flat directions, for which the step of gradient descent is bounded by the steep ones.
    Chains do not depend on each other.

    Args:
        target_of: the target of some chains, by their rows.
        start: not modified.
        steps: of each chain.
        batch: chains at a time.
        watch: told how many steps of all batches are done.
    """
    ends, heights = [], []
    rows = [slice(k, k + batch) for k in range(0, len(start), batch)]
    told = partial(tell, watch, "ascending", steps * len(rows))
    for number, own in enumerate(rows):
        target, x = target_of(own), start[own].clone()
        optimizer = torch.optim.Adam([x], RATE, maximize=True)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for done in range(steps):
            told(number * steps + done)
            x.grad = target.score(x)
            optimizer.step()
            falling.step()
        ends.append(x)
        heights.append(target.log_prob(x))
    told(steps * len(rows))
    return torch.cat(ends), torch.cat(heights)


__all__ = ["ascend"]
