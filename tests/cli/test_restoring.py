"""The commands that infer and restore: what they write, and what of it is whose."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli.pictures import cells, rows, size
from PIL import Image

from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.given import read_given
from coopkit.tasks.infer import InferenceSettings
from coopkit.tasks.inpaint import InpaintingSettings, inpaint, restoration_error
from coopkit.tasks.masks import square_holes
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.trained import load

Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("runs")


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
    assert all(file in said for file in files)
    assert "nest" not in said
    said = call("energy", *asked, "--against", "nest/a")[1]
    assert all(f"{image} " in said for image in (*(f"nest: {f}" for f in files), "nest/a: x.png"))
    more = ("--steps", "1", "--out")
    assert call("reconstruct", *asked, *more, "r")[0] == 0
    assert list(json.loads((tmp_path / "r" / "figures.json").read_text())["images"]) == files
    assert call("inpaint", *asked, "--mask", "3", *more, "i")[0] == 0
    errors = json.loads((tmp_path / "i" / "figures.json").read_text())["errors"]
    assert list(errors["coopkit"]["images"]) == files
    for pictures in ("r/reconstructed", "i/restored"):
        names = sorted(path.name for path in (tmp_path / pictures).iterdir())
        assert names == ["a-x.png", "b-x-2.png", "b-x.png"]


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


def test_what_each_method_has_made_is_drawn_by_its_error(call: Call, tmp_path: Path, runs: Path):
    asked = ("--images", "@images", "--mask", "3", "--steps", "1", "--compare", "--out", "i")
    assert call("inpaint", "@cooperative", *asked)[0] == 0
    errors = json.loads((tmp_path / "i" / "figures.json").read_text())["errors"]
    order = sorted(errors, key=lambda name: errors[name]["minus_one_to_one"])
    assert order[0] != "coopkit"
    occluded, *restored, truth = rows(tmp_path / "i" / "compared.png", len(order) + 2)
    for number in range(3):
        given = np.asarray(Image.open(runs / "images" / f"{number}.png"))
        hole = occluded[number] == 128
        assert hole.sum() == 9
        assert np.array_equal(truth[number], given)
        for name, images in zip(order, restored, strict=True):
            shown = images[number].astype(float)
            assert np.array_equal(shown[~hole], given[~hole])
            off = np.abs(shown - given)[hole].mean() / 127.5
            assert off == pytest.approx(errors[name]["images"][f"{number}.png"], abs=0.004)
    assert call("inpaint", "@cooperative", *asked[:-3], "--out", "i", "--overwrite")[0] == 0
    assert not (tmp_path / "i" / "compared.png").exists()


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


def test_reconstruct_at_the_mode(call: Call, tmp_path: Path, runs: Path):
    pair = load(runs / "generator")
    given = read_given(pair, runs / "images")
    asked = InferenceSettings(steps=0, ascent=20, chains=4)
    expected = reconstruct(pair, given.signals, asked).error
    arguments = ("reconstruct", "@generator", "--images", "@images", "--out", "x")
    assert call(*arguments, "--steps", "0", "--ascent", "20")[0] == 0
    found = json.loads((tmp_path / "x" / "figures.json").read_text())["images"]
    assert list(found.values()) == pytest.approx(expected.tolist())


def test_fitted_prior(call: Call):
    assert call("sample", "@generator", "-n", "2", "--prior", "fitted")[0] == 0
    assert call("evaluate", "@generator", "-n", "2", "--prior", "fitted")[0] == 0
    status, _, said = call("sample", "@cooperative", "--prior", "fitted")
    assert status == 2
    assert "keeps no latents of its data" in said
