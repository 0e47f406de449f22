"""Scenes: what they are made of, what they say of themselves, and what they shrink to."""

import math

import hypothesis
import pytest
import torch
from hypothesis import given
from reference_samplers import Mala

from coopkit.builtin.langevin import Langevin
from coopkit.testing.structure.scenes import (
    Scene,
    companies,
    descriptor_scenes,
    elementwise,
    elementwise_scenes,
    layers,
    posterior_scenes,
    scenes,
)

LANGEVIN = Langevin(step_size=0.3)
FEW = hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
SMALLEST = hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)


def simple(start, steps=1, seed=0):
    return Scene(elementwise(start, 1.0), start, steps, seed)


@pytest.mark.parametrize("reference_std", [1.0, 0.5, math.inf])
def test_the_entries_of_the_gaussian_are_independent(reference_std):
    """Precisions 1.5 ± 0.5 and 1/s², and the mean is slope over precision."""
    start = torch.zeros(2, 3, dtype=torch.float64)
    target, slope = elementwise(start, reference_std), torch.tensor([-1.0, 0.0, 1.0]).double()
    precision = 1.5 + slope / 2 + reference_std**-2
    x = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.0, -2.0]]).double()
    assert torch.allclose(target.score(x), slope - precision * x)
    assert torch.allclose(target.log_prob(x), (slope * x - precision * x**2 / 2).sum(1))


def test_a_target_of_chains_that_are_numbers_has_a_value_for_each():
    assert elementwise(torch.zeros(3), 1.0).log_prob(torch.ones(3)).shape == (3,)


@FEW
@given(scenes())
def test_a_scene_can_be_walked(scene):
    assert 1 <= len(scene.start) <= 5
    assert scene.start.ndim <= 5
    assert 1 <= scene.steps <= 4
    end = scene.walk(LANGEVIN)
    assert end.shape == scene.start.shape
    assert end.dtype == scene.start.dtype
    assert torch.isfinite(end).all()
    assert torch.equal(end, scene.walk(LANGEVIN))


@FEW
@given(companies())
def test_a_company_is_of_three_chains_and_in_float64(scene):
    assert 3 <= len(scene.start) <= 5
    assert scene.start.dtype == torch.float64


@FEW
@given(descriptor_scenes())
def test_a_descriptors_scene_has_its_network_in_training(scene):
    assert scene.network is not None
    assert scene.network.training
    assert scene.target.log_prob(scene.start).shape == (len(scene.start),)


@FEW
@given(posterior_scenes())
def test_a_posteriors_scene_serves_any_number_of_chains(scene):
    one, all_of_them = scene.target.score(scene.start[:1]), scene.target.score(scene.start)
    assert torch.allclose(one, all_of_them[:1], atol=1e-4)


@pytest.mark.parametrize(
    ("strategy", "chains"),
    [(elementwise_scenes(), 1), (scenes(), 1), (companies(), 3), (descriptor_scenes(), 1)],
)
def test_scenes_shrink_to_what_is_small(strategy, chains):
    found = hypothesis.find(strategy, lambda scene: True, settings=SMALLEST)
    assert len(found.start) == chains
    assert not found.start.any()
    assert found.start.numel() <= chains
    assert (found.steps, found.seed) == (1, 0)


def test_a_condition_is_all_that_a_shrunk_scene_keeps():
    """Steps of 3, and nothing else that is not small."""
    found = hypothesis.find(scenes(), lambda scene: scene.steps >= 3, settings=SMALLEST)
    expected = "3 steps from [0.0], (1,) float32, on a Gaussian of independent entries, seed 0"
    assert repr(found) == expected


def test_a_scene_says_what_matters_of_it():
    small = simple(torch.tensor([[1.0, -2.0]]), 1, 5)
    text = "1 step from [[1.0, -2.0]], (1, 2) float32, on a Gaussian of independent entries, seed 5"
    assert repr(small) == text
    assert "from ..., (3, 3) float64" in repr(simple(torch.zeros(3, 3).double(), 2))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1, 1))
    assert layers(network) == "Flatten + Linear"
    assert layers(torch.nn.Linear(1, 1)) == "Linear"


def test_another_seed_or_start_is_another_walk():
    scene = simple(torch.zeros(4, 2))
    plain = scene.walk(LANGEVIN)
    assert not torch.equal(plain, scene.walk(LANGEVIN, seed=1))
    assert not torch.equal(plain, scene.walk(LANGEVIN, scene.start + 1))
    assert torch.equal(plain, scene.walk(LANGEVIN, seed=0))


@pytest.mark.parametrize("sampler", [LANGEVIN, Mala(step_size=0.3)])
def test_chains_with_noise_of_their_own_take_the_same_paths_alone(sampler):
    scene = simple(torch.randn(5, 2, generator=torch.Generator().manual_seed(1)).double(), 4)
    whole = scene.walk(sampler, chains=[0, 1, 2, 3, 4])
    alone = scene.walk(sampler, scene.start[3:4], chains=[3])
    assert torch.allclose(whole[3:4], alone)
    assert not torch.allclose(scene.walk(sampler)[3:4], alone)
