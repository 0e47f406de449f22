"""Property-based proof that a sampler is right, for coopkit's own and for anyone's.

Names are loaded when they are first used, so that pytest can find the plugin of this package
without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coopkit.testing.needs import needed_extra

if TYPE_CHECKING:
    from coopkit.testing.checks import CHECKS
    from coopkit.testing.conformance import check_sampler, checks_of, parametrize_with_checks
    from coopkit.testing.diagnosis import Diagnosis, likeliest_mistakes
    from coopkit.testing.records import Check, Result
    from coopkit.testing.strategies.recipes import recipes, schedules
    from coopkit.testing.strategies.targets import (
        chain_batches,
        descriptors,
        gaussian_targets,
        linear_generators,
        signal_shapes,
    )

HOMES = {
    "CHECKS": "checks",
    "Check": "records",
    "Diagnosis": "diagnosis",
    "Result": "records",
    "chain_batches": "strategies.targets",
    "check_sampler": "conformance",
    "checks_of": "conformance",
    "descriptors": "strategies.targets",
    "gaussian_targets": "strategies.targets",
    "likeliest_mistakes": "diagnosis",
    "linear_generators": "strategies.targets",
    "parametrize_with_checks": "conformance",
    "recipes": "strategies.recipes",
    "schedules": "strategies.schedules",
    "signal_shapes": "strategies.targets",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'coopkit.testing' has no attribute {name!r}")
    with needed_extra():
        return getattr(import_module(f"coopkit.testing.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOMES])


__all__ = [
    "CHECKS",
    "Check",
    "Diagnosis",
    "Result",
    "chain_batches",
    "check_sampler",
    "checks_of",
    "descriptors",
    "gaussian_targets",
    "likeliest_mistakes",
    "linear_generators",
    "parametrize_with_checks",
    "recipes",
    "schedules",
    "signal_shapes",
]
