import math

import attrs
import pytest
import torch
from torch import Tensor

from coopkit import Target
from coopkit.interfaces import Keeping, Kept, Reporting
from coopkit.sampling import run_chains, sample_chains
from coopkit.testing import parametrize_with_checks

underdamped = pytest.importorskip(
    "coopkit_underdamped",
    reason="coopkit-underdamped is not installed: pip install ./plugins/coopkit-underdamped",
)
UnderdampedLangevin = underdamped.UnderdampedLangevin

STANDARD_ERRORS = 6.0
"""A normal figure is further off with probability 2e-9."""


@attrs.frozen(eq=False)
class Normal(Target):
    """log p(x) = −‖x‖²/2s², whose scores are counted."""

    std: float
    calls: list[int] = attrs.field(factory=list)

    def log_prob(self, x: Tensor) -> Tensor:
        return -x.flatten(1).square().sum(1) / (2 * self.std**2)

    def score(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        return -x / self.std**2


@attrs.frozen(eq=False)
class Slope(Target):
    """log p(x) = a·x, whose score is a everywhere."""

    a: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        return (x * self.a).flatten(1).sum(1)


def stream(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normals(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def assert_variance(values: Tensor, variance: float) -> None:
    off = float(values.square().mean()) / variance - 1
    assert abs(off) < STANDARD_ERRORS * math.sqrt(2 / len(values)), f"off by {off:.4f} of itself"


def test_one_step_by_hand():
    """δ = 0.5, γ = 2, T = 4: c = e⁻¹, and the momentum before the step is 2 U."""
    sampler = UnderdampedLangevin(step_size=0.5, friction=2.0, temperature=4.0)
    target, start = Slope(torch.tensor([0.8, -0.4]).double()), torch.ones(3, 2).double()
    state = sampler.step(target, sampler.init(target, start), stream())
    rng = stream()
    opening, noise = normals(rng, 3, 2), normals(rng, 3, 2)
    kicked = 2 * opening + 0.25 * target.a
    stirred = math.exp(-1) * kicked + 2 * math.sqrt(1 - math.exp(-2)) * noise
    torch.testing.assert_close(state.position, start + 0.25 * kicked + 0.25 * stirred)
    torch.testing.assert_close(state.momentum, stirred + 0.25 * target.a)


@pytest.mark.parametrize("friction", [0.3, 3.0, 1e3])
@pytest.mark.parametrize("delta", [0.3, 1.0, 1.9])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_law_on_a_gaussian_is_kept(friction: float, delta: float, temperature: float):
    """Position N(0, T s²) without bias, and the momentum N(0, T (1 − δ²/4s²)) beside it."""
    std, chains = 0.7, 40_000
    sampler = UnderdampedLangevin(step_size=delta * std, friction=friction, temperature=temperature)
    target, rng = Normal(std), stream()
    variances = temperature * std**2, temperature * (1 - delta**2 / 4)
    x, v = (math.sqrt(variance) * normals(rng, chains, 1) for variance in variances)
    state = run_chains(
        sampler, target, sampler.resume(target, x, Kept(chains={"momentum": v})), 8, rng
    )
    assert_variance(state.position, variances[0])
    assert_variance(state.momentum, variances[1])
    product = float((state.position * state.momentum).mean())
    assert abs(product) < STANDARD_ERRORS * math.sqrt(variances[0] * variances[1] / chains)


@pytest.mark.parametrize("delta", [0.5, 1.8])
def test_law_on_a_gaussian_is_reached(delta: float):
    sampler = UnderdampedLangevin(step_size=delta, friction=1.0)
    far = torch.full((40_000, 1), 5.0, dtype=torch.float64)
    assert_variance(sample_chains(sampler, Normal(1.0), far, 150, stream()), 1.0)


def test_beyond_twice_the_standard_deviation_chains_leave_every_bound():
    sampler = UnderdampedLangevin(step_size=2.05, friction=1.0)
    assert sample_chains(sampler, Normal(1.0), torch.ones(9, 1), 500, stream()).abs().min() > 1e3


@pytest.mark.parametrize("friction", [0.1, 1.0, 20.0])
def test_constant_score_drifts_and_spreads_as_langevin_of_another_step_size(friction: float):
    """The step size δ √coth(γδ/2), once the momentum has forgotten its start."""
    delta, slope, steps, chains = 0.5, 0.6, 600, 40_000
    effective = delta**2 / math.tanh(friction * delta / 2)
    sampler = UnderdampedLangevin(step_size=delta, friction=friction)
    target = Slope(torch.tensor([slope]).double())
    state = sampler.init(target, torch.zeros(chains, 1).double())
    rng = stream()
    state = run_chains(sampler, target, state, 300, rng)
    moved = run_chains(sampler, target, state, steps, rng).position - state.position
    c = math.exp(-friction * delta)
    weights = torch.ones(steps + 1).double()
    weights[[0, -1]] = 0.5
    lag = (torch.arange(steps + 1)[:, None] - torch.arange(steps + 1)).abs()
    variance = delta**2 * float(weights @ c ** lag.double() @ weights)
    assert variance == pytest.approx(steps * effective, rel=0.1)
    drift = steps * effective / 2 * slope
    assert abs(float(moved.mean()) - drift) < STANDARD_ERRORS * math.sqrt(variance / chains)
    assert_variance(moved - drift, variance)


def test_infinite_friction_is_the_scheme_of_leimkuhler_and_matthews():
    """x + δ²/2 · F(x) + δ √T (U_n + U_(n+1))/2; the first step has half of that drift."""
    delta, temperature, target = 0.8, 0.5, Normal(0.9)
    sampler = UnderdampedLangevin(step_size=delta, friction=1e3, temperature=temperature)
    x, rng = torch.ones(5, 2).double(), stream()
    ends = [sample_chains(sampler, target, x, steps, stream()) for steps in (1, 2, 3)]
    before, drift = normals(rng, 5, 2), 0.25
    for end in ends:
        after = normals(rng, 5, 2)
        noise = delta * math.sqrt(temperature) * (before + after) / 2
        x = x + drift * delta**2 * target.score(x) + noise
        torch.testing.assert_close(end, x, rtol=1e-12, atol=1e-12)
        before, drift = after, 0.5


def test_the_limit_of_friction_is_approached_exponentially():
    ends = [
        sample_chains(
            UnderdampedLangevin(step_size=1.0, friction=friction),
            Normal(1.5),
            torch.ones(50, 2).double(),
            3,
            stream(),
        )
        for friction in (4.0, 8.0, 1e3)
    ]
    apart = [float((end - ends[2]).abs().max()) for end in ends[:2]]
    assert apart[1] / apart[0] == pytest.approx(math.exp(-4), rel=0.1)


def test_kinetic_temperature_tells_of_the_step_size():
    """T (1 − δ²/4s²) in equilibrium on N(0, s²): 25% below T at δ = s."""
    sampler = UnderdampedLangevin(step_size=0.6, friction=2.0, temperature=2.0)
    assert isinstance(sampler, Reporting)
    target, rng = Normal(0.6), stream()
    x, v = (math.sqrt(k) * normals(rng, 2000, 4) for k in (2 * 0.36, 1.5))
    state = sampler.resume(target, x, Kept(chains={"momentum": v}))
    assert sampler.figures(state)["kinetic_temperature"].tolist() == [0.0] * 2000
    state = run_chains(sampler, target, state, 50, rng)
    heat = sampler.figures(state)["kinetic_temperature"]
    assert heat.shape == (2000,)
    assert abs(float(heat.mean()) - 1.5) < STANDARD_ERRORS * float(heat.std()) / math.sqrt(2000)


def test_kinetic_temperature_is_the_mean_over_the_steps():
    sampler, target = UnderdampedLangevin(step_size=0.3, friction=1.0), Normal(1.0)
    state, rng, squares = sampler.init(target, torch.ones(3, 2, 2)), stream(), []
    for _ in range(4):
        state = sampler.step(target, state, rng)
        squares.append(state.momentum.square().mean((1, 2)))
    figure = sampler.figures(state)["kinetic_temperature"]
    torch.testing.assert_close(figure, torch.stack(squares).mean(0))


def test_a_step_costs_one_score():
    target = Normal(1.0)
    sample_chains(UnderdampedLangevin(step_size=0.1), target, torch.ones(4, 2), 6, stream())
    assert target.calls == [4] * 7


def test_at_zero_temperature_chains_roll_down_and_lose_energy():
    """λ (1 − δ²λ/4) x² + v², which a step without friction keeps, never rises."""
    delta, std = 0.9, 1.0
    sampler = UnderdampedLangevin(step_size=delta, friction=0.2, temperature=0.0)
    target, rng = Normal(std), stream()
    state = sampler.init(target, 3 * normals(rng, 100, 2))
    before = torch.full((100,), math.inf)
    for _ in range(200):
        state = sampler.step(target, state, rng)
        energy = ((1 - delta**2 / 4) * state.position**2 + state.momentum**2).sum(1)
        assert (energy <= before * (1 + 1e-12)).all()
        before = energy
    assert state.position.abs().max() < 1e-3


def test_momentum_goes_on_where_chains_do():
    sampler, target = UnderdampedLangevin(step_size=0.3, friction=0.5), Normal(1.0)
    assert isinstance(sampler, Keeping)
    start, whole, parts = torch.ones(6, 3), stream(), stream()
    end = run_chains(sampler, target, sampler.init(target, start), 5, whole)
    state = run_chains(sampler, target, sampler.init(target, start), 2, parts)
    kept = sampler.keep(state)
    again = run_chains(sampler, target, sampler.resume(target, state.position, kept), 3, parts)
    assert torch.equal(end.position, again.position)
    assert torch.equal(end.momentum, again.momentum)


def test_new_chains_draw_their_momentum_in_the_first_step():
    sampler = UnderdampedLangevin(step_size=1e-6, friction=1e-3, temperature=2.0)
    target = Normal(1.0)
    for state in (
        sampler.init(target, torch.zeros(40_000, 1)),
        sampler.resume(target, torch.zeros(40_000, 1), Kept()),
    ):
        assert state.momentum is None
        assert_variance(sampler.step(target, state, stream()).momentum, 2.0)


def test_what_is_kept_has_a_row_for_each_chain_from_the_start():
    sampler, target = UnderdampedLangevin(), Normal(1.0)
    kept = sampler.keep(sampler.init(target, torch.ones(4, 3)))
    assert torch.equal(kept.chains["momentum"], torch.zeros(4, 3))
    assert not kept.tuned


@attrs.frozen(kw_only=True)
class Tempered(UnderdampedLangevin):
    """Held to p^(1/T) as well, and to a descent at T = 0 that only great friction gives."""

    capabilities = attrs.evolve(UnderdampedLangevin.capabilities, tempered=True)


@parametrize_with_checks(
    [
        UnderdampedLangevin(),
        UnderdampedLangevin(friction=3.0),
        UnderdampedLangevin(friction=1e4, temperature=1.0),
        Tempered(friction=1e4),
    ]
)
def test_conformance(check):
    check()


@parametrize_with_checks(
    [Tempered(friction=1.0)],
    expected_failures={"descent": "momentum carries a chain uphill at the other side"},
)
def test_conformance_at_low_friction(check):
    check()
