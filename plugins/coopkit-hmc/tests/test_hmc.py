"""The law, the tuning and the accounts of Hamiltonian Monte Carlo."""

import math
from itertools import pairwise

import attrs
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from coopkit import Target, sample_chains
from coopkit.sampling import run_chains, walk_chains
from coopkit.targets import MaskedTarget, RevisionTarget
from coopkit.testing import check_sampler, parametrize_with_checks

coopkit_hmc = pytest.importorskip(
    "coopkit_hmc", reason="coopkit-hmc is not installed: pip install ./plugins/coopkit-hmc"
)
Hmc = coopkit_hmc.Hmc

Z = 6.0
"""Standard errors that an estimate may be off by; beyond them with probability 2e-9."""


class Skewed(Target):
    """log p(x) = Σ x − e^x, the law of the logarithm of an exponential."""

    def log_prob(self, x: Tensor) -> Tensor:
        return (x - x.exp()).sum(1)


class Quartic(Target):
    """log p(x) = −‖x‖⁴/4, whose score −‖x‖² x outgrows every line."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -(x.square().sum(1) ** 2) / 4


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
def test_one_leapfrog_is_the_adjusted_langevin_algorithm(temperature: float):
    """x' = x + δ²/2 ∇ log p(x) + δ √T U, with the ratio of Metropolis and Hastings written out."""
    delta, target = 0.9, Skewed()
    sampler = Hmc(step_size=delta, leapfrogs=1, temperature=temperature)
    x = torch.randn(2000, 2, generator=stream(1), dtype=torch.float64)
    after = sample_chains(sampler, target, x, 1, stream())
    rng, spread = stream(), delta * math.sqrt(temperature)
    noise = torch.randn(2000, 2, generator=rng, dtype=torch.float64)
    uniform = torch.rand(2000, generator=rng, dtype=torch.float64)
    forth = x + delta**2 / 2 * (1 - x.exp())
    proposal = forth + spread * noise
    back = proposal + delta**2 / 2 * (1 - proposal.exp())
    ratio = (target.log_prob(proposal) - target.log_prob(x)) / temperature
    ratio += Normal(back, spread).log_prob(x).sum(1)
    ratio -= Normal(forth, spread).log_prob(proposal).sum(1)
    accepted = (1 - uniform).log() <= ratio
    assert 200 < int(accepted.sum()) < 1800
    torch.testing.assert_close(after, torch.where(accepted[:, None], proposal, x))


def test_trajectories_by_hand():
    """A loop over chains and steps, with the same draws; positions agree after every step."""
    sampler, target, chains, delta = Hmc(step_size=0.7, leapfrogs=3), Skewed(), 6, 0.7
    x = torch.randn(chains, 2, generator=stream(1), dtype=torch.float64)
    rng, state = stream(), sampler.init(target, x)
    place, left = x.clone(), [0] * chains
    point, momentum, start = x.clone(), torch.zeros_like(x), [0.0] * chains
    moves, own = 0, stream()

    def energy(y: Tensor, m: Tensor) -> float:
        return float(m.square().sum() / 2 - y.sum() + y.exp().sum())

    for _ in range(25):
        state = sampler.step(target, state, rng)
        noise = torch.randn(chains, 2, generator=own, dtype=torch.float64)
        uniform = torch.rand(chains, generator=own, dtype=torch.float64).tolist()
        lengths = torch.randint(1, 6, (chains,), generator=own).tolist()
        for i in range(chains):
            if left[i] == 0:
                point[i], momentum[i], left[i] = place[i], noise[i], lengths[i]
                start[i] = energy(point[i], momentum[i])
            momentum[i] += delta / 2 * (1 - point[i].exp())
            point[i] += delta * momentum[i]
            momentum[i] += delta / 2 * (1 - point[i].exp())
            left[i] -= 1
            fall = start[i] - energy(point[i], momentum[i])
            if left[i] == 0 and 1 - uniform[i] <= math.exp(min(fall, 0.0)):
                place[i], moves = point[i], moves + 1
        torch.testing.assert_close(state.position, place)
    assert int(state.counts.accepted.sum()) == moves
    assert moves < int(state.counts.trajectories.sum())


def test_lengths_are_uniform_with_the_mean_that_is_asked_for():
    chains = 50_000
    sampler, target, start = Hmc(leapfrogs=4), normal(), torch.zeros(chains, 1)
    state = sampler.step(target, sampler.init(target, start), stream())
    seen = torch.bincount(state.remaining + 1, minlength=8)
    assert seen[0] == 0
    assert len(seen) == 8
    error = math.sqrt(1 / 7 * 6 / 7 / chains)
    assert ((seen[1:] / chains - 1 / 7).abs() < Z * error).all()


@pytest.mark.parametrize("leapfrogs", [1, 10])
def test_moments_of_a_gaussian_of_condition_number_100(leapfrogs: int):
    """From exact draws, after every step; trajectories end at different times."""
    chains, stds = 20_000, torch.tensor([1.0, 0.1], dtype=torch.float64)
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    precision = turn @ torch.diag(stds**-2) @ turn.T
    target = RevisionTarget(lambda y: -((y @ precision) * y).sum(1) / 2, math.inf)
    sampler = Hmc(step_size=0.15, leapfrogs=leapfrogs)
    scores = torch.randn(chains, 2, generator=stream(1), dtype=torch.float64)
    state, rng = sampler.init(target, (scores * stds) @ turn.T), stream(2)
    for _ in range(30):
        state = sampler.step(target, state, rng)
        z = (state.position @ turn) / stds
        off = torch.stack([z[:, 0], z[:, 1], z[:, 0] * z[:, 1]]).mean(1) * math.sqrt(chains)
        spread = (z.square().mean(0) - 1) * math.sqrt(chains / 2)
        assert torch.cat([off, spread]).abs().max() < Z
    share = float(sampler.figures(state)["acceptance"])
    assert 0.4 < share < 0.95
    assert int(state.counts.divergences.sum()) == 0


def test_it_arrives_from_afar():
    chains, stds = 5000, torch.tensor([1.0, 0.1])
    target = RevisionTarget(lambda y: -(y / stds).square().sum(1) / 2, math.inf)
    start = torch.tensor([6.0, -0.6]).repeat(chains, 1)
    end = sample_chains(Hmc(step_size=0.15, leapfrogs=10), target, start, 400, stream()) / stds
    assert (end.mean(0).abs() * math.sqrt(chains)).max() < Z
    assert ((end.square().mean(0) - 1).abs() * math.sqrt(chains / 2)).max() < Z


def test_the_state_is_right_at_its_position():
    """After a mask too: held entries change neither the score nor log p."""
    free = torch.tensor([True, False, True])
    target = MaskedTarget(Skewed(), free, torch.full((50, 3), 0.3))
    sampler = Hmc(step_size=0.9)
    state = run_chains(sampler, target, sampler.init(target, torch.zeros(50, 3)), 20, stream())
    torch.testing.assert_close(state.log_prob, target.log_prob(state.position))
    torch.testing.assert_close(state.score, target.score(state.position))
    assert (state.position[:, 1] == 0.3).all()
    assert 0 < float(sampler.figures(state)["acceptance"]) < 1


def test_small_moves_of_whole_images_are_accepted():
    """log p is of millions there, and its differences are far below one."""
    x = torch.randn(4, 3, 64, 64, generator=stream(1)) / 2
    target = RevisionTarget(lambda y: 0 * y.flatten(1).sum(1), 0.016)
    assert (target.energy(x) > 1e6).all()
    sampler = Hmc(step_size=1e-6, leapfrogs=2)
    state = run_chains(sampler, target, sampler.init(target, x), 12, stream())
    assert sampler.figures(state)["acceptance"].mean() > 0.99
    assert state.position.dtype == torch.float32


@pytest.mark.parametrize("part", ["log_prob", "score"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_rejected(part: str, value: float):
    target, start = Broken(part, value), torch.zeros(200, 2)
    sampler = Hmc(step_size=0.6, leapfrogs=2)
    state = sampler.init(target, start)
    for _ in range(40):
        state = sampler.step(target, state, stream(int(state.counts.trajectories.sum())))
        for tensor in (state.position, state.score, state.log_prob):
            assert torch.isfinite(tensor).all()
    assert (state.position[:, 0] <= 1).all()
    assert (state.position != 0).any(1).all()
    assert state.counts.divergences.sum() > 0


def test_divergences_are_counted_and_the_chain_goes_on_from_where_it_was():
    """At δ = 1 the leapfrog is unstable beyond ‖x‖ of 2/√3, and throws a chain at 10 far away."""
    start = torch.tensor([[10.0, 0.0], [0.1, 0.0]])
    sampler = Hmc(step_size=1.0, leapfrogs=2)
    state = run_chains(sampler, Quartic(), sampler.init(Quartic(), start), 40, stream())
    assert torch.equal(state.position[0], start[0])
    assert not torch.equal(state.position[1], start[1])
    assert torch.isfinite(state.position).all()
    assert state.counts.divergences[0] == state.counts.trajectories[0] > 10
    calmer = run_chains(Hmc(step_size=0.01, leapfrogs=2), Quartic(), state, 400, stream())
    assert calmer.position.norm(dim=1).max() < 9.9


class Lame(Skewed):
    """A target whose second chain has no score."""

    def score(self, x: Tensor) -> Tensor:
        score = super().score(x)
        score[1] = math.nan
        return score


def test_a_chain_without_a_score_stays_and_leaves_the_others_alone():
    sampler, start = Hmc(step_size=0.5, warmup=4), torch.zeros(3, 2)
    lame = sample_chains(sampler, Lame(), start, 12, stream())
    fine = sample_chains(sampler, Skewed(), start, 12, stream())
    assert torch.equal(lame[1], start[1])
    assert torch.equal(lame[[0, 2]], fine[[0, 2]])


@pytest.mark.parametrize("wanted", [0.65, 0.8])
@pytest.mark.parametrize("first", [0.02, 5.0])
def test_warm_up_reaches_the_wanted_acceptance(wanted: float, first: float):
    """All chains count 1600 trajectories, each in its own time, and none after that."""
    sampler = Hmc(step_size=first, leapfrogs=2, warmup=1600, acceptance=wanted)
    target, start = normal(0.3), 0.3 * torch.randn(500, 5, generator=stream(1))
    warm = walk_chains(sampler, target, start, 3600, stream(2))
    assert (warm.kept.tuned["updates"] == 1600).all()
    after = walk_chains(sampler, target, warm.position, 200, stream(3), warm.kept)
    assert float(after.figures["acceptance"]) == pytest.approx(wanted, abs=0.05)
    for name, value in warm.kept.tuned.items():
        assert torch.equal(after.kept.tuned[name], value)


def test_the_step_size_stays_the_same_along_a_trajectory():
    sampler, target = Hmc(step_size=0.5, leapfrogs=4, warmup=100), Skewed()
    states, rng = [sampler.init(target, torch.zeros(5, 2))], stream()
    for _ in range(60):
        states.append(sampler.step(target, states[-1], rng))
    changed = [sampler.delta(a) != sampler.delta(b) for a, b in pairwise(states)]
    ended = [state.remaining == 0 for state in states[1:]]
    assert torch.equal(torch.stack(changed), torch.stack(ended))


def test_figures_are_finite_before_a_trajectory_is_finished():
    sampler = Hmc(warmup=3)
    figures = sampler.figures(sampler.init(Skewed(), torch.zeros(2, 1)))
    assert set(figures) == {"acceptance", "trajectories", "divergences", "step_size"}
    assert figures["acceptance"] == 0
    assert figures["trajectories"].tolist() == figures["divergences"].tolist() == [0, 0]
    torch.testing.assert_close(figures["step_size"], torch.full((2,), 0.002))
    walk = walk_chains(Hmc(step_size=0.5), Skewed(), torch.zeros(4, 2), 9, stream())
    assert set(walk.figures) == {"acceptance", "trajectories", "divergences"}
    assert not walk.kept.tuned


PATHS = ("reproducible", "resumes", "own-path", "chain-count", "permuted", "masked-bits")


def test_chains_that_tune_are_independent_too():
    """The checks of structure while the warm-up goes on; of law there is none to hold it to."""
    sampler = Hmc(step_size=0.1, leapfrogs=1, warmup=3)
    results = check_sampler(sampler, seed=1, selected=lambda name: name in PATHS)
    assert [result.check for result in results if result.passed] == list(PATHS)


@parametrize_with_checks([Hmc(leapfrogs=1), Hmc(leapfrogs=3)])
def test_conformance(check):
    check()
