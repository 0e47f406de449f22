"""When a run has diverged or stands still, and what to try then."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

ADVICE = {
    "descriptor": "The descriptor has become too strong for its chains: try a smaller "
    "descriptor.optimizer.lr or cap, a smaller revision.step_size, or a shift.score_penalty.",
    "generator": "Try a smaller generator.optimizer.lr or cap, a smaller inference.step_size, or "
    "a larger generator.noise_std.",
    "start": "Try a smaller generator.start.optimizer.lr or cap, a smaller "
    "generator.start.inference.step_size, or a larger generator.noise_std.",
    "cooperative": "The descriptor has become too strong for its chains: try a smaller "
    "descriptor.optimizer.lr or cap, a smaller revision.step_size, a shift.score_penalty, or more "
    "reconstruction.updates.",
}
"""What to try when a run of an algorithm diverges, or one that [generator.start] has come first."""

FIRST = (
    "The descriptor has learnt nothing yet: try a smaller revision.step_size; coopkit check {} "
    "says whether the sampler is right."
)
"""What to try when a revision of the first iteration diverges."""

UNLEARNT = {
    "energy_initial": "This run has learnt nothing yet: g of [generator], as it began, or f of "
    "[descriptor] gives what is not finite. Look at its layers and its initial weights.",
    "energy_observed": "Nothing has been learnt yet: f of [descriptor] is not finite by itself at "
    "the images, or joins them, by a batch normalisation, with revised signals that are not. Look "
    "at its layers and its initial weights.",
}
"""What to try when a figure of networks that have learnt nothing is not finite."""

PURPOSES = ("revision", "inference")
"""Tables of a recipe that name a sampler, and how the names of its own figures begin."""

OWN = (
    "It is a figure that the sampler {0} tells of itself, which must be finite: coopkit check {0}."
)
"""What to try when a figure of a sampler's own is not finite."""

MOVED = "revised_minus_initial"
"""The figure that says how far D1 moves."""

REVISED = {MOVED, "energy_revised", "autoencoder_residual"}
"""The figures of S2."""

STANDSTILL = (
    "For {} iterations no chain of revision.sampler has moved: its proposals were all rejected, "
    "its trajectories are longer than revision.steps, or its steps are too small. Try another "
    "revision.step_size, a sampler's warm-up, which finds one (revision.warmup), or more "
    "revision.steps."
)
STILL, STILL_CHAINS = 20, 200
"""Iterations in a row, and these times chains, without a move after which a run is given up: f
grows by drafts that nothing revises."""

RECONSTRUCTED = {"reconstructed_minus_observed", "reconstructed_minus_revised"}
"""The figures that say how far g(X) is from what it learns."""

AWAY = 20
"""Iterations in a row that these may be larger than images are apart, once they were smaller."""

RANGE = 2.0
"""How far two images in [−1, 1] are apart in an entry, at most."""


@attrs.define
class Patience:
    """Iterations in a row after which a run is given up, counted since it was taken up.

    Attributes:
        still: without a move in D1.
        away: in which g(X) was farther from its signals than any two images are; None before it was
            nearer, for a generator may begin anywhere.
    """

    still: int = 0
    away: int | None = None

    def lost(
        self, figures: Mapping[str, float], revises: bool, chains: int, reference_std: float
    ) -> tuple[str, float, str] | None:
        """Count an iteration; return a figure, its value, and what to try, where all is lost.

        Args:
            figures: of the iteration.
            revises: whether D1 had steps to move chains by.
            chains: of D1.
            reference_std: s, in the units of the signal; infinity where there is no descriptor.
        """
        self.still = self.still + 1 if revises and figures.get(MOVED) == 0 else 0
        if stands_still(self.still, chains):
            return MOVED, 0.0, STANDSTILL.format(self.still)
        for name in RECONSTRUCTED & figures.keys():
            if figures[name] <= RANGE + 2 * spread_of(reference_std):
                self.away = 0
            elif self.away is not None:
                self.away += 1
            if self.away == AWAY:
                return name, figures[name], ""
        return None


def advice_for(
    key: str, iteration: int, quantity: str, value: float, samplers: Mapping[str, str]
) -> str:
    """Return what to try.

    Args:
        key: of `ADVICE`.
        iteration: in which a run diverged, from 1.
        quantity: the figure that says so.
        value: its value.
        samplers: their names, by "revision" of D1 and "inference" of G1, where there are such.
    """
    purpose = quantity.partition(".")[0]
    if purpose != quantity and purpose in samplers:
        return OWN.format(samplers[purpose])
    if iteration == 1 and quantity in UNLEARNT:
        return UNLEARNT[quantity]
    if iteration == 1 and "revision" in samplers and quantity in REVISED:
        return FIRST.format(samplers["revision"])
    if quantity in RECONSTRUCTED and key != "start":
        key = "generator"
    reason = "No two images are so far apart. " if math.isfinite(value) else ""
    return f"{reason}{ADVICE[key]}"


def too_far(name: str, value: float, reference_std: float) -> bool:
    """Whether a figure is the distance of S2 from S1, and larger than that of any two images.

    f has then become so steep that each step leads out of the images; it does not come back. It is
    a mean over all chains, and of one revision: chains that go astray slowly are not seen.

    Args:
        name: of the figure.
        value: a mean absolute difference per entry, in the units of the signal.
        reference_std: s, in these units; draws of N(0, s²I) are 1.13 s apart.
    """
    return name == MOVED and value > RANGE + 2 * spread_of(reference_std)


def stands_still(iterations: int, chains: int) -> bool:
    """Whether so many chains have stood still for so many iterations that they will go on to."""
    return iterations >= STILL and iterations * chains >= STILL_CHAINS


def spread_of(reference_std: float) -> float:
    """Return s, or 0 where there is no reference, which is s = ∞."""
    return reference_std if reference_std < math.inf else 0.0


def what_is_left(checkpoints: Sequence[Path]) -> str:
    """Say what there is to go on with."""
    if not checkpoints:
        return "No checkpoint was made."
    return (
        f"The last checkpoint is {checkpoints[-1]}; metrics.jsonl shows whether the run was still "
        "sound there. With other settings it begins anew."
    )
