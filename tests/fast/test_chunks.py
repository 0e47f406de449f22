"""Many chains in little memory: in chunks, with the numbers of the whole."""

from collections.abc import Callable
from itertools import product
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

from coopkit.builtin import FaceDescriptor, FaceGenerator, TextureDescriptor, TextureGenerator
from coopkit.derivatives import gradient, pull
from coopkit.fast import Choices, Preparation, Prepared
from coopkit.fast.chunks import chunk_within, in_chunks
from coopkit.fast.plans import make_plan
from coopkit.targets import frozen

SIGNAL, CHAINS = (3, 17, 14), 8
HE = {"weight_std": "he", "last_std": "he"}
TEXTURE = TextureDescriptor(filters=(5, 4, 3), kernels=(5, 3, 3), strides=(2, 1, 1), **HE)
NETWORKS: dict[str, Any] = {
    "texture f": TEXTURE,
    "texture f, instance": attrs.evolve(TEXTURE, normalization="instance"),
    "texture f, layer": attrs.evolve(TEXTURE, normalization="layer"),
    "texture f, batch": attrs.evolve(TEXTURE, normalization="batch"),
    "texture g": TextureGenerator(latent_size=2, filters=(6, 5), last_std="he"),
    "face f": FaceDescriptor(filters=(6, 5, 4), channels=3, **HE),
    "face g": FaceGenerator(latent_size=4, filters=(6, 5), last_std="he"),
}
BIT_FOR_BIT = [
    ("texture f", "direct", "value"),
    ("texture f", "phases", "gradient"),
    ("texture f, layer", "direct", "gradient"),
    ("texture f, instance", "toom-cook 2", "pull"),
    ("texture g", "direct", "pull"),
    ("texture g", "phases", "value"),
]
"""Networks of convolutions alone, each with a way and a purpose."""
Evaluation = Callable[[Prepared, Tensor, Tensor], Tensor]
PURPOSES: dict[str, Evaluation] = {
    "value": lambda f, x, along: f(x),
    "gradient": lambda f, x, along: f.gradient(x),
    "pull": lambda f, x, along: f.pull(x, torch.sub, along),
}


@attrs.frozen(eq=False)
class Whole:
    """A network, what goes into it, what comes out of it, and the memory that it took."""

    network: nn.Module
    evaluate: Evaluation
    purpose: str
    x: Tensor
    along: Tensor
    result: Tensor
    bytes: int

    def in_memory(self, memory: float) -> tuple[Tensor, int]:
        """Return the result with so much memory, and how many chains at a time that allowed."""
        preparation = Preparation(memory=memory)
        fast = preparation(self.network)
        result = self.evaluate(fast, self.x, self.along)
        assert preparation.reason(self.network) == ""
        plan = fast.plan(self.purpose, self.x)
        assert plan is not None
        assert plan.chains == 1 or plan.bytes <= memory
        return result, plan.chains


def evaluated(name: str, purpose: str, stir: Any, chains: int = CHAINS) -> Whole:
    """Evaluate all chains of a network at a time."""
    architecture = NETWORKS[name]
    network = stir(architecture.build(SIGNAL))
    drawn = hasattr(architecture, "latent_shape")
    x = torch.randn(chains, *(architecture.latent_shape(SIGNAL) if drawn else SIGNAL))
    along = torch.randn(frozen(network)(x).shape)
    fast = Preparation()(network)
    result = PURPOSES[purpose](fast, x, along)
    plan = fast.plan(purpose, x)
    assert plan is not None
    assert plan.chains == chains
    return Whole(network, PURPOSES[purpose], purpose, x, along, result, plan.bytes)


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.parametrize(("name", "way", "purpose"), BIT_FOR_BIT)
def test_chunks_for_all_threads_give_the_same_numbers_bit_for_bit(
    name, way, purpose, seed, take, stir, threads
):
    take(way)
    whole = evaluated(name, purpose, stir)
    for share, expected in ((0.8, 6), (0.5, 4), (0.3, 2)):
        result, chains = whole.in_memory(share * whole.bytes)
        assert chains == expected
        assert torch.equal(result, whole.result), f"{chains} chains at a time"


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_chunks_of_any_size_give_the_same_numbers_to_rounding(
    name, purpose, seed, stir, threads, assert_near
):
    whole = evaluated(name, purpose, stir)
    for allowed in (3, 6):
        result, chains = whole.in_memory((allowed + 0.5) / CHAINS * whole.bytes)
        assert chains == allowed
        assert_near(result, whole.result, 2e-5)


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_in_no_memory_one_chain_is_done_at_a_time(name, purpose, seed, stir, threads, assert_near):
    whole = evaluated(name, purpose, stir)
    result, chains = whole.in_memory(1)
    assert chains == 1
    assert_near(result, whole.result, 2e-5)


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_chunk_is_filled_up(name, purpose, seed, stir, threads, assert_near):
    whole = evaluated(name, purpose, stir, chains=5)
    result, chains = whole.in_memory(2.5 / 5 * whole.bytes)
    assert chains == 2
    assert_near(result, whole.result, 2e-5)


@attrs.frozen
class Taking:
    """A plan that takes so many bytes for so many chains."""

    chains: int
    bytes: int


@pytest.mark.parametrize("threads", [1, 2, 3], indirect=True)
def test_a_chunk_is_for_all_threads_alike_where_the_memory_allows(threads):
    for chains, memory in product(range(1, 14), range(0, 140, 5)):
        chunk = chunk_within(memory, Taking(chains, 10 * chains))
        fitting = min(chains, memory // 10)
        assert 1 <= chunk <= max(1, fitting)
        assert chunk == chains or chunk % threads == 0 or fitting < threads
        assert fitting - chunk < threads
    assert chunk_within(float("inf"), Taking(7, 70)) == 7


def test_a_graph_is_not_cut_into_chunks(seed, stir, assert_near):
    whole = evaluated("texture f, layer", "gradient", stir)
    fast = Preparation(memory=1)(whole.network)
    x = whole.x.clone().requires_grad_()
    fast(x).sum().backward()
    assert_near(x.grad, gradient(frozen(whole.network), whole.x), 2e-5)
    assert_near(fast(x).detach(), fast(whole.x), 2e-5)


def test_a_small_batch_after_a_large_one(seed, stir, assert_near):
    whole = evaluated("texture g", "pull", stir)
    fast, plain = Preparation(memory=whole.bytes / 2)(whole.network), frozen(whole.network)
    for chains in (8, 3, 1, 5, 8):
        x, along = whole.x[:chains], whole.along[:chains]
        expected = pull(plain, x, torch.sub, along)
        assert_near(fast.pull(x, torch.sub, along), expected, 2e-5)


@pytest.mark.parametrize("chains", range(1, 8))
@pytest.mark.parametrize("chunk", range(1, 8))
def test_every_chunk_is_of_one_size_and_every_chain_done_once(chunk, chains):
    sizes: list[int] = []

    def double(x: Tensor, y: Tensor) -> Tensor:
        assert len(x) == len(y)
        assert not torch.is_grad_enabled()
        sizes.append(len(x))
        return 2 * x + y

    x, y = torch.arange(chains * 2.0).view(chains, 2), torch.arange(chains * 2.0).view(chains, 2)
    assert torch.equal(in_chunks(chunk, double, x, y), 3 * x)
    assert sizes == [chunk] * -(-chains // chunk)


def test_what_is_given_once_is_given_to_all_chains(seed, stir, assert_near):
    whole = evaluated("texture g", "pull", stir)
    fast = Preparation(memory=whole.bytes / 2)(whole.network)
    one = whole.along[:1]
    expected = fast.pull(whole.x, torch.sub, one.expand_as(whole.along))
    assert torch.equal(fast.pull(whole.x, torch.sub, one), expected)
    assert_near(expected, pull(frozen(whole.network), whole.x, torch.sub, one), 2e-5)


def a_network_that_is_faster_as_it_is(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    for place in ("choices", "plans"):
        monkeypatch.setattr(f"coopkit.fast.{place}.WORTH_MEASURING", 0)
    monkeypatch.setattr("coopkit.fast.prepared.fastest", lambda ways, device: "as it is")
    monkeypatch.setattr("coopkit.fast.prepared.MEASURED", 2)
    return TEXTURE.build(SIGNAL)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_is_faster_as_it_is_stays_within_the_memory_too(purpose, precision, seed, monkeypatch):
    network = a_network_that_is_faster_as_it_is(monkeypatch)
    x, along = torch.randn(CHAINS, *SIGNAL), torch.randn(CHAINS)
    expected = PURPOSES[purpose](Preparation()(network), x, along)
    seen: list[int] = []
    network.register_forward_pre_hook(lambda network, inputs: seen.append(len(inputs[0])))
    whole = make_plan(network, purpose, x, Choices())
    preparation = Preparation(memory=3.5 / CHAINS * whole.bytes)
    with torch.autocast("cpu", precision, enabled=precision is not None):
        if precision is not None:
            expected = PURPOSES[purpose](Preparation()(network), x, along)
        fast = preparation(network)
        PURPOSES[purpose](fast, x, along)
        seen.clear()
        found = PURPOSES[purpose](fast, x, along)
    assert preparation.reason(network) == "it is faster as it is"
    assert max(seen) <= 3
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0.05 if precision else 1e-5, atol=1e-3)


def test_out_of_memory_is_no_reason_to_take_more_of_it(seed, monkeypatch):
    def lacking(*_: object) -> None:
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr("coopkit.fast.prepared.make_plan", lacking)
    with pytest.raises(torch.OutOfMemoryError):
        Preparation()(TEXTURE.build(SIGNAL)).gradient(torch.randn(CHAINS, *SIGNAL))
