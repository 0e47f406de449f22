"""From a name and fields to the sampler that is to be checked."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from coopkit.conversion import TableProblems
from coopkit.errors import CoopkitError, PluginError, did_you_mean
from coopkit.interfaces import Sampler
from coopkit.plugins import check_class, registry
from coopkit.recipes.overrides import apply_overrides
from coopkit.recipes.tables import structure


def sampler_class(name: str) -> type[Any]:
    """Return the class of a sampler.

    Args:
        name: as recipes say it, or for one that no plugin supplies "module:Class", whose module
            may be in the current folder, or "file.py:Class".

    Raises:
        CoopkitError: there is none, or it is no sampler.
    """
    module_name, colon, class_name = name.rpartition(":")
    if not colon:
        try:
            return registry().find("sampler", name)
        except PluginError as error:
            hint = "a class that no plugin supplies is named by its import path, module:Class"
            if name.endswith(".py"):
                hint = f"a class in a file is named by both, {name}:Class"
            raise PluginError(f"{error}\n{hint}") from error
    try:
        module = module_named(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise CoopkitError(f"{name}: {module_name!r} cannot be imported: {reason}") from error
    cls = getattr(module, class_name, None)
    if cls is None:
        known = [word for word, value in vars(module).items() if attrs.has(type_of(value))]
        hint = did_you_mean(class_name, known)
        raise CoopkitError(f"{name}: {module_name!r} has no {class_name!r}; {hint}")
    try:
        check_class("sampler", cls)
    except PluginError as error:
        raise CoopkitError(f"{name}: {module_name!r} {error}") from error
    checked: type[Any] = cls
    return checked


def module_named(name: str) -> ModuleType:
    """Return a module, by its name or by the path of its file, which ends in .py.

    Its folder, or the current one, is where the modules are that it imports.

    Raises:
        Exception: it cannot be imported, for whatever reason.
    """
    is_file = name.endswith(".py")
    folder = str(Path(name).resolve().parent) if is_file else os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if not is_file:
        return import_module(name)
    spec = spec_from_file_location(f"checked_{Path(name).stem}", name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def type_of(value: object) -> type[Any]:
    """Return a class itself, and for all else a class without fields."""
    return value if isinstance(value, type) else object


def sampler_instance(name: str, settings: Sequence[str] = ()) -> Sampler[Any]:
    """Return a sampler with its fields set as a recipe sets them.

    Args:
        name: as for `sampler_class`.
        settings: "key=value", the value in TOML or a bare word.

    Raises:
        CoopkitError: there is no such sampler, or its fields do not take the values.
    """
    cls = sampler_class(name)
    for setting in settings:
        if "=" not in setting:
            raise CoopkitError(f"--set {setting} must be --set KEY=VALUE")
    fields: dict[str, Any] = {}
    try:
        apply_overrides(fields, settings)
        sampler: Sampler[Any] = structure(cls, fields)
    except TableProblems as error:
        lines = [f"{name}: {f'{path} {sentence}'.strip()}" for path, sentence in error.items]
        raise CoopkitError("\n".join(lines)) from error
    return sampler


def fields_without_default(cls: type[Any]) -> list[str]:
    """Return the names of the fields that a sampler of a class cannot be made without."""
    return [field.name for field in attrs.fields(cls) if field.init and field.default is NOTHING]


NOTHING: Any = attrs.NOTHING
