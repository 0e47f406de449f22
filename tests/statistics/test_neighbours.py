import pytest
import torch

from coopkit.errors import DataError
from coopkit.statistics.neighbours import diversity, nearest, nearest_others


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 3)


def test_the_nearest_image_is_found():
    found = nearest(images(0.0, 2.2, 9.0), images(5.0, 2.0, 0.0, 1.0))
    assert found.index.tolist() == [2, 1, 0]
    assert found.distance.tolist() == pytest.approx([0, 0.2, 4])


def test_the_distance_is_the_root_of_the_mean_square():
    data = torch.zeros(1, 1, 1, 4)
    found = nearest(torch.tensor([3.0, 0, 0, 1]).reshape(1, 1, 1, 4), data)
    assert float(found.distance) == pytest.approx((10 / 4) ** 0.5)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_do_not_change_the_nearest(chunk: int, rng: torch.Generator):
    drawn, data = torch.randn(5, 3, 4, 4, generator=rng), torch.randn(40, 3, 4, 4, generator=rng)
    table = (drawn[:, None] - data).square().mean((2, 3, 4)).sqrt()
    found = nearest(drawn, data, chunk)
    assert found.index.equal(table.argmin(1))
    assert torch.allclose(found.distance, table.min(1).values, atol=1e-6)


def test_a_copy_is_at_distance_0(rng: torch.Generator):
    data = 100 + torch.randn(30, 3, 8, 8, generator=rng)
    found = nearest(data[[4, 17]], data)
    assert found.index.tolist() == [4, 17]
    assert found.distance.tolist() == [0, 0]


def test_an_image_is_not_its_own_neighbour():
    found = nearest_others(images(0.0, 1.0, 5.0, 5.0))
    assert found.index.tolist() == [1, 0, 3, 2]
    assert found.distance.tolist() == pytest.approx([1, 1, 0, 0])


def test_diversity_is_that_of_the_data_at_1():
    assert diversity(images(0.0, 3.0, 6.0), images(6.0, 3.0, 0.0)) == pytest.approx(1)
    assert diversity(images(1.0, 1.0), images(0.0, 1.0)) == 0
    assert diversity(images(0.0, 1.0), images(0.0, 4.0)) == pytest.approx(0.25)


def test_what_cannot_be_compared():
    with pytest.raises(DataError, match="one shape only"):
        nearest(images(1.0), images(1.0)[..., :2])
    with pytest.raises(DataError, match="one shape only"):
        nearest(images(1.0), images(1.0)[:0])
    with pytest.raises(DataError, match="no other that could be near it"):
        nearest_others(images(1.0))
    with pytest.raises(DataError, match="two images"):
        diversity(images(1.0), images(1.0, 2.0))
