import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from coopkit.errors import DataError
from coopkit.statistics.networks import FeatureNetwork, load_network


class Means(nn.Module):
    """The mean of each channel."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


@pytest.fixture(params=["network.pt", "network.pt2"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / request.param
    example = torch.zeros(2, 3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if place.suffix == ".pt2":
            batch = torch.export.Dim("batch")
            program = torch.export.export(Means(), (example,), dynamic_shapes=({0: batch},))
            torch.export.save(program, place)
        else:
            torch.jit.trace(Means(), example).save(str(place))
    return place


def test_features_come_from_a_file(path: Path, rng: torch.Generator):
    images = torch.rand(5, 3, 16, 16, generator=rng) * 2 - 1
    found = load_network(path, size=16).features(images, chunk=3)
    assert found.dtype == torch.float64
    assert torch.allclose(found.float(), images.mean((2, 3)), atol=1e-6)


def test_grey_images_are_resized_and_mapped():
    seen = []

    def forward(images: Tensor) -> Tensor:
        seen.append(images)
        return images.flatten(1)[:, :4]

    network = FeatureNetwork(forward, size=20, values="[0, 1]")
    images = torch.full((2, 1, 8, 10), -0.5)
    assert network.features(images).shape == (2, 4)
    assert seen[0].shape == (2, 3, 20, 20)
    assert torch.allclose(seen[0], torch.tensor(0.25))
    FeatureNetwork(forward, size=20).features(images)
    assert torch.allclose(seen[1], torch.tensor(-0.5))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda x: x, r"must give \(2, d\) features, not \(2, 3, 8, 8\)"),
        (lambda x: x.mean((2, 3))[:1], r"not \(1, 3\)"),
        (lambda x: (x, x), "not tuple"),
        (lambda x: x.mean((2, 3)) / 0, "not finite"),
        (lambda x: x @ torch.ones(3, 3), r"cannot take images \(2, 3, 8, 8\): mat|cannot take"),
    ],
)
def test_networks_that_give_no_features(given, message: str):
    with pytest.raises(DataError, match=message):
        FeatureNetwork(given, size=8).features(torch.ones(2, 3, 8, 8))


def test_a_file_that_is_missing(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.pt is no file"):
        load_network(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["network.pt", "network.pt2"])
def test_a_file_that_holds_no_network(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="holds no network that"):
        load_network(tmp_path / name)


def test_of_a_torchscript_error_the_cause_is_told(tmp_path: Path):
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(grey, torch.zeros(2, 1, 8, 8)).save(str(tmp_path / "grey.pt"))
    network = load_network(tmp_path / "grey.pt", size=8)
    with pytest.raises(DataError, match=r"cannot take images \(2, 3, 8, 8\): .*channels"):
        network.features(torch.zeros(2, 3, 8, 8))
