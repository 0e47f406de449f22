"""A descriptor and a generator that are Gaussian, and what the algorithm does to their laws.

f(Y) = h·Y − ½ Y'MY with reference N(0, s²I) has precision P = M + I/s²; the generator is
g(X) = a + BX. `Pair.laws` follows means and covariances, exactly and step by step, through G0, D1
and G1; `Pair.updated` adds D2 and G2, by plain gradient ascent. `Training` does the same with the
chains of coopkit. Nothing here knows a closed form of a fixed point.
"""

import attrs
import torch
from torch import Tensor, nn

from coopkit.algorithms import CooperativeAlgorithm
from coopkit.builtin.langevin import Langevin
from coopkit.iterations import Batch, Iteration, Learner, Settings, Streams
from coopkit.testing.law.gaussians import Quadratic

S = 2.0
"""s, the standard deviation of the reference."""


@attrs.frozen(kw_only=True)
class Numbers:
    """What an iteration is told.

    Attributes:
        delta_d, l_d: δ and l_D of the revision.
        delta_g, l_g: δ and l_G of the inference; at l_G = 0 the pairs are (X̂, Ỹ).
        sigma: σ of the generator in (13) and (14).
        tau: the standard deviation of ε in G0.
        density: the rate of D2; 0 holds the descriptor fixed.
        regression: κ, the rate of G2 over σ².
    """

    delta_d: float = 0.5
    l_d: int = 5
    delta_g: float = 0.2
    l_g: int = 0
    sigma: float = 0.5
    tau: float = 0.5
    density: float = 0.3
    regression: float = 0.5


@attrs.frozen(eq=False)
class Laws:
    """Means and covariances of Ŷ, of Ỹ and of the X that goes with Ỹ."""

    drafted: Tensor
    mean: Tensor
    revised: Tensor
    latent_mean: Tensor
    latent: Tensor
    cross: Tensor
    """Cov(Ỹ, X), (D, d)."""


@attrs.frozen(eq=False)
class Pair:
    """Both models, float64.

    Attributes:
        matrix, slope: M (D, D) and h (D,) of the descriptor.
        weight, bias: B (D, d) and a (D,) of the generator.
    """

    matrix: Tensor
    slope: Tensor
    weight: Tensor
    bias: Tensor

    @property
    def precision(self) -> Tensor:
        return self.matrix + torch.eye(len(self.slope), dtype=torch.float64) / S**2

    @property
    def drawn(self) -> Tensor:
        """BB'."""
        return self.weight @ self.weight.T

    def laws(self, numbers: Numbers) -> Laws:
        """G0, D1 and G1: linear steps with Gaussian noise, one after the other."""
        signals, latents = (torch.eye(n, dtype=torch.float64) for n in self.weight.shape)
        drafted = self.drawn + numbers.tau**2 * signals
        mean, covariance, cross = self.bias, drafted, self.weight
        drift, kept = numbers.delta_d**2 / 2, signals - numbers.delta_d**2 / 2 * self.precision
        for _ in range(numbers.l_d):
            mean = kept @ mean + drift * self.slope
            covariance = kept @ covariance @ kept.T + numbers.delta_d**2 * signals
            cross = kept @ cross
        latent_mean, latent = torch.zeros_like(latents[0]), latents
        pull = numbers.delta_g**2 / (2 * numbers.sigma**2) * self.weight.T
        kept = latents - numbers.delta_g**2 / 2 * latents - pull @ self.weight
        for _ in range(numbers.l_g):
            latent_mean = kept @ latent_mean + pull @ (mean - self.bias)
            both = kept @ cross.T @ pull.T
            latent = kept @ latent @ kept.T + both + both.T + pull @ covariance @ pull.T
            latent = latent + numbers.delta_g**2 * latents
            cross = cross @ kept.T + covariance @ pull.T
        return Laws(drafted, mean, covariance, latent_mean, latent, cross)

    def updated(self, numbers: Numbers, mean: Tensor, covariance: Tensor) -> "Pair":
        """Return the pair after an iteration on data of that mean and covariance."""
        laws = self.laws(numbers)
        second = laws.revised + torch.outer(laws.mean, laws.mean)
        observed = covariance + torch.outer(mean, mean)
        off = laws.mean - self.bias - self.weight @ laws.latent_mean
        towards = laws.cross - self.weight @ laws.latent + torch.outer(off, laws.latent_mean)
        return Pair(
            self.matrix + numbers.density / 2 * (second - observed),
            self.slope + numbers.density * (mean - laws.mean),
            self.weight + numbers.regression * towards,
            self.bias + numbers.regression * off,
        )

    def after(self, times: int, numbers: Numbers, mean: Tensor, covariance: Tensor) -> "Pair":
        pair = self
        for _ in range(times):
            pair = pair.updated(numbers, mean, covariance)
        return pair

    def flat(self) -> Tensor:
        return torch.cat([part.flatten() for part in attrs.astuple(self)])

    def like(self, flat: Tensor) -> "Pair":
        """Return the pair of these values, in the shapes of this one."""
        parts = attrs.astuple(self)
        values = flat.split([part.numel() for part in parts])
        return Pair(*(v.reshape(p.shape) for v, p in zip(values, parts, strict=True)))


@attrs.define(eq=False)
class Training:
    """Algorithm 3 on a pair, with chains.

    Attributes:
        numbers: of every iteration.
        mean, covariance: those of the data, exactly.
    """

    numbers: Numbers
    mean: Tensor
    covariance: Tensor
    f: Quadratic
    g: nn.Linear
    algorithm: CooperativeAlgorithm
    observed: Batch

    @classmethod
    def of(
        cls,
        pair: Pair,
        numbers: Numbers,
        mean: Tensor,
        covariance: Tensor,
        chains: int,
        seed: int,
    ) -> "Training":
        f = Quadratic(pair.matrix, pair.slope)
        g = nn.Linear(*reversed(pair.weight.shape))
        with torch.no_grad():
            g.weight.copy_(pair.weight)
            g.bias.copy_(pair.bias)
        descriptor = Learner(f, torch.optim.SGD(f.parameters(), lr=numbers.density), S)
        rate = numbers.regression * numbers.sigma**2
        generator = Learner(g, torch.optim.SGD(g.parameters(), lr=rate), numbers.sigma)
        streams = Streams(*(torch.Generator().manual_seed(seed + k) for k in range(3)))
        latent_shape = (pair.weight.shape[1],)
        algorithm = CooperativeAlgorithm(descriptor, generator, latent_shape, chains, streams)
        y = signals_with(mean, covariance)
        return cls(numbers, mean, covariance, f, g, algorithm, Batch(y, torch.arange(len(y))))

    def iterate(self) -> Iteration:
        return self.algorithm.iterate(
            self.observed,
            Settings(
                revision=Langevin(step_size=self.numbers.delta_d),
                revision_steps=self.numbers.l_d,
                inference=Langevin(step_size=self.numbers.delta_g),
                inference_steps=self.numbers.l_g,
                draft_noise_std=self.numbers.tau,
            ),
        )

    @property
    def pair(self) -> Pair:
        """The networks of now."""
        parts = self.f.matrix, self.f.slope, self.g.weight, self.g.bias
        return Pair(*(part.detach().double().clone() for part in parts))

    def noise(self, pair: Pair, found: Iteration) -> Tensor:
        """Return the covariance of an update of all parameters, (k, k), from its chains."""
        assert found.revised is not None
        assert found.latents is not None
        y, x = found.revised.double(), found.latents.double()
        off = self.numbers.regression * (y - pair.bias - x @ pair.weight.T)
        parts = [
            self.numbers.density / 2 * torch.einsum("ni,nj->nij", y, y).flatten(1),
            -self.numbers.density * y,
            torch.einsum("ni,nj->nij", off, x).flatten(1),
            off,
        ]
        return torch.cat(parts, dim=1).T.cov() / len(y)


def signals_with(mean: Tensor, covariance: Tensor, examples: int = 500) -> Tensor:
    """Return examples whose sample mean and covariance are those, to rounding."""
    y = torch.randn(examples, len(mean), dtype=torch.float64)
    y -= y.mean(0)
    white = y @ torch.linalg.cholesky((y.T @ y / examples).inverse())
    return (white @ torch.linalg.cholesky(covariance).T + mean).float()


def along(axes: Tensor, values: list[float] | Tensor) -> Tensor:
    """Return the symmetric matrix of these eigenvalues along the columns of `axes`."""
    return axes @ torch.diag(torch.as_tensor(values).double()) @ axes.T


def random_axes(dimensions: int) -> Tensor:
    return torch.linalg.qr(torch.randn(dimensions, dimensions).double()).Q
