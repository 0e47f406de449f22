"""What the checks of structure put before a sampler: small targets, starts and seeds."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from coopkit.interfaces import Sampler, Target
from coopkit.sampling import run_chains
from coopkit.targets import InferenceTarget, RevisionTarget, frozen
from coopkit.testing.strategies.targets import (
    DTYPES,
    SEEDS,
    DrawnDescriptor,
    chain_batches,
    descriptors,
    linear_generators,
    signal_shapes,
)
from coopkit.testing.structure.noise import OwnNoise

FLOAT32 = st.just(torch.float32)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@attrs.frozen(eq=False)
class Scene:
    """Chains before a target.

    Attributes:
        target: what the sampler sees; its chains are those of `start`.
        start: where they start, (chains, ...).
        steps: how many to take, 1 or more.
        seed: of the noise.
        network: that the target is made of, if any.
    """

    target: Target
    start: Tensor
    steps: int
    seed: int
    network: nn.Module | None = None

    def __repr__(self) -> str:
        """Say what matters of a counter-example."""
        kind = layers(self.network) if self.network else "a Gaussian of independent entries"
        values = self.start.tolist() if self.start.numel() < 9 else "..."
        shape, dtype = tuple(self.start.shape), str(self.start.dtype).removeprefix("torch.")
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        return f"{steps} from {values}, {shape} {dtype}, on {kind}, seed {self.seed}"

    def stream(self, seed: int | None = None) -> torch.Generator:
        """Return the stream of the noise, or another."""
        device = self.start.device
        return torch.Generator(device).manual_seed(self.seed if seed is None else seed)

    def walk(
        self,
        sampler: Sampler[Any],
        start: Tensor | None = None,
        chains: list[int] | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Return where the chains stand after the steps.

        Args:
            sampler: what moves them.
            start: another start.
            chains: which chains the rows are; each has noise of its own then.
            seed: of other noise.
        """
        start = self.start if start is None else start
        with self.noise_of(chains, start):
            state = sampler.init(self.target, start)
            end = run_chains(sampler, self.target, state, self.steps, self.stream(seed))
        position: Tensor = end.position
        return position

    def noise_of(self, chains: list[int] | None, start: Tensor) -> AbstractContextManager[object]:
        """Return what gives each chain noise of its own while it is entered, if they are named."""
        if chains is None:
            return nullcontext()
        return OwnNoise(self.seed, chains, start.device, start.shape[1:])

    def mask(self) -> Tensor:
        """Return which half of the entries is free, drawn from a stream of its own."""
        rng = self.stream(self.seed + 1)
        return torch.rand(self.start.shape, generator=rng, device=rng.device) < 0.5


def layers(network: nn.Module) -> str:
    """Return the layers of a network in words."""
    parts = list(network.children()) or [network]
    return " + ".join(type(part).__name__ for part in parts)


def elementwise(start: Tensor, reference_std: float) -> Target:
    """Return a Gaussian of independent entries, of any shape: precisions 1 to 2 and 1/s²."""
    shape = start.shape[1:]
    slope = torch.linspace(-1, 1, max(1, shape.numel()), dtype=start.dtype).reshape(shape)
    slope = slope.to(start.device)

    def f(y: Tensor) -> Tensor:
        value: Tensor = slope * y - (1.5 + slope / 2) * y * y / 2
        return value.reshape(len(y), -1).sum(1)

    return RevisionTarget(f, reference_std)


@st.composite
def elementwise_scenes(
    draw: st.DrawFn, min_chains: int = 1, dtypes: st.SearchStrategy[torch.dtype] = DTYPES
) -> Scene:
    """Draw scenes of a Gaussian of independent entries, 1 to 5 dimensions."""
    batch = draw(chain_batches(st.integers(min_chains, 5), signal_shapes(), dtypes))
    batch = batch.to(draw(st.sampled_from(DEVICES)))
    target = elementwise(batch, draw(st.sampled_from([1.0, 0.5, float("inf")])))
    return Scene(target, batch, draw(st.integers(1, 4)), draw(SEEDS))


@st.composite
def descriptor_scenes(
    draw: st.DrawFn, min_chains: int = 1, dtypes: st.SearchStrategy[torch.dtype] = FLOAT32
) -> Scene:
    """Draw scenes before a network, frozen as in training, that may have batch normalisation."""
    drawn: DrawnDescriptor = draw(descriptors())
    shape = drawn.signal_shape
    start = draw(chain_batches(st.integers(min_chains, 5), st.just(shape), dtypes))
    network = drawn.network.to(start.dtype)
    target = RevisionTarget(frozen(network), drawn.reference_std)
    return Scene(target, start, draw(st.integers(1, 4)), draw(SEEDS), network)


@st.composite
def posterior_scenes(
    draw: st.DrawFn, min_chains: int = 1, dtypes: st.SearchStrategy[torch.dtype] = FLOAT32
) -> Scene:
    """Draw scenes of inference: latents of a linear generator, one signal for all chains."""
    drawn = draw(linear_generators())
    height, width = drawn.weight.shape
    start = draw(chain_batches(st.integers(min_chains, 5), st.just((width,)), dtypes))
    seed = draw(SEEDS)
    rng = torch.Generator().manual_seed(seed)
    signals = torch.randn(1, height, generator=rng, dtype=start.dtype)
    network = drawn.network.to(start.dtype)
    target = InferenceTarget(frozen(network), signals, drawn.noise_std)
    return Scene(target, start, draw(st.integers(1, 4)), seed, network)


def scenes() -> st.SearchStrategy[Scene]:
    """Return a strategy for every kind of scene."""
    return st.one_of(elementwise_scenes(), descriptor_scenes(), posterior_scenes())


def companies() -> st.SearchStrategy[Scene]:
    """Return a strategy for scenes of three chains and more, in float64."""
    double = st.just(torch.float64)
    return st.one_of(
        elementwise_scenes(3, double), descriptor_scenes(3, double), posterior_scenes(3, double)
    )


__all__ = ["Scene", "companies", "descriptor_scenes", "elementwise_scenes", "scenes"]
