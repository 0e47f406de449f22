"""How a property of a sampler is tried on drawn scenes, and how it fails."""

import copy
from collections.abc import Callable
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from torch import Tensor

from coopkit.interfaces import Sampler
from coopkit.testing.law.dynamics import sized
from coopkit.testing.records import SMALLEST, Property, Violation
from coopkit.testing.structure.scenes import Scene

STEP_SIZE = 0.3
"""Of every check of structure, in the units of positions of size 1."""

SAME_PATH = 1e-9
"""Relative difference that summing in another order may make in a few float64 steps.

Paths are compared in float64 so that rounding does not decide whether a proposal is accepted."""

Rule = Callable[[Sampler[Any], Scene], None]


def holds(rule: Rule, strategy: st.SearchStrategy[Scene]) -> Property:
    """Return the property that a rule holds of a sampler in every scene.

    Each scene has a copy of the sampler, so that what it keeps in itself spoils no other scene.
    """

    def attempt(sampler: Sampler[Any], examples: int, seed: int) -> None:
        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        @hypothesis.given(scene=strategy)
        def every(scene: Scene) -> None:
            try:
                rule(sized(copy.deepcopy(sampler), STEP_SIZE), scene)
            except Exception as error:
                error.add_note(f"{SMALLEST}{scene}")
                raise

        every()

    return attempt


def demand(holding: bool, sentence: str, figure: float = 1.0) -> None:
    """Refuse what does not hold.

    Raises:
        Violation: with the sentence.
    """
    if not holding:
        raise Violation(sentence, figure)


def same(first: Tensor, second: Tensor, sentence: str) -> None:
    """Demand that two tensors have the same bits, but for the payload of what is no number."""
    equal = first.shape == second.shape and torch.allclose(first, second, 0, 0, equal_nan=True)
    demand(equal, sentence, distance(first, second))


def close(first: Tensor, second: Tensor, sentence: str) -> None:
    """Demand that two tensors are the same but for rounding."""
    equal = first.shape == second.shape
    near = equal and torch.allclose(first, second, SAME_PATH, SAME_PATH, equal_nan=True)
    demand(near, sentence, distance(first, second))


def distance(first: Tensor, second: Tensor) -> float:
    """Return the greatest difference of two tensors; infinity where their shapes differ."""
    if first.shape != second.shape or not first.numel():
        return float("inf")
    return float((first - second).detach().abs().max())
