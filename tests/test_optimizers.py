"""The authors' update rule against numpy, its groups, and optimisers of torch.optim by name."""

import re
from copy import deepcopy

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coopkit.builtin import ObjectGenerator, TextureDescriptor
from coopkit.optimizers import (
    Capped,
    CappedMomentum,
    TorchOptimizer,
    apply_settings,
    output_positions,
)
from coopkit.recipes import Recipe

TABLE = Capped(
    lr=0.1, cap=0.05, momentum=0.7, weight_decay=0.2, bias_rate=3.0, layer_rates=(1.0, 0.5)
)
EXAMPLE = torch.zeros(1, 1, 9, 7)


def network_of(normalization: type[nn.Module] = nn.Identity) -> nn.Module:
    """Return a convolution with 4×3 positions and two fully connected layers."""
    convolution = nn.Conv2d(1, 2, 3, stride=2)
    layers = [nn.Flatten(), nn.Linear(24, 3), nn.ReLU(), nn.Linear(3, 1)]
    return nn.Sequential(convolution, normalization(2), nn.ReLU(), *layers)


def update_by_hand(weight, gradient, velocity, table, positions, rate, bias):
    """Return weight and velocity after the four lines of the rule, in numpy."""
    gradient = gradient / positions
    gradient = gradient * min(1.0, table.cap / np.abs(gradient).max())
    velocity = table.momentum * velocity + gradient + (0 if bias else table.weight_decay * weight)
    return weight - table.lr * rate * (table.bias_rate if bias else 1) * velocity, velocity


@pytest.mark.parametrize("per_position", [True, False])
def test_capped_is_the_authors_rule_over_several_steps(per_position, seed):
    table = attrs.evolve(TABLE, per_position=per_position)
    network = network_of().double()
    optimizer = table.build(network, EXAMPLE.double())
    positions = (12, 1, 1) if per_position else (1, 1, 1)
    layers = [module for module in network if isinstance(module, nn.Conv2d | nn.Linear)]
    expected = {p: p.detach().numpy().copy() for p in network.parameters()}
    velocities = {p: np.zeros(p.shape) for p in network.parameters()}
    for size in (1e-3, 10.0, 0.1, 0.1):  # under and over the cap
        for layer, place, rate in zip(layers, positions, (1.0, 0.5, 1.0), strict=True):
            for p in (layer.weight, layer.bias):
                p.grad = size * torch.randn_like(p)
                expected[p], velocities[p] = update_by_hand(
                    expected[p], p.grad.numpy(), velocities[p], table, place, rate, p is layer.bias
                )
        optimizer.step()
        for p in network.parameters():
            np.testing.assert_allclose(p.detach().numpy(), expected[p], rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(size=st.floats(1e-6, 1e6), cap=st.floats(1e-3, 1e3), seed=st.integers(0, 2**32))
def test_no_entry_of_a_step_exceeds_the_cap(size, cap, seed):
    weight = nn.Parameter(torch.zeros(4, 3))
    weight.grad = size * torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    CappedMomentum([weight], lr=1.0, cap=cap).step()
    assert weight.abs().max() <= cap * (1 + 1e-6)
    cosine = nn.functional.cosine_similarity(weight.flatten(), -weight.grad.flatten(), dim=0)
    assert cosine.item() == pytest.approx(1.0, abs=1e-5)


def test_over_a_run_a_weight_travels_the_sum_of_rate_times_cap_over_one_less_momentum():
    """As far if its gradient is at the cap and keeps its sign, but for the velocity's first steps.

    These lack cap · m^t / (1 − m) in step t = 1, 2, ...
    """
    rates = [0.02 * 0.01 ** (t / 99) for t in range(100)]
    weight, momentum, cap = nn.Parameter(torch.zeros(1, dtype=torch.float64)), 0.5, 0.05
    optimizer = CappedMomentum([weight], lr=rates[0], cap=cap, momentum=momentum)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.full_like(weight, -1e6)
        optimizer.step()
    farthest = sum(rates) * cap / (1 - momentum)
    lacking = sum(rate * momentum ** (t + 1) for t, rate in enumerate(rates)) * cap / (1 - momentum)
    assert weight.item() == pytest.approx(farthest - lacking, rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), momentum=st.floats(0, 0.95))
def test_whatever_the_gradients_a_weight_travels_no_farther(seed, momentum):
    rng, rates = torch.Generator().manual_seed(seed), (0.1, 0.05, 0.2, 0.01)
    weight = nn.Parameter(torch.zeros(50, dtype=torch.float64))
    optimizer = CappedMomentum([weight], lr=1.0, cap=0.05, momentum=momentum)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = 100 * torch.randn(50, generator=rng, dtype=torch.float64)
        optimizer.step()
    assert 0 < weight.abs().max().item() <= sum(rates) * 0.05 / (1 - momentum)


@pytest.mark.parametrize(("recipe", "farthest"), [("quickstart", 0.18), ("texture", 0.22)])
def test_how_far_weights_travel_in_packaged_recipes_is_what_the_docs_say(recipe, farthest):
    read = Recipe.read(recipe)
    tables = [read.descriptor.optimizer.at(t) for t in range(read.run.iterations)]
    travelled = sum(table.lr * table.cap / (1 - table.momentum) for table in tables)
    assert travelled == pytest.approx(farthest, abs=0.005)


def test_a_zero_gradient_moves_nothing_and_a_missing_one_is_skipped():
    moved, skipped = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    moved.grad = torch.zeros(3)
    optimizer = CappedMomentum([moved, skipped], lr=1.0, cap=1.0)
    optimizer.step()
    assert torch.equal(moved, torch.ones(3))
    assert skipped not in optimizer.state


def test_the_gradient_itself_is_not_changed():
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.full((3,), 5.0)
    CappedMomentum([weight], lr=1.0, cap=1.0, weight_decay=0.1).step()
    assert torch.equal(weight.grad, torch.full((3,), 5.0))


def test_a_restored_optimizer_goes_on_with_its_velocity(seed):
    weights = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    first, second = (CappedMomentum([w], lr=0.1, cap=1.0, momentum=0.9) for w in weights)
    for weight in weights:
        weight.grad = torch.randn(3, generator=torch.Generator().manual_seed(seed))
    first.step()
    second.load_state_dict(deepcopy(first.state_dict()))
    weights[1].data.copy_(weights[0].data)
    first.step()
    second.step()
    assert torch.equal(*weights)


def test_a_closure_gives_its_loss_back():
    weight = nn.Parameter(torch.ones(1))

    def closure() -> float:
        weight.grad = None
        loss = (weight**2).sum()
        loss.backward()
        return loss.item()

    assert CappedMomentum([weight], lr=0.1, cap=10.0).step(closure) == 1.0
    assert weight.item() == pytest.approx(0.8)


def test_output_positions_are_height_times_width_of_each_layer_in_order():
    network = network_of(nn.BatchNorm2d)
    network[1].eval()
    modes = [module.training for module in network.modules()]
    found = output_positions(network, EXAMPLE)
    assert [positions for _, positions in found] == [12, 12, 1, 1]
    assert [layer for layer, _ in found] == [network[0], network[1], network[4], network[6]]
    assert [module.training for module in network.modules()] == modes
    assert network[1].num_batches_tracked == 0
    assert not any(module._forward_hooks for module in network.modules())


def test_a_spectral_norm_changes_neither_positions_nor_layers():
    y = torch.zeros(1, 1, 16, 16)
    small = TextureDescriptor(filters=(4, 3), kernels=(5, 3), strides=(1, 2))
    for spectral_norm in (0.0, 1.0):
        network = attrs.evolve(small, spectral_norm=spectral_norm).build((1, 16, 16))
        assert [positions for _, positions in output_positions(network, y)] == [256, 64]
        groups = Capped(layer_rates=(3.0, 5.0)).build(network, y).param_groups
        assert len(groups) == 4
        found = {(g["layer_rate"], g["positions"], g["bias"]) for g in groups}
        assert found == {(3.0, 256, False), (3.0, 256, True), (5.0, 64, False), (5.0, 64, True)}


def test_every_parameter_is_in_exactly_one_group(seed):
    network = network_of(nn.BatchNorm2d)
    optimizer = TABLE.build(network, EXAMPLE)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, network.parameters()))


SCHEDULED = {"lr": 0.3, "cap": 0.4, "momentum": 0.1, "weight_decay": 0.6, "bias_rate": 7.0}


@pytest.mark.parametrize("name", SCHEDULED)
def test_changed_settings_act_as_if_they_had_been_there_from_the_start(name, seed):
    later = attrs.evolve(TABLE, **{name: SCHEDULED[name]})
    network, twin = network_of(), network_of()
    twin.load_state_dict(network.state_dict())
    optimizer, expected = TABLE.build(network, EXAMPLE), later.build(twin, EXAMPLE)
    apply_settings(optimizer, later)
    for _ in range(2):
        for p, q in zip(network.parameters(), twin.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        optimizer.step()
        expected.step()
    assert all(map(torch.equal, network.parameters(), twin.parameters()))


@pytest.mark.parametrize(
    "fields",
    [{"lr": 0.0}, {"cap": 0.0}, {"momentum": 1.0}, {"weight_decay": -1.0}, {"bias_rate": -1.0},
     {"layer_rates": (1.0, -1.0)}],
)  # fmt: skip
def test_impossible_numbers_are_refused(fields):
    (name,) = fields
    with pytest.raises(ValueError, match=name):
        Capped(**fields)


def test_the_defaults_are_the_authors_numbers():
    table = Capped()
    assert (table.cap, table.momentum, table.weight_decay) == (20 / 255, 0.5, 1e-4)
    assert (table.lr, table.bias_rate, table.per_position) == (0.02, 2.0, True)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_torch_optimizers_by_name(name):
    network = nn.Linear(2, 1)
    table = TorchOptimizer(name, {"lr": 0.25, "weight_decay": 0.5})
    optimizer = table.build(network, torch.zeros(1, 2))
    assert type(optimizer) is getattr(torch.optim, name)
    apply_settings(optimizer, TorchOptimizer(name, {"lr": 0.125, "weight_decay": 0.25}))
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.125, 0.25)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("Adamm", {}, "no optimiser 'Adamm'; did you mean 'Adam'?"),
        ("cappd", {}, "no optimiser 'cappd'; did you mean 'capped'?"),
        ("Adam", {"maximize": True}, "Adam takes no 'maximize'"),
        ("Adam", {"lrr": 0.1}, "Adam takes no 'lrr'; did you mean 'lr'?"),
        ("Adam", {"lr": -1.0}, "Adam refuses its arguments: Invalid learning rate: -1.0"),
        ("SGD", {"momentum": "much"}, "SGD wants momentum to be a number up to 3e38: 'much'"),
        ("Adam", {"amsgrad": "no"}, "Adam wants amsgrad to be true or false: 'no'"),
        ("Adam", {"foreach": 2}, "Adam wants foreach to be true or false: 2"),
        ("Muon", {"ns_steps": 2.5}, "Muon wants ns_steps to be a whole number: 2.5"),
        ("Muon", {"adjust_lr_fn": 1}, "Muon wants adjust_lr_fn to be a text: 1"),
        ("LBFGS", {}, "LBFGS does not fit this training loop; Adam does"),
        ("Adam", {"params": []}, "Adam takes no 'params'; known: "),
    ],
)
def test_what_torch_optim_does_not_know_is_answered(name, arguments, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        TorchOptimizer(name, arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Muon", {"ns_steps": 100}), ("ASGD", {"lambd": -1.0, "lr": 1.0})],
)
def test_arguments_that_torch_looks_at_in_its_update_are_tried_out(name, arguments):
    table = TorchOptimizer(name, arguments)
    with pytest.raises(ValueError, match=f"^{name} cannot use its arguments: "):
        table.rehearse()


def test_what_torch_warns_of_is_for_the_run_not_for_the_rehearsal():
    TorchOptimizer("ASGD", {"lambd": -1e17}).rehearse()


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear", "nearest"])
def test_a_layer_that_another_computes_has_the_positions_of_that_ones_output(upsampling):
    """Nearest up-sampling takes the weights of its convolution without calling it."""
    g = ObjectGenerator(latent_size=5, filters=(4, 3), upsampling=upsampling, kernel=4)
    network = g.build((1, 16, 16))
    found = output_positions(network, torch.zeros(1, *g.latent_shape((1, 16, 16))))
    convolved = [
        positions for layer, positions in found if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert convolved[-2:] == [64, 256]
