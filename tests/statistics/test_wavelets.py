"""The texture distance: what it must not see, what it must, and the scale that it is held to."""

import math

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from skimage.transform import rotate
from torch import Tensor

from coopkit.data import DataTable, load_images
from coopkit.errors import DataError
from coopkit.statistics.filters import oriented
from coopkit.statistics.noise import phase_noise
from coopkit.statistics.wavelets import (
    WEIGHTS,
    correlations,
    image_statistics,
    modulations,
    moments,
    root_mean_square,
    texture_distance,
    texture_scale,
    texture_statistics,
)

UNSEEN = 0.01
"""A distance that counts as none; the floor of a photograph is 0.05 to 0.15."""

PHOTOGRAPHS = ("brick", "grass", "gravel")


def photograph(name: str, size: int = 256, color: str = "as is") -> Tensor:
    table = DataTable(source=name, height=size, width=size, color=color)
    images = load_images(table)
    return images.signals(torch.arange(1))


def periodic_stripes(size: int, rng: torch.Generator) -> Tensor:
    """Return noise that is smooth along the rows, and goes on beyond its edges."""
    white = torch.randn(1, 1, size, size, generator=rng)
    down, across = torch.fft.fftfreq(size)[:, None], torch.fft.fftfreq(size)[None]
    window = torch.exp(-((down / 0.3) ** 2) - (across / 0.08) ** 2)
    stripes = torch.fft.ifft2(torch.fft.fft2(white) * window).real
    return stripes / stripes.abs().max()


def distance(a: Tensor, b: Tensor) -> float:
    return float(texture_distance(a, b))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_floor_of_a_photograph_and_its_crops_are_below_the_ceiling(name: str):
    real = photograph(name)
    scale = texture_scale(real)
    assert 0.02 < scale.floor < 0.2
    assert scale.ceiling > 1.2 * scale.floor
    assert distance(real[..., 20:180, 60:220], real) < scale.ceiling


def test_nothing_is_nearer_than_itself():
    real = photograph("brick", 96)
    assert distance(real, real) == 0


@pytest.mark.parametrize(("gain", "shift"), [(0.25, 0.0), (1.0, 0.3), (0.5, -0.4)])
def test_brightness_and_contrast_are_not_seen(gain: float, shift: float):
    real = photograph("gravel", 128)
    assert distance(gain * real + shift, real) < 1e-4


def test_uneven_light_is_hardly_seen():
    real = photograph("gravel")
    light = torch.linspace(0.3, 1, 256)[None, None, :, None]
    assert distance((real + 1) * light - 1, real) < 0.03


def test_a_shift_is_not_seen(rng: torch.Generator):
    stripes = periodic_stripes(512, rng)
    shifted = stripes.roll((57, 101), (-2, -1))
    assert distance(shifted, stripes) < 2 * UNSEEN


def test_a_quarter_turn_of_an_oriented_texture_is_seen(rng: torch.Generator):
    stripes = periodic_stripes(256, rng)
    assert distance(stripes.mT, stripes) > 12 * UNSEEN


def test_a_small_turn_is_seen(rng: torch.Generator):
    stripes = periodic_stripes(256, rng)
    turned = rotate(stripes[0, 0].numpy(), 45, mode="wrap")
    assert distance(torch.from_numpy(turned).float()[None, None], stripes) > 10 * UNSEEN


def test_the_negative_of_a_photograph_is_seen():
    real = photograph("gravel")
    assert distance(-real, real) > 0.05


def test_statistics_are_comparable_between_sizes(rng: torch.Generator):
    stripes = periodic_stripes(512, rng)
    part, other = stripes[..., :320, :320], periodic_stripes(512, rng)[..., :256, :400]
    assert distance(part, stripes) < distance(other.mT, stripes) / 5
    assert texture_statistics(part).shape == texture_statistics(other).shape


def test_statistics_of_a_batch_are_those_of_its_images():
    images = torch.cat([photograph("brick", 64), photograph("grass", 64)])
    rows = torch.cat([image_statistics(image[None]) for image in images])
    assert texture_statistics(images).equal(rows)
    assert not rows[0].equal(rows[1])


def test_grey_in_colour_is_grey():
    real = photograph("brick", 80)
    assert distance(real.expand(-1, 3, -1, -1), real) < 1e-4


def test_every_group_counts_alike(monkeypatch: pytest.MonkeyPatch):
    images = torch.cat([photograph("brick", 128), photograph("gravel", 128)])
    whole = float(root_mean_square(*texture_statistics(images)[:, None]))
    shares = []
    for name in WEIGHTS:
        alone = dict.fromkeys(WEIGHTS, 0.0) | {name: WEIGHTS[name]}
        monkeypatch.setattr("coopkit.statistics.wavelets.WEIGHTS", alone)
        shares.append(float(root_mean_square(*texture_statistics(images)[:, None])) ** 2)
    assert sum(shares) == pytest.approx(whole**2, rel=1e-3)
    assert max(shares) < 0.6 * sum(shares)
    assert min(shares) > 0.005 * sum(shares)


def test_a_modulation_is_found_in_the_band_of_its_frequency():
    """Magnitudes of the finest band are a wave at the centre of the next: 14 cycles in 80 pixels.

    The filter's response there is a, a / √2³ at 45° on either side, a² = 16/20; half of the wave's
    power passes, for the filter is of half the plane.
    """
    filters = oriented(80, 80, 4, 4)
    wave = torch.cos(2 * torch.pi * 14 * torch.arange(80.0) / 80).expand(80, 80)
    magnitudes = torch.full((4, 4, 80, 80), 3.0)
    magnitudes[0, 2] += 0.5 * wave
    found = modulations(magnitudes, filters)
    pairs = rearrange(found, "(pair fine coarse) -> pair fine coarse", fine=4, coarse=4)
    passed = 0.8**0.5 / 2 * torch.tensor([1, 2**-1.5, 0, 2**-1.5])
    wanted = torch.zeros(6, 4, 4)
    wanted[0, 2] = passed / wave[24:-24, 24:-24].std()
    assert torch.allclose(pairs, wanted, atol=1e-3)


def test_correlations_across_scales_are_of_each_band_with_the_next(rng: torch.Generator):
    magnitudes = torch.randn(4, 4, 64, 64, generator=rng).abs()
    magnitudes[2, 3] = magnitudes[1, 0] * magnitudes[3, 2]
    inside = magnitudes[..., 24:-24, 24:-24].flatten(2)
    wanted = [torch.corrcoef(inside[j : j + 2].flatten(0, 1))[:4, 4:] for j in range(3)]
    assert wanted[1][0, 3] > 0.4
    found = correlations(magnitudes)["across scales"]
    assert torch.allclose(found, torch.stack(wanted).flatten(), atol=0.01)


def test_edges_do_not_count():
    """A wave is cut off and mirrored at its edges; within them its magnitude is one number."""
    wave = torch.cos(0.7 * torch.pi * torch.arange(80.0)).expand(80, 80)
    padded = F.pad(wave[None, None], (16,) * 4, mode="reflect")[0, 0]
    filters = oriented(112, 112, 4, 4)
    magnitudes = torch.fft.ifft2(torch.fft.fft2(padded) * filters).abs()
    within = magnitudes[0, 0, 24:-24, 24:-24]
    assert within.std() < 0.02 * within.mean()
    spread = magnitudes[0, 0]
    assert spread.std() > 0.06 * spread.mean()
    wanted = (within.std() / within.mean()).log()
    assert float(moments(magnitudes)["variation"][0]) == pytest.approx(float(wanted), abs=0.01)


def test_a_flat_image_has_finite_statistics():
    flat = torch.zeros(1, 1, 64, 64)
    assert texture_statistics(flat).isfinite().all()


def test_progress_counts_the_images():
    done: list[int] = []
    real = photograph("brick", 64)
    texture_distance(real.expand(3, -1, -1, -1), real, done.append)
    assert done == [1, 2, 3]


def test_the_scale_is_that_of_halves_and_of_noise():
    real = photograph("brick", 140)[..., :130, :]
    across = distance(real[..., :70], real[..., 70:])
    down = distance(real[..., :65, :], real[..., 65:, :])
    noise = [distance(phase_noise(real, seed), real) for seed in (3, 4)]
    scale = texture_scale(real, 3, draws=2)
    assert scale.floor == pytest.approx((across + down) / 2, rel=1e-4)
    assert scale.ceiling == pytest.approx(sum(noise) / 2, rel=1e-4)
    both = abs(across - down), abs(noise[0] - noise[1])
    assert scale.spread == pytest.approx(math.hypot(*both), rel=1e-2)


def test_the_ceiling_hardly_follows_the_seed():
    """Of 16 draws its standard error is a quarter of a draw's deviation."""
    real = photograph("brick", 128)
    drawn = [texture_scale(real, seed).ceiling for seed in (0, 100, 200)]
    draws = [distance(phase_noise(real, seed), real) for seed in range(16)]
    assert max(drawn) - min(drawn) < torch.tensor(draws).std()


def test_a_photograph_of_two_textures_has_no_scale():
    """Left and right are as far apart as textures are, top and bottom are not."""
    brick, grass = photograph("brick", 128), photograph("grass", 128)
    both = torch.cat([brick[..., :64], grass[..., :64]], -1)
    assert texture_scale(both).relative(0.2) is None
    assert texture_scale(photograph("brick", 128)).relative(0.2) is not None


def test_the_scale_says_how_far_it_is():
    done: list[int] = []
    texture_scale(photograph("brick", 128), draws=2, progress=done.append)
    assert done == [1, 2]


def test_the_scale_follows_the_seed():
    real = photograph("grass", 128)
    assert texture_scale(real, 1, draws=2) == texture_scale(real, 1, draws=2)
    assert texture_scale(real, 1, draws=2) != texture_scale(real, 3, draws=2)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 64, 63), "64 x 64 pixels or more, not 64 x 63"),
        ((1, 2, 64, 64), r"not \(1, 2, 64, 64\)"),
        ((1, 64, 64), r"not \(1, 64, 64\)"),
    ],
)
def test_images_that_are_too_small_or_none(shape: tuple[int, ...], message: str):
    with pytest.raises(DataError, match=message):
        texture_statistics(torch.zeros(shape))


def test_an_image_whose_halves_are_too_small():
    with pytest.raises(DataError, match="not 127 x 63"):
        texture_scale(torch.zeros(1, 1, 127, 127))
