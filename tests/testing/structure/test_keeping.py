"""The rules of a sampler's own figures, and of what it keeps, each with mistakes against it."""

import attrs
import pytest
import torch
from reference_samplers import RIGHT, normal_like
from torch import Tensor

from coopkit.builtin.langevin import Langevin
from coopkit.errors import PluginError
from coopkit.interfaces import Kept
from coopkit.targets import squared_norm
from coopkit.testing.checks import CHECKS
from coopkit.testing.records import Violation
from coopkit.testing.replay import draws_from_the_seed_alone
from coopkit.testing.structure import conduct, paths
from coopkit.testing.structure.properties import holds
from coopkit.testing.structure.scenes import companies, scenes


@attrs.frozen(eq=False)
class Moving:
    """The chains, and where each was going."""

    position: Tensor
    last: Tensor


@attrs.frozen(kw_only=True)
class Persistent:
    """x ← x + δ (U + U')/2, where U' is the noise of the step before."""

    name = "persistent"
    step_size: float = 0.3

    def init(self, target, position):
        return self.resume(target, position, Kept())

    def step(self, target, state, rng):
        noise = normal_like(state.position, rng)
        return Moving(state.position + self.step_size * (noise + state.last) / 2, noise)

    def figures(self, state):
        return {"speed": squared_norm(state.last), "count": torch.tensor(1.0)}

    def keep(self, state):
        return Kept(chains={"last": state.last})

    def resume(self, target, position, kept):
        last = kept.chains.get("last", torch.zeros_like(position))
        return Moving(position.clone(), last)


class Infinite(Persistent):
    def figures(self, state):
        return {"speed": 1 / (squared_norm(state.last) * 0)}


class Renaming(Persistent):
    def figures(self, state):
        return {"moved" if state.last.any() else "still": torch.tensor(1.0)}


class Shouting(Persistent):
    def figures(self, state):
        return {"Acceptance Rate": torch.tensor(1.0)}


class Wide(Persistent):
    def figures(self, state):
        return {"speed": torch.zeros(len(state.position), 7)}


class Python(Persistent):
    def figures(self, state):
        return {"speed": 1.0}


class Shared(Persistent):
    """Keeps one row for all chains."""

    def keep(self, state):
        return Kept(tuned={"last": state.last.mean(0, keepdim=True)})


class Mixed(Persistent):
    """Gives every chain the mean of what was kept."""

    def resume(self, target, position, kept):
        state = super().resume(target, position, kept)
        return Moving(state.position, state.last.mean(0).expand_as(state.last))


class Restless(Persistent):
    def resume(self, target, position, kept):
        state = super().resume(target, position, kept)
        return Moving(state.position + state.last, state.last)


class Overwriting(Persistent):
    def resume(self, target, position, kept):
        state = super().resume(target, position, kept)
        position += 1
        return state


class Greedy(Persistent):
    """Tunes something, and takes it for granted that the chains are the same."""

    def keep(self, state):
        return Kept(chains={"last": state.last}, tuned={"size": torch.ones(len(state.last))})

    def resume(self, target, position, kept):
        if kept.tuned:
            return Moving(position.clone(), kept.chains["last"])
        return super().resume(target, position, kept)


class Late(Persistent):
    """Keeps what it has, which is nothing at first."""

    def keep(self, state):
        return Kept(chains={"last": state.last} if state.last.any() else {})


class Other(Persistent):
    """Starts in another way when nothing was kept than when nothing is given."""

    def init(self, target, position):
        return Moving(position.clone(), torch.ones_like(position))


def attempt(rule, sampler, strategy):
    with draws_from_the_seed_alone():
        holds(rule, strategy)(sampler, 40, 0)


def test_a_right_sampler_keeps_both_rules():
    attempt(conduct.figures_told, Persistent(), scenes())
    attempt(paths.kept, Persistent(), companies())


@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        (Infinite(), "is not finite"),
        (Renaming(), "and then"),
        (Shouting(), "no lower-case name"),
        (Wide(), "neither a scalar tensor nor one for each chain"),
        (Python(), "neither a scalar tensor nor one for each chain"),
    ],
)
def test_a_wrong_figure_is_told(sampler, sentence):
    with pytest.raises(Violation, match=sentence):
        attempt(conduct.figures_told, sampler, scenes())


@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        (Shared(), "has not a row for each chain"),
        (Mixed(), "changes the path of another"),
        (Restless(), "resume moves the chains"),
        (Overwriting(), "resume changes the positions"),
        (Other(), "is not init"),
        (Late(), "at first, and then"),
    ],
)
def test_what_is_kept_in_a_wrong_way_is_told(sampler, sentence):
    with pytest.raises(Violation, match=sentence):
        attempt(paths.kept, sampler, companies())


def test_new_chains_have_nothing_but_what_was_tuned():
    with pytest.raises(KeyError, match="last"):
        attempt(paths.kept, Greedy(), companies())


@pytest.mark.parametrize("sampler", RIGHT, ids=lambda sampler: type(sampler).__name__)
def test_the_rules_are_for_samplers_that_offer_something(sampler):
    assert conduct.reports(sampler) == "it tells no figures of its own"
    assert paths.keeps(sampler) == "it keeps nothing between calls"


class Forgetting(Persistent):
    """Keeps what it never takes up again."""

    resume = None

    def init(self, target, position):
        return Moving(position.clone(), torch.zeros_like(position))


def test_a_sampler_that_half_keeps_is_told():
    assert paths.keeps(Forgetting()) == ""
    with pytest.raises(PluginError, match="persistent cannot be used: it has keep and no resume"):
        attempt(paths.kept, Forgetting(), companies())


def test_the_checks_apply_to_those_that_do():
    checks = {check.name: check for check in CHECKS}
    assert checks["figures"].applies(Persistent()) == ""
    assert checks["kept"].applies(Persistent()) == ""
    assert checks["kept"].applies(Langevin())
