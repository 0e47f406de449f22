import json
from pathlib import Path

import pytest
from PIL import Image

from coopkit.errors import RunError
from coopkit.recipes import Recipe
from coopkit.training import Run, run
from coopkit.watchers.files import read_metrics

TINY = Path(__file__).parents[1] / "tiny"

FIGURES = {
    "energy_observed",
    "energy_initial",
    "energy_revised",
    "f_observed_minus_revised",
    "revised_minus_initial",
    "reconstructed_minus_revised",
    "descriptor_gradient_norm",
    "generator_gradient_norm",
}


def train(folder: Path, *overrides: str, name: str = "cooperative") -> Run:
    return run(Recipe.read(TINY / f"{name}.toml", overrides), folder)


def test_metrics_have_a_line_for_every_iteration_with_every_figure(tmp_path: Path):
    train(tmp_path)
    lines = read_metrics(tmp_path)
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
    for line in lines:
        assert line.keys() >= FIGURES | {"seconds"}
        assert line["seconds"] > 0


def test_half_a_line_of_a_killed_run_is_passed_over(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 1}\n{"iteration": 2, "x": {}')
    assert read_metrics(tmp_path) == [{"iteration": 1}]


def test_damaged_metrics_are_named(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text("what\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl are damaged"):
        read_metrics(tmp_path)


def test_environment_says_with_what_a_run_was_made(tmp_path: Path):
    train(tmp_path)
    said = json.loads((tmp_path / "environment.json").read_text())
    assert (said["seed"], said["device"], said["processes"]) == (1, "cpu", 1)
    assert set(said["versions"]) >= {"coopkit", "torch", "numpy"}


@pytest.mark.parametrize(("every", "sheets"), [(0, [5]), (2, [2, 4, 5]), (5, [5])])
def test_sheets_and_checkpoints_come_now_and_then_and_at_the_end(
    tmp_path: Path, every: int, sheets: list[int]
):
    keys = [f"run.{what}_every={every}" for what in ("sheet", "checkpoint")]
    train(tmp_path, *keys, "run.iterations=5", "run.keep_checkpoints=9")
    drawn = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert drawn == [f"{number:08d}.png" for number in sheets]
    assert kept == [f"{number:08d}" for number in sheets]


@pytest.mark.parametrize(
    ("name", "panels"), [("descriptor", 3), ("generator", 2), ("cooperative", 4)]
)
def test_sheet_has_the_panels_of_its_algorithm(tmp_path: Path, name: str, panels: int):
    train(tmp_path, "run.iterations=1", name=name)
    with Image.open(tmp_path / "sheets" / "00000001.png") as sheet:
        assert sheet.width == panels * 2 * (128 + 4) + (panels - 1) * 12


def test_no_temporary_file_is_left(tmp_path: Path):
    train(tmp_path, "run.sheet_every=1", "run.checkpoint_every=1")
    assert not list(tmp_path.rglob(".writing-*"))
