"""Networks as plugins may bring them, prepared, against their evaluation in float64."""

from collections.abc import Callable

import pytest
import torch
from fast.networks import CHAINS, PLUGINS, SHAPE, Network, conv, results_of
from torch import nn

from coopkit.fast import Preparation
from coopkit.targets import frozen

AS_THEY_ARE = {
    "norms": "in place",
    "circular": "in place",
    "recurrent": "",
    "torch's attention": "random",
    "group norm of a line": "",
    "group norm of a box": "",
    "written in place": "in place",
}
"""Networks that need not be prepared, and what the reason then says."""


KINKED = ("residual", "branches", "skips", "linear at the top", "written in place")
"""Networks of which a single unit, by rounding, may be on the other side of 0."""


@pytest.mark.parametrize("way", ["direct", "phases", "toom-cook 3"])
@pytest.mark.parametrize("name", PLUGINS)
def test_a_network_of_a_plugin_is_what_it_was(name, way, seed, take, in_double, assert_near):
    take(way)
    network = PLUGINS[name]()
    network(torch.randn(16, *SHAPE))
    preparation, exact = Preparation(), in_double(network)
    fast = preparation(network)
    bound = 1e-4 if name in KINKED else 2e-5
    for by_autograd in (False, False, True):
        x = torch.randn(CHAINS, *SHAPE)
        along = torch.randn(frozen(network)(x).shape)
        results = results_of(fast, x, along, by_autograd)
        expected = results_of(exact, x.double(), along.double())
        for result, right in zip(results, expected, strict=True):
            assert_near(result, right, bound)
    if name not in AS_THEY_ARE:
        assert preparation.reason(network) == ""
    elif preparation.reason(network):
        assert AS_THEY_ARE[name] in preparation.reason(network)


@pytest.mark.parametrize("way", ["phases", "toom-cook 2", "toom-cook 3"])
def test_networks_of_plugins_take_the_ways_that_are_forced_here(way, seed, take):
    take(way)
    preparation = Preparation()
    preparation(PLUGINS["branches"]()).gradient(torch.randn(CHAINS, *SHAPE))
    assert way in preparation.choices.used.values()


LINEAR: dict[str, Callable[[], nn.Module]] = {
    "a layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(714, 1)),
    "a convolution": conv,
    "an identity": nn.Identity,
    "a sum of both": lambda: Network(
        lambda layers, x: torch.cat([layers["a"](x), layers["b"](x)], 1), a=conv(), b=conv()
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_gradient_that_depends_on_the_weights_alone(name, seed, in_double, assert_near):
    network, x = LINEAR[name](), torch.randn(CHAINS, *SHAPE)
    fast, exact = Preparation()(network), in_double(network)
    along = torch.randn(exact(x.double()).shape)
    expected = results_of(exact, x.double(), along.double())
    for result, right in zip(results_of(fast, x, along), expected, strict=True):
        assert_near(result, right, 1e-5)


def test_a_value_that_depends_on_the_weights_alone(seed):
    network = Network(lambda layers, x: layers["a"].bias.expand(len(x), 4) * 2, a=conv())
    x = torch.randn(CHAINS, *SHAPE)
    torch.testing.assert_close(Preparation()(network)(x), frozen(network)(x))
