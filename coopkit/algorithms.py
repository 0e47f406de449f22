"""Algorithms 1, 2 and 3 of the paper, each one iteration at a time.

An algorithm is told the settings of an iteration, is given observed examples, and returns what it
drew and measured. What it must remember between iterations (persistent chains or latents) is in
`memory`, which checkpoints save.
"""

from collections.abc import Callable
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from coopkit.interfaces import Sampler, Shape
from coopkit.measures import distance, spread
from coopkit.steps import (
    Backward,
    Reconstruction,
    generate,
    infer,
    reconstruct,
    revise,
    shift_density,
)
from coopkit.targets import Freeze, RevisionTarget, frozen, squared_norm


@attrs.frozen(eq=False)
class Learner:
    """A network, the optimiser that moves it, and the standard deviation of its Gaussian.

    Attributes:
        network: f or g.
        optimizer: of the network's parameters.
        std: s of a descriptor, σ of a generator, in the units of the signal.
        trained: the network as the updates call it, where that is not the network itself (wrapped
            for several devices).
        backward: how to accumulate gradients; the engine's own under mixed precision.
        freeze: turns the network into a function of its input alone, for chains.
    """

    network: nn.Module
    optimizer: Optimizer
    std: float
    trained: nn.Module = attrs.field(
        default=attrs.Factory(lambda self: self.network, takes_self=True)
    )
    backward: Backward = Tensor.backward
    freeze: Freeze = frozen


@attrs.frozen
class Settings:
    """The numbers of one iteration, after all schedules.

    Attributes:
        revision: the sampler of D1.
        revision_steps: l_D.
        inference: the sampler of G1.
        inference_steps: l_G.
        draft_noise_std: standard deviation of ε in G0, in the units of the signal.
        updates: how many times G2 is done.
        residual: whether to measure the auto-encoder residual (26) of S2.
        shown: of how many chains S3 is drawn, the first ones; None for all.
    """

    revision: Sampler[Any] | None = None
    revision_steps: int = 0
    inference: Sampler[Any] | None = None
    inference_steps: int = 0
    draft_noise_std: float = 0.0
    updates: int = 1
    residual: bool = False
    shown: int | None = None


@attrs.frozen
class Streams:
    """The sources of randomness of a run, one for each purpose, on the device of the chains."""

    draft: torch.Generator
    revision: torch.Generator
    inference: torch.Generator


@attrs.frozen(eq=False)
class Batch:
    """Observed examples Y_i, (n, ...), and their places in the data set, (n,)."""

    signals: Tensor
    places: Tensor


@attrs.frozen(eq=False)
class Iteration:
    """What one learning iteration drew and measured.

    Attributes:
        observed: Y_i.
        figures: scalar tensors by name.
        initial: S1, Ŷ; the chains before revision in Algorithm 1; None in Algorithm 2.
        revised: S2, Ỹ; None in Algorithm 2.
        latents: X, drafted or inferred; None in Algorithm 1.
        reconstructed: S3, g(X) after the update of the chains that are shown; None in Algorithm 1.
    """

    observed: Tensor
    figures: dict[str, Tensor]
    initial: Tensor | None = None
    revised: Tensor | None = None
    latents: Tensor | None = None
    reconstructed: Tensor | None = None


class Algorithm(Protocol):
    """One of the three algorithms."""

    memory: dict[str, Tensor]

    def iterate(self, batch: Batch, settings: Settings) -> Iteration:
        """Do one learning iteration."""


@attrs.define(eq=False)
class DescriptorAlgorithm:
    """Algorithm 1: the descriptor alone, by persistent chains.

    Attributes:
        descriptor: the learner of f.
        streams: of randomness.
        memory: "chains", the Ỹ_i of the last iteration, (chains, ...).
    """

    descriptor: Learner
    streams: Streams
    memory: dict[str, Tensor]

    def iterate(self, batch: Batch, settings: Settings) -> Iteration:
        """D1: revise the chains from where they were left. D2: shift the density."""
        chains = self.memory["chains"]
        assert settings.revision is not None
        revised = revise(
            self.descriptor.network,
            self.descriptor.std,
            settings.revision,
            chains,
            settings.revision_steps,
            self.streams.revision,
            self.descriptor.freeze,
        ).revised
        figures = shift(self.descriptor, batch.signals, chains, revised, settings.residual)
        self.memory["chains"] = revised
        return Iteration(batch.signals, figures, initial=chains, revised=revised)


@attrs.define(eq=False)
class GeneratorAlgorithm:
    """Algorithm 2: the generator alone, by alternating back-propagation.

    Attributes:
        generator: the learner of g.
        streams: of randomness.
        memory: "latents", one X_i for each example of the data set, (examples, ...).
        share: brings together what several processes inferred; identity for one.
    """

    generator: Learner
    streams: Streams
    memory: dict[str, Tensor]
    share: Callable[[Tensor], Tensor] = attrs.field(default=lambda x: x)

    def iterate(self, batch: Batch, settings: Settings) -> Iteration:
        """G1: infer the latents of the examples from where they were left. G2: reconstruct."""
        assert settings.inference is not None
        latents = infer(
            self.generator.network,
            self.generator.std,
            settings.inference,
            self.memory["latents"][batch.places],
            batch.signals,
            settings.inference_steps,
            self.streams.inference,
            self.generator.freeze,
        ).latents
        learnt, figures = learn(self.generator, latents, batch.signals, settings, "observed")
        figures["latent_norm"] = squared_norm(latents).mean().sqrt()
        self.memory["latents"][self.share(batch.places)] = self.share(latents)
        return Iteration(
            batch.signals, figures, latents=latents, reconstructed=learnt.reconstructed
        )


@attrs.define(eq=False)
class CooperativeAlgorithm:
    """Algorithm 3: both, each giving the other what its own training lacks.

    Attributes:
        descriptor: the learner of f.
        generator: the learner of g.
        latent_shape: of one X.
        chains: how many drafts an iteration makes.
        streams: of randomness.
        memory: empty: every iteration drafts anew.
    """

    descriptor: Learner
    generator: Learner
    latent_shape: Shape
    chains: int
    streams: Streams
    memory: dict[str, Tensor] = attrs.field(factory=dict)

    def iterate(self, batch: Batch, settings: Settings) -> Iteration:
        """G0: draft S1. D1: revise to S2. G1: infer. D2: shift the density. G2: reconstruct S3."""
        descriptor, generator, streams = self.descriptor, self.generator, self.streams
        assert settings.revision is not None
        shape, std = self.latent_shape, settings.draft_noise_std
        draft = generate(
            generator.network, shape, self.chains, std, streams.draft, generator.freeze
        )
        revised = revise(
            descriptor.network,
            descriptor.std,
            settings.revision,
            draft.initial,
            settings.revision_steps,
            streams.revision,
            descriptor.freeze,
        ).revised
        latents = draft.latents
        if settings.inference_steps > 0:
            assert settings.inference is not None
            latents = infer(
                generator.network,
                generator.std,
                settings.inference,
                latents,
                revised,
                settings.inference_steps,
                streams.inference,
                generator.freeze,
            ).latents
        figures = shift(descriptor, batch.signals, draft.initial, revised, settings.residual)
        learnt, learning = learn(generator, latents, revised, settings, "revised")
        figures |= learning
        return Iteration(
            batch.signals, figures, draft.initial, revised, latents, learnt.reconstructed
        )


def shift(
    descriptor: Learner, observed: Tensor, initial: Tensor, revised: Tensor, residual: bool
) -> dict[str, Tensor]:
    """D2, with the energies (25) before it, what drives it, and how far D1 moved.

    With `residual`, ‖Y/s² − ∂f/∂Y‖ of S2 as well, equation (26).
    """
    target = RevisionTarget(descriptor.freeze(descriptor.network), descriptor.std)
    figures = {"energy_initial": target.energy(initial).mean()}
    if residual:
        figures["autoencoder_residual"] = squared_norm(target.score(revised)).sqrt().mean()
    moved = shift_density(
        descriptor.trained, descriptor.optimizer, observed, revised, descriptor.backward
    )
    variance = descriptor.std**2
    figures["energy_observed"] = squared_norm(observed).mean() / (2 * variance) - moved.f_observed
    figures["energy_revised"] = squared_norm(revised).mean() / (2 * variance) - moved.f_revised
    figures["f_observed_minus_revised"] = moved.f_observed - moved.f_revised
    figures["revised_minus_initial"] = distance(revised, initial)
    if min(len(observed), len(revised)) > 1:
        figures["diversity"] = spread(revised) / spread(observed).clamp(min=1e-6)
    figures["descriptor_gradient_norm"] = moved.gradient_norm
    return figures


def learn(
    generator: Learner, latents: Tensor, signals: Tensor, settings: Settings, of: str
) -> tuple[Reconstruction, dict[str, Tensor]]:
    """G2, as often as the settings say, with S3 of the chains that are shown and its distance."""

    def shown(network: nn.Module) -> Callable[[Tensor], Tensor]:
        drawn = generator.freeze(network)
        return lambda x: drawn(x[: settings.shown])

    learnt = reconstruct(
        generator.trained,
        generator.optimizer,
        latents,
        signals,
        generator.std,
        settings.updates,
        generator.backward,
        shown,
    )
    apart = distance(learnt.reconstructed, signals[: settings.shown])
    norm = learnt.gradient_norm
    return learnt, {f"reconstructed_minus_{of}": apart, "generator_gradient_norm": norm}
