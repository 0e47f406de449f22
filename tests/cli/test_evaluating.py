"""The command evaluate."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import pytest
import torch

from coopkit.cli.evaluating import table_of
from coopkit.errors import DataError
from coopkit.recipes import Recipe
from coopkit.statistics.features import LEAST, coverage
from coopkit.statistics.networks import FeatureNetwork
from coopkit.statistics.scales import Scale
from coopkit.tasks.evaluate import evaluate
from coopkit.tasks.evaluation import Evaluation
from coopkit.tasks.trained import Trained, load
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny" / "cooperative.toml"

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    return run(Recipe.read(TINY), tmp_path_factory.mktemp("runs") / "tiny").folder


@pytest.fixture
def call(call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return the command as a function, in a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    return partial(call, "evaluate")


def test_a_table_and_a_file(call: Call, folder: Path, tmp_path: Path):
    status, said, told = call(folder, "-n", 3, "--seed", 2, "--out", "new/evaluation.json")
    assert (status, told) == (0, "wrote new/evaluation.json\n")
    found = evaluate(load(folder), 3, seed=2)
    written = tmp_path / "new" / "evaluation.json"
    figures = json.loads(written.read_text(encoding="utf-8"))
    asked = figures.pop("asked")
    assert figures == found.as_json()
    assert (asked["run_folder"], asked["n"], asked["seed"]) == (str(folder), 3, 2)
    assert {"steps", "prior", "held_out", "restore"} <= asked.keys()
    assert figures["iteration"] == 4
    assert [file.name for file in written.parent.iterdir()] == ["evaluation.json"]
    (line,) = [line for line in said.splitlines() if line.startswith("diversity")]
    figures = [f"{found.diversity[which]:.4g}" for which in ("initial", "revised")]
    assert line.split() == ["diversity", *figures, "observed", "1"]
    assert f"ceiling {found.distance.scale.ceiling:.3g}" in said
    recovery = found.recovery
    assert f"{recovery.restored:.4g} in occluded squares of 4 pixels" in said
    assert f"X inferred from {recovery.count} observed images" in said


def test_a_scale_that_tells_nothing_is_said_to_be_none(folder: Path):
    found = evaluate(load(folder), 2)
    nothing = {"initial": None, "revised": None}
    vague = attrs.evolve(
        found.distance, scale=Scale(0.2, 0.3, 0.1), relative=nothing, copies_relative=None
    )
    columns = [list(c.cells) for c in table_of(attrs.evolve(found, distance=vague)).columns]
    place = columns[0].index("  on its scale")
    assert [cells[place] for cells in columns[1:]] == ["-", "-", "none: both vary by 0.1"]


def test_one_signal_from_one_image(folder: Path):
    found = evaluate(load(folder), 2)
    distance = attrs.evolve(found.distance, count=1)
    recovery = attrs.evolve(found.recovery, count=1)
    caption = table_of(attrs.evolve(found, distance=distance, recovery=recovery)).caption
    assert "of 1 signal of 8 x 8 from observed images\n" in caption
    assert "X inferred from 1 observed image:" in caption


def test_training_images_are_not_taken_for_unseen_ones(folder: Path):
    found = attrs.evolve(evaluate(load(folder), 2), real="held out")
    for nearest, said in ((0.0, True), (0.3, False)):
        neighbours = attrs.evolve(found.neighbours, real=nearest)
        caption = table_of(attrs.evolve(found, neighbours=neighbours)).caption
        assert ("the images held out are training images" in caption) == said


def test_a_feature_network_is_tried_before_anything_is_drawn(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("coopkit.tasks.evaluate.drawn_signals", None)
    network = FeatureNetwork(lambda images: images, size=8)
    with pytest.raises(DataError, match="must give"):
        evaluate(load(folder), LEAST, network=network)


def test_without_out_nothing_is_written(call: Call, folder: Path, tmp_path: Path):
    status, said, told = call(folder, "-n", 2, "--steps", 0, "--restore", 0)
    assert (status, told) == (0, "")
    assert "energy" in said
    assert "occluded" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", ["[0, 1]", "[0,1]"])
def test_a_feature_network_from_a_file(call: Call, folder: Path, tmp_path: Path, values: str):
    pytest.importorskip("torchmetrics", reason="needs the extra metrics")
    program = torch.export.export(Means(), (torch.zeros(10, 3, 8, 8),))
    torch.export.save(program, tmp_path / "means.pt2")
    choices = ("--features", "means.pt2", "--size", 8, "--range", values)
    status, said, _ = call(folder, "-n", 10, *choices)
    assert status == 0
    assert {"fid", "kid", "precision", "recall"} <= {line.split()[0] for line in said.splitlines()}


@pytest.mark.parametrize(("n", "too_few"), [(1, True), (3, True), (LEAST, False)])
def test_too_few_features_are_refused_before_anything_is_computed(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, n: int, too_few: bool
):
    pytest.importorskip("torchmetrics", reason="needs the extra metrics")
    features = torch.randn(n, 2, dtype=torch.float64)
    if not too_few:
        coverage(features, features)
        return
    with pytest.raises(DataError):
        coverage(features, features)
    monkeypatch.setattr("coopkit.tasks.trained.load", None)
    status, _, told = call(folder, "-n", n, "--features", "means.pt2")
    assert status == 2
    assert f"--features needs -n {LEAST} at least, not -n {n}" in told


def test_what_is_not_installed_is_said_before_anything_is_computed(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("coopkit.tasks.trained.load", None)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    status, _, told = call(folder, "--features", "means.pt2")
    assert status == 2
    assert "FID and KID need torchmetrics; install it with" in told


class Means(torch.nn.Module):
    """The mean of each column of each channel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(2).flatten(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--features", "none.pt"), "coopkit: the feature network none.pt is no file"),
        (("--images", "nowhere"), "coopkit: --images: 'nowhere' is no file, no folder"),
        (
            ("--images", "~no-such-user/x"),
            "coopkit: --images: '~no-such-user/x' is no file, no folder",
        ),
        (("--device", "gpu"), "the device 'gpu' cannot be used"),
        (("--range", "[0,2]"), "'[0,2]' is not one of '[-1, 1]', '[0, 1]'"),
    ],
)
def test_what_a_user_can_mend_is_a_sentence(
    call: Call, folder: Path, arguments: tuple[str, ...], message: str
):
    status, said, told = call(folder, *arguments)
    assert (status, said) == (2, "")
    assert message in told


def test_nothing_is_restored_without_a_generator(call: Call, tmp_path: Path):
    alone = run(Recipe.read(TINY.with_name("descriptor.toml")), tmp_path / "alone").folder
    status, _, told = call(alone, "--restore", 3)
    assert status == 2
    assert "--restore is of no use without a generator" in told
    assert call(alone, "-n", 2)[0] == 0


def test_nothing_is_restored_of_a_texture(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    size = ["data.resize=128", "data.height=64", "data.width=64", "data.crops=2"]
    recipe = Recipe.read(TINY, [*size, "run.iterations=1", "data.source='chelsea'"])
    texture = run(recipe, tmp_path / "texture").folder
    told: list[int] = []

    def measure(trained: Trained, *, restore: int, **how: object) -> Evaluation:
        told.append(restore)
        raise DataError("enough")

    monkeypatch.setattr("coopkit.tasks.evaluate.evaluate", measure)
    status, _, said = call(texture, "--restore", 3)
    assert (status, told) == (2, [])
    assert "--restore is of no use without several images in the data" in said
    assert call(texture)[2] == "coopkit: enough\n"
    assert told == [8]


def test_a_folder_without_a_run(call: Call, tmp_path: Path):
    status, _, told = call(tmp_path)
    assert status == 2
    assert "holds no run" in told
