"""Table 1 by linear models: what probabilistic principal components restore of occluded images.

Y = W X + μ + ε, W the first k principal axes of the training images, each times what they spread
along it, X ~ N(0, I), ε ~ N(0, σ²I); a hole is filled with its mean given the pixels around it,
which is known in closed form. It is the linear relative of the paper's generator, for comparison.
"""

from pathlib import Path

import click
import torch
from torch import Tensor

from coopkit.data import load_images, to_signals
from coopkit.recipes import Recipe
from coopkit.tasks.inpaint import restoration_error
from coopkit.tasks.masks import square_holes

SIZES = (20, 30, 40)
COMPONENTS = (100, 250, 500, 850)
VARIANCES = (0.03, 0.1, 0.3)


def restored(signals: Tensor, holes: Tensor, mean: Tensor, axes: Tensor, variance: float) -> Tensor:
    """Return signals with their holes filled by the mean of p(hidden | observed)."""
    filled = signals.flatten(1).clone()
    for own, hole in zip(filled, holes, strict=True):
        hidden = hole.expand(signals.shape[1], -1, -1).flatten()
        seen = axes[~hidden]
        precision = seen.T @ seen + variance * torch.eye(axes.shape[1])
        latents = torch.linalg.solve(precision, seen.T @ (own - mean)[~hidden])
        own[hidden] = axes[hidden] @ latents + mean[hidden]
    return filled.reshape(signals.shape)


def images_of(source: str, *changes: str) -> Tensor:
    """Return the images of a folder as face-small reads them, with their mirror images."""
    table = Recipe.read("face-small", [f"data.source='{source}'", *changes]).data
    return to_signals(load_images(table).pixels)


@click.command()
@click.argument("train", type=click.Path(path_type=Path, exists=True))
@click.argument("held_out", type=click.Path(path_type=Path, exists=True))
def main(train: Path, held_out: Path) -> None:
    """Print the errors on the first 100 images HELD_OUT of models of the images in TRAIN."""
    observed = images_of(str(train))
    given = images_of(str(held_out), "data.mirror=false")[:100]
    flat, mean = observed.flatten(1), observed.flatten(1).mean(0)
    torch.manual_seed(0)
    _, spreads, directions = torch.svd_lowrank(flat - mean, q=max(COMPONENTS), niter=3)
    axes = directions * spreads / len(flat) ** 0.5
    for size in SIZES:
        holes = square_holes(len(given), size, tuple(given.shape[1:]), seed=0)
        for components in COMPONENTS:
            for variance in VARIANCES:
                filled = restored(given, holes, mean, axes[:, :components], variance)
                error = float(restoration_error(filled, given, holes).mean())
                print(f"M{size}  k {components:4}  σ² {variance:.2f}  {error:.4f}", flush=True)


if __name__ == "__main__":
    main()
