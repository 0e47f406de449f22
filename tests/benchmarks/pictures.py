"""What a run draws, as docs/reproduction.md may show it: no photograph of a data set."""

from pathlib import Path

import attrs
import torch
from einops import reduce
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from coopkit.data import Images, load_images, load_whole, to_signals
from coopkit.sheets import draw_sheet
from coopkit.statistics.neighbours import nearest, nearest_others
from coopkit.tasks.comparing import evenly
from coopkit.tasks.evaluate import as_large_as
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.sample import sample
from coopkit.tasks.trained import Trained

FREE = ("brick", "grass", "gravel")
"""Photographs that may be shown."""
TEXTURES, OTHERS = 4, 10
"""Signals shown of a texture, as large as its photograph, and of anything else."""
COPY = 0.5
"""What is nearer to a photograph than this, in distances between photographs, would show it."""
ALIKE = 0.85
"""What correlates more with a photograph, in grey at half the size, would show it, too."""
PHOTOGRAPHS = 1024
"""Photographs whose distances from each other are computed, at most."""


def picture(trained: Trained) -> Image.Image:
    """Return S2, or S1 with the fitted prior after Algorithm 2; a free photograph beside it."""
    data = trained.recipe.data
    count, panels = 8 * OTHERS, {}
    if Path(data.source).is_file() or data.source in FREE:
        whole = to_signals(load_whole(data))
        trained = as_large_as(trained, whole)
        count = TEXTURES if trained.signal_shape[1:] == whole.shape[-2:] else count
        if data.source in FREE:
            panels["photograph"] = whole - trained.mean
    if trained.recipe.algorithm == "generator":
        trained = with_fitted_prior(trained)
    drawn = sample(trained, count)
    shown = drawn.initial if drawn.revised is None else drawn.revised
    if count != TEXTURES:
        photographs = load_images(attrs.evolve(data, mirror=False))
        shown = no_copies(shown + trained.mean, photographs)[:OTHERS] - trained.mean
    panels["S1" if drawn.revised is None else "S2"] = shown
    return draw_sheet(panels, trained.mean, columns=None if count == TEXTURES else OTHERS // 2)


def no_copies(drawn: Tensor, images: Images) -> Tensor:
    """Return those of the signals that do not show a photograph, which may not be shown."""
    photographs = to_signals(images.pixels)
    apart = nearest_others(evenly(photographs, PHOTOGRAPHS)).distance.median()
    both = torch.cat([photographs, photographs.flip(-1)])
    far = nearest(drawn, both).distance >= COPY * apart
    alike = (outlines(drawn) @ outlines(both).T).amax(1)
    return drawn[far & (alike <= ALIKE)]


def outlines(images: Tensor) -> Tensor:
    """Return images in grey at half the size, each as a row of mean 0 and length 1.

    Noise, other light and other colours, which part a copy from its photograph, hardly count.
    """
    halves = "n c (h two) (w too) -> n (h w)"
    grey = reduce(images, halves, "mean", two=2, too=2)
    return normalize(grey - grey.mean(1, keepdim=True))
