"""Whether runs and tasks are at home on a device that is not the CPU, tried without one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.utils import backend_registration

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
        reason="this torch has no devices that are written in Python",
    ),
]

BOTH = Path(__file__).with_name("both.py")
ALGORITHMS = ("descriptor", "generator", "cooperative", "texture-small")
NARROW = "--narrow"
"""For a device without float64, as Apple's are."""
SAMPLERS = (NARROW, "hmc", "mala", "parallel-tempering", "underdamped-langevin")
COUNTED = {"face": 3, "cooperative": 1}
"""Iterations of which the waits are counted, where they are not 2: of three, all but the first in
a process; "face" is two runs, of 2 and 3, and "cooperative" is resumed after 2."""


def found(*names: str) -> dict[str, dict[str, Any]]:
    """Return what both.py prints of these trainings, or of the tasks."""
    command = [sys.executable, "-W", "error", str(BOTH), *names]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("names", [ALGORITHMS, ("face",), SAMPLERS])
def test_a_run_on_a_device_is_that_on_the_cpu(names: tuple[str, ...]):
    """And the host waits for the device once in an iteration, for the figures."""
    for name, said in found(*names).items():
        assert said["tensors"] > 8, name
        assert said["differ"] == [], name
        assert said["waits"] == ["tolist"] * COUNTED.get(name, 2), name


def test_tasks_on_a_device_are_those_on_the_cpu():
    """Though it has no float64."""
    said = found(NARROW, "tasks")["tasks"]
    assert said["tensors"] > 40
    assert said["differ"] == []
