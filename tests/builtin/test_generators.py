"""The generators of the paper's table by the shapes of their layers, and signals of any size."""

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coopkit.builtin import FaceGenerator, ObjectGenerator, SceneGenerator, TextureGenerator

DCGANS = [ObjectGenerator, FaceGenerator, SceneGenerator]
SMALL = {"filters": (6, 4), "latent_size": 5}
sides = st.integers(1, 40)
colours = st.sampled_from([1, 3])


def layers_of(network: nn.Module) -> list[nn.ConvTranspose2d]:
    return [module for module in network.modules() if isinstance(module, nn.ConvTranspose2d)]


def drawn_by(generator, shape, chains=2):
    latents = torch.randn(chains, *generator.latent_shape(shape))
    with torch.no_grad():
        return generator.build(shape)(latents)


def test_the_texture_generator_of_the_paper():
    """From 7×7 latents by five 5×5 layers that up-sample by 2, then tanh; σ = 0.3."""
    generator = TextureGenerator()
    network = generator.build((3, 224, 224))
    assert generator.name == "texture"
    assert generator.noise_std == 0.3
    assert generator.latent_shape((3, 224, 224)) == (1, 7, 7)
    weights = [tuple(layer.weight.shape) for layer in layers_of(network)]
    widths = [1, 512, 256, 128, 64, 3]
    assert weights == [(widths[k], widths[k + 1], 5, 5) for k in range(5)]
    assert {layer.stride for layer in layers_of(network)} == {(2, 2)}
    assert isinstance(network.layers[-1], nn.Tanh)
    with torch.no_grad():
        assert network(torch.randn(1, 1, 7, 7)).shape == (1, 3, 224, 224)


@pytest.mark.parametrize("cls", DCGANS)
def test_dcgan(cls):
    """From a latent vector to 512 channels of 4×4, then four layers that up-sample by 2, tanh."""
    generator = cls()
    network = generator.build((3, 64, 64))
    assert generator.name == cls.__name__.removesuffix("Generator").lower()
    assert generator.latent_shape((3, 64, 64)) == (100,)
    (stem,) = (module for module in network.modules() if isinstance(module, nn.Linear))
    assert tuple(stem.weight.shape) == (512 * 4 * 4, 100)
    weights = [tuple(layer.weight.shape) for layer in layers_of(network)]
    widths = [512, 256, 128, 64, 3]
    assert weights == [(widths[k], widths[k + 1], 5, 5) for k in range(4)]
    assert {layer.stride for layer in layers_of(network)} == {(2, 2)}
    assert isinstance(network.layers[-1], nn.Tanh)
    with torch.no_grad():
        assert network.stem(torch.randn(2, 100)).shape == (2, 512, 4, 4)
        assert network(torch.randn(2, 100)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("cls", [TextureGenerator, ObjectGenerator])
@settings(deadline=None, max_examples=30)
@given(
    height=sides, width=sides, colour=colours,
    how=st.sampled_from(["transposed", "nearest", "bilinear"]),
    kernel=st.integers(2, 6), factor=st.integers(2, 3),
)  # fmt: skip
def test_signals_of_any_height_width_and_colour(cls, height, width, colour, how, kernel, factor):
    if how == "transposed":
        kernel = max(kernel, factor)
    generator = cls(**SMALL, kernel=kernel, factor=factor, upsampling=how)
    shape = (colour, height, width)
    drawn = drawn_by(generator, shape)
    assert drawn.shape == (2, *shape)
    assert drawn.abs().max() <= 1


def seen_by_the_layers(generator, latents, shape=(1, 16, 16)):
    """Return what each layer of a pyramid has of X, which is the last of what it is given."""
    network, seen = generator.build(shape), []
    for layer in network.seeing:
        layer.register_forward_pre_hook(
            lambda _, given: seen.append(given[0][:, -generator.latent_size :])
        )
    with torch.no_grad():
        network(latents)
    return seen


def test_each_layer_of_a_pyramid_sees_standard_normal_latents(seed):
    """As linear maps of X their rows are orthonormal, so that X ~ N(0, I) gives N(0, I)."""
    generator = TextureGenerator(filters=(4, 3), latent_layers=3)
    shape = generator.latent_shape((1, 16, 16))
    assert shape == (1, 8, 8)  # the last of three layers goes from 8 to 16 pixels
    basis = torch.eye(64).reshape(64, *shape)
    seen = [part.flatten(1).T for part in seen_by_the_layers(generator, basis)]
    assert [len(rows) for rows in seen] == [4, 16, 64]
    for rows in seen:
        assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-6)


def test_layers_above_those_that_see_latents_have_what_is_below_alone(seed):
    generator = TextureGenerator(filters=(4, 3), latent_layers=2, latent_size=2)
    network = generator.build((1, 16, 16))
    assert generator.latent_shape((1, 16, 16)) == (2, 4, 4)
    assert [layer.weight.shape[0] for layer in layers_of(network)] == [2, 4 + 2, 3]
    with pytest.raises(ValueError, match="latent_layers is 4, but there are 3 layers"):
        TextureGenerator(filters=(4, 3), latent_layers=4)


def test_what_a_layer_of_a_pyramid_sees_lies_where_it_draws(seed):
    generator = TextureGenerator(filters=(4, 3), latent_layers=3, latent_size=2)
    x = torch.zeros(1, *generator.latent_shape((1, 16, 16)))
    x[0, 1, 5, 2] = 4.0  # the second channel, row 5 and column 2 of 8×8
    coarse, middle, fine = seen_by_the_layers(generator, x)
    assert [(part != 0).nonzero().tolist() for part in (coarse, middle, fine)] == [
        [[0, 1, 1, 0]],
        [[0, 1, 2, 1]],
        [[0, 1, 5, 2]],
    ]
    assert [part.max().item() for part in (coarse, middle, fine)] == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("upsampling", ["transposed", "nearest", "bilinear"])
@settings(deadline=None, max_examples=10)
@given(height=sides, width=sides, margin=st.integers(0, 1), layers=st.integers(2, 3))
def test_a_pyramid_draws_signals_of_any_size(upsampling, height, width, margin, layers):
    generator = TextureGenerator(
        filters=(4, 3), latent_layers=layers, latent_size=2, upsampling=upsampling, margin=margin
    )
    assert drawn_by(generator, (3, height, width)).shape == (2, 3, height, width)


def test_a_pyramid_draws_a_larger_texture_from_a_larger_grid(seed):
    """Away from the border what is drawn depends on the latents near it alone."""
    generator = TextureGenerator(
        filters=(4, 3), latent_layers=3, upsampling="nearest", kernel=3, normalization="none"
    )
    small, large = generator.build((1, 32, 32)), generator.build((1, 64, 64))
    large.load_state_dict(small.state_dict())
    x = torch.randn(2, *generator.latent_shape((1, 64, 64)))
    with torch.no_grad():
        part, whole = small(x[:, :, 8:24, 8:24]), large(x)
    assert torch.allclose(part[:, :, 12:20, 12:20], whole[:, :, 28:36, 28:36], atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_a_larger_latent_grid_gives_a_larger_texture(rows, columns):
    network = TextureGenerator(filters=(4, 3)).build((1, 16, 16))
    assert network(torch.randn(2, 1, rows, columns)).shape == (2, 1, 8 * rows, 8 * columns)


def test_what_is_drawn_beyond_the_signal_is_cut_off_evenly(seed):
    whole, part = TextureGenerator(filters=(4, 3)), TextureGenerator(filters=(4, 3))
    networks = whole.build((1, 16, 16)), part.build((1, 12, 14))
    networks[1].load_state_dict(networks[0].state_dict())
    x = torch.randn(2, 1, 2, 2)
    assert torch.equal(networks[1](x), networks[0](x)[:, :, 2:14, 1:15])


def test_a_margin_draws_a_cell_more_on_every_side_and_cuts_it_off(seed):
    wide, narrow = TextureGenerator(filters=(4, 3), margin=1), TextureGenerator(filters=(4, 3))
    assert wide.latent_shape((1, 16, 12)) == (1, 4, 4)  # 12 rounds up to two cells of 8
    networks = wide.build((1, 16, 16)), narrow.build((1, 32, 32))
    networks[1].load_state_dict(networks[0].state_dict())
    x = torch.randn(2, 1, 4, 4)
    assert torch.equal(networks[0](x), networks[1](x)[:, :, 8:24, 8:24])


@pytest.mark.parametrize("cls", [TextureGenerator, ObjectGenerator])
def test_signals_lie_within_the_range_of_tanh_and_reach_it(cls, seed):
    drawn = drawn_by(cls(**SMALL, last_std=5.0), (1, 16, 16), chains=20)
    assert 0.99 < drawn.max() <= 1
    assert -0.99 > drawn.min() >= -1


@pytest.mark.parametrize("cls", [TextureGenerator, ObjectGenerator])
@pytest.mark.parametrize(
    ("normalization", "kind"),
    [("instance", nn.InstanceNorm2d), ("layer", nn.GroupNorm), ("batch", nn.BatchNorm2d)],
)
def test_normalization_precedes_every_nonlinearity(cls, normalization, kind):
    network = cls(**SMALL, normalization=normalization).build((1, 32, 32))
    layers = [module for module in network.modules() if not list(module.children())]
    before = [layers[k - 1] for k, layer in enumerate(layers) if isinstance(layer, nn.LeakyReLU)]
    assert [type(layer) for layer in before] == [kind, kind]
    assert network(torch.randn(2, *cls(**SMALL).latent_shape((1, 32, 32)))).shape[1:] == (1, 32, 32)


def test_no_normalization_leaves_none(seed):
    network = ObjectGenerator(**SMALL, normalization="none").build((1, 16, 16))
    kinds = {type(module).__name__ for module in network.modules()}
    assert not any("Norm" in kind for kind in kinds)


@pytest.mark.parametrize("normalization", ["none", "instance", "layer"])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_chains_are_independent_even_in_training_mode(normalization, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TextureGenerator(filters=(6, 4), normalization=normalization).build((1, 16, 16))
        x = torch.randn(3, 1, 2, 2)
    changed = torch.cat([x[:2], 100 * x[2:]])
    assert torch.equal(network(x)[:2], network(changed)[:2])


@pytest.mark.parametrize("how", ["transposed", "nearest", "bilinear"])
def test_he_weights_keep_the_scale_of_the_signal(how, seed):
    """Standard deviation √(2 / inputs that one output sums), within 6 standard errors.

    A transposed convolution spreads each filter over factor² outputs.
    """
    generator = TextureGenerator(latent_size=64, filters=(64,), upsampling=how, kernel=4)
    layer = generator.build((1, 64, 64)).layers[0]
    weights = layer if how == "transposed" else layer[1]
    inputs = 64 * 4 * 4 / (4 if how == "transposed" else 1)
    std = (2 / inputs) ** 0.5
    assert abs(weights.weight.std().item() - std) < 6 * std / (2 * weights.weight.numel()) ** 0.5
    assert not weights.bias.any()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"factor": 3, "kernel": 2}, "kernel 2 must be at least the factor 3"),
        ({"factor": 1}, "'factor' must be >= 2"),
        ({"noise_std": 0.0}, "'noise_std' must be > 0"),
        ({"latent_size": 0}, "'latent_size' must be >= 1"),
        ({"filters": ()}, "'filters' must be a list of whole numbers from 1 up"),
        ({"last_std": -1.0}, "'last_std' must be > 0, or \"he\""),
    ],
)
def test_impossible_fields_are_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        ObjectGenerator(**fields)


def test_instance_normalization_of_a_single_position_is_refused():
    with pytest.raises(ValueError, match="signals of 1 x 16 x 16 leave 'instance' normalization"):
        ObjectGenerator(normalization="instance").build((1, 16, 16))


def test_a_field_may_be_changed_without_losing_the_others():
    generator = attrs.evolve(TextureGenerator(), filters=(8, 4))
    assert generator.latent_shape((3, 40, 17)) == (1, 5, 3)


def test_a_linear_map_is_added_to_what_the_layers_draw(seed):
    """g(X) = network(X) + W X + b, which begin at zero."""
    plain, linear = ObjectGenerator(**SMALL), ObjectGenerator(**SMALL, linear=True)
    networks = []
    for generator in (plain, linear):
        torch.manual_seed(3)
        networks.append(generator.build((3, 16, 12)).eval())
    x = torch.randn(2, 5)
    with torch.no_grad():
        drawn = networks[0](x)
        assert torch.equal(networks[1](x), drawn)
        weight, bias = networks[1].linear.weight, networks[1].linear.bias
        nn.init.normal_(weight)
        nn.init.normal_(bias)
        by_hand = drawn + torch.einsum("nk,chwk->nchw", x, weight.reshape(3, 16, 12, 5))
        torch.testing.assert_close(networks[1](x), by_hand + bias.reshape(3, 16, 12))
