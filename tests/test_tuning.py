"""Dual averaging against updates by hand and against curves whose solution is known."""

import math

import attrs
import pytest
import torch
from torch import Tensor

from coopkit.interfaces import Kept
from coopkit.tuning import FARTHEST, DualAveraging, acceptance

EVERY = torch.tensor([True])
START = torch.zeros(1, 2, dtype=torch.float64)


def tuned(steps: int, wanted: float, curve, start: Tensor = START) -> DualAveraging:
    """Return chains after so many steps on a curve of acceptance by step size."""
    tuning = DualAveraging.start(0.1, start)
    every = torch.ones(len(start), dtype=torch.bool)
    for _ in range(steps):
        tuning = tuning.update(curve(tuning.step_size), wanted, every)
    return tuning


def test_before_the_first_step_both_step_sizes_are_the_given_one():
    tuning = DualAveraging.start(0.3, torch.zeros(4, 1, 5))
    for value in (tuning.step_size, tuning.averaged, tuning.in_use(0), tuning.in_use(1)):
        torch.testing.assert_close(value, torch.full((4,), 0.3))
    torch.testing.assert_close(tuning.origin.exp(), torch.full((4,), 3.0))


def test_two_updates_by_hand():
    """a = 0.6, α = 0.8 and 0.1: H = −0.2 and 0.5, their sums over t + 10 are −0.2/11 and 0.3/12."""
    tuning = DualAveraging.start(0.1, START).update(torch.tensor([0.8]).double(), 0.6, EVERY)
    first = math.log(1.0) + 1 / 0.05 * 0.2 / 11
    assert tuning.updates.tolist() == [1]
    assert tuning.shortfall.item() == pytest.approx(-0.2 / 11)
    assert tuning.log_step.item() == pytest.approx(first)
    assert tuning.log_average.item() == pytest.approx(first)
    tuning = tuning.update(torch.tensor([0.1]).double(), 0.6, EVERY)
    second = math.log(1.0) - math.sqrt(2) / 0.05 * 0.3 / 12
    weight = 2**-0.75
    assert tuning.updates.tolist() == [2]
    assert tuning.log_step.item() == pytest.approx(second)
    assert tuning.log_average.item() == pytest.approx(weight * second + (1 - weight) * first)


@pytest.mark.parametrize("wanted", [0.574, 0.65, 0.9])
@pytest.mark.parametrize("scale", [0.02, 1.0, 50.0])
def test_the_average_comes_to_the_step_size_of_the_wanted_acceptance(wanted: float, scale: float):
    """α(δ) = exp(−δ/scale) is `wanted` at δ = −scale · log(wanted).

    What is left is due to μ: equation (6) solved for the mean of H is (μ − log δ) γ/√t.
    """
    tuning = tuned(2000, wanted, lambda delta: torch.exp(-delta / scale))
    expected = -scale * math.log(wanted)
    left = abs(math.log(1.0 / expected)) * 0.05 / math.sqrt(2000)
    for delta in (tuning.averaged.item(), tuning.step_size.item()):
        assert delta == pytest.approx(expected, rel=0.05)
        assert math.exp(-delta / scale) == pytest.approx(wanted, abs=3 * left)


def test_it_stays_where_the_acceptance_is_the_wanted_one():
    """At H = 0 from the first step on, δ is 10 δ_1 = e^μ: only errors move it from there."""
    tuning = tuned(50, 0.7, lambda delta: torch.full_like(delta, 0.7))
    torch.testing.assert_close(tuning.step_size, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(tuning.averaged, torch.ones(1, dtype=torch.float64))


def test_chains_tune_alone():
    scales = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    together = tuned(40, 0.6, lambda d: torch.exp(-d / scales), torch.zeros(3, 1).double())
    for row, scale in enumerate(scales.tolist()):
        alone = tuned(40, 0.6, lambda d, s=scale: torch.exp(-d / s))
        for name, value in together.tensors().items():
            torch.testing.assert_close(value[row : row + 1], alone.tensors()[name])


def test_chains_that_are_not_counted_stay():
    before = tuned(3, 0.6, lambda d: torch.exp(-d), torch.zeros(2, 1).double())
    after = before.update(torch.tensor([0.1, 0.1]).double(), 0.6, torch.tensor([True, False]))
    assert after.updates.tolist() == [4, 3]
    for name, value in after.tensors().items():
        assert torch.equal(value[1], before.tensors()[name][1])
    assert after.step_size[0] < before.step_size[0]


def test_the_average_is_used_once_the_warm_up_is_over():
    tuning = tuned(3, 0.6, lambda d: torch.exp(-d))
    assert torch.equal(tuning.in_use(4), tuning.step_size)
    assert torch.equal(tuning.in_use(3), tuning.averaged)
    assert not torch.equal(tuning.step_size, tuning.averaged)


@pytest.mark.parametrize("acceptance", [0.0, 1.0])
def test_a_curve_without_a_solution_leaves_it_finite(acceptance: float):
    """As on a flat density in float32, where all is accepted."""
    start = torch.zeros(1, 2)
    tuning = tuned(2000, 0.574, lambda d: torch.full_like(d, acceptance), start)
    for value in tuning.tensors().values():
        assert torch.isfinite(value).all()
    assert torch.isfinite(tuning.step_size).all()
    assert (tuning.log_step - tuning.origin).abs() <= FARTHEST * (1 + 1e-6)


def test_what_is_kept_gives_it_back():
    tuning = tuned(5, 0.6, lambda d: torch.exp(-d))
    kept = Kept(tuned=tuning.tensors())
    again = DualAveraging(**kept.tuned)
    for field in attrs.fields(DualAveraging):
        assert getattr(again, field.name) is getattr(tuning, field.name)


def test_the_acceptance_is_that_of_metropolis():
    gain = torch.tensor([math.log(0.25), 3.0, math.nan, math.log(0.25)])
    sound = torch.tensor([True, True, True, False])
    torch.testing.assert_close(acceptance(gain, sound), torch.tensor([0.25, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(acceptance(gain, sound, 2.0), torch.tensor([0.5, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(acceptance(gain, sound, 0.0), torch.tensor([0.0, 1.0, 0.0, 0.0]))
