"""Functions whose values are in full precision and whose derivatives are in half."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coopkit.building import build_learner, new_accelerator
from coopkit.derivatives import Differentiated, Mixed, gradient, pull
from coopkit.fast import Preparation
from coopkit.recipes import Recipe
from coopkit.targets import InferenceTarget, RevisionTarget, frozen

TINY = Path(__file__).parent / "tiny" / "cooperative.toml"


def right(x: Tensor) -> Tensor:
    return x.sin().flatten(1).sum(1)


def rough(x: Tensor) -> Tensor:
    return 1.5 * right(x)


def test_values_are_those_of_the_one_and_derivatives_of_the_other(seed):
    f, x = Mixed(right, rough), torch.randn(4, 3)
    assert isinstance(f, Differentiated)
    assert torch.equal(f(x), right(x))
    torch.testing.assert_close(f.gradient(x), 1.5 * x.cos())
    torch.testing.assert_close(
        f.pull(x, lambda value: 2 * value), 2 * rough(x)[:, None] * 1.5 * x.cos()
    )
    target = RevisionTarget(f, 0.5)
    log_prob, score = target.log_prob_and_score(x)
    torch.testing.assert_close(log_prob, right(x).double() - 2 * x.square().sum(1))
    torch.testing.assert_close(score, 1.5 * x.cos() - 4 * x)


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("kind", ["descriptor", "generator"])
def test_under_mixed_precision_log_p_is_in_full_precision_and_the_score_in_half(
    kind, prepared, seed
):
    shape, tables = (1, 8, 8), ["run.mixed_precision=bf16", "run.device=cpu"]
    recipe = Recipe.read(TINY, tables)
    accelerator = new_accelerator(recipe)
    preparation = Preparation() if prepared else None
    learner = build_learner(recipe, kind, shape, accelerator, preparation)
    alone = copy.copy(learner.precise)
    signals = torch.randn(3, *shape)
    if kind == "descriptor":
        x = signals
        ours, exact = (RevisionTarget(f, 1e9) for f in (learner.frozen(), frozen(alone)))
    else:
        x = torch.randn(3, *recipe.generator.architecture.latent_shape(shape))
        ours, exact = (InferenceTarget(f, signals, 1.0) for f in (learner.frozen(), frozen(alone)))
    log_prob, score = ours.log_prob_and_score(x)
    torch.testing.assert_close(log_prob, exact.log_prob(x).detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(log_prob, ours.log_prob(x).detach(), rtol=1e-5, atol=1e-5)
    off = torch.dist(score, exact.score(x)) / exact.score(x).norm()
    assert 1e-5 < off < 0.1
    assert torch.equal(score, ours.score(x))


def test_without_mixed_precision_there_is_one_function(seed):
    recipe = Recipe.read(TINY, ["run.device=cpu"])
    learner = build_learner(recipe, "descriptor", (1, 8, 8), new_accelerator(recipe))
    assert learner.precise is None
    assert not isinstance(learner.frozen(), Mixed)


def test_the_precise_network_learns_with_the_other(seed):
    recipe = Recipe.read(TINY, ["run.mixed_precision=bf16", "run.device=cpu"])
    learner = build_learner(recipe, "descriptor", (1, 8, 8), new_accelerator(recipe))
    x = torch.randn(2, 1, 8, 8)
    before = learner.frozen()(x)
    with torch.no_grad():
        for weight in learner.network.parameters():
            weight.mul_(1.5)
    assert not torch.allclose(before, learner.frozen()(x))
    assert not learner.precise(x).requires_grad or gradient(learner.frozen(), x).isfinite().all()


class Filling:
    """A function that is evaluated two rows at a time, the last chunk filled up."""

    def __call__(self, x: Tensor) -> Tensor:
        return right(x)

    def gradient(self, x: Tensor) -> Tensor:
        return gradient(right, x)

    def pull(self, x, toward, *along):
        full = torch.cat([x, x[-1:]])
        return torch.cat([pull(right, part, toward) for part in full.split(2)])[: len(x)]


def test_what_fills_up_the_last_chunk_is_left_out(seed):
    x = torch.randn(5, 3)
    log_prob, score = RevisionTarget(Filling(), 0.5).log_prob_and_score(x)
    torch.testing.assert_close(log_prob, right(x).double() - 2 * x.square().sum(1))
    torch.testing.assert_close(score, x.cos() - 4 * x)
