"""Each rule of conduct holds of right samplers and is broken by a mistake of a few lines.

Scenes are drawn from fixed seeds, so that the outcomes are deterministic.
"""

import random

import attrs
import numpy as np
import pytest
import torch
from reference_samplers import RIGHT, Mala, Underdamped
from torch import nn
from wrong_langevin import (
    Cast,
    Doubled,
    InPlace,
    KeptGraph,
    Open,
    global_noise,
    through_backward,
    wrong,
)
from wrong_targets import mode_lost

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.testing.records import SMALLEST, Violation
from coopkit.testing.replay import draws_from_the_seed_alone
from coopkit.testing.structure import conduct
from coopkit.testing.structure.properties import close, demand, holds, same
from coopkit.testing.structure.scenes import descriptor_scenes, elementwise_scenes, scenes

LANGEVIN = Langevin(step_size=0.3)
RULES = [
    (conduct.zero_steps, scenes()),
    (conduct.kind_kept, elementwise_scenes()),
    (conduct.inputs_kept, scenes()),
    (conduct.state_plain, scenes()),
    (conduct.global_stream, scenes()),
    (conduct.parameters_left, descriptor_scenes()),
    (conduct.gradients_counted, scenes()),
]
STRATEGIES = dict(RULES)


def examples_of(error):
    return [note for note in error.__notes__ if note.startswith(SMALLEST)]


def attempt(rule, sampler, examples=6, seed=0):
    with draws_from_the_seed_alone():
        holds(rule, STRATEGIES[rule])(sampler, examples, seed)


@pytest.mark.parametrize("sampler", RIGHT, ids=lambda sampler: type(sampler).__name__)
@pytest.mark.parametrize("rule", STRATEGIES, ids=lambda rule: rule.__name__)
def test_right_samplers_keep_every_rule(rule, sampler):
    attempt(rule, sampler, 3)


@attrs.frozen(kw_only=True)
class Mistaken(Langevin):
    """Langevin dynamics with one more mistake, by name."""

    how: str = "random"

    def step(self, target, state, rng):
        if self.how == "random":
            random.random()
        elif self.how == "numpy":
            np.random.rand()  # noqa: NPY002
        elif self.how == "shape":
            return LangevinState(state.position[None])
        elif self.how == "fewer":
            return LangevinState(super().step(target, state, rng).position[:-1])
        elif self.how == "start":
            state.position[0] += 1
        elif self.how == "object":
            return Carrying(state.position, object())
        elif self.how == "graph":
            return Carrying(state.position, torch.ones(1, requires_grad=True) * 2)
        return super().step(target, state, rng)

    def init(self, target, position):
        moved = position + 1 if self.how == "init" else position.clone()
        return LangevinState(position if self.how == "shared" else moved)


@attrs.frozen(eq=False)
class Carrying:
    position: torch.Tensor
    other: object


MISTAKES = [
    (conduct.zero_steps, Mistaken(how="init"), "zero steps change the chains"),
    (conduct.zero_steps, Mistaken(how="shared"), "not a copy"),
    (conduct.kind_kept, Mistaken(how="shape"), "the shape of the chains becomes"),
    (conduct.kind_kept, Mistaken(how="fewer"), r"the shape of the chains becomes .*\[0\]"),
    (conduct.kind_kept, Cast(), "lower precision"),
    (conduct.inputs_kept, InPlace(), "changes the st"),
    (conduct.inputs_kept, Mistaken(how="start"), "changes the state"),
    (conduct.state_plain, Open(), "is no attrs class"),
    (conduct.state_plain, Mistaken(how="init"), "init does not stand at the start"),
    (conduct.state_plain, Mistaken(how="object"), "Carrying.other is no plain data: object"),
    (conduct.state_plain, Mistaken(how="graph"), "Carrying.other is no plain data: Tensor"),
    (conduct.global_stream, wrong(noise=global_noise), "torch's global stream"),
    (conduct.global_stream, Mistaken(how="random"), "Python's global stream"),
    (conduct.global_stream, Mistaken(how="numpy"), "numpy's global stream"),
    (conduct.parameters_left, wrong(score=through_backward), "gradients with the parameters"),
    (conduct.parameters_left, KeptGraph(), "graph of their way"),
    (conduct.gradients_counted, Doubled(), "a step evaluates 2 gradients, not 1"),
]


@pytest.mark.parametrize(("rule", "sampler", "sentence"), MISTAKES)
def test_a_mistake_is_told_with_its_smallest_example(rule, sampler, sentence):
    with pytest.raises(Violation, match=sentence) as caught:
        attempt(rule, sampler)
    assert len(examples_of(caught.value)) == 1


def test_a_mode_that_is_lost_is_told():
    with mode_lost(), pytest.raises(Violation, match="flags, modes or statistics"):
        attempt(conduct.parameters_left, LANGEVIN, 20)


def test_what_goes_wrong_everywhere_is_told_of_one_chain_at_zero():
    """Whatever the seed: the example is the smallest there is."""
    for seed in (1, 2):
        with pytest.raises(Violation) as caught:
            attempt(conduct.global_stream, wrong(noise=global_noise), 20, seed)
        expected = "1 step from [0.0], (1,) float32, on a Gaussian of independent entries, seed 0"
        assert examples_of(caught.value) == [SMALLEST + expected]


def test_what_goes_wrong_with_many_entries_is_told_of_few():
    """Two entries are the fewest that show it."""

    def settled(self, x):
        return x.float().to(x.dtype) if x[0].numel() > 1 else x

    def rule(sampler, scene):
        same(scene.walk(sampler), scene.walk(LANGEVIN), "float64 chains are rounded")

    with (
        draws_from_the_seed_alone(),
        pytest.raises(Violation, match="rounded") as caught,
    ):
        holds(rule, elementwise_scenes())(wrong(settled=settled), 60, 0)
    assert "(1, 2) float64" in examples_of(caught.value)[0]


def test_an_error_of_the_samplers_own_has_its_example_too():
    def broken(self, x):
        raise ZeroDivisionError("by nought")

    with pytest.raises(ZeroDivisionError, match="nought") as caught:
        attempt(conduct.global_stream, wrong(settled=broken))
    assert len(examples_of(caught.value)) == 1


def test_a_demand_carries_its_figure():
    demand(True, "never said")
    with pytest.raises(Violation, match="said") as caught:
        demand(False, "said", 3.0)
    assert caught.value.figure == 3.0


def test_same_is_of_bits_and_close_of_rounding():
    x = torch.tensor([1.0, float("nan"), float("inf")]).double()
    same(x, x.clone(), "")
    close(x, x * (1 + 1e-12), "")
    for compare, other in ((same, x * (1 + 1e-12)), (close, x * (1 + 1e-6)), (same, x[:2])):
        with pytest.raises(Violation):
            compare(x, other, "they differ")


def test_gradients_are_counted_by_chain():
    counted = conduct.Counted(conduct.Trained(lambda x: x.sum(1)))
    counted.score(torch.ones(5, 2))
    counted.log_prob(torch.ones(5, 2))
    counted.score(torch.ones(2, 2))
    assert counted.calls == [5, 2]
    assert conduct.declares_gradients(Mala()) == ""
    silent = attrs.make_class("Silent", {})()
    assert "no number" in conduct.declares_gradients(silent)


def test_the_tensors_of_a_state_are_its_fields():
    state = Underdamped().init(conduct.Trained(lambda x: x.sum(1)), torch.zeros(2, 1))
    assert len(conduct.tensors_of(state)) == 2
    assert conduct.tensors_of(object()) == []
    assert conduct.is_plain((1, "a", None, [torch.ones(1)], LangevinState(torch.ones(1))))
    assert not conduct.is_plain([torch.ones(1, requires_grad=True)])
    assert not conduct.is_plain(Carrying(torch.ones(1), object()))


def test_the_condition_of_a_network_is_its_flags_modes_and_statistics():
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    seen = [conduct.condition(network), conduct.condition(network)]
    assert seen[0] == seen[1]
    for change in (
        lambda: network[1](torch.ones(2, 1)),
        lambda: network[0].weight.requires_grad_(False),
        lambda: network[1].eval(),
    ):
        change()
        seen.append(conduct.condition(network))
        assert seen[-1] != seen[-2]
