"""A run that is taken up again is the one that was never interrupted."""

import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from training.runs import NETWORKS, StopAt, assert_same_run, metrics, newest, tiny

from coopkit.builtin.layers import NONLINEARITIES
from coopkit.checkpoint import list_checkpoints, save_checkpoint
from coopkit.errors import RunError
from coopkit.resuming import check_alike, lay_as_weights
from coopkit.training import run

ADAM = '{name="Adam", lr=0.001, betas=[0.5, 0.999]}'
CAPPED = '{name="capped", lr={schedule="exponential", start=0.01, end=0.001}}'


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


def test_fewer_iterations_than_are_done_are_refused(tmp_path: Path):
    run(tiny(), tmp_path)
    recipe = (tmp_path / "recipe.toml").read_text()
    with pytest.raises(RunError, match=r"run.iterations 3: .* has done 4 iterations already"):
        run(tiny("cooperative", "run.iterations=3"), tmp_path, resume=True)
    assert (tmp_path / "recipe.toml").read_text() == recipe


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


def test_a_resumed_run_is_the_same_where_weights_lie_by_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Fused updates go through weights and what is known of them in the order of the memory."""

    def put(network: nn.Module, *_: object) -> None:
        network.to(memory_format=torch.channels_last)
        laid.append(any(not weight.is_contiguous() for weight in network.parameters()))

    laid: list[bool] = []
    monkeypatch.setattr("coopkit.building.order_weights", put)
    fused = '{name="Adam", lr=0.001, fused=true}'
    keys = [f"{kind}.optimizer={fused}" for kind in NETWORKS["cooperative"]]
    recipe = tiny("cooperative", *keys, 'run.fast="auto"', "run.iterations=4")
    run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "parts", watchers=[StopAt(2)])
    run(recipe, tmp_path / "parts", resume=True)
    assert any(laid)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_what_an_optimiser_knows_lies_as_its_weights_do(seed: int):
    weight = nn.Parameter(torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    state = optimizer.state[weight]
    known = state["exp_avg"].clone()
    state["exp_avg"], step = known.contiguous(), state["step"]
    lay_as_weights(optimizer)
    assert state["exp_avg"].stride() == weight.stride()
    assert torch.equal(state["exp_avg"], known)
    assert state["step"] is step


@pytest.mark.parametrize(
    ("others", "said"), [([3, -1], ""), ([0, -1], "at iterations [3, 0]"), ([3, 5], "[3, 5]")]
)
def test_processes_that_found_different_states_are_refused(others: list[int], said: str):
    def gather(here: Tensor) -> Tensor:
        assert here.tolist() == [[3, -1]]
        return torch.cat([here, torch.tensor([others])])

    accelerator = SimpleNamespace(gather=gather, device="cpu")
    found = SimpleNamespace(accelerator=accelerator, iteration=3, start=None, folder="out")
    if not said:
        check_alike(found)
        return
    with pytest.raises(RunError, match=re.escape(said)):
        check_alike(found)
