"""A prepared network inside graphs and function transforms, against autograd of the network."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jacrev, jvp, vmap

from coopkit.builtin import TextureDescriptor, TextureGenerator
from coopkit.fast import Preparation, Prepared
from coopkit.targets import InferenceTarget, RevisionTarget, frozen

CHAINS, SIGNAL = 3, (2, 12, 9)
WAYS = ("direct", "phases", "toom-cook 2")
DESCRIPTOR = TextureDescriptor(
    filters=(6, 5), kernels=(5, 3), strides=(2, 1), nonlinearity="silu", normalization="layer",
    weight_std="he", last_std="he",
)  # fmt: skip
GENERATOR = TextureGenerator(latent_size=2, filters=(6,), nonlinearity="silu", last_std="he")
KINDS = ("f", "g")


@pytest.fixture(params=[(kind, way) for kind in KINDS for way in WAYS], ids=str)
def network(request: Any, seed: int, take: Any, stir: Any) -> nn.Module:
    """Return a smooth network whose layers take one way."""
    kind, way = request.param
    take(way)
    return stir((DESCRIPTOR if kind == "f" else GENERATOR).build(SIGNAL))


def inputs(network: nn.Module) -> Tensor:
    """Draw signals or latents."""
    shape = SIGNAL if hasattr(network, "features") else GENERATOR.latent_shape(SIGNAL)
    return torch.randn(CHAINS, *shape)


def weights_like(value: Tensor) -> Tensor:
    """Return fixed numbers that differ from entry to entry."""
    return torch.linspace(-1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)


def weighted(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return a scalar in which each entry of f(x) counts differently."""
    value = f(x)
    return (value.sin() * weights_like(value)).sum()


def test_a_value_in_a_graph_is_that_without_one(network):
    fast, x = Preparation()(network), inputs(network)
    with torch.no_grad():
        without = fast(x)
    assert not fast(x).requires_grad
    within = fast(x.requires_grad_())
    assert within.requires_grad
    torch.testing.assert_close(within.detach(), without, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert not fast(x).requires_grad


def test_backward_gives_the_gradient(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)
    double = x.double().requires_grad_()
    for _ in range(2):
        x.requires_grad_().grad = None
        weighted(fast, x).backward()
    weighted(exact, double).backward()
    assert_near(x.grad, double.grad, 1e-5)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_gradient_goes_on_to_what_the_input_was_made_of(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)
    scale, double = (
        torch.linspace(0.5, 1.5, x[0].numel(), dtype=dtype).view(x[0].shape).requires_grad_()
        for dtype in (torch.float32, torch.float64)
    )
    weighted(fast, (scale * x).tanh()).backward()
    weighted(exact, (double * x.double()).tanh()).backward()
    assert_near(scale.grad, double.grad, 1e-5)


def second(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return a gradient, and the gradient of a function of it and of the value."""
    x = x.clone().requires_grad_()
    value = f(x)
    out = (value.sin() * weights_like(value)).sum()
    (first,) = torch.autograd.grad(out, x, create_graph=True)
    (result,) = torch.autograd.grad(first.pow(3).sum() + out * first.sum(), x)
    return first.detach(), result


def test_second_derivatives(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)
    for result, expected in zip(second(fast, x), second(exact, x.double()), strict=True):
        assert_near(result, expected, 1e-4)


def test_two_graphs_that_live_at_a_time_do_not_disturb_each_other(network, in_double, assert_near):
    fast, exact = Preparation()(network), in_double(network)
    points = [inputs(network).requires_grad_() for _ in range(3)]
    values = [weighted(fast, x) for x in points]
    fast.gradient(points[0].detach() + 1)
    fast.pull(points[0].detach() + 1, torch.sin)
    for place in (1, 2, 0):
        (slope,) = torch.autograd.grad(values[place], points[place])
        double = points[place].detach().double().requires_grad_()
        weighted(exact, double).backward()
        assert_near(slope, double.grad, 1e-5)


def test_two_evaluations_in_one_graph(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)
    slopes = []
    for f, start in ((fast, x), (exact, x.double())):
        start = start.clone().requires_grad_()
        slopes.append(torch.autograd.grad(weighted(f, start) * weighted(f, 2 * start), start)[0])
    assert_near(*slopes, 1e-4)


def test_a_graph_can_be_gone_through_twice(network):
    fast, x = Preparation()(network), inputs(network).requires_grad_()
    value = weighted(fast, x)
    (first,) = torch.autograd.grad(value, x, retain_graph=True)
    copy = first.clone()
    fast.gradient(x.detach() + 1)
    (again,) = torch.autograd.grad(value, x)
    assert torch.equal(first, copy)
    assert torch.equal(first, again)


def test_a_value_may_be_written_to(network, assert_near):
    fast, x = Preparation()(network), inputs(network).requires_grad_()
    value = fast(x)
    along = value.detach().cos()
    with torch.no_grad():
        value.zero_()
    (slope,) = torch.autograd.grad(value, x, along)
    assert_near(slope, fast.pull(x.detach(), torch.cos), 1e-5)


def test_log_probabilities_can_be_differentiated(network, assert_near):
    x = inputs(network)
    along = torch.randn(frozen(network)(x).shape)
    scores = []
    for freeze in (Preparation(), frozen):
        if hasattr(network, "features"):
            target = RevisionTarget(freeze(network), 0.7)
        else:
            target = InferenceTarget(freeze(network), along, 0.5)
        start = x.clone().requires_grad_()
        target.log_prob(start).sum().backward()
        assert_near(start.grad, target.score(x), 1e-5)
        scores.append(start.grad)
    assert_near(*scores, 1e-5)


def single(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return f of one chain."""
    return lambda x: f(x[None])[0]


def test_vmap(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)
    assert_near(vmap(single(fast))(x), exact(x.double()), 1e-5)


def test_func_grad(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)
    result = grad(lambda x: weighted(fast, x))(x)
    assert_near(result, grad(lambda x: weighted(exact, x))(x.double()), 1e-5)
    each = vmap(grad(lambda x: weighted(single(fast), x)))(x)
    assert_near(each, vmap(grad(lambda x: weighted(single(exact), x)))(x.double()), 1e-5)


def test_jacrev(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)[:1]
    if not hasattr(network, "features"):
        pytest.skip("as many rows as pixels")
    assert_near(jacrev(fast)(x), jacrev(exact)(x.double()), 1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_jvp(network, in_double, assert_near):
    fast, exact, x = Preparation()(network), in_double(network), inputs(network)
    along = torch.randn_like(x)
    results = jvp(fast, (x,), (along,))
    expected = jvp(exact, (x.double(),), (along.double(),))
    for result, right in zip(results, expected, strict=True):
        assert_near(result, right, 1e-5)


def many(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the gradients in two directions."""
    x = x.clone().requires_grad_()
    value = f(x)
    directions = torch.stack([weights_like(value), weights_like(value).cos()])
    return torch.autograd.grad(value, x, directions, is_grads_batched=True)[0]


def test_a_hessian_of_autograd(seed, stir, assert_near):
    network = stir(attrs.evolve(DESCRIPTOR, normalization="none").build((2, 5, 4)))
    x = torch.randn(1, 2, 5, 4)
    hessians = [
        torch.autograd.functional.hessian(lambda y, f=f: weighted(f, y), x)
        for f in (Preparation()(network), frozen(network))
    ]
    assert_near(*hessians, 1e-4)


def test_kinks_have_the_gradient_of_torch(seed, in_double, assert_near):
    """At 0 itself too, where a unit of a ReLU has slope 0."""
    network = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 3, 3), nn.LeakyReLU(0.2), nn.Conv2d(3, 1, 3))
    x = torch.randn(CHAINS, *SIGNAL).relu().requires_grad_()
    double = x.detach().double().requires_grad_()
    Preparation()(network)(x).sum().backward()
    in_double(network)(double).sum().backward()
    assert_near(x.grad, double.grad, 1e-5)
    assert not x.grad[x == 0].any()


def test_what_is_prepared_knows_its_gradients(network):
    from coopkit.derivatives import Differentiated

    fast = Preparation()(network)
    assert isinstance(fast, Prepared)
    assert isinstance(fast, Differentiated)
    assert not isinstance(frozen(network), Differentiated)
