"""Parallel tempering against the conformance kit."""

import pytest
from coopkit_parallel_tempering import ParallelTempering

from coopkit.testing import checks_of

SETTLING = 300
"""Steps in which replicas come to their laws on the targets of the kit."""


def conformance(of_bias: bool, *samplers):
    """Return the checks of the order of the bias, or all the others."""
    found = [
        check
        for sampler in samplers
        for check in checks_of(sampler)
        if check.check.name.startswith("bias-order") == of_bias
        if not check.check.applies(sampler)
    ]
    return pytest.mark.parametrize("check", found, ids=str)


@conformance(
    False,
    ParallelTempering(),
    ParallelTempering(replicas=3, hottest=9.0, swap_every=2, settle=2),
)
def test_conformance(check):
    check()


@conformance(True, ParallelTempering(replicas=3, hottest=2.5, swap_every=2, settle=SETTLING))
def test_conformance_of_the_bias(check):
    """From replicas that have settled: those that have not push the coldest off its law."""
    check()
