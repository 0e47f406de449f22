import attrs
import pytest
import torch
from tasks.linear import SHAPE, linear_pair

from coopkit.errors import RunError
from coopkit.steps import revise
from coopkit.tasks.chains import stream
from coopkit.tasks.interpolate import interpolate, linear, random_ends, spherical
from coopkit.tasks.trained import revision_of


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_paths_end_where_they_should_and_are_drawn_by_the_generator(path: str):
    pair = linear_pair()
    first, last = random_ends(pair, 3, seed=4)
    drawn = interpolate(pair, first, last, 5, path)
    assert drawn.initial.shape == drawn.revised.shape == (3, 5, *SHAPE)
    torch.testing.assert_close(drawn.latents[:, 0], first)
    torch.testing.assert_close(drawn.latents[:, -1], last)
    for latents, signals in zip(drawn.latents, drawn.initial, strict=True):
        torch.testing.assert_close(signals, pair.generator(latents).detach())


def test_frames_are_revised_by_the_descriptor():
    pair = linear_pair()
    ends = random_ends(pair, 2)
    drawn = interpolate(pair, *ends, frames=3, seed=6, steps=4)
    rng = stream(6, "revision", pair.device)
    f, std, sampler = revision_of(pair)
    expected = revise(f, std, sampler, drawn.initial.flatten(0, 1), 4, rng).revised
    assert drawn.revised.flatten(0, 1).equal(expected)
    plain = interpolate(attrs.evolve(pair, descriptor=None), *ends, frames=3)
    assert plain.revised is None


def test_frames_are_revised_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """By the noise of one batch after another, so that a smaller one draws other noise."""
    monkeypatch.setattr("coopkit.tasks.chains.AT_A_TIME", 4 * 20)
    pair = linear_pair()
    told: list[tuple[str, int, int | None]] = []
    ends = random_ends(pair, 2)
    drawn = interpolate(pair, *ends, 3, seed=6, steps=11, watch=lambda *said: told.append(said))
    assert told == [("revising signals", done, 22) for done in (0, 10, 11, 21, 22)]
    rng = stream(6, "revision", pair.device)
    f, std, sampler = revision_of(pair)
    parts = drawn.initial.flatten(0, 1).split(4)
    expected = torch.cat([revise(f, std, sampler, part, 11, rng).revised for part in parts])
    assert drawn.revised.flatten(0, 1).equal(expected)


def test_a_linear_path_is_straight():
    first, last = torch.zeros(1, 4), torch.ones(1, 4)
    assert linear(first, last, 0.25).equal(torch.full((1, 4), 0.25))


def test_a_spherical_path_turns_evenly_and_keeps_its_norm():
    first, last = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    half, third = spherical(first, last, 0.5), spherical(first, last, 1 / 3)
    torch.testing.assert_close(half, torch.tensor([[3 / 2**0.5, 3 / 2**0.5]]))
    torch.testing.assert_close(torch.atan2(third[0, 1], third[0, 0]), torch.tensor(torch.pi / 6))
    torch.testing.assert_close(third.norm(), torch.tensor(2 + 2 / 3))


def test_a_spherical_path_between_close_latents_is_an_arc():
    ends = torch.tensor([[1.0, 0.0], [0.96, 0.28]])
    found = spherical(ends[:1], ends[1:], 0.5)
    torch.testing.assert_close(found.norm(), torch.tensor(1.0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0])
def test_a_spherical_path_between_parallel_latents_is_finite(factor: float):
    first = torch.randn((2, 3, 4), generator=torch.Generator().manual_seed(0))
    found = spherical(first, factor * first, 0.3)
    torch.testing.assert_close(found, linear(first, factor * first, 0.3), atol=1e-2, rtol=0)


def test_a_spherical_path_to_nothing_is_finite():
    assert spherical(torch.ones(1, 3), torch.zeros(1, 3), 0.5).isfinite().all()


def test_a_path_needs_its_ends_and_a_generator():
    pair = linear_pair()
    ends = random_ends(pair, 1)
    with pytest.raises(ValueError, match="frames is 1"):
        interpolate(pair, *ends, frames=1)
    with pytest.raises(RunError, match="has no generator"):
        interpolate(attrs.evolve(pair, generator=None), *ends)
