"""What an evaluation says of tiny runs of each algorithm, and of textures large enough."""

import json
from pathlib import Path

import attrs
import pytest
import torch
from PIL import Image
from torch import Tensor

from coopkit.data import load_images, load_whole, to_pixels, to_signals
from coopkit.errors import CoopkitError, DataError, RunError
from coopkit.recipes import Recipe
from coopkit.statistics.features import fid
from coopkit.statistics.neighbours import diversity, nearest, nearest_others
from coopkit.statistics.networks import FeatureNetwork
from coopkit.statistics.wasserstein import swd, swd_scale
from coopkit.statistics.wavelets import texture_distance, texture_scale
from coopkit.streams import stream_seed
from coopkit.targets import RevisionTarget, frozen
from coopkit.tasks.comparing import Compared, diversity_of, features_of, neighbours_of
from coopkit.tasks.energy import energies
from coopkit.tasks.evaluate import evaluate
from coopkit.tasks.given import read_given
from coopkit.tasks.infer import InferenceSettings
from coopkit.tasks.inpaint import InpaintingSettings, inpaint, restoration_error
from coopkit.tasks.masks import square_holes
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.sample import sample
from coopkit.tasks.trained import Trained, load
from coopkit.tasks.watching import nobody
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny"

SEED = stream_seed(0, "evaluation")


def train(name: str, folder: Path, *changes: str) -> Trained:
    recipe = Recipe.read(TINY / f"{name}.toml", ["data.subtract_mean=true", *changes])
    return load(run(recipe, folder / name).folder)


@pytest.fixture(autouse=True)
def few_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare few patches: what they say of images is not tested here."""
    monkeypatch.setattr("coopkit.statistics.wasserstein.PATCHES", 256)
    monkeypatch.setattr("coopkit.statistics.wasserstein.DIRECTIONS", 64)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """Return a finished run of each algorithm, which no test changes."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: train(name, folder) for name in ("descriptor", "generator", "cooperative")}


@pytest.fixture(scope="module")
def texture(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a pair that has seen one photograph, of a size that has a texture."""
    size = ["data.resize=128", "data.height=64", "data.width=64", "data.crops=2"]
    folder = tmp_path_factory.mktemp("texture")
    return train("cooperative", folder, *size, "run.iterations=1", "data.source='chelsea'")


def shown(pair: Trained, signals: Tensor) -> Tensor:
    return (signals + pair.mean).clamp(-1, 1)


def observed(pair: Trained) -> Tensor:
    return to_signals(load_images(pair.recipe.data, pair.recipe.seed).pixels)


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("descriptor", {"initial", "revised"}),
        ("generator", {"initial"}),
        ("cooperative", {"initial", "revised"}),
    ],
)
def test_every_algorithm_is_evaluated(pairs: dict[str, Trained], name: str, which: set[str]):
    found = evaluate(pairs[name], 4)
    assert (found.iteration, found.samples, found.seed, found.real) == (4, 4, 0, "observed")
    assert found.distance.name == "sliced Wasserstein distance"
    for figures in (found.distance.drawn, found.neighbours.ratio, found.diversity):
        assert set(figures) == which
    assert (found.energies is None) == (name == "generator")
    assert json.loads(json.dumps(found.as_json(), allow_nan=False)) == found.as_json()


def test_figures_are_those_of_the_pictures(pairs: dict[str, Trained]):
    pair = pairs["cooperative"]
    found, data = evaluate(pair, 6), observed(pair)
    drawn = shown(pair, sample(pair, 6).revised)
    assert found.distance.drawn["revised"] == pytest.approx(swd(drawn, data, SEED))
    assert found.distance.scale == swd_scale(data, SEED)
    relative = found.distance.scale.relative(found.distance.drawn["revised"])
    assert found.distance.relative["revised"] == relative
    copies = swd(data[torch.linspace(0, len(data) - 1, min(6, len(data))).long()], data, SEED)
    assert found.distance.copies == pytest.approx(copies)
    assert found.distance.copies_relative == found.distance.scale.relative(found.distance.copies)
    near = float(nearest(drawn, data).distance.median())
    real = float(nearest_others(data).distance.median())
    assert found.neighbours.drawn["revised"] == pytest.approx(near)
    assert found.neighbours.real == pytest.approx(real)
    assert found.neighbours.ratio["revised"] == pytest.approx(near / real)
    assert found.diversity["revised"] == pytest.approx(diversity(drawn, data))


def test_energies_are_those_of_the_signals(pairs: dict[str, Trained]):
    pair = pairs["cooperative"]
    found = evaluate(pair, 6).energies
    target = RevisionTarget(frozen(pair.descriptor), 0.1)
    real = float(target.energy(observed(pair) - pair.mean).mean())
    revised = float(target.energy(sample(pair, 6).revised).mean())
    assert found.real == pytest.approx(real, rel=1e-5)
    assert found.drawn["revised"] == pytest.approx(revised, rel=1e-5)
    assert found.gap["revised"] == pytest.approx(revised - real, rel=1e-4)


def test_energies_are_of_the_prepared_network(pairs: dict[str, Trained]):
    """As those of the command energy: what `freeze` makes of the descriptor is asked."""
    asked = []

    def noted(network: torch.nn.Module) -> object:
        asked.append(network)
        return frozen(network)

    pair = attrs.evolve(pairs["cooperative"], freeze=noted)
    told: list[str] = []
    found = evaluate(pair, 3, watch=lambda doing, done, total: told.append(doing)).energies
    assert asked.count(pair.descriptor) == 4, "D1, S1, S2 and the data"
    revised = energies(pair, sample(pair, 3).revised).energy.mean()
    assert found.drawn["revised"] == pytest.approx(float(revised), rel=1e-5)
    assert {"drawing signals", "revising signals", "energies"} <= set(told)


def test_an_image_is_no_other_one_than_its_mirror_image():
    """Of a bright, a grey and a dark image, each nearest to its own mirror image."""
    data = torch.tensor([-0.6, 0.0, 0.9])[:, None, None, None].repeat(1, 1, 8, 8)
    data[..., :4] += 0.05
    seen = to_pixels(torch.cat([data, data.flip(-1)]))
    drawn = {"initial": data[:1].flip(-1)}
    found = neighbours_of(Compared(drawn, data, None, 0, seen, mirrored=True))
    assert found.drawn["initial"] < 0.01
    assert found.real == pytest.approx(0.6, abs=0.01)


def test_mirror_images_count_as_seen_and_as_nothing_else(tmp_path: Path):
    """An image is no other one than its mirror image, and a mirrored copy is a copy."""
    pair = train("cooperative", tmp_path, "data.mirror=true", "data.crop=random", "data.crops=5")
    both = to_signals(load_images(pair.recipe.data, pair.recipe.seed).pixels)
    data = both[: len(both) // 2]
    found = evaluate(pair, 4)
    drawn = shown(pair, sample(pair, 4).revised)
    near = float(nearest(drawn, both).distance.median())
    assert near < float(nearest(drawn, data).distance.median())
    assert found.neighbours.drawn["revised"] == pytest.approx(near)
    rows = []
    for own in range(len(data)):
        others = [k for k in range(len(both)) if k % len(data) != own]
        rows.append(nearest(data[own : own + 1], both[others]).distance)
    assert found.neighbours.real == pytest.approx(float(torch.cat(rows).median()))
    assert found.distance.scale == swd_scale(data, SEED)
    assert found.diversity["revised"] == pytest.approx(diversity(drawn, data))


def test_held_out_images_are_what_is_held_against(pairs: dict[str, Trained], tmp_path: Path):
    pair = pairs["cooperative"]
    pixels = torch.arange(24 * 24, dtype=torch.uint8).reshape(24, 24)
    Image.fromarray(pixels.numpy()).save(tmp_path / "other.png")
    found = evaluate(pair, 3, held_out=str(tmp_path))
    others = read_given(pair, tmp_path).signals + pair.mean
    assert found.real == "held out"
    near = float(nearest(others, observed(pair)).distance.median())
    assert found.neighbours.real == pytest.approx(near)
    target = RevisionTarget(frozen(pair.descriptor), 0.1)
    real = float(target.energy(others - pair.mean).mean())
    assert found.energies.real == pytest.approx(real, rel=1e-5)
    assert found.distance is None, "one image is no set"


def test_distances_and_features_are_those_from_held_out_images(
    pairs: dict[str, Trained], tmp_path: Path
):
    pytest.importorskip("torchmetrics", reason="needs the extra metrics")
    pair, network = pairs["cooperative"], FeatureNetwork(lambda x: x.mean(2).flatten(1), size=8)
    pixels = torch.randint(256, (6, 8, 8), generator=torch.Generator().manual_seed(1))
    for number, own in enumerate(pixels.to(torch.uint8)):
        Image.fromarray(own.numpy()).save(tmp_path / f"{number}.png")
    others = read_given(pair, tmp_path).signals + pair.mean
    found = evaluate(pair, 5, held_out=str(tmp_path), network=network)
    drawn = shown(pair, sample(pair, 5).revised)
    assert found.distance.real == found.real == "held out"
    assert found.distance.drawn["revised"] == pytest.approx(swd(drawn, others, SEED))
    assert found.distance.scale == swd_scale(observed(pair), SEED, others)
    copies = observed(pair)[torch.linspace(0, 9, 5).long()]
    assert found.distance.copies == pytest.approx(swd(copies, others, SEED))
    wanted = fid(network.features(others), network.features(drawn))
    assert found.features["revised"]["fid"] == pytest.approx(wanted)
    own = fid(network.features(others), network.features(copies))
    assert found.features["real"]["fid"] == pytest.approx(own)


def test_a_texture_is_held_against_its_photograph_whatever_is_held_out(texture: Trained):
    found = evaluate(texture, 1, held_out="coffee")
    assert (found.real, found.distance.real) == ("held out", "observed")
    assert found.distance == evaluate(texture, 1).distance


def test_a_texture_is_drawn_as_large_as_its_whole_image_and_held_against_it(texture: Trained):
    """18 of 64 x 64 have the pixels of 3 of 128 x 192."""
    counted: list[tuple[str, int, int | None]] = []
    found = evaluate(texture, 18, watch=lambda *said: counted.append(said))
    real = to_signals(load_whole(texture.recipe.data))
    assert real.shape == (1, 3, 128, 192)
    assert found.distance.name == "texture distance"
    assert found.distance.scale == texture_scale(real, SEED)
    distance = found.distance
    assert (distance.count, distance.height, distance.width) == (3, 128, 192)
    drawn = shown(texture, sample(texture, 3, size=(128, 192)).revised)
    wanted = float(texture_distance(drawn, real).mean())
    assert found.distance.drawn["revised"] == pytest.approx(wanted)
    assert found.distance.copies == 0
    for done in (1, 2, 3):
        assert ("texture distance, revised", done, 3) in counted
    assert ("the scale of the texture distance", 16, 16) in counted


def test_at_least_one_texture_is_drawn_as_large_as_its_image(texture: Trained):
    assert evaluate(texture, 1).distance.count == 1


def test_an_image_that_is_too_large_is_not_drawn_as_a_whole(
    texture: Trained, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("coopkit.tasks.evaluate.LARGEST", 128 * 192 - 1)
    distance = evaluate(texture, 1).distance
    assert (distance.height, distance.width) == (64, 64)


def test_a_texture_of_networks_of_one_size_is_compared_at_that_size(tmp_path: Path):
    size = ["data.resize=128", "data.height=64", "data.width=64", "data.crops=2"]
    tied = ["descriptor.channels=1", "run.iterations=1", "data.source='chelsea'"]
    pair = train("cooperative", tmp_path, *size, *tied)
    found = evaluate(pair, 2)
    distance = found.distance
    assert (distance.count, distance.height, distance.width) == (2, 64, 64)
    drawn = shown(pair, sample(pair, 2).revised)
    real = to_signals(load_whole(pair.recipe.data))
    wanted = float(texture_distance(drawn, real).mean())
    assert found.distance.drawn["revised"] == pytest.approx(wanted)
    pieces = [real[..., r : r + 64, c : c + 64] for r in (0, 64) for c in (0, 128)]
    copies = float(texture_distance(torch.cat(pieces), real).mean())
    assert found.distance.copies == pytest.approx(copies)


def test_evaluations_follow_the_seed_and_the_steps(pairs: dict[str, Trained]):
    pair = pairs["cooperative"]
    assert evaluate(pair, 3, seed=1) == evaluate(pair, 3, seed=1)
    assert evaluate(pair, 3, seed=1) != evaluate(pair, 3, seed=2)
    drawn = evaluate(pair, 3, steps=0).neighbours.drawn
    assert drawn["initial"] == drawn["revised"]


def test_as_many_as_there_are_chains_but_no_more_than_64(pairs: dict[str, Trained]):
    assert evaluate(pairs["descriptor"]).samples == 4
    assert evaluate(pairs["generator"]).samples == 64
    with pytest.raises(RunError, match="4 persistent chains"):
        evaluate(pairs["descriptor"], 5)


def test_one_sample_has_no_diversity(pairs: dict[str, Trained]):
    assert evaluate(pairs["cooperative"], 1).diversity == {}


def test_pairs_of_the_data_are_gone_through_once(monkeypatch: pytest.MonkeyPatch):
    rng = torch.Generator().manual_seed(0)
    drawn = {name: torch.rand(3, 1, 4, 4, generator=rng) for name in ("initial", "revised")}
    data = torch.rand(5, 1, 4, 4, generator=rng)
    expected = {name: diversity(images, data) for name, images in drawn.items()}
    sizes, pdist = [], torch.pdist
    monkeypatch.setattr(torch, "pdist", lambda x: sizes.append(len(x)) or pdist(x))
    assert diversity_of(Compared(drawn, data, None, 0, to_pixels(data))) == expected
    assert sorted(sizes) == [3, 3, 5]


def test_one_observed_image_leaves_out_what_needs_more(tmp_path: Path):
    pair = train("cooperative", tmp_path, "data.crops=1")
    found = evaluate(pair, 2)
    assert found.distance is None
    assert (found.neighbours.real, found.neighbours.ratio, found.diversity) == (None, {}, {})


def test_recovery_errors_are_those_of_the_tasks(pairs: dict[str, Trained]):
    pair = pairs["generator"]
    told: list[str] = []
    found = evaluate(pair, 2, restore=3, watch=lambda doing, *_: told.append(doing)).recovery
    data = observed(pair)
    signals = data[torch.linspace(0, len(data) - 1, 3).long()] - pair.mean
    holes = square_holes(3, 4, pair.signal_shape, SEED)
    inference = InferenceSettings(steps=0, ascent=200, chains=4)
    filled = inpaint(pair, signals, holes, InpaintingSettings(inference=inference), seed=SEED)
    error = restoration_error(filled.signals, signals, holes, pair.mean).mean()
    assert (found.count, found.real, found.side) == (3, "observed", 4)
    assert found.restored == pytest.approx(float(error))
    plain = (data.mean(0) - pair.mean).expand_as(signals)
    by_mean = restoration_error(plain, signals, holes, pair.mean).mean()
    assert found.by_mean == pytest.approx(float(by_mean))
    error = reconstruct(pair, signals, inference, seed=SEED).error.mean()
    assert found.reconstructed == pytest.approx(float(error))
    assert "ascending" in told


def test_recovery_errors_are_of_images_held_out(pairs: dict[str, Trained]):
    found = evaluate(pairs["cooperative"], 2, held_out="chelsea").recovery
    assert (found.count, found.real) == (1, "held out")


def test_recovery_errors_are_left_out(pairs: dict[str, Trained], texture: Trained):
    assert evaluate(pairs["cooperative"], 2, restore=0).recovery is None
    assert evaluate(pairs["descriptor"], 2).recovery is None
    assert evaluate(texture, 1).recovery is None


def test_features_of_a_network(pairs: dict[str, Trained]):
    pytest.importorskip("torchmetrics", reason="needs the extra metrics")
    network = FeatureNetwork(lambda images: images.mean(2).flatten(1), size=8)
    found = evaluate(pairs["cooperative"], 10, network=network).features
    assert set(found) == {"initial", "revised", "real"}
    assert set(found["revised"]) == set(found["real"]) == {"fid", "kid", "precision", "recall"}
    assert found["revised"]["fid"] > 0


def test_precision_is_of_what_is_drawn_and_recall_of_the_data():
    """Copies of a single image lie among the data, of which they reach no other."""
    pytest.importorskip("torchmetrics", reason="needs the extra metrics")
    data = torch.linspace(-1, 1, 12)[:, None, None, None].expand(-1, 1, 8, 8)
    copies = data[5:6].expand(6, -1, -1, -1)
    network = FeatureNetwork(lambda images: images.mean((2, 3)), size=8)
    found = features_of(
        Compared({"initial": copies}, data, None, 0, to_pixels(data)), network, nobody
    )["initial"]
    assert found["precision"] == 1
    assert found["recall"] == pytest.approx(1 / 12)


def test_real_images_have_the_features_of_one_half_beside_the_other():
    """Two numbers, as many of each: the halves hold both, and each lies among its own kind."""
    pytest.importorskip("torchmetrics", reason="needs the extra metrics")
    data = torch.tensor([-1.0, 1.0]).repeat(100)[:, None, None, None].expand(-1, 1, 8, 8)
    network = FeatureNetwork(lambda images: images.mean((2, 3)), size=8)

    def real_of(images: Tensor) -> dict[str, float] | None:
        drawn = {"initial": data[:4]}
        compared = Compared(drawn, images, None, 0, to_pixels(images))
        return features_of(compared, network, nobody).get("real")

    real = real_of(data)
    assert real is not None
    assert real["precision"] == real["recall"] == 1
    assert real["fid"] < 0.05
    assert real_of(data[:7]) is None, "halves of three and four are too small"


def test_signals_are_cut_off_as_they_are_shown(pairs: dict[str, Trained]):
    bright = attrs.evolve(pairs["descriptor"], chains=torch.full((4, 1, 8, 8), 7.0))
    near = nearest(torch.ones(1, 1, 8, 8), observed(bright)).distance
    assert evaluate(bright, 2).neighbours.drawn["initial"] == pytest.approx(float(near))


def test_signals_that_are_not_finite(pairs: dict[str, Trained]):
    broken = attrs.evolve(pairs["descriptor"], chains=torch.full((4, 1, 8, 8), torch.nan))
    with pytest.raises(RunError, match="the initial signals are not finite"):
        evaluate(broken, 2)


def test_data_that_are_no_longer_those_of_the_training(tmp_path: Path):
    grey = torch.arange(144, dtype=torch.uint8).reshape(12, 12)
    place = tmp_path / "seen.png"
    Image.fromarray(grey.numpy()).save(place)
    pair = train("cooperative", tmp_path, f"data.source={place}", "run.iterations=1")
    assert evaluate(pair, 2).real == "observed"
    Image.fromarray(255 - grey.numpy()).save(place)
    with pytest.raises(RunError, match=r"seen.png' gives other images than those that the run has"):
        evaluate(pair, 2)


def test_held_out_images_are_prepared_as_those_of_any_task(pairs: dict[str, Trained]):
    """The data are random crops, grey; of a photograph in colour the grey centre counts."""
    pair = pairs["cooperative"]
    assert pair.recipe.data.crop == "random"
    others = read_given(pair, "chelsea").signals + pair.mean
    found = evaluate(pair, 2, held_out="chelsea").neighbours
    assert found.real == pytest.approx(float(nearest(others, observed(pair)).distance.median()))


def test_held_out_images_that_are_not_there(pairs: dict[str, Trained]):
    with pytest.raises(CoopkitError, match=r"^held_out: 'nowhere' is no file, no folder"):
        evaluate(pairs["cooperative"], 2, held_out="nowhere")


def test_too_few_images_for_features_are_refused_before_any_is_drawn(
    pairs: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
):
    network = FeatureNetwork(lambda images: images.mean(2).flatten(1), size=8)
    monkeypatch.setattr("coopkit.tasks.evaluate.sample", None)
    with pytest.raises(
        DataError, match="at least 4 images of each set; there are 9 drawn and 1 real"
    ):
        evaluate(pairs["cooperative"], 9, held_out="chelsea", network=network)
    with pytest.raises(DataError, match="there are 3 drawn and"):
        evaluate(pairs["cooperative"], 3, network=network)
