from contextlib import nullcontext
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coopkit.streams import Order, seeded, stream_seed


@given(
    examples=st.integers(1, 30),
    batch=st.integers(1, 40),
    epochs=st.integers(1, 3),
    seed=st.integers(0),
)
def test_no_example_comes_twice_in_an_epoch(examples: int, batch: int, epochs: int, seed: int):
    order = Order(examples, batch, seed)
    size = min(examples, batch)
    batches = examples // size
    for epoch in range(epochs):
        seen = torch.cat([order.places(epoch * batches + number) for number in range(batches)])
        assert len(seen) == batches * size
        assert len(seen.unique()) == len(seen)
        assert set(seen.tolist()) <= set(range(examples))


def test_every_example_comes_as_often_as_others():
    """Of 7 examples, three in seven batches have each."""
    order, batches = Order(7, 3, 0), 4000
    counts = torch.cat([order.places(t) for t in range(batches)]).bincount(minlength=7)
    share = 3 / 7
    spread = (batches * share * (1 - share)) ** 0.5
    assert ((counts - batches * share).abs() < 5 * spread).all()


@given(t=st.integers(0, 200), seed=st.integers(0, 2**64))
def test_order_depends_on_seed_and_iteration_alone(t: int, seed: int):
    walked = Order(7, 3, seed)
    for before in range(t % 5):
        walked.places(before)
    assert torch.equal(walked.places(t), Order(7, 3, seed).places(t))


def test_epochs_and_seeds_are_shuffled_differently():
    order = Order(50, 50, 0)
    assert not torch.equal(order.places(0), order.places(1))
    assert not torch.equal(order.places(0), Order(50, 50, 1).places(0))


def test_streams_of_other_purposes_have_other_seeds():
    seeds = [stream_seed(s, p, n) for s in (0, 1) for p in ("draft", "order") for n in (0, 1)]
    assert len(set(seeds)) == len(seeds)
    assert stream_seed(3, "draft", 1) == stream_seed(3, "draft", 1)


def test_the_global_stream_is_seeded_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch):
    """What is drawn on the CPU leaves the streams of GPUs alone, which nothing would restore."""
    asked: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", asked.append)
    before = torch.get_rng_state()
    drawn = []
    for seed in (3, 3, 4):
        with seeded(seed):
            drawn.append(torch.rand(2))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)
    assert asked == []


def test_one_gpu_is_seeded_and_its_stream_restored():
    """Seeding them all would leave what nothing restores on the others."""
    with (
        mock.patch.object(torch.random, "fork_rng", return_value=nullcontext()) as forked,
        mock.patch.object(torch.cuda, "device", return_value=nullcontext()) as chosen,
        mock.patch.object(torch.cuda, "manual_seed") as one,
        mock.patch.object(torch.cuda, "manual_seed_all") as all_of_them,
        seeded(3, "cuda:1"),
    ):
        pass
    forked.assert_called_once_with(["cuda:1"])
    chosen.assert_called_once_with("cuda:1")
    one.assert_called_once_with(3)
    all_of_them.assert_not_called()
