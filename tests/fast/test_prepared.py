"""Every built-in network, prepared, against its evaluation in float64 and the frozen network."""

import gc
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, get_args, get_type_hints

import attrs
import pytest
import torch
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
from coopkit.builtin.layers import Nonlinearity, Normalization, Padding
from coopkit.derivatives import gradient, pull
from coopkit.fast import Preparation
from coopkit.interfaces import Shape, Target
from coopkit.sampling import sample_chains
from coopkit.targets import Freeze, InferenceTarget, RevisionTarget, frozen

NONLINEARITIES, NORMALIZATIONS = get_args(Nonlinearity), get_args(Normalization)
PADDINGS = get_args(Padding)
UPSAMPLINGS = get_args(get_type_hints(TopDownGenerator)["upsampling"])
WAYS = ("direct", "phases", "toom-cook 2", "toom-cook 3")
CHAINS = 3

HE = {"weight_std": "he", "last_std": "he", "reference_std": 0.7}
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
        assert {result.dtype for result in (value, slope, pulled)} == {torch.float32}
        assert not any(result.requires_grad for result in (value, slope, pulled))
    assert preparation.reason(network) == ""
    assert all(result.is_contiguous() for result in (value, slope, pulled))


def target_of(case: Case, network: nn.Module, freeze: Freeze, signal: Tensor) -> Target:
    if case.generates:
        return InferenceTarget(freeze(network), signal, case.architecture.noise_std)
    return RevisionTarget(freeze(network), case.architecture.reference_std)


@pytest.mark.parametrize("case", CASES)
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


TEXTURE = TextureDescriptor(
    filters=(6, 5), kernels=(5, 3), strides=(1, 1), nonlinearity="silu", **HE
)
SHAPE = (2, 14, 11)


def texture(stir: Callable[[nn.Module], nn.Module], **fields: Any) -> nn.Module:
    """Return a small descriptor, smooth unless the fields say otherwise."""
    return stir(attrs.evolve(TEXTURE, **fields).build(SHAPE))


@pytest.mark.parametrize("way", WAYS)
def test_a_run_in_one_piece_draws_the_samples_of_single_steps(way, seed, take, stir, assert_near):
    take(way)
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    sampler = Langevin(step_size=0.1)
    drawn = [
        sample_chains(
            sampler,
            RevisionTarget(freeze(network), 0.7),
            x,
            4,
            torch.Generator().manual_seed(seed),
        )
        for freeze in (Preparation(), frozen)
    ]
    assert_near(*drawn, 4e-5)


@pytest.mark.parametrize("way", WAYS)
def test_the_way_that_is_forced_here_is_taken(way, seed, take, stir):
    take(way)
    preparation = Preparation()
    preparation(texture(stir)).gradient(torch.randn(CHAINS, *SHAPE))
    assert way in preparation.choices.used.values()


def optimize(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(torch.randn(CHAINS, *SHAPE)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def fill(network: nn.Module, number: float) -> None:
    with torch.no_grad():
        for value in network.parameters():
            value.add_(number)


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "added to": lambda network: fill(network, 0.1),
    "loaded": lambda network: network.load_state_dict(
        {name: 1.2 * value for name, value in network.state_dict().items()}
    ),
    "loaded, statistics only": lambda network: network.load_state_dict(
        {
            name: 1.2 * value if "running" in name else value
            for name, value in network.state_dict().items()
        }
    ),
    "training": lambda network: network.train()(3 * torch.randn(CHAINS, *SHAPE)),
    "Adam": lambda network: optimize(network, torch.optim.Adam(network.parameters(), 0.01)),
    "fused Adam": lambda network: optimize(
        network, torch.optim.Adam(network.parameters(), 0.01, fused=True)
    ),
    "SGD": lambda network: optimize(network, torch.optim.SGD(network.parameters(), 1e-5)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_change_between_evaluations_are_seen(
    change, way, seed, take, stir, assert_near
):
    take(way)
    network, x = texture(stir, normalization="batch"), torch.randn(CHAINS, *SHAPE)
    fast, plain = Preparation()(network), frozen(network)
    before = fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    CHANGES[change](network)
    after = fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    expected = plain(x).detach(), gradient(plain, x), pull(plain, x, torch.sin)
    for old, new, right in zip(before, after, expected, strict=True):
        assert_near(new, right, 1e-3)
        assert torch.dist(old, right) > 1e-2 * right.norm()


def test_a_spectral_norm_that_changed_in_training_is_seen(seed, take, stir, assert_near):
    take("direct")
    network, x = texture(stir, spectral_norm=2.0), torch.randn(CHAINS, *SHAPE)
    fast, plain = Preparation()(network), frozen(network)
    before = fast.gradient(x)
    assert_near(before, gradient(plain, x), 1e-5)
    with torch.no_grad():
        network.features[0].parametrizations.weight.original[0].mul_(9)
    network.train()(x)
    assert_near(fast.gradient(x), gradient(plain, x), 1e-5)
    assert torch.dist(before, fast.gradient(x)) > 1e-2 * before.norm()


def test_weights_that_change_between_forward_and_backward_are_those_of_the_forward(
    seed, stir, assert_near
):
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE).requires_grad_()
    fast = Preparation()(network)
    expected = fast.pull(x.detach(), torch.ones_like)
    f = fast(x).sum()
    fill(network, 0.1)
    fast(x.detach())
    (slope,) = torch.autograd.grad(f, x)
    assert_near(slope, expected, 1e-5)


def test_a_network_prepared_again_is_evaluated_with_its_new_parameters(seed, stir, assert_near):
    network, x, preparation = texture(stir), torch.randn(CHAINS, *SHAPE), Preparation()
    preparation(network)(x)
    layer = network.features[0]
    layer.weight = nn.Parameter(2 * layer.weight.detach())
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)
    layer.weight.data.mul_(2)
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


class Faded(nn.Module):
    """A network with a number that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.share = nn.Conv2d(2, 3, 3), 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.share * self.layer(x).tanh()


def test_a_number_of_a_network_that_has_changed_is_seen(seed, assert_near):
    network, x, preparation = Faded(), torch.randn(CHAINS, *SHAPE), Preparation()
    preparation(network)(x)
    network.share = 0.5
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


def test_a_layer_that_was_added_is_seen(seed, assert_near):
    network, x, preparation = (
        nn.Sequential(nn.Conv2d(2, 3, 3)),
        torch.randn(3, *SHAPE),
        Preparation(),
    )
    preparation(network)(x)
    network.append(nn.Tanh())
    assert_near(preparation(network)(x), frozen(network)(x), 1e-5)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_preparation_leaves_no_trace_on_the_network(normalization, seed, stir):
    network = texture(stir, normalization=normalization)
    next(network.parameters()).requires_grad_(False)
    network.features[-1].eval()
    flags = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    names = [sorted(vars(module)) for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast, x = Preparation()(network), torch.randn(CHAINS, *SHAPE)
    fast(x)
    fast.gradient(x)
    fast.pull(x, torch.sin)
    fast(x.requires_grad_()).sum().backward()
    assert flags == [parameter.requires_grad for parameter in network.parameters()]
    assert modes == [module.training for module in network.modules()]
    assert names == [sorted(vars(module)) for module in network.modules()]
    assert all(parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_preparation_draws_no_random_numbers(seed, stir, monkeypatch):
    monkeypatch.setattr("coopkit.fast.choices.WORTH_MEASURING", 0)
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    before = torch.get_rng_state()
    fast = Preparation()(network)
    fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_chains_of_any_size(way, seed, take, stir, in_double, assert_near):
    take(way)
    network, preparation = texture(stir), Preparation()
    fast, exact = preparation(network), in_double(network)
    for shape in [(1, 2, 14, 11), (5, 2, 14, 11), (2, 2, 9, 17), (5, 2, 14, 11), (1, 2, 14, 11)]:
        x = torch.randn(shape)
        assert_near(fast(x), exact(x.double()), 1e-5)
        assert_near(fast.gradient(x), gradient(exact, x.double()), 1e-5)
    assert fast(torch.randn(0, *SHAPE)).shape == (0,)
    assert fast.gradient(torch.randn(0, *SHAPE)).shape == (0, *SHAPE)
    assert preparation.reason(network) == ""


@pytest.mark.parametrize("way", WAYS)
def test_more_chains_than_a_plan_is_tried_out_on(way, seed, take, stir, monkeypatch, assert_near):
    take(way)
    monkeypatch.setattr("coopkit.fast.prepared.MEASURED", 2)
    network, preparation = texture(stir), Preparation()
    fast, plain = preparation(network), frozen(network)
    for chains, width in product((5, 3), range(9, 13)):
        x = torch.randn(chains, 2, 10, width)
        assert_near(fast(x), plain(x).detach(), 1e-4)
        assert_near(fast.gradient(x), gradient(plain, x), 1e-5)
        assert_near(fast.pull(x, torch.sin), pull(plain, x, torch.sin), 1e-4)
    assert preparation.reason(network) == ""


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "turned": lambda x: x.mT.contiguous().mT,
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "one repeated": lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("first", [True, False])
def test_inputs_of_any_layout_in_memory(layout, first, seed, stir, assert_near):
    network, x = texture(stir, normalization="layer"), torch.randn(CHAINS, *SHAPE)
    plain, preparation = frozen(network), Preparation()
    fast = preparation(network)
    if not first:
        fast(x), fast.gradient(x)
    x = LAYOUTS[layout](x)
    copy = x.clone()
    assert_near(fast(x), plain(copy), 1e-5)
    assert_near(fast.gradient(x), gradient(plain, copy.contiguous()), 1e-5)
    assert torch.equal(x, copy)
    assert preparation.reason(network) == ""


def test_float64_stays_float64(seed, stir, take, assert_near):
    take("toom-cook 3")
    network = nn.Sequential(nn.Conv2d(2, 3, 5), nn.SiLU(), nn.Conv2d(3, 2, 3)).double()
    x = torch.randn(CHAINS, *SHAPE, dtype=torch.float64)
    fast, plain = Preparation()(network), frozen(network)
    assert fast(x).dtype == torch.float64
    assert_near(fast(x), plain(x), 1e-13)
    assert_near(fast.gradient(x), gradient(plain, x), 1e-13)


@pytest.mark.parametrize("way", WAYS)
def test_an_evaluation_in_inference_mode_does_not_hinder_later_ones(
    way, seed, take, stir, assert_near
):
    take(way)
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    fast = Preparation()(network)
    with torch.inference_mode():
        first = fast(x)
    assert_near(fast(x), first.clone(), 1e-6)
    fast(x.requires_grad_()).sum().backward()
    assert_near(x.grad, fast.gradient(x.detach()), 1e-5)


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


class InFloat32(nn.Module):
    """A network that switches mixed precision off for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.layer(x).tanh()


def test_what_runs_in_float32_under_mixed_precision_still_does(seed, assert_near):
    network, x = InFloat32(), torch.randn(5, 6)
    fast, plain = Preparation()(network), frozen(network)
    with torch.autocast("cpu", torch.bfloat16):
        results = fast(x), fast.gradient(x), fast.pull(x, torch.sin)
        expected = plain(x).detach(), gradient(plain, x), pull(plain, x, torch.sin)
    for result, right in zip(results, expected, strict=True):
        assert result.dtype == torch.float32
        assert_near(result, right, 1e-5)


def test_plans_go_with_their_network(seed, stir):
    preparation, network = Preparation(), texture(stir)
    preparation(network)(torch.randn(CHAINS, *SHAPE))
    assert len(preparation.plans) == 1
    del network
    gc.collect()
    assert len(preparation.plans) == 0


def test_plans_are_made_once_for_all_preparations_of_a_network(seed, stir, monkeypatch):
    preparation, network, x = Preparation(), texture(stir), torch.randn(CHAINS, *SHAPE)
    preparation(network).gradient(x)
    monkeypatch.delattr("coopkit.fast.prepared.make_plan")
    preparation(network).gradient(x)
    preparation(network).gradient(x + 1)


def test_the_network_itself_is_not_run_again(seed, stir, assert_near):
    calls: list[object] = []
    network, x = texture(stir), torch.randn(CHAINS, *SHAPE)
    plain = frozen(network)
    fast = Preparation()(network)
    fast(x), fast.gradient(x), fast.pull(x, torch.sin)
    network.register_forward_hook(lambda *_: calls.append(None))
    y = torch.randn(CHAINS, *SHAPE)
    results = fast(y), fast.gradient(y), fast.pull(y, torch.sin)
    assert calls == []
    expected = plain(y), gradient(plain, y), pull(plain, y, torch.sin)
    for result, right in zip(results, expected, strict=True):
        assert_near(result, right, 1e-4)
