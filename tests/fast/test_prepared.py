"""Prepared networks: chains, sizes, layouts, precisions, and what preparation must not touch."""

import gc
from collections.abc import Callable
from itertools import product

import pytest
import torch
from fast.small import CHAINS, NORMALIZATIONS, SHAPE, WAYS, texture
from torch import Tensor, nn

from coopkit.builtin import Langevin
from coopkit.derivatives import gradient, pull
from coopkit.fast import Preparation
from coopkit.sampling import sample_chains
from coopkit.targets import RevisionTarget, frozen


@pytest.mark.parametrize("way", WAYS)
def test_a_run_in_one_piece_draws_the_samples_of_single_steps(way, seed, take, stir, assert_near):
    take(way)
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    sampler = Langevin(step_size=0.1)
    drawn = [
        sample_chains(
            sampler,
            RevisionTarget(freeze(network), 0.7),
            x,
            4,
            torch.Generator().manual_seed(seed),
        )
        for freeze in (Preparation(), frozen)
    ]
    assert_near(*drawn, 4e-5)


@pytest.mark.parametrize("way", WAYS)
def test_the_way_that_is_forced_here_is_taken(way, seed, take, stir):
    take(way)
    preparation = Preparation()
    preparation(texture(stir)).gradient(torch.randn(CHAINS, *SHAPE))
    assert way in preparation.choices.used.values()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_preparation_leaves_no_trace_on_the_network(normalization, seed, stir):
    network = texture(stir, normalization=normalization)
    next(network.parameters()).requires_grad_(False)
    network.features[-1].eval()
    flags = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    names = [sorted(vars(module)) for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast, x = Preparation()(network), torch.randn(CHAINS, *SHAPE)
    fast(x)
    fast.gradient(x)
    fast.pull(x, torch.sin)
    fast(x.requires_grad_()).sum().backward()
    assert flags == [parameter.requires_grad for parameter in network.parameters()]
    assert modes == [module.training for module in network.modules()]
    assert names == [sorted(vars(module)) for module in network.modules()]
    assert all(parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_preparation_draws_no_random_numbers(seed, stir, monkeypatch):
    monkeypatch.setattr("coopkit.fast.choices.WORTH_MEASURING", 0)
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    before = torch.get_rng_state()
    fast = Preparation()(network)
    fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_chains_of_any_size(way, seed, take, stir, in_double, assert_near):
    take(way)
    network, preparation = texture(stir), Preparation()
    fast, exact = preparation(network), in_double(network)
    for shape in [(1, 2, 14, 11), (5, 2, 14, 11), (2, 2, 9, 17), (5, 2, 14, 11), (1, 2, 14, 11)]:
        x = torch.randn(shape)
        assert_near(fast(x), exact(x.double()), 1e-5)
        assert_near(fast.gradient(x), gradient(exact, x.double()), 1e-5)
    assert fast(torch.randn(0, *SHAPE)).shape == (0,)
    assert fast.gradient(torch.randn(0, *SHAPE)).shape == (0, *SHAPE)
    assert preparation.reason(network) == ""


@pytest.mark.parametrize("way", WAYS)
def test_more_chains_than_a_plan_is_tried_out_on(way, seed, take, stir, monkeypatch, assert_near):
    take(way)
    monkeypatch.setattr("coopkit.fast.prepared.MEASURED", 2)
    network, preparation = texture(stir), Preparation()
    fast, plain = preparation(network), frozen(network)
    for chains, width in product((5, 3), range(9, 13)):
        x = torch.randn(chains, 2, 10, width)
        assert_near(fast(x), plain(x).detach(), 1e-4)
        assert_near(fast.gradient(x), gradient(plain, x), 1e-5)
        assert_near(fast.pull(x, torch.sin), pull(plain, x, torch.sin), 1e-4)
    assert preparation.reason(network) == ""


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "turned": lambda x: x.mT.contiguous().mT,
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "one repeated": lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("first", [True, False])
def test_inputs_of_any_layout_in_memory(layout, first, seed, stir, assert_near):
    network, x = texture(stir, normalization="layer"), torch.randn(CHAINS, *SHAPE)
    plain, preparation = frozen(network), Preparation()
    fast = preparation(network)
    if not first:
        fast(x), fast.gradient(x)
    x = LAYOUTS[layout](x)
    copy = x.clone()
    assert_near(fast(x), plain(copy), 1e-5)
    assert_near(fast.gradient(x), gradient(plain, copy.contiguous()), 1e-5)
    assert torch.equal(x, copy)
    assert preparation.reason(network) == ""


def test_float64_stays_float64(seed, stir, take, assert_near):
    take("toom-cook 3")
    network = nn.Sequential(nn.Conv2d(2, 3, 5), nn.SiLU(), nn.Conv2d(3, 2, 3)).double()
    x = torch.randn(CHAINS, *SHAPE, dtype=torch.float64)
    fast, plain = Preparation()(network), frozen(network)
    assert fast(x).dtype == torch.float64
    assert_near(fast(x), plain(x), 1e-13)
    assert_near(fast.gradient(x), gradient(plain, x), 1e-13)


@pytest.mark.parametrize("way", WAYS)
def test_an_evaluation_in_inference_mode_does_not_hinder_later_ones(
    way, seed, take, stir, assert_near
):
    take(way)
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    fast = Preparation()(network)
    with torch.inference_mode():
        first = fast(x)
    assert_near(fast(x), first.clone(), 1e-6)
    fast(x.requires_grad_()).sum().backward()
    assert_near(x.grad, fast.gradient(x.detach()), 1e-5)


class InFloat32(nn.Module):
    """A network that switches mixed precision off for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.layer(x).tanh()


def test_what_runs_in_float32_under_mixed_precision_still_does(seed, assert_near):
    network, x = InFloat32(), torch.randn(5, 6)
    fast, plain = Preparation()(network), frozen(network)
    with torch.autocast("cpu", torch.bfloat16):
        results = fast(x), fast.gradient(x), fast.pull(x, torch.sin)
        expected = plain(x).detach(), gradient(plain, x), pull(plain, x, torch.sin)
    for result, right in zip(results, expected, strict=True):
        assert result.dtype == torch.float32
        assert_near(result, right, 1e-5)


def test_plans_go_with_their_network(seed, stir):
    preparation, network = Preparation(), texture(stir)
    preparation(network)(torch.randn(CHAINS, *SHAPE))
    assert len(preparation.plans) == 1
    del network
    gc.collect()
    assert len(preparation.plans) == 0


def test_plans_are_made_once_for_all_preparations_of_a_network(seed, stir, monkeypatch):
    preparation, network, x = Preparation(), texture(stir), torch.randn(CHAINS, *SHAPE)
    preparation(network).gradient(x)
    monkeypatch.delattr("coopkit.fast.prepared.make_plan")
    preparation(network).gradient(x)
    preparation(network).gradient(x + 1)


def test_the_network_itself_is_not_run_again(seed, stir, assert_near):
    calls: list[object] = []
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    plain = frozen(network)
    fast = Preparation()(network)
    fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    network.register_forward_hook(lambda *_: calls.append(None))
    y = torch.randn(CHAINS, *SHAPE)
    results = fast(y), fast.gradient(y), fast.pull(y, torch.sin)
    assert calls == []
    expected = plain(y), gradient(plain, y), pull(plain, y, torch.sin)
    for result, right in zip(results, expected, strict=True):
        assert_near(result, right, 1e-4)
