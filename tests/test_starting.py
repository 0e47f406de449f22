"""A cooperative run whose generator begins where Algorithm 2 has left its own."""

import shutil
import signal
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
import torch
from torch import nn

from coopkit.cli.training import tell_end
from coopkit.errors import DivergedError, RecipeError, RunError
from coopkit.folder import START, clear_run
from coopkit.interfaces import hookimpl
from coopkit.iterations import Iteration
from coopkit.recipes import Recipe
from coopkit.starting import Expanded, mean_and_root, unexpanded
from coopkit.tasks.describe import describe_run
from coopkit.tasks.estimate import describe_estimate, estimate, in_gib
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.trained import load
from coopkit.training import Run, run
from coopkit.watchers.files import read_metrics

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


def test_so_many_latents_have_no_covariance():
    with pytest.raises(RunError, match=r"latents of 16384 entries are too many .* 8192 at most"):
        mean_and_root(torch.zeros(2, 4, 64, 64))
    with pytest.raises(RunError, match="latents of 16384 entries"):
        unexpanded(nn.Identity(), 16384)


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
    unlike = r"first is not like this recipe's: .*stem\.0\.weight is \(64, 3\) there and \(80, 3\)"
    with pytest.raises(RunError, match=unlike):
        run(second(first, "generator.filters=[5]"), tmp_path / "c")
    with pytest.raises(
        RunError, match=r"is not like this recipe's: .* \(64, 3\) there and \(64, 2\) here"
    ):
        run(second(first, "generator.latent_size=2"), tmp_path / "e")
    with pytest.raises(RecipeError, match="start"):
        Recipe.read(TINY / "cooperative.toml", ["generator.start=3"])
    with pytest.raises(RecipeError, match="start"):
        Recipe.read(TINY / "cooperative.toml", ["descriptor.start='x'"])


def test_the_start_is_written_out_and_means_the_same_elsewhere(first: Path, tmp_path: Path):
    recipe = second(first)
    written = tmp_path / "recipe.toml"
    written.write_text(recipe.to_toml())
    assert Recipe.read(written).generator.start == str(first)


BEGUN = [
    *SAME,
    "generator.start.iterations=3",
    "generator.start.observed=5",
    "generator.start.optimizer={name='Adam', lr=0.01}",
    "generator.start.inference={steps=2, step_size=0.1}",
]


def in_one(*changes: str) -> Recipe:
    return Recipe.read(TINY / "cooperative.toml", [*BEGUN, *changes])


class StopsAt:
    """A watcher by which a run is asked to stop, as a person would."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    @hookimpl
    def iteration_finished(self, run: Run, iteration: Iteration) -> None:
        if run.iteration == self.iteration:
            signal.raise_signal(signal.SIGTERM)


def test_a_recipe_that_begins_by_algorithm_2_equals_two_runs(tmp_path: Path):
    one = run(in_one(), tmp_path / "one")
    learnt = [
        *SAME,
        "run.iterations=3",
        "run.observed=5",
        "seed=1",
        "generator.optimizer={name='Adam', lr=0.01}",
        "inference={steps=2, step_size=0.1}",
    ]
    tables = tomllib.loads((TINY / "cooperative.toml").read_text())
    kept = {name: tables[name] for name in ("data", "generator", "run")}
    first = run(
        Recipe.from_tables({"algorithm": "generator", **kept}, overrides=learnt), tmp_path / "first"
    )
    two = run(second(first.folder), tmp_path / "two")
    state, expected = (r.learners["generator"].network.state_dict() for r in (one, two))
    assert not expected["root"].equal(torch.eye(3))
    assert all(state[name].equal(value) for name, value in expected.items())
    assert load(tmp_path / "one" / START).recipe == first.recipe


@pytest.mark.parametrize("at", [1, 3])
def test_a_run_that_is_stopped_in_its_start_goes_on_to_the_same_end(
    tmp_path: Path, at: int, capsys: pytest.CaptureFixture[str]
):
    whole = run(in_one(), tmp_path / "whole")
    recipe, folder = in_one("run.iterations=1"), tmp_path / "parts"
    stopped = run(recipe, folder, watchers=[StopsAt(at)])
    assert (stopped.iteration, stopped.interrupted) == (0, signal.SIGTERM)
    tell_end(stopped)
    assert f"stopped in the start, after iteration {at} of 3, by SIGTERM" in capsys.readouterr().err
    assert describe_run(folder)["start"] == f"{at} of 3 iterations of Algorithm 2"
    goes_on = f"it has not gone beyond its start; coopkit run {folder} --resume goes on with it"
    with pytest.raises(
        RunError, match=f"{goes_on}, and {folder / START} is a run that can be used"
    ):
        load(folder)
    assert load(folder / START).iteration == at
    assert not run(recipe, folder, resume=True).interrupted
    resumed = run(in_one(), folder, resume=True)
    assert len(read_metrics(folder / START)) == 3
    state, expected = (r.learners["generator"].network.state_dict() for r in (resumed, whole))
    assert all(state[name].equal(value) for name, value in expected.items())


def test_a_folder_given_takes_the_place_of_the_start_of_a_recipe(first: Path):
    recipe = in_one(f"generator.start='{first}'")
    assert (recipe.generator.start, recipe.start_recipe) == (str(first), None)


def test_how_a_run_begins_is_written_out_with_every_key():
    recipe = in_one()
    again = Recipe.from_tables(tomllib.loads(recipe.to_toml()))
    assert again == recipe
    assert again.raw["generator"]["start"]["inference"]["temperature"] == 1.0
    assert recipe.start_recipe.run == attrs.evolve(recipe.run, iterations=3, observed=5)
    own = in_one('generator.start.latents="components"').start_recipe.run
    assert own == attrs.evolve(recipe.run, iterations=3, observed=5, latents="components")


def test_schedules_of_the_start_extend_over_its_iterations():
    rate = "{schedule='linear', start=0.3, end=0.0}"
    begun = in_one(f"generator.start.optimizer.lr={rate}").start_recipe.generator.optimizer
    assert [begun.at(t).arguments["lr"] for t in range(3)] == pytest.approx([0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("generator.start.iterations=0", "generator.start.iterations must be >= 1"),
        ("generator.start.iteration=3", "generator.start.iteration is no key of this table"),
        ("generator.start.inferense={}", "did you mean 'inference'"),
        ("generator.optimzer={}", "did you mean 'optimizer'"),
        ("generator.start.inference=3", "generator.start.inference must be a table"),
        ("generator.start.inference={}", "generator.start.inference.steps is missing"),
        ("generator.start.optimizer=3", "generator.start.optimizer must be a table"),
        ("generator.start.optimizer.lr=-1", "generator.start.optimizer Adam refuses its arguments"),
        ("generator.start=3", "generator.start must be the folder of a run, or a table"),
    ],
)
def test_every_problem_of_a_start_is_named(change: str, problem: str):
    with pytest.raises(RecipeError) as caught:
        in_one(change)
    assert problem in str(caught.value)


def test_all_problems_of_a_start_are_told_at_once():
    with pytest.raises(RecipeError) as caught:
        in_one(
            "generator.start.iterations=0",
            "generator.start.inference={steps=2, step_size=-1}",
            "generator.start.optimizer={name='Adam', lr='fast'}",
        )
    keys = [problem.split()[0] for problem in caught.value.problems]
    start = "generator.start"
    assert keys == [f"{start}.iterations", f"{start}.inference.step_size", f"{start}.optimizer"]


def test_a_run_that_is_overwritten_learns_its_start_anew(tmp_path: Path):
    folder = run(in_one("run.iterations=1"), tmp_path / "a").folder
    (folder / START / "notes.txt").write_text("mine")
    run(in_one("run.iterations=1", "generator.start.iterations=1"), folder, overwrite=True)
    assert len(read_metrics(folder / START)) == 1
    assert (folder / START / "notes.txt").read_text() == "mine"
    run(Recipe.read(TINY / "cooperative.toml", ["run.iterations=1"]), folder, overwrite=True)
    assert [path.name for path in (folder / START).iterdir()] == ["notes.txt"]


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_not_overwritten_where_another_is_to_begin_from_it(tmp_path: Path):
    folder = run(in_one(), tmp_path / "a").folder
    before = files_in(folder)
    for start in (folder, folder / START):
        with pytest.raises(RunError, match=r"generator\.start: .* which --overwrite removes"):
            run(second(start), folder, overwrite=True)
    assert files_in(folder) == before


def test_nothing_is_lost_where_the_start_has_no_place(tmp_path: Path):
    plain = Recipe.read(TINY / "cooperative.toml", SAME)
    folder = run(plain, tmp_path / "a").folder
    (folder / START).mkdir()
    (folder / START / "notes.txt").write_text("mine")
    before = files_in(folder)
    with pytest.raises(RunError, match=r"start holds files that are no run's"):
        run(in_one(), folder, overwrite=True)
    with pytest.raises(RecipeError, match=r"in \[generator\.start\], generator\.optimizer"):
        run(in_one("generator.start.optimizer={name='Muon', lr=0.1}"), tmp_path / "b")
    assert files_in(folder) == before
    assert not (tmp_path / "b").exists()


def test_a_run_that_was_copied_into_another_folder_stays(first: Path, tmp_path: Path):
    plain = Recipe.read(TINY / "cooperative.toml", SAME)
    folder = run(plain, tmp_path / "a").folder
    shutil.copytree(first, folder / START)
    before = files_in(folder / START)
    run(plain, folder, overwrite=True)
    assert files_in(folder / START) == before
    later = folder / START / "sheets" / "00000099.png"
    later.touch()
    run(in_one(), folder, overwrite=True)
    assert not later.exists()


def test_an_overwrite_that_is_cut_off_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = in_one("run.iterations=1")
    whole = run(recipe, tmp_path / "a").folder
    unlink, seen = Path.unlink, []

    def cut_off(path: Path, missing_ok: bool = False) -> None:
        seen.append(path)
        if len(seen) > allowed:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    for allowed in range(9):
        folder = shutil.copytree(whole, tmp_path / str(allowed))
        seen.clear()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", cut_off)
            with suppress(KeyboardInterrupt):
                clear_run(folder)
        assert not run(recipe, folder, overwrite=True).interrupted
    assert len(seen) == 8


def test_a_start_that_diverges_names_its_own_keys(tmp_path: Path):
    with pytest.raises(DivergedError, match=r"generator\.start\.optimizer\.lr"):
        run(in_one("generator.start.optimizer.lr=1e30"), tmp_path / "a")


def test_a_person_is_told_of_the_start(call: Callable[..., tuple[int, str, str]], tmp_path: Path):
    written = tmp_path / "recipe.toml"
    written.write_text(in_one("generator.start.iterations=2").to_toml())
    folder = tmp_path / "a"
    status, _, told = call("run", str(written), "--out", str(folder))
    first = f"first the generator alone, 2 iterations of Algorithm 2, in {folder / START}"
    lines = told.splitlines()
    assert (status, lines[1]) == (0, first)
    assert lines[0].startswith("brick: ")
    assert [line.split("  ")[0] for line in lines[2:6]] == [
        "start, iteration 1/2",
        "start, iteration 2/2",
        "iteration 1/2",
        "iteration 2/2",
    ]
    status, _, told = call("run", str(written), "--out", str(folder))
    assert status == 2
    assert first not in told


def test_an_estimate_counts_the_start():
    recipe = in_one("generator.start.observed=64", "descriptor.filters=[2048]")
    said = describe_estimate(recipe)
    own = in_gib(estimate(recipe.start_recipe).peak)
    assert not said["peak"].startswith(own)
    assert said["generator.start"].startswith(own)
