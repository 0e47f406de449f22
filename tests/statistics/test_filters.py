import pytest
import torch

from coopkit.statistics.filters import HIGHEST, blur, even_contrast, luminance, oriented


def mirrored(filters: torch.Tensor) -> torch.Tensor:
    """Return filters at the negative of each frequency."""
    return filters.flip(-2, -1).roll((1, 1), (-2, -1))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 128), (65, 81)])
@pytest.mark.parametrize("orientations", [3, 4, 6])
def test_filters_tile_the_plane(height: int, width: int, orientations: int):
    filters = oriented(height, width, 4, orientations)
    assert filters.shape == (4, orientations, height, width)
    total = (filters.square() + mirrored(filters).square()).sum((0, 1))
    down, across = 2 * torch.fft.fftfreq(height)[:, None], 2 * torch.fft.fftfreq(width)[None]
    radius = torch.hypot(down, across)
    own = (radius > HIGHEST / 8) & (radius < HIGHEST)
    assert own.sum() > 100
    assert torch.allclose(total[own], torch.ones(1), atol=1e-5)
    assert total.max() < 1 + 1e-5
    assert total[0, 0] < 1e-12


def test_filters_are_of_half_the_plane():
    filters = oriented(64, 64, 3, 4)
    inside = torch.fft.fftfreq(64).abs() < 0.5
    both = (filters * mirrored(filters))[..., inside, :][..., inside]
    assert both.abs().max() < 1e-6


@pytest.mark.parametrize("scale", [0, 1, 2])
@pytest.mark.parametrize("orientation", [0, 1, 2, 3])
def test_a_wave_goes_to_the_filter_of_its_frequency_and_direction(scale: int, orientation: int):
    size = 128
    frequency = HIGHEST / 2 ** (scale + 1)
    angle = torch.tensor(torch.pi * orientation / 4)
    down, across = (torch.round(frequency * part * size) for part in (angle.sin(), angle.cos()))
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.cos(2 * torch.pi * (down * rows + across * columns) / size)
    passed = torch.fft.ifft2(torch.fft.fft2(wave) * oriented(size, size, 4, 4)).abs()
    energy = passed.square().mean((-2, -1))
    assert divmod(int(energy.argmax()), 4) == (scale, orientation)
    assert passed[scale, orientation].std() < 1e-3 * passed[scale, orientation].mean()


def test_a_constant_stays_under_the_window():
    assert torch.allclose(blur(torch.full((2, 40, 50), 0.3), 5.0), torch.tensor(0.3))


def test_the_window_has_its_width():
    point = torch.zeros(1, 101, 101)
    point[0, 50, 50] = 1
    offsets = torch.arange(101.0) - 50
    for margin in (blur(point, 6.0)[0].sum(0), blur(point, 6.0)[0].sum(1)):
        assert float(margin.sum()) == pytest.approx(1, abs=1e-4)
        assert float((margin * offsets**2).sum()) == pytest.approx(36, rel=0.03)


def test_local_mean_and_contrast_are_even(rng: torch.Generator):
    light = torch.linspace(0.4, 1, 200)
    images = light * (torch.randn(1, 200, 200, generator=rng) + 5)
    even = even_contrast(images)
    left, right = even[..., 20:60], even[..., 140:180]
    assert abs(float(left.mean() - right.mean())) < 0.05
    assert float(left.std() / right.std()) == pytest.approx(1, abs=0.15)


def test_luminance_of_colours():
    colours = torch.eye(3)[:, :, None, None]
    assert luminance(colours).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    grey = torch.full((1, 1, 2, 2), 0.3)
    assert luminance(grey).equal(grey[:, 0])
