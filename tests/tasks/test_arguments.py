"""What a caller from Python gets wrong is one sentence that says what would be right."""

from collections.abc import Callable

import attrs
import pytest
import torch
from tasks.linear import LATENT, SHAPE, linear_pair
from torch import Tensor

from coopkit.tasks.complete import complete
from coopkit.tasks.energy import auroc, energies
from coopkit.tasks.evaluate import evaluate
from coopkit.tasks.infer import InferenceSettings, drawn_from, infer_latents
from coopkit.tasks.inpaint import baselines, inpaint, restoration_error
from coopkit.tasks.interpolate import interpolate, random_ends
from coopkit.tasks.reconstruct import reconstruct
from coopkit.tasks.revise import revise_signals
from coopkit.tasks.sample import sample
from coopkit.tasks.trained import Trained

SIGNALS = torch.zeros(2, *SHAPE)
HOLES = torch.zeros(2, *SHAPE[1:], dtype=torch.bool)
HOLES[:, 1] = True
FEW = InferenceSettings(steps=1)
OF_SIGNALS = [
    lambda pair, signals: infer_latents(pair, signals, FEW),
    lambda pair, signals: reconstruct(pair, signals, FEW),
    lambda pair, signals: inpaint(pair, signals, HOLES),
    lambda pair, signals: complete(pair, signals, HOLES),
    lambda pair, signals: energies(pair, signals),
    lambda pair, signals: revise_signals(pair, signals, torch.Generator()),
]
OF_HOLES = [
    lambda pair, holes: inpaint(pair, SIGNALS, holes),
    lambda pair, holes: complete(pair, SIGNALS, holes),
    lambda pair, holes: restoration_error(SIGNALS, SIGNALS, holes),
    lambda pair, holes: baselines(SIGNALS, holes),
]


@pytest.fixture
def pair() -> Trained:
    return linear_pair()


@pytest.mark.parametrize("task", OF_SIGNALS)
@pytest.mark.parametrize(
    "signals",
    [SIGNALS[:0], SIGNALS[0], SIGNALS.expand(2, 3, 4, 5), SIGNALS.int()],
    ids=["none", "one alone", "channels", "integers"],
)
def test_signals(pair: Trained, task: Callable[..., object], signals: Tensor):
    with pytest.raises(ValueError, match=r"^signals must be one or more, .* of shape \(n, 1, "):
        task(pair, signals)


@pytest.mark.parametrize("task", OF_SIGNALS[:3])
def test_signals_of_another_size_than_the_generator_draws(
    pair: Trained, task: Callable[..., object]
):
    with pytest.raises(ValueError, match=r"\(n, 1, 4, 5\), not torch.float32 of shape \(2, 1, 4"):
        task(pair, torch.zeros(2, 1, 4, 6))


@pytest.mark.parametrize("task", OF_HOLES)
@pytest.mark.parametrize(
    "holes", [HOLES[0], HOLES[:1], HOLES[..., :4], HOLES.int()], ids=["one", "n", "width", "int"]
)
def test_holes(pair: Trained, task: Callable[..., object], holes: Tensor):
    with pytest.raises(ValueError, match=r"^holes must be booleans of shape \(2, 4, 5\), one"):
        task(pair, holes)


def test_a_hole_that_is_empty_has_no_error():
    holes = HOLES.clone()
    holes[1] = False
    with pytest.raises(ValueError, match=r"holes\[1\] occludes nothing"):
        restoration_error(SIGNALS, SIGNALS, holes)
    with pytest.raises(ValueError, match=r"of the shape of the others, \(2, 1, 4, 5\), not \(1,"):
        restoration_error(SIGNALS[:1], SIGNALS, HOLES)


@pytest.mark.parametrize("observed", [HOLES, HOLES[:1, None], torch.ones(2, *SHAPE)])
def test_what_is_observed(pair: Trained, observed: Tensor):
    with pytest.raises(ValueError, match=r"^observed must be booleans of shape \(2, 1, 4, 5\)"):
        infer_latents(pair, SIGNALS, FEW, observed=observed)


def test_where_completion_starts(pair: Trained):
    with pytest.raises(ValueError, match=r"^start must be of shape \(2, 1, 1, 4, 5\), not \(2, 1,"):
        complete(pair, SIGNALS, HOLES, start=SIGNALS)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (lambda pair, ends: sample(pair, 0), "n is 0; it must be 1 or more"),
        (lambda pair, ends: sample(pair, 1, steps=-1), "steps is -1; it must be 0 or more"),
        (lambda pair, ends: sample(pair, 1, chunk=-1), "chunk is -1; it must be 1 or more"),
        (lambda pair, ends: interpolate(pair, *ends, steps=-1), "steps is -1; it must be 0 or"),
        (lambda pair, ends: random_ends(pair, 0), "paths is 0; it must be 1 or more"),
        (lambda pair, ends: energies(pair, SIGNALS, batch=0), "batch is 0; it must be 1 or more"),
        (lambda pair, ends: drawn_from(pair, ends[0], -1), "batch is -1; it must be 1 or more"),
        (lambda pair, ends: evaluate(pair, restore=-1), "restore is -1; it must be 0 or more"),
        (lambda pair, ends: evaluate(pair, 0), "n is 0; it must be 1 or more"),
        (
            lambda pair, ends: revise_signals(pair, SIGNALS, torch.Generator(), -1),
            "steps is -1; it must be 0 or more",
        ),
    ],
)
def test_numbers(pair: Trained, task: Callable[..., object], message: str):
    with pytest.raises(ValueError, match=f"^{message}"):
        task(pair, random_ends(pair, 2))


def test_a_path_that_is_none_is_not_taken_for_another(pair: Trained):
    with pytest.raises(ValueError, match="path is 'lineer'; it must be one of 'linear', 'spher"):
        interpolate(pair, *random_ends(pair, 1), path="lineer")


def test_ends_of_paths(pair: Trained):
    first, last = random_ends(pair, 2)
    for wrong, name in ((first[:, :2], "first"), (first[:0], "first")):
        with pytest.raises(ValueError, match=rf"^{name} must be one or more, .* \(n, {LATENT}\)"):
            interpolate(pair, wrong, last)
    with pytest.raises(ValueError, match="first has 1 latents and last 2"):
        interpolate(pair, first[:1], last)
    with pytest.raises(ValueError, match="latents must be one or more"):
        drawn_from(pair, first[:0])


def test_scores_that_are_not_there():
    with pytest.raises(ValueError, match="one usual signal and of one outlier"):
        auroc(torch.zeros(0), torch.zeros(2))


def test_signals_of_another_size_are_for_the_descriptor_to_judge(pair: Trained):
    """A descriptor that is convolutional throughout has an energy for them."""
    convolutional = attrs.evolve(pair, descriptor=Sum())
    assert energies(convolutional, torch.ones(1, 1, 6, 7)).energy.shape == (1,)


class Sum(torch.nn.Module):
    """f(Y) = Σ Y."""

    def forward(self, signal: Tensor) -> Tensor:
        return signal.flatten(1).sum(1)
