"""Chains in chunks that fit into memory."""

from collections.abc import Callable

import torch
from torch import Tensor

from coopkit.fast.modes import as_traced
from coopkit.fast.plans import Plan


def chunk_within(memory: float, plan: Plan) -> int:
    """Return how many chains may be evaluated at a time, 1 or more.

    Where there are enough of them it is a multiple of the number of threads, so that every chunk
    is shared among these as the whole would be, and gives the same numbers.
    """
    fitting = int(min(plan.chains, plan.chains * memory // max(plan.bytes, 1)))
    threads = torch.get_num_threads()
    if fitting >= plan.chains:
        return plan.chains
    return max(1, fitting - fitting % threads if fitting >= threads else fitting)


def in_chunks(chunk: int, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Return function(*inputs) without a graph, never of more than `chunk` chains at a time.

    The last chunk is filled up with copies of its last chain. An input with a single row has it for
    all chains.
    """
    chains = len(inputs[0])
    with as_traced(inputs[0].device):
        if chains == chunk:
            return function(*inputs)
        inputs = tuple(x.expand(chains, *x.shape[1:]) for x in inputs)
        parts = []
        for first in range(0, chains, chunk):
            some = [x[first : first + chunk] for x in inputs]
            lacking = chunk - len(some[0])
            filled = [torch.cat([x, x[-1:].expand(lacking, *x.shape[1:])]) for x in some]
            parts.append(function(*filled)[: chunk - lacking])
        return torch.cat(parts)
