"""Each rule of paths holds of right samplers and is broken by a mistake of a few lines.

Scenes are drawn from fixed seeds, so that the outcomes are deterministic.
"""

from unittest import mock

import attrs
import pytest
import torch
from hypothesis import strategies as st
from reference_samplers import RIGHT, FusedLangevin, Mala
from wrong_langevin import Leaking, MaskedAtTheEnd, wrong
from wrong_targets import batch_statistics

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.targets import MaskedTarget
from coopkit.testing.records import SMALLEST, Violation
from coopkit.testing.replay import draws_from_the_seed_alone
from coopkit.testing.structure import paths
from coopkit.testing.structure.properties import holds
from coopkit.testing.structure.scenes import (
    companies,
    descriptor_scenes,
    elementwise_scenes,
    scenes,
)

STRATEGIES = {
    paths.reproducible: elementwise_scenes(),
    paths.resumes: scenes(),
    paths.own_path: companies(),
    paths.chain_count: companies(),
    paths.permuted: companies(),
    paths.masked: scenes(),
}


def attempt(rule, sampler, examples=6, seed=0):
    with draws_from_the_seed_alone():
        holds(rule, STRATEGIES.get(rule, companies()))(sampler, examples, seed)


def refused(rule, sampler, sentence, examples=60):
    with pytest.raises(Violation, match=sentence) as caught:
        attempt(rule, sampler, examples)
    assert len([note for note in caught.value.__notes__ if note.startswith(SMALLEST)]) == 1


@pytest.mark.parametrize("sampler", RIGHT, ids=lambda sampler: type(sampler).__name__)
@pytest.mark.parametrize("rule", STRATEGIES, ids=lambda rule: rule.__name__)
def test_right_samplers_keep_every_rule(rule, sampler):
    attempt(rule, sampler, 4)


def signs(x, rng):
    return torch.randint_like(x, 2, generator=rng) * 2 - 1


DRAWS = {
    "randn_like": lambda x, rng: torch.randn_like(x, generator=rng),
    "normal": lambda x, rng: torch.normal(0.0, 1.0, x.shape, generator=rng, dtype=x.dtype),
    "normal_": lambda x, rng: torch.empty_like(x).normal_(generator=rng),
    "two at once": lambda x, rng: torch.randn(2, *x.shape, generator=rng, dtype=x.dtype).sum(0),
    "signs": signs,
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("rule", [paths.own_path, paths.chain_count, paths.permuted])
def test_noise_may_be_drawn_with_any_function(rule, draw):
    attempt(rule, wrong(noise=lambda self, x, rng: draw(x, rng)), 12)


@attrs.frozen(kw_only=True)
class Counting(Langevin):
    """Makes every other step longer, by a count that is not in the state."""

    steps: list[int] = attrs.field(factory=list, eq=False)

    def init(self, target, position):
        self.steps.clear()
        return super().init(target, position)

    def step(self, target, state, rng):
        self.steps.append(1)
        longer = Langevin(step_size=self.step_size * (1 + len(self.steps) % 2))
        return longer.step(target, state, rng)


def ranked(self, x):
    places = torch.arange(len(x), dtype=x.dtype)
    return x + 0.01 * places.reshape(-1, *(1 for _ in x.shape[1:]))


MISTAKES = [
    (paths.reproducible, Leaking(), "the same seed gives other chains"),
    (paths.reproducible, wrong(noise_std=lambda self: 0.0), "another seed gives the same chains"),
    (paths.resumes, Counting(), "a run in two parts ends elsewhere"),
    (paths.own_path, wrong(settled=lambda self, x: x - 0.1 * x.mean(0)), "path of another"),
    (paths.chain_count, wrong(settled=lambda self, x: x * (1 + len(x))), "leaving one chain out"),
    (paths.chain_count, wrong(score=lambda self, t, x: t.score(x) / len(x)), "leaving one"),
    (paths.permuted, wrong(settled=ranked), "in another order"),
]


@pytest.mark.parametrize(("rule", "sampler", "sentence"), MISTAKES)
def test_a_mistake_is_told_with_its_smallest_example(rule, sampler, sentence):
    refused(rule, sampler, sentence)


def test_the_statistics_of_a_batch_couple_its_chains():
    double = descriptor_scenes(3, st.just(torch.float64))
    with (
        draws_from_the_seed_alone(),
        batch_statistics(),
        pytest.raises(Violation, match="path of another"),
    ):
        holds(paths.own_path, double)(Langevin(step_size=0.3), 40, 0)


def not_projected(self, x):
    return torch.where(self.free, x, self.held) + 0.0


def test_a_held_entry_that_moves_or_loses_its_sign_is_told():
    for project in (lambda self, x: x, not_projected):
        with mock.patch.object(MaskedTarget, "project", project):
            refused(paths.masked, Langevin(step_size=0.3), "holds has moved")


@attrs.frozen(kw_only=True)
class Hurried(FusedLangevin):
    """A fused run that leaves out its last step."""

    def run(self, target, state, steps, rng):
        if steps == 1:
            return LangevinState(target.project(state.position))
        return super().run(target, state, steps - 1, rng)


def test_a_fused_run_is_held_to_its_steps():
    attempt(paths.fused, FusedLangevin())
    refused(paths.fused, Hurried(), "ends elsewhere than its steps")
    refused(paths.fused, MaskedAtTheEnd(), "ends elsewhere than its steps")


def test_fused_is_for_samplers_with_a_run():
    assert paths.offers_run(FusedLangevin()) == ""
    assert paths.offers_run(Mala()) == "it offers no fused run"
