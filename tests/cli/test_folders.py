"""Folders of results: what they may replace, and what they leave where a command fails."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from coopkit.recipes import Recipe
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny" / "generator.toml"

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    return run(Recipe.read(TINY), tmp_path_factory.mktemp("runs") / "tiny").folder


@pytest.fixture
def reconstruct(call: Call, folder: Path) -> Call:
    """Return the command over one photograph as a function; later options come last."""

    def run(*arguments: object) -> tuple[int, str, str]:
        return call("reconstruct", folder, "--images", "brick", "--steps", "1", *arguments)

    return run


def results_in(folder: Path) -> Path:
    """Write what could be results to a folder."""
    (folder / "reconstructed").mkdir(parents=True)
    (folder / "figures.json").write_text('{"asked": {}}')
    (folder / "sheet.png").touch()
    (folder / "reconstructed" / "a.png").touch()
    return folder


@pytest.mark.parametrize(
    "foreign", ["letter.txt", "reconstructed/letter.txt", "restored", "letters/a.png"]
)
def test_results_with_something_else_beside_them_are_never_replaced(
    reconstruct: Call, tmp_path: Path, foreign: str
):
    file = results_in(tmp_path / "mine") / foreign
    file.parent.mkdir(exist_ok=True)
    file.write_text("dear")
    status, _, said = reconstruct("--out", "mine", "--overwrite")
    what = foreign.removesuffix("/a.png")
    sentence = f"mine holds what is no result of coopkit, {what}; give another --out"
    assert (status, said) == (2, f"coopkit: {sentence}\n")
    assert file.read_text() == "dear"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("figures", ["", "[1]", "3", '{"my": 1}'])
def test_figures_of_somebody_else_are_never_replaced(
    reconstruct: Call, tmp_path: Path, figures: str
):
    file = tmp_path / "mine" / "figures.json"
    file.parent.mkdir()
    file.write_text(figures)
    status, _, said = reconstruct("--out", "mine", "--overwrite")
    assert status == 2
    assert "mine holds what is no result of coopkit, figures.json" in said
    assert file.read_text() == figures


def test_results_are_replaced_as_a_whole(reconstruct: Call, tmp_path: Path):
    results_in(tmp_path / "r")
    status, _, said = reconstruct("--out", "r")
    assert (status, said) == (2, "coopkit: r already holds results; --overwrite replaces them\n")
    assert reconstruct("--out", "r", "--overwrite")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    assert [path.name for path in (tmp_path / "r" / "reconstructed").iterdir()] == ["brick.png"]


@pytest.mark.parametrize("out", [".", "..", "../../../results"])
def test_the_working_folder_is_never_replaced(
    reconstruct: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
):
    inside = results_in(tmp_path / "results") / "reconstructed" / "a"
    inside.mkdir()
    monkeypatch.chdir(inside)
    status, _, said = reconstruct("--out", out, "--overwrite")
    assert status == 2
    assert f"{out} cannot be replaced as a whole" in said
    assert inside.is_dir()


@pytest.mark.parametrize("images", ["r", "r/reconstructed", "r/reconstructed/a.png", "link"])
def test_what_a_command_reads_is_never_replaced(reconstruct: Call, tmp_path: Path, images: str):
    results_in(tmp_path / "r")
    (tmp_path / "link").symlink_to(tmp_path / "r")
    status, _, said = reconstruct("--images", images, "--out", "r", "--overwrite")
    said_of = f"--out r is, or holds, {images}, which is read; give another"
    assert (status, said) == (2, f"coopkit: {said_of}\n")
    assert (tmp_path / "r" / "reconstructed" / "a.png").is_file()


def test_a_mask_is_never_replaced(call: Call, folder: Path, tmp_path: Path):
    results_in(tmp_path / "r")
    asked = ("--images", "brick", "--mask", "r/sheet.png", "--out", "r", "--overwrite")
    status, _, said = call("inpaint", folder, *asked)
    assert status == 2
    assert "--out r is, or holds, r/sheet.png, which is read" in said


def test_a_size_of_a_mask_is_no_file(call: Call, folder: Path, tmp_path: Path):
    results_in(tmp_path / "3")
    asked = ("--images", "brick", "--mask", "3", "--steps", "1", "--out", "3", "--overwrite")
    assert call("inpaint", folder, *asked)[0] == 0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with two photographs, in the working folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("L", (8, 8), 99).save(folder / name)
    return folder


PHOTO = "photos/a.jpg"
IS_READ = "is, or holds, photos/a.jpg, which is read; give another"
ENDING = ": the name must end in .json"
AMONG = "lies in photos, the images given; give a place outside it"


@pytest.mark.parametrize(
    ("command", "out", "says"),
    [
        (("evaluate", "--images", PHOTO), PHOTO, IS_READ),
        (("evaluate", "--images", "photos"), "photos", "is a folder; give the name of a file"),
        (("energy", "--images", PHOTO), PHOTO, IS_READ),
        (("energy", "--images", "photos"), PHOTO, ENDING),
        (("energy", "--images", "brick", "--against", PHOTO), PHOTO, IS_READ),
        (("interpolate", "--images", PHOTO, "brick"), PHOTO, IS_READ),
        (("interpolate", "--images", "brick", PHOTO), PHOTO, IS_READ),
        (("interpolate", "--images", "brick", "photos"), "photos/b.png", AMONG),
        (("reconstruct", "--images", "photos"), "photos/new/r", AMONG),
        (("inpaint", "--images", "photos", "--mask", "3"), "photos/r", AMONG),
        (("complete", "--images", "photos", "--mask", "3"), "photos/r", AMONG),
    ],
)
@pytest.mark.usefixtures("photos")
def test_nothing_is_written_among_the_images_that_are_read(
    call: Call,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    out: str,
    says: str,
):
    monkeypatch.setattr("coopkit.tasks.trained.load", None)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    status, _, said = call(command[0], folder, *command[1:], "--out", out)
    assert (status, said) == (2, f"coopkit: --out {out}{'' if says == ENDING else ' '}{says}\n")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.usefixtures("photos")
def test_figures_may_stand_beside_the_images(call: Call, folder: Path):
    asked = ("-n", 2, "--restore", 0, "--images", "photos", "--out", "photos/e.json")
    status, _, said = call("evaluate", folder, *asked)
    assert (status, Path("photos/e.json").is_file()) == (0, True), said


def test_nothing_is_written_among_the_data_of_a_run(call: Call, photos: Path, tmp_path: Path):
    changes = ["data.source=photos", "data.crop=center", "data.crops=1"]
    run(Recipe.read(TINY, changes), tmp_path / "mine")
    for command, option, place in (
        ("sample", "--files", "photos/new"),
        ("sample", "--out", "photos/c.jpg"),
        ("interpolate", "--gif", "photos/new.gif"),
    ):
        status, _, said = call(command, "mine", option, place)
        sentence = f"{option} {place} lies in {photos}, the data of the run mine; give a place"
        assert (status, said) == (2, f"coopkit: {sentence} outside it\n")
    assert sorted(path.name for path in photos.iterdir()) == ["a.jpg", "b.jpg"]


def test_a_folder_named_as_a_packaged_photograph_is_not_read(reconstruct: Call, tmp_path: Path):
    assert reconstruct("--out", "brick/r")[0] == 0
    assert (tmp_path / "brick" / "r" / "sheet.png").is_file()


def test_figures_are_written_to_a_json_file(call: Call, folder: Path, tmp_path: Path):
    status, _, said = call("evaluate", folder, "--out", "a.jpg")
    assert (status, said) == (2, "coopkit: --out a.jpg: the name must end in .json\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["", "sheets", "sheets/mine", "start"])
def test_a_run_is_never_replaced(reconstruct: Call, folder: Path, place: str):
    before = sorted(folder.rglob("*"))
    status, _, said = reconstruct("--out", folder / place, "--overwrite")
    assert status == 2
    assert ("which is read" if place == "" else f"the run {folder}'s own files") in said
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("file", ["recipe.toml", "checkpoints/00000004/state.json", "sheets/a"])
@pytest.mark.parametrize("link", [False, True])
def test_a_file_of_a_run_is_never_written_over(
    call: Call, folder: Path, tmp_path: Path, file: str, link: bool
):
    before = sorted(folder.rglob("*"))
    (tmp_path / "link").symlink_to(folder)
    path = (tmp_path / "link" if link else folder) / file
    status, _, said = call("evaluate", folder, "-n", "2", "--out", path)
    assert status == 2
    sentence = f"--out {path} is a place of the run {folder}'s own files; give another"
    assert said == f"coopkit: {sentence}\n"
    assert sorted(folder.rglob("*")) == before


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_computed(
    call: Call, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("coopkit.tasks.trained.load", None)
    (tmp_path / "notes.txt").touch()
    for command, option, name in (
        ("sample", "--out", "a.png"),
        ("interpolate", "--out", "a.png"),
        ("interpolate", "--gif", "a.gif"),
        ("evaluate", "--out", "a.json"),
    ):
        status, _, said = call(command, folder, option, f"notes.txt/new/{name}")
        sentence = f"{option} notes.txt/new/{name} cannot be written: Not a directory"
        assert (status, said) == (2, f"coopkit: {sentence}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_results_of_a_start_stand_in_it(call: Call, folder: Path, tmp_path: Path):
    """A run in the folder start/ of another is a run like others."""
    for name in ("whole", "whole/start"):
        shutil.copytree(folder, tmp_path / name)
    asked = ("--images", "brick", "--steps", "1")
    assert call("reconstruct", tmp_path / "whole" / "start", *asked)[0] == 0
    assert (tmp_path / "whole" / "start" / "reconstruct" / "figures.json").is_file()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_stays(reconstruct: Call, tmp_path: Path, there: bool):
    if there:
        results_in(tmp_path / "disk" / "r")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "r")
    assert reconstruct("--out", "link", "--overwrite")[0] == 0
    assert (tmp_path / "link").is_symlink()
    assert "mean_absolute_error" in json.loads((tmp_path / "disk/r/figures.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]


def test_a_command_that_fails_leaves_no_folders(reconstruct: Call, tmp_path: Path):
    assert reconstruct("--images", "nowhere", "--out", "new/newer/r")[0] == 2
    assert not list(tmp_path.iterdir())
    assert reconstruct("--out", "new/newer/r")[0] == 0
    assert (tmp_path / "new" / "newer" / "r" / "figures.json").is_file()
    assert [path.name for path in tmp_path.rglob("*")].count("r") == 1
    assert not list(tmp_path.rglob(".writing*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_leaves_nothing_and_earlier_results(
    reconstruct: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    results_in(tmp_path / "r")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(
        "coopkit.tasks.reconstruct.reconstruct", lambda *_, **__: signal.raise_signal(number)
    )
    for out in ("r", "new/r"):
        status, _, said = reconstruct("--out", out, "--overwrite")
        expected = "coopkit: stopped" if number == signal.SIGINT else ""
        assert (status, said.strip()) == (128 + number, expected)
        assert sorted(tmp_path.rglob("*")) == before
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_earlier_results_come_back_where_new_ones_cannot_be_put(
    reconstruct: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    results_in(tmp_path / "r")
    before = sorted(tmp_path.rglob("*"))
    rename = Path.rename

    def refusing(path: Path, target: Path) -> Path:
        if path.name == ".writing-r":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refusing)
    assert reconstruct("--out", "r", "--overwrite")[0] == 130
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("folder_of", ["", "p" * 130 + "/" + "q" * 130])
def test_an_image_of_a_long_name_has_a_picture(
    call: Call, folder: Path, tmp_path: Path, folder_of: str
):
    images = tmp_path / "images"
    for name in ("a", "b"):
        place = images / folder_of / f"{'é' * 120}{name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(place)
    out = tmp_path / "results"
    assert call("reconstruct", folder, "--images", images, "--steps", "1", "--out", out)[0] == 0
    assert len(list((out / "reconstructed").iterdir())) == 2


def test_a_name_that_is_just_not_too_long_is_written(call: Call, folder: Path, tmp_path: Path):
    """Though what is not whole yet has a longer one."""
    names = ["a" * 251 + ".png", "b" * 255]
    assert call("sample", folder, "-n", "1", "--out", names[0], "--files", names[1])[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == names
