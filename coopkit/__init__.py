"""coopkit: descriptor and generator networks that teach each other.

Names are loaded when they are first used, so that importing coopkit costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coopkit.data.images import load_images
    from coopkit.errors import CoopkitError
    from coopkit.interfaces import (
        Capabilities,
        Descriptor,
        Generator,
        Sampler,
        Schedule,
        Target,
        hookimpl,
    )
    from coopkit.recipes.recipe import Recipe
    from coopkit.sampling import sample_chains
    from coopkit.steps import generate, infer, reconstruct, revise, shift_density
    from coopkit.tasks.sample import sample
    from coopkit.tasks.trained import load
    from coopkit.training import run

HOMES = {
    "Capabilities": "interfaces",
    "CoopkitError": "errors",
    "Descriptor": "interfaces",
    "Generator": "interfaces",
    "Recipe": "recipes.recipe",
    "Sampler": "interfaces",
    "Schedule": "interfaces",
    "Target": "interfaces",
    "generate": "steps",
    "hookimpl": "interfaces",
    "infer": "steps",
    "load": "tasks.trained",
    "load_images": "data.images",
    "reconstruct": "steps",
    "revise": "steps",
    "run": "training",
    "sample": "tasks.sample",
    "sample_chains": "sampling",
    "shift_density": "steps",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'coopkit' has no attribute {name!r}")
    return getattr(import_module(f"coopkit.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOMES])


__all__ = [
    "Capabilities",
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
