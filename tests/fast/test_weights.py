"""The order of weights in memory: measured, remembered, and without effect on any number."""

from pathlib import Path

import pytest
import torch
from torch import nn

from coopkit.fast import Choices, order_weights, weights

LAST = torch.channels_last


def network() -> nn.Module:
    layers = nn.Conv2d(4, 32, 3), nn.BatchNorm2d(32), nn.Dropout(0.5), nn.ConvTranspose2d(32, 64, 5)
    return nn.Sequential(*layers)


def test_the_faster_order_is_taken_and_changes_no_number(
    monkeypatch: pytest.MonkeyPatch, seed: int
):
    monkeypatch.setattr(weights, "fastest", lambda updates, device: "channels last")
    ordered, choices = network(), Choices()
    before = {name: value.clone() for name, value in ordered.state_dict().items()}
    order_weights(ordered, torch.randn(2, 4, 16, 16), choices)
    assert ordered[3].weight.is_contiguous(memory_format=LAST)
    assert not ordered[3].weight.is_contiguous()
    assert all(torch.equal(value, before[name]) for name, value in ordered.state_dict().items())
    assert all(weight.grad is None for weight in ordered.parameters())
    assert list(choices.used.values()) == ["channels last"]


def test_both_orders_are_tried_with_passes_of_an_update(monkeypatch: pytest.MonkeyPatch):
    tried = []

    def fastest(updates, device):
        for name, update in updates.items():
            update()
            tried.append(name)
        return "channels first"

    monkeypatch.setattr(weights, "fastest", fastest)
    ordered = network()
    order_weights(ordered, torch.randn(1, 4, 16, 16).expand(100, -1, -1, -1), Choices())
    assert tried == ["channels first", "channels last"]
    assert ordered[3].weight.is_contiguous()


def test_small_networks_are_left_alone_and_choices_are_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def never(*_: object) -> str:
        raise AssertionError("measured")

    monkeypatch.setattr(weights, "fastest", lambda updates, device: "channels last")
    x, cache = torch.randn(2, 4, 16, 16), tmp_path / "choices.json"
    first = Choices(cache=cache)
    order_weights(network(), x, first)
    monkeypatch.setattr(weights, "fastest", never)
    order_weights(nn.Conv2d(4, 4, 3), x, first)
    again = network()
    order_weights(again, x, Choices(known=dict(first.known)))
    assert again[3].weight.is_contiguous(memory_format=LAST)


def test_the_passes_that_are_tried_are_those_of_an_update(monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(
        weights, "pass_through", lambda moved, x: seen.append((moved.training, x.shape))
    )
    monkeypatch.setattr(weights, "fastest", lambda updates, device: "channels first")
    ordered = network().eval()
    order_weights(ordered, torch.randn(1, 4, 16, 16).expand(100, -1, -1, -1), Choices())
    assert seen == [(True, (weights.MEASURED, 4, 16, 16))] * 2
    assert not ordered.training


def test_a_pass_leaves_its_own_gradients_alone(seed: int):
    layer, x = nn.Conv2d(4, 3, 3), torch.randn(2, 4, 9, 9)
    weights.pass_through(layer, x)
    once = layer.weight.grad.clone()
    weights.pass_through(layer, x)
    assert torch.equal(layer.weight.grad, once)


def test_each_size_of_input_and_type_is_measured_for_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "fastest", lambda updates, device: "channels last")
    choices = Choices()
    for size, chains in ((16, 2), (16, 2), (16, 3), (24, 2)):
        order_weights(network(), torch.randn(chains, 4, size, size), choices)
    assert len(choices.used) == 3
    order_weights(network().double(), torch.randn(2, 4, 16, 16).double(), choices)
    assert len(choices.used) == 4
