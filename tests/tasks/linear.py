"""A trained pair whose laws are known in closed form: linear g, Gaussian P_D."""

from pathlib import Path

import torch
from torch import Tensor, nn

from coopkit.recipes import Recipe
from coopkit.tasks.trained import Trained

TINY = Path(__file__).parents[1] / "tiny"
SHAPE = (1, 4, 5)
LATENT = 3


class LinearG(nn.Module):
    """g(X) = A X + c, of shape (1, 4, 5)."""

    def __init__(self, weight: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.weight, self.offset = nn.Parameter(weight), nn.Parameter(offset)

    def forward(self, latents: Tensor) -> Tensor:
        return (latents @ self.weight.T + self.offset).reshape(len(latents), *SHAPE)


class QuadraticF(nn.Module):
    """f(Y) = bᵀY − Yᵀ Q Y / 2."""

    def __init__(self, linear: Tensor, precision: Tensor) -> None:
        super().__init__()
        self.linear, self.precision = nn.Parameter(linear), nn.Parameter(precision)

    def forward(self, signal: Tensor) -> Tensor:
        flat = signal.flatten(1)
        return flat @ self.linear - ((flat @ self.precision) * flat).sum(1) / 2


def linear_pair(noise_std: float = 0.5, reference_std: float = 1.0, *changes: str) -> Trained:
    """Return the pair; the recipe has no table of inference."""
    rng = torch.Generator().manual_seed(7)
    size = SHAPE[1] * SHAPE[2]
    overrides = [
        f"data.height={SHAPE[1]}",
        f"data.width={SHAPE[2]}",
        f"descriptor.reference_std={reference_std}",
        "descriptor.strides=[1]",
        "generator.architecture=object",
        f"generator.latent_size={LATENT}",
        f"generator.noise_std={noise_std}",
        "inference.steps=0",
        "revision.step_size=0.3",
        *changes,
    ]
    root = torch.randn(size, size, generator=rng) / size**0.5
    return Trained(
        recipe=Recipe.read(TINY / "cooperative.toml", overrides),
        iteration=4,
        signal_shape=SHAPE,
        mean=0.0,
        descriptor=QuadraticF(torch.randn(size, generator=rng), root @ root.T),
        generator=LinearG(
            torch.randn(size, LATENT, generator=rng) / 2, torch.randn(size, generator=rng) / 4
        ),
        chains=None,
        device=torch.device("cpu"),
    )
