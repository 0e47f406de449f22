import re
from pathlib import Path

import attrs
import pytest
import torch
from tasks.linear import linear_pair

from coopkit.errors import RunError
from coopkit.recipes import Recipe
from coopkit.tasks.describe import describe_run
from coopkit.tasks.sample import sample
from coopkit.tasks.trained import Trained, load
from coopkit.training import Run, run

TINY = Path(__file__).parents[1] / "tiny"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Return a finished run of each algorithm, which no test changes."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: run(Recipe.read(TINY / f"{name}.toml", ["data.subtract_mean=true"]), folder / name)
        for name in ("descriptor", "generator", "cooperative")
    }


def trained(runs: dict[str, Run], name: str) -> Trained:
    return load(runs[name].folder)


@pytest.mark.parametrize("name", ["descriptor", "generator", "cooperative"])
def test_networks_are_as_they_were_when_training_ended(runs: dict[str, Run], name: str):
    loaded = trained(runs, name)
    assert loaded.iteration == 4
    assert loaded.mean == runs[name].images.mean
    assert loaded.signal_shape == (1, 8, 8)
    for kind in ("descriptor", "generator"):
        network = getattr(loaded, kind)
        assert (network is not None) == (kind in runs[name].learners)
        if network is not None:
            assert not network.training
            state = runs[name].learners[kind].network.state_dict()
            assert all(state[key].equal(value) for key, value in network.state_dict().items())


def test_chains_of_algorithm_1_are_loaded(runs: dict[str, Run]):
    chains = runs["descriptor"].algorithm.memory["chains"]
    assert trained(runs, "descriptor").chains.equal(chains)


def test_samples_are_drafted_and_revised(runs: dict[str, Run]):
    drawn = sample(trained(runs, "cooperative"), 5)
    assert drawn.initial.shape == drawn.revised.shape == (5, 1, 8, 8)
    assert not drawn.initial.equal(drawn.revised)
    assert torch.pdist(drawn.revised.flatten(1)).min() > 0


def test_samples_follow_the_seed(runs: dict[str, Run]):
    pair = trained(runs, "cooperative")
    assert sample(pair, 3, seed=1).revised.equal(sample(pair, 3, seed=1).revised)
    assert not sample(pair, 3, seed=1).revised.equal(sample(pair, 3, seed=2).revised)


def test_samples_come_in_chunks_that_cover_them_all(runs: dict[str, Run]):
    assert sample(trained(runs, "cooperative"), 5, chunk=2).revised.shape[0] == 5


def test_no_steps_leave_the_draft(runs: dict[str, Run]):
    drawn = sample(trained(runs, "cooperative"), 2, steps=0)
    assert drawn.initial.equal(drawn.revised)


def test_generator_alone_only_drafts(runs: dict[str, Run]):
    assert sample(trained(runs, "generator"), 2).revised is None


def test_descriptor_alone_revises_its_chains(runs: dict[str, Run]):
    loaded = trained(runs, "descriptor")
    assert sample(loaded, 3).initial.equal(loaded.chains[:3])
    with pytest.raises(RunError, match="4 persistent chains and no generator; ask for that many"):
        sample(loaded, 5)


def test_folder_without_a_run(tmp_path: Path):
    with pytest.raises(RunError, match=r"holds no run: there is no recipe\.toml in it"):
        load(tmp_path)


def test_run_without_a_checkpoint(runs: dict[str, Run], tmp_path: Path):
    text = (runs["cooperative"].folder / "recipe.toml").read_text()
    (tmp_path / "recipe.toml").write_text(text)
    said = (
        f"the run {tmp_path} has no checkpoint yet; coopkit run {tmp_path} --resume goes on with it"
    )
    with pytest.raises(RunError, match=f"^{re.escape(said)}$"):
        load(tmp_path)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99", "cpu:x"])
def test_device_that_is_not_there(runs: dict[str, Run], device: str):
    with pytest.raises(RunError, match=f"the device '{device}' cannot be used: "):
        load(runs["cooperative"].folder, device)


def test_recipe_that_was_changed_afterwards(runs: dict[str, Run], tmp_path: Path):
    folder = runs["cooperative"].folder
    text = (folder / "recipe.toml").read_text()
    (tmp_path / "recipe.toml").write_text(text.replace("latent_size = 2", "latent_size = 3"))
    (tmp_path / "checkpoints").symlink_to(folder / "checkpoints")
    with pytest.raises(RunError, match="weights of the generator in the checkpoint do not fit"):
        load(tmp_path)


def test_description_of_a_run(runs: dict[str, Run]):
    said = describe_run(runs["cooperative"].folder)
    assert said["algorithm"] == "cooperative"
    assert said["iterations"] == "4 of 4"
    assert said["descriptor"] == "texture, trained by capped"
    assert said["generator"] == "texture, trained by Adam"
    assert "torch" in said["versions"]
    assert said["newest checkpoint"].endswith("00000004")
    assert "energy_observed" in said


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_description_without_a_whole_environment(
    runs: dict[str, Run], tmp_path: Path, content: str | None
):
    text = (runs["cooperative"].folder / "recipe.toml").read_text()
    (tmp_path / "recipe.toml").write_text(text)
    if content is not None:
        (tmp_path / "environment.json").write_text(content)
    with pytest.raises(RunError, match=r"environment\.json is damaged or missing"):
        describe_run(tmp_path)


@pytest.mark.parametrize(("iteration", "steps"), [(0, 3), (1, 3), (2, 7)])
def test_settings_are_those_of_the_last_iteration_that_was_done(iteration: int, steps: int):
    pair = linear_pair(
        0.5, 1.0, 'revision.steps={schedule="piecewise", values=[3, 7], boundaries=[1]}'
    )
    assert attrs.evolve(pair, iteration=iteration).settings.revision_steps == steps
