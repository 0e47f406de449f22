import math

import attrs
import pytest
import torch
from ladders import STANDARD_ERRORS, Normal, ParallelTempering, stream, tempering
from scipy.special import betainc
from torch import Tensor

from coopkit import Target
from coopkit.interfaces import Keeping, Kept, Reporting
from coopkit.sampling import run_chains, sample_chains
from coopkit.targets import MaskedTarget, RevisionTarget

STILL = 1e-30
"""A step size that moves nothing, so that all there is are swaps."""


class Flat(Target):
    """log p(x) = 0, for which every swap that is tried is made."""

    def log_prob(self, x: Tensor) -> Tensor:
        return 0 * x.flatten(1).sum(1)


class Slope(Target):
    """log p(x) = Σ x."""

    def log_prob(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


def at_once(sampler, target, ladder: Tensor):
    """Return the state of chains whose replicas are those of a ladder (chains, rungs, ...)."""
    state = sampler.init(target, ladder[:, 0])
    return attrs.evolve(state, replicas=ladder[:, 1:])


def ladder_of(state) -> Tensor:
    return torch.cat([state.position[:, None], state.replicas], 1)


def exact_ladder(sampler, std: float, chains: int, dimension: int) -> Tensor:
    """Return draws of N(0, T_k s²) on every rung."""
    noise = torch.randn(chains, sampler.replicas, dimension, generator=stream(5)).double()
    return noise * std * torch.tensor(sampler.temperatures).double().sqrt()[:, None]


def test_temperatures_are_a_geometric_row_from_one():
    sampler = ParallelTempering(replicas=4, hottest=8.0)
    assert sampler.temperatures == pytest.approx([1.0, 2.0, 4.0, 8.0])
    for wrong in ({"replicas": 1}, {"hottest": 1.0}, {"swap_every": 0}, {"step_size": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ParallelTempering(**wrong)


def test_one_move_by_hand():
    """x + δ²/2 + δ √T_k U_k on the target eˣ, on every rung with noise of its own."""
    sampler = ParallelTempering(step_size=0.4, replicas=3, hottest=16.0, swap_every=9)
    start = torch.ones(5, 2).double()
    state = sampler.step(Slope(), sampler.init(Slope(), start), stream())
    rng = stream()
    noise = [torch.randn(5, 2, generator=rng, dtype=torch.float64) for _ in range(3)]
    by_hand = [1 + 0.08 + 0.4 * scale * u for scale, u in zip((1, 2, 4), noise, strict=True)]
    torch.testing.assert_close(ladder_of(state), torch.stack(by_hand, 1))


def test_swap_probability_by_hand():
    """T = 1, 2, 4; log p = −2, −6, −1: exp(−½·4) uphill, and 1 for what both gain by."""
    sampler = ParallelTempering(replicas=3, hottest=4.0)
    ladder = torch.tensor([2.0, math.sqrt(12.0), math.sqrt(2.0)])[:, None, None]
    found = sampler.swap_probability(Normal(), ladder)
    torch.testing.assert_close(found, torch.tensor([[math.exp(-2.0), 1.0]]))
    ladder = torch.tensor([2.0, math.sqrt(2.0), math.sqrt(12.0)])[:, None, None]
    found = sampler.swap_probability(Normal(), ladder)
    torch.testing.assert_close(found, torch.tensor([[1.0, math.exp(-0.25 * 5)]]))


def test_swap_probability_of_whole_images():
    """Two rungs at T = 1, 2 whose energies, of millions, are 1/4 apart: exp(−½ · ¼)."""
    images = torch.randn(2, 3, 64, 64, generator=stream(1)) / 2
    images[:, 0, 5, 7] = 0.5
    lower = images.clone()
    lower[:, 0, 5, 7] -= 0.016**2 / 2
    target = RevisionTarget(lambda y: 0 * y.flatten(1).sum(1), 0.016)
    assert (target.energy(images) > 1e6).all()
    sampler = ParallelTempering(replicas=2, hottest=2.0)
    found = sampler.swap_probability(target, torch.stack([lower, images]))
    expected = torch.full((2, 1), math.exp(-0.125))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("replicas", "hottest"), [(2, 3.0), (5, 10.0)])
def test_swaps_leave_the_product_of_the_laws_invariant(replicas: int, hottest: float):
    sampler = ParallelTempering(step_size=STILL, replicas=replicas, hottest=hottest)
    std, chains = 0.7, 40_000
    before = exact_ladder(sampler, std, chains, 2)
    state = run_chains(sampler, Normal(std), at_once(sampler, Normal(std), before), 7, stream())
    after = ladder_of(state)
    assert (after != before).any(2).any(0).all(), "every rung takes part"
    z = after / std / torch.tensor(sampler.temperatures).double().sqrt()[:, None]
    assert (z.mean(0).abs() < STANDARD_ERRORS / math.sqrt(chains)).all()
    off = (z.square() - 1).mean(0).abs()
    assert (off < STANDARD_ERRORS * math.sqrt(2 / chains)).all()
    squares = (z.square().sum(2) - 2) / 2
    between = squares.T @ squares / chains - torch.eye(replicas).double()
    between.fill_diagonal_(0)
    assert (between.abs() < STANDARD_ERRORS / math.sqrt(chains)).all()


@pytest.mark.parametrize("dimension", [1, 3, 20])
def test_swap_acceptance_on_gaussians_is_the_known_one(dimension: int):
    """2 I_{1/(1+r)}(d/2, d/2) for neighbours whose temperatures have the ratio r.

    The mean of min(1, ratio) is twice the probability of a ratio above 1, which the colder replica
    has where its ‖x‖² is the greater: a matter of two chi-squares of d degrees of freedom.
    """
    sampler = ParallelTempering(step_size=STILL, replicas=3, hottest=4.0)
    assert isinstance(sampler, Reporting)
    chains = 20_000
    ladder = exact_ladder(sampler, 1.0, chains, dimension)
    state = run_chains(sampler, Normal(), at_once(sampler, Normal(), ladder), 4, stream())
    figures = sampler.figures(state)
    known = 2 * float(betainc(dimension / 2, dimension / 2, 1 / 3))
    for name in ("swap_acceptance", "swap_1_2", "swap_2_3"):
        values = figures[name]
        assert values.shape == (chains,)
        error = float(values.std()) / math.sqrt(chains)
        assert abs(float(values.mean()) - known) < STANDARD_ERRORS * error, name
    moved = run_chains(sampler, Normal(), at_once(sampler, Normal(), ladder), 1, stream())
    made = float((moved.traffic.walkers[:, 0] == 1).double().mean())
    assert abs(made - known) < STANDARD_ERRORS * math.sqrt(known * (1 - known) / chains)


def test_figures_are_finite_before_the_first_swap():
    sampler = ParallelTempering(step_size=0.1, replicas=3, swap_every=5)
    state = run_chains(sampler, Normal(), sampler.init(Normal(), torch.ones(4, 2)), 4, stream())
    figures = sampler.figures(state)
    assert list(figures) == ["swap_acceptance", "swap_1_2", "swap_2_3", "round_trips"]
    for value in figures.values():
        assert value.tolist() == [0.0] * 4


def test_densities_that_are_no_numbers_are_refused():
    class Walled(Normal):
        def log_prob(self, x: Tensor) -> Tensor:
            return torch.where(x[:, 0] > 0, -math.inf, 0.0)

    sampler = ParallelTempering(step_size=STILL, replicas=2)
    ladder = torch.tensor([[[1.0], [2.0]], [[-1.0], [2.0]], [[1.0], [-2.0]]])
    state = sampler.step(Walled(), at_once(sampler, Walled(), ladder), stream())
    assert state.position.tolist() == [[1.0], [-1.0], [-2.0]]
    assert sampler.figures(state)["swap_acceptance"].tolist() == [0.0, 0.0, 1.0]


def test_even_and_odd_pairs_take_turns_and_walkers_travel():
    """Where every swap is made walkers go up and down like the steps of an escalator."""
    sampler = ParallelTempering(step_size=STILL, replicas=3, swap_every=2)
    ladder = torch.arange(1.0, 4.0).reshape(1, 3, 1).expand(2, 3, 1)
    state, rng, walkers, trips = at_once(sampler, Flat(), ladder), stream(), [], []
    for _ in range(7):
        state = run_chains(sampler, Flat(), state, 1, rng)
        waiting = state.traffic.walkers
        state = run_chains(sampler, Flat(), state, 1, rng)
        assert not walkers or waiting.tolist() == [walkers[-1]] * 2, "swaps at every second step"
        walkers.append(state.traffic.walkers[0].tolist())
        trips.append(int(sampler.figures(state)["round_trips"][0]))
        assert ladder_of(state)[..., 0].tolist() == [[w + 1.0 for w in walkers[-1]]] * 2
    there = [[1, 0, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1], [0, 2, 1], [0, 1, 2]]
    assert walkers == [*there, there[0]]
    # Walker 0 is cold at first, hot after round 2 and cold again after round 5; walker 1 is cold
    # after round 1, hot after 4 and cold after 7. Walker 2 is hot at first, which begins no trip.
    assert trips == [0, 0, 0, 0, 1, 1, 2]


def test_two_rungs_swap_in_every_round():
    sampler = ParallelTempering(step_size=STILL, replicas=2)
    state, rng, walkers = at_once(sampler, Flat(), torch.zeros(3, 2, 1)), stream(), []
    for _ in range(4):
        state = sampler.step(Flat(), state, rng)
        walkers.append(state.traffic.walkers.tolist())
    assert walkers == [[[1, 0]] * 3, [[0, 1]] * 3] * 2


def test_round_trips_of_a_made_up_sequence():
    """Turning round half way, or coming from the hot end at first, completes no trip."""
    none = torch.zeros(1, dtype=torch.long)
    traffic = tempering.Traffic(none, torch.tensor([[0, 1, 2]]), torch.tensor([[1, 0, 0]]))
    first, second = torch.tensor([[1, 0, 2]]), torch.tensor([[0, 2, 1]])
    returned = []
    for order in (first, first, first, second, second, first, second, first, second, first):
        traffic, back = tempering.travelled(traffic, order)
        returned.append(bool(back[0]))
    # 0 up, 0 down, 0 up, 0 hot, 0 half way down, 0 cold.
    assert returned[:6] == [False, False, False, False, False, True]
    assert traffic.walkers.sort().values.tolist() == [[0, 1, 2]]
    assert sum(returned[6:]) == 1, "walker 1, which was cold while 0 was away"


def test_chains_swap_by_themselves():
    """A half of a thousand equal chains swaps, not all or none: each has uniforms of its own."""
    sampler = ParallelTempering(step_size=STILL, replicas=4, hottest=8.0)
    depth = torch.tensor([0.0, 2 * math.log(2), 0.0, 8 * math.log(2)]).mul(2).sqrt()
    ladder = depth.reshape(1, 4, 1).expand(1000, 4, 1)
    state = sampler.step(Normal(), at_once(sampler, Normal(), ladder), stream())
    first, third = (state.traffic.walkers[:, k] != k for k in (0, 2))
    for swapped in (first, third):
        assert abs(float(swapped.double().mean()) - 0.5) < STANDARD_ERRORS * 0.5 / math.sqrt(1000)
    both = float((first & third).double().mean())
    assert abs(both - 0.25) < STANDARD_ERRORS * math.sqrt(0.25 * 0.75 / 1000)


def test_a_step_costs_a_score_of_all_chains_for_each_rung():
    target, sampler = Normal(), ParallelTempering(step_size=0.1, replicas=5, swap_every=3)
    sample_chains(sampler, target, torch.ones(4, 2), 7, stream())
    assert target.scores == [4] * 5 * 7
    assert target.densities == [4] * 5 * 2


def test_hot_replicas_hold_what_the_target_holds():
    sampler = ParallelTempering(step_size=0.5, replicas=3)
    free, held = torch.tensor([True, False, True]), torch.full((6, 3), 7.0)
    target = MaskedTarget(Normal(), free, held)
    state = run_chains(sampler, target, sampler.init(target, torch.zeros(6, 3)), 4, stream())
    assert (ladder_of(state)[:, :, 1] == 7).all()
    assert (ladder_of(state)[:, :, 0] != 0).all()


def test_ladders_go_on_where_chains_do():
    """The replicas, whose turn it is and who is under way survive; what was counted does not."""
    sampler = ParallelTempering(step_size=0.3, replicas=3, swap_every=2)
    assert isinstance(sampler, Keeping)
    target, start, whole, parts = Normal(), torch.ones(6, 3), stream(), stream()
    end = run_chains(sampler, target, sampler.init(target, start), 9, whole)
    state = run_chains(sampler, target, sampler.init(target, start), 5, parts)
    state = sampler.resume(target, state.position, sampler.keep(state))
    assert not state.tally.rounds.any()
    again = run_chains(sampler, target, state, 4, parts)
    assert torch.equal(ladder_of(end), ladder_of(again))
    for name, value in sampler.keep(end).chains.items():
        assert torch.equal(value, sampler.keep(again).chains[name]), name
        assert len(value) == 6


def test_calls_shorter_than_a_cycle_of_swaps_still_swap_every_pair():
    sampler = ParallelTempering(step_size=STILL, replicas=3, swap_every=3)
    state, rng, seen = sampler.init(Flat(), torch.zeros(1, 1)), stream(), []
    for _ in range(9):
        state = run_chains(sampler, Flat(), state, 1, rng)
        state = sampler.resume(Flat(), state.position, sampler.keep(state))
        seen.append(state.traffic.walkers[0].tolist())
    assert seen[2::3] == [[1, 0, 2], [1, 2, 0], [2, 1, 0]]


def test_chains_at_different_times_swap_at_their_own():
    """Examples that were seen more often than others are at another place of their cycle."""
    sampler = ParallelTempering(step_size=STILL, replicas=3, swap_every=2)
    state = sampler.init(Flat(), torch.zeros(4, 1))
    traffic = attrs.evolve(state.traffic, clock=torch.tensor([0, 1, 2, 3]))
    state = sampler.step(Flat(), attrs.evolve(state, traffic=traffic), stream())
    assert state.traffic.walkers.tolist() == [[0, 1, 2], [1, 0, 2], [0, 1, 2], [0, 2, 1]]
    assert state.tally.rounds.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("kept", [Kept(), None])
def test_new_chains_and_another_ladder_begin_anew(kept: Kept | None):
    target, wider = Normal(), ParallelTempering(replicas=6)
    if kept is None:
        kept = ParallelTempering(replicas=3).keep(wider.init(target, torch.zeros(2, 3)))
        kept = attrs.evolve(kept, chains={**kept.chains, "replicas": torch.zeros(2, 2, 3)})
    state = wider.resume(target, torch.ones(2, 3), kept)
    assert torch.equal(ladder_of(state), torch.ones(2, 6, 3))
