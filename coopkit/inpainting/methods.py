"""Every baseline by its name, with one signature on batches of signals."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from coopkit.inpainting import solves
from coopkit.inpainting.biharmonic import biharmonic
from coopkit.inpainting.holes import Field, Hole
from coopkit.inpainting.markov import AbsoluteMean, squared_mean

Method = Callable[[Tensor, Tensor, int], Tensor]
"""Takes signals (n, channels, height, width), their holes (n, height, width), True where a pixel is
unknown, and a seed; returns new signals with the holes filled. Known entries stay bit for bit, what
stands in a hole is not read, and the dtype and the device are those of the signals. A method
without randomness does not use the seed.

Raises:
    ValueError: the shapes do not fit, holes are not boolean, a hole covers everything, a known
        entry is not finite, or the known entries do not determine the others.
"""

Batch = Callable[[Field, Hole, np.random.Generator], Field]


def alone(fill: Callable[[Field, Hole], Field]) -> Batch:
    """Return a way to fill one field as a way to fill a batch; equal holes are filled at once."""

    def together(fields: Field, holes: Hole, _: np.random.Generator) -> Field:
        filled = np.empty_like(fields)
        for hole in np.unique(holes, axis=0):
            same = (holes == hole).all(axis=(1, 2))
            filled[same] = fill(fields[same], hole)
        return filled

    return together


def on_signals(fill: Batch, signals: Tensor, holes: Tensor, seed: int) -> Tensor:
    """Return signals with their holes filled; see `Method`."""
    check_batch(signals, holes)
    fields = signals.detach().cpu().double().numpy()
    filled = fill(fields, holes.cpu().numpy(), np.random.default_rng(seed))
    return torch.from_numpy(filled).to(signals)


def check_batch(signals: Tensor, holes: Tensor) -> None:
    """Refuse what is no batch of signals with a hole each.

    Raises:
        ValueError: saying which shape or type is wrong.
    """
    if signals.ndim != 4 or not signals.is_floating_point():
        raise ValueError(
            "signals must be floating-point numbers (n, channels, height, width), not "
            f"{signals.dtype} of shape {tuple(signals.shape)}"
        )
    if holes.dtype != torch.bool or holes.shape != (len(signals), *signals.shape[2:]):
        raise ValueError(
            f"holes must be booleans of shape {(len(signals), *signals.shape[2:])}, one (height, "
            f"width) for each signal, not {holes.dtype} of shape {tuple(holes.shape)}"
        )


BATCHES: Mapping[str, Batch] = {
    "mrf-l1": AbsoluteMean(),
    "mrf-l2": alone(squared_mean),
    "plate-near": alone(solves.plate_near),
    "plate-whole": alone(solves.plate_whole),
    "laplace": alone(solves.laplace),
    "plate-fourth": alone(solves.plate_fourth),
    "springs": alone(solves.springs),
    "average": alone(solves.average),
    "biharmonic": alone(biharmonic),
}

METHODS: Mapping[str, Method] = {name: partial(on_signals, fill) for name, fill in BATCHES.items()}
"""The baselines of the paper's Table 1 and one more, by name.

"mrf-l1" and "mrf-l2" are its Markov random fields. "plate-near", "plate-whole", "laplace",
"plate-fourth", "springs" and "average" are methods 0 to 5 of D'Errico's `inpaint_nans`, its
"inter-mtd". "biharmonic" is scikit-image's. Away from the borders of a signal some are one and the
same: "plate-whole" is "plate-near" everywhere, and so is "biharmonic" but for its cut-off;
"springs" is "mrf-l2" everywhere and "laplace" away from the borders.
"""
