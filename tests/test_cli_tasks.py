"""The commands over the tasks: what they write, and what they refuse."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coopkit.cli import console
from coopkit.cli.results import FORMATS
from coopkit.recipe import Recipe
from coopkit.sheets import GAP, LEAST_CELL, TITLE, draw_signal, save_image
from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.given import read_given
from coopkit.tasks.infer import InferenceSettings, drawn_from
from coopkit.tasks.inpaint import InpaintingSettings, inpaint, restoration_error
from coopkit.tasks.masks import square_holes
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.trained import load
from coopkit.training import run

TINY = Path(__file__).parent / "tiny"

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished run of each algorithm, and two folders of images."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("descriptor", "generator", "cooperative"):
        changes = ["data.resize=fit", "data.subtract_mean=true"]
        run(Recipe.read(TINY / f"{name}.toml", changes), folder / name)
    rng = np.random.default_rng(0)
    for number in range(5):
        pixels = 255 * rng.integers(0, 2, (8, 8), dtype=np.uint8)
        place = folder / ("images" if number < 3 else "others") / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place)
    return folder


@pytest.fixture
def call(call: Call, runs: Path) -> Call:
    """Return the command line as a function; arguments that open with @ lie beside the runs."""

    def run(*arguments: str) -> tuple[int, str, str]:
        return call(*(runs / a[1:] if a.startswith("@") else a for a in arguments))

    return run


def cells(sheet: Path, count: int) -> "list[np.typing.NDArray[np.uint8]]":
    """Return the signals of 8×8 that stand first in a sheet's topmost row, one colour of each."""
    with Image.open(sheet) as image:
        shown = np.asarray(image)[TITLE : TITLE + LEAST_CELL, :, 0]
    width = LEAST_CELL + GAP
    return [shown[::16, k * width : k * width + LEAST_CELL : 16] for k in range(count)]


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_images_are_named_by_where_they_are(call: Call, tmp_path: Path, runs: Path):
    files = ["a/x.png", "b/x.bmp", "b/x.png"]
    for number, file in enumerate(files):
        (tmp_path / "nest" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.open(runs / "images" / f"{number}.png").save(tmp_path / "nest" / file)
    asked = ("@cooperative", "--images", "nest")
    status, said, _ = call("energy", *asked, "--out", "e.json")
    assert status == 0
    rows = json.loads((tmp_path / "e.json").read_text())["images"]
    assert sorted(row["name"] for row in rows) == files
    assert all(f"nest: {file}" in said for file in files)
    more = ("--steps", "1", "--out")
    assert call("reconstruct", *asked, *more, "r")[0] == 0
    assert list(json.loads((tmp_path / "r" / "figures.json").read_text())["images"]) == files
    assert call("inpaint", *asked, "--mask", "3", *more, "i")[0] == 0
    errors = json.loads((tmp_path / "i" / "figures.json").read_text())["errors"]
    assert list(errors["coopkit"]["images"]) == files
    for pictures in ("r/reconstructed", "i/restored"):
        names = sorted(path.name for path in (tmp_path / pictures).iterdir())
        assert names == ["a-x.png", "b-x-2.png", "b-x.png"]


def test_sample_writes_single_files(call: Call, tmp_path: Path):
    status, _, said = call("sample", "@cooperative", "-n", "3", "--files", "each")
    assert (status, said) == (0, "wrote 6 pictures into each\n")
    assert [path.name for path in tmp_path.iterdir()] == ["each"]
    names = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert names == [f"S{kind}-0000{number}.png" for kind in (1, 2) for number in range(3)]
    assert size(tmp_path / "each" / names[0]) == (8, 8)
    status, _, said = call("sample", "@cooperative", "--files", "each")
    assert (status, said) == (2, "coopkit: --files each is not empty; give a new folder\n")
    assert call("sample", "@cooperative")[2] == "wrote sheet.png\n"
    status, _, said = call("sample", "@cooperative", "--files", "sheet.png")
    assert (status, said) == (2, "coopkit: --files sheet.png is a file; give a new folder\n")


def test_one_picture_is_no_pictures(call: Call):
    said = call("sample", "@generator", "-n", "1", "--files", "each")[2]
    assert said == "wrote 1 picture into each\n"


def test_single_files_are_written_whole_or_not_at_all(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written: list[Path] = []

    def full_disk(image: Image.Image, path: Path) -> None:
        if len(written) == 4:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        save_image(image, path)

    monkeypatch.setattr("coopkit.sheets.save_image", full_disk)
    (tmp_path / "each").mkdir()
    status, _, said = call("sample", "@cooperative", "-n", "3", "--files", "each")
    assert status == 2
    assert "cannot be used: No space left on device" in said
    assert len(written) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["each"]
    assert not list((tmp_path / "each").iterdir())


def test_single_files_beside_their_sheet(call: Call, tmp_path: Path):
    beside = ("--files", "each", "--out", "each/sheet.png")
    assert call("sample", "@generator", "-n", "2", *beside)[0] == 0
    names = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert names == ["S1-00000.png", "S1-00001.png", "sheet.png"]


def test_a_sheet_of_many_shows_the_first(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("coopkit.cli.drawing.SHOWN", 4)
    assert call("sample", "@generator", "-n", "4")[2] == "wrote sheet.png\n"
    expected = size(tmp_path / "sheet.png")
    said = call("sample", "@generator", "-n", "9")[2]
    shown = "it shows the first 4 of 9 signals; --files DIR writes each of them"
    assert said == f"wrote sheet.png\n{shown}\n"
    assert size(tmp_path / "sheet.png") == expected


def test_a_sheet_too_large_for_its_format_is_one_sentence(call: Call, tmp_path: Path):
    asked = ("-n", "1", "--frames", "600", "--out")
    status, _, said = call("interpolate", "@generator", *asked, "p.webp")
    assert status == 2
    assert "coopkit: p.webp: a picture of 160 x 79200 pixels cannot be written as .webp" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", FORMATS)
def test_a_sheet_is_written_in_every_format_that_is_named(call: Call, tmp_path: Path, ending: str):
    assert call("sample", "@generator", "-n", "1", "--out", f"sheet{ending}")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"sheet{ending}"]


def test_sample_of_another_size(call: Call, tmp_path: Path):
    assert call("sample", "@cooperative", "--size", "16x24", "-n", "1", "--files", "a")[0] == 0
    assert size(tmp_path / "a" / "S2-00000.png") == (24, 16)
    assert call("sample", "@cooperative", "--size", "12", "-n", "1", "--files", "b")[0] == 0
    assert size(tmp_path / "b" / "S2-00000.png") == (12, 12)
    status, _, said = call("sample", "@cooperative", "--size", "big")
    assert status == 2
    assert "'big' is no size; give pixels, such as 512 or 256x512" in said


def test_interpolate(call: Call, tmp_path: Path):
    arguments = ("interpolate", "@cooperative", "-n", "2", "--frames", "3", "--gif", "p.gif")
    assert call(*arguments)[0] == 0
    with Image.open(tmp_path / "p.gif") as moving:
        assert moving.n_frames == 4
    assert size(tmp_path / "paths.png")[0] > 2 * 3 * 128
    status, _, said = call(*arguments[:-1], "p.mp4")
    assert (status, said) == (2, "coopkit: --gif p.mp4: the name must end in .gif\n")


def test_interpolate_between_images(call: Call, tmp_path: Path):
    ends = ("--images", "@images/0.png", "@images/1.png")
    assert call("interpolate", "@generator", *ends, "--out", "two.png")[0] == 0
    assert (tmp_path / "two.png").is_file()


def test_interpolate_goes_from_the_first_image_to_the_last(call: Call, tmp_path: Path, runs: Path):
    pair = load(runs / "generator")
    files = [runs / "images" / f"{name}.png" for name in ("1", "0")]
    signals = torch.cat([read_given(pair, file).signals for file in files])
    latents = reconstruct(pair, signals, InferenceSettings(steps=0, ascent=300, chains=8)).latents
    expected = [draw_signal(x, pair.mean) for x in drawn_from(pair, latents)]
    arguments = ("interpolate", "@generator", "--images", *map(str, files), "--frames", "3")
    assert call(*arguments)[0] == 0
    first, between, last = cells(tmp_path / "paths.png", 3)
    assert np.array_equal(first, expected[0])
    assert np.array_equal(last, expected[1])
    assert not np.array_equal(first, last)
    assert not np.array_equal(first, between)


def test_a_folder_with_one_image_is_an_end(call: Call, tmp_path: Path, runs: Path):
    (tmp_path / "one").mkdir()
    Image.open(runs / "images" / "0.png").save(tmp_path / "one" / "a.png")
    assert call("interpolate", "@generator", "--images", "one", "@images/1.png")[0] == 0


def test_reconstruct(call: Call, tmp_path: Path):
    arguments = ("reconstruct", "@generator", "--images", "@images", "--steps", "5", "--out", "r")
    status, _, said = call(*arguments)
    assert status == 0
    figures = json.loads((tmp_path / "r" / "figures.json").read_text())
    assert list(figures["images"]) == ["0.png", "1.png", "2.png"]
    mean = sum(figures["images"].values()) / 3
    assert figures["mean_absolute_error"] == pytest.approx(mean, rel=1e-5)
    assert f"off by {mean:.4f}" in said
    assert size(tmp_path / "r" / "reconstructed" / "1.png") == (8, 8)
    assert (tmp_path / "r" / "sheet.png").is_file()
    status, _, said = call(*arguments)
    assert (status, said) == (2, "coopkit: r already holds results; --overwrite replaces them\n")
    assert call(*arguments, "--overwrite")[0] == 0


def test_inpaint_beside_the_baselines(call: Call, tmp_path: Path, runs: Path):
    arguments = ("--images", "@images", "--mask", "3", "--steps", "5", "--chains", "2")
    status, said, _ = call("inpaint", "@cooperative", *arguments, "--compare", "--out", "i")
    assert status == 0
    figures = json.loads((tmp_path / "i" / "figures.json").read_text())
    assert figures["asked"]["mask"] == "3"
    assert figures["asked"]["chains"] == 2
    assert len(figures["errors"]) >= 9
    for name, errors in figures["errors"].items():
        assert name in said
        assert errors["zero_to_one"] == pytest.approx(errors["minus_one_to_one"] / 2)
        mean = sum(errors["images"].values()) / 3
        assert errors["minus_one_to_one"] == pytest.approx(mean, rel=1e-5)
    with Image.open(tmp_path / "i" / "restored" / "0.png") as restored:
        changed = np.asarray(restored) != np.asarray(Image.open(runs / "images" / "0.png"))
    assert 0 < changed.sum() <= 9


def test_each_image_has_a_picture_of_its_uncertainty(
    call: Call, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("coopkit.cli.restored.SHOWN", 2)
    asked = ("--images", "@images", "--mask", "3", "--steps", "5", "--chains", "3")
    assert call("inpaint", "@cooperative", *asked, "--out", "i")[0] == 0
    pair = load(runs / "cooperative")
    assert pair.mean != 0
    signals = read_given(pair, runs / "images").signals
    holes = square_holes(3, 3, pair.signal_shape, seed=0)
    settings = InpaintingSettings(inference=InferenceSettings(steps=5, chains=3))
    expected = inpaint(pair, signals, holes, settings).uncertainty.numpy()
    white = json.loads((tmp_path / "i" / "figures.json").read_text())["uncertainty_white"]
    assert white == pytest.approx(expected.max(), rel=1e-5)
    for number in range(3):
        with Image.open(tmp_path / "i" / "uncertainty" / f"{number}.png") as image:
            shown = np.asarray(image) * white / 255
        assert np.abs(shown - expected[number]).max() < 0.51 * white / 255
        assert np.array_equal(shown > 0, holes[number].numpy() & (shown > 0))
        assert shown.max() > 0


def test_one_chain_has_no_uncertainty(call: Call, tmp_path: Path):
    asked = ("--images", "@images", "--mask", "3", "--steps", "1")
    assert call("inpaint", "@cooperative", *asked, "--out", "i")[0] == 0
    assert json.loads((tmp_path / "i" / "figures.json").read_text())["uncertainty_white"] is None
    assert not (tmp_path / "i" / "uncertainty").exists()


def test_what_is_occluded_is_shown_grey(call: Call, tmp_path: Path, runs: Path):
    arguments = ("--images", "@images", "--mask", "3", "--steps", "1", "--out", "i")
    assert call("inpaint", "@cooperative", *arguments)[0] == 0
    pair = load(runs / "cooperative")
    assert pair.mean != 0
    holes = square_holes(3, 3, pair.signal_shape, seed=0).numpy()
    for number, shown in enumerate(cells(tmp_path / "i" / "sheet.png", 2)):
        given = np.asarray(Image.open(runs / "images" / f"{number}.png"))
        assert np.array_equal(shown, np.where(holes[number], 128, given))


def test_inpaint_does_what_the_function_does(call: Call, tmp_path: Path, runs: Path):
    asked = ("--mask", "3", "--steps", "5", "--chains", "2", "--step-size", "0.2", "--seed", "4")
    more = ("--noise-std", "0.7", "--blend", "--revise", "3", "--out", "i")
    assert call("inpaint", "@cooperative", "--images", "@images", *asked, *more)[0] == 0
    figures = json.loads((tmp_path / "i" / "figures.json").read_text())
    pair = load(runs / "cooperative")
    assert pair.mean != 0
    signals = read_given(pair, runs / "images").signals
    holes = square_holes(3, 3, pair.signal_shape, seed=4)
    inference = InferenceSettings(steps=5, chains=2, step_size=0.2, noise_std=0.7)
    settings = InpaintingSettings(inference=inference, blend=True, revision_steps=3)
    restored = inpaint(pair, signals, holes, settings, seed=4).signals
    expected = restoration_error(restored, signals, holes, pair.mean)
    found = list(figures["errors"]["coopkit"]["images"].values())
    assert found == pytest.approx(expected.tolist(), rel=1e-5)


def test_chains_that_are_finite_but_nowhere_near_are_an_error(call: Call, tmp_path: Path):
    asked = ("--images", "@images", "--mask", "3", "--chains", "2", "--steps", "2")
    status, said, told = call("complete", "@cooperative", *asked, "--step-size", "1e5")
    assert (status, said) == (2, "")
    assert told == ("coopkit: the revision of occluded pixels diverged; try a smaller step size\n")


@pytest.mark.parametrize("command", [("reconstruct",), ("inpaint", "--mask", "3")])
def test_step_sizes_of_latents_that_are_unstable(
    call: Call, tmp_path: Path, command: tuple[str, ...]
):
    """Refused where no generator could have it, warned of where this one is too steep for it."""
    name, *more = command
    asked = (name, "@cooperative", "--images", "@images", *more, "--steps", "1", "--noise-std")
    status, _, told = call(*asked, "0.001", "--step-size", "2.1", "--out", "r")
    assert status == 2
    assert "--step-size 2.1 is unstable for every generator; give one of 2 at most" in told
    status, _, told = call(*asked, "0.001", "--step-size", "0.1", "--out", "r")
    assert status == 0
    found = json.loads((tmp_path / "r" / "figures.json").read_text())
    assert (found["iteration"], found["step_size"]) == (4, 0.1)
    assert found["stable_below"] < 0.1
    limit = f"{found['stable_below']:.3g}"
    assert f"warning: --step-size 0.1 is unstable where the generator is steep; below {limit}" in (
        told
    )
    status, _, told = call(*asked, "0.001", "--out", "r", "--overwrite")
    assert (status, "warning" in told) == (0, False)
    found = json.loads((tmp_path / "r" / "figures.json").read_text())
    assert found["asked"]["step_size"] is None
    assert found["step_size"] == pytest.approx(found["stable_below"] / 2)


@pytest.mark.parametrize("command", [("complete",), ("inpaint", "--by", "descriptor")])
def test_complete_by_the_descriptor(
    call: Call, tmp_path: Path, runs: Path, command: tuple[str, ...]
):
    arguments = ("@descriptor", "--images", "@images", "--mask", "3", "--steps", "5")
    assert call(command[0], *arguments, *command[1:], "--out", "c")[0] == 0
    assert (tmp_path / "c" / "sheet.png").is_file()
    figures = json.loads((tmp_path / "c" / "figures.json").read_text())
    trained = load(runs / "descriptor")
    assert figures["iteration"] == trained.iteration
    assert figures["step_size"] == trained.settings.revision.step_size


def test_complete_does_what_the_function_does(call: Call, tmp_path: Path, runs: Path):
    asked = ("--mask", "3", "--steps", "5", "--chains", "2", "--step-size", "0.2", "--seed", "4")
    assert call("complete", "@cooperative", "--images", "@images", *asked, "--out", "c")[0] == 0
    figures = json.loads((tmp_path / "c" / "figures.json").read_text())
    pair = load(runs / "cooperative")
    signals = read_given(pair, runs / "images").signals
    holes = square_holes(3, 3, pair.signal_shape, seed=4)
    settings = CompletionSettings(steps=5, chains=2, step_size=0.2)
    drawn = complete(pair, signals, holes, settings, seed=4).mean(1)
    expected = restoration_error(drawn, signals, holes, pair.mean)
    found = list(figures["errors"]["coopkit"]["images"].values())
    assert found == pytest.approx(expected.tolist(), rel=1e-5)


def test_energy_ranks_and_tells_apart(call: Call, tmp_path: Path):
    arguments = ("--images", "@images", "--against", "@others", "--show", "2", "--out", "e.json")
    status, said, _ = call("energy", "@cooperative", *arguments)
    assert status == 0
    figures = json.loads((tmp_path / "e.json").read_text())
    ranked = [row["energy"] for row in figures["images"]]
    assert ranked == sorted(ranked, reverse=True)
    assert len(ranked) == 5
    assert f"AUROC of the energy: {figures['auroc']['energy']:.4f}" in said
    assert figures["asked"]["run_folder"].endswith("cooperative")
    assert (figures["asked"]["show"], figures["iteration"]) == (2, 4)
    assert len([line for line in said.splitlines() if "images:" in line or "others:" in line]) == 2


@pytest.mark.parametrize(
    ("show", "places"),
    [(1, [0, "…"]), (2, [0, "…", 4]), (3, [0, 1, "…", 4]), (5, [0, 1, 2, 3, 4]), (9, range(5))],
)
def test_energy_shows_both_ends(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    show: int,
    places: list[int | str],
):
    monkeypatch.setattr(console.out, "width", 400)  # the folder's name, however long, in a line
    arguments = ("--images", "@images", "--against", "@others", "--out", "e.json", "--show", show)
    status, said, _ = call("energy", "@cooperative", *map(str, arguments))
    assert status == 0
    ranked = json.loads((tmp_path / "e.json").read_text())["images"]
    expected = [place if place == "…" else ranked[place]["name"] for place in places]
    rows = said.splitlines()[1 : len(expected) + 1]
    named = [next(word for word in row.split() if word == "…" or ".png" in word) for row in rows]
    assert named == expected
    assert said.splitlines()[len(expected) + 1].startswith("AUROC")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("inpaint", "@descriptor", "--images", "@images", "--mask", "3"), "has no generator"),
        (("complete", "@generator", "--images", "@images", "--mask", "3"), "has no descriptor"),
        (("energy", "@generator", "--images", "@images"), "has no descriptor"),
        (("interpolate", "@descriptor"), "has no generator"),
        (("reconstruct", "@nothing", "--images", "@images", "--out", "x"), "holds no run"),
        (("inpaint", "@generator", "--images", "@no", "--mask", "3"), "--images: "),
        (("energy", "@cooperative", "--images", ""), "--images: '' is no file, no folder"),
        (("energy", "@cooperative", "--images", "@no"), "--images: '"),
        (("energy", "@cooperative", "--images", "@images", "--against", ""), "--against: '' is"),
        (("energy", "@cooperative", "--images", "@images", "--against", "@no"), "--against: '"),
        (("inpaint", "@generator", "--images", "@images", "--mask", "8"), "give one of 1 to 7"),
        (("inpaint", "@generator", "--images", "@images", "--mask", "x"), "neither a number"),
        (("reconstruct", "@generator", "--images", "@images", "--out", "."), "as a whole"),
        (("reconstruct", "@generator", "--images", "@images", "--out", "/"), "is, or holds, "),
        (("reconstruct", "nothing", "--images", "@images"), "holds no run"),
        (("complete", "nothing", "--images", "@images", "--mask", "3"), "holds no run"),
        (("energy", "@cooperative", "--images", "@images", "--out", "."), ". is a folder"),
        (("evaluate", "@cooperative", "--out", "."), ". is a folder"),
        (("sample", "@cooperative", "--out", "."), ". is a folder"),
        (("sample", "@cooperative", "--files", "."), "give a new folder as --files"),
        (("sample", "@cooperative", "--out", "x.txt"), "must end in .png, .jpg"),
    ],
)
def test_mistake_is_answered_with_one_sentence(
    call: Call, tmp_path: Path, runs: Path, arguments: tuple[str, ...], says: str
):
    status, _, said = call(*arguments)
    assert status == 2
    assert says in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
    assert not list(runs.rglob(".writing*"))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "0", "1e999", "1e-200", "1e200"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("reconstruct", "--step-size"),
        ("reconstruct", "--noise-std"),
        ("inpaint", "--step-size"),
        ("inpaint", "--noise-std"),
        ("complete", "--step-size"),
    ],
)
def test_a_step_size_and_a_spread_have_a_square_that_is_a_number(
    call: Call, tmp_path: Path, command: str, option: str, number: str
):
    mask = () if command == "reconstruct" else ("--mask", "3")
    arguments = ("@cooperative", "--images", "@images", *mask, "--out", "x")
    status, _, said = call(command, *arguments, option, number)
    assert status == 2
    assert f"Invalid value for '{option}': " in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ((), "--steps 0 needs --ascent, without which nothing is inferred"),
        (("--ascent", "3", "--step-size", "1"), "--step-size is of no use with --steps 0"),
    ],
)
@pytest.mark.parametrize("command", [("reconstruct",), ("inpaint", "--mask", "3")])
def test_chains_without_steps(
    call: Call, tmp_path: Path, command: tuple[str, ...], asked: tuple[str, ...], says: str
):
    arguments = (*command, "@nothing", "--images", "@nowhere", "--steps", "0")
    status, _, said = call(*arguments, *asked)
    assert (status, says in said) == (2, True)
    assert not list(tmp_path.iterdir())


def test_an_image_too_small_for_a_run_that_does_not_resize(call: Call, tmp_path: Path):
    asked = ["data.resize=none", "run.iterations=1"]
    run(Recipe.read(TINY / "generator.toml", asked), tmp_path / "mine")
    Image.new("L", (7, 9)).save(tmp_path / "small.png")
    status, _, said = call("reconstruct", "mine", "--images", "small.png")
    assert status == 2
    assert said == (
        "coopkit: small.png is 9 x 7 pixels, smaller than the crop of 8 x 8; "
        "give images of 8 x 8 pixels or more; the run does not resize\n"
    )


def test_reconstruct_at_the_mode(call: Call, tmp_path: Path, runs: Path):
    pair = load(runs / "generator")
    given = read_given(pair, runs / "images")
    asked = InferenceSettings(steps=0, ascent=20, chains=4)
    expected = reconstruct(pair, given.signals, asked).error
    arguments = ("reconstruct", "@generator", "--images", "@images", "--out", "x")
    assert call(*arguments, "--steps", "0", "--ascent", "20")[0] == 0
    found = json.loads((tmp_path / "x" / "figures.json").read_text())["images"]
    assert list(found.values()) == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    "option",
    [
        ("--blend",),
        ("--prior", "fitted"),
        ("--noise-std", "1"),
        ("--revise", "2"),
        ("--ascent", "2"),
        ("--steps", "0"),
    ],
)
def test_what_the_descriptor_has_no_use_for(call: Call, tmp_path: Path, option: tuple[str, ...]):
    arguments = ("--images", "@images", "--mask", "3", "--by", "descriptor")
    status, _, said = call("inpaint", "@cooperative", *arguments, *option)
    assert status == 2
    named = "--steps 0" if option[0] == "--steps" else option[0]
    assert f"{named} is of no use with --by descriptor" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sample", "@generator", "--steps", "3"), "no descriptor to revise by"),
        (("interpolate", "@generator", "--steps", "0"), "no descriptor to revise by"),
        (("evaluate", "@generator", "--steps", "3"), "no descriptor to revise by"),
        (
            ("inpaint", "@generator", "--images", "brick", "--mask", "2", "--revise", "1"),
            "--revise is of no use: the run",
        ),
        (
            ("interpolate", "@generator", "-n", "4", "--images", "@images/0.png", "@images/1.png"),
            "-n is of no use with --images",
        ),
        (
            ("interpolate", "@generator", "--images", "@images/0.png", "@images"),
            "images holds 3 images; an end of a path is one",
        ),
        (
            ("interpolate", "@generator", "--images", "@images", "@images/0.png"),
            "images holds 3 images; an end of a path is one",
        ),
        (("interpolate", "@generator", "--images", "@images/0.png", "@no"), "--images: '"),
        (
            ("interpolate", "@generator", "--out", "a.gif", "--gif", "./a.gif"),
            "--gif a.gif is the --out of the sheet",
        ),
        (("evaluate", "@generator", "--size", "299"), "--size is of no use without --features"),
        (("evaluate", "@generator", "--range", "[0, 1]"), "--range is of no use without"),
    ],
)
def test_what_is_of_no_use_or_wrong_is_refused_before_anything_is_computed(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    says: str,
):
    monkeypatch.setattr("coopkit.tasks.trained.load", None)
    status, _, said = call(*arguments)
    assert status == 2
    assert says in said
    assert not list(tmp_path.iterdir())


def test_fitted_prior(call: Call):
    assert call("sample", "@generator", "-n", "2", "--prior", "fitted")[0] == 0
    assert call("evaluate", "@generator", "-n", "2", "--prior", "fitted")[0] == 0
    status, _, said = call("sample", "@cooperative", "--prior", "fitted")
    assert status == 2
    assert "keeps no latents of its data" in said
