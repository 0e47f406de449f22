"""Seeds of the streams of randomness of a run, and the order of its examples."""

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import numpy as np
import torch
from torch import Tensor


@attrs.define
class Order:
    """The order in which examples are seen: a new shuffle each epoch, a function of seed and t.

    An epoch has whole batches only, so that none has an example twice; the examples that are left
    over, others each time, wait for the next.

    Attributes:
        examples: how many there are.
        batch: how many each iteration sees; all of them where there are fewer.
        seed: of the shuffles.
    """

    examples: int
    batch: int
    seed: int
    _epoch: int = attrs.field(default=-1, init=False)
    _shuffle: Tensor = attrs.field(factory=lambda: torch.empty(0), init=False)

    def places(self, t: int) -> Tensor:
        """Return the places in the data set that iteration t observes, (batch,)."""
        size = min(self.batch, self.examples)
        epoch, number = divmod(t, self.examples // size)
        if epoch != self._epoch:
            rng = torch.Generator().manual_seed(stream_seed(self.seed, "order", epoch))
            self._epoch, self._shuffle = epoch, torch.randperm(self.examples, generator=rng)
        return self._shuffle[number * size : (number + 1) * size]


def stream_seed(seed: int, purpose: str, *numbers: int) -> int:
    """Return the seed of one stream of randomness, independent for each purpose and numbers."""
    entropy = [seed, *purpose.encode(), *numbers]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global streams, which initial weights and dropout draw from, then restore them.

    What is drawn is a function of the seed alone, so no checkpoint needs to save these streams.
    The streams of other GPUs are not touched.
    """
    kind = torch.device(device).type
    with torch.random.fork_rng([device] if kind == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if kind == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif kind != "cpu":
            torch.manual_seed(seed)
        yield
