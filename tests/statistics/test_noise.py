import pytest
import torch
from torch import Tensor, fft

from coopkit.data import DataTable, load_images
from coopkit.statistics.noise import periodic, phase_noise, random_phase, same_values


@pytest.fixture
def image() -> Tensor:
    return load_images(DataTable(source="coffee", height=96, width=120)).signals(torch.arange(1))


def test_random_phase_keeps_every_spectrum(image: Tensor):
    image = image.double()
    noise = random_phase(image, 3)
    assert noise.isreal().all()
    before, after = fft.fft2(image), fft.fft2(noise)
    assert torch.allclose(before.abs(), after.abs(), atol=1e-8)
    across = [spectra[:, 0] * spectra[:, 1].conj() for spectra in (before, after)]
    assert torch.allclose(*across, atol=1e-6)
    assert torch.allclose(noise.mean((-2, -1)), image.mean((-2, -1)))
    assert torch.corrcoef(torch.stack([noise.flatten(), image.flatten()]))[0, 1].abs() < 0.5


def test_phases_are_those_of_noise(image: Tensor):
    noises = torch.cat([random_phase(image, seed) for seed in range(200)])
    turns = fft.fft2(noises[:, 0])[:, 3, 5] / fft.fft2(image[:, 0])[:, 3, 5]
    assert turns.mean().abs() < 0.25


def test_noise_has_the_values_of_the_image(image: Tensor):
    noise = phase_noise(image, 0)
    assert noise.shape == image.shape
    assert noise.flatten(2).sort().values.equal(image.flatten(2).sort().values)


def test_noise_has_about_the_spectrum_of_the_image():
    image = load_images(DataTable(source="grass", height=128, width=128)).signals(torch.arange(1))
    wanted, found = (fft.fft2(x)[0, 0].abs() for x in (periodic(image), phase_noise(image, 0)))
    wanted, found = wanted.flatten()[1:], found.flatten()[1:]
    together = torch.corrcoef(torch.stack([wanted, found]))[0, 1]
    assert together > 0.98


def test_edges_that_do_not_meet_leave_no_stripes(rng: torch.Generator):
    ramp = torch.linspace(-1, 1, 128)[:, None] + 0.3 * torch.randn(1, 1, 128, 128, generator=rng)
    power = fft.fft2(phase_noise(ramp, 0))[0, 0].abs().square()
    assert power[1:8, 0].mean() < 30 * power[1:8, 1:8].mean()
    assert fft.fft2(ramp)[0, 0].abs().square()[1:8, 0].mean() > 300 * power[1:8, 1:8].mean()


def test_values_stand_in_the_order_of_the_noise():
    noise = torch.tensor([[[0.5, -2.0], [9.0, 1.0]]])
    image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert same_values(noise, image).tolist() == [[[2, 1], [4, 3]]]


def test_noise_follows_the_seed(image: Tensor):
    assert phase_noise(image, 1).equal(phase_noise(image, 1))
    assert not phase_noise(image, 1).equal(phase_noise(image, 2))


def test_edges_of_the_periodic_part_meet():
    ramp = torch.linspace(-1, 1, 64)[None, None, :, None] + torch.linspace(0, 1, 48)
    flat = periodic(ramp.double())
    assert (flat[..., 0, :] - flat[..., -1, :]).abs().max() < 0.2
    assert (flat[..., 0] - flat[..., -1]).abs().max() < 0.2
    assert torch.allclose(flat.mean(), ramp.double().mean())


def test_what_is_periodic_already_stays():
    rows = torch.arange(64, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * 4 * rows / 64).expand(1, 1, 64, 64)
    inside = (periodic(wave) - wave)[..., 8:-8, 8:-8]
    assert inside.abs().max() < 0.05
