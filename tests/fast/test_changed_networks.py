"""Prepared networks whose weights, numbers or layers have changed since."""

from collections.abc import Callable

import pytest
import torch
from fast.small import CHAINS, SHAPE, WAYS, texture
from torch import Tensor, nn

from coopkit.derivatives import gradient, pull
from coopkit.fast import Preparation
from coopkit.targets import frozen


def optimize(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(torch.randn(CHAINS, *SHAPE)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def fill(network: nn.Module, number: float) -> None:
    with torch.no_grad():
        for value in network.parameters():
            value.add_(number)


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "added to": lambda network: fill(network, 0.1),
    "loaded": lambda network: network.load_state_dict(
        {name: 1.2 * value for name, value in network.state_dict().items()}
    ),
    "loaded, statistics only": lambda network: network.load_state_dict(
        {
            name: 1.2 * value if "running" in name else value
            for name, value in network.state_dict().items()
        }
    ),
    "training": lambda network: network.train()(3 * torch.randn(CHAINS, *SHAPE)),
    "Adam": lambda network: optimize(network, torch.optim.Adam(network.parameters(), 0.01)),
    "fused Adam": lambda network: optimize(
        network, torch.optim.Adam(network.parameters(), 0.01, fused=True)
    ),
    "SGD": lambda network: optimize(network, torch.optim.SGD(network.parameters(), 1e-5)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_change_between_evaluations_are_seen(
    change, way, seed, take, stir, assert_near
):
    take(way)
    network, x = texture(stir, normalization="batch"), torch.randn(CHAINS, *SHAPE)
    fast, plain = Preparation()(network), frozen(network)
    before = fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    CHANGES[change](network)
    after = fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    expected = plain(x).detach(), gradient(plain, x), pull(plain, x, torch.sin)
    for old, new, right in zip(before, after, expected, strict=True):
        assert_near(new, right, 1e-3)
        assert torch.dist(old, right) > 1e-2 * right.norm()


def test_a_spectral_norm_that_changed_in_training_is_seen(seed, take, stir, assert_near):
    take("direct")
    network, x = texture(stir, spectral_norm=2.0), torch.randn(CHAINS, *SHAPE)
    fast, plain = Preparation()(network), frozen(network)
    before = fast.gradient(x)
    assert_near(before, gradient(plain, x), 1e-5)
    with torch.no_grad():
        network.features[0].parametrizations.weight.original[0].mul_(9)
    network.train()(x)
    assert_near(fast.gradient(x), gradient(plain, x), 1e-5)
    assert torch.dist(before, fast.gradient(x)) > 1e-2 * before.norm()


def test_weights_that_change_between_forward_and_backward_are_those_of_the_forward(
    seed, stir, assert_near
):
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE).requires_grad_()
    fast = Preparation()(network)
    expected = fast.pull(x.detach(), torch.ones_like)
    f = fast(x).sum()
    fill(network, 0.1)
    fast(x.detach())
    (slope,) = torch.autograd.grad(f, x)
    assert_near(slope, expected, 1e-5)


def test_a_network_prepared_again_is_evaluated_with_its_new_parameters(seed, stir, assert_near):
    network, x, preparation = texture(stir), torch.randn(CHAINS, *SHAPE), Preparation()
    preparation(network)(x)
    layer = network.features[0]
    layer.weight = nn.Parameter(2 * layer.weight.detach())
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)
    layer.weight.data.mul_(2)
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


class Faded(nn.Module):
    """A network with a number that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.share = nn.Conv2d(2, 3, 3), 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.share * self.layer(x).tanh()


def test_a_number_of_a_network_that_has_changed_is_seen(seed, assert_near):
    network, x, preparation = Faded(), torch.randn(CHAINS, *SHAPE), Preparation()
    preparation(network)(x)
    network.share = 0.5
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


class Mixed(nn.Module):
    """A network with numbers in a list and in a table."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.shares = nn.Conv2d(2, 3, 3), [1.0, {"offset": 0.0}]

    def forward(self, x: Tensor) -> Tensor:
        return self.shares[0] * self.layer(x).tanh() + self.shares[1]["offset"]


def test_numbers_in_lists_and_tables_that_have_changed_are_seen(seed, assert_near):
    network, x, preparation = Mixed(), torch.randn(CHAINS, *SHAPE), Preparation()
    preparation(network)(x)
    network.shares[0] = 3.0
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)
    network.shares[1]["offset"] = 0.5
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


def test_a_network_whose_numbers_always_change_is_run_as_it_is(seed):
    """It would be traced anew each time, and every plan kept."""
    network, x, preparation = Faded(), torch.randn(CHAINS, *SHAPE), Preparation()
    for number in range(1, 9):
        network.share = 1 / number
        torch.testing.assert_close(preparation(network)(x), frozen(network)(x).detach())
        assert sum(len(known) for known in preparation.plans[network].values()) <= 5
        assert ("again and again" in preparation.reason(network)) == (number > 5)


def test_a_layer_that_was_added_is_seen(seed, assert_near):
    network, x, preparation = (
        nn.Sequential(nn.Conv2d(2, 3, 3)),
        torch.randn(3, *SHAPE),
        Preparation(),
    )
    preparation(network)(x)
    network.append(nn.Tanh())
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)
