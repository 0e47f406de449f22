"""A network as a function of its input alone, prepared once and then evaluated many times."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import torch
from torch import Tensor, nn

from coopkit.derivatives import gradient, pull
from coopkit.fast.choices import MEASURED, Choices, fastest, where
from coopkit.fast.chunks import chunk_within, in_chunks
from coopkit.fast.modes import as_traced, cast_to, is_transformed
from coopkit.fast.plans import Plan, Purpose, make_plan
from coopkit.fast.tracing import UntraceableError, constants_of, first_line, numbers_of
from coopkit.targets import frozen

Key = tuple[Any, ...]


@attrs.frozen
class AsItIs:
    """Why a network is run as it is, and of how many chains at a time; None for all at once."""

    reason: str
    chains: int | None = None


ANY: Key = ()
"""Any numbers that a network may hold."""

Plans = dict[Key, dict[Key, Plan | AsItIs]]
"""By purpose, shape and type, and then by the numbers that the network held."""

ROUNDING = 2e-2
"""The relative difference from the network itself that a plan may have.

Rounding moves some units across the kink of a ReLU; a wrong plan is off by more.
"""

HALF_ROUNDING = 0.2
"""The same under mixed precision, where the network itself is off by up to 0.1."""

COMPARED = 4
"""Chains of which a new plan's results are compared with the network's own."""

CHANGES = 4
"""Times that the numbers of a network may have changed before it is run as it is."""


@attrs.define(eq=False)
class Preparation:
    """Prepares networks, in place of `coopkit.targets.frozen`.

    Attributes:
        choices: which way each convolution is computed.
        memory: bytes that one evaluation may take at a time; more chains are done in chunks.
        plans: what was traced, for each network by purpose and shape, or why it is run as it is.
    """

    choices: Choices = attrs.field(factory=Choices)
    memory: float = float("inf")
    plans: "WeakKeyDictionary[nn.Module, Plans]" = attrs.field(factory=WeakKeyDictionary)

    def __call__(self, network: nn.Module) -> "Prepared":
        """Return the network as a function of its input alone."""
        return Prepared(network, self)

    def reason(self, network: nn.Module) -> str:
        """Return why a network is run as it is; empty where nothing speaks against."""
        known = self.plans.get(network, {}).values()
        found = [plan for plans in known for plan in plans.values()]
        return "; ".join(sorted({plan.reason for plan in found if isinstance(plan, AsItIs)}))


class Prepared:
    """A network as a function of its input alone; its parameters enter as constants.

    It gives what `frozen(network)` gives, to rounding, and faster: what depends on the weights
    alone is computed once, the gradient with respect to them never. A network that cannot be
    prepared is run as it is. Plans have memory that is used again: one thread at a time.
    """

    def __init__(self, network: nn.Module, preparation: Preparation) -> None:
        self.network = network
        self.preparation = preparation
        self.plans = preparation.plans.setdefault(network, {})
        self.plain = frozen(network)
        self.constants = list(constants_of(network).values())
        self.numbers = numbers_of(network)
        self.derived: dict[Plan, tuple[tuple[int, ...], tuple[Any, ...]]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return network(x), differentiable with respect to x."""
        if is_transformed(x):
            return self.plain(x)
        if torch.is_grad_enabled() and x.requires_grad:
            plan = self.plan("pull", x)
            if plan is None or plan.chains < len(x):
                return self.plain(x)
            result: Tensor = Evaluation.apply(x, self, plan)  # type: ignore[no-untyped-call]
            return result
        known = self.found("value", x)
        if isinstance(known, AsItIs):
            return as_it_is(known, self.plain, x)
        derived = self.derive(known)
        return in_chunks(known.chains, lambda x: known.forward(*derived, x)[0], x)

    def gradient(self, x: Tensor) -> Tensor:
        """Return ∂ Σ network(x) / ∂x, detached, of the shape of x."""
        plan = self.found("gradient", x)
        if isinstance(plan, AsItIs):
            return as_it_is(plan, partial(gradient, self.plain), x)
        derived = self.derive(plan)
        return in_chunks(plan.chains, lambda x: plan.forward(*derived, x)[0], x)

    def pull(self, x: Tensor, toward: Callable[..., Tensor], *along: Tensor) -> Tensor:
        """Return p · ∂ network(x) / ∂x for p = toward(network(x), *along), detached."""
        plan = self.found("pull", x)
        if isinstance(plan, AsItIs):
            return as_it_is(plan, lambda x, *along: pull(self.plain, x, toward, *along), x, *along)
        derived = self.derive(plan)

        def pulled(x: Tensor, *along: Tensor) -> Tensor:
            drawn, *kept = plan.forward(*derived, x)
            assert plan.backward is not None
            along_g = toward(drawn, *along).to(drawn.dtype)
            (value,) = plan.backward(*derived, *kept, along_g)
            return value  # type: ignore[no-any-return]

        return in_chunks(plan.chains, pulled, x, *along)

    def derive(self, plan: Plan) -> tuple[Any, ...]:
        """Return what depends on the weights alone; anew when they have changed."""
        versions = tuple(constant._version for constant in self.constants)
        known = self.derived.get(plan)
        if known is None or known[0] != versions:
            with as_traced(self.constants[0].device if self.constants else torch.device("cpu")):
                known = versions, plan.derive(*self.constants)
            self.derived[plan] = known
        return known[1]

    def plan(self, purpose: Purpose, x: Tensor) -> Plan | None:
        """Return the plan for inputs like x, made and tried out at the first of them."""
        found = self.found(purpose, x)
        return found if isinstance(found, Plan) else None

    def found(self, purpose: Purpose, x: Tensor) -> Plan | AsItIs:
        """Return the plan for inputs like x, or why the network is run as it is."""
        alike = (purpose, tuple(x.shape), x.dtype, x.device, cast_to(x.device))
        known = self.plans.setdefault(alike, {})
        if self.numbers not in known and len(known) > CHANGES:
            known.clear()
            known[ANY] = AsItIs("the numbers that it holds change again and again")
        if ANY in known:
            return known[ANY]
        if self.numbers not in known:
            known[self.numbers] = self.new_plan(purpose, x.detach())
        return known[self.numbers]

    def new_plan(self, purpose: Purpose, x: Tensor) -> Plan | AsItIs:
        """Return a plan that agrees with the network at x, or why there is none.

        It is tried out on no more chains than are evaluated at a time.
        """
        try:
            whole = self.plan_for(purpose, x)
            chunk = chunk_within(self.preparation.memory, whole)
            some = x[: min(chunk, MEASURED)]
            tried = whole if len(some) == len(x) else self.plan_for(purpose, some)
            problem = self.disagreement(purpose, tried, some)
            if not problem and tried.weighty and not self.wins(purpose, tried, some):
                problem = "it is faster as it is"
            if problem or chunk > len(some):
                self.derived.pop(tried, None)
            if problem:
                return AsItIs(problem, chunk)
            if chunk == len(some):
                return tried
            return whole if chunk == len(x) else self.plan_for(purpose, x[:chunk])
        except UntraceableError as error:
            return AsItIs(str(error))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return AsItIs(f"it cannot be prepared: {first_line(error)}")

    def plan_for(self, purpose: Purpose, x: Tensor) -> Plan:
        """Return a plan that nothing is known of yet."""
        return make_plan(self.network, purpose, x, self.preparation.choices)

    def wins(self, purpose: Purpose, plan: Plan, x: Tensor) -> bool:
        """Whether a plan is faster than the network itself, by measurement at its first use."""
        derived = self.derive(plan)

        def prepared() -> None:
            with as_traced(x.device):
                drawn, *kept = plan.forward(*derived, x)
                if plan.backward is not None:
                    plan.backward(*derived, *kept, torch.zeros_like(drawn))

        def plain() -> None:
            if purpose == "value":
                self.plain(x)
            elif purpose == "gradient":
                gradient(self.plain, x)
            else:
                pull(self.plain, x, torch.zeros_like)

        key = f"{purpose} {sha256(plan.text.encode()).hexdigest()[:12]}, {where(x)}"
        ways = {"prepared": prepared, "as it is": plain}
        chosen = self.preparation.choices.settle(key, list(ways), lambda: fastest(ways, x.device))
        return chosen == "prepared"

    def disagreement(self, purpose: Purpose, plan: Plan, x: Tensor) -> str:
        """Return how far a plan is from the network itself, where rounding cannot be the cause.

        A few chains are compared, which take little memory also where the network is run as it is.
        """
        derived, some = self.derive(plan), x[:COMPARED]
        with as_traced(x.device):
            first, *kept = plan.forward(*derived, x)
        if purpose == "gradient":
            pairs = [(first, gradient(self.plain, some))]
        else:
            pairs = [(first.clone(), self.plain(some).detach())]
        if plan.backward is not None:
            with as_traced(x.device):
                (pulled,) = plan.backward(*derived, *kept, pairs[0][0].clone())
            pairs.append((pulled, pull(self.plain, some, torch.clone)))
        rounding = HALF_ROUNDING if plan.half else ROUNDING
        for fast, plain in pairs:
            norm = plain.float().norm()
            distance = torch.dist(fast[:COMPARED].float(), plain.float())
            if norm.isfinite() and not distance <= rounding * norm:
                return (
                    f"prepared, its {purpose} differs by {float(distance / norm):.1e} of its norm"
                )
        return ""


def as_it_is(said: AsItIs, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Return function(*inputs) of a network that has no plan, within the memory where it is known.

    It is cast as where it is called, which chunks are not.
    """
    if said.chains is None or said.chains >= len(inputs[0]):
        return function(*inputs)
    cast = cast_to(inputs[0].device)

    def cast_again(*some: Tensor) -> Tensor:
        with torch.autocast(some[0].device.type, cast, enabled=cast is not None):
            return function(*some)

    return in_chunks(said.chains, cast_again, *inputs)


class Evaluation(torch.autograd.Function):
    """network(x) in a graph."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, prepared: Prepared, plan: Plan) -> Tensor:
        """Return network(x)."""
        ctx.prepared, ctx.plan, ctx.derived = prepared, plan, prepared.derive(plan)
        with as_traced(x.device):
            drawn, *ctx.kept = plan.forward(*ctx.derived, x.detach())
        ctx.save_for_backward(x)
        return drawn.clone()  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *pulls: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient with respect to x; with a graph of its own where one is wanted."""
        (x,), (given,) = ctx.saved_tensors, pulls
        again = torch.is_grad_enabled()
        if again or is_transformed(given):
            with torch.enable_grad():
                seen = x if again else x.detach().requires_grad_()
                drawn = ctx.prepared.plain(seen)
            (value,) = torch.autograd.grad(drawn, seen, given, create_graph=again)
        else:
            with as_traced(x.device):
                (value,) = ctx.plan.backward(*ctx.derived, *ctx.kept, given)
        return value, None, None
