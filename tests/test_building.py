"""What depends on the number of processes; the rest of building is tested by whole runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TINY = Path(__file__).parent / "tiny"

RUNS = """
import sys
from pathlib import Path
from coopkit import Recipe, run

tiny, out = Path(sys.argv[1]), Path(sys.argv[2])
for name in ("descriptor", "generator", "cooperative"):
    def recipe(iterations):
        keys = ["run.device=cpu", f"run.iterations={iterations}"]
        return Recipe.read(tiny / f"{name}.toml", keys)
    whole = run(recipe(3), out / name / "whole")
    run(recipe(2), out / name / "parts")
    parts = run(recipe(3), out / name / "parts", resume=True)
    assert whole.accelerator.num_processes == 2
    assert parts.figures == whole.figures, name
    for kind, learner in whole.learners.items():
        resumed = parts.learners[kind].network.parameters()
        for one, other in zip(learner.network.parameters(), resumed):
            assert one.equal(other), (name, kind)
            mean = whole.accelerator.reduce(one.detach(), "mean")
            assert mean.equal(one), (name, kind, "the processes have gone apart")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo, which joins processes on CPUs",
)
def test_two_processes_train_and_resume_as_one(tmp_path: Path):
    script = tmp_path / "runs.py"
    script.write_text(RUNS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    process = subprocess.Popen(
        [*command, str(script), str(TINY), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.terminate()
    assert process.returncode == 0, said
    metrics = (tmp_path / "cooperative" / "whole" / "metrics.jsonl").read_text()
    assert len(metrics.splitlines()) == 3
