"""Fixtures of the tests of prepared networks: a way that is taken everywhere, and references."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from coopkit.builtin.descriptors import ConvolutionalF
from coopkit.fast import choices

Take = Callable[[str], None]
Near = Callable[[Tensor, Tensor, float], None]
InDouble = Callable[[nn.Module], Callable[[Tensor], Tensor]]
Stir = Callable[[nn.Module], nn.Module]


@pytest.fixture
def take(monkeypatch: pytest.MonkeyPatch) -> Take:
    """Return a function that lets one way be taken wherever it is possible, however small."""

    def taken(name: str) -> None:
        def measure(possible: dict[str, object], *_: object) -> str:
            return next(way for way in (name, "phases", "direct") if way in possible)

        monkeypatch.setattr(choices, "WORTH_MEASURING", 0)
        monkeypatch.setattr(choices, "measure", measure)

    return taken


@pytest.fixture
def assert_near() -> Near:
    """Return a check that a tensor is another one, but for a share of its norm."""

    def check(result: Tensor, expected: Tensor, relative: float) -> None:
        assert result.shape == expected.shape
        distance, norm = torch.dist(result.double(), expected.double()), expected.double().norm()
        assert norm > 0, "nothing to compare with"
        assert distance <= relative * norm, f"off by {float(distance / norm):.1e} of the norm"

    return check


@pytest.fixture
def in_double() -> InDouble:
    """Return a function from a network to its evaluation in float64."""

    def doubled(network: nn.Module) -> Callable[[Tensor], Tensor]:
        double = deepcopy(network).double().eval().requires_grad_(False)
        if not isinstance(double, ConvolutionalF):
            return double

        def f(signal: Tensor) -> Tensor:
            units = double.features(signal).flatten(1)
            return double.scale * (units if double.top is None else double.top(units)).sum(1)

        return f

    return doubled


@pytest.fixture
def stir() -> Stir:
    """Return a function that draws whatever the built-in networks begin with at 0 or 1."""

    @torch.no_grad()
    def stirred(network: nn.Module) -> nn.Module:
        for name, value in (*network.named_parameters(), *network.named_buffers()):
            if name.endswith("running_mean") or name.endswith("bias"):
                value.normal_(0, 0.3)
            elif value.dim() == 1:
                value.uniform_(0.5, 1.5)
        return network

    return stirred


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Let torch compute with so many threads for one test, one unless the test says otherwise."""
    before, chosen = torch.get_num_threads(), getattr(request, "param", 1)
    torch.set_num_threads(chosen)
    yield chosen
    torch.set_num_threads(before)
