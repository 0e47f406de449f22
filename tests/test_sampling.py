"""The loop of the chains: how steps compose, what it must not touch, and entries held fixed."""

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coopkit.builtin.langevin import Langevin, LangevinState
from coopkit.errors import PluginError
from coopkit.interfaces import Kept, Target
from coopkit.sampling import is_fused, run_chains, sample_chains, walk_chains
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


WRONG = {
    "fewer chains": lambda x: LangevinState(x[:-1]),
    "one chain": lambda x: LangevinState(x[:1]),
    "flattened": lambda x: LangevinState(x.flatten()),
    "double": lambda x: LangevinState(x.double()),
    "elsewhere": lambda x: LangevinState(x.to("meta")),
    "nothing": lambda x: None,
    "a tensor": lambda x: x,
    "no tensor": lambda x: LangevinState(x.tolist()),
}
SAID = {
    "fewer chains": r"chains of shape \(1, 3\) in float32 on cpu by its {}; .* shape \(2, 3\) in",
    "one chain": r"chains of shape \(1, 3\)",
    "flattened": r"chains of shape \(6,\)",
    "double": r"chains of shape \(2, 3\) in float64 on cpu by its {}; .* in float32 on cpu",
    "elsewhere": r"chains of shape \(2, 3\) in float32 on meta",
    "nothing": "None by its {}; it must give a state, whose `position` is a tensor",
    "a tensor": "a Tensor by its {}; it must give a state",
    "no tensor": "a LangevinState by its {}; it must give a state",
}


class Wrong:
    """A sampler one of whose methods gives what it must not."""

    name = "wrong"

    def __init__(self, method: str, mistake: str) -> None:
        self.method, self.mistake = method, WRONG[mistake]

    def state(self, method: str, x: Tensor) -> LangevinState:
        return self.mistake(x) if method == self.method else LangevinState(x.clone())

    def init(self, target: Target, position: Tensor) -> LangevinState:
        return self.state("init", position)

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        return self.state("step", state.position)

    def figures(self, state: LangevinState) -> dict[str, Tensor]:
        return {}

    def keep(self, state: LangevinState) -> Kept:
        return Kept()

    def resume(self, target: Target, position: Tensor, kept: Kept) -> LangevinState:
        return self.state("resume", position)


class WrongAtOnce(Wrong):
    """The same, of a sampler with a fused run."""

    def step(self, target: Target, state: LangevinState, rng: torch.Generator) -> LangevinState:
        return super().step(target, state, rng)

    def run(
        self, target: Target, state: LangevinState, steps: int, rng: torch.Generator
    ) -> LangevinState:
        return self.state("run", state.position)


@pytest.mark.parametrize("mistake", WRONG)
@pytest.mark.parametrize("method", ["init", "step", "run", "resume"])
def test_chains_that_are_not_those_that_started_are_refused(method: str, mistake: str, rng):
    """Fewer of them would broadcast against the others, here and in the target's mask."""
    sampler = WrongAtOnce(method, mistake) if method == "run" else Wrong(method, mistake)
    said = "the sampler wrong gives " + SAID[mistake].format(method)
    start, free = torch.zeros(2, 3), torch.tensor([True, False, True])
    for target in (TARGET, MaskedTarget(TARGET, free, torch.ones(2, 3))):
        with pytest.raises(PluginError, match=said) as caught:
            walk_chains(sampler, target, start, 2, rng, Kept() if method == "resume" else None)
        assert str(caught.value).endswith(": coopkit check wrong")


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        ("figures", None, "gives None by its figures; it must give tensors by name"),
        ("figures", {"a": 1.0}, "gives a float as 'a' by its figures; it must give a tensor"),
        ("keep", None, r"gives None by its keep; it must give coopkit\.interfaces\.Kept"),
        ("keep", {"a": torch.ones(2)}, "gives a dict by its keep"),
        ("keep", Kept(tuned={"a": 1.0}), "gives a float as 'a' by its keep"),
        ("keep", Kept(tuned={"a": torch.tensor(1.0)}), r"gives shape \(\) as 'a' by its keep"),
        ("keep", Kept({"a": torch.ones(3)}), r"shape \(3,\) .* a row for each of 2 chains: coop"),
    ],
)
def test_what_a_sampler_tells_and_keeps_is_looked_at(method: str, given, said: str, rng):
    sampler = Wrong("none", "nothing")
    setattr(sampler, method, lambda state: given)
    with pytest.raises(PluginError, match=said):
        walk_chains(sampler, TARGET, torch.zeros(2, 3), 1, rng)


@pytest.mark.parametrize("missing", ["keep", "resume"])
def test_a_sampler_that_half_keeps_is_refused(missing: str, rng):
    """What it has tuned would be lost without a word."""
    sampler = Wrong("none", "nothing")
    setattr(sampler, missing, None)
    with pytest.raises(PluginError, match=f"the sampler wrong cannot be used: .* no {missing};"):
        walk_chains(sampler, TARGET, torch.zeros(2, 3), 1, rng)


def test_a_class_in_the_place_of_a_sampler_is_refused(rng):
    with pytest.raises(TypeError, match=r"the class Langevin; it must be an instance, Langevin\("):
        sample_chains(Langevin, TARGET, torch.zeros(2, 3), 1, rng)


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
