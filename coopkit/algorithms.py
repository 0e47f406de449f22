"""Algorithms 1, 2 and 3 of the paper, each one iteration at a time.

An algorithm is told the settings of an iteration, is given observed examples, and returns what it
drew and measured. What it must remember between iterations (persistent chains or latents) is in
`memory`, which checkpoints save.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
from torch import Tensor, nn

from coopkit.interfaces import Kept, Shape
from coopkit.iterations import Batch, Iteration, Learner, Settings, Streams
from coopkit.keeping import recall, recall_rows, remember, remember_rows
from coopkit.measures import distance, spread
from coopkit.precision import total_of_squares
from coopkit.steps import (
    Reconstruction,
    generate,
    infer,
    reconstruct,
    revise,
    shift_density,
)
from coopkit.targets import RevisionTarget, squared_norm


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
        memory: "chains", the Ỹ_i of the last iteration, (chains, ...), and what the sampler keeps.
    """

    descriptor: Learner
    streams: Streams
    memory: dict[str, Tensor]

    def iterate(self, batch: Batch, settings: Settings) -> Iteration:
        """D1: revise the chains from where they were left. D2: shift the density."""
        chains = self.memory["chains"]
        assert settings.revision is not None
        revision = revise(
            self.descriptor.frozen(),
            self.descriptor.std,
            settings.revision,
            chains,
            settings.revision_steps,
            self.streams.revision,
            recall(self.memory, "revision"),
        )
        revised = revision.revised
        figures = shift(self.descriptor, batch.signals, chains, revised, settings)
        figures |= told("revision", revision.figures)
        self.memory["chains"] = revised.contiguous()
        remember(self.memory, "revision", revision.kept)
        return Iteration(batch.signals, figures, initial=chains, revised=revised)


@attrs.define(eq=False)
class GeneratorAlgorithm:
    """Algorithm 2: the generator alone, by alternating back-propagation.

    Attributes:
        generator: the learner of g.
        streams: of randomness.
        memory: "latents", one X_i for each example of the data set, (examples, ...), and what the
            sampler keeps of each.
        share: brings together what several processes inferred; identity for one.
    """

    generator: Learner
    streams: Streams
    memory: dict[str, Tensor]
    share: Callable[[Tensor], Tensor] = attrs.field(default=lambda x: x)

    def iterate(self, batch: Batch, settings: Settings) -> Iteration:
        """G1: infer the latents of the examples from where they were left. G2: reconstruct."""
        assert settings.inference is not None
        memory, places, share = self.memory, batch.places, self.share
        inference = infer(
            self.generator.frozen(),
            self.generator.std,
            settings.inference,
            memory["latents"][places],
            batch.signals,
            settings.inference_steps,
            self.streams.inference,
            recall_rows(memory, "inference", places),
        )
        latents = inference.latents
        learnt, figures = learn(self.generator, latents, batch.signals, settings, "observed")
        figures["latent_norm"] = squared_norm(latents).mean().sqrt()
        figures |= told("inference", inference.figures)
        examples = len(memory["latents"])
        memory["latents"][share(places)] = share(latents)
        if settings.inference_steps > 0:
            remember_rows(memory, "inference", inference.kept, places, examples, share)
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
        memory: what the samplers have tuned; every iteration drafts anew.
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
            generator.freeze(generator.network), shape, self.chains, std, streams.draft
        )
        revision = revise(
            descriptor.frozen(),
            descriptor.std,
            settings.revision,
            draft.initial,
            settings.revision_steps,
            streams.revision,
            recall(self.memory, "revision"),
        )
        self.tune("revision", revision.kept)
        revised, latents = revision.revised, draft.latents
        own = told("revision", revision.figures)
        if settings.inference_steps > 0:
            assert settings.inference is not None
            inference = infer(
                generator.frozen(),
                generator.std,
                settings.inference,
                latents,
                revised,
                settings.inference_steps,
                streams.inference,
                recall(self.memory, "inference"),
            )
            self.tune("inference", inference.kept)
            latents = inference.latents
            own |= told("inference", inference.figures)
        figures = shift(descriptor, batch.signals, draft.initial, revised, settings)
        learnt, learning = learn(generator, latents, revised, settings, "revised")
        figures |= learning | own
        return Iteration(
            batch.signals, figures, draft.initial, revised, latents, learnt.reconstructed
        )

    def tune(self, purpose: str, kept: Kept | None) -> None:
        """Remember what a sampler has tuned; its chains end with the iteration."""
        remember(self.memory, purpose, Kept(tuned=kept.tuned) if kept else None)


def told(purpose: str, figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a sampler's own figures under names that say which sampler's."""
    return {f"{purpose}.{name}": value for name, value in figures.items()}


def shift(
    descriptor: Learner, observed: Tensor, initial: Tensor, revised: Tensor, settings: Settings
) -> dict[str, Tensor]:
    """D2, with the energies (25) before it, what drives it, and how far D1 moved.

    Where the settings ask for it, ‖Y/s² − ∂f/∂Y‖ of S2 as well, equation (26). All energies are by
    layers in float32, also where samplers are given finer ones.
    """
    target = RevisionTarget(attrs.evolve(descriptor, exact=False).frozen(), descriptor.std)
    figures = {"energy_initial": target.energy(initial).mean()}
    if settings.residual:
        figures["autoencoder_residual"] = squared_norm(target.score(revised)).sqrt().mean()
    moved = shift_density(
        descriptor.trained,
        descriptor.optimizer,
        observed,
        revised,
        descriptor.backward,
        settings.score_penalty,
        descriptor.std,
    )
    twice = 2 * descriptor.std**2
    real, drawn = (total_of_squares(x).mean() / twice for x in (observed, revised))
    figures["energy_observed"] = real - moved.f_observed
    figures["energy_revised"] = drawn - moved.f_revised
    figures["f_observed_minus_revised"] = moved.f_observed - moved.f_revised
    figures["revised_minus_initial"] = distance(revised, initial)
    if min(len(observed), len(revised)) > 1:
        figures["diversity"] = spread(revised) / spread(observed).clamp(min=1e-6)
    figures["descriptor_gradient_norm"] = moved.gradient_norm
    if moved.penalty is not None:
        figures["score_penalty"] = moved.penalty
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
