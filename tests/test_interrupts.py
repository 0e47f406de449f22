"""Runs in processes of their own, stopped from outside."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coopkit.checkpoint import list_checkpoints, load_checkpoint
from coopkit.interrupts import stopping_signals
from coopkit.recipes import Recipe
from coopkit.tasks.trained import load
from coopkit.training import run

TINY = Path(__file__).parent / "tiny" / "cooperative.toml"
ENDLESS = ["run.iterations=10000000", "run.checkpoint_every=1"]


FORKING = """
import os, sys
import coopkit.building, coopkit.training
from coopkit.cli import main
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        main(["run", sys.argv[1], "--out", line.strip(), *sys.argv[2:]])
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Loads everything once, then makes a process for each folder that it is told, one at a time."""


def start(folder: Path) -> "subprocess.Popen[str]":
    """Start an endless run and return once it has made its first checkpoint."""
    sets = [word for key in ENDLESS for word in ("--set", key)]
    process = subprocess.Popen(
        [sys.executable, "-m", "coopkit", "run", str(TINY), "--out", str(folder), *sets],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_a_checkpoint(folder, process)
    return process


def wait_for_a_checkpoint(folder: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not list_checkpoints(folder / "checkpoints"):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_finishes_its_iteration_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
):
    folder = tmp_path / "a run"
    process = start(folder)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    done = load(folder).iteration
    assert f"stopped after iteration {done} by {number.name}" in said
    assert f"go on with: coopkit run '{folder}' --resume" in said
    assert "Traceback" not in said
    longer = Recipe.read(folder / "recipe.toml", [f"run.iterations={done + 2}"])
    assert run(longer, folder, resume=True).iteration == done + 2


def test_killed_run_leaves_a_checkpoint_that_loads_and_resumes(tmp_path: Path):
    """Several kills at random moments, then the bits of a run that was never killed."""
    moment = random.Random(2016)
    sets = [word for key in ENDLESS for word in ("--set", key)]
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, str(TINY), *sets],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as forking:
        for attempt in range(3):
            folder = tmp_path / str(attempt)
            print(folder, file=forking.stdin, flush=True)
            child = int(forking.stdout.readline())
            try:
                wait_for_a_checkpoint(folder, forking)
                time.sleep(moment.uniform(0, 0.3))
            finally:
                os.kill(child, signal.SIGKILL)
            assert int(forking.stdout.readline()) == -signal.SIGKILL
            assert load(folder).iteration > 0
        forking.stdin.close()
    done = load(folder).iteration
    longer = Recipe.read(folder / "recipe.toml", [f"run.iterations={done + 2}"])
    run(longer, folder, resume=True)
    whole = [f"run.iterations={done + 2}", "run.checkpoint_every=0"]
    run(Recipe.read(TINY, whole), tmp_path / "whole")
    killed, unharmed = (
        load_checkpoint(list_checkpoints(tmp_path / name / "checkpoints")[-1]).networks
        for name in (str(attempt), "whole")
    )
    for kind, weights in unharmed.items():
        for name, weight in weights.items():
            assert weight.equal(killed[kind][name]), f"{kind} {name}"


def test_second_signal_has_its_usual_effect():
    with stopping_signals() as received:
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_scheduler_may_send_its_signal_twice(monkeypatch: pytest.MonkeyPatch):
    """To the launcher, which passes it on, and to its processes."""
    clock, later = [100.0], []
    monkeypatch.setattr("coopkit.interrupts.time.monotonic", lambda: clock[0])
    before = signal.signal(signal.SIGTERM, lambda number, _: later.append(number))
    try:
        with stopping_signals() as received:
            for moment in (100.0, 100.01, 104.9):
                clock[0] = moment
                signal.raise_signal(signal.SIGTERM)
            assert (received, later) == ([signal.SIGTERM], [])
            clock[0] = 105.1
            signal.raise_signal(signal.SIGTERM)
            assert later == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with stopping_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
