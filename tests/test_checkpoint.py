import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from coopkit.checkpoint import (
    Checkpoint,
    all_finite,
    list_checkpoints,
    load_checkpoint,
    put_weights,
    save_checkpoint,
)
from coopkit.errors import RunError


def checkpoint(iteration: int = 3, fill: float = 1.0) -> Checkpoint:
    shared = torch.arange(6.0)
    training = {
        "optimizers": {"generator": {"state": {0: {"step": torch.tensor(2.0)}, 12: {}}}},
        "groups": [{"lr": 0.1, "betas": (0.5, 0.999), "params": [0, 1], "foreach": None}],
        "streams": torch.arange(10, dtype=torch.uint8),
        "views": [shared[:3], shared[3:], shared],
        "tensor": {"tensor": "a key of this name"},
        "mean": 0.1 + 0.2,
    }
    return Checkpoint(iteration, {"generator": {"weight": torch.full((2,), fill)}}, training)


def test_round_trip_of_a_nested_tree(tmp_path: Path):
    saved = checkpoint()
    loaded = load_checkpoint(save_checkpoint(tmp_path, saved, keep=1))
    assert loaded.iteration == 3
    assert torch.equal(loaded.networks["generator"]["weight"], torch.ones(2))
    training = loaded.training
    state = training["optimizers"]["generator"]["state"]
    assert list(state) == [0, 12]
    assert state[0]["step"] == 2.0
    assert training["groups"] == [
        {"lr": 0.1, "betas": [0.5, 0.999], "params": [0, 1], "foreach": None}
    ]
    assert training["streams"].dtype == torch.uint8
    for before, after in zip(saved.training["views"], training["views"], strict=True):
        assert torch.equal(before, after)
    assert training["tensor"] == {"tensor": "a key of this name"}
    assert training["mean"] == 0.1 + 0.2


def test_only_the_newest_are_kept(tmp_path: Path):
    for iteration in (1, 5, 20, 100):
        save_checkpoint(tmp_path, checkpoint(iteration), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000020", "00000100"]


def test_leftover_of_a_killed_writer_is_ignored_and_removed(tmp_path: Path):
    leftover = tmp_path / ".writing-00000009"
    leftover.mkdir()
    (leftover / "state.json").write_text("{")
    assert list_checkpoints(tmp_path) == []
    save_checkpoint(tmp_path, checkpoint(), keep=1)
    assert not leftover.exists()


def test_what_is_left_of_a_checkpoint_gives_way_to_a_whole_one(tmp_path: Path):
    place = save_checkpoint(tmp_path, checkpoint(), keep=1)
    (place / "state.json").unlink()
    assert list_checkpoints(tmp_path) == []
    assert save_checkpoint(tmp_path, checkpoint(), keep=1) == place
    assert list_checkpoints(tmp_path) == [place]


def test_nothing_stands_in_place_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Fail at each file in turn: no checkpoint must be listed, the older one must stay."""
    save_checkpoint(tmp_path, checkpoint(1), keep=1)
    from coopkit import checkpoint as module

    real = module.save_file
    for failing in range(2):
        calls = 0

        def save(tensors: object, path: Path, at: int = failing) -> None:
            nonlocal calls
            calls += 1
            if calls > at:
                raise OSError("the disk is full")
            real(tensors, path)

        monkeypatch.setattr(module, "save_file", save)
        with pytest.raises(RunError, match="00000002 cannot be written: the disk is full"):
            save_checkpoint(tmp_path, checkpoint(2), keep=1)
        assert [path.name for path in list_checkpoints(tmp_path)] == ["00000001"]
        load_checkpoint(tmp_path / "00000001")


@pytest.mark.parametrize("file", ["state.json", "training.safetensors", "generator.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_checkpoint_is_named(tmp_path: Path, file: str, damage: str):
    place = save_checkpoint(tmp_path, checkpoint(), keep=1)
    if damage == "gone":
        (place / file).unlink()
    else:
        whole = (place / file).read_bytes()
        (place / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=r"00000003 is damaged: .*; remove it to go on from an old"):
        load_checkpoint(place)


def test_state_of_another_make_is_damaged_too(tmp_path: Path):
    place = save_checkpoint(tmp_path, checkpoint(), keep=1)
    (place / "state.json").write_text(json.dumps([1, 2]))
    with pytest.raises(RunError, match="is damaged"):
        load_checkpoint(place)


def test_a_checkpoint_of_a_newer_coopkit_is_not_called_damaged(tmp_path: Path):
    place = save_checkpoint(tmp_path, checkpoint(3), keep=2)
    state = json.loads((place / "state.json").read_text())
    (place / "state.json").write_text(json.dumps({**state, "format": state["format"] + 1}))
    with pytest.raises(RunError, match=r"00000003 is of a newer coopkit; upgrade to read it"):
        load_checkpoint(place)


def test_folders_of_other_names_are_no_checkpoints(tmp_path: Path):
    place = save_checkpoint(tmp_path, checkpoint(), keep=1)
    place.rename(tmp_path / "00000003 (copy)")
    assert list_checkpoints(tmp_path) == []


def test_weights_that_do_not_fit():
    with pytest.raises(RunError, match="weights of the generator in the checkpoint do not fit"):
        put_weights(nn.Linear(2, 2), {"weight": torch.ones(3)}, "generator")


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_weights_that_are_not_finite_are_seen(tmp_path: Path, value: float):
    assert all_finite(checkpoint())
    assert not all_finite(checkpoint(fill=value))
    place = save_checkpoint(tmp_path, checkpoint(fill=value), keep=1)
    with pytest.raises(RunError, match=r"00000003 is damaged: a weight is not finite; remove it"):
        load_checkpoint(place)


def test_nothing_holds_the_files_that_were_read(tmp_path: Path):
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no list of what this process holds")
    place = save_checkpoint(tmp_path, checkpoint(), keep=2)
    read = load_checkpoint(place)
    assert read.iteration == 3
    assert str(place) not in maps.read_text()


def test_a_folder_that_cannot_go_yet_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A network file system keeps what another process holds."""
    plain = shutil.rmtree

    def kept(folder: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise OSError("Directory not empty")

    monkeypatch.setattr("coopkit.checkpoint.shutil.rmtree", kept)
    for iteration in (1, 2, 3):
        save_checkpoint(tmp_path, checkpoint(iteration), keep=1)
    assert [load_checkpoint(place).iteration for place in list_checkpoints(tmp_path)] == [3]
    monkeypatch.setattr("coopkit.checkpoint.shutil.rmtree", plain)
    save_checkpoint(tmp_path, checkpoint(4), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["00000004"]
