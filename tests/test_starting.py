"""A cooperative run whose generator begins where Algorithm 2 has left its own."""

import shutil
from pathlib import Path

import pytest
import torch

from coopkit.errors import RecipeError, RunError
from coopkit.recipe import Recipe
from coopkit.starting import Expanded, mean_and_root
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.trained import load
from coopkit.training import run

TINY = Path(__file__).parent / "tiny"
SAME = [
    "generator.architecture=object",
    "generator.latent_size=3",
    "generator.filters=[4]",
    "generator.kernel=4",
    "run.iterations=2",
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run by Algorithm 2."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    return run(
        Recipe.read(TINY / "generator.toml", [*SAME, "generator.optimizer.lr=0.01"]), folder
    ).folder


def second(start: Path, *changes: str) -> Recipe:
    overrides = [*SAME, f"generator.start='{start}'", *changes]
    return Recipe.read(TINY / "cooperative.toml", overrides)


def test_latents_with_mean_and_root_in_the_generator_are_standard():
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(40, 2, 3, generator=rng) @ torch.randn(3, 3, generator=rng) + 2
    mean, root = mean_and_root(latents)
    standard = torch.linalg.solve(root, (latents.flatten(1) - mean).T)
    torch.testing.assert_close(standard.mean(1), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.cov(), torch.eye(6), atol=1e-3, rtol=0)
    drawn = Expanded(torch.nn.Identity(), mean, root)(standard.T.reshape(40, 2, 3))
    torch.testing.assert_close(drawn, latents, atol=1e-4, rtol=0)


def test_a_run_begins_with_the_fitted_generator_of_another(first: Path, tmp_path: Path):
    # With no update of the generator its weights stay those that it began with.
    begun = load(run(second(first, "reconstruction.updates=0"), tmp_path / "b").folder)
    fitted = with_fitted_prior(load(first))
    latents = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(begun.generator(latents), fitted.generator(latents))


def test_a_run_without_latents_gives_its_weights(first: Path, tmp_path: Path):
    once = run(second(first), tmp_path / "once").folder
    plain = run(Recipe.read(TINY / "cooperative.toml", SAME), tmp_path / "plain").folder
    begun = load(run(second(plain, "reconstruction.updates=0"), tmp_path / "b").folder)
    latents = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(begun.generator(latents), load(plain).generator(latents))
    assert not load(once).generator.root.equal(torch.eye(3))


@pytest.mark.parametrize("algorithm", ["generator", "cooperative"])
def test_a_run_may_begin_where_one_that_began_from_another_ended(
    first: Path, tmp_path: Path, algorithm: str
):
    changes = [*SAME, f"generator.start='{first}'"]
    middle = run(Recipe.read(TINY / f"{algorithm}.toml", changes), tmp_path / "middle").folder
    begun = load(run(second(middle, "reconstruction.updates=0"), tmp_path / "b").folder)
    expected = load(middle)
    if algorithm == "generator":
        expected = with_fitted_prior(expected)
    latents = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(begun.generator(latents), expected.generator(latents))


def test_a_run_resumes_without_the_run_that_it_began_from(first: Path, tmp_path: Path):
    start = tmp_path / "start"
    shutil.copytree(first, start)
    whole = run(second(start), tmp_path / "whole")
    run(second(start, "run.iterations=1"), tmp_path / "parts")
    shutil.rmtree(start)
    resumed = run(second(start), tmp_path / "parts", resume=True)
    state, expected = (r.learners["generator"].network.state_dict() for r in (resumed, whole))
    assert all(state[name].equal(value) for name, value in expected.items())


def test_a_start_that_cannot_be_used(first: Path, tmp_path: Path):
    with pytest.raises(RunError, match=r"generator\.start: .*nowhere holds no run"):
        run(second(tmp_path / "nowhere"), tmp_path / "a")
    alone = run(Recipe.read(TINY / "descriptor.toml", ["run.iterations=1"]), tmp_path / "d").folder
    with pytest.raises(RunError, match="has no generator"):
        run(second(alone), tmp_path / "b")
    with pytest.raises(RunError, match="weights of the generator in the checkpoint do not fit"):
        run(second(first, "generator.filters=[5]"), tmp_path / "c")
    with pytest.raises(RecipeError, match="start"):
        Recipe.read(TINY / "cooperative.toml", ["generator.start=3"])
    with pytest.raises(RecipeError, match="start"):
        Recipe.read(TINY / "cooperative.toml", ["descriptor.start='x'"])


def test_the_start_is_written_out_and_means_the_same_elsewhere(first: Path, tmp_path: Path):
    recipe = second(first)
    written = tmp_path / "recipe.toml"
    written.write_text(recipe.to_toml())
    assert Recipe.read(written).generator.start == str(first)
