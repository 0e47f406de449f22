"""Targets whose law is known: exact draws, and a map to the standard normal.

Every law is a one-to-one image of N(0, I), and `scores` is the way back, so that the same
statistics serve a Gaussian, a skewed law and a heavy tail.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from scipy import special, stats
from torch import Tensor, nn

from coopkit.interfaces import Target


class Law(Protocol):
    """A target for a sampler, and what is known of its law."""

    @property
    def target(self) -> Target:
        """What the sampler sees."""

    @property
    def scale(self) -> float:
        """The smallest standard deviation, to which a step size is compared."""

    def draw(self, chains: int, rng: torch.Generator) -> Tensor:
        """Return exact draws, float32, of the shape of a position."""

    def scores(self, x: Tensor) -> Tensor:
        """Return what is N(0, I) when x follows the law: (chains, d), float64."""


MakeLaw = Callable[[int, torch.Generator], Law]
"""Returns a law for so many chains, with what is random in it from the generator."""


class Independent(Target):
    """A law of independent coordinates: log p(x) is the sum of theirs."""

    scale = 1.0

    @property
    def target(self) -> Target:
        """The law itself is what a sampler sees."""
        return self


class Skewed(Independent):
    """Generalised logistic laws, F(x) = (1 + e^−x)^−a with a = 0.5 and 3: a long tail to each side.

    Its score, −1 + (a + 1)/(1 + eˣ), is bounded. Source: Johnson, Kotz and Balakrishnan (1995),
    "Continuous Univariate Distributions", volume 2, chapter 23, type I.
    """

    SHAPES = (0.5, 3.0)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return Σ −x − (a + 1) log(1 + e^−x)."""
        shape = x.new_tensor(self.SHAPES)
        return -(x + (shape + 1) * nn.functional.softplus(-x)).sum(1)

    def draw(self, chains: int, rng: torch.Generator) -> Tensor:
        """Return exact draws by the inverse of F."""
        uniform = torch.rand(chains, 2, generator=rng, dtype=torch.float64)
        shape = uniform.new_tensor(self.SHAPES)
        return -torch.expm1(-uniform.log() / shape).log().float()

    def scores(self, x: Tensor) -> Tensor:
        """Return Φ⁻¹(F(x))."""
        shape = torch.tensor(self.SHAPES, dtype=torch.float64)
        return normal_score(torch.exp(-shape * nn.functional.softplus(-x.double())))


class TwoModes(Independent):
    """0.3 N(−1.2, 0.5²) + 0.7 N(1.2, 0.8²) beside N(0, 1)."""

    WEIGHTS, MEANS, STDS = (0.3, 0.7), (-1.2, 1.2), (0.5, 0.8)
    scale = 0.5

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mixture in the first coordinate, −x²/2 in the second."""
        weights, means, stds = map(x.new_tensor, (self.WEIGHTS, self.MEANS, self.STDS))
        z = (x[:, :1] - means) / stds
        return torch.logsumexp((weights / stds).log() - z**2 / 2, 1) - x[:, 1] ** 2 / 2

    def draw(self, chains: int, rng: torch.Generator) -> Tensor:
        """Return exact draws: first the mode, then the place."""
        noise = torch.randn(chains, 2, generator=rng)
        right = torch.rand(chains, generator=rng) < self.WEIGHTS[1]
        (left_mean, right_mean), (left_std, right_std) = self.MEANS, self.STDS
        first = torch.where(
            right, right_mean + right_std * noise[:, 0], left_mean + left_std * noise[:, 0]
        )
        return torch.stack([first, noise[:, 1]], 1)

    def scores(self, x: Tensor) -> Tensor:
        """Return Φ⁻¹(F(x)) and the second coordinate."""
        x = x.double()
        parts = zip(self.WEIGHTS, self.MEANS, self.STDS, strict=True)
        below = sum(w * torch.special.ndtr((x[:, 0] - m) / s) for w, m, s in parts)
        return torch.stack([normal_score(torch.as_tensor(below)), x[:, 1]], 1)


class HeavyTail(Independent):
    """Student's t with 3 degrees of freedom in each of two coordinates; it has no third moment."""

    FREEDOM = 3.0

    def log_prob(self, x: Tensor) -> Tensor:
        """Return Σ −(ν + 1)/2 · log(1 + x²/ν)."""
        return -(self.FREEDOM + 1) / 2 * torch.log1p(x**2 / self.FREEDOM).sum(1)

    def draw(self, chains: int, rng: torch.Generator) -> Tensor:
        """Return exact draws, a normal over the root of a mean of ν squares."""
        noise = torch.randn(chains, 2, 1 + int(self.FREEDOM), generator=rng)
        return noise[..., 0] / (noise[..., 1:] ** 2).mean(-1).sqrt()

    def scores(self, x: Tensor) -> Tensor:
        """Return Φ⁻¹(F(x))."""
        return normal_score(torch.from_numpy(stats.t.cdf(x.double().numpy(), self.FREEDOM)))


def normal_score(probability: Tensor) -> Tensor:
    """Return Φ⁻¹(u), finite at the ends."""
    return torch.from_numpy(special.ndtri(probability.clamp(1e-15, 1 - 1e-15).numpy()))


def whatever_the_chains(law: Law) -> MakeLaw:
    """Return what gives a law for any number of chains, with nothing random in it."""
    return lambda chains, rng: law


skewed = whatever_the_chains(Skewed())
two_modes = whatever_the_chains(TwoModes())
heavy_tail = whatever_the_chains(HeavyTail())
