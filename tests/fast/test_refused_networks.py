"""Networks that cannot be prepared, and ways that are wrong: both are found out."""

import gc
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fast.networks import CHAINS, SHAPE, Network, conv, results_of
from torch import Tensor, nn

from coopkit.derivatives import gradient, pull
from coopkit.fast import Preparation, convolutions, polyphase
from coopkit.targets import frozen


class Counting(nn.Module):
    """A network that counts in a buffer how often it is evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return x.sin() * self.count


def depending_on_a_sum(layers: Any, x: Tensor) -> Tensor:
    x = layers["stem"](x)
    return x.sin() if x.sum() > 0 else x.cos()


def writing(layers: Any, x: Tensor) -> Tensor:
    """Write into its input, which must not be a leaf of a graph."""
    return layers["stem"](x.mul_(2)).tanh()


def width(layers: Any) -> int:
    return 1 + int(layers["a"].bias.abs().sum().item())


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a branch": (lambda: Network(depending_on_a_sum, stem=conv()), "DataDependent"),
    "an item": (
        lambda: Network(lambda layers, x: x.sin() * int(x.abs().sum().item())),
        "DataDependent",
    ),
    "an item of its weights": (
        lambda: Network(lambda layers, x: sum(x.sin() for _ in range(width(layers))), a=conv()),
        "DataDependent",
    ),
    "a buffer": (Counting, "in place"),
    "a tensor of its own": (
        lambda: Network(lambda layers, x: layers["a"](x).sin() * torch.tensor([0.5]), a=conv()),
        "of its own",
    ),
}


@pytest.mark.parametrize("purpose", range(3))
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_prepared_is_run_as_it_is(name, purpose, seed):
    network, x = REFUSED[name][0](), torch.randn(CHAINS, *SHAPE)
    copy, preparation = deepcopy(network), Preparation()
    fast, plain = preparation(network), frozen(copy)
    evaluations = [
        (lambda: fast(x), lambda: plain(x)),
        (lambda: fast.gradient(x), lambda: gradient(plain, x)),
        (lambda: fast.pull(x, torch.sin), lambda: pull(plain, x, torch.sin)),
    ]
    evaluate, expected = evaluations[purpose]
    for _ in range(2):
        assert torch.equal(evaluate(), expected())
    assert REFUSED[name][1] in preparation.reason(network)
    assert all(
        torch.equal(value, copy.state_dict()[key]) for key, value in network.state_dict().items()
    )


def test_a_number_that_is_read_from_a_tensor_is_not_kept(seed, assert_near):
    network = Network(
        lambda layers, x: x.sin() * layers["a"].bias.norm().item() * x.norm().item(), a=conv()
    )
    fast, plain = Preparation()(network), frozen(network)
    for _ in range(2):
        x, along = torch.randn(2, CHAINS, *SHAPE)
        expected = results_of(plain, x, along)
        for result, right in zip(results_of(fast, x, along), expected, strict=True):
            assert_near(result, right, 1e-5)
        with torch.no_grad():
            network.layers["a"].bias.mul_(3)


@pytest.mark.parametrize("purpose", range(3))
def test_random_numbers_of_a_network_are_drawn_anew_each_time(purpose, seed):
    network = Network(lambda layers, x: F.dropout(layers["a"](x).sin(), 0.5, True), a=conv())
    x, preparation = torch.randn(CHAINS, *SHAPE), Preparation()
    fast, plain = preparation(network), frozen(network)
    pairs = [
        (lambda: fast(x), lambda: plain(x)),
        (lambda: fast.gradient(x), lambda: gradient(plain, x)),
        (lambda: fast.pull(x, torch.sin), lambda: pull(plain, x, torch.sin)),
    ]
    drawn = []
    for evaluate in pairs[purpose]:
        torch.manual_seed(seed)
        drawn.append([evaluate() for _ in range(3)])
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert "random" in preparation.reason(network)


def test_a_network_that_writes_into_its_input_still_does_so_once(seed):
    network, x = Network(writing, stem=conv()), torch.randn(CHAINS, *SHAPE)
    preparation, (one, other) = Preparation(), (x.clone(), x.clone())
    with torch.no_grad():
        assert torch.equal(preparation(network)(one), frozen(network)(other))
    assert torch.equal(one, other)
    assert torch.equal(one, 2 * x)
    assert "in place" in preparation.reason(network)


def test_a_network_that_writes_into_its_input_does_so_once_in_a_graph(seed):
    network, x = Network(writing, stem=conv()), torch.randn(CHAINS, *SHAPE).requires_grad_()
    preparation = Preparation()
    slopes = []
    for freeze in (preparation, frozen):
        (slope,) = torch.autograd.grad(freeze(network)(x + 0).sum(), x)
        slopes.append(slope)
    assert torch.equal(*slopes)


def test_errors_of_the_network_are_its_own(seed):
    fast = Preparation()(conv())
    with pytest.raises(RuntimeError, match="expected input"):
        fast(torch.randn(CHAINS, 5, 9, 9))


@pytest.mark.parametrize("purpose", ["value", "gradient", "pull"])
def test_a_wrong_way_is_found_out_at_its_first_use(purpose, seed, monkeypatch):
    right = convolutions.Direct.apply
    monkeypatch.setattr(
        convolutions.Direct, "apply", lambda way, x, derived: 1.1 * right(way, x, derived)
    )
    check_wrong(purpose)


@pytest.mark.parametrize("purpose", ["gradient", "pull"])
def test_a_wrong_spreading_is_found_out_at_its_first_use(purpose, seed, monkeypatch):
    right = convolutions.DirectSpreading.apply
    monkeypatch.setattr(
        convolutions.DirectSpreading, "apply", lambda way, x, derived: 1.1 * right(way, x, derived)
    )
    check_wrong(purpose)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_a_way_that_is_quite_wrong_is_found_out(wrong, seed, take, monkeypatch):
    take("toom-cook 2")
    right = polyphase.Polyphase.apply
    monkeypatch.setattr(
        polyphase.Polyphase, "apply", lambda way, x, derived: wrong * right(way, x, derived)
    )
    check_wrong("value")


def check_wrong(purpose: str) -> None:
    network = nn.Sequential(conv(), nn.Tanh(), conv(4, 3), nn.Tanh())
    x, preparation = torch.randn(CHAINS, *SHAPE), Preparation()
    fast, plain = preparation(network), frozen(network)
    for _ in range(2):
        if purpose == "value":
            assert torch.equal(fast(x), plain(x))
        elif purpose == "gradient":
            assert torch.equal(fast.gradient(x), gradient(plain, x))
        else:
            assert torch.equal(fast.pull(x, torch.sin), pull(plain, x, torch.sin))
    assert f"its {purpose} differs by" in preparation.reason(network)


def test_a_plan_that_was_refused_leaves_nothing_behind_for_the_next(seed, monkeypatch):
    """Plans are known by where they are in memory, which another one may have been before."""
    right = convolutions.Direct.apply
    monkeypatch.setattr(
        convolutions.Direct, "apply", lambda way, x, derived: 1.1 * right(way, x, derived)
    )
    network = nn.Sequential(conv(), nn.Tanh(), conv(4, 4, bias=False))
    fast, plain = Preparation()(network), frozen(network)
    for height in range(7, 19):
        x = torch.randn(2, 3, height, 9)
        assert torch.equal(fast(x), plain(x))
        assert torch.equal(fast.pull(x, torch.sin), pull(plain, x, torch.sin))
        assert torch.equal(fast.gradient(x), gradient(plain, x))
    gc.collect()
    assert len(fast.derived) == 0


def test_a_network_that_gives_what_is_no_number_is_not_refused(seed):
    network, x = nn.Sequential(conv(), nn.Tanh(), conv(4, 2)), torch.randn(CHAINS, *SHAPE)
    preparation = Preparation()
    fast = preparation(network)
    assert fast(torch.full_like(x, float("nan"))).isnan().all()
    torch.testing.assert_close(fast(x), frozen(network)(x))
    assert preparation.reason(network) == ""


def test_a_network_that_was_never_run_has_no_reason(seed):
    preparation = Preparation()
    preparation(conv())
    assert preparation.reason(conv()) == ""
