"""The loop of the chains: how steps compose, what it must not touch, and entries held fixed."""

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.interfaces import Target
from coopkit.sampling import is_fused, run_chains, sample_chains
from coopkit.targets import MaskedTarget, RevisionTarget, TemperedTarget


@attrs.frozen(eq=False)
class CountedState:
    """The chains, and how often they have moved."""

    position: Tensor
    moves: int


class Stray:
    """A sampler that moves every entry at random whatever the target says."""

    name = "stray"

    def init(self, target: Target, position: Tensor) -> CountedState:
        return CountedState(position.clone(), 0)

    def step(self, target: Target, state: CountedState, rng: torch.Generator) -> CountedState:
        noise = torch.randn(state.position.shape, generator=rng)
        return CountedState(1.1 * state.position + noise, state.moves + 1)


SAMPLERS = [Langevin(step_size=0.3), Stray()]
TARGET = RevisionTarget(lambda y: y.sin().sum(1), 0.7)
numbers_of_steps = st.integers(0, 5)
seeds = st.integers(0, 2**32)


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(deadline=None, max_examples=25)
@given(n=numbers_of_steps, m=numbers_of_steps, seed=seeds)
def test_n_plus_m_steps_are_n_and_then_m(sampler, n, m, seed):
    start = torch.randn(4, 3, generator=stream(seed))
    rng = stream(seed)
    at_once = run_chains(sampler, TARGET, sampler.init(TARGET, start), n + m, stream(seed))
    halfway = run_chains(sampler, TARGET, sampler.init(TARGET, start), n, rng)
    in_two = run_chains(sampler, TARGET, halfway, m, rng)
    assert torch.equal(at_once.position, in_two.position)


@attrs.frozen(kw_only=True)
class Hurried(Langevin):
    """Offers a run beside the step that it inherits."""

    def run(
        self, target: Target, state: LangevinState, steps: int, rng: torch.Generator
    ) -> LangevinState:
        return LangevinState(state.position + 100)


@attrs.frozen(kw_only=True)
class Still(Hurried):
    """Has a step of its own, and inherits the fused run of another step."""

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        return state


@attrs.frozen(kw_only=True)
class StillAtOnce(Still):
    """Offers a run of its own for the step that it inherits."""

    def run(
        self, target: Target, state: LangevinState, steps: int, rng: torch.Generator
    ) -> LangevinState:
        return LangevinState(state.position + steps)


def test_a_fused_run_is_used_only_with_the_step_that_it_belongs_to(rng):
    start = torch.zeros(3, 2)
    assert is_fused(Hurried())
    assert not is_fused(Langevin())
    assert not is_fused(Still())
    assert torch.equal(sample_chains(Hurried(), TARGET, start, 4, rng), start + 100)
    assert torch.equal(sample_chains(Still(), TARGET, start, 4, rng), start)
    assert torch.equal(sample_chains(StillAtOnce(), TARGET, start, 4, rng), start + 4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_steps_give_an_equal_copy(sampler, rng):
    start = torch.randn(4, 3)
    before = rng.get_state()
    for end in (
        sample_chains(sampler, TARGET, start, 0, rng),
        run_chains(sampler, TARGET, sampler.init(TARGET, start), 0, rng).position,
    ):
        assert torch.equal(end, start)
        assert end.data_ptr() != start.data_ptr()
    assert torch.equal(rng.get_state(), before)


def test_a_negative_number_of_steps_is_refused(rng):
    with pytest.raises(ValueError, match="steps is -1; it must be 0 or more"):
        run_chains(SAMPLERS[0], TARGET, SAMPLERS[0].init(TARGET, torch.zeros(1, 1)), -1, rng)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_start_and_the_global_stream_are_untouched(sampler, rng):
    start = torch.randn(4, 3)
    copy, stream_before = start.clone(), torch.get_rng_state()
    end = sample_chains(sampler, TARGET, start, 3, rng)
    assert torch.equal(start, copy)
    assert torch.equal(torch.get_rng_state(), stream_before)
    assert not torch.equal(end, start)


@attrs.frozen
class Fused(Langevin):
    """Langevin dynamics that counts how it is asked for steps."""

    asked: list[int] = attrs.field(factory=list)

    def run(self, target, state, steps, rng):
        self.asked.append(steps)
        for _ in range(steps):
            state = LangevinState(target.project(self.step(target, state, rng).position))
        return state


def test_a_fused_run_is_asked_for_all_steps_at_once(rng):
    sampler = Fused(step_size=0.3)
    held = torch.randn(4, 3)
    target = MaskedTarget(TARGET, torch.tensor([True, False, True]), held)
    end = sample_chains(sampler, target, torch.zeros(4, 3), 5, stream(1))
    plain = sample_chains(Langevin(step_size=0.3), target, torch.zeros(4, 3), 5, stream(1))
    assert sampler.asked == [5]
    assert torch.equal(end, plain)


def test_a_fused_run_is_not_asked_for_no_steps(rng):
    sampler = Fused(step_size=0.3)
    run_chains(sampler, TARGET, sampler.init(TARGET, torch.zeros(4, 3)), 0, rng)
    assert sampler.asked == []


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(deadline=None, max_examples=25)
@given(seed=seeds, steps=st.integers(1, 4))
def test_held_entries_keep_their_bits_whatever_the_sampler(sampler, seed, steps):
    held, start, chance = torch.randn(3, 5, 3, generator=stream(seed))
    free = chance > 0
    target = TemperedTarget(MaskedTarget(TARGET, free, held), 2.0)
    end = sample_chains(sampler, target, start, steps, stream(seed))
    assert torch.equal(end[~free], held[~free])
    assert not (end == start)[free].any()


def test_the_other_parts_of_a_state_survive_the_mask(rng):
    target = MaskedTarget(TARGET, torch.tensor([True, False, True]), torch.zeros(4, 3))
    state = run_chains(Stray(), target, Stray().init(target, torch.zeros(4, 3)), 3, rng)
    assert state.moves == 3


def test_free_entries_follow_the_exact_conditional_gaussian(rng, assert_gaussian):
    """Precision P_FF and mean −P_FF⁻¹ P_FH h, with Langevin's known bias; the h are all different.

    False-alarm probability 1.2e-7, see conftest.
    """
    p = torch.tensor([[2.0, 0.7, -0.5], [0.7, 1.5, 0.4], [-0.5, 0.4, 1.0]], dtype=torch.float64)
    free, delta, chains = torch.tensor([True, False, True]), 0.9, 50_000
    base = RevisionTarget(lambda y: -((y @ p.float()) * y).sum(1) / 2, float("inf"))
    held = torch.randn(chains, 3, generator=rng)
    target = MaskedTarget(base, free, held)
    end = sample_chains(Langevin(step_size=delta), target, torch.zeros(chains, 3), 90, rng)
    p_free = p[free][:, free]
    mean = -held[:, ~free].double() @ p[~free][:, free] @ p_free.inverse()
    covariance = (torch.eye(2) - delta**2 / 4 * p_free).inverse() @ p_free.inverse()
    assert_gaussian(end[:, free] - mean, torch.zeros(2), covariance)
