"""The leapfrog map: its order, and that it is reversible and keeps volumes."""

import math

import pytest
import torch
from torch import Tensor

from coopkit import Target

trajectories = pytest.importorskip(
    "coopkit_hmc.trajectories",
    reason="coopkit-hmc is not installed: pip install ./plugins/coopkit-hmc",
)


class Skewed(Target):
    """log p(x) = Σ x − e^x, whose score can be differentiated."""

    def log_prob(self, x: Tensor) -> Tensor:
        return (x - x.exp()).sum(1)

    def score(self, x: Tensor) -> Tensor:
        return 1 - x.exp()


TARGET = Skewed()
POINT = torch.tensor([[0.3, -0.8], [1.1, 0.2]], dtype=torch.float64)
MOMENTUM = torch.tensor([[0.7, 0.4], [-0.9, 1.2]], dtype=torch.float64)


def ways(point: Tensor, momentum: Tensor, delta: float, steps: int) -> "trajectories.Moving":
    moving = trajectories.Moving(point, momentum, TARGET.score(point), TARGET.log_prob(point))
    for _ in range(steps):
        moving = moving.leap(TARGET, torch.full((len(point), 1), delta, dtype=torch.float64))
    return moving


def error(delta: float, steps: int) -> Tensor:
    """Return how much the energy changes, for each chain."""
    end = ways(POINT, MOMENTUM, delta, steps)
    before = MOMENTUM.square().sum(1) / 2 - TARGET.log_prob(POINT)
    return (end.momentum.square().sum(1) / 2 - TARGET.log_prob(end.point) - before).abs()


@pytest.mark.parametrize(("steps", "order"), [((32, 64), 2), ((1, 1), 3)])
def test_energy_error_is_of_order_2_over_a_time_and_3_in_a_step(steps, order):
    seen = torch.log2(error(0.02, steps[0]) / error(0.01, steps[1]))
    torch.testing.assert_close(seen, torch.full_like(seen, order), atol=0.1, rtol=0)


def test_turning_the_momentum_round_leads_back():
    end = ways(POINT, MOMENTUM, 0.3, 9)
    back = ways(end.point, -end.momentum, 0.3, 9)
    torch.testing.assert_close(back.point, POINT, atol=1e-12, rtol=0)
    torch.testing.assert_close(-back.momentum, MOMENTUM, atol=1e-12, rtol=0)
    assert (end.point - POINT).norm(dim=1).min() > 0.1


def test_volumes_are_kept():
    """The determinant of the Jacobian of (y, m) after four steps is 1."""

    def flow(start: Tensor) -> Tensor:
        end = ways(start[None, :2], start[None, 2:], 0.4, 4)
        return torch.cat([end.point[0], end.momentum[0]])

    start = torch.cat([POINT[0], MOMENTUM[0]])
    jacobian = torch.autograd.functional.jacobian(flow, start)
    assert (jacobian - torch.eye(4, dtype=torch.float64)).norm() > 1
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1.0, abs=1e-12)


def test_a_quadratic_energy_is_turned_as_the_leapfrog_of_an_oscillator_does():
    """On N(0, 1) a step is (1 − δ²/2) y + δ m: with y = cos and m = 0, y_n = cos(n θ).

    cos θ = 1 − δ²/2.
    """

    class Unit(Target):
        def log_prob(self, x: Tensor) -> Tensor:
            return -x.square().sum(1) / 2

    one = torch.ones(1, 1, dtype=torch.float64)
    moving = trajectories.Moving(one, 0 * one, -one, -one[0] / 2)
    angle = math.acos(1 - 0.9**2 / 2)
    for n in range(1, 12):
        moving = moving.leap(Unit(), 0.9 * one)
        assert float(moving.point) == pytest.approx(math.cos(n * angle), abs=1e-12)
