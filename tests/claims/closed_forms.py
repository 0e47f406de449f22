"""The fixed points of docs/fixed-points.md, along one axis of the descriptor and of the data.

Everything is a variance along that axis: λ of the data, b² = (B'B) of what the generator carries,
v of the law that Langevin steps leave invariant; p is the descriptor's precision.
"""

from collections.abc import Callable

from claims.linear_pair import Numbers


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where an increasing function is 0, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2


def stationary(p: float, numbers: Numbers) -> float:
    """Return v = 1 / p(1 − δ²p/4)."""
    return 1 / (p * (1 - numbers.delta_d**2 * p / 4))


def shrinkage(p: float, numbers: Numbers) -> float:
    """Return α = (1 − δ²p/2)^l_D."""
    return (1 - numbers.delta_d**2 * p / 2) ** numbers.l_d


def revised(p: float, drafted: float, numbers: Numbers) -> float:
    """Return v + α²(drafted − v)."""
    v = stationary(p, numbers)
    return v + shrinkage(p, numbers) ** 2 * (drafted - v)


def precision(data: float, drafted: float, numbers: Numbers) -> float:
    """Return the p that revises a drafted variance to that of the data, equation (21)."""

    def excess(kept: float) -> float:
        noise = sum(kept ** (2 * step) for step in range(numbers.l_d))
        return kept ** (2 * numbers.l_d) * drafted + numbers.delta_d**2 * noise - data

    return 2 / numbers.delta_d**2 * (1 - root(excess, 0.0, 2.0))


def seen(variance: float, numbers: Numbers) -> float:
    """Return r / (1 + δ²r/4σ²), the variance for which inference by Langevin steps takes r."""
    return variance / (1 + numbers.delta_g**2 * variance / (4 * numbers.sigma**2))


def injected(numbers: Numbers) -> float:
    """Return τ² + l_D δ², the variance of Ỹ given X̂ where the descriptor is flat."""
    return numbers.tau**2 + numbers.l_d * numbers.delta_d**2


def normal_equation(b: float, shrunk: float, variance: float, numbers: Numbers) -> float:
    """Return b Var(X) − Cov(Ỹ, X), X inferred from X̂ by l_G steps; G2 makes it 0.

    `shrunk` is Cov(Ỹ, X̂) / b, `variance` that of Ỹ.
    """
    q, k = 1 + (b / numbers.sigma) ** 2, b / (b**2 + numbers.sigma**2)
    left = (1 - numbers.delta_g**2 * q / 2) ** numbers.l_g
    taken, noise = (1 - left) * k, (1 - left**2) / (q * (1 - numbers.delta_g**2 * q / 4))
    drafted = left * b * shrunk
    latent = left**2 + 2 * taken * drafted + taken**2 * variance + noise
    return b * latent - drafted - taken * variance


def carried_of_descriptor(p: float, numbers: Numbers) -> float:
    """Return b² of a generator that infers by l_G steps, taught by a fixed descriptor."""

    def excess(b: float) -> float:
        variance = revised(p, b**2 + numbers.tau**2, numbers)
        return normal_equation(b, shrinkage(p, numbers), variance, numbers)

    return root(excess, 1e-4, 2 / p**0.5) ** 2


def carried_of_data(data: float, numbers: Numbers) -> float:
    """Return b² of a generator that infers by l_G steps, at the fixed point of both networks."""

    def excess(b: float) -> float:
        p = precision(data, b**2 + numbers.tau**2, numbers)
        return normal_equation(b, shrinkage(p, numbers), data, numbers)

    return root(excess, 1e-4, data**0.5) ** 2
