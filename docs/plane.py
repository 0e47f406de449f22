"""A pair in the plane, trained by hand: python docs/plane.py draws it beside the exact density."""

import math
from collections.abc import Callable

import attrs
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR

import coopkit
from coopkit.builtin import Langevin
from coopkit.targets import RevisionTarget

CENTRES = 1.4 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
SPREAD = 0.5
"""The data: four Gaussians, a quarter each."""

REFERENCE_STD, NOISE_STD = 2.0, 0.15
"""s and σ."""

CHAINS = 256
LANGEVIN = Langevin(step_size=0.2)
LINE = torch.linspace(-4, 4, 161)
GRID = torch.cartesian_prod(LINE, LINE)


@attrs.frozen
class Pair:
    """f, g, and the S1 and S2 of the last iteration."""

    f: nn.Module
    g: nn.Module
    initial: Tensor
    revised: Tensor


def observe(n: int, rng: torch.Generator) -> Tensor:
    """Draw n points of the data, (n, 2)."""
    which = torch.randint(len(CENTRES), (n,), generator=rng)
    return CENTRES[which] + SPREAD * torch.randn(n, 2, generator=rng)


def log_data(y: Tensor) -> Tensor:
    """Return the log density of the data, up to a constant, (n,)."""
    squares = (y[:, None] - CENTRES).square().sum(-1)
    return torch.logsumexp(-squares / (2 * SPREAD**2), dim=1)


def network(outputs: int) -> nn.Sequential:
    """Return a network of the plane with two hidden layers."""
    hidden = [nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()]
    return nn.Sequential(*hidden, nn.Linear(64, outputs))


def train(
    iterations: int = 1000,
    steps: int = 30,
    sampler: Langevin = LANGEVIN,
    persistent: bool = False,
    seed: int = 0,
) -> Pair:
    """Train a pair by Algorithm 3, with X = X̂ in the place of G1.

    Persistent chains, those of Algorithm 1, go on from where they were left, the first drafts.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        f, g = nn.Sequential(network(1), nn.Flatten(0)), network(2)
    f_optimizer = torch.optim.Adam(f.parameters(), lr=0.003)
    g_optimizer = torch.optim.Adam(g.parameters(), lr=0.002)
    share = 0.1 ** (1 / iterations)
    rates = [ExponentialLR(optimizer, share) for optimizer in (f_optimizer, g_optimizer)]
    revised = None
    for _ in range(iterations):
        draft = coopkit.generate(g, (2,), CHAINS, NOISE_STD, rng)
        initial = draft.initial if revised is None or not persistent else revised
        revised = coopkit.revise(f, REFERENCE_STD, sampler, initial, steps, rng).revised
        coopkit.shift_density(f, f_optimizer, observe(CHAINS, rng), revised)
        coopkit.reconstruct(g, g_optimizer, draft.latents, revised, NOISE_STD)
        for rate in rates:
            rate.step()
    return Pair(f, g, initial, revised)


def log_descriptor(pair: Pair) -> Callable[[Tensor], Tensor]:
    """Return the log density of the descriptor, equation (2), up to a constant."""
    return RevisionTarget(pair.f, REFERENCE_STD).log_prob


def on_grid(log_density: Callable[[Tensor], Tensor]) -> Tensor:
    """Return log probabilities of the squares of the grid: in the plane Z is a sum."""
    with torch.no_grad():
        return log_density(GRID).double().log_softmax(0)


def divergence(pair: Pair) -> float:
    """Return KL(data ‖ descriptor) in nats."""
    data, descriptor = on_grid(log_data), on_grid(log_descriptor(pair))
    return float((data.exp() * (data - descriptor)).sum())


def likelihood(y: Tensor) -> float:
    """Return the mean log density of the data at y, (n, 2)."""
    constant = math.log(len(CENTRES) * 2 * math.pi * SPREAD**2)
    return float(log_data(y).mean()) - constant


def draw(pair: Pair, file: str) -> None:
    """Draw the data, the descriptor, sixty revisions and g(X) for 3,000 X."""
    from matplotlib import pyplot

    latents = torch.randn(3000, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        drawn = pair.g(latents)
    figure, panels = pyplot.subplots(1, 4, figsize=(14, 3.7), layout="constrained")
    titles = ["data", "descriptor", "S1 to S2", "generator"]
    densities = [log_data, log_descriptor(pair), log_descriptor(pair), log_data]
    for panel, title, density in zip(panels, titles, densities, strict=True):
        shade = on_grid(density).exp().reshape(len(LINE), -1).T
        panel.imshow(shade, origin="lower", extent=(-4, 4, -4, 4), cmap="Blues")
        panel.set(title=title, xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])
    ends = torch.stack([pair.initial, pair.revised])[:, :60]
    panels[2].quiver(*ends[0].T, *(ends[1] - ends[0]).T, angles="xy", scale_units="xy", scale=1)
    panels[3].scatter(*drawn.T, s=1, color="tab:red")
    figure.savefig(file, dpi=80)


if __name__ == "__main__":
    trained = train()
    draw(trained, "plane.png")
    print(f"plane.png is drawn; KL(data ‖ descriptor) is {divergence(trained):.3f} nats")
    print(f"mean log density of the data at S2: {likelihood(trained.revised):.2f}")
