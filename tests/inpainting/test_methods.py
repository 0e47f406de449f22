"""Every baseline by its name: what holds of all of them on batches of signals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coopkit.inpainting import METHODS, AbsoluteMean, solves
from coopkit.inpainting.biharmonic import biharmonic
from coopkit.inpainting.markov import squared_mean
from coopkit.inpainting.methods import BATCHES, on_signals

QUICK = {**BATCHES, "mrf-l1": AbsoluteMean(sweeps=20, burn_in=5)}
FILLS = {
    "mrf-l2": squared_mean,
    "plate-near": solves.plate_near,
    "plate-whole": solves.plate_whole,
    "laplace": solves.laplace,
    "plate-fourth": solves.plate_fourth,
    "springs": solves.springs,
    "average": solves.average,
    "biharmonic": biharmonic,
}


def quick(name: str, signals: Tensor, holes: Tensor, seed: int = 0) -> Tensor:
    """Fill with few sweeps."""
    return on_signals(QUICK[name], signals, holes, seed)


def batch(seed: int = 0, n: int = 3, channels: int = 2) -> tuple[Tensor, Tensor]:
    """Return signals and holes: two at the same place inside and one over a corner."""
    stream = torch.Generator().manual_seed(seed)
    signals = torch.randn(n, channels, 10, 12, generator=stream)
    holes = torch.zeros(n, 10, 12, dtype=torch.bool)
    holes[:, 3:7, 4:8] = True
    holes[1] = False
    holes[1, :3, 8:] = True
    return signals, holes


def test_the_names():
    assert METHODS.keys() == {"mrf-l1", *FILLS}
    signals, holes = batch()
    restored = METHODS["mrf-l1"](signals, holes, 5)
    assert torch.equal(restored, on_signals(AbsoluteMean(), signals, holes, 5))


@pytest.mark.parametrize("name", FILLS)
def test_a_batch_is_filled_signal_by_signal(name):
    signals, holes = batch()
    restored = METHODS[name](signals, holes, 0)
    for signal, hole, found in zip(signals, holes, restored, strict=True):
        alone = FILLS[name](signal.double().numpy(), hole.numpy())
        torch.testing.assert_close(found, torch.from_numpy(alone).float())


@pytest.mark.parametrize("name", QUICK)
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 4),
    channels=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_what_every_method_keeps(name, seed, n, channels, dtype):
    stream = torch.Generator().manual_seed(seed)
    signals = torch.randn(n, channels, 9, 8, generator=stream).to(dtype)
    holes = torch.rand(n, 9, 8, generator=stream) < 0.2
    known = ~holes[:, None].expand_as(signals)
    copies = signals.clone(), holes.clone()
    restored = quick(name, signals, holes, seed)
    assert restored.dtype == dtype
    assert torch.equal(restored[known], signals[known])
    assert restored.isfinite().all()
    assert torch.equal(signals, copies[0])
    assert torch.equal(holes, copies[1])
    emptied = signals.masked_fill(holes[:, None], torch.nan)
    assert torch.equal(quick(name, emptied, holes, seed), restored)


@pytest.mark.parametrize("name", QUICK)
def test_flat_signals_stay_flat(name):
    signals, holes = batch()
    flat = torch.arange(3.0)[:, None, None, None].expand_as(signals) - 1
    torch.testing.assert_close(quick(name, flat, holes), flat, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", QUICK)
def test_every_method_moves_and_scales_with_the_signals(name):
    signals, holes = batch()
    signals = signals.double()
    moved = quick(name, 4 * signals + 3, holes)
    torch.testing.assert_close(moved, 4 * quick(name, signals, holes) + 3, rtol=0, atol=1e-7)


def test_nothing_to_fill():
    signals, holes = batch()
    for name in QUICK:
        assert torch.equal(quick(name, signals, torch.zeros_like(holes)), signals)
        assert quick(name, signals[:0], holes[:0]).shape == (0, 2, 10, 12)


def test_the_seed_is_that_of_the_sampler_alone():
    signals, holes = batch()
    for name in QUICK:
        first, again = quick(name, signals, holes, 1), quick(name, signals, holes, 1)
        assert torch.equal(first, again)
        assert torch.equal(first, quick(name, signals, holes, 2)) == (name != "mrf-l1")


def test_the_sampler_is_near_the_squared_mean_where_the_field_is_smooth():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 10), torch.linspace(-1, 1, 12), indexing="ij")
    holes = batch()[1][::2]
    signals = (x + y).expand(2, 2, 10, 12)
    off = METHODS["mrf-l1"](signals, holes, 0) - METHODS["mrf-l2"](signals, holes, 0)
    assert off.abs().max() < 0.1


@pytest.mark.parametrize("name", METHODS)
def test_what_is_no_batch_is_refused(name):
    signals, holes = batch()
    fill = METHODS[name]
    with pytest.raises(ValueError, match=r"signals must be floating-point .* not torch.int64"):
        fill(signals.long(), holes, 0)
    with pytest.raises(ValueError, match=r"not torch.float32 of shape \(2, 10, 12\)"):
        fill(signals[0], holes, 0)
    with pytest.raises(ValueError, match=r"holes must be booleans of shape \(3, 10, 12\)"):
        fill(signals, holes[:2], 0)
    with pytest.raises(ValueError, match=r"not torch.float32 of shape \(3, 10, 12\)"):
        fill(signals, holes.float(), 0)
    with pytest.raises(ValueError, match=r"not torch\.bool of shape"):
        fill(signals, holes.transpose(1, 2), 0)
    with pytest.raises(ValueError, match="covers the whole field"):
        fill(signals, torch.ones_like(holes), 0)
    with pytest.raises(ValueError, match="is not finite"):
        fill(signals.log(), holes, 0)
