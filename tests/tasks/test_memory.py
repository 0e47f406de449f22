"""What is held at a time: signals of a batch of chains, but where all chains are returned."""

from typing import Any

import pytest
import torch
from tasks.linear import SHAPE, linear_pair
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coopkit.tasks.complete import CompletionSettings, complete
from coopkit.tasks.infer import InferenceSettings, infer_latents
from coopkit.tasks.inpaint import InpaintingSettings, inpaint
from coopkit.tasks.masks import square_holes
from coopkit.tasks.reconstruct import reconstruct

IMAGES, CHAINS, BATCH = 3, 40, 6
PIXELS = 20


class Largest(TorchDispatchMode):
    """Keeps the largest storage that an operation returns, by type, in entries."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[torch.dtype, int] = {}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = op(*args, **(kwargs or {}))
        for x in tree_leaves(returned):
            if isinstance(x, Tensor):
                entries = x.untyped_storage().nbytes() // x.element_size()
                self.found[x.dtype] = max(self.found.get(x.dtype, 0), entries)
        return returned


@pytest.fixture
def signals() -> Tensor:
    return torch.randn((IMAGES, *SHAPE), generator=torch.Generator().manual_seed(3)) / 3


@pytest.fixture
def holes() -> Tensor:
    return square_holes(IMAGES, 2, SHAPE, 1)


@pytest.mark.parametrize("how", [{"steps": 2}, {"steps": 0, "ascent": 2}])
def test_inference_and_reconstruction_hold_a_batch(signals: Tensor, how: dict[str, int]):
    """The latents of all chains are smaller, and returned."""
    pair, settings = linear_pair(), InferenceSettings(chains=CHAINS, batch=BATCH, **how)
    for task in (infer_latents, reconstruct):
        with Largest() as largest:
            task(pair, signals, settings)
        assert largest.found[torch.float32] <= IMAGES * CHAINS * 3 < IMAGES * CHAINS * PIXELS


def test_inpainting_carries_a_batch_in_double_precision(signals: Tensor, holes: Tensor):
    inference = InferenceSettings(steps=2, chains=CHAINS, batch=BATCH)
    pair = linear_pair()
    with Largest() as largest:
        inpaint(pair, signals, holes, InpaintingSettings(inference=inference, blend=True))
    assert largest.found[torch.float64] <= max(BATCH * PIXELS, IMAGES * CHAINS)
    assert largest.found[torch.bool] <= BATCH * PIXELS
    assert largest.found[torch.float32] == IMAGES * CHAINS * PIXELS


def test_completion_holds_the_holes_of_a_batch(signals: Tensor, holes: Tensor):
    settings = CompletionSettings(steps=2, chains=CHAINS, batch=BATCH)
    pair = linear_pair()
    with Largest() as largest:
        complete(pair, signals, holes, settings)
    assert largest.found[torch.bool] <= BATCH * PIXELS
    assert largest.found[torch.float32] == IMAGES * CHAINS * PIXELS
