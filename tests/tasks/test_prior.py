import attrs
import pytest
import torch
from tasks.linear import LATENT, SHAPE, linear_pair

from coopkit.errors import RunError
from coopkit.tasks.infer import InferenceSettings, infer_latents
from coopkit.tasks.inpaint import InpaintingSettings, inpaint
from coopkit.tasks.masks import square_holes
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.trained import Trained


@pytest.fixture
def fitted() -> Trained:
    """Return a pair whose data had latents of another law than N(0, I)."""
    rng = torch.Generator().manual_seed(2)
    mixing = torch.randn(LATENT, LATENT, generator=rng)
    latents = torch.randn(50, LATENT, generator=rng) @ mixing + torch.tensor([3.0, -1.0, 0.5])
    return attrs.evolve(linear_pair(), latents=latents)


def test_new_latents_have_the_law_that_the_old_ones_had(fitted: Trained):
    expanded = with_fitted_prior(fitted)
    a, c = fitted.generator.weight.detach(), fitted.generator.offset.detach()
    with torch.no_grad():
        mean = expanded.generator(torch.zeros(1, LATENT)).flatten()
        columns = expanded.generator(torch.eye(LATENT)).flatten(1) - mean
    torch.testing.assert_close(mean, a @ fitted.latents.mean(0) + c)
    expected = a @ fitted.latents.T.cov() @ a.T
    torch.testing.assert_close(columns.T @ columns, expected, atol=1e-4, rtol=1e-4)


def test_restoration_is_the_conditional_mean_under_the_fitted_law(fitted: Trained):
    signals = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(3)) / 3
    holes = square_holes(2, 2, SHAPE, 1)
    mode = InpaintingSettings(inference=InferenceSettings(steps=1500, temperature=0))
    restored = inpaint(with_fitted_prior(fitted), signals, holes, mode).signals
    a, c = fitted.generator.weight.detach(), fitted.generator.offset.detach()
    mean = a @ fitted.latents.mean(0) + c
    signal = a @ fitted.latents.T.cov() @ a.T
    for y, hole, found in zip(signals.flatten(1), holes.flatten(1), restored, strict=True):
        noisy = signal[~hole][:, ~hole] + 0.25 * torch.eye(int((~hole).sum()))
        expected = mean[hole] + signal[hole][:, ~hole] @ torch.linalg.solve(
            noisy, (y - mean)[~hole]
        )
        torch.testing.assert_close(found.flatten()[hole], expected, atol=1e-3, rtol=0)


def test_the_recipe_s_step_size_is_not_that_of_the_expanded_generator(fitted: Trained):
    own = linear_pair(0.5, 1.0, "inference.steps=2", "inference.step_size=50.0")
    own = with_fitted_prior(attrs.evolve(own, latents=fitted.latents))
    latents = infer_latents(own, torch.zeros(1, *SHAPE), InferenceSettings(steps=200))
    assert latents.abs().max() < 20


def test_fewer_examples_than_entries(fitted: Trained):
    expanded = with_fitted_prior(attrs.evolve(fitted, latents=fitted.latents[:2]))
    assert expanded.generator(torch.randn(4, LATENT)).isfinite().all()


def test_a_run_without_latents_says_so(fitted: Trained):
    with pytest.raises(RunError, match='runs by algorithm = "generator" do'):
        with_fitted_prior(attrs.evolve(fitted, latents=None))
