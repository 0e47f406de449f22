"""What an architecture of a plugin may not make, and what is said then."""

import re
from pathlib import Path

import attrs
import pytest
import torch
from torch import Tensor, nn

from coopkit.building import build_learner, new_accelerator
from coopkit.errors import RecipeError
from coopkit.iterations import Learner
from coopkit.recipes import Recipe
from coopkit.trials import try_values

TINY = Path(__file__).parent / "tiny" / "cooperative.toml"
SIGNAL = (1, 8, 8)


class Values(nn.Module):
    """A network that makes its values of its weights by a function."""

    def __init__(self, make) -> None:
        super().__init__()
        self.make = make
        self.layer = nn.Linear(64, 1)

    def forward(self, y: Tensor) -> Tensor:
        return self.make(self.layer(y.flatten(1))[:, 0])


def fails(*_: object) -> None:
    raise KeyError("no such layer")


def fails_backwards(f: Tensor) -> Tensor:
    if f.requires_grad:
        f.register_hook(fails)
    return f


def falls_short(*_: object) -> None:
    raise torch.OutOfMemoryError("none left")


def learner_of(kind: str, monkeypatch: pytest.MonkeyPatch, **members: object) -> Learner:
    """Return the learner of an architecture with other members."""
    recipe = Recipe.read(TINY)
    for name, member in members.items():
        monkeypatch.setattr(type(getattr(recipe, kind).architecture), name, member)
    return build_learner(recipe, kind, SIGNAL, new_accelerator(recipe))


@pytest.mark.parametrize(
    ("value", "says"),
    [((), "f gives (2, 3) for two chains; it must give (2,)"), ((4,), "f gives (2, 3) for two")],
)
def test_values_of_another_shape_are_refused(value: tuple[int, ...], says: str):
    with pytest.raises(RecipeError, match=re.escape(says)):
        try_values(nn.Linear(5, 3), "f", (5,), value)
    try_values(nn.Linear(5, 3), "f", (5,), (3,))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: None, "gives None for two chains; it must give (2,)"),
        (lambda f: f.tolist(), "gives a list for two chains; it must give (2,)"),
        (lambda f: f.detach(), "gives values that do not depend on its weights, so that it"),
        (torch.ones_like, "gives values that do not depend on its weights"),
        (fails_backwards, "given (2, 1, 8, 8): KeyError: 'no such layer'"),
        (fails, "given (2, 1, 8, 8): KeyError: 'no such layer'"),
    ],
)
def test_a_descriptor_that_cannot_learn_or_fails_is_refused(make, says, monkeypatch):
    with pytest.raises(RecipeError, match=re.escape(says)) as caught:
        learner_of("descriptor", monkeypatch, build=lambda *_: Values(make))
    assert "recipe: descriptor.architecture texture (coopkit)" in str(caught.value)


def test_a_shape_that_is_right_for_several_chains_alone_is_refused():
    class Squeezed(nn.Linear):
        def forward(self, y: Tensor) -> Tensor:
            return super().forward(y).squeeze()

    with pytest.raises(RecipeError, match=re.escape("f gives () for one chain; it must give (1,)")):
        try_values(Squeezed(5, 1), "f", (5,), ())


class Constant(nn.Module):
    """f(Y) = b."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(1))

    def forward(self, y: Tensor) -> Tensor:
        return self.bias.expand(len(y))


def test_values_that_do_not_depend_on_signals_are_refused():
    says = "f gives values that do not depend on what it is given"
    for network in (Constant(), Constant().requires_grad_(False)):
        with pytest.raises(RecipeError, match=says):
            try_values(network, "f", (5,), ())


def test_weights_that_are_fixed_need_not_learn():
    try_values(nn.Linear(5, 3).requires_grad_(False), "g", (5,), (3,))


class FlatAtZero(nn.Linear):
    """f is constant at zero, and nowhere else."""

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y.flatten(1))[:, 0] if y.any() else torch.zeros(len(y))


def test_a_descriptor_may_be_constant_at_zero():
    try_values(FlatAtZero(64, 1), "f", SIGNAL, ())


def test_a_generator_in_another_precision_is_refused():
    with pytest.raises(RecipeError, match=r"g gives torch\.float64; it must give torch\.float32"):
        try_values(Values(lambda f: f[:, None].double()), "g", SIGNAL, (1,))


@pytest.mark.parametrize("kind", ["descriptor", "generator"])
@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda *_: None, "(coopkit): build gives None; it must give a torch.nn.Module"),
        (lambda *_: len, "(coopkit): build gives a builtin_function_or_method; it must"),
        (lambda *_: nn.Linear, "(coopkit): build gives a type; it must give"),
        (fails, "(coopkit) cannot be built: KeyError: 'no such layer'"),
        (
            lambda *_: nn.MultiheadAttention(8, 3),
            "(coopkit) cannot be built: AssertionError: embed_dim must be divisible by num_heads",
        ),
    ],
)
def test_what_builds_no_network_is_refused(kind, build, says, monkeypatch):
    with pytest.raises(RecipeError, match=re.escape(f"{kind}.architecture texture {says}")):
        learner_of(kind, monkeypatch, build=build)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (8, "latent_shape gives 8; it must give a tuple of whole numbers above 0"),
        ([8], "latent_shape gives [8]; it must give a tuple"),
        ((8.0,), "latent_shape gives (8.0,); it must give a tuple"),
        ((0, 8), "latent_shape gives (0, 8); it must give a tuple"),
        ((9,), "(coopkit), given (2, 9): "),
    ],
)
def test_latents_that_do_not_fit_are_refused(found, says, monkeypatch):
    with pytest.raises(RecipeError, match=re.escape(says)) as caught:
        learner_of("generator", monkeypatch, latent_shape=lambda *_: found)
    assert "recipe: generator.architecture texture (coopkit)" in str(caught.value)


def test_a_latent_shape_that_fails_is_refused(monkeypatch):
    with pytest.raises(RecipeError, match=r"latent_shape: KeyError: 'no such layer'"):
        learner_of("generator", monkeypatch, latent_shape=fails)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), None])
@pytest.mark.parametrize(
    ("kind", "field"), [("descriptor", "reference_std"), ("generator", "noise_std")]
)
def test_a_standard_deviation_that_cannot_be_is_refused(kind, field, std, monkeypatch):
    """A plugin's class need not have validators."""

    @attrs.frozen
    class Careless(type(getattr(Recipe.read(TINY), kind).architecture)):
        """The same, without a look at its numbers."""

    recipe = Recipe.read(TINY)
    table = getattr(recipe, kind)
    with attrs.validators.disabled():
        careless = Careless(**{**attrs.asdict(table.architecture, recurse=False), field: std})
        recipe = attrs.evolve(recipe, **{kind: attrs.evolve(table, architecture=careless)})
    said = f"{kind}.{field} of {kind}.architecture texture is {std}; it must be above 0"
    with pytest.raises(RecipeError, match=re.escape(said)):
        build_learner(recipe, kind, SIGNAL, new_accelerator(recipe))


def test_a_lack_of_memory_is_no_mistake_of_an_architecture(monkeypatch):
    for members in ({"build": falls_short}, {"build": lambda *_: Values(falls_short)}):
        with pytest.raises(torch.OutOfMemoryError):
            learner_of("descriptor", monkeypatch, **members)
