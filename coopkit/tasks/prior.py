"""The law that the latents of the data have, in place of N(0, I)."""

import attrs

from coopkit.errors import RunError
from coopkit.starting import Expanded, mean_and_root
from coopkit.tasks.trained import Trained, generator_of


def with_fitted_prior(trained: Trained) -> Trained:
    """Return the run with a generator g(μ + Σ^½ Z), μ and Σ those of the latents of its data.

    Algorithm 2 infers a latent of each example, and these need not have the law N(0, I) that the
    model gives them: g(X), X ~ N(0, I), then draws what no example is like. Taking μ and Σ into the
    generator is a step of parameter-expanded EM (Liu, Rubin and Wu 1998): no g(X) of an example
    changes. If Σ is invertible the family of densities is the same, and the new latents have mean 0
    and covariance I. With no more examples than entries of a latent it is not: Z then moves g only
    within what the latents of the examples span.

    Args:
        trained: from `coopkit.load`, of a run by algorithm "generator".

    Raises:
        RunError: the run keeps no latents of its data, or they have too many entries.
    """
    generator_of(trained)
    if trained.latents is None or trained.generator is None or len(trained.latents) < 2:
        raise RunError(
            "the run keeps no latents of its data to fit a prior to; "
            'runs by algorithm = "generator" do'
        )
    expanded = Expanded(trained.generator, *mean_and_root(trained.latents))
    return attrs.evolve(
        trained, generator=expanded.to(trained.device).eval(), latents=None, fitted_prior=True
    )


__all__ = ["with_fitted_prior"]
