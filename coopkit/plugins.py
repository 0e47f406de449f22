"""Finding plugins: the entry-point group ``coopkit``, coopkit's own plugins among them.

A plugin is a module (or any object) with functions marked by `coopkit.hookimpl`. One that is
broken is left out and said so in `Registry.problems`; the others still load.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from inspect import signature
from typing import Any

import attrs
import pluggy

from coopkit import hookspecs
from coopkit.conversion import is_writable
from coopkit.errors import PluginError, did_you_mean
from coopkit.interfaces import (
    INTERFACE_VERSION,
    Descriptor,
    Generator,
    Sampler,
    Schedule,
)
from coopkit.sampling import half_kept

GROUP = "coopkit"
NO_PLUGINS = "COOPKIT_NO_PLUGINS"
"""Environment variable: set to anything but 0, only coopkit's own plugins are loaded."""

INTERFACES: dict[str, type] = {
    "descriptor": Descriptor,
    "generator": Generator,
    "sampler": Sampler,
    "schedule": Schedule,
}
RESERVED = {
    "descriptor": ("architecture", "optimizer"),
    "generator": ("architecture", "optimizer", "start"),
    "sampler": ("sampler", "steps"),
    "schedule": ("schedule",),
}
"""Keys that the recipe's tables use themselves, so that no plugin's field may."""


@attrs.frozen
class Entry:
    """One class that a plugin supplies."""

    kind: str
    name: str
    cls: type[Any]
    distribution: str
    version: str


@attrs.frozen
class Registry:
    """What the installed plugins supply, and what was wrong with those that supply nothing."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    modules: tuple[object, ...]

    def find(self, kind: str, name: str) -> type[Any]:
        """Return the class of that kind and name.

        Raises:
            PluginError: nothing has that name, or two plugins do.
        """
        found = [entry for entry in self.entries if (entry.kind, entry.name) == (kind, name)]
        if len(found) == 1:
            return found[0].cls
        if found:
            raise PluginError(duplicate_sentence(found))
        known = [entry.name for entry in self.entries if entry.kind == kind]
        others = " and a ".join(entry.kind for entry in self.entries if entry.name == name)
        but = f", but a {others}" if others else ""
        sentence = f"there is no {kind} named {name!r}{but}; {did_you_mean(name, known)}"
        raise PluginError("\n".join([sentence, *self.problems]))


def duplicate_sentence(entries: list[Entry]) -> str:
    """Say which distributions supply the same name."""
    owners = " and ".join(f"{entry.distribution} ({entry.cls.__module__})" for entry in entries)
    return f"the {entries[0].kind} {entries[0].name!r} is supplied twice, by {owners}; remove one"


def registry() -> Registry:
    """Return the installed plugins, loaded once per process."""
    return load(third_party=os.environ.get(NO_PLUGINS, "0") in ("", "0"))


@cache
def load(third_party: bool = True) -> Registry:
    """Load coopkit's own plugins and, unless told otherwise, everybody's."""
    found = list(entry_points())
    if not third_party:
        found = [(point, dist) for point, dist in found if dist.name == GROUP]
    return collect(found)


def entry_points() -> Iterator[tuple[EntryPoint, Distribution]]:
    """Yield the entry points of the group once per distribution, coopkit's own first."""
    unique = {dist.name: dist for dist in reversed(list(distributions()))}
    for dist in sorted(unique.values(), key=lambda dist: (dist.name != GROUP, dist.name or "")):
        for point in dist.entry_points:
            if point.group == GROUP:
                yield point, dist


def check_watchers(watchers: object) -> None:
    """Refuse what cannot watch a run.

    Raises:
        PluginError: the watchers are not in a list or the like, which can be read twice, one of
            them is a class, or its hooks are not right.
    """
    if not isinstance(watchers, Collection):
        what = type(watchers).__name__
        raise PluginError(f"watchers is a {what}; it must be a list, such as watchers=[watcher]")
    for watcher in watchers:
        if isinstance(watcher, type):
            cls = watcher.__name__
            raise PluginError(f"the watcher {cls} is a class; it must be an instance, {cls}(...)")
    watching(watchers)


def watching(watchers: Iterable[object]) -> pluggy.HookRelay:
    """Return the hooks of one run, of whose watchers the last is called first.

    Raises:
        PluginError: a watcher's hook does not match its specification.
    """
    manager = new_manager()
    for module in watchers:
        try:
            manager.register(module)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(
                f"the watcher {module!r} is not usable: it {mismatch(error)}"
            ) from error
        except ValueError as error:
            raise PluginError(
                f"the watcher {module!r} equals one that watches already; make its class compare "
                "by identity, or watch with one of them"
            ) from error
        if not manager.get_hookcallers(module):
            raise PluginError(f"the watcher {module!r} has no hook; mark one with @hookimpl")
    return manager.hook


def new_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows coopkit's hooks."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def collect(found: list[tuple[EntryPoint, Distribution]]) -> Registry:
    """Import and check every plugin; whatever is wrong with one becomes a sentence."""
    entries: list[Entry] = []
    problems: list[str] = []
    modules: list[object] = []
    for point, dist in found:
        where = f"the plugin {point.name!r} of {dist.name} {dist.version}"
        try:
            module = point.load()
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            problems.append(f"{where} ({point.value}) cannot be imported: {reason}")
            continue
        try:
            supplied = list(supplied_by(module, dist))
        except PluginError as error:
            problems.append(f"{where} {error}")
        except Exception as error:
            problems.append(f"{where} failed in a hook: {type(error).__name__}: {error}")
        else:
            modules.append(module)
            entries += supplied
    problems += duplicates(entries)
    return Registry(tuple(entries), tuple(problems), tuple(modules))


def supplied_by(module: object, dist: Distribution) -> Iterator[Entry]:
    """Yield what one plugin supplies, after checking its interface version, hooks and classes."""
    wanted = getattr(module, "coopkit_interface", INTERFACE_VERSION)
    if not isinstance(wanted, int):
        raise PluginError(f"has a coopkit_interface that is no whole number: {wanted!r}")
    if wanted != INTERFACE_VERSION:
        newer = wanted > INTERFACE_VERSION
        raise PluginError(
            f"is made for interface {wanted}, {'newer' if newer else 'older'} than this coopkit's "
            f"{INTERFACE_VERSION}; upgrade {'coopkit' if newer else 'the plugin'}"
        )
    manager = new_manager()
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(mismatch(error)) from error
    if not manager.get_hookcallers(module):
        raise PluginError("implements no hook; mark its functions with @coopkit.hookimpl")
    for kind in INTERFACES:
        for classes in getattr(manager.hook, f"{kind}s")():
            for cls in classes:
                check_class(kind, cls)
                yield Entry(kind, cls.name, cls, dist.name, dist.version)


def mismatch(error: pluggy.PluginValidationError) -> str:
    """Say of a plugin or a watcher which hook of it there is not, or not with its arguments."""
    hooks = new_manager().hook
    known = [name for name in vars(hookspecs) if name[0] != "_" and hasattr(hooks, name)]
    marked = hooks_of(error.plugin)
    if strange := [name for name in marked if name not in known]:
        hint = "; ".join(f"{name!r}: {did_you_mean(name, known)}" for name in strange)
        return f"implements a hook that does not exist, {hint}"
    for name, member in marked.items():
        there, asked = signature(getattr(hookspecs, name)).parameters, signature(member)
        needed = [word for word, how in asked.parameters.items() if how.default is how.empty]
        if unknown := [word for word in needed if word not in there]:
            may = " and ".join(there) or "nothing"
            return (
                f"has a hook that does not match: {name}{asked} asks for {unknown[0]!r}, which "
                f"there is not; it may ask for {may}"
            )
    return f"has a hook that does not match: {error}"


def hooks_of(plugin: object) -> dict[str, Callable[..., object]]:
    """Return what a plugin or a watcher marks as hooks that must be there, by the hook's name."""
    members = {name: getattr(plugin, name, None) for name in dir(plugin)}
    marked = {name: (x, getattr(x, f"{GROUP}_impl", None)) for name, x in members.items()}
    return {
        how["specname"] or name: member
        for name, (member, how) in marked.items()
        if callable(member) and how is not None and not how["optionalhook"]
    }


def check_class(kind: str, cls: type[Any]) -> None:
    """Refuse a class that cannot be a recipe table of that kind.

    Raises:
        PluginError: naming the class and what it lacks.
    """
    label = f"supplies {getattr(cls, '__qualname__', cls)} as a {kind}, but"
    if not (isinstance(cls, type) and attrs.has(cls)):
        raise PluginError(f"{label} it is not an attrs class; decorate it with @attrs.frozen")
    if cls.__setattr__ is not Entry.__setattr__:
        raise PluginError(f"{label} it is not frozen; decorate it with @attrs.frozen")
    try:
        attrs.resolve_types(cls)
    except NameError as error:
        raise PluginError(f"{label} the type of a field cannot be found: {error}") from error
    if not isinstance(getattr(cls, "name", None), str):
        raise PluginError(f"{label} it has no `name: ClassVar[str]`")
    members = set(dir(cls)) | set(attrs.fields_dict(cls))
    required = {name for name in vars(INTERFACES[kind]) if not name.startswith("_")}
    if missing := sorted(required - members):
        raise PluginError(f"{label} it has no {', '.join(missing)}")
    if kind == "sampler" and (half := half_kept(cls)):
        raise PluginError(f"{label} {half}")
    check_fields(kind, cls, label)


def check_fields(kind: str, cls: type[Any], label: str) -> None:
    """Refuse a class whose fields cannot be the keys of a recipe table of that kind.

    Raises:
        PluginError: naming the class, as the label does, and the field.
    """
    fields = attrs.fields(cls)
    if hidden := [field.name for field in fields if field.alias != field.name]:
        raise PluginError(f"{label} its field {hidden[0]!r} is no key; take the underscore away")
    if hidden := [field.name for field in fields if not field.init]:
        raise PluginError(f"{label} its field {hidden[0]!r} cannot be set; make it a property")
    if strange := [field for field in fields if not is_writable(field.type)]:
        raise PluginError(
            f"{label} its field {strange[0].name!r} is of a type that no recipe can hold, "
            f"{strange[0].type}; int, float, str, bool, Literal, and tuples, lists, unions and "
            "attrs classes of these can be"
        )
    if taken := sorted(set(RESERVED[kind]) & {field.name for field in fields}):
        raise PluginError(f"{label} its field {taken[0]!r} is a key of the recipe's own table")


def duplicates(entries: list[Entry]) -> Iterator[str]:
    """Yield a sentence for each name that is supplied more than once."""
    keys = [(entry.kind, entry.name) for entry in entries]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield duplicate_sentence([entry for entry in entries if (entry.kind, entry.name) == key])
