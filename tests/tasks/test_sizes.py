from pathlib import Path

import attrs
import pytest
import torch

from coopkit.errors import RunError
from coopkit.interfaces import Kept
from coopkit.recipes import Recipe
from coopkit.tasks.prior import with_fitted_prior
from coopkit.tasks.sample import sample
from coopkit.tasks.sizes import at_size
from coopkit.tasks.trained import Trained, load
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny"


@pytest.fixture(scope="module")
def texture(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a pair whose networks are convolutional throughout."""
    folder = tmp_path_factory.mktemp("runs") / "texture"
    return load(
        run(Recipe.read(TINY / "cooperative.toml", ["descriptor.channels=0"]), folder).folder
    )


def test_the_same_weights_draw_a_larger_texture(texture: Trained):
    larger = at_size(texture, 24, 32)
    assert larger.signal_shape == (1, 24, 32)
    for kind in ("descriptor", "generator"):
        old, new = (getattr(pair, kind).state_dict() for pair in (texture, larger))
        assert all(new[name].equal(value) for name, value in old.items())
        assert not getattr(larger, kind).training
    drawn = sample(texture, 3, size=(24, 32))
    assert drawn.initial.shape == drawn.revised.shape == (3, 1, 24, 32)


def test_another_size_is_tuned_anew(texture: Trained):
    tuned = attrs.evolve(texture, kept=Kept(tuned={"step": torch.ones(4)}))
    assert at_size(tuned, 8, 8).tuned.tuned == tuned.kept.tuned
    assert at_size(tuned, 16, 16).tuned is None


def test_the_size_of_training_is_the_run_itself(texture: Trained):
    assert at_size(texture, 8, 8) is texture
    usual, asked = sample(texture, 2), sample(texture, 2, size=(8, 8))
    assert usual.revised.equal(asked.revised)


def test_large_signals_are_drawn_a_few_at_a_time(texture: Trained, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("coopkit.tasks.chains.AT_A_TIME", 2 * 8 * 8)
    told: list[tuple[str, int, int | None]] = []
    drawn = sample(texture, 5, steps=12, watch=lambda *said: told.append(said))
    assert len(drawn.revised) == 5
    assert told[:3] == [("drawing signals", done, 5) for done in (0, 2, 4)]
    steps = [0, 10, 12, 22, 24, 34, 36]
    assert told[3:] == [("revising signals", done, 36) for done in steps]


def test_a_network_that_is_tied_to_its_size_says_so(tmp_path: Path):
    tied = load(
        run(Recipe.read(TINY / "cooperative.toml", ["descriptor.channels=1"]), tmp_path).folder
    )
    with pytest.raises(RunError, match="the descriptor of this run draws 8 x 8 and no other size"):
        at_size(tied, 16, 16)


def test_a_law_of_latents_was_fitted_at_one_size(tmp_path: Path):
    folder = run(Recipe.read(TINY / "generator.toml"), tmp_path / "first").folder
    with pytest.raises(RunError, match="law of its latents, fitted at 8 x 8: it draws that size"):
        at_size(with_fitted_prior(load(folder)), 16, 16)
    begun = Recipe.read(TINY / "generator.toml", [f"generator.start={folder}"])
    with pytest.raises(RunError, match="law of its latents, fitted at 8 x 8: it draws that size"):
        at_size(load(run(begun, tmp_path / "second").folder), 16, 16)


def test_a_size_that_is_too_small_says_so(texture: Trained):
    small = attrs.evolve(
        texture, recipe=Recipe.read(TINY / "cooperative.toml", ["descriptor.padding=none"])
    )
    with pytest.raises(RunError, match="signals of 2 x 2 cannot be drawn"):
        at_size(small, 2, 2)


def test_persistent_chains_have_their_size(texture: Trained):
    with pytest.raises(RunError, match="persistent chains are 8 x 8"):
        at_size(attrs.evolve(texture, generator=None), 16, 16)
