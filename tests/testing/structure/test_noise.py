"""Noise of each chain's own, for every function of torch that a sampler may draw with."""

import math

import pytest
import torch
from torch import nn

from coopkit.testing.structure.noise import OwnNoise

CPU = torch.device("cpu")


def rows(draw, chains, dtype=torch.float64, seed=7):
    x = torch.zeros(len(chains), 3, dtype=dtype)
    with OwnNoise(seed, chains, CPU, x.shape[1:]):
        return draw(x, torch.Generator().manual_seed(1))


DRAWS = {
    "randn": lambda x, g: torch.randn(x.shape, generator=g, dtype=x.dtype),
    "randn of one number": lambda x, g: torch.randn(len(x), generator=g),
    "randn with another first axis": lambda x, g: torch.randn(2, *x.shape, generator=g).mean(0),
    "randn_like": lambda x, g: torch.randn_like(x, generator=g),
    "rand": lambda x, g: torch.rand(*x.shape, generator=g),
    "rand_like": lambda x, g: torch.rand_like(x, generator=g),
    "normal_": lambda x, g: x.clone().normal_(1.0, 2.0, generator=g),
    "normal_ by name": lambda x, g: torch.empty_like(x).normal_(mean=1, std=2, generator=g),
    "uniform_": lambda x, g: x.clone().uniform_(-1, 1, generator=g),
    "exponential_": lambda x, g: x.clone().exponential_(2.0, generator=g),
    "log_normal_": lambda x, g: x.clone().log_normal_(generator=g),
    "random_": lambda x, g: x.clone().random_(99, generator=g),
    "bernoulli": lambda x, g: torch.bernoulli(x + 0.5, generator=g),
    "bernoulli_": lambda x, g: x.clone().bernoulli_(x + 0.5, generator=g),
    "bernoulli_, one for each chain": lambda x, g: x.clone().bernoulli_(
        x[:, :1] + 0.5, generator=g
    ),
    "randint": lambda x, g: torch.randint(9, x.shape, generator=g),
    "randint from": lambda x, g: torch.randint(5, 99, x.shape, generator=g),
    "randint by name": lambda x, g: torch.randint(low=5, high=99, size=x.shape, generator=g),
    "randint_like": lambda x, g: torch.randint_like(x, 99, generator=g),
    "poisson": lambda x, g: torch.poisson(x + 3, generator=g),
    "binomial": lambda x, g: torch.binomial(x + 9, x + 0.5, generator=g),
    "multinomial": lambda x, g: torch.multinomial((x + 1).repeat(1, 9), 4, generator=g),
    "normal of tensors": lambda x, g: torch.normal(x + 1, x + 2, generator=g),
    "normal of a mean": lambda x, g: torch.normal(x + 1, 2.0, generator=g),
    "normal of a deviation": lambda x, g: torch.normal(1.0, x + 2, generator=g),
    "normal, one for each chain": lambda x, g: torch.normal(x, x[:, :1] + 2, generator=g),
    "normal, one for each entry": lambda x, g: torch.normal(x[0], x + 2, generator=g),
    "normal by name": lambda x, g: torch.normal(mean=x, std=x + 2, generator=g),
    "normal of a size": lambda x, g: torch.normal(1.0, 2.0, x.shape, generator=g),
    "nn.init": lambda x, g: nn.init.normal_(x.clone(), 1.0, 2.0, generator=g),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_chain_sees_the_same_noise_in_any_batch(draw, dtype):
    whole = rows(draw, [0, 1, 2, 3], dtype)
    assert torch.equal(rows(draw, [0, 1], dtype), whole[:2])
    assert torch.equal(rows(draw, [3, 2, 1, 0], dtype), whole.flip(0))
    assert torch.equal(rows(draw, [2, 7, 0, 9], dtype)[::2], whole[[2, 0]])


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_chains_and_seeds_see_other_noise(draw):
    found = rows(lambda x, g: torch.cat([draw(x, g).double() for _ in range(9)]), range(4))
    chains = found.reshape(9, 4, -1).transpose(0, 1)
    for i in range(4):
        assert not torch.equal(chains[i], chains[i - 1])
    other = rows(lambda x, g: torch.cat([draw(x, g).double() for _ in range(9)]), range(4), seed=8)
    assert not torch.equal(found, other)


LAWS = {
    "randn": (lambda x, g: torch.randn(x.shape, generator=g, dtype=x.dtype), 0, 1),
    "randn_like": (lambda x, g: torch.randn_like(x, generator=g), 0, 1),
    "rand": (lambda x, g: torch.rand(x.shape, generator=g, dtype=x.dtype), 0.5, 12**-0.5),
    "normal": (lambda x, g: torch.normal(x + 1, 2.0, generator=g), 1, 2),
    "normal_": (lambda x, g: x.clone().normal_(1, 2, generator=g), 1, 2),
    "normal of a size": (lambda x, g: torch.normal(1.0, 2.0, x.shape, generator=g), 1, 2),
    "exponential_": (lambda x, g: x.clone().exponential_(2, generator=g), 0.5, 0.5),
    "bernoulli": (lambda x, g: torch.bernoulli(x + 0.2, generator=g), 0.2, 0.4),
    "randint": (lambda x, g: torch.randint(3, 6, x.shape, generator=g), 4, (2 / 3) ** 0.5),
    "randint from 0": (lambda x, g: torch.randint(2, x.shape, generator=g), 0.5, 0.5),
    "binomial": (lambda x, g: torch.binomial(x + 4, x + 0.5, generator=g), 2, 1),
}


@pytest.mark.parametrize(("draw", "mean", "std"), LAWS.values(), ids=LAWS)
def test_rows_follow_the_law_that_was_asked_for_and_are_independent(draw, mean, std):
    """Each of 7 statistics is beyond 6 standard errors with probability below 1e-8."""
    found = rows(lambda x, g: torch.stack([draw(x, g) for _ in range(1500)]), range(4)).double()
    u = (found - mean) / std
    statistics = {
        "mean": u,
        "chains": u[:, 1:] * u[:, :-1],
        "entries": u[..., 1:] * u[..., :-1],
        "steps": u[1:] * u[:-1],
        "two chains apart": u[:, 2:] * u[:, :-2],
        "chains and steps": u[1:, 1:] * u[:-1, :-1],
    }
    for name, value in statistics.items():
        assert abs(value.mean().item()) < 6 / math.sqrt(value.numel()), name
    spread = (u**2 - 1).std().item() / math.sqrt(u.numel())
    assert abs((u**2 - 1).mean().item()) <= 6 * spread + 1e-6


OF_EACH = {
    "normal": lambda c, x, g: torch.normal(c.expand_as(x), 0.01, generator=g),
    "normal, broadcast": lambda c, x, g: torch.normal(c, 0.01 + x, generator=g),
    "normal by name": lambda c, x, g: torch.normal(mean=c, std=0.01 + x, generator=g),
    "poisson": lambda c, x, g: (
        torch.poisson((1000 * c**2).expand_as(x), generator=g).div(1e3) ** 0.5
    ),
    "bernoulli_": lambda c, x, g: 5 * x.clone().bernoulli_(c / 5, generator=g),
}


@pytest.mark.parametrize("draw", OF_EACH.values(), ids=OF_EACH)
def test_every_chain_has_the_parameters_of_its_own_row(draw):
    """Deterministic: the law of chain i has mean i."""
    means = torch.tensor([[0.0], [5.0]]).double()
    found = rows(lambda x, g: draw(means, x, g), [4, 9])
    assert torch.allclose(found, means.expand(2, 3), atol=0.2)


def test_what_is_common_to_the_batch_stays_so():
    """A permutation and a scalar, drawn with the generator or without."""
    common = [
        lambda x, g: torch.randperm(4, generator=g),
        lambda x, g: torch.rand((), generator=g),
        lambda x, g: torch.randn(5, generator=g),
        lambda x, g: torch.empty(()).exponential_(generator=g),
    ]
    for draw in common:
        expected = draw(torch.zeros(4, 3), torch.Generator().manual_seed(1))
        assert torch.equal(rows(draw, [0, 1, 2, 3]), expected)


def test_the_common_generator_goes_on_as_it_would():
    streams = [torch.Generator().manual_seed(1) for _ in range(2)]
    with OwnNoise(7, [0, 1, 2], CPU):
        torch.randn(3, 4, generator=streams[0])
    torch.randn(3, 4, generator=streams[1])
    assert torch.equal(streams[0].get_state(), streams[1].get_state())


def test_what_is_drawn_without_a_generator_is_left_alone(seed):
    torch.manual_seed(seed)
    expected = torch.randn(3, 2)
    torch.manual_seed(seed)
    with OwnNoise(7, [0, 1, 2], CPU):
        assert torch.equal(torch.randn(3, 2), expected)


def test_outside_nothing_is_drawn_again():
    with OwnNoise(7, [0, 1, 2], CPU):
        pass
    first, second = (torch.randn(3, 2, generator=torch.Generator().manual_seed(1)) for _ in "ab")
    assert torch.equal(first, second)
