"""Ascents on a Gaussian whose mode is known."""

import torch
from torch import Tensor

from coopkit.interfaces import Target
from coopkit.tasks.ascent import RATE, ascend
from coopkit.tasks.watching import nobody


class Watched(Target):
    """N(μ, I) that remembers where it was asked for its score."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean
        self.asked: list[Tensor] = []

    def log_prob(self, x: Tensor) -> Tensor:
        return -((x - self.mean) ** 2).sum(1) / 2

    def score(self, x: Tensor) -> Tensor:
        self.asked.append(x.clone())
        return self.mean - x


def test_the_rate_falls_from_a_tenth_to_nothing_and_the_start_stays():
    target = Watched(torch.tensor([[30.0, -30.0], [30.0, 30.0]]))
    start = torch.zeros(2, 2)
    end, height = ascend(lambda rows: target, start, 50, batch=2, watch=nobody)
    assert height.equal(target.log_prob(end))
    moves = torch.stack([*target.asked[1:], end]) - torch.stack(target.asked)
    torch.testing.assert_close(moves[0], RATE * target.mean.sign(), atol=1e-6, rtol=0)
    lengths = moves.abs().amax((1, 2))
    assert (lengths.diff() < 0).all()
    assert lengths[-1] < RATE / 500
    assert start.equal(torch.zeros(2, 2))


def test_batches_are_told_and_end_where_one_would():
    mean = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    told: list[tuple[str, int, int | None]] = []
    start = torch.zeros(5, 2)
    whole, heights = ascend(lambda rows: Watched(mean[rows]), start, 120, 5, nobody)
    parts, lower = ascend(
        lambda rows: Watched(mean[rows]), start, 120, 2, lambda *said: told.append(said)
    )
    assert parts.equal(whole)
    assert lower.equal(heights)
    assert (whole - mean).abs().max() < 0.05
    assert [done for _, done, _ in told] == list(range(361))
    assert {(doing, total) for doing, _, total in told} == {("ascending", 360)}
