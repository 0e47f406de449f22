"""Restoration with a linear generator and a Gaussian descriptor, whose answers are known."""

import attrs
import numpy as np
import pytest
import torch
from tasks.linear import SHAPE, linear_pair
from torch import Tensor

from coopkit.errors import RunError
from coopkit.inpainting import METHODS
from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.infer import InferenceSettings, drawn_from, infer_latents
from coopkit.tasks.inpaint import (
    InpaintingSettings,
    Restored,
    baselines,
    inpaint,
    restoration_error,
    restored_by,
)
from coopkit.tasks.masks import square_holes
from coopkit.tasks.trained import Trained

MODE = InferenceSettings(steps=400, temperature=0)


@pytest.fixture
def pair() -> Trained:
    return linear_pair()


@pytest.fixture
def signals() -> Tensor:
    return torch.randn((3, *SHAPE), generator=torch.Generator().manual_seed(3)) / 3


@pytest.fixture
def holes() -> Tensor:
    return square_holes(3, 2, SHAPE, 1)


def test_holes_hold_the_conditional_mean_of_a_linear_generator(
    pair: Trained, signals: Tensor, holes: Tensor
):
    occluded = signals.masked_fill(holes[:, None], torch.nan)
    restored = inpaint(pair, occluded, holes, InpaintingSettings(inference=MODE)).signals
    a, c = pair.generator.weight.detach(), pair.generator.offset.detach()
    covariance = a @ a.T + 0.25 * torch.eye(len(a))
    for y, hole, found in zip(signals.flatten(1), holes.flatten(1), restored, strict=True):
        gain = (a @ a.T)[hole][:, ~hole] @ torch.linalg.inv(covariance[~hole][:, ~hole])
        expected = c[hole] + gain @ (y - c)[~hole]
        torch.testing.assert_close(found.flatten()[hole], expected, atol=1e-4, rtol=0)
        assert found.flatten()[~hole].equal(y[~hole])


def test_blending_carries_a_constant_error_into_the_hole(pair: Trained, holes: Tensor):
    pair.generator.weight.data.zero_()
    truth = pair.generator(torch.zeros(3, 3)).detach() + 0.25
    settings = InpaintingSettings(inference=attrs.evolve(MODE, steps=1), blend=True)
    torch.testing.assert_close(inpaint(pair, truth, holes, settings).signals, truth)
    plain = inpaint(pair, truth, holes, attrs.evolve(settings, blend=False)).signals
    torch.testing.assert_close(
        restoration_error(plain / 9, truth / 9, holes), torch.full((3,), 0.25 / 9)
    )


def test_blending_carries_what_each_chain_is_off_by(pair: Trained, signals: Tensor, holes: Tensor):
    settings = InpaintingSettings(inference=InferenceSettings(steps=3, chains=4))
    latents = infer_latents(pair, signals, settings.inference, observed=~holes[:, None])
    drawn = drawn_from(pair, latents.flatten(0, 1)).unflatten(0, (3, 4))
    mean = drawn.mean(1)
    expected = mean + METHODS["laplace"](signals - mean, holes, 0)
    expected = torch.where(holes[:, None], expected, signals)
    found = inpaint(pair, signals, holes, attrs.evolve(settings, blend=True))
    torch.testing.assert_close(found.signals, expected)
    own = drawn[:, 2] + METHODS["laplace"](signals - drawn[:, 2], holes, 0)
    own = torch.where(holes[:, None], own, signals)
    torch.testing.assert_close(found.chains[:, 2], own)


def test_uncertainty_is_the_spread_of_the_chains(signals: Tensor, holes: Tensor):
    filled = torch.stack([signals, signals + 2, signals + 4], dim=1)
    restored = restored_by(signals, holes, filled)
    expected = torch.where(holes, 2.0, 0.0)
    torch.testing.assert_close(restored.uncertainty, expected)
    torch.testing.assert_close(restored.signals, signals + 2 * holes[:, None])
    single = Restored(signals, signals[:, None])
    assert single.uncertainty.equal(torch.zeros(3, *SHAPE[1:]))


def test_error_is_the_mean_over_the_hole_of_what_is_shown():
    truth = torch.zeros(1, 3, 2, 2)
    restored = torch.full((1, 3, 2, 2), 0.5)
    restored[0, 0, 0, 0] = 7.0
    hole = torch.tensor([[[True, True], [False, False]]])
    error = restoration_error(restored, truth, hole)
    assert float(error) == pytest.approx((1 + 5 * 0.5) / 6)
    shifted = restoration_error(restored - 0.2, truth - 0.2, hole, mean=0.2)
    torch.testing.assert_close(shifted, error)


def conditional(pair: Trained, signal: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and precision of the occluded pixels given the others under the descriptor."""
    f, std = pair.descriptor, pair.recipe.descriptor.architecture.reference_std
    precision = f.precision.detach() + torch.eye(len(f.linear)) / std**2
    inside = precision[hole][:, hole]
    drive = f.linear.detach()[hole] - precision[hole][:, ~hole] @ signal[~hole]
    return torch.linalg.solve(inside, drive), inside


def test_completion_has_the_conditional_law_of_the_descriptor(
    pair: Trained, signals: Tensor, holes: Tensor
):
    chains, size = 3000, 0.3
    occluded = signals.masked_fill(holes[:, None], torch.nan)
    settings = CompletionSettings(steps=200, chains=chains, batch=4000)
    drawn = complete(pair, occluded, holes, settings)
    assert drawn.shape == (3, chains, *SHAPE)
    for own, y, hole in zip(drawn.flatten(2), signals.flatten(1), holes.flatten(1), strict=True):
        assert own[:, ~hole].equal(y[~hole].expand(chains, -1))
        mean, precision = conditional(pair, y, hole)
        law = torch.linalg.inv(precision @ (torch.eye(len(mean)) - size**2 / 4 * precision))
        error = (own[:, hole].mean(0) - mean) / (law.diagonal() / chains).sqrt()
        assert error.abs().max() < 5
        spread = (law.diagonal()[:, None] * law.diagonal() + law**2) / chains
        assert ((own[:, hole].T.cov() - law) / spread.sqrt()).abs().max() < 5


def test_completion_starts_at_a_smooth_fill_or_where_it_is_told(
    pair: Trained, signals: Tensor, holes: Tensor
):
    settings = CompletionSettings(steps=0, chains=2)
    occluded = signals.masked_fill(holes[:, None], torch.nan)
    begun = complete(pair, occluded, holes, settings)
    smooth = METHODS["springs"](signals, holes, 0)
    assert begun.equal(torch.stack([smooth, smooth], dim=1))
    start = torch.full((3, 2, *SHAPE), 0.7)
    told = complete(pair, signals, holes, settings, start=start)
    assert told.equal(restored_by(signals, holes, start).chains)


def test_completion_takes_as_many_steps_as_training(pair: Trained, signals: Tensor, holes: Tensor):
    steps = pair.settings.revision_steps
    drawn = {
        count: complete(pair, signals, holes, CompletionSettings(steps=count))
        for count in (None, steps, steps + 1)
    }
    assert drawn[None].equal(drawn[steps])
    assert not drawn[None].equal(drawn[steps + 1])


def test_revision_after_inference_moves_the_hole_towards_the_descriptor(
    pair: Trained, signals: Tensor, holes: Tensor
):
    plain = InpaintingSettings(inference=attrs.evolve(MODE, chains=400))
    revised = inpaint(pair, signals, holes, attrs.evolve(plain, revision_steps=300)).signals
    for found, y, hole in zip(
        revised.flatten(1), signals.flatten(1), holes.flatten(1), strict=True
    ):
        mean, _ = conditional(pair, y, hole)
        assert (found[hole] - mean).abs().max() < 0.25
        assert found[~hole].equal(y[~hole])


def test_baselines_go_through_every_method(signals: Tensor, holes: Tensor):
    told: list[int] = []
    found = baselines(signals, holes, watch=lambda doing, done, total: told.append(done))
    assert {*found.restored, *found.refused} == set(METHODS)
    assert told == list(range(len(METHODS)))
    assert len(found.restored) >= len(METHODS) - 1
    for name, restored in found.restored.items():
        assert restored.equal(METHODS[name](signals, holes, 0))


def test_a_baseline_that_cannot_fill_a_hole_says_why(signals: Tensor):
    holes = torch.ones(3, *SHAPE[1:], dtype=torch.bool)
    holes[:, 0, 0] = False
    found = baselines(signals, holes)
    assert "plate-whole" in found.refused
    assert all(reason for reason in found.refused.values())


def test_divergence_is_one_sentence(pair: Trained, signals: Tensor, holes: Tensor):
    settings = CompletionSettings(steps=300, step_size=20.0)
    with pytest.raises(RunError, match="diverged; try a smaller step size"):
        complete(pair, signals, holes, settings)


def test_run_without_descriptor(pair: Trained, signals: Tensor, holes: Tensor):
    with pytest.raises(RunError, match="has no descriptor"):
        complete(attrs.evolve(pair, descriptor=None), signals, holes)


def test_revision_without_descriptor_is_refused_before_the_inference(
    pair: Trained, signals: Tensor, holes: Tensor
):
    told: list[str] = []
    alone, settings = attrs.evolve(pair, descriptor=None), InpaintingSettings(revision_steps=1)
    with pytest.raises(RunError, match="has no descriptor"):
        inpaint(alone, signals, holes, settings, watch=lambda doing, *how_far: told.append(doing))
    assert not told


def test_places_of_squares_are_uniform():
    corners = square_holes(4000, 2, SHAPE, 0).flatten(1).float().argmax(1)
    counts = np.bincount(corners.numpy(), minlength=20).reshape(4, 5)[:3, :4]
    assert counts.sum() == 4000
    expected = 4000 / 12
    assert ((counts - expected) ** 2 / expected).sum() < 35
