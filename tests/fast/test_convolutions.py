"""Every way of a convolution, and of its adjoint, against the definition in float64."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from coopkit.builtin.layers import upsampling
from coopkit.fast.choices import Kind, ways
from coopkit.fast.convolutions import (
    CHANNELS_LAST,
    Direct,
    DirectSpreading,
    Layer,
    Phases,
    Way,
    phase_layer,
)
from coopkit.fast.polyphase import Polyphase

ROUNDING = 1e-5
packs = pytest.mark.skipif(not torch._C._has_mkldnn, reason="torch was built without oneDNN")
sides, filters, chains = st.integers(3, 14), st.integers(1, 5), st.integers(1, 3)
kinds = st.sampled_from(["correlation", "spreading"])
seeds = st.integers(0, 2**31)


@st.composite
def layers(draw: st.DrawFn, longest_stride: int = 3, smallest_kernel: int = 1) -> Layer:
    """Draw the numbers of a layer that has an output."""
    taps, steps = st.integers(smallest_kernel, 6), st.integers(1, longest_stride)
    kernel = draw(taps), draw(taps)
    layer = Layer(
        channels=draw(filters),
        filters=draw(filters),
        size=(draw(sides), draw(sides)),
        kernel=kernel,
        stride=(draw(steps), draw(steps)),
        padding=(draw(st.integers(0, kernel[0] - 1)), draw(st.integers(0, kernel[1] - 1))),
    )
    assume(min(layer.out) >= 1)
    return layer


def inputs_of(kind: Kind, layer: Layer, chains: int, rng: torch.Generator) -> Tensor:
    """Return an input of a correlation, or of a spreading."""
    spread = kind == "spreading"
    shape = (layer.filters, *layer.out) if spread else (layer.channels, *layer.size)
    return torch.randn(chains, *shape, generator=rng)


def weights_of(kind: Kind, layer: Layer, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return weights and biases of such a layer."""
    weight = torch.randn(layer.filters, layer.channels, *layer.kernel, generator=rng)
    outputs = layer.filters if kind == "correlation" else layer.channels
    return weight, torch.randn(outputs, generator=rng)


def defined(kind: Kind, layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the result by its definition, in float64."""
    x, weight = x.double(), weight.double()
    if kind == "correlation":
        result = F.conv2d(x, weight, None, layer.stride, layer.padding)
    else:
        shape = (len(x), layer.channels, *layer.size)
        result = torch.nn.grad.conv2d_input(shape, weight, x, layer.stride, layer.padding)
    return result if bias is None else result + bias.double()[:, None, None]


def every_way(kind: Kind, layer: Layer, like: Tensor) -> dict[str, Way]:
    """Return all ways, those too that are not tried for so small filters."""
    found = ways(kind, layer, like)
    phases = phase_layer(layer)
    if kind == "spreading" and phases is not None:
        found["phases themselves"] = Phases(layer, Direct(phases))
    if not torch._C._has_mkldnn:
        return found
    if kind == "correlation" and layer.stride == (1, 1):
        found |= {f"polyphase {m}": Polyphase(layer, m) for m in (2, 3)}
    elif kind == "spreading" and phases is not None:
        found |= {f"phases, polyphase {m}": Phases(layer, Polyphase(phases, m)) for m in (2, 3)}
    return found


def assert_near(result: Tensor, expected: Tensor, name: str) -> None:
    assert result.shape == expected.shape
    assert result.dtype == torch.float32
    assert torch.dist(result.double(), expected) <= ROUNDING * expected.norm(), name


def check(kind: Kind, layer: Layer, chains: tuple[int, int], biased: bool, seed: int) -> None:
    """Check two inputs, one after another, in every way."""
    rng = torch.Generator().manual_seed(seed)
    first, second = (inputs_of(kind, layer, n, rng) for n in chains)
    weight, bias = weights_of(kind, layer, rng)
    given_bias = bias if biased else None
    expected = [defined(kind, layer, x, weight, given_bias) for x in (first, second)]
    copies = [x.clone() for x in (first, second, weight, bias)]
    for name, way in every_way(kind, layer, first).items():
        derived = way.derive(weight, given_bias)
        results = [
            way.apply(first.contiguous(memory_format=CHANNELS_LAST), derived),
            way.apply(second, derived),
        ]
        for result, right in zip(results, expected, strict=True):
            assert_near(result, right, name)
        assert all(
            torch.equal(x, copy)
            for x, copy in zip((first, second, weight, bias), copies, strict=True)
        )


@settings(deadline=None, max_examples=300)
@given(layers(), kinds, st.tuples(chains, chains), st.booleans(), seeds)
def test_every_way_gives_the_numbers_of_the_definition(layer, kind, chains, biased, seed):
    """Of two inputs, so that what one leaves behind in memory would show in the other."""
    check(kind, layer, chains, biased, seed)


@settings(deadline=None, max_examples=150)
@given(layers(1, 3), kinds, st.tuples(chains, chains), st.booleans(), seeds)
def test_the_ways_of_large_filters_give_the_numbers_of_the_definition(
    layer, kind, chains, biased, seed
):
    check(kind, layer, chains, biased, seed)


@pytest.mark.parametrize("of", ["correlation", "spreading"])
@packs
def test_a_result_outlives_the_next_one(of, seed, rng):
    layer = Layer(3, 4, (9, 8), (5, 4), (1, 1), (2, 1))
    x, other = (inputs_of(of, layer, 2, rng) for _ in range(2))
    for name, way in every_way(of, layer, x).items():
        derived = way.derive(*weights_of(of, layer, rng))
        result = way.apply(x, derived)
        copy = result.clone()
        way.apply(other, derived)
        assert torch.equal(result, copy), name


@pytest.mark.parametrize("of", ["correlation", "spreading"])
@packs
def test_weights_of_one_derivation_do_not_reach_into_another(of, seed, rng):
    layer = Layer(3, 4, (9, 8), (5, 4), (1, 1), (2, 1))
    x, weights = inputs_of(of, layer, 2, rng), [weights_of(of, layer, rng) for _ in range(2)]
    expected = [defined(of, layer, x, *pair) for pair in weights]
    for name, way in every_way(of, layer, x).items():
        derived = [way.derive(*pair) for pair in weights]
        for parts, right in zip(derived, expected, strict=True):
            assert_near(way.apply(x, parts), right, name)


@settings(deadline=None, max_examples=40)
@given(layers(), kinds, chains, st.booleans(), seeds)
def test_the_ways_of_torch_work_in_float64(layer, kind, chains, biased, seed):
    rng = torch.Generator().manual_seed(seed)
    x = inputs_of(kind, layer, chains, rng).double()
    weight, bias = (part.double() for part in weights_of(kind, layer, rng))
    given_bias = bias if biased else None
    expected = defined(kind, layer, x, weight, given_bias)
    found = ways(kind, layer, x)
    assert set(found) <= {"direct", "phases"}
    for way in found.values():
        result = way.apply(x, way.derive(weight, given_bias))
        assert torch.dist(result, expected) <= 1e-12 * expected.norm()


@settings(deadline=None, max_examples=60)
@given(layers())
def test_a_layer_knows_the_shape_of_its_output_and_its_multiplications(layer):
    x = torch.empty(1, layer.channels, *layer.size, device="meta")
    weight = torch.empty(layer.filters, layer.channels, *layer.kernel, device="meta")
    output = F.conv2d(x, weight, None, layer.stride, layer.padding)
    assert output.shape == (1, layer.filters, *layer.out)
    assert layer.multiplications == weight.numel() * output[0, 0].numel()


@pytest.mark.parametrize(("kernel", "factor"), [(3, 2), (4, 2), (5, 2), (7, 2), (3, 3), (5, 3)])
@pytest.mark.parametrize("size", [(4, 4), (7, 5)])
def test_the_up_samplings_of_the_generators_can_be_done_in_phases(kernel, factor, size):
    transposed = upsampling(6, 5, kernel, factor, "transposed")
    drawn = transposed(torch.zeros(1, 6, *size)).shape[2:]
    pair = (kernel, kernel)
    layer = Layer(5, 6, tuple(drawn), pair, (factor, factor), transposed.padding)
    assert layer.out == size
    found = phase_layer(layer)
    assert found is not None
    assert found.stride == (1, 1)
    assert found.filters == 5 * factor**2
    assert "phases" in ways("spreading", layer, torch.zeros(1, 6, *size))


NAMES: list[tuple[Kind, Layer, torch.dtype, list[str]]] = [
    ("correlation", Layer(2, 3, (9, 9), (3, 5), (1, 1), (1, 2)), torch.float32, ["toom"]),
    ("correlation", Layer(2, 3, (9, 9), (2, 5), (1, 1), (1, 2)), torch.float32, []),
    ("correlation", Layer(2, 3, (9, 9), (3, 5), (2, 1), (1, 2)), torch.float32, []),
    ("correlation", Layer(2, 3, (9, 9), (3, 5), (1, 1), (1, 2)), torch.float64, []),
    ("spreading", Layer(2, 3, (9, 9), (3, 5), (1, 1), (1, 2)), torch.float32, ["phases", "toom"]),
    ("spreading", Layer(2, 3, (9, 9), (5, 5), (2, 2), (2, 2)), torch.float32, ["phases", "toom"]),
    ("spreading", Layer(2, 3, (9, 9), (3, 5), (1, 1), (1, 2)), torch.bfloat16, ["phases"]),
]


@pytest.mark.parametrize(("kind", "layer", "dtype", "expected"), NAMES)
@packs
def test_the_ways_that_are_tried(
    kind: Kind, layer: Layer, dtype: torch.dtype, expected: list[str]
) -> None:
    names = list(ways(kind, layer, torch.zeros(1, dtype=dtype)))
    others = [other for name in expected for other in with_parts(name)]
    assert names == ["direct", *others]


def with_parts(name: str) -> list[str]:
    return ["toom-cook 2", "toom-cook 3"] if name == "toom" else [name]


WAYS: dict[str, Callable[[Layer], Way]] = {"direct": Direct, "spreading": DirectSpreading}


@pytest.mark.parametrize("name", WAYS)
def test_weights_keep_their_layout(name, rng):
    layer = Layer(3, 4, (9, 8), (5, 4), (1, 1), (2, 1))
    weight, _ = weights_of("correlation", layer, rng)
    derived, bias = WAYS[name](layer).derive(weight, None)
    assert derived.is_contiguous(memory_format=CHANNELS_LAST)
    assert weight.is_contiguous()
    assert bias is None
