"""A generator that begins where another run has left its own."""

from collections.abc import Mapping
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from coopkit.checkpoint import CHECKPOINTS, list_checkpoints, load_checkpoint, put_weights
from coopkit.errors import RunError

MOST = 8192
"""Entries of a latent at most that may have a covariance of their own, which has their square."""


class Expanded(nn.Module):
    """g(μ + R Z) of a generator g, Z ~ N(0, I).

    Attributes:
        generator: g.
        mean: μ, (d,).
        root: R, (d, d), by which Z is multiplied from the left, ZR.
    """

    mean: Tensor
    root: Tensor

    def __init__(self, generator: nn.Module, mean: Tensor, root: Tensor) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("mean", mean)
        self.register_buffer("root", root)

    def forward(self, latents: Tensor) -> Tensor:
        """Return g(μ + R Z) of each chain."""
        flat = rearrange(latents, "chains ... -> chains (...)")
        moved = flat @ self.root + self.mean
        drawn: Tensor = self.generator(moved.reshape(latents.shape))
        return drawn


def unexpanded(generator: nn.Module, entries: int) -> Expanded:
    """Return a generator of latents of so many entries, with μ = 0 and R = I.

    Raises:
        RunError: they are too many.
    """
    check_entries(entries)
    return Expanded(generator, torch.zeros(entries), torch.eye(entries))


def mean_and_root(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Return μ and Σ^½ of latents (n, ...), n ≥ 2: (d,) and (d, d), on the CPU.

    With them in the generator, latents of mean 0 and covariance I draw what these drew: a step of
    parameter-expanded EM (Liu, Rubin and Wu 1998), which leaves the family of densities as it is if
    Σ is invertible. It is not with n ≤ d; the generator then draws only what these latents span.

    Raises:
        RunError: the latents have too many entries.
    """
    check_entries(latents[0].numel())
    flat = rearrange(latents, "n ... -> n (...)").cpu().double()
    values, axes = torch.linalg.eigh(flat.T.cov().reshape(flat.shape[1], -1))
    root = (axes * values.clamp(min=0).sqrt()) @ axes.T
    return flat.mean(0).float(), root.float()


def check_entries(entries: int) -> None:
    """Refuse latents of more entries than a covariance can be had of.

    Raises:
        RunError: saying how many there may be.
    """
    if entries > MOST:
        raise RunError(
            f"latents of {entries} entries are too many to have a covariance of their own, which "
            f"generator.start and a fitted prior need; {MOST} at most have one"
        )


def begin_from(generator: nn.Module, folder: Path) -> None:
    """Give an expanded generator the weights of another run, and the law of its latents.

    A run that keeps no latents of its data, as Algorithm 2 does, gives N(0, I). One that itself
    began from another gives what it has of that one's law, too.

    Raises:
        RunError: there is no such run, or its generator has other layers or sizes.
    """
    places = list_checkpoints(folder / CHECKPOINTS)
    if not places:
        raise RunError(f"generator.start: {folder} holds no run with a checkpoint")
    state = load_checkpoint(places[-1])
    if "generator" not in state.networks:
        raise RunError(f"generator.start: the run {folder} has no generator")
    own, weights = generator.state_dict(), dict(state.networks["generator"])
    if weights.keys() != own.keys():
        weights = {f"generator.{name}": value for name, value in weights.items()}
        weights |= {name: own[name].cpu() for name in ("mean", "root")}
    check_shapes(weights, own, folder)
    latents = state.training["memory"].get("latents")
    if latents is not None and len(latents) > 1:
        mean, root = mean_and_root(latents)
        weights["mean"] = weights["mean"] + mean @ weights["root"]
        weights["root"] = root @ weights["root"]
    put_weights(generator, weights, "generator")


def check_shapes(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse weights of a network with other layers, or layers of other sizes.

    Raises:
        RunError: with the first that differs.
    """
    said = f"generator.start: the generator of {folder} is not like this recipe's"
    for name in (*own, *weights):
        there, here = (
            tuple(found[name].shape) if name in found else "missing" for found in (weights, own)
        )
        if there != here:
            raise RunError(f"{said}: {name} is {there} there and {here} here")


__all__ = ["Expanded", "begin_from", "mean_and_root", "unexpanded"]
