"""Targets against closed forms, wrappers, frozen networks, and chains that must not meet."""

import re

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from coopkit.builtin import TextureDescriptor, TextureGenerator
from coopkit.fast import Preparation
from coopkit.interfaces import Target
from coopkit.targets import (
    InferenceTarget,
    MaskedTarget,
    RevisionTarget,
    TemperedTarget,
    evaluating,
    frozen,
)
from coopkit.testing import chain_batches, descriptors, gaussian_targets, linear_generators

NORMALIZATIONS = ["none", "instance", "layer", "batch"]
SIGNAL = (1, 8, 8)


def doubles(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def quadratic(dimension: int = 3, s: float = 0.8) -> tuple[RevisionTarget, Tensor, Tensor]:
    """Return the target of f(Y) = b·Y − Y'AY/2, its precision P and b."""
    root, b = doubles(dimension, dimension), doubles(dimension)
    a = root @ root.T
    target = RevisionTarget(lambda y: y @ b - ((y @ a) * y).sum(1) / 2, s)
    return target, a + torch.eye(dimension) / s**2, b


def test_revision_is_equations_2_and_25(seed):
    target, p, b = quadratic()
    y = doubles(6, 3)
    log_prob = torch.stack([b @ chain - chain @ p @ chain / 2 for chain in y])
    torch.testing.assert_close(target.log_prob(y), log_prob)
    torch.testing.assert_close(target.energy(y), -log_prob)
    torch.testing.assert_close(target.score(y), b - y @ p)


@settings(deadline=None, max_examples=50)
@given(law=gaussian_targets(), data=st.data())
def test_a_quadratic_descriptor_is_the_gaussian_of_its_precision(law, data):
    """log p(Y) − log p(m) = −½ (Y − m)ᵀP(Y − m), and the score is P(m − Y)."""
    y = data.draw(chain_batches(shapes=st.just(law.mean.shape), dtypes=st.just(torch.float32)))
    away = y.double() - law.mean
    pull = away @ law.precision
    at_mean = law.target.log_prob(law.mean[None].float()).double()
    rounding = {"rtol": 1e-5, "atol": 1e-4 * float(law.precision.abs().max())}
    log_prob, score = law.target.log_prob(y).double(), law.target.score(y).double()
    torch.testing.assert_close(log_prob, at_mean - (away * pull).sum(1) / 2, **rounding)
    torch.testing.assert_close(score, -pull, **rounding)


@settings(deadline=None, max_examples=50)
@given(model=linear_generators(), data=st.data())
def test_a_linear_generator_has_the_posterior_of_factor_analysis(model, data):
    """The score is (I + WᵀW/σ²)(m − X), m = (I + WᵀW/σ²)⁻¹ Wᵀ(Y − b)/σ²: (10)."""
    width = model.weight.shape[1]
    x = data.draw(chain_batches(shapes=st.just((width,)), dtypes=st.just(torch.float32)))
    w, bias = model.weight, model.network.bias.detach().double()
    y = model.emit(x, torch.Generator().manual_seed(0))
    precision = torch.eye(width) + w.T @ w / model.noise_std**2
    mean = torch.linalg.solve(precision, ((y.double() - bias) @ w / model.noise_std**2).T).T
    score = InferenceTarget(frozen(model.network), y, model.noise_std).score(x)
    tolerance = 1e-5 * float(precision.abs().max())
    torch.testing.assert_close(score.double(), (mean - x) @ precision, rtol=1e-4, atol=tolerance)


@settings(deadline=None, max_examples=50)
@given(drawn=descriptors(), seed=st.integers(0, 2**31))
def test_a_frozen_descriptor_keeps_its_mode_and_gathers_no_gradient(drawn, seed):
    rng = torch.Generator().manual_seed(seed)
    y = torch.randn(4, *drawn.signal_shape, generator=rng)
    before = {name: value.clone() for name, value in drawn.network.state_dict().items()}
    score = RevisionTarget(frozen(drawn.network), drawn.reference_std).score(y)
    assert score.shape == y.shape
    assert all(module.training for module in drawn.network.modules())
    assert all(parameter.grad is None for parameter in drawn.network.parameters())
    after = drawn.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_an_infinite_reference_std_leaves_the_reference_out(seed):
    y, w = doubles(4, 3), doubles(3)
    target = RevisionTarget(lambda y: y @ w, float("inf"))
    torch.testing.assert_close(target.log_prob(y), y @ w)
    torch.testing.assert_close(target.score(y), w.expand(4, 3))


@pytest.mark.parametrize("shape", [(4, 1), (), (4, 3), (1,), (8,)])
@pytest.mark.parametrize("ask", ["log_prob", "score", "log_prob_and_score", "energy"])
def test_an_f_that_is_not_one_number_for_each_chain_is_refused(ask, shape, seed):
    """A column would broadcast to (chains, chains), without a word."""
    target = RevisionTarget(lambda y: y.sum() * torch.ones(shape), 0.5)
    said = f"gives shape {shape} for 4 chains; it must give (4,), one number for each"
    with pytest.raises(ValueError, match=re.escape(said)):
        getattr(target, ask)(torch.randn(4, 3))


def test_inference_is_equation_10(seed):
    a, c, x, y = doubles(3, 2), doubles(3), doubles(6, 2), doubles(6, 3)
    target = InferenceTarget(lambda x: x @ a.T + c, y, 0.4)
    error = y - x @ a.T - c
    log_prob = -error.pow(2).sum(1) / (2 * 0.4**2) - x.pow(2).sum(1) / 2
    torch.testing.assert_close(target.log_prob(x), log_prob)
    torch.testing.assert_close(target.score(x), error @ a / 0.4**2 - x)


@pytest.mark.parametrize("ask", ["log_prob", "score", "log_prob_and_score"])
def test_latents_of_other_signals_are_refused(ask, seed):
    """A sampler that stacks replicas of its chains must not be answered by broadcasting."""
    g, signals = nn.Linear(2, 3), torch.randn(4, 3)
    target = InferenceTarget(frozen(g), signals, 1.0)
    for latents in (1, 3, 8):
        with pytest.raises(ValueError, match=rf"{latents} latents cannot be of 4 signals"):
            getattr(target, ask)(torch.randn(latents, 2))
    getattr(InferenceTarget(frozen(g), signals[:1], 1.0), ask)(torch.randn(5, 2))


def test_each_score_is_the_gradient_of_its_log_prob(seed):
    """Target.score is autograd of log_prob, which the targets override."""
    m, v, a = doubles(4, 3), doubles(4), doubles(3, 2)
    revision = RevisionTarget(lambda y: (y @ m.T).sin() @ v, 0.8)
    inference = InferenceTarget(lambda x: (x @ a.T).tanh(), doubles(5, 3), 0.4)
    cases: list[tuple[Target, Tensor]] = [(revision, doubles(5, 3)), (inference, doubles(5, 2))]
    for target, x in cases:
        torch.testing.assert_close(target.score(x), Target.score(target, x))


def test_signals_of_any_rank_are_summed_over_their_entries(seed):
    y = doubles(4, 2, 3, 5)
    target = RevisionTarget(lambda y: y.sum((1, 2, 3)), 0.5)
    expected = torch.stack([chain.sum() - (chain**2).sum() / (2 * 0.5**2) for chain in y])
    torch.testing.assert_close(target.log_prob(y), expected)


@pytest.mark.parametrize("std", [0.0, -1.0])
def test_standard_deviations_must_be_positive(std):
    with pytest.raises(ValueError, match="reference_std"):
        RevisionTarget(torch.sum, std)
    with pytest.raises(ValueError, match="noise_std"):
        InferenceTarget(torch.sum, torch.zeros(1), std)


def test_tempered_divides_by_the_temperature(seed):
    base, p, b = quadratic()
    y = doubles(5, 3)
    target = TemperedTarget(base, 2.5)
    torch.testing.assert_close(target.score(y), (b - y @ p) / 2.5)
    torch.testing.assert_close(target.log_prob(y), base.log_prob(y) / 2.5)
    torch.testing.assert_close(target.score(y), Target.score(target, y))


def test_masked_is_the_density_beside_the_held_entries(seed):
    base, p, b = quadratic()
    free, held, y = torch.tensor([True, False, True]), doubles(5, 3), doubles(5, 3)
    target = MaskedTarget(base, free, held)
    beside = y.clone()
    beside[:, 1] = held[:, 1]
    expected = b - beside @ p
    expected[:, 1] = 0
    torch.testing.assert_close(target.score(y), expected)
    torch.testing.assert_close(target.log_prob(y), base.log_prob(beside))
    torch.testing.assert_close(target.score(y), Target.score(target, y))


@settings(deadline=None, max_examples=25)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_masked_does_not_see_what_happens_to_held_entries(data, seed):
    rng = torch.Generator().manual_seed(seed)
    free = torch.tensor(data.draw(st.lists(st.booleans(), min_size=12, max_size=12))).view(4, 3)
    held, y = torch.randn(2, 4, 3, generator=rng)
    base = RevisionTarget(lambda y: y.sin().prod(1), 0.8)
    for target in (
        MaskedTarget(base, free, held),
        TemperedTarget(MaskedTarget(base, free, held), 3.0),
        MaskedTarget(TemperedTarget(base, 3.0), free, held),
        MaskedTarget(MaskedTarget(base, free, held), ~free | free, 0 * held),
    ):
        projected = target.project(y)
        assert torch.equal(projected, torch.where(free, y, held))
        assert torch.equal(target.project(projected), projected)
        assert torch.equal(target.log_prob(y), target.log_prob(projected))
        assert torch.equal(target.score(y), target.score(projected))
        assert not target.score(y)[~free].any()


def test_a_plain_target_holds_nothing(seed):
    base, _, _ = quadratic()
    y = doubles(2, 3)
    assert base.project(y) is y


def descriptor_of(normalization: str) -> nn.Module:
    """Return a small f, in training mode, whose batch normalisation has seen some data."""
    architecture = TextureDescriptor(
        filters=(4, 3), kernels=(3, 3), strides=(2, 1), normalization=normalization,
        weight_std="he", last_std="he",
    )  # fmt: skip
    network = architecture.build(SIGNAL).train()
    network(3 * torch.randn(16, *SIGNAL) + 1)
    return network


def generator_of(normalization: str) -> nn.Module:
    """Return a small g of 1×2×2 latents, in training mode, likewise."""
    network = TextureGenerator(filters=(4,), normalization=normalization).build(SIGNAL).train()
    network(torch.randn(16, 1, 2, 2))
    return network


def target_of(kind: str, normalization: str, chains: int) -> tuple[Target, Tensor]:
    revision = RevisionTarget(frozen(descriptor_of(normalization)), 0.5)
    if kind == "inference":
        generator = frozen(generator_of(normalization))
        return (
            InferenceTarget(generator, torch.randn(chains, *SIGNAL), 0.3),
            torch.randn(chains, 1, 2, 2),
        )
    y = torch.randn(chains, *SIGNAL)
    if kind == "tempered":
        return TemperedTarget(revision, 2.0), y
    if kind == "masked":
        return MaskedTarget(revision, torch.rand(SIGNAL) < 0.5, torch.randn(chains, *SIGNAL)), y
    return revision, y


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", ["revision", "inference", "tempered", "masked"])
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32), other=st.integers(0, 3), size=st.sampled_from([0.0, 1.0, 1e6]))
def test_a_target_never_reads_another_chain(kind, normalization, seed, other, size):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        target, x = target_of(kind, normalization, chains=4)
        changed = x.clone()
        changed[other] = size * torch.randn(x.shape[1:])
    rest = torch.arange(4) != other
    assert torch.equal(target.log_prob(x)[rest], target.log_prob(changed)[rest])
    assert torch.equal(target.score(x)[rest], target.score(changed)[rest])


@pytest.mark.parametrize("kind", ["revision", "inference"])
def test_scores_leave_no_trace_on_the_network(kind, seed):
    network = descriptor_of("batch") if kind == "revision" else generator_of("batch")
    next(network.parameters()).requires_grad_(False)
    flags = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    if kind == "revision":
        target, x = RevisionTarget(frozen(network), 0.5), torch.randn(4, *SIGNAL)
    else:
        target = InferenceTarget(frozen(network), torch.randn(4, *SIGNAL), 0.5)
        x = torch.randn(4, 1, 2, 2)
    copy = x.clone()
    score = target.score(x)
    assert torch.equal(x, copy)
    assert not x.requires_grad
    assert not score.requires_grad
    assert flags == [parameter.requires_grad for parameter in network.parameters()]
    assert modes == [module.training for module in network.modules()]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_frozen_runs_in_evaluation_mode_and_sees_later_weights(seed):
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
    network[1].eval()
    function = frozen(network)
    x = torch.randn(6, 3)
    with torch.no_grad():
        network[2].weight.add_(1)
        expected = network.eval()(x)
        network.train()
        network[1].eval()
        assert torch.equal(function(x), expected)
    assert [module.training for module in network] == [True, False, True]


def test_modes_come_back_after_an_error():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    network[1].eval()
    with pytest.raises(RuntimeError, match="shapes"), evaluating(network):
        network(torch.zeros(1, 3))
    assert [module.training for module in network.modules()] == [True, True, False]


@attrs.define
class Asked:
    """What a layer's backward pass was asked for."""

    weight_gradients: list[bool] = attrs.field(factory=list)


def asking_layer(asked: Asked) -> nn.Module:
    """Return a linear layer that notes whether its weight's gradient is wanted."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return x @ weight

        @staticmethod
        def backward(ctx, gradient):
            asked.weight_gradients.append(ctx.needs_input_grad[1])
            x, weight = ctx.saved_tensors
            return gradient @ weight.T, x.T @ gradient if ctx.needs_input_grad[1] else None

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return Product.apply(x, self.weight)

    return Layer()


def test_the_weight_gradient_is_not_computed_at_all(seed):
    asked = Asked()
    layer = asking_layer(asked)
    x = torch.randn(4, 3)
    RevisionTarget(lambda y: frozen(layer)(y).sum(1), 1.0).score(x)
    InferenceTarget(frozen(layer), torch.randn(4, 3), 1.0).score(x)
    assert asked.weight_gradients == [False, False]
    layer(x).sum().backward()
    assert asked.weight_gradients[-1]


class Halved(RevisionTarget):
    """A target with a score of its own, which is no derivative."""

    def score(self, x: Tensor) -> Tensor:
        return super().score(x) / 2

    log_prob_and_score = Target.log_prob_and_score


class Bare(Target):
    """A target that says nothing but log p."""

    def __init__(self) -> None:
        self.passes = 0

    def log_prob(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x.sin().sum(1)


def both_targets() -> dict[str, Target]:
    """Return targets of four chains in three dimensions."""
    revision, _, _ = quadratic()
    weight, y = doubles(5, 3), doubles(4, 5)
    inference = InferenceTarget(lambda x: (x @ weight.T).tanh(), y, 0.3)
    free = torch.tensor([True, False, True])
    return {
        "revision": revision,
        "inference": inference,
        "tempered": TemperedTarget(inference, 3.0),
        "masked": MaskedTarget(revision, free, doubles(4, 3)),
        "masked inference": MaskedTarget(inference, free, doubles(4, 3)),
        "bare": Bare(),
        "a score of its own": Halved(lambda y: y.sin().sum(1), 0.5),
    }


@pytest.mark.parametrize("name", both_targets())
def test_log_prob_and_score_are_both_at_once(name, seed):
    target, x = both_targets()[name], doubles(4, 3).requires_grad_()
    log_prob, score = target.log_prob_and_score(x)
    torch.testing.assert_close(log_prob, target.log_prob(x).detach())
    torch.testing.assert_close(score, target.score(x))
    assert not log_prob.requires_grad
    assert not score.requires_grad
    assert x.grad is None


def test_both_at_once_take_one_pass(seed):
    target = Bare()
    target.log_prob_and_score(doubles(4, 3))
    assert target.passes == 1
    passes = []

    def f(y: Tensor) -> Tensor:
        passes.append(len(y))
        return y.sin().sum(1)

    RevisionTarget(f, 0.5).log_prob_and_score(doubles(4, 3))
    InferenceTarget(lambda x: f(x)[:, None], doubles(4, 1), 0.5).log_prob_and_score(doubles(4, 3))
    assert passes == [4, 4]


@pytest.mark.parametrize("memory", [1.0, float("inf")])
def test_a_prepared_network_gives_both_at_once_in_chunks_too(memory, seed):
    preparation, y = Preparation(memory=memory), torch.randn(5, *SIGNAL)
    f, g = TextureDescriptor().build(SIGNAL), TextureGenerator(latent_size=1).build(SIGNAL)
    x = torch.randn(5, *TextureGenerator(latent_size=1).latent_shape(SIGNAL))
    pairs = [
        (RevisionTarget(preparation(f), 0.1), RevisionTarget(frozen(f), 0.1), y),
        (InferenceTarget(preparation(g), y, 0.3), InferenceTarget(frozen(g), y, 0.3), x),
    ]
    for fast, plain, start in pairs:
        log_prob, score = fast.log_prob_and_score(start)
        torch.testing.assert_close(log_prob, plain.log_prob(start).detach(), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(score, plain.score(start), rtol=1e-3, atol=1e-3)
