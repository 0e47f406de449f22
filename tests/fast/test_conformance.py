"""Samplers are as right before prepared networks as before frozen ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from coopkit.builtin.langevin import Langevin
from coopkit.fast import Preparation
from coopkit.testing import check_sampler
from coopkit.testing.law import gaussians
from coopkit.testing.structure import scenes


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Let the checks prepare their networks; return those that they prepared."""
    preparation, seen = Preparation(), []

    def prepare(network: nn.Module) -> Callable[[Tensor], Tensor]:
        seen.append(network)
        return preparation(network)

    for module in (scenes, gaussians):
        monkeypatch.setattr(module, "frozen", prepare)
    yield seen
    assert [reason for network in seen if (reason := preparation.reason(network))] == []


@pytest.mark.slow
def test_langevin_passes_every_check_before_prepared_networks(prepared: list[nn.Module]):
    results = check_sampler(Langevin(), profile="quick", seed=1)
    assert [result for result in results if result.status == "failed"] == []
    assert len(prepared) > 20


@pytest.mark.slow
def test_a_wrong_gradient_of_a_prepared_network_is_found_out(
    prepared: list[nn.Module], monkeypatch: pytest.MonkeyPatch
):
    from coopkit.fast.prepared import Prepared

    right = Prepared.gradient
    monkeypatch.setattr(Prepared, "gradient", lambda self, x: 0.5 * right(self, x))
    results = check_sampler(Langevin(), profile="quick", seed=1)
    assert {result.check for result in results if result.status == "failed"}


def test_chains_of_a_texture_are_the_same_to_rounding(seed: int):
    from coopkit.builtin.descriptors import TextureDescriptor
    from coopkit.steps import revise

    network = TextureDescriptor(weight_std="he", last_std="he").build((3, 48, 48))
    start = torch.randn(2, 3, 48, 48)
    ends = [
        revise(network, 0.012, Langevin(), start, 5, torch.Generator().manual_seed(seed), *freeze)
        for freeze in ((), (Preparation(),))
    ]
    plain, fast = (end.revised for end in ends)
    assert torch.dist(plain, fast) <= 5e-5 * plain.norm()
    assert torch.dist(plain, start) > 1e-3 * plain.norm()
