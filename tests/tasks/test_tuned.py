"""What the sampler of D1 has tuned in training is used by the tasks that revise."""

from typing import ClassVar

import attrs
import pytest
import torch
from tasks.linear import SHAPE, linear_pair
from torch import Tensor

from coopkit.interfaces import Kept, Target
from coopkit.targets import RevisionTarget
from coopkit.tasks.chains import Chains
from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.interpolate import interpolate, random_ends
from coopkit.tasks.sample import sample
from coopkit.tasks.trained import Trained


@attrs.frozen(eq=False)
class Shifting:
    """The chains, and how far each of them goes in a step."""

    position: Tensor
    size: Tensor


@attrs.frozen
class Shift:
    """x ← x + δ, by the δ that was tuned for the chain, or by `step_size` where none was."""

    name: ClassVar[str] = "shift"
    step_size: float = 1.0

    def init(self, target: Target, position: Tensor) -> Shifting:
        return self.resume(target, position, Kept())

    def step(self, target: Target, state: Shifting, rng: torch.Generator) -> Shifting:
        return Shifting(state.position + state.size[:, None, None, None], state.size)

    def keep(self, state: Shifting) -> Kept:
        return Kept(tuned={"size": state.size})

    def resume(self, target: Target, position: Tensor, kept: Kept) -> Shifting:
        assert not kept.chains, "the chains of training are not these"
        usual = torch.full((len(position),), self.step_size)
        return Shifting(position.clone(), kept.tuned.get("size", usual))


@attrs.frozen(eq=False)
class Adaptive(Trained):
    """A pair whose sampler of D1 is another than its recipe says."""

    @property
    def settings(self):
        return attrs.evolve(super().settings, revision=Shift(), revision_steps=1)


@pytest.fixture
def pair() -> Trained:
    plain = attrs.asdict(linear_pair(), recurse=False)
    kept = Kept(chains={"speed": torch.ones(3)}, tuned={"size": torch.tensor([2.0, 3.0, 5.0])})
    return Adaptive(**{**plain, "kept": kept})


def test_sample_takes_the_tuned_rows_in_turn(pair: Trained):
    for chunk in (None, 2):
        drawn = sample(pair, 5, chunk=chunk)
        moved = (drawn.revised - drawn.initial).flatten(1).mean(1)
        torch.testing.assert_close(moved, torch.tensor([2.0, 3.0, 5.0, 2.0, 3.0]))


def test_interpolate(pair: Trained):
    drawn = interpolate(pair, *random_ends(pair, 2), frames=2)
    moved = (drawn.revised - drawn.initial).flatten(2).mean(2)
    torch.testing.assert_close(moved, torch.tensor([[2.0, 3.0], [5.0, 2.0]]))


def test_complete_unless_a_step_size_is_asked_for(pair: Trained):
    signals, holes = torch.zeros(2, *SHAPE), torch.zeros(2, *SHAPE[1:], dtype=torch.bool)
    holes[:, 0, 0] = True
    start = torch.zeros(2, 1, *SHAPE)
    for step_size, expected in ((None, [2.0, 3.0]), (7.0, [7.0, 7.0])):
        settings = CompletionSettings(steps=1, step_size=step_size)
        drawn = complete(pair, signals, holes, settings, start=start)
        torch.testing.assert_close(drawn[:, 0, 0, 0, 0], torch.tensor(expected))


def test_the_same_chains_have_back_what_was_theirs():
    """As those of Algorithm 1, a batch at a time."""
    seen: list[list[float]] = []

    class Own(Shift):
        def resume(self, target: Target, position: Tensor, kept: Kept) -> Shifting:
            seen.append([*kept.chains["speed"].tolist(), *kept.tuned["size"].tolist()])
            return Shifting(position.clone(), kept.tuned["size"])

    kept = Kept(chains={"speed": torch.arange(3.0)}, tuned={"size": torch.arange(3.0) + 10})
    chains = Chains(Own(), 1, 2, lambda *said: None, "", kept)
    flat = RevisionTarget(lambda x: torch.zeros(len(x)), float("inf"))
    chains.ends(torch.zeros(3, *SHAPE), lambda rows: flat, torch.Generator())
    assert seen == [[0.0, 1.0, 10.0, 11.0], [2.0, 12.0]]


def test_sample_goes_on_with_all_that_was_kept_of_persistent_chains(
    pair: Trained, monkeypatch: pytest.MonkeyPatch
):
    asked: list[Kept] = []

    def stay(trained: Trained, x: Tensor, rng: object, steps: object, kept: Kept, **how) -> Tensor:
        asked.append(kept)
        return x

    monkeypatch.setattr("coopkit.tasks.sample.revise_signals", stay)
    persistent = attrs.evolve(pair, generator=None, chains=torch.zeros(3, *SHAPE))
    sample(persistent, 3)
    sample(attrs.evolve(pair), 3)
    assert [kept.chains.keys() for kept in asked] == [{"speed"}, set()]
