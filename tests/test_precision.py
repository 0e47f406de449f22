"""Differences of log p of one unit are right where log p itself is in the millions."""

import pytest
import torch
from torch import Tensor, nn

from coopkit.builtin import FaceDescriptor, ObjectDescriptor
from coopkit.fast import Preparation
from coopkit.precision import CONVOLUTIONS, finest, total, total_of_squares
from coopkit.targets import InferenceTarget, RevisionTarget, exact, frozen

HE = {"weight_std": "he", "last_std": "he"}
STD = 0.016
SHAPE = (3, 64, 64)


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float64), ("mps", torch.float32)])
def test_the_finest_type_is_one_that_the_device_has(device: str, dtype: torch.dtype):
    assert finest(torch.device(device)) == dtype


def test_sums_keep_what_float32_would_round_away():
    x = torch.tensor([[[2.0**25, 1.0]], [[-(2.0**25), 3.0]]])
    assert total(x).tolist() == [2.0**25 + 1, -(2.0**25) + 3]
    root = torch.tensor([[2.0**13, 0.5], [2.0**12 + 1, 1.0]])
    squares = torch.tensor([2.0**26 + 0.25, (2.0**12 + 1) ** 2 + 1], dtype=torch.float64)
    torch.testing.assert_close(total_of_squares(root), squares, rtol=1e-15, atol=0)


def near_and_far(seed: int) -> tuple[Tensor, Tensor]:
    """Return images, and the same with one entry moved so that ‖Y‖²/2s² rises by about 1/4."""
    images = torch.randn(3, *SHAPE) / 2
    images[:, 0, 5, 7] = 0.5
    moved = images.clone()
    moved[:, 0, 5, 7] += STD**2 / 2
    return images, moved


def test_the_reference_measures_small_moves_of_whole_images(seed: int):
    """(0.5 + s²/2)² − 0.5², over 2s²: a quarter, and s²/8."""
    images, moved = near_and_far(seed)
    revision = RevisionTarget(lambda y: 0 * y.flatten(1).sum(1), STD)
    assert (revision.energy(images) > 1e6).all()
    apart = revision.energy(moved) - revision.energy(images)
    torch.testing.assert_close(apart, torch.full_like(apart, 0.25), rtol=1e-4, atol=0)
    both = revision.log_prob_and_score(images)[0] - revision.log_prob_and_score(moved)[0]
    torch.testing.assert_close(both, apart)
    inference = InferenceTarget(lambda x: x, torch.zeros(3, *SHAPE), STD)
    apart = inference.log_prob(images) - inference.log_prob(moved)
    torch.testing.assert_close(apart, torch.full_like(apart, 0.25), rtol=1e-3, atol=0)


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(
    "architecture",
    [
        FaceDescriptor(filters=(8, 8), kernels=(3, 3), strides=(2, 2), channels=5, **HE),
        ObjectDescriptor(filters=(8, 8), kernels=(4, 2), strides=(2, 1), channels=0, **HE),
    ],
)
def test_f_tells_small_moves_of_whole_images_apart(architecture, prepared: bool, seed: int):
    """f of millions, by a shift that cancels; the difference is that of the network in float64."""
    network = architecture.build(SHAPE)
    last = network.top if network.top is not None else network.features[-2]
    torch.nn.init.constant_(last.bias, 1e6 if network.top is not None else 1e3)
    f = Preparation()(network) if prepared else frozen(network)
    images = torch.randn(3, *SHAPE) / 2
    moved = images + (torch.rand_like(images) - 0.5)
    found = f(moved) - f(images)
    network.double()
    exact = f_in_double(network, moved) - f_in_double(network, images)
    assert (f_in_double(network, images).abs() > 1e6).all()
    torch.testing.assert_close(found, exact, rtol=0.01, atol=0.01)


def f_in_double(network: nn.Module, signals: Tensor) -> Tensor:
    """Return f of a built-in network that has been made double, (chains,), layer by layer."""
    units = network.features(signals.double()).flatten(1)
    return (units if network.top is None else network.top(units)).sum(1).detach()


def test_exact_values_have_layers_in_float64_and_derivatives_have_not(seed: int):
    network = FaceDescriptor(filters=(8, 8), kernels=(3, 3), strides=(2, 2), **HE).build(SHAPE)
    images, cast = torch.randn(3, *SHAPE) / 2, Preparation()(network)
    f = exact(network, cast)
    assert torch.equal(f.gradient(images), cast.gradient(images))
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    found = f(images)
    log_prob, score = RevisionTarget(f, STD).log_prob_and_score(images)
    assert torch.equal(score, RevisionTarget(cast, STD).score(images))
    assert not torch.equal(found, cast(images))
    exactly = f_in_double(network.double(), images)
    torch.testing.assert_close(found, exactly, rtol=1e-9, atol=0)
    reference = images.double().square().flatten(1).sum(1) / (2 * STD**2)
    torch.testing.assert_close(log_prob, exactly - reference, rtol=1e-12, atol=0)


def test_log_p_is_of_all_digits_and_scores_are_as_torch_has_them(seed: int):
    seen = []

    def noting(x: Tensor) -> Tensor:
        seen.append(getattr(flags, name))
        return x.flatten(1).sum(1)

    flags, name, full = CONVOLUTIONS
    x, usual = torch.randn(2, 3), getattr(flags, name)
    for target in (RevisionTarget(noting, 1.0), InferenceTarget(noting, torch.zeros(2), 1.0)):
        for ask in (target.log_prob, target.log_prob_and_score, target.score):
            ask(x)
            assert getattr(flags, name) == usual
    assert seen == [full, full, usual] * 2
    assert full != usual
    assert torch.backends.cudnn.allow_tf32  # torch refuses to tell where the two ways were mixed
