"""Bounds beyond which chains are said to have diverged, held against closed forms."""

import math

import attrs
import pytest
import torch
from scipy.stats import chi2
from tasks.linear import LATENT, SHAPE, LinearG, linear_pair

from coopkit.errors import RunError
from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.diverging import farthest_latents, outside
from coopkit.tasks.infer import InferenceSettings, infer_latents
from coopkit.tasks.inpaint import Restored


def test_the_bound_holds_for_the_posterior_of_a_constant_generator():
    """There p(X | Y) is N(0, I), and e^Ē times its tail is below 10⁻⁶, but not by far."""
    c, std = torch.arange(20.0) / 20, 0.5
    g = LinearG(torch.zeros(20, LATENT), c)
    signals = torch.stack([torch.zeros(SHAPE), torch.ones(SHAPE)])
    observed = torch.ones_like(signals, dtype=torch.bool)
    observed[1, ..., 0] = False
    signals[1, ..., 0] = torch.nan
    rng = torch.Generator().manual_seed(0)
    found = farthest_latents(g, signals, std, (LATENT,), rng, observed)
    for r, y, seen in zip(found, signals.flatten(1), observed.flatten(1), strict=True):
        off = float((y - c)[seen].square().sum()) / (2 * std**2)
        tail = math.exp(off) * chi2.sf(float(r) ** 2, LATENT)
        assert 1e-11 < tail < 1e-6


def test_the_bound_holds_where_latents_are_many_and_y_is_far_from_all_that_is_drawn():
    """Each term of it is needed: of 100 latents and Ē = 50, half of any leaves too large a tail."""
    signals, std = torch.ones(1, 1, 10, 10), 1.0
    rng = torch.Generator().manual_seed(0)
    (r,) = farthest_latents(lambda x: torch.zeros(len(x), 1, 10, 10), signals, std, (100,), rng)
    assert math.exp(50) * chi2.sf(float(r) ** 2, 100) < 1e-6


def test_the_bound_holds_for_the_posterior_of_a_linear_generator():
    """Its mean alone is nearer by far, though the generator is steep and Y far out."""
    pair = linear_pair(0.1)
    weight, c = pair.generator.weight.detach(), pair.generator.offset.detach()
    x = torch.tensor([[3.0, -4.0, 5.0]])
    signals = pair.generator(x).detach()
    rng = torch.Generator().manual_seed(0)
    (r,) = farthest_latents(pair.generator, signals, 0.1, (LATENT,), rng)
    precision = torch.eye(LATENT) + weight.T @ weight / 0.1**2
    mean = torch.linalg.solve(precision, weight.T @ (signals.flatten() - c) / 0.1**2)
    spread = float(torch.linalg.inv(precision).diagonal().sum().sqrt())
    assert float(mean.norm()) + 6 * spread < r < 1000


def test_finite_latents_that_are_too_far_out_have_diverged():
    """An unstable δ takes a step to something finite that p(X | Y) never draws."""
    pair = linear_pair()
    signals = torch.zeros(2, *SHAPE)
    with pytest.raises(RunError, match="diverged; try a smaller step size"):
        infer_latents(pair, signals, InferenceSettings(steps=3, step_size=1.9))
    assert infer_latents(pair, signals, InferenceSettings(steps=3)).isfinite().all()


def test_hot_chains_may_go_farther():
    """A chain at temperature T spreads by √T; this is no divergence."""
    pair = attrs.evolve(
        linear_pair(30.0), generator=LinearG(torch.zeros(20, LATENT), torch.zeros(20))
    )
    settings = InferenceSettings(steps=300, chains=50, temperature=100.0, step_size=0.5)
    found = infer_latents(pair, torch.zeros(1, *SHAPE), settings)
    assert 9 < found.std() < 12


@pytest.mark.parametrize("far", [math.inf, math.nan, -1e20, 21.0])
def test_what_is_ten_times_as_far_out_as_images_is_outside(far: float):
    signals = torch.full((2, *SHAPE), -1.9)
    assert not outside(signals, 0.1)
    signals[1, 0, 2, 3] = far
    assert outside(signals, 0.1)
    assert outside(signals, math.inf)
    assert outside(signals, 5.0) == (far != 21.0)


def test_completion_that_is_finite_but_too_far_out_has_diverged():
    """Its variance between chains would not be finite."""
    holes = torch.zeros(1, *SHAPE[1:], dtype=torch.bool)
    holes[:, 1:3, 1:3] = True
    signals, pair = torch.zeros(1, *SHAPE), linear_pair()
    settings = CompletionSettings(steps=2, chains=2, step_size=1e5)
    with pytest.raises(RunError, match="diverged; try a smaller step size"):
        complete(pair, signals, holes, settings)
    far = torch.tensor([-1e20, 1e20])[:, None, None, None].expand(2, *SHAPE)[None]
    assert Restored(signals, far).uncertainty.isinf().all()
