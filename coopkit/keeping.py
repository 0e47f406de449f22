"""What samplers keep between learning iterations, as named tensors of an algorithm's memory."""

from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from coopkit.interfaces import Kept

Memory = dict[str, Tensor]
SEEN = "seen"


def remember(memory: Memory, purpose: str, kept: Kept | None) -> None:
    """Put what a sampler kept into a memory, under "purpose.part.name", and nothing of before.

    In the order that a checkpoint gives back: sums depend on the order, and a resumed run on them.
    """
    for place in [place for place in memory if place.startswith(f"{purpose}.")]:
        del memory[place]
    for part, tensors in attrs.asdict(kept or Kept(), recurse=False).items():
        for name, value in tensors.items():
            memory[f"{purpose}.{part}.{name}"] = value.contiguous()


def recall(memory: Memory, purpose: str) -> Kept | None:
    """Return what `remember` put into a memory; None if that was nothing."""
    kept: dict[str, Memory] = {"chains": {}, "tuned": {}}
    for place, value in memory.items():
        owner, _, rest = place.partition(".")
        part, _, name = rest.partition(".")
        if owner == purpose and part in kept:
            kept[part][name] = value
    return Kept(**kept) if any(kept.values()) else None


def remember_rows(
    memory: Memory,
    purpose: str,
    kept: Kept | None,
    places: Tensor,
    examples: int,
    share: Callable[[Tensor], Tensor],
) -> None:
    """Put what a sampler kept for some of the examples of a data set into their rows.

    Args:
        memory: changed in place.
        purpose: of the sampler.
        kept: a row for each of `places`, or None.
        places: of the examples in the data set, (n,).
        examples: how many there are.
        share: brings together the rows of several processes.
    """
    if kept is None:
        return
    rows: Memory = {}
    remember(rows, purpose, kept)
    rows[f"{purpose}.{SEEN}"] = torch.ones_like(places, dtype=torch.bool)
    everywhere = share(places)
    new = [name for name in rows if name not in memory]
    for name in {*new, f"{purpose}.{SEEN}"} if new else ():
        memory[name] = rows[name].new_zeros((examples, *rows[name].shape[1:]))
    for name, value in rows.items():
        memory[name][everywhere] = share(value)


def recall_rows(memory: Memory, purpose: str, places: Tensor) -> Kept | None:
    """Return what was kept for examples.

    Where one of them is seen for the first time the chains are new, and that one is given what was
    tuned for others, in turn. None before any was seen.
    """
    seen, kept = memory.get(f"{purpose}.{SEEN}"), recall(memory, purpose)
    if seen is None or kept is None:
        return None
    if bool(seen[places].all()):
        return kept.rows(places)
    known = seen.nonzero()[:, 0]
    others = known[torch.arange(len(places), device=known.device) % len(known)]
    tuned = kept.rows(torch.where(seen[places], places, others)).tuned
    return Kept(tuned=tuned) if tuned else None
