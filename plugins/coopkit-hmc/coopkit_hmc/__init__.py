"""Hamiltonian Monte Carlo, a plugin of coopkit."""

from coopkit import hookimpl
from coopkit_hmc.sampler import Hmc
from coopkit_hmc.trajectories import HmcState

coopkit_interface = 1


@hookimpl
def samplers() -> list[type[Hmc]]:
    """Supply Hamiltonian Monte Carlo."""
    return [Hmc]


__all__ = ["Hmc", "HmcState"]
