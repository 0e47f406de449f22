"""What a plan is made for, and why there is none."""

from typing import Any

import torch
from torch import Tensor, nn

from coopkit.fast import Preparation
from coopkit.fast.prepared import ANY, AsItIs
from coopkit.targets import frozen


def test_numbers_that_a_layer_holds_as_a_pair_are_seen(seed: int, assert_near: Any):
    network, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh()), torch.randn(3, 3, 9, 8)
    preparation = Preparation()
    preparation(network)(x)
    network[0].stride, network[0].padding = (2, 1), (0, 1)
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


def plans_of(preparation: Preparation, network: nn.Module) -> list[Any]:
    return [plan for known in preparation.plans[network].values() for plan in known.values()]


def test_every_reason_is_given_once():
    network, preparation = nn.Tanh(), Preparation()
    given = {"a": "two", "b": "one", "c": "two"}
    preparation.plans[network] = {
        (shape,): {ANY: AsItIs(reason)} for shape, reason in given.items()
    }
    assert preparation.reason(network) == "one; two"


class InFloat32(nn.Module):
    """A network that writes in place, and switches mixed precision off for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.layer(x).tanh_()


def test_what_writes_in_place_is_not_cast_anew(seed: int, assert_near: Any):
    network, x, preparation = InFloat32(), torch.randn(5, 6), Preparation()
    with torch.autocast("cpu", torch.bfloat16):
        result, expected = preparation(network)(x), frozen(network)(x)
    assert result.dtype == torch.float32
    assert_near(result, expected, 1e-5)
    assert preparation.reason(network) == ""


def test_mixed_precision_has_plans_of_its_own(seed: int):
    network, x, preparation = nn.Linear(6, 4), torch.randn(5, 6), Preparation()
    assert preparation(network)(x).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert preparation(network)(x).dtype == torch.bfloat16


def test_a_layer_in_the_place_of_another_is_seen(seed: int, assert_near: Any):
    network, x = nn.Sequential(nn.Linear(6, 4), nn.Tanh()), torch.randn(5, 6)
    preparation = Preparation()
    preparation(network)(x)
    network[1] = nn.Sigmoid()
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


def test_weights_of_another_shape_are_seen(seed: int, assert_near: Any):
    network, x = nn.Sequential(nn.Linear(6, 4, bias=False), nn.Flatten()), torch.randn(5, 2, 6)
    preparation = Preparation()
    preparation(network)(x)
    network[0].weight = nn.Parameter(torch.randn(3, 6))
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


def test_a_network_that_learns_in_between_keeps_its_plans(seed: int):
    network, x, preparation = nn.Linear(6, 4), torch.randn(5, 6), Preparation()
    preparation(network.eval())(x)
    preparation(network.train())(x)
    assert len(plans_of(preparation, network)) == 1


def test_a_gradient_that_no_input_changes_is_left_to_the_network(seed: int, assert_near: Any):
    network, x, preparation = nn.Linear(6, 1), torch.randn(5, 6), Preparation()
    found = preparation(network).gradient(x)
    assert torch.equal(found, network.weight.detach().expand(5, 6))
    assert preparation.reason(network) == "its result, or its gradient, is the same for every input"
    found.zero_()
    assert network.weight.any()


def test_what_the_engine_casts_has_the_tolerance_of_half_precision(seed: int):
    """Accelerate casts within the network's own forward pass, where no caller sees it."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    network, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh()), torch.randn(3, 3, 9, 8)
    preparations = [Preparation(), Preparation()]
    preparations[0](network)(x)
    Accelerator(mixed_precision="bf16", cpu=True).prepare_model(network)
    preparations[1](network)(x)
    AcceleratorState._reset_state()
    halves = [plans_of(each, network)[0].half for each in preparations]
    assert halves == [False, True]
    prepared = preparations[1](network)
    right = prepared.plain
    for share, agrees in ((1.1, True), (1.5, False)):
        prepared.plain = lambda y, share=share: share * right(y)
        plan = plans_of(preparations[1], network)[0]
        assert (prepared.disagreement("value", plan, x) == "") == agrees
