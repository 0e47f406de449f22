"""The descriptors of the paper's table by the shapes of their layers, and f of any signal."""

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coopkit.builtin import FaceDescriptor, ObjectDescriptor, SceneDescriptor, TextureDescriptor

TABLE = [
    (TextureDescriptor, 224, [(100, 15, 3), (70, 9, 1), (30, 7, 1)], (30, 75, 75), 0, 0.012),
    (ObjectDescriptor, 64, [(100, 4, 2), (64, 2, 1)], (64, 31, 31), 1, 0.016),
    (FaceDescriptor, 64, [(96, 5, 2), (128, 5, 2), (256, 5, 2)], (256, 8, 8), 50, 0.016),
    (SceneDescriptor, 64, [(64, 5, 2), (128, 3, 2), (256, 3, 1)], (256, 16, 16), 100, 0.016),
]
SMALL = TextureDescriptor(
    filters=(4, 3), kernels=(5, 3), strides=(2, 1), weight_std="he", last_std="he"
)
sides = st.integers(1, 40)
colours = st.sampled_from([1, 3])


@pytest.mark.parametrize(("cls", "side", "layers", "last", "channels", "s"), TABLE)
def test_the_table_of_the_paper(cls, side, layers, last, channels, s):
    """Filters, k×k and sub-sampling of each convolution, fully connected channels, and s."""
    architecture = cls()
    network = architecture.build((3, side, side))
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    inputs = [3, *(filters for filters, _, _ in layers)]
    assert architecture.reference_std == s
    assert architecture.name == cls.__name__.removesuffix("Descriptor").lower()
    assert [layer.stride for layer in convolutions] == [(stride, stride) for *_, stride in layers]
    assert [tuple(layer.weight.shape) for layer in convolutions] == [
        (filters, before, kernel, kernel)
        for (filters, kernel, _), before in zip(layers, inputs, strict=False)
    ]
    assert sum(isinstance(module, nn.ReLU) for module in network.modules()) == len(layers)
    tops = [module for module in network.modules() if isinstance(module, nn.Linear)]
    units = last[0] * last[1] * last[2]
    assert [tuple(top.weight.shape) for top in tops] == ([(channels, units)] if channels else [])
    with torch.no_grad():
        assert network.features(torch.zeros(1, 3, side, side)).shape == (1, *last)


@pytest.mark.parametrize(("cls", "side"), [(row[0], row[1]) for row in TABLE])
def test_f_is_one_number_for_each_chain(cls, side):
    with torch.no_grad():
        assert cls().build((1, side, side))(torch.randn(2, 1, side, side)).shape == (2,)


@settings(deadline=None, max_examples=40)
@given(height=sides, width=sides, colour=colours, channels=st.integers(0, 3))
def test_signals_of_any_height_width_and_colour(height, width, colour, channels):
    network = attrs.evolve(SMALL, channels=channels).build((colour, height, width))
    assert network(torch.randn(2, colour, height, width)).shape == (2,)


@settings(deadline=None, max_examples=20)
@given(height=sides, width=sides)
def test_a_texture_descriptor_takes_another_size_than_it_was_built_for(height, width):
    network = SMALL.build((1, 16, 16))
    assert network(torch.randn(2, 1, height, width)).shape == (2,)


def test_a_network_is_built_without_memory_for_its_signals():
    """A single one of these takes 40 gigabytes."""
    network = SMALL.build((1, 100_000, 100_000))
    assert network(torch.randn(2, 1, 20, 20)).shape == (2,)


@pytest.mark.parametrize("normalization", ["none", "instance", "layer", "batch"])
@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "circular", "none"])
def test_too_small_is_what_the_layers_refuse(padding: str, normalization: str):
    choices = {"padding": padding, "normalization": normalization, "channels": 2}
    whole = attrs.evolve(SMALL, **choices).build((1, 20, 20)).features.eval()
    for height, width in [(1, 1), (1, 9), (2, 3), (4, 4), (5, 9), (6, 9), (9, 9)]:
        with torch.no_grad():
            try:
                units = whole(torch.randn(1, 1, height, width)).numel()
            except (RuntimeError, ValueError):
                with pytest.raises(ValueError, match=f"1 x {height} x {width} are too small"):
                    attrs.evolve(SMALL, **choices).build((1, height, width))
                continue
        network = attrs.evolve(SMALL, **choices).build((1, height, width))
        assert network.top.in_features == units


def test_f_sums_the_top_layer_over_all_positions(seed):
    network, y = SMALL.build((1, 16, 16)), torch.randn(3, 1, 16, 16)
    by_hand = torch.stack([network.features(chain[None]).sum() for chain in y])
    torch.testing.assert_close(network(y).float(), by_hand)


def test_f_sums_the_fully_connected_units(seed):
    network = attrs.evolve(SMALL, channels=7).build((1, 16, 16))
    y = torch.randn(3, 1, 16, 16)
    units = network.features(y).flatten(1) @ network.top.weight.T + network.top.bias
    torch.testing.assert_close(network(y).float(), units.sum(1))


def test_reference_scale_is_f_over_s_squared(seed):
    plain, scaled = (
        SMALL.build((1, 16, 16)),
        attrs.evolve(SMALL, scale="reference").build((1, 16, 16)),
    )
    scaled.load_state_dict(plain.state_dict())
    y = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(scaled(y), plain(y) / 0.012**2)


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "circular"])
def test_padding_keeps_the_grid_and_none_does_not(padding):
    y = torch.zeros(1, 1, 17, 12)
    padded = attrs.evolve(SMALL, padding=padding).build((1, 17, 12))
    bare = attrs.evolve(SMALL, padding="none").build((1, 17, 12))
    assert padded.features(y).shape[2:] == (9, 6)
    assert bare.features(y).shape[2:] == (5, 2)


@pytest.mark.parametrize(
    ("normalization", "kind"),
    [("none", nn.Identity), ("instance", nn.InstanceNorm2d), ("layer", nn.GroupNorm),
     ("batch", nn.BatchNorm2d)],
)  # fmt: skip
def test_normalization_follows_every_convolution_but_the_first(normalization, kind):
    network = attrs.evolve(SMALL, normalization=normalization).build((1, 16, 16))
    order = [type(layer) for layer in network.features]
    norms = [] if normalization == "none" else [kind]
    assert order == [nn.Conv2d, nn.ReLU, nn.Conv2d, *norms, nn.ReLU]
    assert network(torch.randn(2, 1, 16, 16)).shape == (2,)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU), ("elu", nn.ELU), ("silu", nn.SiLU),
     ("softplus", nn.Softplus)],
)  # fmt: skip
def test_the_nonlinearity_is_the_one_that_was_named(name, kind):
    network = attrs.evolve(SMALL, nonlinearity=name).build((1, 16, 16))
    assert [type(layer) for layer in network.features] == [nn.Conv2d, kind] * 2


def test_initial_weights_have_the_spread_that_was_asked_for(seed):
    """Of 67,500, 567,000 and 5,308,416 weights: within 6 standard errors of σ/√2n, 2e-9 each."""
    architecture = TextureDescriptor(filters=(100, 70, 1024), kernels=(15, 9, 9), last_std=0.5)
    network = architecture.build((3, 32, 32))
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for layer, std in zip(layers, (0.01, 0.01, 0.5), strict=True):
        error = std / (2 * layer.weight.numel()) ** 0.5
        assert abs(layer.weight.std().item() - std) < 6 * error
        assert not layer.bias.any()


def test_he_weights_keep_the_scale_of_the_inputs(seed):
    """Standard deviation √(2 / inputs of a unit), within 6 standard errors."""
    architecture = TextureDescriptor(
        filters=(64, 64), kernels=(5, 3), strides=(1, 1), weight_std="he"
    )
    first = architecture.build((3, 16, 16)).features[0].weight
    std = (2 / (3 * 5 * 5)) ** 0.5
    assert abs(first.std().item() - std) < 6 * std / (2 * first.numel()) ** 0.5


def spectral_norms(network: nn.Module) -> list[float]:
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return [float(torch.linalg.matrix_norm(m.weight.detach().flatten(1), ord=2)) for m in layers]


@pytest.mark.parametrize("channels", [0, 2])
def test_each_layer_has_spectral_norm_1_also_after_it_has_learnt(channels, seed):
    network = attrs.evolve(SMALL, channels=channels, spectral_norm=2.0).build((1, 16, 16))
    free = attrs.evolve(SMALL, channels=channels).build((1, 16, 16))
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    for _ in range(3):
        network(torch.randn(4, 1, 16, 16)).sum().backward()
        optimizer.step()
    for _ in range(50):
        network(torch.randn(1, 1, 16, 16))
    assert spectral_norms(network) == pytest.approx([1.0] * (2 + (channels > 0)), abs=1e-3)
    assert max(spectral_norms(free)) > 1.2


@pytest.mark.parametrize("spectral_norm", [0.5, 1.0, 3.0])
def test_the_slope_of_one_filter_of_one_pixel_is_the_spectral_norm_over_s_squared(
    spectral_norm, seed
):
    """f(Y) = c/s² Σ max(0, w·y + b): wherever a unit is on, the gradient is c w/‖w‖s²."""
    network = TextureDescriptor(
        reference_std=0.1,
        filters=(1,),
        kernels=(1,),
        strides=(1,),
        scale="reference",
        spectral_norm=spectral_norm,
    ).build((3, 8, 8))
    network.eval()
    y = torch.randn(2, 3, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(network(y).sum(), y)
    on = network.features[0](y)[:, 0] > 0
    assert 0 < on.sum() < on.numel()
    torch.testing.assert_close(slope.norm(dim=1)[on], torch.full((on.sum(),), 100 * spectral_norm))
    assert not slope.norm(dim=1)[~on].any()


def test_spectral_norms_change_in_training_alone_and_travel_with_the_weights(seed):
    build = attrs.evolve(SMALL, spectral_norm=1.0).build
    network, other = build((1, 16, 16)), build((1, 16, 16))
    y = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        network.features[0].parametrizations.weight.original.mul_(torch.rand(4, 1, 5, 5))
    network.eval()
    assert torch.equal(network(y), network(y))
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(y), network(y))
    before = network(y)
    network.train()(y)
    assert not torch.equal(network.eval()(y), before)


@pytest.mark.parametrize("channels", [0, 2])
def test_f_is_summed_in_float64_even_under_mixed_precision(channels, seed):
    network = attrs.evolve(SMALL, channels=channels).build((1, 64, 64))
    y = torch.randn(2, 1, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        features = network.features(y)
        f = network(y)
    assert features.dtype == torch.bfloat16
    assert f.dtype == torch.float64
    features = features.double()
    units = features if channels == 0 else network.double().top(features.flatten(1))
    torch.testing.assert_close(f, units.flatten(1).sum(1))


@pytest.mark.parametrize(
    ("fields", "shape", "sentence"),
    [
        ({"padding": "none"}, (1, 8, 6), "signals of 1 x 8 x 6 are too small for kernels"),
        ({"padding": "reflect"}, (3, 2, 2), "signals of 3 x 2 x 2 are too small for kernels"),
        ({"normalization": "instance"}, (1, 2, 2), "signals of 1 x 2 x 2 are too small"),
    ],
)
def test_impossible_sizes_are_answered_with_a_sentence(fields, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        attrs.evolve(SMALL, **fields).build(shape)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kernels": (3,)}, "must be equally long, not 2, 1 and 2"),
        ({"filters": ()}, "'filters' must be a list of whole numbers from 1 up"),
        ({"strides": (1, 0)}, "'strides' must be a list of whole numbers from 1 up"),
        ({"reference_std": 0.0}, "'reference_std' must be > 0"),
        ({"weight_std": 0.0}, "'weight_std' must be > 0, or \"he\""),
        ({"channels": -1}, "'channels' must be >= 0"),
        ({"spectral_norm": -1.0}, "'spectral_norm' must be >= 0"),
    ],
)
def test_impossible_fields_are_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        attrs.evolve(SMALL, **fields)


def test_building_leaves_the_network_ready_to_train():
    network = attrs.evolve(SMALL, normalization="batch").build((1, 16, 16))
    assert all(module.training for module in network.modules())
    assert network.features[3].num_batches_tracked == 0
