"""Gaussian targets, as training builds them, and the laws of chains on them.

A descriptor whose f is quadratic, equation (2); the posterior of a linear generator, equation (10);
either with coordinates held fixed. What is expected of them is computed apart from the targets, in
float64.
"""

import attrs
import torch
from torch import Tensor, nn

from coopkit.interfaces import Target
from coopkit.targets import InferenceTarget, MaskedTarget, RevisionTarget, frozen


class Quadratic(nn.Module):
    """f(Y) = bᵀY − ½ YᵀQY, a descriptor that makes P_D Gaussian: (chains, d) to (chains,)."""

    def __init__(self, matrix: Tensor, slope: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.float())
        self.slope = nn.Parameter(slope.float())

    def forward(self, y: Tensor) -> Tensor:
        """Return f of each chain."""
        matrix, slope = self.matrix.to(y.dtype), self.slope.to(y.dtype)
        value: Tensor = y @ slope - ((y @ matrix) * y).sum(1) / 2
        return value


@attrs.frozen(eq=False)
class Gaussian:
    """N(m, Σ) of the free coordinates of a target.

    Attributes:
        target: what the sampler sees.
        mean: m, (d,), or (chains, d) where every chain has its own.
        covariance: Σ, (d, d), float64.
        precision: of the target itself, whatever the law, (d, d).
        start: positions of which the free coordinates are replaced by draws, (chains, D).
        free: the coordinates that move.
    """

    target: Target
    mean: Tensor
    covariance: Tensor
    precision: Tensor
    start: Tensor | None = None
    free: Tensor | None = None

    @property
    def scale(self) -> float:
        """The smallest standard deviation of the target."""
        return float(torch.linalg.eigvalsh(self.precision).max() ** -0.5)

    @property
    def lipschitz(self) -> float:
        """L, the Lipschitz constant of the score: the largest eigenvalue of the precision."""
        return float(torch.linalg.eigvalsh(self.precision).max())

    def at_target(self) -> "Gaussian":
        """Return the law of the target itself, N(m, P⁻¹)."""
        return self.following(self.precision.inverse())

    def following(self, covariance: Tensor) -> "Gaussian":
        """Return the same target beside another covariance of its chains."""
        return attrs.evolve(self, covariance=covariance)

    def draw(self, chains: int, rng: torch.Generator) -> Tensor:
        """Return exact draws, float32, with held coordinates in their places."""
        noise = torch.randn(chains, len(self.covariance), generator=rng, dtype=torch.float64)
        return self.embed(self.mean + noise @ torch.linalg.cholesky(self.covariance).T)

    def embed(self, free: Tensor) -> Tensor:
        """Return positions, float32, from the values of the free coordinates."""
        if self.free is None or self.start is None:
            return free.float()
        position = self.start.clone()
        position[:, self.free] = free.float()
        return position

    def moving(self, x: Tensor) -> Tensor:
        """Return the free coordinates of positions, float64."""
        return (x if self.free is None else x[:, self.free]).detach().double()

    def scores(self, x: Tensor) -> Tensor:
        """Return L⁻¹(x − m), Σ = LLᵀ."""
        factor = torch.linalg.cholesky(self.covariance)
        return whitened(self.moving(x) - self.mean, factor)


def whitened(centred: Tensor, factor: Tensor) -> Tensor:
    """Return L⁻¹(x − m) of each chain: (chains, d), from the Cholesky factor L."""
    scores: Tensor = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
    return scores


def covariance_of(stds: list[float], rng: torch.Generator) -> Tensor:
    """Return a covariance of these standard deviations along random axes, (d, d) float64."""
    square = torch.randn(len(stds), len(stds), generator=rng, dtype=torch.float64)
    axes = torch.linalg.qr(square).Q
    covariance: Tensor = axes @ torch.diag(torch.tensor(stds).double() ** 2) @ axes.T
    return covariance


def described(covariance: Tensor, mean: Tensor, reference_std: float) -> Gaussian:
    """Return N(m, Σ) as the density of a quadratic descriptor with reference N(0, s²I)."""
    precision = covariance.inverse()
    identity = torch.eye(len(mean), dtype=torch.float64)
    network = Quadratic(precision - identity / reference_std**2, precision @ mean)
    target = RevisionTarget(frozen(network), reference_std)
    return Gaussian(target, mean, covariance, precision)


def isotropic(chains: int, rng: torch.Generator) -> Gaussian:
    """Return N(m, s²I), s = 0.6, in three dimensions."""
    std = 0.6
    mean = torch.randn(3, generator=rng, dtype=torch.float64)
    return described(std**2 * torch.eye(3, dtype=torch.float64), mean, std)


def correlated(chains: int, rng: torch.Generator) -> Gaussian:
    """Return a Gaussian with standard deviations 0.5, 0.7 and 1 along random axes."""
    mean = torch.randn(3, generator=rng, dtype=torch.float64)
    return described(covariance_of([0.5, 0.7, 1.0], rng), mean, 1.4)


def badly_scaled(chains: int, rng: torch.Generator) -> Gaussian:
    """Return a Gaussian with standard deviations 0.05, 0.2 and 1 along random axes."""
    mean = torch.randn(3, generator=rng, dtype=torch.float64)
    return described(covariance_of([0.05, 0.2, 1.0], rng), mean, 1.4)


def masked(chains: int, rng: torch.Generator) -> Gaussian:
    """Return the conditional law of two coordinates of five, of which every chain holds three.

    Its precision is that of the free block, its mean m − P_FF⁻¹ P_FH (h − m_H).
    """
    mean = torch.randn(5, generator=rng, dtype=torch.float64)
    whole = described(covariance_of([0.5, 0.6, 0.8, 1.0, 1.2], rng), mean, 1.4)
    free = torch.tensor([True, False, True, False, False])
    held = torch.randn(chains, 5, generator=rng)
    p = whole.precision
    free_precision, off = p[free][:, free], held[:, ~free].double() - mean[~free]
    conditional = mean[free] - off @ (free_precision.inverse() @ p[free][:, ~free]).T
    target = MaskedTarget(whole.target, free, held)
    return Gaussian(target, conditional, free_precision.inverse(), free_precision, held, free)


@attrs.frozen(eq=False)
class LinearGenerator:
    """Factor analysis: X ~ N(0, I), Y = WX + b + ε, ε ~ N(0, σ²I), equation (9).

    Attributes:
        network: g, from latents (chains, d) to signals (chains, D).
        noise_std: σ.
    """

    network: nn.Linear
    noise_std: float

    @property
    def weight(self) -> Tensor:
        """W, (D, d), float64."""
        return self.network.weight.detach().double()

    @property
    def precision(self) -> Tensor:
        """The posterior's, I + WᵀW/σ², (d, d)."""
        w = self.weight
        return torch.eye(w.shape[1], dtype=torch.float64) + w.T @ w / self.noise_std**2

    @property
    def gain(self) -> Tensor:
        """K of the posterior mean K(Y − b), (d, D)."""
        return self.precision.inverse() @ self.weight.T / self.noise_std**2

    def posterior(self, signals: Tensor) -> Gaussian:
        """Return the law of X given Y, one for each chain."""
        bias = self.network.bias.detach().double()
        mean = (signals.double() - bias) @ self.gain.T
        target = InferenceTarget(frozen(self.network), signals, self.noise_std)
        return Gaussian(target, mean, self.precision.inverse(), self.precision)

    def emit(self, latents: Tensor, rng: torch.Generator) -> Tensor:
        """Return draws of Y given X, float32."""
        bias = self.network.bias.detach().double()
        drawn = latents.double() @ self.weight.T + bias
        noise = torch.randn(drawn.shape, generator=rng, dtype=torch.float64)
        return (drawn + self.noise_std * noise).float()


def linear_generator(rng: torch.Generator, latents: int = 2, signals: int = 4) -> LinearGenerator:
    """Return a linear generator with weights from `rng` and σ = 0.6."""
    network: nn.Linear = nn.utils.skip_init(nn.Linear, latents, signals)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        network.weight.normal_(generator=rng).mul_(signals**-0.5)
        network.bias.normal_(generator=rng)
    return LinearGenerator(network, 0.6)


def posterior(chains: int, rng: torch.Generator) -> Gaussian:
    """Return the posterior of a linear generator's two latents, each chain with its own signal."""
    generator = linear_generator(rng)
    latents = torch.randn(chains, 2, generator=rng)
    return generator.posterior(generator.emit(latents, rng))
