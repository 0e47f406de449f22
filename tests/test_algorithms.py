"""The three algorithms on Gaussian models, whose fixed points are known in closed form.

The tolerances are at least 8 times the spread of the same figure over 30 seeds, so that a test
raises a false alarm with probability below 1e-6.
"""

import itertools
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from coopkit.algorithms import CooperativeAlgorithm, DescriptorAlgorithm, GeneratorAlgorithm
from coopkit.builtin.langevin import Langevin
from coopkit.iterations import Batch, Learner, Settings, Streams
from coopkit.steps import generate, infer, reconstruct, revise, shift_density


class QuadraticF(nn.Module):
    """f(Y) = b·Y − Y'AY/2."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(dimension, dimension))
        self.b = nn.Parameter(torch.zeros(dimension))

    def forward(self, y: Tensor) -> Tensor:
        return y @ self.b - ((y @ self.a) * y).sum(1) / 2


class PlaneF(nn.Linear):
    """f(Y) = w·Y."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension, 1, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y).squeeze(1)


def streams(seed: int) -> Streams:
    return Streams(*(torch.Generator().manual_seed(seed + k) for k in range(3)))


def learner(network: nn.Module, rate: float, std: float) -> Learner:
    return Learner(network, torch.optim.SGD(network.parameters(), lr=rate), std)


def whole(signals: Tensor) -> Batch:
    return Batch(signals, torch.arange(len(signals)))


def signals_with(covariance: Tensor, mean: Tensor, examples: int) -> Tensor:
    """Return examples whose sample mean and covariance are those, to rounding."""
    y = torch.randn(examples, len(mean), dtype=torch.float64)
    y -= y.mean(0)
    white = y @ torch.linalg.cholesky((y.T @ y / examples).inverse())
    return (white @ torch.linalg.cholesky(covariance.double()).T + mean).float()


def spread_of_w(s: float, delta: float, steps: int, rate: float, chains: int) -> float:
    """Return the standard deviation of an entry of w at the end of Algorithm 1.

    w and the mean μ of the persistent chains are a linear process with Gaussian noise: D1 is
    μ ← kμ + (1 − k)s²w + noise and D2 is w ← w + rate (mean(Y) − μ).
    """
    shrink = 1 - delta**2 / (2 * s**2)
    k = shrink**steps
    noise = delta**2 / chains * sum(shrink ** (2 * step) for step in range(steps))
    to_mean = np.array([(1 - k) * s**2, k])
    transition = np.stack([np.array([1, 0]) - rate * to_mean, to_mean])
    push = noise * np.outer([-rate, 1], [-rate, 1])
    covariance = np.zeros((2, 2))
    for _ in range(10_000):
        covariance = transition @ covariance @ transition.T + push
    return float(covariance[0, 0] ** 0.5)


def test_algorithm_1_reaches_the_maximum_likelihood_of_a_linear_descriptor(seed):
    """w = mean(Y)/s²; within 6 exact standard deviations, false-alarm probability 6e-9."""
    s, delta, steps, rate, chains = 0.5, 0.5, 3, 0.8, 2000
    y = torch.randn(40, 3) + torch.tensor([1.0, -0.5, 0.0])
    f = PlaneF(3)
    algorithm = DescriptorAlgorithm(
        learner(f, rate, s), streams(seed), {"chains": torch.zeros(chains, 3)}
    )
    settings = Settings(revision=Langevin(step_size=delta), revision_steps=steps)
    for _ in range(300):
        algorithm.iterate(whole(y), settings)
    off = f.weight.detach() - y.mean(0) / s**2
    assert off.abs().max() < 6 * spread_of_w(s, delta, steps, rate, chains)


def inflated(eigenvalues: Tensor, delta: float, sigma: float) -> Tensor:
    """Return the variances λ/(1 + δ²λ/4σ²) that inference with steps of δ takes λ for.

    With posterior precision P = 1 + a²/σ² and Langevin's posterior variance 1/P(1 − δ²P/4), the
    fixed point of (14) along a principal axis is λ/σ² = P/(1 − δ²P/4).
    """
    return eigenvalues / (1 + delta**2 * eigenvalues / (4 * sigma**2))


def test_algorithm_2_reaches_probabilistic_pca(seed):
    """The first principal axes, with singular values √(λ − σ²) (Tipping and Bishop 1999)."""
    sigma, delta, d = 0.5, 0.2, 2
    eigenvalues = torch.tensor([1.5, 0.9, 0.25, 0.2, 0.1]).double()
    axes = torch.linalg.qr(torch.randn(5, 5).double()).Q
    mean = torch.tensor([1.0, 0.0, -1.0, 2.0, 0.5]).double()
    y = signals_with(axes @ torch.diag(eigenvalues) @ axes.T, mean, 2000)
    g = nn.Linear(d, 5)
    algorithm = GeneratorAlgorithm(
        learner(g, 0.1, sigma), streams(seed), {"latents": torch.randn(len(y), d)}
    )
    settings = Settings(inference=Langevin(step_size=delta), inference_steps=20)
    products, biases = [], []
    for _ in range(400):
        algorithm.iterate(whole(y), settings)
        weight = g.weight.detach().double()
        products.append(weight @ weight.T)
        biases.append(g.bias.detach().double())
    squares, vectors = torch.linalg.eigh(torch.stack(products[200:]).mean(0))
    values, span = squares[-d:].flip(0).sqrt(), vectors[:, -d:]
    sine = torch.linalg.matrix_norm(span - axes[:, :d] @ axes[:, :d].T @ span, 2)
    off_mean = torch.stack(biases[200:]).mean(0) - mean
    assert sine < 0.01, f"the largest principal angle is {sine.asin()}"
    expected = (inflated(eigenvalues[:d], delta, sigma) - sigma**2).sqrt()
    torch.testing.assert_close(values, expected, atol=0.02, rtol=0)
    assert off_mean.abs().max() < 0.03


def test_algorithm_3_reaches_the_gaussian_fixed_points(seed):
    """With l_D large, revised signals have the law of the data (19), the generator theirs (20).

    Both laws carry the known bias of Langevin steps.
    """
    sigma, delta_g, s, delta_d = 0.5, 0.25, 2.0, 0.6
    eigenvalues = torch.tensor([1.5, 0.8]).double()
    axes = torch.linalg.qr(torch.randn(2, 2).double()).Q
    covariance, mean = axes @ torch.diag(eigenvalues) @ axes.T, torch.tensor([1.0, -0.5]).double()
    y = signals_with(covariance, mean, 500)
    f, g = QuadraticF(2), nn.Linear(2, 2)
    algorithm = CooperativeAlgorithm(
        learner(f, 0.3, s), learner(g, 0.1, sigma), (2,), 2000, streams(seed)
    )
    settings = Settings(
        revision=Langevin(step_size=delta_d),
        revision_steps=25,
        inference=Langevin(step_size=delta_g),
        inference_steps=60,
        draft_noise_std=sigma,
    )
    laws = []
    for _ in range(250):
        algorithm.iterate(whole(y), settings)
        p = f.a.detach().double() + torch.eye(2) / s**2
        revised = (torch.eye(2) - delta_d**2 / 4 * p).inverse() @ p.inverse()
        weight = g.weight.detach().double()
        drawn = weight @ weight.T + sigma**2 * torch.eye(2)
        means = p.inverse() @ f.b.detach().double(), g.bias.detach().double()
        laws.append(torch.stack([torch.column_stack([revised, means[0]]),
                                 torch.column_stack([drawn, means[1]])]))  # fmt: skip
    revised, drawn = torch.stack(laws[100:]).mean(0)
    seen = axes @ torch.diag(inflated(eigenvalues, delta_g, sigma)) @ axes.T
    torch.testing.assert_close(revised, torch.column_stack([covariance, mean]), atol=0.03, rtol=0)
    torch.testing.assert_close(drawn, torch.column_stack([seen, mean]), atol=0.04, rtol=0)


def test_an_iteration_of_algorithm_1_is_the_listing(seed):
    f, y, chains = PlaneF(3), torch.randn(4, 3), torch.randn(5, 3)
    algorithm = DescriptorAlgorithm(learner(f, 0.1, 0.5), streams(seed), {"chains": chains.clone()})
    settings = Settings(revision=Langevin(step_size=0.1), revision_steps=3, score_penalty=0.3)
    by_hand, rng = deepcopy(f), streams(seed).revision
    for _ in range(2):
        found = algorithm.iterate(whole(y), settings)
        assert torch.equal(found.initial, chains)
        chains = revise(by_hand, 0.5, settings.revision, chains, 3, rng).revised
        moved = shift_density(
            by_hand,
            learner(by_hand, 0.1, 0.5).optimizer,
            y,
            chains,
            score_penalty=0.3,
            reference_std=0.5,
        )
        assert torch.equal(found.figures["score_penalty"], moved.penalty)
        assert torch.equal(found.revised, chains)
        assert torch.equal(algorithm.memory["chains"], chains)
        assert torch.equal(f.weight, by_hand.weight)
        assert found.reconstructed is None


def test_an_iteration_of_algorithm_2_is_the_listing(seed):
    """Only the latents of the examples at hand move; the others wait for theirs."""
    g, y, latents = nn.Linear(2, 3), torch.randn(6, 3), torch.randn(6, 2)
    algorithm = GeneratorAlgorithm(
        learner(g, 0.1, 0.5), streams(seed), {"latents": latents.clone()}
    )
    settings = Settings(inference=Langevin(step_size=0.1), inference_steps=3, updates=2)
    by_hand, rng = deepcopy(g), streams(seed).inference
    for places in (torch.tensor([4, 0, 2]), torch.tensor([1, 2])):
        found = algorithm.iterate(Batch(y[places], places), settings)
        x = infer(by_hand, 0.5, settings.inference, latents[places], y[places], 3, rng).latents
        learnt = reconstruct(
            by_hand, learner(by_hand, 0.1, 0.5).optimizer, x, y[places], 0.5, updates=2
        )
        latents[places] = x
        assert torch.equal(algorithm.memory["latents"], latents)
        assert torch.equal(found.reconstructed, learnt.reconstructed)
        assert torch.equal(g.weight, by_hand.weight)
        assert found.initial is None
        assert found.revised is None


@pytest.mark.parametrize("inference_steps", [0, 3])
def test_an_iteration_of_algorithm_3_is_the_listing(inference_steps, seed):
    """G0, D1, G1 with the generator that drafted, D2, G2; l_G = 0 keeps X̂."""
    f, g, y = PlaneF(3), nn.Linear(2, 3), torch.randn(4, 3)
    f_by_hand, g_by_hand = deepcopy(f), deepcopy(g)
    algorithm = CooperativeAlgorithm(
        learner(f, 0.1, 0.7), learner(g, 0.2, 0.4), (2,), 5, streams(seed)
    )
    settings = Settings(
        revision=Langevin(step_size=0.2),
        revision_steps=2,
        inference=Langevin(step_size=0.1),
        inference_steps=inference_steps,
        draft_noise_std=0.4,
        score_penalty=0.6,
        updates=2,
    )
    found = algorithm.iterate(whole(y), settings)
    rngs = streams(seed)
    draft = generate(g_by_hand, (2,), 5, 0.4, rngs.draft)
    revised = revise(f_by_hand, 0.7, settings.revision, draft.initial, 2, rngs.revision).revised
    x = draft.latents
    if inference_steps:
        x = infer(
            g_by_hand, 0.4, settings.inference, x, revised, inference_steps, rngs.inference
        ).latents
    optimizer = learner(f_by_hand, 0.1, 0.7).optimizer
    moved = shift_density(f_by_hand, optimizer, y, revised, score_penalty=0.6, reference_std=0.7)
    assert torch.equal(found.figures["score_penalty"], moved.penalty)
    optimizer = learner(g_by_hand, 0.2, 0.4).optimizer
    learnt = reconstruct(g_by_hand, optimizer, x, revised, 0.4, updates=2)
    assert torch.equal(found.observed, y)
    assert torch.equal(found.initial, draft.initial)
    assert torch.equal(found.revised, revised)
    assert torch.equal(found.reconstructed, learnt.reconstructed)
    assert torch.equal(f.weight, f_by_hand.weight)
    assert torch.equal(g.weight, g_by_hand.weight)


def energy(weight: Tensor, s: float, y: Tensor) -> Tensor:
    """Return the mean of ‖Y‖²/2s² − w·Y."""
    return ((y**2).sum(1) / (2 * s**2) - y @ weight).mean()


def spread(x: Tensor) -> Tensor:
    """Return the mean distance of two signals, pair by pair."""
    pairs = itertools.combinations(x, 2)
    return torch.stack([(a - b).norm() for a, b in pairs]).mean()


def test_one_chain_has_no_diversity(seed):
    f, y = PlaneF(3), torch.randn(4, 3)
    algorithm = DescriptorAlgorithm(learner(f, 0.1, 0.7), streams(seed), {"chains": y[:1]})
    settings = Settings(revision=Langevin(), revision_steps=1)
    assert "diversity" not in algorithm.iterate(whole(y), settings).figures


def test_diversity_is_finite_where_all_observed_are_the_same(seed):
    f, y = PlaneF(3), torch.ones(4, 3)
    algorithm = DescriptorAlgorithm(learner(f, 0.1, 0.7), streams(seed), {"chains": y})
    settings = Settings(revision=Langevin(step_size=0.1), revision_steps=1)
    assert 1e3 < algorithm.iterate(whole(y), settings).figures["diversity"] < float("inf")


def test_the_figures_of_algorithm_3_are_what_their_names_say(seed):
    f, g, y, s = PlaneF(3), nn.Linear(2, 3), torch.randn(4, 3), 0.7
    w = f.weight.detach().clone().squeeze(0)
    algorithm = CooperativeAlgorithm(
        learner(f, 0.1, s), learner(g, 0.2, 0.4), (2,), 5, streams(seed)
    )
    settings = Settings(revision=Langevin(step_size=0.2), revision_steps=2, residual=True)
    found = algorithm.iterate(whole(y), settings)
    shift = y.mean(0) - found.revised.mean(0)
    expected = {
        "energy_observed": energy(w, s, y).double(),
        "energy_initial": energy(w, s, found.initial).double(),
        "energy_revised": energy(w, s, found.revised).double(),
        "revised_minus_initial": (found.revised - found.initial).abs().mean(),
        "reconstructed_minus_revised": (found.reconstructed - found.revised).abs().mean(),
        "f_observed_minus_revised": w @ shift,
        "descriptor_gradient_norm": shift.norm(),
        "diversity": spread(found.revised) / spread(y),
        "autoencoder_residual": (found.revised / s**2 - w).norm(dim=1).mean(),
    }
    figures = dict(found.figures)
    assert figures.pop("generator_gradient_norm") > 0
    torch.testing.assert_close(figures, expected)


def test_the_figures_of_algorithm_2_are_what_their_names_say(seed):
    g, y, x = nn.Linear(2, 3), torch.randn(4, 3), torch.randn(4, 2)
    algorithm = GeneratorAlgorithm(learner(g, 0.1, 0.5), streams(seed), {"latents": x})
    found = algorithm.iterate(whole(y), Settings(inference=Langevin(), inference_steps=1))
    x = algorithm.memory["latents"]
    figures = dict(found.figures)
    assert figures.pop("generator_gradient_norm") > 0
    expected = {
        "reconstructed_minus_observed": (found.reconstructed - y).abs().mean(),
        "latent_norm": (x**2).sum(1).mean().sqrt(),
    }
    torch.testing.assert_close(figures, expected)


def test_the_residual_is_measured_on_demand_only(seed):
    algorithm = DescriptorAlgorithm(
        learner(PlaneF(3), 0.1, 0.5), streams(seed), {"chains": torch.randn(5, 3)}
    )
    settings = Settings(revision=Langevin())
    assert (
        "autoencoder_residual" not in algorithm.iterate(whole(torch.randn(4, 3)), settings).figures
    )
