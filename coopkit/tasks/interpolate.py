"""Paths between latents, and what the generator draws along them."""

from typing import Literal, get_args

import attrs
import torch
from einops import rearrange
from torch import Tensor

from coopkit.targets import squared_norm
from coopkit.tasks.arguments import check_choice, check_counts, check_latents
from coopkit.tasks.chains import at_a_time, stream
from coopkit.tasks.infer import drawn_from
from coopkit.tasks.revise import revise_signals
from coopkit.tasks.trained import Trained, generator_of
from coopkit.tasks.watching import Watch, nobody

Path = Literal["linear", "spherical"]
PATHS: tuple[Path, ...] = get_args(Path)
PATHS_OF_FRAMES = "(paths frames) ... -> paths frames ..."


@attrs.frozen(eq=False)
class Interpolation:
    """Signals along paths between latents, in the units of training.

    Attributes:
        latents: (paths, frames, *latent), the ends included.
        initial: g(X), (paths, frames, channels, height, width).
        revised: the same revised by the descriptor; None where there is none.
    """

    latents: Tensor
    initial: Tensor
    revised: Tensor | None


def interpolate(
    trained: Trained,
    first: Tensor,
    last: Tensor,
    frames: int = 8,
    path: Path = "spherical",
    *,
    seed: int = 0,
    steps: int | None = None,
    watch: Watch = nobody,
) -> Interpolation:
    """Return what the pair draws along paths from each of `first` to its partner of `last`.

    Each frame is drawn by the generator and, where there is a descriptor, revised as a chain of its
    own.

    Args:
        trained: from `coopkit.load`.
        first: latents, (paths, *latent).
        last: latents, (paths, *latent).
        frames: of each path, 2 or more, the ends included.
        path: "linear", or "spherical", which stays where X ~ N(0, I) has its mass.
        seed: of the revision.
        steps: l_D; as in training if left out.
        watch: told how far it is.

    Raises:
        RunError: the run has no generator.
        ValueError: there are fewer than 2 frames, no path is called like this, the ends are no
            latents of the run, or steps is negative.
    """
    if frames < 2:
        raise ValueError(f"frames is {frames}; a path has 2 or more, its ends")
    check_choice("path", path, PATHS)
    check_counts(0, steps=steps)
    latent_shape, _ = generator_of(trained)
    check_latents(first, latent_shape, "first")
    check_latents(last, latent_shape, "last")
    if len(first) != len(last):
        raise ValueError(f"first has {len(first)} latents and last {len(last)}; each has a partner")
    shares = torch.linspace(0, 1, frames, device=first.device)
    along = linear if path == "linear" else spherical
    latents = torch.stack([along(first, last, float(share)) for share in shares], dim=1)
    initial = drawn_from(trained, latents.flatten(0, 1), at_a_time(trained.signal_shape))
    revised = None
    if trained.descriptor is not None:
        rng = stream(seed, "revision", trained.device)
        found = revise_signals(trained, initial, rng, steps, trained.tuned, watch=watch)
        revised = rearrange(found, PATHS_OF_FRAMES, frames=frames)
    return Interpolation(latents, rearrange(initial, PATHS_OF_FRAMES, frames=frames), revised)


def linear(first: Tensor, last: Tensor, share: float) -> Tensor:
    """Return (1 − t) X₀ + t X₁."""
    return torch.lerp(first, last, share)


def spherical(first: Tensor, last: Tensor, share: float) -> Tensor:
    """Return the point on the great circle from X₀ to X₁, its norm between theirs linearly.

    sin((1 − t) ω)/sin ω · X₀/‖X₀‖ + sin(t ω)/sin ω · X₁/‖X₁‖, times (1 − t)‖X₀‖ + t‖X₁‖, for the
    angle ω between them. Where they are parallel it is the linear path.
    """
    shape = (-1, *[1] * (first.ndim - 1))
    norms = [squared_norm(x).sqrt().reshape(shape) for x in (first, last)]
    units = [x / norm.clamp(min=1e-12) for x, norm in zip((first, last), norms, strict=True)]
    cosine = (units[0] * units[1]).flatten(1).sum(1).clamp(-1, 1)
    angle = torch.arccos(cosine).reshape(shape)
    sine = torch.sin(angle)
    weights = [torch.sin((1 - share) * angle) / sine, torch.sin(share * angle) / sine]
    direction = weights[0] * units[0] + weights[1] * units[1]
    curved = direction * torch.lerp(norms[0], norms[1], share)
    return torch.where(sine.abs() > 1e-3, curved, linear(first, last, share))


def random_ends(trained: Trained, paths: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the ends of paths between latents X ~ N(0, I), (paths, *latent) each.

    Raises:
        RunError: the run has no generator.
        ValueError: there are no paths.
    """
    check_counts(1, paths=paths)
    latent_shape, _ = generator_of(trained)
    rng = stream(seed, "ends", trained.device)
    ends = torch.randn((2, paths, *latent_shape), generator=rng, device=rng.device)
    return ends[0], ends[1]


__all__ = ["PATHS", "Interpolation", "interpolate", "random_ends"]
