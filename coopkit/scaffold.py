"""A new plugin's package, written whole from the templates in ``coopkit/templates`` or not at all.

A template is a file whose name ends in ``.template``. Markers such as ``@@name`` stand for what
depends on the plugin, in its text and in its path.
"""

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterator
from importlib import resources
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import attrs

from coopkit.errors import ScaffoldError
from coopkit.interfaces import INTERFACE_VERSION
from coopkit.plugins import INTERFACES, registry
from coopkit.writing import TEMPORARY

KINDS = tuple(INTERFACES)
SUFFIX = ".template"
LONGEST = 39
"""Characters of a name; with more, lines of the templates would be longer than 100 columns."""

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Marked(Template):
    """A text with markers: ``@@name``, or ``@@{name}`` where letters follow."""

    delimiter = "@@"


@attrs.frozen
class Plugin:
    """What a new plugin is called.

    Attributes:
        kind: "descriptor", "generator", "sampler" or "schedule".
        name: the word by which recipes choose it, such as "preconditioned-langevin".
    """

    kind: str
    name: str

    @property
    def stem(self) -> str:
        """The name as part of a Python name, such as "preconditioned_langevin"."""
        return self.name.replace("-", "_")

    @property
    def camel(self) -> str:
        """The name as that of a class, such as "PreconditionedLangevin"."""
        return "".join(word.capitalize() for word in self.name.split("-"))

    @property
    def module(self) -> str:
        """The module that is imported."""
        return f"coopkit_{self.stem}"

    @property
    def package(self) -> str:
        """The distribution that is installed, and its folder."""
        return f"coopkit-{self.name}"


def new_plugin(kind: str, name: str, folder: Path) -> Path:
    """Write a package that supplies one plugin: code, tests, recipe, README and CI.

    Args:
        kind: of the plugin: "descriptor", "generator", "sampler" or "schedule".
        name: by which recipes will choose it: lower-case words joined by hyphens.
        folder: under which coopkit-NAME is written.

    Returns:
        Where the package is.

    Raises:
        ScaffoldError: the name is not usable or is taken, or the package cannot be written; there
            is nothing of it then.
    """
    if kind not in KINDS:
        raise ScaffoldError(f"there is no kind of plugin {kind!r}; known: {', '.join(KINDS)}")
    refuse_wrong_name(kind, name)
    plugin = Plugin(kind, name)
    place = folder / plugin.package
    refuse_taken_place(place)
    refuse_installed(plugin)
    refuse_supplied(plugin)
    files = dict(rendered(plugin))
    try:
        with TemporaryDirectory(prefix=TEMPORARY, dir=folder) as scratch:
            written = Path(scratch) / plugin.package
            for path, text in files.items():
                file = written / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
            written.rename(place)
    except OSError as error:
        reason = error.strerror or error
        raise ScaffoldError(f"{place} cannot be written: {reason}") from error
    return place


def refuse_wrong_name(kind: str, name: str) -> None:
    """Refuse what is no name of a plugin.

    Raises:
        ScaffoldError: with the rule, and a name that keeps to it.
    """
    rule = "a name is lower-case words of letters and digits joined by hyphens, a letter first"
    if name == "coopkit" or name.startswith("coopkit-"):
        rule = "the package is called coopkit-NAME by itself, so give NAME alone"
    elif NAME.fullmatch(name) and len(name) > LONGEST:
        rule = f"a name has at most {LONGEST} characters, not {len(name)}"
    elif NAME.fullmatch(name) and any(map(keyword.iskeyword, (name, name.capitalize()))):
        rule = "this is a keyword of Python"
    elif NAME.fullmatch(name):
        return
    raise ScaffoldError(f"{name!r} cannot name a {kind}: {rule}, such as {suggestion(kind, name)}")


def suggestion(kind: str, name: str) -> str:
    """Return the usable name that is nearest to one that is not."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", ascii_only).lower()
    slug = re.sub(r"[^a-z0-9]+", "-", parted).strip("-")
    slug = re.sub(r"^(coopkit(-|$))+", "", slug)
    if slug and not slug[0].isalpha():
        slug = f"{kind}-{slug}"
    if any(map(keyword.iskeyword, (slug, slug.capitalize()))):
        slug = f"{slug}-{kind}"
    if len(slug) > LONGEST:
        slug = slug[: LONGEST + 1].rpartition("-")[0] or slug[:LONGEST]
    return slug or f"my-{kind}"


def refuse_taken_place(place: Path) -> None:
    """Refuse a folder that is there already, or that has none to be in.

    Raises:
        ScaffoldError: naming it.
    """
    if not place.parent.is_dir():
        raise ScaffoldError(f"{place.parent} is no folder; make it, or give another with --in")
    if place.exists() or place.is_symlink():
        raise ScaffoldError(f"{place} is there already; give another name, or a folder with --in")


def refuse_installed(plugin: Plugin) -> None:
    """Refuse a package that would hide an installed one.

    Raises:
        ScaffoldError: naming the distribution or the module.
    """
    try:
        found = distribution(plugin.package)
    except PackageNotFoundError:
        pass
    else:
        raise ScaffoldError(
            f"a package {plugin.package} is installed already, version {found.version}; "
            "give another name"
        )
    spec = find_spec(plugin.module)
    if spec is not None:
        raise ScaffoldError(
            f"a module {plugin.module} can be imported already, from {origin(spec)}; "
            "give another name"
        )


def origin(spec: ModuleSpec) -> str:
    """Return where a module is."""
    return spec.origin or ", ".join(spec.submodule_search_locations or ["nowhere"])


def refuse_supplied(plugin: Plugin) -> None:
    """Refuse a name that an installed plugin supplies.

    Raises:
        ScaffoldError: naming its distribution.
    """
    for entry in registry().entries:
        if (entry.kind, entry.name) == (plugin.kind, plugin.name):
            raise ScaffoldError(
                f"{entry.distribution} {entry.version} supplies a {plugin.kind} {plugin.name!r} "
                "already; give another name"
            )


def rendered(plugin: Plugin) -> Iterator[tuple[str, str]]:
    """Yield the path of each file in the package, and its text."""
    templates = resources.files("coopkit") / "templates"
    found = [
        (path, source.read_text(encoding="utf-8"))
        for part in ("package", plugin.kind)
        for path, source in files_below(templates / part)
    ]
    code = "\n".join(text for path, text in found if path.endswith(".py"))
    values = {
        "kind": plugin.kind,
        "name": plugin.name,
        "stem": plugin.stem,
        "module": plugin.module,
        "package": plugin.package,
        "class": class_name(plugin, set(re.findall(r"\w+", code))),
        "interface": str(INTERFACE_VERSION),
        "version": version("coopkit"),
    }
    for path, text in found:
        yield Marked(path).substitute(values), Marked(text).substitute(values)


def class_name(plugin: Plugin, words: set[str]) -> str:
    """Return a class name that no word of the templates and no builtin has: Tensor is taken."""
    clash = plugin.camel in words or hasattr(builtins, plugin.camel)
    return plugin.camel + plugin.kind.capitalize() if clash else plugin.camel


def files_below(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield the templates below a folder, and the path that each has there without its suffix."""
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from files_below(item, f"{path}{item.name}/")
        elif item.name.endswith(SUFFIX):
            yield f"{path}{item.name.removesuffix(SUFFIX)}", item


__all__ = ["KINDS", "Plugin", "new_plugin"]
