import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch
from PIL import Image

from coopkit.cli import cli
from coopkit.cli.console import watching
from coopkit.recipes import packaged_recipes

TINY = Path(__file__).parents[1] / "tiny" / "cooperative.toml"

Call = Callable[..., tuple[int, str, str]]


def test_run_sample_and_info(call: Call, tmp_path: Path):
    status, _, said = call("run", str(TINY), "--set", "run.iterations=2")
    assert status == 0
    assert (tmp_path / "runs" / "cooperative" / "checkpoints" / "00000002").is_dir()
    assert "2 iterations done. Look at runs/cooperative/sheets/00000002.png" in said
    status, _, said = call("sample", "runs/cooperative", "-n", "5", "--out", "a sheet é.png")
    assert (status, said) == (0, "wrote a sheet é.png\n")
    with Image.open(tmp_path / "a sheet é.png") as sheet:
        assert sheet.size[0] > 2 * 96
    status, said, _ = call("info", "runs/cooperative")
    assert status == 0
    assert "2 of 2" in said
    assert "brick" in said


def test_resume_by_the_folder_alone(call: Call, tmp_path: Path):
    call("run", str(TINY), "--out", "a b")
    status, _, said = call("run", "a b", "--resume", "--set", "run.iterations=5")
    assert status == 0
    assert "5 iterations done" in said
    assert "coopkit sample 'a b'" in said


def test_a_run_is_not_resumed_elsewhere(call: Call, tmp_path: Path):
    call("run", str(TINY), "--out", "a")
    status, _, said = call("run", "a", "--resume", "--out", "b")
    assert status == 2
    assert "--out b is of no use: --resume goes on with the run a where it is" in said
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert call("run", "a", "--resume", "--out", "./a")[0] == 0


def test_where_nothing_is_resumed_a_run_says_that_it_begins(call: Call):
    begins = "b holds no run to go on with; beginning at iteration 1"
    asked = ("run", str(TINY), "--resume", "--out", "b")
    assert call(*asked)[2].splitlines()[0] == begins
    assert "holds no run" not in call(*asked, "--set", "run.iterations=5")[2]
    assert "holds no run" not in call("run", str(TINY), "--out", "c")[2]


def test_one_iteration_is_no_iterations(call: Call):
    assert "\n1 iteration done. Look at" in call("run", str(TINY), "--set", "run.iterations=1")[2]


def test_a_long_task_says_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    now = 0.0
    monkeypatch.setattr("coopkit.cli.console.time.monotonic", lambda: now)
    with watching() as watch:
        for now in range(0, 25, 3):
            watch("drawing signals", int(now), 25 if now < 20 else None)
    assert capsys.readouterr() == ("", "drawing signals 12/25\ndrawing signals\n")


def test_packaged_recipes_are_listed_with_a_line_each(call: Call):
    status, said, _ = call("recipes")
    assert status == 0
    for name, text in packaged_recipes().items():
        assert name in said
        assert text.splitlines()[0].lstrip("# ")[:40] in said


def test_packaged_recipe_is_shown_to_copy(call: Call):
    assert call("recipes", "show", "quickstart") == (0, packaged_recipes()["quickstart"], "")


def test_keys_of_the_tables_that_are_no_plugins_are_shown(call: Call):
    for table, key, meaning in [
        ("run", "keep_checkpoints", "how many of the newest"),
        ("data", "source", "a file"),
        ("steps", "steps", "required"),
    ]:
        status, said, _ = call("recipes", "keys", table)
        (line,) = [line for line in said.splitlines() if line.startswith(f"{key} ")]
        assert status == 0
        assert meaning in line


def test_plugins_are_listed(call: Call):
    status, said, _ = call("plugins")
    assert status == 0
    (line,) = [line for line in said.splitlines() if line.startswith("langevin")]
    assert line.split()[:3] == ["langevin", "sampler", "coopkit"]


def test_plugin_is_shown_with_types_defaults_units_and_meaning(call: Call):
    status, said, _ = call("plugins", "show", "langevin")
    assert status == 0
    (line,) = [line for line in said.splitlines() if line.startswith("step_size")]
    assert "number" in line
    assert "0.002" in line
    assert "in the units of the position" in line


def test_name_of_two_kinds_is_shown_twice(call: Call):
    _, said, _ = call("plugins", "show", "texture")
    assert "descriptor texture" in said
    assert "generator texture" in said


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("run nothing.toml", "there is no such file and no packaged recipe"),
        ("run quickstrat", "did you mean 'quickstart'?"),
        ("run .", "this is a folder; give a recipe's file, or --resume"),
        ("run {tiny} --set revision.stepsize=1", "revision.stepsize is no key of this table"),
        ("run {tiny} --set what", "--set what must be --set table.key=value"),
        ("run {tiny} --set seed=-3", "seed must be >= 0: -3"),
        ("run {tiny} --set data.source=nowhere", "'nowhere' is no file, no folder"),
        ("run {tiny} --set data.source=notes.txt", "notes.txt cannot be read as an image"),
        ("run {tiny} --set data.source=photos", "the folder 'photos' holds no image"),
        (
            "run {tiny} --set data.resize=none --set data.height=9999",
            "smaller than the crop of 9999",
        ),
        ("run {tiny} --out notes.txt", "notes.txt is a file; a run needs a folder of its own"),
        ("run {tiny} --out notes.txt/out", "cannot be used: Not a directory"),
        ("run {tiny} --out .", ". holds files that are no run's; give another folder"),
        ("run {tiny} --out done", "done already holds a run; --resume goes on with it"),
        ("run {tiny} --out done --resume --set seed=9", "another recipe: seed differ"),
        ("run {tiny} --out x --resume --overwrite", "exclude each other; choose one"),
        ("run {tiny} --out x --set descriptor.optimizer.lr=1e38", "is -inf"),
        ("run {tiny} --frobnicate", "No such option"),
        ("sample nowhere", "nowhere holds no run"),
        ("sample done --out sheet.txt", "the name must end in .png, .jpg, .jpeg"),
        ("sample done --out sheet.psd", "the name must end in .png, .jpg, .jpeg"),
        ("sample done --out notes.txt/sheet.png", "cannot be written: Not a directory"),
        ("sample done --device gpu", "the device 'gpu' cannot be used"),
        ("sample done -n 0", "0 is not in the range"),
        ("info nowhere", "nowhere holds no run"),
        ("plugins show langvin", "no plugin supplies 'langvin'; did you mean 'langevin'?"),
        ("recipes show quickstrat", "did you mean 'quickstart'?"),
        ("recipes keys revision", "are those of the plugin that it names: coopkit plugins lists"),
        ("recipes keys rum", "no table is called 'rum'; did you mean 'run'?"),
    ],
)
def test_mistake_is_answered_with_one_sentence(
    call: Call, tmp_path: Path, command: str, sentence: str
):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "photos").mkdir()
    if "done" in command:
        call("run", str(TINY), "--out", "done", "--set", "run.iterations=1")
    status, said, complaint = call(*command.format(tiny=TINY).split())
    assert status == 2
    assert sentence in complaint
    assert said == ""
    assert "Traceback" not in complaint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_read_only_folder(call: Call, tmp_path: Path):
    tmp_path.chmod(0o500)
    status, _, complaint = call("run", str(TINY), "--out", "out")
    tmp_path.chmod(0o700)
    assert status == 2
    assert "cannot be used: Permission denied" in complaint


def test_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, call: Call):
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("coopkit.recipes.Recipe.read", fail)
    with pytest.raises(ZeroDivisionError):
        call("run", str(TINY))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory.\nmore"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError("Unable to allocate 8 EiB"),
        MemoryError(),
    ],
)
def test_too_little_memory(monkeypatch: pytest.MonkeyPatch, call: Call, error: Exception):
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("coopkit.recipes.Recipe.read", fail)
    status, _, complaint = call("run", str(TINY))
    assert status == 2
    reason = f": {str(error).splitlines()[0]}" if str(error) else ""
    assert f"coopkit: there is not enough memory{reason}\ntry a smaller run.chains" in complaint


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("sample x", "ask for a smaller -n or --size"),
        ("interpolate x", "ask for a smaller -n or --frames"),
        ("evaluate x", "ask for a smaller -n"),
        ("energy x --images brick", "give fewer images at a time"),
        ("--no-plugins reconstruct x --images brick", "ask for a smaller --chains"),
        ("inpaint x --images brick --mask 3", "ask for a smaller --chains"),
        ("complete x --images brick --mask 3", "ask for a smaller --chains"),
    ],
)
def test_too_little_memory_for_a_task(
    monkeypatch: pytest.MonkeyPatch, call: Call, command: str, advice: str
):
    """The advice names options that the command has."""

    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setenv("COOPKIT_NO_PLUGINS", "")
    monkeypatch.setattr("coopkit.tasks.trained.run_recipe", fail)
    status, _, complaint = call(*command.split())
    assert status == 2
    assert complaint.splitlines()[0] == "coopkit: there is not enough memory"
    assert complaint.splitlines()[1].endswith(advice)
    (name,) = set(command.split()) & set(cli.commands)
    known = {option for parameter in cli.commands[name].params for option in parameter.opts}
    assert {word for word in advice.split() if word.startswith("-")} <= known


def test_version_and_help(call: Call):
    assert "0.1.0" in call("--version")[1]
    status, said, _ = call("--help")
    assert status == 0
    for command in ("run", "sample", "info", "plugins", "recipes", "check"):
        assert command in said


@pytest.mark.parametrize(
    "name", ["complete", "energy", "evaluate", "inpaint", "interpolate", "reconstruct", "sample"]
)
def test_help_says_what_numbers_and_places_are_if_left_out(name: str):
    for option in cli.commands[name].params:
        number_or_place = isinstance(option.default, int | float | Path) and option.default
        if isinstance(option, click.Option) and number_or_place:
            assert f"{option.default} if left out" in option.help


def test_reader_that_hangs_up_is_no_error():
    """As in `coopkit recipes show quickstart | head -1`."""
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -m coopkit recipes show texture | true; echo ${{PIPESTATUS[0]}}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_letters_that_a_terminal_lacks_are_replaced():
    done = subprocess.run(
        [sys.executable, "-m", "coopkit", "recipes"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert "64?64" in done.stdout
