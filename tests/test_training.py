import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from coopkit import hookimpl
from coopkit.builtin.layers import NONLINEARITIES
from coopkit.checkpoint import Checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from coopkit.data import load_images
from coopkit.divergence import too_far
from coopkit.errors import DivergedError, PluginError, RecipeError, RunError
from coopkit.iterations import Iteration
from coopkit.recipe import Recipe
from coopkit.training import Run, build_run, run
from coopkit.watchers.files import read_metrics

TINY = Path(__file__).parent / "tiny"
NETWORKS = {
    "descriptor": ("descriptor",),
    "generator": ("generator",),
    "cooperative": ("descriptor", "generator"),
}
ADAM = '{name="Adam", lr=0.001, betas=[0.5, 0.999]}'
CAPPED = '{name="capped", lr={schedule="exponential", start=0.01, end=0.001}}'


def tiny(name: str = "cooperative", *overrides: str) -> Recipe:
    return Recipe.read(TINY / f"{name}.toml", overrides)


def newest(folder: Path) -> Checkpoint:
    return load_checkpoint(list_checkpoints(folder / "checkpoints")[-1])


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, tree


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    """Every tensor, number and figure of two runs is the same, bit for bit."""
    first, second = (dict(leaves(attrs.asdict(newest(folder)))) for folder in (one, other))
    assert first.keys() == second.keys()
    for key, value in first.items():
        same = (
            torch.equal(value, second[key]) if isinstance(value, Tensor) else value == second[key]
        )
        assert same, key
    assert metrics(one) == metrics(other)


@attrs.define
class StopAt:
    """Sends this process a signal at the end of an iteration."""

    iteration: int
    number: signal.Signals = signal.SIGTERM

    @hookimpl
    def iteration_finished(self, run: Run, iteration: Iteration) -> None:
        if run.iteration == self.iteration:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("optimizer", [ADAM, CAPPED], ids=["adam", "capped"])
@pytest.mark.parametrize("name", NETWORKS)
def test_resumed_run_equals_uninterrupted(tmp_path: Path, name: str, optimizer: str):
    overrides = [f"{kind}.optimizer={optimizer}" for kind in NETWORKS[name]]
    recipe = tiny(name, *overrides, "data.subtract_mean=true", "run.iterations=5")
    run(recipe, tmp_path / "whole")
    stopped = run(recipe, tmp_path / "parts", watchers=[StopAt(2)])
    assert (stopped.iteration, stopped.interrupted) == (2, signal.SIGTERM)
    assert newest(tmp_path / "parts").iteration == 2
    ended = run(recipe, tmp_path / "parts", resume=True)
    assert ended.finished
    assert not ended.interrupted
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_spectral_norm_is_resumed(tmp_path: Path):
    recipe = tiny("cooperative", "descriptor.spectral_norm=1.5", "run.iterations=4")
    run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "parts", watchers=[StopAt(2)])
    run(recipe, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_checkpoint_holds_all_that_a_run_remembers(tmp_path: Path):
    run(tiny("descriptor", "run.iterations=1"), tmp_path / "one")
    run(tiny("generator", "run.iterations=1"), tmp_path / "two")
    assert newest(tmp_path / "one").training["memory"]["chains"].shape == (4, 1, 8, 8)
    assert newest(tmp_path / "two").training["memory"]["latents"].shape == (10, 2, 2, 2)
    assert newest(tmp_path / "one").training["streams"].shape[0] == 3


class Noisy(nn.Sequential):
    """A layer that draws from torch's global stream where a network learns."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU(), nn.Dropout(0.5))


def test_dropout_is_resumed_and_follows_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(NONLINEARITIES, "relu", Noisy)
    torch.manual_seed(1)
    run(tiny(), tmp_path / "whole")
    run(tiny(), tmp_path / "parts", watchers=[StopAt(2)])
    torch.manual_seed(2)
    before = torch.get_rng_state()
    run(tiny(), tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert torch.equal(torch.get_rng_state(), before), "a run must leave the global stream alone"


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_bits_other_seed_others(tmp_path: Path, name: str):
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        run(tiny(name, f"seed={seed}", "run.iterations=2"), tmp_path / folder)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert metrics(tmp_path / "a") != metrics(tmp_path / "c")
    one, other = (newest(tmp_path / folder).training["streams"] for folder in ("a", "c"))
    assert not (one == other).all(dim=1).any(), "each stream must follow the seed"


def test_resolved_recipe_runs_to_the_same(tmp_path: Path):
    run(TINY / "cooperative.toml", tmp_path / "a")
    run(tmp_path / "a" / "recipe.toml", tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "recipe.toml").read_text() == (
        tmp_path / "b" / "recipe.toml"
    ).read_text()


def test_resume_with_more_iterations_equals_a_longer_run(tmp_path: Path):
    run(tiny("cooperative", "run.iterations=4"), tmp_path / "whole")
    run(tiny("cooperative", "run.iterations=2"), tmp_path / "parts")
    run(tiny("cooperative", "run.iterations=4"), tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_resume_of_a_finished_run_changes_nothing(tmp_path: Path):
    run(tiny(), tmp_path / "out")
    before = metrics(tmp_path / "out")
    assert run(tiny(), tmp_path / "out", resume=True).finished
    assert metrics(tmp_path / "out") == before


def test_resume_without_a_checkpoint_begins(tmp_path: Path):
    assert run(tiny(), tmp_path / "out", resume=True).iteration == 4


def test_resume_forgets_metrics_after_the_checkpoint(tmp_path: Path):
    folder = tmp_path / "out"
    run(tiny(), folder, watchers=[StopAt(2)])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 3, "seconds": 1}\n{"iteration": 4, "sec')
    run(tiny(), folder, resume=True)
    assert [line["iteration"] for line in metrics(folder)] == [1, 2, 3, 4]


def test_overwrite_removes_the_run_and_nothing_else(tmp_path: Path):
    run(tiny("cooperative", "run.iterations=3"), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    run(tiny("cooperative", "run.iterations=2"), tmp_path / "out", overwrite=True)
    run(tiny("cooperative", "run.iterations=2"), tmp_path / "fresh")
    assert_same_run(tmp_path / "out", tmp_path / "fresh")
    assert not (tmp_path / "out" / "sheets" / "00000003.png").exists()
    assert (tmp_path / "out" / "notes.txt").exists()


def change_checkpoint(folder: Path, **changes: Any) -> None:
    state = newest(folder)
    (place,) = list_checkpoints(folder / "checkpoints")
    place.rename(folder / "elsewhere")
    changed = attrs.evolve(state, training={**state.training, **changes})
    save_checkpoint(folder / "checkpoints", changed, keep=1)


def test_checkpoint_of_another_number_of_processes(tmp_path: Path):
    run(tiny(), tmp_path)
    change_checkpoint(tmp_path, processes=3)
    with pytest.raises(RunError, match="made by 3 processes and there are 1 now"):
        run(tiny(), tmp_path, resume=True)


def test_checkpoint_of_another_device(tmp_path: Path):
    run(tiny(), tmp_path)
    change_checkpoint(tmp_path, streams=torch.zeros(3, 16, dtype=torch.uint8))
    with pytest.raises(RunError, match="made on another kind of device than cpu"):
        run(tiny(), tmp_path, resume=True)


@attrs.define
class Diary:
    """Notes the hooks that are called."""

    calls: list[object] = attrs.field(factory=list)

    @hookimpl
    def run_started(self, run: Run) -> None:
        self.calls.append(("started", run.iteration))

    @hookimpl
    def iteration_finished(self, run: Run, iteration: Iteration) -> None:
        self.calls.append(run.iteration)

    @hookimpl
    def run_finished(self, run: Run) -> None:
        self.calls.append(("finished", run.failed))


def test_watchers_are_called_in_order(tmp_path: Path):
    diary = Diary()
    run(tiny(), tmp_path, watchers=[diary])
    assert diary.calls == [("started", 0), 1, 2, 3, 4, ("finished", False)]
    again = Diary()
    run(tiny("cooperative", "run.iterations=5"), tmp_path, resume=True, watchers=[again])
    assert again.calls == [("started", 4), 5, ("finished", False)]


def test_watchers_are_told_of_a_failure(tmp_path: Path):
    @attrs.define
    class Fails:
        @hookimpl
        def run_started(self, run: Run) -> None:
            raise OSError("no disk")

    diary = Diary()
    with pytest.raises(OSError, match="no disk"):
        run(tiny(), tmp_path, watchers=[diary, Fails()])
    assert diary.calls[-1] == ("finished", True)


def test_files_are_written_before_watchers_are_called(tmp_path: Path):
    @attrs.define
    class Reads:
        lines: list[int] = attrs.field(factory=list)

        @hookimpl
        def run_started(self, run: Run) -> None:
            assert (run.folder / "recipe.toml").is_file()

        @hookimpl
        def iteration_finished(self, run: Run, iteration: Iteration) -> None:
            self.lines.append(len(read_metrics(run.folder)))

    reads = Reads()
    run(tiny(), tmp_path, watchers=[reads])
    assert reads.lines == [1, 2, 3, 4]


def test_a_watcher_that_fails_costs_no_checkpoint(tmp_path: Path):
    @attrs.define
    class Fails:
        @hookimpl
        def run_finished(self, run: Run) -> None:
            raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        run(tiny(), tmp_path, watchers=[Fails(), StopAt(2)])
    assert newest(tmp_path).iteration == 2


def test_watcher_with_a_misspelt_hook_is_refused(tmp_path: Path):
    class Watcher:
        @hookimpl
        def iteration_finish(self, run: Run) -> None: ...

    with pytest.raises(PluginError, match=r"Watcher.*is not usable.*iteration_finish"):
        run(tiny(), tmp_path, watchers=[Watcher()])


def test_watcher_without_a_hook_is_refused(tmp_path: Path):
    with pytest.raises(PluginError, match="has no hook; mark one"):
        run(tiny(), tmp_path, watchers=[object()])


def test_all_four_kinds_of_signals_reach_the_watchers(tmp_path: Path):
    seen: list[Iteration] = []

    class Keep:
        @hookimpl
        def iteration_finished(self, run: Run, iteration: Iteration) -> None:
            seen.append(iteration)

    for name in NETWORKS:
        run(tiny(name, "run.iterations=1"), tmp_path / name, watchers=[Keep()])
    one, two, three = seen
    assert (one.reconstructed, two.initial, two.revised) == (None, None, None)
    shapes = {
        three.observed.shape,
        three.initial.shape,
        three.revised.shape,
        three.reconstructed.shape,
    }
    assert shapes == {(4, 1, 8, 8)}


def test_divergence_stops_with_what_to_try_and_keeps_the_last_good_checkpoint(tmp_path: Path):
    lr = 'descriptor.optimizer.lr={schedule="piecewise", values=[0.01, 1e38], boundaries=[2]}'
    recipe = tiny("cooperative", lr, "run.checkpoint_every=1", "run.iterations=9")
    with pytest.raises(DivergedError) as caught:
        run(recipe, tmp_path)
    message = str(caught.value)
    assert caught.value.iteration == len(metrics(tmp_path)) + 1
    assert f"iteration {caught.value.iteration}: {caught.value.quantity} is " in message
    assert "try a smaller descriptor.optimizer.lr" in message
    kept = newest(tmp_path)
    assert f"The last checkpoint is {list_checkpoints(tmp_path / 'checkpoints')[-1]}; " in message
    assert all(torch.isfinite(w).all() for n in kept.networks.values() for w in n.values())


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


def test_half_precision_leaves_chains_and_weights_in_float32(tmp_path: Path):
    ended = run(tiny("descriptor", "run.mixed_precision=bf16"), tmp_path / "half")
    run(tiny("descriptor", "run.mixed_precision=no"), tmp_path / "full")
    assert ended.algorithm.memory["chains"].dtype == torch.float32
    tensors = newest(tmp_path / "half").networks["descriptor"].values()
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    half, full = (metrics(tmp_path / name)[-1] for name in ("half", "full"))
    assert half != full
    assert half["energy_observed"] == pytest.approx(full["energy_observed"], rel=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_is_resumed_too(tmp_path: Path, name: str):
    recipe = tiny(name, "run.mixed_precision=bf16", "run.iterations=3")
    run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "parts", watchers=[StopAt(2)])
    run(recipe, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, which has fp16")
def test_precision_that_a_cpu_lacks_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match='mixed_precision "fp16" needs a GPU'):
        run(tiny("cooperative", "run.mixed_precision=fp16"), tmp_path)


def test_optimizer_that_does_not_fit_is_refused(tmp_path: Path):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon, which takes matrices only")
    with pytest.raises(RecipeError, match=r"generator\.optimizer does not fit: Muon only supports"):
        run(tiny("cooperative", 'generator.optimizer={name="Muon"}'), tmp_path)


def test_residual_is_measured_when_asked(tmp_path: Path):
    run(tiny(), tmp_path)
    measured = ["autoencoder_residual" in line for line in metrics(tmp_path)]
    assert measured == [True, False, True, False]


@pytest.mark.parametrize("name", NETWORKS)
def test_resuming_with_other_images_is_refused(name: str, tmp_path: Path):
    source = tmp_path / "images"
    source.mkdir()
    grey = torch.arange(64, dtype=torch.uint8).reshape(8, 8).numpy()
    Image.fromarray(grey).save(source / "one.png")
    keys = (f'data={{source="{source}", height=8, width=8}}',)
    run(tiny(name, *keys, "run.iterations=2"), tmp_path / "run")
    Image.fromarray(grey.T.copy()).save(source / "two.png")
    with pytest.raises(RunError, match="gives other images than those that the run began with"):
        run(tiny(name, *keys, "run.iterations=3"), tmp_path / "run", resume=True)


def test_a_gradient_that_overflows_is_skipped_where_the_loss_is_scaled(tmp_path: Path):
    """As in fp16: the scaler leaves the update out and lowers its scale."""
    training = build_run(tiny(), tmp_path, load_images(tiny().data))
    figures = {"descriptor_gradient_norm": torch.tensor(float("inf"))}
    with pytest.raises(DivergedError):
        training.read(figures)
    training.accelerator.scaler = torch.amp.GradScaler("cpu")
    training.read(figures)
    with pytest.raises(DivergedError):
        training.read({"energy_initial": torch.tensor(float("nan"))})
