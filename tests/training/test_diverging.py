"""When a run has diverged, and what it says then."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from training.runs import NETWORKS, metrics, newest, tiny

from coopkit import hookimpl
from coopkit.builtin.langevin import Langevin
from coopkit.checkpoint import list_checkpoints
from coopkit.divergence import Patience, advice_for, stands_still, too_far
from coopkit.errors import DivergedError
from coopkit.training import Run, run

LINEAR = ("generator.architecture=object", "generator.kernel=4", "generator.linear=true")
"""A generator without bounds."""


def test_divergence_stops_with_what_to_try_and_keeps_the_last_good_checkpoint(tmp_path: Path):
    lr = 'descriptor.optimizer.lr={schedule="piecewise", values=[0.01, 1e38], boundaries=[2]}'
    recipe = tiny("cooperative", lr, "run.checkpoint_every=1", "run.iterations=9")
    with pytest.raises(DivergedError) as caught:
        run(recipe, tmp_path)
    message = str(caught.value)
    assert caught.value.iteration == len(metrics(tmp_path)) + 1
    assert f"iteration {caught.value.iteration}: {caught.value.quantity} is " in message
    assert "try a smaller descriptor.optimizer.lr" in message
    assert "a shift.score_penalty" in message
    kept = newest(tmp_path)
    assert f"The last checkpoint is {list_checkpoints(tmp_path / 'checkpoints')[-1]}; " in message
    assert all(torch.isfinite(w).all() for n in kept.networks.values() for w in n.values())


def test_in_the_first_iteration_no_network_is_to_blame(tmp_path: Path):
    with pytest.raises(DivergedError, match="descriptor has learnt nothing yet: try a") as caught:
        run(tiny("cooperative", "revision.step_size=1e30"), tmp_path)
    assert "coopkit check langevin says whether" in str(caught.value)
    with pytest.raises(DivergedError, match=r"iteration 1: .*smaller generator\.optimizer"):
        run(tiny("cooperative", "generator.optimizer.lr=1e30"), tmp_path)


@pytest.mark.parametrize("kind", ["descriptor", "generator"])
def test_a_network_that_is_not_finite_by_itself_is_not_said_to_have_learnt(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cls = type(getattr(tiny(), kind).architecture)
    build = cls.build

    def spoilt(self, shape):
        network = build(self, shape)
        torch.nn.init.constant_(next(network.parameters()), math.nan)
        return network

    monkeypatch.setattr(cls, "build", spoilt)
    with pytest.raises(DivergedError, match="1: energy_initial is nan") as caught:
        run(tiny(), tmp_path)
    assert "This run has learnt nothing yet: g of [generator], as it began" in str(caught.value)
    assert "too strong" not in str(caught.value)


@pytest.mark.parametrize("iteration", [1, 7])
@pytest.mark.parametrize("purpose", ["revision", "inference"])
def test_a_figure_that_a_sampler_tells_is_its_own(
    iteration: int, purpose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def figures(self, state):
        told.append(0)
        return {"share": torch.tensor(math.nan if len(told) >= iteration else 1.0)}

    told: list[int] = []
    only = {"revision": ("cooperative", "inference.steps=0"), "inference": ("generator",)}
    monkeypatch.setattr(Langevin, "figures", figures, raising=False)
    with pytest.raises(DivergedError, match=rf"{purpose}\.share is nan") as caught:
        run(tiny(*only[purpose], "run.iterations=9"), tmp_path)
    assert caught.value.iteration == iteration
    said = "a figure that the sampler langevin tells of itself, which must be finite: coopkit check"
    assert said in str(caught.value)


def test_f_at_the_images_is_only_to_blame_before_it_has_learnt():
    samplers = {"revision": "langevin"}
    first, later = (
        advice_for("cooperative", t, "energy_observed", math.nan, samplers) for t in (1, 2)
    )
    assert first.startswith("Nothing has been learnt yet: f of [descriptor] is not finite")
    assert later.startswith("The descriptor has become too strong")


@pytest.mark.parametrize("algorithm", ["cooperative", "descriptor"])
def test_a_revision_that_leaves_the_images_is_divergence_though_it_is_finite(
    algorithm: str, tmp_path: Path
):
    delta = 'revision.step_size={schedule="piecewise", values=[0.002, 3.0], boundaries=[2]}'
    once = ("revision.steps=1", "run.checkpoint_every=1")
    with pytest.raises(DivergedError) as caught:
        run(tiny(algorithm, delta, *once), tmp_path)
    assert (caught.value.iteration, caught.value.quantity) == (3, "revised_minus_initial")
    assert [line["iteration"] for line in metrics(tmp_path)] == [1, 2]
    assert "smaller revision.step_size" in str(caught.value)
    assert "No two images are so far apart. The descriptor has become" in str(caught.value)
    assert f"The last checkpoint is {tmp_path / 'checkpoints' / '00000002'}; " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "reference_std", "diverged"),
    [
        ("revised_minus_initial", 2.04, 0.016, True),
        ("revised_minus_initial", 2.02, 0.016, False),
        ("revised_minus_initial", 7.9, 3.0, False),
        ("revised_minus_initial", 8.1, 3.0, True),
        ("revised_minus_initial", 2.01, math.inf, True),
        ("energy_revised", 1e9, 0.016, False),
    ],
)
def test_no_two_images_are_farther_apart(name, value, reference_std, diverged):
    assert too_far(name, value, reference_std) == diverged


def test_divergence_of_the_generator_alone_is_about_the_generator(tmp_path: Path):
    with pytest.raises(DivergedError, match=r"smaller generator\.optimizer\.lr.*No checkpoint was"):
        run(tiny("generator", "generator.optimizer.lr=1e38"), tmp_path)


def test_a_generator_that_goes_astray_is_divergence_though_it_is_finite(tmp_path: Path):
    rates = '{schedule="piecewise", values=[0.01, 10.0], boundaries=[5]}'
    rates = f"generator.optimizer={{name='Adam', lr={rates}}}"
    changes = (rates, *LINEAR, "run.iterations=60")
    with pytest.raises(DivergedError) as caught:
        run(tiny("generator", *changes), tmp_path)
    assert caught.value.quantity == "reconstructed_minus_observed"
    assert "No two images are so far apart. Try a smaller generator.optimizer.lr" in str(
        caught.value
    )
    far = [line["reconstructed_minus_observed"] > 2 for line in metrics(tmp_path)]
    assert far[-19:] == [True] * 19
    assert not any(far[:5])


@pytest.mark.parametrize("kind", ["observed", "revised"])
def test_a_generator_is_given_up_only_where_it_was_near_and_has_long_been_away(kind: str):
    patience, name = Patience(), f"reconstructed_minus_{kind}"

    def lost(value: float, std: float = math.inf) -> bool:
        return patience.lost({name: value}, True, 8, std) is not None

    assert not any(lost(9.0) for _ in range(99)), "it has not been near yet"
    assert not lost(1.9)
    assert [lost(2.1) for _ in range(20)] == [False] * 19 + [True]
    assert not lost(2.0)
    assert not any(lost(2.1) for _ in range(19))
    assert not any(lost(2.5, std=0.3) for _ in range(30)), "draws of N(0, s²I) may be as far"


@pytest.mark.parametrize("algorithm", ["cooperative", "descriptor"])
def test_a_run_in_which_no_chain_moves_is_given_up(algorithm: str, tmp_path: Path):
    delta = 'revision.step_size={schedule="piecewise", values=[0.002, 1e-30], boundaries=[3]}'
    with pytest.raises(DivergedError, match="revised_minus_initial is 0") as caught:
        run(tiny(algorithm, delta, "run.iterations=80", "run.checkpoint_every=10"), tmp_path)
    assert caught.value.iteration == len(metrics(tmp_path)) + 1 == 53
    message = str(caught.value)
    assert "For 50 iterations no chain of revision.sampler has moved" in message
    assert "revision.warmup" in message
    assert f"The last checkpoint is {tmp_path / 'checkpoints' / '00000050'}; " in message


def test_no_steps_of_revision_are_no_standstill(tmp_path: Path):
    assert run(tiny("cooperative", "revision.steps=0", "run.iterations=52"), tmp_path).finished


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_that_fails_at_once_leaves_nothing_in_the_way(name: str, tmp_path: Path):
    wrong = {"generator": "generator.optimizer.lr=1e38"}
    with pytest.raises(DivergedError, match="No checkpoint was made"):
        run(tiny(name, wrong.get(name, "revision.step_size=1e30")), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert run(tiny(name), tmp_path).finished


def test_a_folder_that_a_run_made_goes_with_it(tmp_path: Path):
    with pytest.raises(DivergedError):
        run(tiny("cooperative", "revision.step_size=1e30"), tmp_path / "runs" / "new")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("iterations", "chains", "still"),
    [(19, 1000, False), (20, 10, True), (20, 9, False), (199, 1, False), (200, 1, True)],
)
def test_few_chains_may_stand_still_for_longer(iterations: int, chains: int, still: bool):
    assert stands_still(iterations, chains) == still


class Fails:
    """A watcher with a fault, which shows before the first iteration that follows a start."""

    @hookimpl
    def run_started(self, run: Run) -> None:
        if not run.is_start:
            raise OSError("no disk")


def test_a_run_that_was_killed_is_kept_where_it_fails_to_go_on(tmp_path: Path):
    """Killed before its first checkpoint, it has its recipe, which nothing gives back."""
    run(tiny("cooperative", "run.iterations=2", "run.checkpoint_every=0"), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(OSError, match="no disk"):
        run(tmp_path / "recipe.toml", tmp_path, resume=True, watchers=[Fails()])
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_start_that_has_learnt_is_kept_where_the_run_fails(tmp_path: Path):
    start = [
        "generator.start.iterations=2",
        "generator.start.inference={steps=1, step_size=0.01}",
        "generator.start.optimizer={name='Adam', lr=0.01}",
    ]
    with pytest.raises(OSError, match="no disk"):
        run(tiny("cooperative", *start), tmp_path, watchers=[Fails()])
    assert len(list_checkpoints(tmp_path / "start" / "checkpoints")) == 1
    assert run(tiny("cooperative", *start), tmp_path, resume=True).finished
