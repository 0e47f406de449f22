import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from results import result
from rich.console import Console
from rich.text import Text

from coopkit.builtin import Langevin
from coopkit.testing import CHECKS, Result, check_sampler, diagnosis
from coopkit.testing.diagnosis import Mistake, Pattern
from coopkit.testing.records import Status
from coopkit.testing.terminal import (
    UNSURE,
    UNTOLD,
    Request,
    check,
    column_widths,
    print_diagnosis,
    print_failures,
    row,
    run_checks,
    short,
)

FOLDER = Path(__file__).parent
QUICK = ("--profile", "quick")
ALL = {check.name: 0.0 for check in CHECKS}
HALF = Mistake("the half is missing", "write δ²/2 · ∇ log p", [Pattern({**ALL, "noise": 1.0}, {})])
OTHER = Mistake("[red]another[/red]", "nothing", [Pattern({**ALL, "noise": 0.1}, {})])

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the known mistakes be these two, and no seed be chosen elsewhere."""
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: [OTHER, HALF])
    monkeypatch.delenv("COOPKIT_SEED", raising=False)


@pytest.fixture
def call(call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return the command, in the folder of the wrong sampler and with the path of a script."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "80")
    return partial(call, "check")


def bound_of(name: str) -> str:
    """Return the bound of a check of Langevin dynamics as the table shows it."""
    (found,) = check_sampler(
        Langevin(), profile="quick", seed=3, selected=lambda each: each == name
    )
    return f"{found.bound:.3g}"


def rows_of(text: str) -> dict[str, list[str]]:
    """Return figure, bound and verdict of each check, by name."""
    names = {check.name for check in CHECKS}
    lines = [line for line in text.splitlines() if line[:25].strip() in names]
    return {line[:25].strip(): line[25 + 2 + 23 :].split() for line in lines}


def flat(text: str) -> str:
    return " ".join(text.split())


def test_each_check_has_a_row_and_no_line_is_wider_than_the_terminal(call: Call):
    status, said, complaint = call("langevin", *QUICK, "--seed", "3")
    table = said.partition("\n\n")[0]
    assert (status, complaint) == (0, "")
    assert list(rows_of(table)) == [check.name for check in CHECKS]
    assert max(map(len, table.splitlines())) <= 80
    assert rows_of(table)["one-step[posterior]"][2] == "passed"
    assert rows_of(table)["fused"] == ["not"]
    assert "it offers no fused run" in flat(table).replace(" applicable", "")
    assert "likeliest" not in said
    ran = sum(cells[-1] == "passed" for cells in rows_of(table).values())
    assert f"{ran} passed, 0 failed, {len(CHECKS) - ran} not applicable; a right" in said


def printed(show: Callable[[Console], None]) -> str:
    console = Console(file=io.StringIO(), width=80)
    show(console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def diagnosed(results: list[Result], complete: bool = True) -> str:
    return printed(lambda console: print_diagnosis(results, complete, console))


def test_the_likeliest_mistakes_are_told_and_that_they_are_told_apart():
    said = diagnosed([result("noise"), result("geweke", "passed")])
    assert "\n91%  the half is missing: write δ²/2 · ∇ log p\n" in said
    assert "\n 9%  [red]another[/red]: nothing" in said
    assert UNSURE not in said


@pytest.mark.parametrize("declared", [True, False])
def test_mistakes_that_are_not_told_apart_are_said_not_to_be(
    monkeypatch: pytest.MonkeyPatch, declared: bool
):
    """And what would tell them apart, where the sampler has not declared it."""
    twin = attrs.evolve(HALF, name="its twin")
    monkeypatch.setattr(diagnosis, "known_mistakes", lambda: [HALF, twin])
    status: Status = "passed" if declared else "not applicable"
    said = diagnosed([result("noise"), result("one-step[isotropic]", status)])
    assert "50%  its twin" in said
    assert f"\n{UNSURE}\n" in said
    assert (f"\n{UNTOLD}\n" in said) is not declared


def test_errors_are_to_be_mended_before_anything_is_diagnosed():
    errors = [result(name, stages=0) for name in ("kind-kept", "geweke")]
    said = diagnosed([*errors, result("noise")])
    assert "errors that were raised" in said
    assert "known mistakes" not in said


def test_some_of_the_checks_are_no_ground_for_a_diagnosis():
    said = diagnosed([result("noise")], complete=False)
    assert "All checks together, without --only" in said
    assert "the half" not in said


def test_what_several_checks_saw_is_told_once():
    names = ["kind-kept", "inputs-kept", "resumes", "permuted"]
    error = "raised ZeroDivisionError: division by zero (mine.py:8)"
    same = [result(name, detail=f"{error}; smallest example: {name}") for name in names]
    others = [result("noise"), result("geweke"), result("descent", "expected failure")]
    said = printed(lambda console: print_failures([*same, *others], console))
    assert said.count("ZeroDivisionError") == 1
    assert f"kind-kept, inputs-kept, resumes, … (4 checks): failed. {error}; smallest" in flat(said)
    assert "example: kind-kept [(6)]" in flat(said)
    assert "\nnoise, geweke: failed. seen [(6)]\n" in said
    assert "\ndescent: expected failure. seen [(6)]\n" in said


def test_a_failure_tells_what_was_seen(call: Call):
    only = [word for name in ("one-step[isotropic]", "noise") for word in ("--only", name)]
    status, said, _ = call("wrong_sampler:NoHalf", *QUICK, "--seed", "3", *only)
    assert status == 1
    assert rows_of(said)["one-step[isotropic]"][1:] == [bound_of("one-step[isotropic]"), "failed"]
    assert rows_of(said)["noise"][-1] == "passed"
    assert re.search(r"one-step\[isotropic\]: failed\. \w.* standard errors off", flat(said))
    assert (
        "1 passed, 1 failed, 0 not applicable; a right sampler fails with probability 1e-09" in said
    )


def test_a_pattern_of_no_known_mistake_is_said_to_be_one(call: Call):
    status, said, _ = call("wrong_sampler:NoHalf", *QUICK, "--seed", "3", "--only", "noise")
    assert (status, "likeliest" in said) == (0, False)
    none = "\nNone of the known mistakes leaves this pattern of failures.\n"
    assert none in diagnosed([result("descent"), result("noise", "passed")])
    _, said, _ = call("wrong_sampler:NoHalf", *QUICK, "--seed", "3")
    assert none in said


def test_the_row_of_a_check_is_there_before_the_next_one_runs():
    console = Console(file=io.StringIO(), width=80)
    seen = []

    def fake(name: str) -> Any:
        def result() -> Any:
            seen.append(console.file.getvalue())  # type: ignore[attr-defined]
            return SimpleNamespace(
                check=name, meaning="m", figure=1.0, bound=2.0, status="passed", detail=""
            )

        return SimpleNamespace(check=SimpleNamespace(name=name), result=result)

    run_checks([fake("first"), fake("second")], console)
    assert "figure" in seen[0]
    assert "first" not in seen[0]
    assert "first" in seen[1]
    assert "second" not in seen[1]


@pytest.mark.parametrize("width", [40, 80, 100, 300])
def test_the_columns_fit_the_terminal_and_keep_what_is_long(width: int):
    widths = column_widths(width)
    assert sum(widths) + 2 * (len(widths) - 1) <= max(width, 73)
    assert widths[1] >= 16
    console = Console(file=io.StringIO(), width=max(width, 80))
    console.print(
        row([Text("a"), Text("long " * 40), *map(Text, "bcd")], column_widths(max(width, 80)))
    )
    assert console.file.getvalue().count("long") == 40  # type: ignore[attr-defined]


def test_numbers_are_cut_to_the_width_of_their_column():
    texts = [short(value, 8) for value in (0, 3.14159, -82_812.0, 6.5e-12, float("inf"), 1234.5)]
    assert texts == ["0", "3.14", "-8.3e+04", "6.5e-12", "inf", "1.23e+03"]
    assert short(0.042345, 6) == "0.0423"
    assert short(0.0042345, 6) == "0.0042"


def test_a_seed_is_chosen_and_the_printed_command_repeats_the_run(call: Call):
    asked = ["langevin", *QUICK, "--only", "one-step", "--set", "temperature=0.5"]
    asked += ["--expect-failure", "one-step[masked]=a 'reason' of $mine"]
    first, second = call(*asked), call(*asked)
    seeds = {re.search(r"profile quick, seed (\d+)", said)[1] for _, said, _ in (first, second)}  # type: ignore[index]
    assert len(seeds) == 2
    (line,) = re.findall(r"^again: coopkit check (.*)$", first[1], re.MULTILINE)
    again = call(*shlex.split(line))
    assert rows_of(again[1]) == rows_of(first[1])
    assert rows_of(second[1]) != rows_of(first[1])
    assert again[0] == first[0] == 1
    assert "Langevin(step_size=0.002, temperature=0.5)" in again[1]


@pytest.mark.parametrize(
    ("only", "count"),
    [("one-step", 5), ("one-step[masked]", 1), ("noise", 1), ("reversibility", 4)],
)
def test_a_check_or_a_family_is_chosen(call: Call, only: str, count: int):
    _, said, _ = call("langevin", *QUICK, "--only", only)
    assert len(rows_of(said)) == count
    assert all(name.partition("[")[0] == only.partition("[")[0] for name in rows_of(said))


def test_an_expected_failure_is_none_and_strict(call: Call):
    expect = ("--expect-failure", "one-step[isotropic]=the half is missing")
    only = ("--only", "one-step[isotropic]", *QUICK, "--seed", "3")
    status, said, _ = call("wrong_sampler:NoHalf", *only, *expect)
    assert status == 0
    assert "1 expected failure" in said
    assert "the half is missing (" in said
    status, said, _ = call("langevin", *only, *expect)
    assert status == 1
    assert "1 unexpected pass" in said
    assert "but was expected to fail: the half is missing" in flat(said)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("langvin", "there is no sampler named 'langvin'; did you mean 'langevin'?"),
        ("langvin", "is named by its import path, module:Class"),
        ("langevin --set stepsize=1", "langevin: stepsize is no key of this table; did you mean"),
        ("langevin --set step_size=-1", "langevin: step_size must be > 0: -1.0"),
        ("langevin --set step_size=big", "langevin: step_size must be a number, not 'big'"),
        ("langevin --set step_size", "--set step_size must be --set KEY=VALUE"),
        ("langevin --only invarance", "there is no check 'invarance'; did you mean 'invariance'?"),
        ("langevin --only invariance[skew]", "did you mean 'invariance[skewed]'?"),
        ("langevin --expect-failure gewek=so", "no check 'gewek'; did you mean 'geweke'?"),
        ("langevin --expect-failure geweke", "--expect-failure geweke: say why, as CHECK=REASON"),
        ("langevin --profile quik", "'quik' is not one of 'quick', 'full'"),
        ("langevin --seed -1", "-1 is not in the range"),
        ("wrong_samplers:NoHalf", "'wrong_samplers' cannot be imported: ModuleNotFoundError"),
        ("wrong_samplers.py:NoHalf", "'wrong_samplers.py' cannot be imported: FileNotFoundError"),
        ("wrong_sampler.py", "a class in a file is named by both, wrong_sampler.py:Class"),
        ("wrong_sampler:NoHlf", "'wrong_sampler' has no 'NoHlf'; did you mean 'NoHalf'?"),
        ("wrong_sampler:NoTable", "NoTable as a sampler, but it is not an attrs class"),
        ("wrong_sampler:NoHalf --set stepsize=1", "wrong_sampler:NoHalf: stepsize is no key"),
    ],
)
def test_a_mistake_of_the_user_is_answered_with_a_sentence(call: Call, command: str, sentence: str):
    status, said, complaint = call(*command.split())
    assert (status, said) == (2, "")
    assert sentence in complaint
    assert "Traceback" not in complaint


def test_a_class_in_a_file_is_found_by_the_path(call: Call, tmp_path: Path):
    """Whatever the folder, and with the modules beside it."""
    (tmp_path / "beside.py").write_text("WORD = 'by-path'", encoding="utf-8")
    text = "from beside import WORD\n" + (FOLDER / "wrong_sampler.py").read_text(encoding="utf-8")
    file = tmp_path / "a-file.py"
    file.write_text(text.replace('"no-half"', "WORD"), encoding="utf-8")
    only = (*QUICK, "--seed", "3", "--only", "one-step[isotropic]")
    status, said, _ = call(f"{file}:NoHalf", *only)
    assert status == 1
    assert rows_of(said)["one-step[isotropic]"][-1] == "failed"
    status, said, _ = call("wrong_sampler.py:NoHalf", *only)
    assert rows_of(said)["one-step[isotropic]"][-1] == "failed"


def test_text_of_the_author_is_no_markup(call: Call):
    name = "one-step[isotropic]"
    expect = f"{name}=[red]a reason[/red] é"
    _, said, _ = call("langevin", *QUICK, "--only", name, "--expect-failure", expect)
    assert "[red]a reason[/red] é" in said


def test_a_pipe_is_written_to_without_colours_from_the_folder_of_the_author():
    arguments = ["wrong_sampler:NoHalf", *QUICK, "--only", "one-step[isotropic]", "--seed", "3"]
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    done = subprocess.run(
        [str(Path(sys.executable).parent / "coopkit"), "check", *arguments],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout
    assert rows_of(done.stdout)["one-step[isotropic]"][1:] == [
        bound_of("one-step[isotropic]"),
        "failed",
    ]


def test_a_terminal_sees_colours_and_the_same_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    console = Console(file=io.StringIO(), width=80, force_terminal=True, record=True)
    expected = ["noise=it is right"]
    request = Request(name="langevin", only=["noise"], expected=expected, profile="quick", seed=3)
    assert not check(request, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1;31munexpected\x1b[0m" in said
    assert "\x1b[1;31mnoise: unexpected pass.\x1b[0m it passes, but was expected to fail" in said
    assert rows_of(console.export_text())["noise"][-1] == "unexpected"


def test_a_missing_package_is_answered_with_how_to_install_it():
    code = (
        "import sys\n"
        "from coopkit.cli import main\n"
        "for name in ('scipy', 'hypothesis'):\n"
        "    sys.modules[name] = None\n"
        "    try: main(['check', 'langevin'])\n"
        "    except SystemExit as error: print(error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "2"]
    for name, line in zip(("scipy", "hypothesis"), done.stderr.splitlines(), strict=True):
        hint = 'install it with: pip install "coopkit[testing]"'
        assert line == f"coopkit: the checks of samplers need {name}; {hint}"
