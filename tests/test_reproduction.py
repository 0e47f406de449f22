"""The page of results: its tables, and that its pictures show no photograph of a data set."""

import pytest
import torch
from benchmarks import reproduction
from torch import Tensor

from coopkit.data import Images


def photographs(seed: int) -> Tensor:
    """Return smooth images of which no two are alike, (6, 3, 16, 16) in [0, 255]."""
    coarse = torch.rand(6, 3, 4, 4)
    return torch.nn.functional.interpolate(coarse, size=16, mode="bilinear") * 200 + 20


@pytest.mark.parametrize(
    "changed",
    [
        lambda x: x,
        lambda x: x.flip(-1),
        lambda x: 0.4 * x + 0.3,
        lambda x: x + 0.2 * torch.randn_like(x),
        lambda x: x.flip(1),
    ],
    ids=["itself", "mirrored", "in other light", "in noise", "in other colours"],
)
def test_what_shows_a_photograph_is_left_out(changed, seed: int):
    pixels = photographs(seed).to(torch.uint8)
    images = Images(pixels, 0.0)
    signals = pixels / 127.5 - 1
    others = photographs(seed) / 127.5 - 1
    shown = reproduction.no_copies(torch.cat([others, changed(signals)]), images)
    assert len(shown) >= len(others) - 1
    assert all(any(torch.equal(one, other) for other in others) for one in shown)
