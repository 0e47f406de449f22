"""Latents by principal components, against data whose axes are known."""

import pytest
import torch
from torch import Tensor

from coopkit.statistics import components
from coopkit.statistics.components import component_latents

SHAPE = (2, 3, 4)
STDS = torch.tensor([9.0, 3.0, 1.0])


def known(examples: int) -> tuple[Tensor, Tensor]:
    """Return white coordinates (n, 3) and the signals that have them along orthogonal axes."""
    rng = torch.Generator().manual_seed(0)
    white = torch.randn((examples, 3), generator=rng, dtype=torch.float64)
    white = white - white.mean(0)
    white = white @ torch.linalg.inv(torch.linalg.cholesky(white.T @ white / examples).T)
    axes = torch.linalg.qr(torch.randn((24, 3), generator=rng, dtype=torch.float64))[0]
    signals = (white * STDS) @ axes.T + torch.randn(24, generator=rng, dtype=torch.float64)
    return white.float(), signals.float().reshape(-1, *SHAPE)


def latents_of(signals: Tensor, drawn: Tensor, seed: int = 0) -> Tensor:
    return component_latents(lambda rows: signals[rows], len(signals), drawn, seed)


def test_the_entries_are_the_white_coordinates_of_the_axes():
    """Up to a sign for each axis, which is nobody's to choose."""
    white, signals = known(500)
    found = latents_of(signals, torch.zeros(500, 3))
    signs = (found * white).mean(0).sign()
    torch.testing.assert_close(found * signs, white, atol=2e-3, rtol=0)


def test_what_has_no_axis_stays_as_it_was_drawn():
    _, signals = known(60)
    drawn = torch.randn((60, 8), generator=torch.Generator().manual_seed(1))
    before = drawn.clone()
    found = latents_of(signals, drawn)
    assert found[:, 3:].equal(drawn[:, 3:])
    torch.testing.assert_close(found[:, :3].T.cov(correction=0), torch.eye(3), atol=1e-3, rtol=0)
    assert drawn.equal(before)


def test_there_is_an_axis_less_than_examples():
    """White examples about a mean: rounding must not pass for the axis that centring took."""
    rng = torch.Generator().manual_seed(2)
    signals = 0.7 + 0.02 * torch.randn((6, *SHAPE), generator=rng)
    found = latents_of(signals, torch.full((6, 8), 5.0))
    assert found[:, 5:].equal(torch.full((6, 3), 5.0))
    assert found[:, :5].mean(0).abs().max() < 1e-3
    torch.testing.assert_close(found[:, :5].T.cov(correction=0), torch.eye(5), atol=1e-3, rtol=0)


def test_latents_on_a_grid_keep_their_shape():
    _, signals = known(40)
    drawn = torch.zeros(40, 2, 1, 2)
    found = latents_of(signals, drawn)
    assert found.shape == drawn.shape
    assert found.flatten(1)[:, 3].equal(torch.zeros(40))


def test_axes_of_a_part_are_used_for_all(monkeypatch: pytest.MonkeyPatch):
    white, signals = known(300)
    monkeypatch.setattr(components, "ENTRIES", 100 * 24)
    monkeypatch.setattr(components, "AT_A_TIME", 7)
    found = latents_of(signals, torch.zeros(300, 3))
    part = torch.linspace(0, 299, 100).long()
    assert found[part].mean(0).abs().max() < 1e-4
    torch.testing.assert_close(found[part].T.cov(correction=0), torch.eye(3), atol=1e-3, rtol=0)
    moved = found - found.mean(0)
    linear = torch.linalg.lstsq(white, moved).solution
    torch.testing.assert_close(white @ linear, moved, atol=1e-3, rtol=0)


def test_the_global_stream_is_left_alone():
    _, signals = known(20)
    state = torch.get_rng_state()
    first, second = (latents_of(signals, torch.zeros(20, 3)) for _ in range(2))
    assert first.equal(second)
    assert torch.get_rng_state().equal(state)


def test_examples_that_are_all_alike_have_no_axis():
    drawn = torch.randn(5, 3)
    assert latents_of(torch.ones(5, *SHAPE), drawn).equal(drawn)
