"""Inference with a linear generator, whose posterior is Gaussian and known."""

import attrs
import pytest
import torch
from einops import rearrange
from tasks.linear import LATENT, SHAPE, LinearG, linear_pair
from torch import Tensor, nn

from coopkit.builtin.langevin import Langevin
from coopkit.errors import RunError
from coopkit.starting import unexpanded
from coopkit.tasks.infer import (
    PROBES,
    InferenceSettings,
    drawn_from,
    infer_latents,
    inferred,
    stable_step_size,
)
from coopkit.tasks.inpaint import InpaintingSettings, inpaint
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.trained import Trained


def posterior(pair: Trained, signal: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and precision of p(X | the observed entries of Y), equation (10)."""
    g, rows = pair.generator, observed.flatten()
    weight, off = g.weight.detach()[rows], (signal.flatten() - g.offset.detach())[rows]
    variance = pair.recipe.generator.architecture.noise_std**2
    precision = torch.eye(LATENT) + weight.T @ weight / variance
    return torch.linalg.solve(precision, weight.T @ off / variance), precision


class TwofoldG(nn.Module):
    """Each latent squared, and a tenth of it as it is, over and over."""

    def forward(self, latents: Tensor) -> Tensor:
        both = torch.cat([latents**2, latents / 10], 1)
        entries = torch.arange(SHAPE[1] * SHAPE[2]) % both.shape[1]
        return both[:, entries].reshape(-1, *SHAPE)


@pytest.fixture
def pair() -> Trained:
    return linear_pair()


@pytest.fixture
def signals() -> Tensor:
    return torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("hidden", [0, 9])
def test_chains_have_the_law_of_the_posterior(pair: Trained, signals: Tensor, hidden: int):
    observed = torch.ones_like(signals, dtype=torch.bool)
    observed.flatten(1)[:, :hidden] = False
    signals.flatten(1)[:, :hidden] = torch.nan
    chains, size = 3000, 0.25
    settings = InferenceSettings(steps=150, chains=chains, step_size=size, batch=2000)
    latents = infer_latents(pair, signals, settings, observed=observed)
    assert latents.shape == (2, chains, LATENT)
    for own, signal, seen in zip(latents, signals, observed, strict=True):
        mean, precision = posterior(pair, signal, seen)
        # Langevin dynamics has the variance of P (1 − δ²P/4) in place of P.
        law = torch.linalg.inv(precision @ (torch.eye(LATENT) - size**2 / 4 * precision))
        error = (own.mean(0) - mean) / (law.diagonal() / chains).sqrt()
        assert error.abs().max() < 5
        spread = (law.diagonal()[:, None] * law.diagonal() + law**2) / chains
        assert ((own.T.cov() - law) / spread.sqrt()).abs().max() < 5


def test_descent_ends_at_the_mode(pair: Trained, signals: Tensor):
    everything = torch.ones(SHAPE, dtype=torch.bool)
    found = infer_latents(pair, signals, InferenceSettings(steps=400, temperature=0))
    modes = torch.stack([posterior(pair, signal, everything)[0] for signal in signals])
    torch.testing.assert_close(found[:, 0], modes, atol=1e-4, rtol=0)


@pytest.mark.parametrize("hidden", [0, 9])
def test_ascent_ends_at_the_mode_and_chains_begin_there(
    pair: Trained, signals: Tensor, hidden: int
):
    observed = torch.ones_like(signals, dtype=torch.bool)
    observed.flatten(1)[:, :hidden] = False
    signals.flatten(1)[:, :hidden] = torch.nan
    modes = [posterior(pair, own, seen)[0] for own, seen in zip(signals, observed, strict=True)]
    settings = InferenceSettings(steps=0, ascent=400, chains=2)
    found = infer_latents(pair, signals, settings, observed=observed)
    for k in (0, 1):
        torch.testing.assert_close(found[:, k], torch.stack(modes), atol=1e-4, rtol=0)
    moved = attrs.evolve(settings, steps=1, step_size=0.01)
    away = infer_latents(pair, signals, moved, observed=observed) - found
    assert 0.005 < away.std() < 0.02
    assert not away[:, 0].equal(away[:, 1])


def test_ascent_reaches_the_mode_along_flat_directions(signals: Tensor):
    """Where slopes differ by 300, descent by the step of the steepest is far off as long."""
    axes = torch.linalg.qr(torch.randn(20, LATENT, generator=torch.Generator().manual_seed(1)))[0]
    pair = linear_pair(0.1)
    pair = attrs.evolve(
        pair, generator=LinearG(axes * torch.tensor([30.0, 1.0, 0.1]), torch.zeros(20))
    )
    everything = torch.ones(SHAPE, dtype=torch.bool)
    modes = torch.stack([posterior(pair, signal, everything)[0] for signal in signals])
    climbed = infer_latents(pair, signals, InferenceSettings(steps=0, ascent=300))
    settings = InferenceSettings(steps=300, temperature=0)
    descended = infer_latents(pair, signals, settings)
    assert (climbed[:, 0] - modes).abs().max() < 0.01
    assert (descended[:, 0] - modes).abs().max() > 0.3


def test_the_first_ascent_begins_at_0_and_the_others_apart(pair: Trained, signals: Tensor):
    """A first step of Adam is as long as its rate in each entry."""
    settings = InferenceSettings(steps=1, ascent=1, chains=3, step_size=1e-4)
    found = infer_latents(pair, signals, settings)
    torch.testing.assert_close(found[:, 0].abs(), torch.full((2, LATENT), 0.1), atol=1e-3, rtol=0)
    assert found[:, 1:].std() > 0.5
    assert not found[:, 1].equal(found[:, 2])


def test_the_highest_of_several_modes_comes_first():
    """g(X) sees X squared, and a little of its sign: a mode near each root, one of them higher."""
    pair = attrs.evolve(linear_pair(0.1), generator=TwofoldG())
    latents = torch.tensor([[1.2, 0.8, -1.5], [-1.0, 1.3, 0.7], [-0.9, -1.1, -1.4]])
    signals = drawn_from(pair, latents)
    settings = InferenceSettings(steps=0, ascent=300, chains=9)
    found = infer_latents(pair, signals, settings)
    drawn = drawn_from(pair, found.flatten(0, 1)).reshape(3, 9, *SHAPE)
    off = (drawn - signals[:, None]).flatten(2).square().sum(2) / 0.1**2
    height = -(off + found.square().sum(2)) / 2
    assert (height.diff(dim=1) <= 1e-3).all()
    assert (height[:, 0] - height[:, -1] > 1).all()
    torch.testing.assert_close(found[:, 0], latents, atol=0.02, rtol=0)
    holes = torch.zeros(3, *SHAPE[1:], dtype=torch.bool)
    holes[:, -1] = True
    restored = inpaint(pair, signals, holes, InpaintingSettings(inference=settings))
    torch.testing.assert_close(restored.signals, signals, atol=0.02, rtol=0)
    assert (restored.chains.mean(1) - signals).abs().max() > 0.1


def test_ascents_do_not_depend_on_each_other(pair: Trained, signals: Tensor):
    settings = InferenceSettings(steps=0, ascent=7)
    whole = infer_latents(pair, signals, settings)
    torch.testing.assert_close(whole, infer_latents(pair, signals, attrs.evolve(settings, batch=1)))
    torch.testing.assert_close(whole[1:], infer_latents(pair, signals[1:], settings))


def test_modes_are_ordered_across_batches_and_with_hidden_pixels():
    pair = attrs.evolve(linear_pair(0.1), generator=TwofoldG())
    signals = drawn_from(pair, torch.tensor([[1.2, 0.8, -1.5], [-1.0, 1.3, 0.7]]))
    observed = torch.ones_like(signals, dtype=torch.bool)
    observed[..., -1, :] = False
    settings = InferenceSettings(steps=0, ascent=300, chains=5)
    whole = infer_latents(pair, signals, settings, observed=observed)
    parts = infer_latents(pair, signals, attrs.evolve(settings, batch=3), observed=observed)
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=0)
    drawn = drawn_from(pair, whole.flatten(0, 1)).reshape(2, 5, *SHAPE)
    off = (drawn - signals[:, None])[..., :-1, :].flatten(2).square().sum(2) / 0.1**2
    assert ((off + whole.square().sum(2)).diff(dim=1) >= -1e-3).all()


def test_what_diverges_in_an_ascent_is_not_told_of_step_sizes(pair: Trained, signals: Tensor):
    settings = InferenceSettings(steps=0, ascent=3, noise_std=1e-30)
    with pytest.raises(RunError, match=r"diverged; try a larger noise_std$"):
        infer_latents(pair, signals, settings)


def test_latents_that_would_know_nothing_are_refused():
    with pytest.raises(ValueError, match="steps = 0 without an ascent"):
        InferenceSettings(steps=0)
    with pytest.raises(ValueError, match="has no use for a step_size"):
        InferenceSettings(steps=0, ascent=3, step_size=0.1)


@pytest.mark.parametrize("std", [0.1, 0.5, 30.0])
def test_step_size_is_that_of_the_steepest_direction(std: float):
    g = linear_pair().generator
    weight = g.weight.detach()
    largest = torch.linalg.eigvalsh(weight.T @ weight / std**2).max()
    rng = torch.Generator().manual_seed(0)
    found = stable_step_size(g, (LATENT,), std, rng)
    assert found == pytest.approx(float((1 + largest) ** -0.5), rel=0.02)


def test_step_size_is_that_of_the_steepest_of_the_places_that_are_tried():
    """g(X) = a X² has the curvature 1 + 4 ‖a‖² X² / σ², which is 1 at X = 0."""
    a = torch.arange(1.0, 7)

    def g(latents: Tensor) -> Tensor:
        return rearrange(latents.square() * a, "n (h w) -> n 1 h w", h=2)

    tried = torch.randn(PROBES, 1, generator=torch.Generator().manual_seed(4))
    steepest = 1 + 4 * float(a.square().sum() * tried.square().max()) / 0.5**2
    assert tried.square().max() > 2 * tried.square().min()
    found = stable_step_size(g, (1,), 0.5, torch.Generator().manual_seed(4))
    assert found == pytest.approx(steepest**-0.5, rel=1e-5)


def test_step_size_where_the_generator_is_constant():
    g = LinearG(torch.zeros(20, LATENT), torch.zeros(20))
    assert stable_step_size(g, (LATENT,), 0.3, torch.Generator()) == 1


def test_batches_and_seeds(pair: Trained, signals: Tensor):
    settings = InferenceSettings(steps=5, chains=3, temperature=0)
    whole = infer_latents(pair, signals, settings, seed=1)
    parts = infer_latents(pair, signals, attrs.evolve(settings, batch=4), seed=1)
    torch.testing.assert_close(whole, parts)
    assert not whole.equal(infer_latents(pair, signals, settings, seed=2))


def test_recipe_s_own_sampler_is_used_unless_another_is_asked(
    pair: Trained, signals: Tensor, monkeypatch: pytest.MonkeyPatch
):
    used = []
    step = Langevin.step
    monkeypatch.setattr(
        Langevin, "step", lambda self, *state: used.append(self.step_size) or step(self, *state)
    )
    own = linear_pair(0.5, 1.0, "inference.steps=2", "inference.step_size=0.125")
    infer_latents(own, signals, InferenceSettings(steps=1))
    infer_latents(own, signals, InferenceSettings(steps=1, step_size=0.5))
    infer_latents(pair, signals, InferenceSettings(steps=1))
    rng = torch.Generator().manual_seed(0)
    expected = stable_step_size(pair.generator, (LATENT,), 0.5, rng)
    begun = attrs.evolve(own, generator=unexpanded(own.generator, LATENT))
    infer_latents(begun, signals, InferenceSettings(steps=1))
    assert used == [0.125, 0.5, pytest.approx(expected, rel=0.01), 0.125]


def test_progress_is_told(pair: Trained, signals: Tensor):
    told: list[tuple[str, int, int | None]] = []
    settings = InferenceSettings(steps=25, batch=1)
    infer_latents(pair, signals, settings, watch=lambda *said: told.append(said))
    assert [done for _, done, _ in told] == [0, 10, 20, 25, 35, 45, 50]
    assert {total for *_, total in told} == {50}


def test_reconstruction_takes_the_closest_chain(pair: Trained, signals: Tensor):
    settings = InferenceSettings(steps=3, chains=4)
    latents = infer_latents(pair, signals, settings, seed=5)
    found = reconstruct(pair, signals, settings, seed=5)
    for number, own in enumerate(latents):
        errors = (drawn_from(pair, own) - signals[number]).abs().mean((1, 2, 3))
        assert found.error[number] == errors.min()
        assert found.latents[number].equal(own[errors.argmin()])
        assert found.signals[number].equal(drawn_from(pair, own)[errors.argmin()])


def test_reconstruction_of_what_the_generator_drew(pair: Trained):
    drawn = drawn_from(pair, torch.randn(3, LATENT, generator=torch.Generator().manual_seed(1)))
    settings = InferenceSettings(steps=800, temperature=0, noise_std=0.02)
    assert reconstruct(pair, drawn, settings).error.max() < 1e-3


def test_divergence_is_one_sentence(pair: Trained, signals: Tensor):
    with pytest.raises(RunError, match="diverged; try a smaller step size"):
        infer_latents(pair, signals, InferenceSettings(steps=300, step_size=2.0))


def test_a_step_size_that_is_unstable_for_n_0_i_is_refused():
    """|1 − δ²/2| is above 1 there, so that every chain along a direction that g ignores grows."""
    InferenceSettings(step_size=2.0)
    with pytest.raises(ValueError, match=r"step_size = 2\.01 is unstable for every generator"):
        InferenceSettings(step_size=2.01)


@pytest.mark.parametrize("std", [0.1, 0.5])
def test_inference_says_its_step_size_and_where_it_is_stable(std: float, signals: Tensor):
    """Between 2/√λ and a little more the mean of the chains begins to grow."""
    pair = linear_pair(std)
    weight = pair.generator.weight.detach()
    limit = 2 * float(1 + torch.linalg.eigvalsh(weight.T @ weight / std**2).max()) ** -0.5
    chosen = inferred(pair, signals, InferenceSettings(steps=1))
    assert chosen.step_size == pytest.approx(limit / 2, rel=0.02)
    assert chosen.stable_below == pytest.approx(limit, rel=0.02)
    given = [
        inferred(pair, signals, InferenceSettings(steps=1, step_size=0.01), seed=seed)
        for seed in (0, 1)
    ]
    assert [found.step_size for found in given] == [0.01, 0.01]
    assert given[0].stable_below == given[1].stable_below == pytest.approx(limit, rel=0.02)
    descent = InferenceSettings(steps=2000, temperature=0, step_size=0.97 * limit)
    infer_latents(pair, signals, descent)
    with pytest.raises(RunError, match="diverged"):
        infer_latents(pair, signals, attrs.evolve(descent, step_size=1.03 * limit))


def test_step_sizes_of_the_recipe_and_of_ascents(signals: Tensor):
    own = linear_pair(0.5, 1.0, "inference.steps=2", "inference.step_size=0.125")
    found = inferred(own, signals, InferenceSettings(steps=1))
    assert (found.step_size, found.stable_below) == (0.125, None)
    found = inferred(own, signals, InferenceSettings(steps=0, ascent=1))
    assert (found.step_size, found.stable_below) == (None, None)


def test_run_without_generator(pair: Trained, signals: Tensor):
    alone = attrs.evolve(pair, generator=None)
    with pytest.raises(RunError, match="has no generator"):
        infer_latents(alone, signals)
    with pytest.raises(RunError, match="has no generator"):
        drawn_from(alone, signals)
