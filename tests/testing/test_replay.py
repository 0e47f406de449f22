import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from coopkit.builtin.langevin import Langevin
from coopkit.testing.records import hold
from coopkit.testing.structure import properties
from coopkit.testing.structure.scenes import Scene, scenes

MODULE = "NUMBERS = [777_777, 424_242, 999_983, -31_337, 12_345.678, 3.3333, 7.77e5, -0.1234]\n"


def drawn(seed: int) -> list[tuple[str, torch.Tensor]]:
    """Return what a check of structure puts before a sampler."""
    seen: list[tuple[str, torch.Tensor]] = []

    def rule(sampler: object, scene: Scene) -> None:
        seen.append((str(scene), scene.start))

    hold(properties.holds(rule, scenes()), Langevin(), seed, 60)
    return seen


def same(first: list[tuple[str, torch.Tensor]], second: list[tuple[str, torch.Tensor]]) -> bool:
    return len(first) == len(second) and all(
        said == again and torch.equal(start, repeated)
        for (said, start), (again, repeated) in zip(first, second, strict=True)
    )


def test_a_seed_means_the_same_whatever_modules_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    before = drawn(3)
    (tmp_path / "numbers_of_mine.py").write_text(MODULE)
    spec = importlib.util.spec_from_file_location("numbers_of_mine", "numbers_of_mine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "numbers_of_mine", module)
    assert same(drawn(3), before)
    assert not same(drawn(4), before)
    assert not (tmp_path / ".hypothesis").exists()
