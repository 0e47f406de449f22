"""coopkit: descriptor and generator networks that teach each other.

Names are loaded when they are first used, so that importing coopkit costs no more than torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coopkit.interfaces import (
    Descriptor,
    Generator,
    Sampler,
    Schedule,
    Target,
    hookimpl,
)

if TYPE_CHECKING:
    from coopkit.data import load_images
    from coopkit.errors import CoopkitError
    from coopkit.recipe import Recipe
    from coopkit.sampling import sample_chains
    from coopkit.steps import generate, infer, reconstruct, revise, shift_density
    from coopkit.tasks.sample import sample
    from coopkit.tasks.trained import load
    from coopkit.training import run

LAZY = {
    "CoopkitError": "coopkit.errors",
    "Recipe": "coopkit.recipe",
    "generate": "coopkit.steps",
    "infer": "coopkit.steps",
    "load": "coopkit.tasks.trained",
    "load_images": "coopkit.data",
    "reconstruct": "coopkit.steps",
    "revise": "coopkit.steps",
    "run": "coopkit.training",
    "sample": "coopkit.tasks.sample",
    "sample_chains": "coopkit.sampling",
    "shift_density": "coopkit.steps",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'coopkit' has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)


__all__ = [
    "CoopkitError",
    "Descriptor",
    "Generator",
    "Recipe",
    "Sampler",
    "Schedule",
    "Target",
    "generate",
    "hookimpl",
    "infer",
    "load",
    "load_images",
    "reconstruct",
    "revise",
    "run",
    "sample",
    "sample_chains",
    "shift_density",
]
