"""What is written over, and what is read instead, in networks that read a value more than once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from coopkit.fast import Preparation
from coopkit.fast.layout import channels_last, lay_out

SHAPE = (3, 12, 11)


class Reading(nn.Module):
    """A function of the output of a layer and of the input."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = nn.Conv2d(3, 4, 5, padding=2), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x), x)


FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "slopes of both signs": lambda h, x: F.leaky_relu(h, -0.3) * F.leaky_relu(h, 0.7).tanh(),
    "two slopes": lambda h, x: F.leaky_relu(h) * F.leaky_relu(h, 0.7).tanh(),
    "one after another": lambda h, x: F.leaky_relu(F.leaky_relu(h, 0.1), 0.3).sin(),
    "the input": lambda h, x: F.relu(x).sum(1) * x.tanh().sum(1) + h.relu().sum(1),
    "a view": lambda h, x: (h.flatten(1).tanh() * h.flatten(1).relu()).sum(1) + x.sum((1, 2, 3)),
    "a part": lambda h, x: h[:, :2].tanh() * h[:, 1:3],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_value_that_is_read_twice(name: str, seed: int, in_double: Any, assert_near: Any):
    network = Reading(FUNCTIONS[name])
    preparation, exact = Preparation(), in_double(network)
    fast, x = preparation(network), torch.randn(3, *SHAPE)
    before, double = x.clone(), x.double().requires_grad_()
    value = exact(double)
    (slope,) = torch.autograd.grad(value.sum(), double, retain_graph=True)
    (pulled,) = torch.autograd.grad(value, double, value.detach().sin())
    for _ in range(2):
        assert_near(fast(x), value.detach(), 1e-5)
        assert_near(fast.gradient(x), slope, 1e-5)
        assert_near(fast.pull(x, torch.sin), pulled, 1e-5)
    assert torch.equal(x, before)
    assert preparation.reason(network) == ""


class Step:
    """What marks a step of a plan."""

    def taken(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("device", "how"), [("cpu", channels_last), ("meta", torch.Tensor.contiguous)]
)
def test_group_norm_is_given_the_layout_that_its_device_takes(device: str, how: Any):
    """Off the CPU torch refuses images with their channels last."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    step = graph.call_function(Step().taken, (x,))
    normed = graph.call_function(torch.ops.aten.native_group_norm.default, (step,))
    output = graph.output(normed)
    for node in (x, step, normed):
        node.meta["val"] = torch.empty(2, 4, 5, 5, device=device)
    lay_out(graph, {x: 0, step: 1, normed: 1, output: 1})
    assert normed.args[0].target is how
