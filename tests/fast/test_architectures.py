"""Every built-in network, prepared, against its evaluation in float64 and the frozen network."""

from collections.abc import Iterator
from itertools import product
from typing import Any, get_args, get_type_hints

import attrs
import pytest
import torch
from fast.small import CHAINS, HE, NORMALIZATIONS, WAYS
from torch import Tensor, nn

from coopkit.builtin import (
    FaceDescriptor,
    FaceGenerator,
    Langevin,
    ObjectDescriptor,
    ObjectGenerator,
    SceneDescriptor,
    SceneGenerator,
    TextureDescriptor,
    TextureGenerator,
)
from coopkit.builtin.generators import TopDownGenerator
from coopkit.builtin.layers import Nonlinearity, Padding
from coopkit.derivatives import gradient, pull
from coopkit.fast import Preparation
from coopkit.interfaces import Shape, Target
from coopkit.targets import Freeze, InferenceTarget, RevisionTarget, frozen

NONLINEARITIES = get_args(Nonlinearity)
PADDINGS = get_args(Padding)
UPSAMPLINGS = get_args(get_type_hints(TopDownGenerator)["upsampling"])
DESCRIPTORS: list[tuple[Any, Shape]] = [
    (TextureDescriptor(filters=(6, 5, 4), kernels=(7, 5, 3), **HE), (3, 43, 40)),
    (ObjectDescriptor(filters=(6, 5), **HE), (2, 15, 12)),
    (FaceDescriptor(filters=(4, 5, 6), channels=5, **HE), (3, 45, 42)),
    (SceneDescriptor(filters=(4, 5, 6), channels=3, **HE), (1, 33, 29)),
]
DRAWN = {"noise_std": 0.5, "last_std": "he", "filters": (6, 5)}
GENERATORS: list[tuple[Any, Shape]] = [
    (TextureGenerator(latent_size=2, **DRAWN), (3, 32, 21)),
    (ObjectGenerator(latent_size=4, kernel=4, **DRAWN), (2, 13, 16)),
    (FaceGenerator(latent_size=6, factor=3, margin=1, **DRAWN), (3, 20, 18)),
    (SceneGenerator(latent_size=5, kernel=3, **DRAWN), (1, 16, 11)),
]


@attrs.frozen
class Case:
    """A built-in architecture, the shape of its signals, and the way that its layers take."""

    architecture: Any
    signal: Shape
    way: str

    @property
    def generates(self) -> bool:
        """Whether it is a generator."""
        return isinstance(self.architecture, TopDownGenerator)

    def inputs(self) -> Tensor:
        """Draw signals or latents."""
        shape = self.architecture.latent_shape(self.signal) if self.generates else self.signal
        return torch.randn(CHAINS, *shape)

    def along(self) -> Tensor:
        """Draw something of the shape of its values."""
        return torch.randn(CHAINS, *(self.signal if self.generates else ()))

    def bound(self, smooth: float, kinked: float) -> float:
        """Return the second where a single unit, by rounding, may be on the other side of 0."""
        return kinked if "relu" in self.architecture.nonlinearity else smooth


def descriptor_cases() -> Iterator[Any]:
    """Every pair of normalisation, non-linearity and padding of each descriptor."""
    chosen = enumerate(product(NORMALIZATIONS, NONLINEARITIES))
    for (place, (small, signal)), (k, (normalization, nonlinearity)) in product(
        enumerate(DESCRIPTORS), list(chosen)
    ):
        padding, way = PADDINGS[(k + k // 5 + place) % 5], WAYS[k % 4]
        scale = ("one", "reference")[k % 2]
        fields = {"normalization": normalization, "nonlinearity": nonlinearity, "scale": scale}
        architecture = attrs.evolve(small, padding=padding, **fields)
        name = f"{small.name} f, {normalization}, {nonlinearity}, {padding}, {way}"
        yield pytest.param(Case(architecture, signal, way), id=name)


def generator_cases() -> Iterator[Any]:
    """Every pair of up-sampling, non-linearity and normalisation of each generator."""
    chosen = enumerate(product(UPSAMPLINGS, NONLINEARITIES))
    for (place, (small, signal)), (k, (how, nonlinearity)) in product(
        enumerate(GENERATORS), list(chosen)
    ):
        normalization, way = NORMALIZATIONS[(k + place) % 4], WAYS[(k + 2 * place) % 4]
        fields = {"normalization": normalization, "nonlinearity": nonlinearity, "upsampling": how}
        kernel = small.kernel if how == "transposed" else small.kernel | 1
        architecture = attrs.evolve(small, kernel=kernel, **fields)
        name = f"{small.name} g, {normalization}, {nonlinearity}, {how}, {way}"
        yield pytest.param(Case(architecture, signal, way), id=name)


CASES = [*descriptor_cases(), *generator_cases()]
ONE_OF_EACH_WAY = {
    (type(param.values[0].architecture), param.values[0].way): param for param in CASES
}.values()


def test_the_cases_have_every_pair_of_what_the_fields_allow():
    def pairs(kind: bool, *names: str) -> set[Any]:
        cases = [param.values[0] for param in CASES if param.values[0].generates == kind]
        return {tuple(getattr(case.architecture, name) for name in names) for case in cases}

    assert pairs(False, "padding", "normalization") == set(product(PADDINGS, NORMALIZATIONS))
    assert pairs(False, "padding", "nonlinearity") == set(product(PADDINGS, NONLINEARITIES))
    assert pairs(True, "upsampling", "normalization") == set(product(UPSAMPLINGS, NORMALIZATIONS))
    assert pairs(True, "upsampling", "nonlinearity") == set(product(UPSAMPLINGS, NONLINEARITIES))


@pytest.mark.parametrize("case", CASES)
def test_value_gradient_and_pull_are_those_of_the_network(
    case, seed, take, stir, in_double, assert_near
):
    take(case.way)
    network = stir(case.architecture.build(case.signal))
    preparation = Preparation()
    fast, exact = preparation(network), in_double(network)
    bound = case.bound(smooth=1e-5, kinked=1e-4)
    for _ in range(2):
        x, along = case.inputs(), case.along()
        doubles, copy = x.double(), x.clone()
        value, slope, pulled = fast(x), fast.gradient(x), fast.pull(x, torch.sub, along)
        assert_near(value, exact(doubles), bound)
        assert_near(slope, gradient(exact, doubles), bound)
        assert_near(pulled, pull(exact, doubles, torch.sub, along.double()), bound)
        assert torch.equal(x, copy)
        assert value.dtype == (torch.float32 if case.generates else torch.float64)
        assert slope.dtype == pulled.dtype == torch.float32
        assert not any(result.requires_grad for result in (value, slope, pulled))
    assert preparation.reason(network) == ""
    assert all(result.is_contiguous() for result in (value, slope, pulled))


def target_of(case: Case, network: nn.Module, freeze: Freeze, signal: Tensor) -> Target:
    if case.generates:
        return InferenceTarget(freeze(network), signal, case.architecture.noise_std)
    return RevisionTarget(freeze(network), case.architecture.reference_std)


@pytest.mark.parametrize("case", ONE_OF_EACH_WAY)
def test_langevin_draws_the_samples_that_it_draws_without_preparation(
    case, seed, take, stir, assert_near
):
    take(case.way)
    network = stir(case.architecture.build(case.signal))
    preparation, sampler = Preparation(), Langevin(step_size=0.1)
    x, along = case.inputs(), case.along()
    states, streams = [], [torch.Generator().manual_seed(seed) for _ in range(2)]
    targets = [target_of(case, network, freeze, along) for freeze in (preparation, frozen)]
    states = [sampler.init(target, x) for target in targets]
    for step in range(1, 4):
        moves = zip(targets, states, streams, strict=True)
        states = [sampler.step(target, state, rng) for target, state, rng in moves]
        assert_near(states[0].position, states[1].position, step * 1e-5)
    assert torch.dist(states[0].position, x) > 0.05 * x.norm()
    assert preparation.reason(network) == ""


NORMED = [(kind, normalization) for kind in ("f", "g") for normalization in NORMALIZATIONS]


@pytest.mark.parametrize(("kind", "normalization"), NORMED)
def test_mixed_precision_is_that_of_the_network(kind, normalization, seed, stir, assert_near):
    architecture, signal = DESCRIPTORS[2] if kind == "f" else GENERATORS[2]
    case = Case(attrs.evolve(architecture, normalization=normalization), signal, "direct")
    network = stir(case.architecture.build(signal))
    preparation, x, along = Preparation(), case.inputs(), case.along()
    fast, plain = preparation(network), frozen(network)
    with torch.autocast("cpu", torch.bfloat16):
        results = fast(x), fast.gradient(x), fast.pull(x, torch.mul, along)
        expected = plain(x).detach(), gradient(plain, x), pull(plain, x, torch.mul, along)
    for result, right in zip(results, expected, strict=True):
        assert_near(result, right, 5e-2)
        assert result.dtype == right.dtype
    assert preparation.reason(network) == ""
    assert_near(fast(x), plain(x), 1e-4)
