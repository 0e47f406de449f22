"""Who only draws may do so under torch.inference_mode(): samplers have their gradients."""

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import torch
from torch import Tensor
from training.runs import tiny

from coopkit import Target, sample_chains
from coopkit.builtin import Langevin
from coopkit.fast import Preparation
from coopkit.targets import InferenceTarget, MaskedTarget, RevisionTarget
from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.energy import energies
from coopkit.tasks.infer import InferenceSettings, infer_latents
from coopkit.tasks.inpaint import InpaintingSettings, inpaint
from coopkit.tasks.sample import sample
from coopkit.tasks.trained import Trained, load
from coopkit.training import run

FEW = InferenceSettings(steps=2)
SIGNALS = torch.linspace(-0.5, 0.5, 128).reshape(2, 1, 8, 8)


def holes() -> Tensor:
    return torch.zeros(2, 8, 8, dtype=torch.bool).index_fill(1, torch.tensor([2, 3]), True)


TASKS: dict[str, Callable[[Trained], Tensor | None]] = {
    "sample": lambda trained: sample(trained, 3).revised,
    "infer": lambda trained: infer_latents(trained, SIGNALS.clone(), FEW),
    "by a step size": lambda trained: infer_latents(
        trained, SIGNALS.clone(), InferenceSettings(steps=2, step_size=0.05)
    ),
    "ascent": lambda trained: infer_latents(
        trained, SIGNALS.clone(), InferenceSettings(steps=0, ascent=3)
    ),
    "energies": lambda trained: energies(trained, SIGNALS.clone()).residual,
    "complete": lambda trained: complete(
        trained, SIGNALS.clone(), holes(), CompletionSettings(steps=3)
    ),
    "inpaint": lambda trained: (
        inpaint(
            trained, SIGNALS.clone(), holes(), InpaintingSettings(inference=FEW, blend=True)
        ).chains
    ),
}


@pytest.fixture(scope="module", params=["auto", "off"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run(tiny("cooperative", "run.iterations=1", f"run.fast={request.param}"), folder)
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_tasks_give_the_same_under_inference_mode(task: str, folder: Path):
    expected = TASKS[task](load(folder))
    with torch.inference_mode():
        trained = load(folder)
        found = TASKS[task](trained)
    if isinstance(trained.freeze, Preparation):
        for network in (trained.descriptor, trained.generator):
            assert network is not None
            assert trained.freeze.reason(network) == ""
    assert expected is not None
    assert found is not None
    torch.testing.assert_close(found.clone(), expected)


@attrs.frozen(eq=False)
class Quartic(Target):
    """log p(x) = −Σ x⁴ / 4, whose score is by autograd."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -(x**4).sum(1) / 4


@pytest.mark.parametrize("name", ["default", "revision", "inference", "masked"])
def test_targets_give_the_same_under_inference_mode(name: str):
    def draw() -> Tensor:
        x = torch.linspace(-1, 1, 12).reshape(4, 3)
        revision = RevisionTarget(lambda y: y.sin().sum(1), 0.5)
        target = {
            "default": Quartic(),
            "revision": revision,
            "inference": InferenceTarget(torch.sin, x.clone(), 0.5, x > -0.5),
            "masked": MaskedTarget(revision, x > 0, x.clone()),
        }[name]
        log_prob, score = target.log_prob_and_score(x)
        torch.testing.assert_close(target.score(x), score)
        rng = torch.Generator().manual_seed(1)
        end = sample_chains(Langevin(step_size=0.1), target, x, 3, rng)
        return torch.cat([log_prob[:, None], score, end], 1)

    expected = draw()
    with torch.inference_mode():
        found = draw()
    torch.testing.assert_close(found.clone(), expected)
