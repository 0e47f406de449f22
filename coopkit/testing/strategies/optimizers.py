"""Hypothesis strategies of the optimisers of a recipe: the authors' rule, and torch.optim's."""

import inspect
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from coopkit.optimizers import TORCH_OPTIMIZERS, Capped
from coopkit.testing.strategies.fields import Bounds, Table, Vary, tables_of
from coopkit.testing.strategies.schedules import schedule_tables

NUMBERS = {
    "alpha": Bounds(0, 1, below_high=True),
    "eps": Bounds(1e-12, 1e-2),
    "initial_accumulator_value": Bounds(0, 1),
    "lambd": Bounds(0, 1),
    "lr": Bounds(0, 1, above_low=True),
    "lr_decay": Bounds(0, 1),
    "momentum": Bounds(0, 1, below_high=True),
    "momentum_decay": Bounds(0, 1),
    "rho": Bounds(0, 1),
    "weight_decay": Bounds(0, 1),
}
"""Numbers of torch's optimisers, each of which may follow a schedule."""
OTHERS: dict[str, SearchStrategy[Any]] = {
    "amsgrad": st.booleans(),
    "betas": st.lists(st.floats(0, 0.999), min_size=2, max_size=2),
    "centered": st.booleans(),
    "decoupled_weight_decay": st.booleans(),
    "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 2)).map(list),
    "foreach": st.booleans(),
    "ns_steps": st.integers(1, 10),
    "step_sizes": st.tuples(st.floats(1e-9, 1e-3), st.floats(1, 50)).map(list),
}
UNFIT = ("LBFGS", "SparseAdam")


def optimizer_tables(iterations: int, vary: Vary) -> SearchStrategy[Table]:
    """Return a strategy of the table [descriptor.optimizer] or [generator.optimizer].

    Args:
        iterations: of the run, over which schedules extend.
        vary: puts schedules in place of the numbers of the authors' rule, as in `tables_of`.
    """
    capped = tables_of(Capped, vary).map(lambda table: {"name": Capped.name, **table})
    return capped | torch_tables(iterations)


@st.composite
def torch_tables(draw: st.DrawFn, iterations: int) -> Table:
    """Return a strategy of the tables of torch's optimisers, with some of their arguments."""
    name = draw(st.sampled_from([name for name in TORCH_OPTIMIZERS if name not in UNFIT]))
    parameters = inspect.signature(TORCH_OPTIMIZERS[name]).parameters
    table: Table = {"name": name}
    for key, parameter in parameters.items():
        plain = not isinstance(parameter.default, tuple)
        if key in NUMBERS and plain and draw(st.booleans()):
            bounds = NUMBERS[key]
            table[key] = draw(bounds.floats() | schedule_tables(bounds, iterations))
        elif key in OTHERS and draw(st.booleans()):
            table[key] = draw(OTHERS[key])
    return table
