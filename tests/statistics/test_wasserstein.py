import math

import pytest
import torch
from einops import rearrange
from scipy.stats import wasserstein_distance

from coopkit.data import DataTable, load_images
from coopkit.errors import DataError
from coopkit.statistics.wasserstein import (
    draw_patches,
    enlarged,
    halved,
    halves,
    laplacian_pyramid,
    like_gaussian,
    sliced_wasserstein,
    swd,
    swd_scale,
    widened,
)


def photographs(crops: int = 40, size: int = 32) -> torch.Tensor:
    table = DataTable(
        source="brick", height=size, width=size, resize=96, crop="random", crops=crops
    )
    return load_images(table).signals(torch.arange(crops))


def directions(d: int, count: int, rng: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(d, count, generator=rng)
    return drawn / drawn.norm(dim=0)


def test_the_distance_of_shifted_sets_is_the_shift(rng: torch.Generator):
    points, shift = torch.randn(200, 5, generator=rng), torch.tensor([3.0, 0, -1, 0, 2])
    onto = directions(5, 64, rng)
    found = sliced_wasserstein(points, points[torch.randperm(200, generator=rng)] + shift, onto)
    assert float(found) == pytest.approx(float((shift @ onto).abs().mean()), rel=1e-5)


def test_on_a_line_it_is_the_wasserstein_distance(rng: torch.Generator):
    a, b = torch.randn(300, 1, generator=rng), 2 * torch.rand(300, 1, generator=rng)
    found = sliced_wasserstein(a, b, torch.ones(1, 1))
    assert float(found) == pytest.approx(wasserstein_distance(a[:, 0], b[:, 0]), rel=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (67, 81), (40, 128)])
def test_a_pyramid_holds_its_images(shape: tuple[int, int], rng: torch.Generator):
    images = torch.randn(2, 3, *shape, generator=rng)
    levels = laplacian_pyramid(images)
    assert len(levels) == (3 if min(shape) >= 64 else 2)
    assert 16 <= min(levels[-1].shape[-2:]) < 32
    whole = levels[-1]
    for level in reversed(levels[:-1]):
        whole = level + enlarged(whole, *level.shape[-2:])
    assert torch.allclose(whole, images, atol=1e-5)


def test_smooth_images_stay_when_they_are_enlarged():
    rows = torch.linspace(-1, 1, 33)[None, None, :, None].expand(1, 2, 33, 33)
    inside = (enlarged(widened(rows)[..., ::2, ::2], 33, 33) - rows)[..., 6:-6, 6:-6]
    assert inside.abs().max() < 1e-5


def test_the_window_of_a_point():
    point = torch.zeros(1, 2, 9, 9)
    point[0, 1, 4, 4] = 256
    around = widened(point)
    assert around[0, 0].eq(0).all()
    assert around[0, 1, 4].tolist() == [0, 0, 6, 24, 36, 24, 6, 0, 0]


def test_patches_are_those_of_the_images(rng: torch.Generator):
    images = torch.arange(3 * 2 * 9 * 8.0).reshape(3, 2, 9, 8)
    patches = rearrange(draw_patches(images, 500, rng), "n (c h w) -> n c h w", c=2, h=7)
    down = patches[:, :, 1:] - patches[:, :, :-1]
    across = patches[..., 1:] - patches[..., :-1]
    assert torch.allclose(down, 8 * across.mean() * torch.ones(1), atol=1e-3)
    assert len(patches.flatten(1).unique(dim=0)) == 3 * 3 * 2


def test_patches_are_normalised_over_the_set(rng: torch.Generator):
    images = torch.randn(5, 3, 12, 12, generator=rng) * torch.tensor([1.0, 5, 20])[:, None, None]
    patches = rearrange(draw_patches(images + 7, 100, rng), "n (c p) -> n c p", c=3)
    assert torch.allclose(patches.mean((0, 2)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(patches.var((0, 2), correction=0), torch.ones(3), atol=1e-4)


def test_real_images_are_between_floor_and_ceiling():
    data = photographs(80)
    scale = swd_scale(data)
    assert 0 < scale.floor < 0.7 * scale.ceiling
    assert abs(scale.relative(swd(data[::2], data))) < 0.3


def test_five_images_have_no_scale():
    assert swd_scale(photographs(5)).relative(0.2) is None


def test_the_scale_is_a_mean_over_ways_to_halve_the_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("coopkit.statistics.wasserstein.PATCHES", 256)
    data = photographs(8)
    readings = torch.tensor([halved(data, seed) for seed in (3, 4, 5, 6)]).double()
    scale = swd_scale(data, 3)
    assert (scale.floor, scale.ceiling) == pytest.approx(readings.mean(0).tolist())
    assert scale.spread == pytest.approx(float(readings.var(0).sum().sqrt()))


def test_both_ends_are_distances_from_the_same_half():
    """Of two images one is each half, and a Gaussian of one image is that image."""
    for seed in (0, 1):
        floor, ceiling = halved(photographs(2), seed)
        assert ceiling == floor > 0.1


def test_a_scale_from_other_images():
    """Whatever half of the others is taken, they are the same image: only the data are halved."""
    data, other = photographs(8), photographs(1).expand(4, -1, -1, -1)
    floor, ceiling = halved(data, 2, other)
    rest, one = halves(data, 2)
    assert len(rest) == len(one) == 4
    assert floor == swd(one, other[:2], 2)
    assert ceiling == swd(like_gaussian(one, 4, 2), other[:2], 2)
    with pytest.raises(DataError, match="one image has no halves"):
        swd_scale(data, others=other[:1])


def test_brightness_is_no_distance_but_blur_is():
    data = photographs()
    near = swd(data, data)
    assert swd(0.5 * data + 0.3, data) == pytest.approx(near, rel=1e-3)
    assert swd(widened(widened(data)), data) > 3 * near


def test_the_distance_of_flat_images_from_white_noise(rng: torch.Generator):
    flat = torch.tensor([-1.0, 1])[:, None, None, None].expand(-1, 1, 16, 16)
    noise = torch.randn(60, 1, 16, 16, generator=rng)
    # Both project to ±|N(0, 1)|: the one to a single value in each direction, the other to all.
    # The mean of ||z| − |z'|| is 2 E max − 2 E |z|.
    wanted = 4 / math.sqrt(math.pi) - 2 * math.sqrt(2 / math.pi)
    assert swd(flat, noise) == pytest.approx(wanted, abs=0.1)


def test_every_level_of_the_pyramid_counts_alike(rng: torch.Generator):
    """Both sets have the same grain, the one on ±1, the other on normal grey.

    The finer level, which no constant reaches, does not tell them apart. On the coarser one both
    are flat to a hundredth, and in a direction whose entries add up to z their distance is
    |z| E||Y| − 1| = |z| (2 (P(|Y| < 1) − 2 (φ(0) − φ(1))) + E|Y| − 1), Y ~ N(0, 1).
    """
    grain = 0.01 * torch.randn(200, 1, 32, 32, generator=rng)
    signs = torch.tensor([-1.0, 1]).repeat(100)[:, None, None, None]
    normal = torch.special.ndtri((torch.arange(200.0) + 0.5) / 200)[:, None, None, None]
    below, mean = math.erf(math.sqrt(0.5)), math.sqrt(2 / math.pi)
    peak = mean * (1 - math.exp(-0.5))
    coarse = mean * (2 * (below - peak) + mean - 1)
    assert swd(grain + signs, grain + normal) == pytest.approx(coarse / 2, abs=0.04)


def test_sets_of_different_sizes_are_compared():
    data = photographs()
    assert swd(data[:7], data) < 1


def test_the_distance_follows_the_seed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("coopkit.statistics.wasserstein.PATCHES", 256)
    monkeypatch.setattr("coopkit.statistics.wasserstein.DIRECTIONS", 64)
    data = photographs(8)
    assert swd(data[:4], data[4:], 1) == swd(data[:4], data[4:], 1)
    assert swd(data[:4], data[4:], 1) != swd(data[:4], data[4:], 2)
    assert swd_scale(data, 1) == swd_scale(data, 1)


def test_gaussian_images_have_the_mean_and_covariance_of_the_data(rng, assert_gaussian):
    data = torch.randn(6, 1, 2, 2, generator=rng) * torch.tensor([[1.0, 3], [0.5, 2]]) + 4
    drawn = like_gaussian(data, 40_000, seed=5)
    assert drawn.shape == (40_000, 1, 2, 2)
    flat = data.flatten(1).double()
    assert_gaussian(drawn.flatten(1), flat.mean(0), torch.cov(flat.T))


def test_gaussian_images_of_few_lie_in_their_span():
    data = torch.eye(3, 12).reshape(3, 1, 3, 4)
    assert (
        torch.linalg.matrix_rank(like_gaussian(data, 50).flatten(1) - data.flatten(1).mean(0)) == 2
    )


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((2, 1, 8, 8), (2, 3, 8, 8), "images of one shape only"),
        ((2, 1, 6, 8), (2, 1, 6, 8), "needs images of 7 x 7"),
        ((2, 1, 8, 8), (0, 1, 8, 8), "needs images"),
    ],
)
def test_sets_that_cannot_be_compared(a: tuple[int, ...], b: tuple[int, ...], message: str):
    with pytest.raises(DataError, match=message):
        swd(torch.zeros(a), torch.zeros(b))


def test_one_image_has_no_floor():
    with pytest.raises(DataError, match="one image has no halves"):
        swd_scale(torch.zeros(1, 1, 8, 8))
