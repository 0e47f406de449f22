"""The law, the tuning and the accounts of the Metropolis-adjusted Langevin algorithm."""

import math

import attrs
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from coopkit import Target, sample_chains
from coopkit.precision import total
from coopkit.sampling import run_chains, walk_chains
from coopkit.targets import MaskedTarget, RevisionTarget
from coopkit.testing import check_sampler, parametrize_with_checks

coopkit_mala = pytest.importorskip(
    "coopkit_mala", reason="coopkit-mala is not installed: pip install ./plugins/coopkit-mala"
)
Mala = coopkit_mala.Mala

Z = 6.0
"""Standard errors that an estimate may be off by; beyond them with probability 2e-9."""


class Skewed(Target):
    """log p(x) = Σ x − e^x, the law of the logarithm of an exponential."""

    def log_prob(self, x: Tensor) -> Tensor:
        return (x - x.exp()).sum(1)


@attrs.frozen(eq=False)
class Broken(Target):
    """A standard normal that is not a number beyond 1 in the first entry, in one of its parts."""

    part: str
    value: float

    def log_prob(self, x: Tensor) -> Tensor:
        fine = -x.square().sum(1) / 2
        return torch.where((x[:, 0] > 1) & (self.part == "log_prob"), self.value, fine)

    def score(self, x: Tensor) -> Tensor:
        return torch.where((x[:, :1] > 1) & (self.part == "score"), self.value, -x)


def normal(std: float = 1.0) -> Target:
    return RevisionTarget(lambda y: 0 * y.sum(1), std)


def stream(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_proposal_by_hand(temperature: float):
    """The ratio of the densities, with both proposals, as the paper writes it."""
    delta, target = 0.9, Skewed()
    x = torch.randn(2000, 2, generator=stream(1), dtype=torch.float64)
    after = sample_chains(Mala(step_size=delta, temperature=temperature), target, x, 1, stream())
    rng = stream()
    noise = torch.randn(2000, 2, generator=rng, dtype=torch.float64)
    uniform = torch.rand(2000, generator=rng, dtype=torch.float64)
    forth = x + delta**2 / 2 * (1 - x.exp())
    proposal = forth + delta * math.sqrt(temperature) * noise
    back = proposal + delta**2 / 2 * (1 - proposal.exp())
    spread = delta * math.sqrt(temperature)
    ratio = (target.log_prob(proposal) - target.log_prob(x)) / temperature
    ratio += Normal(back, spread).log_prob(x).sum(1)
    ratio -= Normal(forth, spread).log_prob(proposal).sum(1)
    accepted = (1 - uniform).log() <= ratio
    assert 200 < int(accepted.sum()) < 1800
    torch.testing.assert_close(after, torch.where(accepted[:, None], proposal, x))


@pytest.mark.parametrize("delta", [0.8, 1.4, 2.2])
def test_acceptance_on_a_gaussian_is_the_integral(delta: float):
    """∫∫ φ(x) q(x → y) min(1, φ(y) q(y → x) / (φ(x) q(x → y))) dy dx, by the trapezium rule."""
    grid = torch.linspace(-9, 9, 1801, dtype=torch.float64)
    unit = Normal(0.0, 1.0)

    def flow(x: Tensor, y: Tensor) -> Tensor:
        return unit.log_prob(x) + Normal(x * (1 - delta**2 / 2), delta).log_prob(y)

    x, y = grid[:, None], grid[None, :]
    expected = float(torch.minimum(flow(x, y), flow(y, x)).exp().sum() * (18 / 1800) ** 2)
    chains = 100_000
    start = torch.randn(chains, 1, generator=stream(5))
    sampler = Mala(step_size=delta)
    state = sampler.step(normal(), sampler.init(normal(), start), stream(6))
    seen = float(sampler.figures(state)["acceptance"].mean())
    assert abs(seen - expected) < Z * math.sqrt(expected * (1 - expected) / chains)


def test_the_state_is_right_at_its_position():
    """After a mask too: held entries change neither the score nor log p."""
    free = torch.tensor([True, False, True])
    target = MaskedTarget(Skewed(), free, torch.full((50, 3), 0.3))
    sampler = Mala(step_size=0.9)
    state = sampler.init(target, torch.zeros(50, 3))
    state = run_chains(sampler, target, state, 12, stream())
    torch.testing.assert_close(state.log_prob, target.log_prob(state.position))
    torch.testing.assert_close(state.score, target.score(state.position))
    assert (state.position[:, 1] == 0.3).all()
    assert 0 < float(sampler.figures(state)["acceptance"].mean()) < 1
    assert state.proposed == 12


def test_small_moves_of_whole_images_are_accepted():
    """log p is of millions there, and its differences are far below one."""
    x = torch.randn(4, 3, 64, 64, generator=stream(1)) / 2
    target = RevisionTarget(lambda y: 0 * y.flatten(1).sum(1), 0.016)
    assert (target.energy(x) > 1e6).all()
    sampler = Mala(step_size=1e-6)
    state = run_chains(sampler, target, sampler.init(target, x), 12, stream())
    assert sampler.figures(state)["acceptance"].mean() > 0.99
    assert state.position.dtype == torch.float32


@pytest.mark.parametrize("part", ["log_prob", "score"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_rejected(part: str, value: float):
    target, start = Broken(part, value), torch.zeros(200, 2)
    sampler = Mala(step_size=1.0, warmup=5)
    state = run_chains(sampler, target, sampler.init(target, start), 20, stream())
    for tensor in (state.position, state.score, state.log_prob, *state.tuning.tensors().values()):
        assert torch.isfinite(tensor).all()
    assert (state.position[:, 0] <= 1).all()
    assert (state.position != 0).any(1).float().mean() > 0.8


class Lame(Skewed):
    """A target whose second chain has no score."""

    def score(self, x: Tensor) -> Tensor:
        score = super().score(x)
        score[1] = math.nan
        return score


def test_a_chain_without_a_score_stays_and_leaves_the_others_alone():
    sampler, start = Mala(step_size=0.5, warmup=4), torch.zeros(3, 2)
    lame = sample_chains(sampler, Lame(), start, 8, stream())
    fine = sample_chains(sampler, Skewed(), start, 8, stream())
    assert torch.equal(lame[1], start[1])
    assert torch.equal(lame[[0, 2]], fine[[0, 2]])


@pytest.mark.parametrize("wanted", [0.574, 0.8])
@pytest.mark.parametrize("first", [0.02, 5.0])
def test_warm_up_reaches_the_wanted_acceptance(wanted: float, first: float):
    """The mean is the wanted one during the warm-up; after it, the average of log δ gives more."""
    sampler = Mala(step_size=first, warmup=1600, acceptance=wanted)
    target, start = normal(0.3), 0.3 * torch.randn(500, 5, generator=stream(1))
    warm = walk_chains(sampler, target, start, 1600, stream(2))
    assert float(warm.figures["acceptance"]) == pytest.approx(wanted, abs=0.02)
    after = walk_chains(sampler, target, warm.position, 100, stream(3), warm.kept)
    assert float(after.figures["acceptance"]) == pytest.approx(wanted, abs=0.05)
    for name, value in warm.kept.tuned.items():
        assert torch.equal(after.kept.tuned[name], value)


def test_warm_up_counts_over_calls():
    sampler, start = Mala(step_size=0.5, warmup=10), torch.zeros(4, 2)
    parts = walk_chains(sampler, Skewed(), start, 7, stream())
    assert parts.kept.tuned["updates"].tolist() == [7] * 4
    parts = walk_chains(sampler, Skewed(), parts.position, 7, stream(4), parts.kept)
    assert parts.kept.tuned["updates"].tolist() == [10] * 4


def test_without_a_warm_up_nothing_is_kept_or_told_of_it():
    walk = walk_chains(Mala(step_size=0.5), Skewed(), torch.zeros(4, 2), 3, stream())
    assert set(walk.figures) == {"acceptance"}
    assert not walk.kept.tuned
    warm = walk_chains(Mala(step_size=0.5, warmup=9), Skewed(), torch.zeros(4, 2), 3, stream())
    assert set(warm.figures) == {"acceptance", "step_size"}


def test_figures_are_finite_before_the_first_step():
    sampler = Mala(warmup=3)
    figures = sampler.figures(sampler.init(Skewed(), torch.zeros(2, 1)))
    assert figures["acceptance"].tolist() == [0, 0]
    torch.testing.assert_close(figures["step_size"], torch.full((2,), 0.002))


PATHS = ("reproducible", "resumes", "own-path", "chain-count", "permuted", "masked-bits")


def test_chains_that_tune_are_independent_too():
    """The checks of structure while the warm-up goes on; of law there is none to hold it to."""
    sampler = Mala(step_size=0.1, warmup=3)
    results = check_sampler(sampler, seed=1, selected=lambda name: name in PATHS)
    assert [result.check for result in results if result.passed] == list(PATHS)


@parametrize_with_checks([Mala()])
def test_conformance(check):
    check()


class Linear(Target):
    """log p(x) = c Σ x, summed in float64, under which a proposal changes nothing but rounding."""

    def log_prob(self, x: Tensor) -> Tensor:
        return total(100 * x)

    def score(self, x: Tensor) -> Tensor:
        return torch.full_like(x, 100.0)


def test_kinetic_terms_of_large_signals_are_summed_finely():
    """ratio = 1 for every proposal; sums in float32 would be off by up to a half."""
    x, rng, sampler = torch.zeros(4, 3, 256, 256), stream(), Mala(step_size=0.1)
    state = run_chains(sampler, Linear(), sampler.init(Linear(), x), 6, rng)
    assert sampler.figures(state)["acceptance"].tolist() == [1.0] * 4
