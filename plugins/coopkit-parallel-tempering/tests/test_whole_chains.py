"""New ladders that settle, chains within a step, and the crossing of a barrier."""

import math

import pytest
import torch
from ladders import STANDARD_ERRORS, Normal, ParallelTempering, stream
from torch import Tensor

from coopkit import Target
from coopkit.builtin import Langevin
from coopkit.sampling import run_chains, sample_chains


class TwoModes(Target):
    """0.3 N(−4, 0.8²) + 0.7 N(4, 0.8²), with a barrier of 12 between the modes."""

    def log_prob(self, x: Tensor) -> Tensor:
        mean, variance = x.new_tensor([-4.0, 4.0]), 0.8**2
        weights = x.new_tensor([0.3, 0.7])
        return torch.logsumexp(weights.log() - (x - mean) ** 2 / (2 * variance), 1)

    def score(self, x: Tensor) -> Tensor:
        """−(x − m(x))/0.64, where m is the mean of ±4 by the weights of the modes at x."""
        right = torch.sigmoid(8 * x / 0.8**2 + math.log(0.7 / 0.3))
        return -(x - 4 * (2 * right - 1)) / 0.8**2


def test_weights_of_two_modes_are_right_where_langevin_stays_in_one():
    """All chains start in the lighter mode; 0.3 of them are there in the end.

    Both have as many scores. δ = 0.25 biases the weight by less than 0.01: it was 0.305 ± 0.003
    over 20,000 chains.
    """
    chains, steps, rungs, delta = 1000, 3000, 6, 0.25
    start = torch.full((chains, 1), -4.0)
    sampler = ParallelTempering(step_size=delta, replicas=rungs, hottest=20.0)
    state = run_chains(sampler, TwoModes(), sampler.init(TwoModes(), start), steps, stream())
    left = float((state.position < 0).double().mean())
    assert abs(left - 0.3) < 0.01 + STANDARD_ERRORS * math.sqrt(0.21 / chains)
    assert sampler.figures(state)["round_trips"].min() > 100
    alone = sample_chains(Langevin(step_size=delta), TwoModes(), start, rungs * steps, stream())
    assert (alone < 0).double().mean() > 0.97


@pytest.mark.parametrize("settle", [0, 3])
def test_only_new_chains_settle_and_only_their_hotter_replicas(settle):
    sampler = ParallelTempering(step_size=0.3, replicas=3, swap_every=50, settle=settle)
    calls = []

    class Noted(Normal):
        def score(self, x):
            calls.append(1)
            return super().score(x)

    state = sampler.init(Noted(), torch.zeros(4, 2))
    state = sampler.step(Noted(), state, stream())
    assert len(calls) == 3 + 2 * settle
    state = sampler.step(Noted(), state, stream())
    assert len(calls) == 6 + 2 * settle
    resumed = sampler.resume(Noted(), state.position, sampler.keep(state))
    sampler.step(Noted(), resumed, stream())
    assert len(calls) == 9 + 2 * settle


def test_settled_replicas_have_their_own_laws():
    """On N(0, 1) a step of δ gives the variance T / (1 − δ²/4), the drift being that of all."""
    sampler = ParallelTempering(step_size=0.5, replicas=3, hottest=9.0, swap_every=1000, settle=60)
    state = sampler.init(Normal(), torch.zeros(20_000, 1))
    state = sampler.step(Normal(), state, stream())
    variance = state.replicas.var(0)[:, 0]
    expected = torch.tensor([3.0, 9.0]) / (1 - 0.25 / 4)
    torch.testing.assert_close(variance, expected, rtol=0.05, atol=0)


def test_moves_of_chains_are_independent_within_a_step():
    """What the check of the noise cannot tell apart: squares about the mean of their own step."""
    chains, sampler = 20_000, ParallelTempering(step_size=0.5, replicas=3, swap_every=2)
    state, rng = sampler.init(Normal(), torch.randn(chains, 1, generator=stream(8))), stream()
    products = []
    for _ in range(40):
        after = sampler.step(Normal(), state, rng)
        squares = (after.position - state.position).square()
        squares = squares - squares.mean(0)
        products.append(squares[1:] * squares[:-1])
        state = after
    means = torch.stack(products).mean((0, 2))
    assert abs(float(means.mean())) < STANDARD_ERRORS * float(means.std()) / math.sqrt(chains)
