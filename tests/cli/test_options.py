"""Options of the commands over the tasks: what is drawn and measured follows each of them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from coopkit.data import to_pixels
from coopkit.recipes import Recipe
from coopkit.sheets import draw_grid, draw_sheet
from coopkit.tasks.energy import auroc, energies
from coopkit.tasks.evaluate import evaluate
from coopkit.tasks.given import read_given
from coopkit.tasks.infer import InferenceSettings
from coopkit.tasks.inpaint import InpaintingSettings, inpaint, restoration_error
from coopkit.tasks.interpolate import interpolate, random_ends
from coopkit.tasks.masks import square_holes
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.sample import sample
from coopkit.tasks.trained import Trained, load
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny"
CONTRAST = ["generator.weight_std='he'", "generator.last_std='he'", "data.subtract_mean=true"]
"""So that other latents are other pixels."""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of Algorithms 2 and 3, three images and one image more."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("generator", "cooperative"):
        run(Recipe.read(TINY / f"{name}.toml", CONTRAST), folder / name)
    rng = np.random.default_rng(0)
    for number in range(4):
        place = folder / ("images" if number < 3 else "others") / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(place)
    return folder


@pytest.fixture
def images(runs: Path) -> str:
    return str(runs / "images")


@pytest.fixture
def pair(runs: Path) -> Trained:
    return load(runs / "cooperative")


@pytest.fixture
def fitted(runs: Path) -> Trained:
    """Return the generator of Algorithm 2 with the law that its latents have."""
    return with_fitted_prior(load(runs / "generator"))


def figures_in(folder: str) -> dict[str, object]:
    return json.loads(Path(folder, "figures.json").read_text(encoding="utf-8"))


def test_sample_revises_as_often_as_asked(call: Call, runs: Path, pair: Trained):
    asked = ("-n", 2, "--seed", 3, "--files", "each")
    assert call("sample", runs / "cooperative", *asked, "--steps", 40)[0] == 0
    drawn = sample(pair, 2, seed=3, steps=40).revised
    expected = to_pixels(drawn, pair.mean)[:, 0].numpy()
    for number in range(2):
        with Image.open(Path("each", f"S2-0000{number}.png")) as image:
            assert np.array_equal(np.asarray(image), expected[number])
    usual = to_pixels(sample(pair, 2, seed=3).revised, pair.mean)[:, 0].numpy()
    assert not np.array_equal(usual, expected)


def sheet_of(panels: Sequence[Tensor], mean: float) -> "np.typing.NDArray[np.uint8]":
    """Return the sheet of paths, (paths, frames, ...) each, as interpolate draws it."""
    paths, frames = panels[0].shape[:2]
    titles = ("g(X)", "revised")
    rows = {title: panel.flatten(0, 1) for title, panel in zip(titles, panels, strict=False)}
    return np.asarray(draw_sheet(rows, mean, most=paths * frames, columns=frames))


@pytest.mark.parametrize(
    "change", [("--path", "linear"), ("--steps", "30"), ("--frames", "4"), ("--seed", "8")]
)
def test_interpolate_draws_what_the_function_draws(
    call: Call, runs: Path, pair: Trained, change: tuple[str, str]
):
    def expected(path: str = "spherical", steps: int = 60, frames: int = 3, seed: int = 5):
        ends = random_ends(pair, 2, seed)
        drawn = interpolate(pair, *ends, frames, path, seed=seed, steps=steps)
        return sheet_of([drawn.initial, drawn.revised], pair.mean)

    asked = {"--path": "spherical", "--steps": "60", "--frames": "3", "--seed": "5"}
    asked |= dict([change])
    assert call("interpolate", runs / "cooperative", "-n", 2, *sum(asked.items(), ()))[0] == 0
    name, value = change[0].removeprefix("--"), change[1]
    wanted = expected(**{name: value if name == "path" else int(value)})
    with Image.open("paths.png") as sheet:
        assert np.array_equal(np.asarray(sheet), wanted)
    assert not np.array_equal(wanted, expected())


@pytest.mark.parametrize("revised", [True, False])
def test_the_moving_picture_shows_paths_before_and_after_revision(
    call: Call, runs: Path, revised: bool
):
    name, steps = ("cooperative", 60) if revised else ("generator", None)
    asked = () if steps is None else ("--steps", steps)
    trained = load(runs / name)
    arguments = ("-n", 2, "--frames", 3, "--gif", "p.gif")
    assert call("interpolate", runs / name, *arguments, *asked)[0] == 0
    drawn = interpolate(trained, *random_ends(trained, 2), 3, steps=steps)
    panels = [drawn.initial]
    if revised:
        panels = [
            torch.cat([drawn.initial, drawn.revised], dim=-1),
            torch.cat([drawn.initial, drawn.initial], dim=-1),
            torch.cat([drawn.revised, drawn.initial], dim=-1),
        ]
    with Image.open("p.gif") as moving:
        for frame in range(3):
            moving.seek(frame)
            shown = np.asarray(moving.convert("RGB"), dtype=float)
            grids = [draw_grid(to_pixels(panel[:, frame], trained.mean)) for panel in panels]
            off = [np.abs(shown - grid).mean() for grid in grids]
            assert off[0] < 1
            assert all(other > 3 for other in off[1:])


def test_reconstruct_infers_by_its_seed_and_its_prior(
    call: Call, runs: Path, images: str, fitted: Trained
):
    signals = read_given(fitted, images).signals
    plain, settings = load(runs / "generator"), InferenceSettings(steps=4, chains=4)
    expected = {
        (prior, seed): reconstruct(trained, signals, settings, seed=seed).error.tolist()
        for prior, trained in (("fitted", fitted), ("standard", plain))
        for seed in (0, 7)
    }
    for number, ((prior, seed), errors) in enumerate(expected.items()):
        asked = ("--images", images, "--steps", 4, "--prior", prior, "--seed", seed)
        assert call("reconstruct", runs / "generator", *asked, "--out", number)[0] == 0
        found = list(figures_in(str(number))["images"].values())
        assert found == pytest.approx(errors, rel=1e-5)
    assert len({round(errors[0], 3) for errors in expected.values()}) == 4


def test_inpaint_infers_by_its_prior(call: Call, runs: Path, images: str, fitted: Trained):
    asked = ("--images", images, "--mask", 3, "--steps", 4, "--seed", 4, "--prior", "fitted")
    assert call("inpaint", runs / "generator", *asked, "--out", "i")[0] == 0
    signals = read_given(fitted, images).signals
    holes = square_holes(3, 3, fitted.signal_shape, seed=4)
    settings = InpaintingSettings(inference=InferenceSettings(steps=4))

    def errors(trained: Trained) -> list[float]:
        restored = inpaint(trained, signals, holes, settings, seed=4).signals
        return restoration_error(restored, signals, holes, trained.mean).tolist()

    found = list(figures_in("i")["errors"]["coopkit"]["images"].values())
    assert found == pytest.approx(errors(fitted), rel=1e-5)
    assert found != pytest.approx(errors(load(runs / "generator")), rel=1e-2)


def test_evaluate_draws_by_its_prior(call: Call, runs: Path, fitted: Trained):
    asked = ("-n", 2, "--prior", "fitted", "--out", "e.json")
    assert call("evaluate", runs / "generator", *asked)[0] == 0
    found = json.loads(Path("e.json").read_text(encoding="utf-8"))
    assert found.pop("asked")["prior"] == "fitted"
    assert found == evaluate(fitted, 2).as_json()
    assert found != evaluate(load(runs / "generator"), 2).as_json()


def test_the_auroc_is_that_of_the_second_folder(call: Call, runs: Path, images: str, pair: Trained):
    """Above ½ where the second folder has the higher scores."""
    others = str(runs / "others")
    scores = [energies(pair, read_given(pair, folder).signals) for folder in (images, others)]
    inside, outside = (found.energy for found in scores)
    expected = auroc(inside, outside)
    assert expected == float((outside > inside).double().mean())
    for first, second, area in ((images, others, expected), (others, images, 1 - expected)):
        asked = ("--images", first, "--against", second, "--out", "e.json")
        assert call("energy", runs / "cooperative", *asked)[0] == 0
        found = json.loads(Path("e.json").read_text(encoding="utf-8"))["auroc"]
        assert found["energy"] == pytest.approx(area)
    assert abs(expected - 0.5) > 0.1
    assert not torch.equal(scores[0].energy, scores[0].residual)
