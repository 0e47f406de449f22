"""Sample sheets: panels of signals side by side, as one picture."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange, repeat
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from coopkit.data import to_pixels
from coopkit.errors import DataError
from coopkit.writing import whole_file

GAP = 4
TITLE = 28
CAPTION = 20
LEAST_CELL = 128
PAPER = 255


def draw_sheet(
    panels: Mapping[str, Tensor],
    mean: float,
    most: int = 16,
    caption: str = "",
    columns: int | None = None,
) -> Image.Image:
    """Return a picture of panels of signals, each under its title, with room for either.

    Args:
        panels: signals (n, channels, height, width) by title, in the order of drawing.
        mean: what was subtracted from the data.
        most: signals shown of each panel.
        caption: a line below the panels.
        columns: of each panel; as many as rows if left out.
    """
    grids = {title: draw_grid(to_pixels(x[:most], mean), columns) for title, x in panels.items()}
    font = ImageFont.load_default(16)
    widths = [max(g.shape[1], ceil(font.getlength(t)) + 2 * GAP) for t, g in grids.items()]
    width = sum(widths) + 3 * GAP * (len(grids) - 1)
    small = ImageFont.load_default(12)
    if caption:
        width = max(width, ceil(small.getlength(caption)) + 2 * GAP)
    bottom = TITLE + max(grid.shape[0] for grid in grids.values())
    height = bottom + (CAPTION if caption else 0)
    sheet = Image.new("RGB", (width, height), (PAPER,) * 3)
    draw = ImageDraw.Draw(sheet)
    left = 0
    for (title, grid), room in zip(grids.items(), widths, strict=True):
        draw.text((left + GAP, 4), title, fill=(0, 0, 0), font=font)
        sheet.paste(Image.fromarray(grid), (left, TITLE))
        left += room + 3 * GAP
    draw.text((GAP, bottom), caption, fill=(0, 0, 0), font=small)
    return sheet


def own_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that the samplers tell of themselves, "revision.acceptance" and such."""
    return {name: value for name, value in figures.items() if "." in name}


def in_words(figures: Mapping[str, float]) -> str:
    """Return figures in one line, three digits each."""
    return "  ".join(f"{name} {value:.3g}" for name, value in figures.items())


def draw_grid(pixels: Tensor, columns: int | None = None) -> "np.typing.NDArray[np.uint8]":
    """Return signals in a grid as (height, width, 3), small ones magnified whole times.

    The grid is square unless the number of its columns is given.
    """
    count, channels, height, width = pixels.shape
    scale = max(1, LEAST_CELL // min(height, width))
    columns = columns or int(np.ceil(count**0.5))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height * scale + GAP, width * scale + GAP, 3), PAPER, np.uint8)
    colour = 3 // channels
    cells[:count, : height * scale, : width * scale] = repeat(
        pixels.cpu().numpy(),
        "n c h w -> n (h down) (w across) (c colour)",
        down=scale,
        across=scale,
        colour=colour,
    )
    return rearrange(cells, "(r c) h w k -> (r h) (c w) k", c=columns)


def draw_signal(signal: Tensor, mean: float) -> Image.Image:
    """Return one signal (channels, height, width) as a picture of its own size."""
    pixels = rearrange(to_pixels(signal, mean).cpu().numpy(), "c h w -> h w c")
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


def save_signals(folder: Path, names: Sequence[str], signals: Tensor, mean: float) -> None:
    """Write each signal (n, channels, height, width) as folder/NAME.png."""
    for name, signal in zip(names, signals, strict=True):
        save_image(draw_signal(signal, mean), folder / f"{name}.png")


def save_frames(frames: Sequence[Tensor], mean: float, path: Path) -> None:
    """Write a moving picture of signals (n, channels, height, width), there and back."""
    drawn = [Image.fromarray(draw_grid(to_pixels(x, mean))) for x in frames]
    there_and_back = [*drawn, *drawn[-2:0:-1]]
    save_image(
        there_and_back[0],
        path,
        save_all=True,
        append_images=there_and_back[1:],
        duration=120,
        loop=0,
    )


def save_image(image: Image.Image, path: Path, **how: Any) -> None:
    """Write a picture whole or not at all.

    Args:
        image: to write.
        path: of the file, whose ending says the format.
        how: what Pillow is to be told of the format.

    Raises:
        DataError: the format has no such picture; most have a largest size.
    """
    try:
        with whole_file(path) as writing:
            image.save(writing, **how)
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{path}: a picture of {image.height} x {image.width} pixels cannot be written as "
            f"{path.suffix}; ask for a .png, or for less on it"
        ) from error
