"""What a caller from Python may get wrong, refused in a sentence before anything is computed."""

from collections.abc import Collection

import torch
from torch import Tensor

from coopkit.inpainting.methods import check_batch
from coopkit.interfaces import Shape
from coopkit.tasks.trained import Trained


def check_counts(least: int, **counts: int | None) -> None:
    """Refuse numbers, by their names, that are below the least; None is what was left out.

    Raises:
        ValueError: naming the number.
    """
    for name, count in counts.items():
        if count is not None and count < least:
            raise ValueError(f"{name} is {count}; it must be {least} or more")


def check_choice(name: str, choice: str, known: Collection[str]) -> None:
    """Refuse a word that is none of those that are known.

    Raises:
        ValueError: saying which are.
    """
    if choice not in known:
        raise ValueError(f"{name} is {choice!r}; it must be one of {', '.join(map(repr, known))}")


def check_signals(trained: Trained, signals: Tensor, *, any_size: bool = False) -> None:
    """Refuse what is no batch of signals like those of a run, (n, channels, height, width), n ≥ 1.

    Args:
        trained: the run.
        signals: of which it is asked something.
        any_size: whether height and width may be others than in training.

    Raises:
        ValueError: saying which shape or type is right.
    """
    channels, height, width = trained.signal_shape
    sides = tuple(signals.shape[2:]) if any_size else (height, width)
    fits = signals.ndim == 4 and signals.shape[1:] == (channels, *sides)
    if not fits or not len(signals) or not signals.is_floating_point():
        like = f"{channels}, height, width" if any_size else f"{channels}, {height}, {width}"
        raise ValueError(
            f"signals must be one or more, floating-point numbers of shape (n, {like}), not "
            f"{signals.dtype} of shape {tuple(signals.shape)}"
        )


def check_observed(signals: Tensor, observed: Tensor) -> None:
    """Refuse what does not say of every entry whether it is known.

    Raises:
        ValueError: saying which shape or type is right.
    """
    if observed.dtype != torch.bool or observed.shape != signals.shape:
        raise ValueError(
            f"observed must be booleans of shape {tuple(signals.shape)}, as the signals, not "
            f"{observed.dtype} of shape {tuple(observed.shape)}"
        )


def check_compared(restored: Tensor, signals: Tensor, holes: Tensor) -> None:
    """Refuse signals that cannot be compared within their holes.

    Raises:
        ValueError: the shapes differ, or a hole is empty.
    """
    check_batch(signals, holes)
    if restored.shape != signals.shape:
        raise ValueError(
            f"restored signals must be of the shape of the others, {tuple(signals.shape)}, not "
            f"{tuple(restored.shape)}"
        )
    empty = (~holes.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"holes[{empty[0]}] occludes nothing: there is no error to tell")


def check_latents(latents: Tensor, latent_shape: Shape, name: str = "latents") -> None:
    """Refuse what are no latents of a run, (n, *latent), n ≥ 1.

    Raises:
        ValueError: saying which shape is right.
    """
    if not len(latents) or latents.shape[1:] != latent_shape:
        raise ValueError(
            f"{name} must be one or more, of shape (n, {', '.join(map(str, latent_shape))}), not "
            f"of shape {tuple(latents.shape)}"
        )


__all__ = [
    "check_choice",
    "check_compared",
    "check_counts",
    "check_latents",
    "check_observed",
    "check_signals",
]
