"""Where a distance stands on its scale, and whether it stands anywhere."""

import math

import pytest
import torch

from coopkit.statistics.scales import APART, Scale, deviation, scale_of


def test_the_relative_distance_is_0_at_the_floor_and_1_at_the_ceiling():
    scale = Scale(floor=0.1, ceiling=0.3)
    assert [scale.relative(d) for d in (0.1, 0.2, 0.3)] == pytest.approx([0, 0.5, 1])
    assert Scale(floor=0.3, ceiling=0.3).relative(0.2) is None


def test_means_and_spread_of_readings():
    scale = scale_of([1.0, 2.0, 3.0], [4.0, 7.0, 10.0])
    assert (scale.floor, scale.ceiling) == (2, 7)
    assert scale.spread == pytest.approx(math.sqrt(1 + 9))


@pytest.mark.parametrize(("ceiling", "relative"), [(0.39, None), (0.41, 0.5 / 1.05), (0.1, None)])
def test_nothing_stands_on_a_scale_that_varies_by_half_of_itself(
    ceiling: float, relative: float | None
):
    scale = Scale(floor=0.2, ceiling=ceiling, spread=0.1)
    assert scale.relative(0.3) == (None if relative is None else pytest.approx(relative))


def test_normal_readings_are_in_the_wrong_order_once_in_44_times_at_the_margin(
    rng: torch.Generator,
):
    """2,000,000 pairs: 6 standard errors of Φ(−2), false alarms below 1e-8."""
    low, high = torch.randn(2, 2_000_000, generator=rng, dtype=torch.float64)
    scale = scale_of([-0.3, 0.0, 0.3], [-0.4, 0.0, 0.4])
    gap = APART * scale.spread
    assert Scale(0.0, 1.001 * gap, scale.spread).tells
    assert not Scale(0.0, 0.999 * gap, scale.spread).tells
    wrong = float((0.3 * low > gap + 0.4 * high).double().mean())
    chance = 0.5 * math.erfc(math.sqrt(2))
    assert 43 < 1 / chance < 45
    assert wrong == pytest.approx(chance, abs=6 * math.sqrt(chance / 2_000_000))


def test_the_deviation_of_two_readings_is_too_small_about_as_often_as_too_large(
    rng: torch.Generator,
):
    """20,000 pairs: 6 standard errors, false alarms below 1e-8."""
    pairs = torch.randn(20_000, 2, generator=rng, dtype=torch.float64).tolist()
    small = sum(deviation(pair) < 1 for pair in pairs) / 20_000
    assert small == pytest.approx(math.erf(0.5), abs=6 * 0.5 / math.sqrt(20_000))
