"""The plugins that come in the box, registered as any third party's are."""

from coopkit.builtin.descriptors import (
    FaceDescriptor,
    ObjectDescriptor,
    SceneDescriptor,
    TextureDescriptor,
)
from coopkit.builtin.generators import (
    FaceGenerator,
    ObjectGenerator,
    SceneGenerator,
    TextureGenerator,
)
from coopkit.builtin.langevin import Langevin
from coopkit.builtin.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    Piecewise,
    Polynomial,
)
from coopkit.interfaces import Descriptor, Generator, Sampler, Schedule, hookimpl

coopkit_interface = 1


@hookimpl
def descriptors() -> list[type[Descriptor]]:
    """Supply the paper's four descriptors."""
    return [TextureDescriptor, ObjectDescriptor, FaceDescriptor, SceneDescriptor]


@hookimpl
def generators() -> list[type[Generator]]:
    """Supply the paper's four generators."""
    return [TextureGenerator, ObjectGenerator, FaceGenerator, SceneGenerator]


@hookimpl
def samplers() -> list[type[Sampler]]:  # type: ignore[type-arg]
    """Supply Langevin dynamics."""
    return [Langevin]


@hookimpl
def schedules() -> list[type[Schedule]]:
    """Supply the schedules."""
    return [Constant, Linear, Cosine, Exponential, Polynomial, Piecewise]


__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "FaceDescriptor",
    "FaceGenerator",
    "Langevin",
    "Linear",
    "ObjectDescriptor",
    "ObjectGenerator",
    "Piecewise",
    "Polynomial",
    "SceneDescriptor",
    "SceneGenerator",
    "TextureDescriptor",
    "TextureGenerator",
]
