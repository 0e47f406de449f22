import io
import shutil
from pathlib import Path

from PIL import Image
from rich.console import Console

from coopkit.recipes import Recipe
from coopkit.tasks.describe import describe_run
from coopkit.training import run
from coopkit.watchers.terminal import Bar, Beginning, Lines, summary, watcher

TINY = Path(__file__).parents[1] / "tiny" / "cooperative.toml"


def said_by(folder: Path, terminal: bool, *overrides: str) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    run(Recipe.read(TINY, overrides), folder, watchers=[watcher(console)])
    return console.file.getvalue()


def test_terminal_has_a_bar_and_a_pipe_has_lines():
    assert isinstance(watcher(Console(file=io.StringIO(), force_terminal=True)), Bar)
    assert isinstance(watcher(Console(file=io.StringIO())), Lines)


def test_lines_come_at_the_start_and_the_end(tmp_path: Path):
    lines = said_by(tmp_path, False, "run.iterations=9").splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("iteration 1/9 ")
    assert lines[1].startswith("iteration 9/9 ")
    for shown in ("/s", "s left", "Δf", "S2−S1", "S3−S2"):
        assert shown in lines[1]


def test_lines_come_now_and_then_between(tmp_path: Path):
    console = Console(file=io.StringIO())
    run(Recipe.read(TINY), tmp_path, watchers=[Lines(console, every=0.0)])
    assert len(console.file.getvalue().splitlines()) == 4


def test_bar_counts_to_the_end(tmp_path: Path):
    said = said_by(tmp_path, True)
    assert "4/4" in said
    assert "Δf" in said


def test_bar_goes_on_where_a_resumed_run_does(tmp_path: Path):
    said_by(tmp_path, False, "run.iterations=2")
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    recipe = Recipe.read(TINY, ["run.iterations=3"])
    run(recipe, tmp_path, resume=True, watchers=[Bar(console)])
    assert "3/3" in console.file.getvalue()


def test_a_run_that_goes_on_in_its_start_does_not_say_that_it_begins(tmp_path: Path):
    start = [
        "generator.start.iterations=2",
        "generator.start.inference={steps=1, step_size=0.01}",
        "generator.start.optimizer={name='Adam', lr=0.01}",
    ]
    console = Console(file=io.StringIO(), width=200)
    run(Recipe.read(TINY, start), tmp_path / "a", watchers=[Beginning(console, resumes=True)])
    lines = (
        f"{tmp_path / 'a'} holds no run to go on with; beginning at iteration 1\n"
        "brick: 10 examples of 1 x 8 x 8\n"
    )
    assert console.file.getvalue() == lines
    shutil.rmtree(tmp_path / "a" / "checkpoints")
    again = Beginning(console, resumes=True)
    run(Recipe.read(TINY, start), tmp_path / "a", resume=True, watchers=[again])
    assert console.file.getvalue() == lines


def test_what_is_learnt_from_is_said_and_what_is_left_out(tmp_path: Path):
    photos, console = tmp_path / "photos", Console(file=io.StringIO(), width=200)
    photos.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("L", (9, 9)).save(photos / name)
    for name in ("c.HEIC", "d.heic", "notes.txt", ".hidden"):
        (photos / name).write_text("no image")
    (photos / "e.png").symlink_to("gone.png")
    own = [f"data.source={photos}", "data.crop=center", "data.crops=1", "run.observed=2"]
    run(Recipe.read(TINY, own), tmp_path / "run", watchers=[Beginning(console)])
    left = "2 of .heic and 1 of .png and 1 of .txt left out, which cannot be read as images"
    assert console.file.getvalue() == f"{photos}: 2 examples of 1 x 8 x 8\n{left}\n"
    assert describe_run(tmp_path / "run")["data"] == f"{photos}, 2 examples"


def test_a_summary_ends_with_the_samplers_own_figures():
    figures = {"revised_minus_initial": 0.5, "energy_initial": 3.0, "revision.acceptance": 0.6}
    assert summary(figures) == "S2−S1 0.5  revision.acceptance 0.6"
