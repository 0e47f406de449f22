import errno
from pathlib import Path

import pytest
from PIL import Image

from coopkit import hookimpl, training
from coopkit.checkpoint import list_checkpoints
from coopkit.errors import PluginError, RecipeError, RunError
from coopkit.folder import LOCK_FILE, Hold
from coopkit.recipes import Recipe
from coopkit.training import Run, run

TINY = Path(__file__).parent / "tiny"


def tiny(*overrides: str) -> Recipe:
    return Recipe.read(TINY / "cooperative.toml", overrides)


def test_another_run_is_not_written_over(tmp_path: Path):
    run(tiny(), tmp_path)
    with pytest.raises(RunError, match=r"already holds a run; --resume .* --overwrite .* --out"):
        run(tiny(), tmp_path)


@pytest.mark.parametrize("file", ["notes.txt", "recipe.toml"])
def test_folder_of_somebody_else_is_left_alone(tmp_path: Path, file: str):
    (tmp_path / file).write_text("seed = 1")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="give another folder"):
            run(tiny(), tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("out", ["photos", "photos/runs/mine"])
def test_sheets_do_not_come_to_lie_among_the_images(tmp_path: Path, out: str):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("L", (8, 8), 99).save(photos / "a.png")
    with pytest.raises(RunError, match=r"photos.* lies in data\.source .*photos, whose images"):
        run(tiny(f"data.source={photos}"), tmp_path / out)
    assert [path.name for path in photos.iterdir()] == ["a.png"]


def test_file_is_no_folder(tmp_path: Path):
    (tmp_path / "out").touch()
    with pytest.raises(RunError, match="out is a file; a run needs a folder of its own"):
        run(tiny(), tmp_path / "out")


def test_overwrite_keeps_the_old_run_until_the_new_one_can_start(tmp_path: Path):
    run(tiny(), tmp_path)
    with pytest.raises(RecipeError, match="too small for kernels"):
        run(
            tiny("descriptor.kernels=[30]", 'descriptor.padding="none"'),
            tmp_path,
            overwrite=True,
        )
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_resume_and_overwrite_exclude_each_other(tmp_path: Path):
    with pytest.raises(RunError, match="exclude each other"):
        run(tiny(), tmp_path, resume=True, overwrite=True)


def test_resume_with_another_recipe_names_the_keys(tmp_path: Path):
    run(tiny(), tmp_path)
    other = tiny("revision.step_size=0.02", "seed=2", "run.sheet_every=3")
    with pytest.raises(RunError, match=r"another recipe: revision\.step_size, seed differ"):
        run(other, tmp_path, resume=True)


def test_overwrite_keeps_the_old_run_if_a_watcher_is_not_usable(tmp_path: Path):
    run(tiny(), tmp_path)
    with pytest.raises(PluginError, match="has no hook"):
        run(tiny(), tmp_path, overwrite=True, watchers=[object()])
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


class Second:
    """A watcher that begins another run in the same folder."""

    def __init__(self, **how: bool) -> None:
        self.how = how
        self.said = ""

    @hookimpl
    def iteration_finished(self, run: Run) -> None:
        with pytest.raises(RunError) as caught:
            training.run(tiny(), run.folder, **self.how)
        self.said = str(caught.value)


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_a_folder_in_which_a_run_is_at_work_is_left_to_it(tmp_path: Path, how: str):
    second = Second(**{how: True})
    ended = run(tiny("run.checkpoint_every=1"), tmp_path / "run", watchers=[second])
    assert f"another run is at work in {tmp_path / 'run'}; wait until it ends" in second.said
    assert ended.finished
    assert len(list_checkpoints(tmp_path / "run" / "checkpoints")) == 2
    assert not list((tmp_path / "run").glob(".*"))


def test_a_lock_that_a_killed_run_has_left_is_in_nobodys_way(tmp_path: Path):
    (tmp_path / LOCK_FILE).touch()
    assert run(tiny(), tmp_path).finished


@pytest.mark.parametrize("lacks", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_files_cannot_be_locked_a_run_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: int
):
    fcntl = pytest.importorskip("fcntl", reason="locks of POSIX")

    def lacking(*_: object) -> None:
        raise OSError(lacks, "no locks here")

    monkeypatch.setattr(fcntl, "flock", lacking)
    place = tmp_path / "run"
    with Hold(place).kept(True), Hold(place).kept(True):
        pass
    assert run(tiny(), place).finished
    assert not list((tmp_path / "run").glob(".*"))


def test_a_folder_in_which_a_run_was_while_another_was_prepared_is_left_alone(tmp_path: Path):
    hold = Hold(tmp_path)
    run(tiny(), tmp_path)
    with pytest.raises(RunError, match="another run has just been at work in"), hold.kept(True):
        raise AssertionError("it was let in")
    with Hold(tmp_path).kept(True):
        pass
