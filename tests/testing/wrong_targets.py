"""Right samplers before targets with a mistake."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from mutant import Mutant
from torch import Tensor, nn

from coopkit import targets
from coopkit.builtin.langevin import Langevin
from coopkit.interfaces import Target
from coopkit.targets import InferenceTarget, RevisionTarget


@contextmanager
def planted(cls: type[Target], score: Callable[[Any, Tensor], Tensor]) -> Iterator[None]:
    """Put another score into a class of targets."""
    with mock.patch.object(cls, "score", score):
        yield


def of_f(self: RevisionTarget, x: Tensor) -> Tensor:
    return revision_score(self, x) + x / self.reference_std**2


def of_error(self: InferenceTarget, x: Tensor) -> Tensor:
    return inference_score(self, x) + x


revision_score = RevisionTarget.score
inference_score = InferenceTarget.score


def reference_pushes(self: RevisionTarget, x: Tensor) -> Tensor:
    return of_f(self, x) + x / self.reference_std**2


def reference_std_not_squared(self: RevisionTarget, x: Tensor) -> Tensor:
    return of_f(self, x) - x / self.reference_std


def no_reference(self: RevisionTarget, x: Tensor) -> Tensor:
    return of_f(self, x)


def noise_std_not_squared(self: InferenceTarget, x: Tensor) -> Tensor:
    return of_error(self, x) * self.noise_std - x


def no_prior(self: InferenceTarget, x: Tensor) -> Tensor:
    return of_error(self, x)


def error_averaged(self: InferenceTarget, x: Tensor) -> Tensor:
    return of_error(self, x) / len(x) - x


@contextmanager
def training_mode(network: nn.Module) -> Iterator[None]:
    network.train()
    yield


@contextmanager
def left_in_evaluation(network: nn.Module) -> Iterator[None]:
    network.eval()
    yield


def batch_statistics() -> AbstractContextManager[Any]:
    return mock.patch.object(targets, "evaluating", training_mode)


def mode_lost() -> AbstractContextManager[Any]:
    return mock.patch.object(targets, "evaluating", left_in_evaluation)


WRONG_TARGETS = [
    Mutant(
        "the reference pushes away from the origin",
        "the score of the reference N(0, s²I) is −Y/s²",
        Langevin(step_size=0.1),
        lambda: planted(RevisionTarget, reference_pushes),
        in_target=True,
    ),
    Mutant(
        "the reference has s where s² belongs",
        "the score of the reference N(0, s²I) is −Y/s²",
        Langevin(step_size=0.1),
        lambda: planted(RevisionTarget, reference_std_not_squared),
        in_target=True,
    ),
    Mutant(
        "the reference is left out",
        "the score of the reference N(0, s²I) is −Y/s²",
        Langevin(step_size=0.1),
        lambda: planted(RevisionTarget, no_reference),
        in_target=True,
    ),
    Mutant(
        "the likelihood has σ where σ² belongs",
        "the likelihood's score is σ⁻² (Y − g(X)) ∂g/∂X",
        Langevin(step_size=0.1),
        lambda: planted(InferenceTarget, noise_std_not_squared),
        in_target=True,
    ),
    Mutant(
        "the prior of the latents is left out",
        "the score of the prior N(0, I) is −X",
        Langevin(step_size=0.1),
        lambda: planted(InferenceTarget, no_prior),
        in_target=True,
    ),
    Mutant(
        "the reconstruction error is averaged over chains",
        "sum the error over chains before differentiating",
        Langevin(step_size=0.1),
        lambda: planted(InferenceTarget, error_averaged),
        in_target=True,
    ),
    Mutant(
        "batch normalisation couples the chains",
        "sample with the network in evaluation mode",
        Langevin(step_size=0.1),
        batch_statistics,
        in_target=True,
    ),
    Mutant(
        "sampling leaves the network in evaluation mode",
        "put the network back into the mode that it was in",
        Langevin(step_size=0.1),
        mode_lost,
        in_target=True,
    ),
]
