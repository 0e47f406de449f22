"""How a run evaluates the networks of D1 and G1: said, recorded, taken up again, switched off."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from coopkit.errors import RecipeError, RunError
from coopkit.fast import Preparation, choices
from coopkit.recipes import Recipe
from coopkit.targets import frozen
from coopkit.tasks.describe import describe_run
from coopkit.tasks.trained import load
from coopkit.training import Run, run

TINY = Path(__file__).parent / "tiny"


def trained(folder: Path, *overrides: str, resume: bool = False) -> Run:
    recipe = Recipe.read(TINY / "cooperative.toml", overrides)
    return run(recipe, folder, resume=resume)


def recorded(folder: Path) -> dict[str, dict[str, str]]:
    return json.loads((folder / "fast.json").read_text(encoding="utf-8"))


@pytest.fixture
def everything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "WORTH_MEASURING", 0)
    monkeypatch.setattr("coopkit.fast.plans.WORTH_MEASURING", 0)


def test_a_run_prepares_its_networks_and_says_so(tmp_path: Path):
    ended = trained(tmp_path)
    assert isinstance(ended.preparation, Preparation)
    assert recorded(tmp_path)["networks"] == {"descriptor": "prepared", "generator": "prepared"}
    said = describe_run(tmp_path)
    assert said["fast descriptor"] == said["fast generator"] == "prepared"


def test_what_follows_a_schedule_is_said_of_both_ends(tmp_path: Path):
    linear = "{schedule='linear', start=0.02, end=0.01, iterations=1}"
    trained(tmp_path, f"revision.step_size={linear}", "run.iterations=2")
    said = describe_run(tmp_path)["revision"]
    assert said.startswith("Langevin(step_size=0.02,")
    assert said.endswith(" steps; at the end step_size 0.01")


def test_one_key_switches_it_off(tmp_path: Path):
    ended = trained(tmp_path, "run.fast=off")
    assert ended.preparation is None
    assert ended.learners["descriptor"].freeze is frozen
    assert describe_run(tmp_path)["fast descriptor"] == "as it is: run.fast is off"
    assert load(tmp_path).freeze is frozen


def test_prepared_or_not_training_is_the_same_to_rounding(tmp_path: Path):
    ends = [trained(tmp_path / key, f"run.fast={key}") for key in ("auto", "off")]
    fast, plain = (
        torch.cat([weight.flatten() for weight in end.learners["descriptor"].network.parameters()])
        for end in ends
    )
    assert torch.dist(fast, plain) <= 1e-3 * plain.norm()


@pytest.mark.usefixtures("everything_is_measured")
def test_choices_are_recorded_and_taken_on_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choices, "fastest", lambda candidates, device: list(candidates)[-1])
    monkeypatch.setattr("coopkit.fast.prepared.fastest", lambda ways, device: "prepared")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    trained(tmp_path / "run", "run.iterations=2")
    made = recorded(tmp_path / "run")["choices"]
    assert any(way.startswith(("phases", "toom-cook")) for way in made.values())
    assert "ways of its convolutions" in describe_run(tmp_path / "run")

    def never(*_: object) -> str:
        raise AssertionError("measured again")

    monkeypatch.setattr(choices, "fastest", never)
    monkeypatch.setattr("coopkit.fast.prepared.fastest", never)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    trained(tmp_path / "run", "run.iterations=4", resume=True)
    assert recorded(tmp_path / "run")["choices"] == made
    again = trained(tmp_path / "again", f"run.choices={tmp_path / 'run' / 'fast.json'}")
    assert again.preparation is not None
    assert again.preparation.choices.used == made
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    trained(tmp_path / "cached")
    assert recorded(tmp_path / "cached")["choices"] == made


def test_choices_that_are_none_are_refused(tmp_path: Path):
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    for name in ("list.json", "none.json"):
        with pytest.raises(RecipeError, match=r"run.choices .* is no fast.json of a run"):
            trained(tmp_path / "run", f"run.choices={tmp_path / name}")


@pytest.mark.usefixtures("everything_is_measured")
def test_a_run_needs_the_file_of_its_choices_when_it_begins_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = trained(tmp_path / "first", "run.iterations=1").folder / "fast.json"
    monkeypatch.chdir(tmp_path)
    second = trained(tmp_path / "second", "run.iterations=1", "run.choices=first/fast.json")
    assert Recipe.read(second.folder / "recipe.toml").run.choices == str(first)
    first.unlink()
    assert load(second.folder).generator is not None
    assert trained(second.folder, "run.iterations=2", resume=True).iteration == 2


def test_a_run_without_its_metrics_is_as_far_as_its_checkpoint(tmp_path: Path):
    trained(tmp_path, "run.iterations=2")
    (tmp_path / "metrics.jsonl").unlink()
    assert describe_run(tmp_path)["iterations"] == "2 of 2"


def test_a_damaged_record_is_named(tmp_path: Path):
    trained(tmp_path, "run.iterations=1")
    (tmp_path / "fast.json").write_text('{"choices": 3}', encoding="utf-8")
    with pytest.raises(RunError, match=r"fast.json is damaged"):
        describe_run(tmp_path)


def test_a_network_that_cannot_be_prepared_is_run_as_it_is_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from coopkit.builtin.descriptors import ConvolutionalF

    right = ConvolutionalF.forward

    def forward(self: nn.Module, signal: torch.Tensor) -> torch.Tensor:
        return right(self, signal) if signal.abs().sum() > 0 else signal.new_zeros(len(signal))

    monkeypatch.setattr(ConvolutionalF, "forward", forward)
    trained(tmp_path, "run.iterations=2")
    said = describe_run(tmp_path)
    assert said["fast descriptor"].startswith("as it is: it cannot be traced")
    assert said["fast generator"] == "prepared"


def test_little_memory_leaves_the_bits_of_a_run_as_they_are(tmp_path: Path):
    much = trained(tmp_path / "much", "run.chains=8")
    little = trained(tmp_path / "little", "run.chains=8", "run.memory=3e-6")
    plans = little.preparation.plans[little.learners["descriptor"].network].values()
    assert min(plan.chains for known in plans for plan in known.values()) < 8
    for kind in ("descriptor", "generator"):
        pairs = zip(
            much.learners[kind].network.parameters(),
            little.learners[kind].network.parameters(),
            strict=True,
        )
        assert all(torch.equal(one, other) for one, other in pairs)
