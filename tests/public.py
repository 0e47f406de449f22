"""The list of what is public, read from the source; `make public` writes it anew.

It stands in docs/public.md. CHANGELOG.md names its fingerprint, so that nobody changes what others
build on without meeting the place where they are told.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "public.md"
CHANGELOG = ROOT / "CHANGELOG.md"
MODULES = (
    "coopkit.interfaces",
    "coopkit.hookspecs",
    "coopkit.targets",
    "coopkit.derivatives",
    "coopkit.precision",
    "coopkit.sampling",
    "coopkit.steps",
    "coopkit.iterations",
    "coopkit.errors",
    "coopkit.tuning",
    "coopkit.tasks.complete",
    "coopkit.tasks.energy",
    "coopkit.tasks.evaluate",
    "coopkit.tasks.given",
    "coopkit.tasks.infer",
    "coopkit.tasks.inpaint",
    "coopkit.tasks.interpolate",
    "coopkit.tasks.masks",
    "coopkit.tasks.prior",
    "coopkit.tasks.reconstruct",
    "coopkit.tasks.sample",
    "coopkit.tasks.sizes",
)
"""Modules that are public as they stand; of the rest, what `FRONTS` offer."""
FRONTS = ("coopkit", "coopkit.inpainting", "coopkit.testing", "coopkit.fast", "coopkit.builtin")
"""Packages whose `__all__` is public, wherever the names live."""
LISTING = re.compile(r"```text\n(.*?)```", re.DOTALL)
FINGERPRINT = re.compile(r"^Public interface: `([0-9a-f]{12})`$", re.MULTILINE)


def listing() -> str:
    """Return a line for everything that is public, in alphabetical order."""
    lines = {line for module in MODULES for line in lines_of(module, offered(tree_of(module)))}
    for front in FRONTS:
        lines |= set(lines_of_front(front))
    return "".join(f"{line}\n" for line in sorted(lines))


def fingerprint(text: str) -> str:
    """Return what names a listing in the changelog."""
    return sha256(text.encode()).hexdigest()[:12]


def tree_of(module: str) -> ast.Module:
    """Return the source of a module."""
    base = ROOT.joinpath(*module.split("."))
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def offered(tree: ast.Module) -> list[str]:
    """Return `__all__` of a module; an empty list where it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def lines_of_front(front: str) -> Iterator[str]:
    """Yield what a package offers, under its own name, with signatures, fields and bases."""
    tree = tree_of(front)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    for name in offered(tree):
        home = homes[name]
        assert home is not None
        for line in lines_of(home, [name]):
            yield line.replace(home, front, 1)


def lines_of(module: str, names: Sequence[str]) -> Iterator[str]:
    """Yield those names of a module, all without an underscore if none are given, in detail."""
    for node in tree_of(module).body:
        for name, text in said(node):
            if (name in names) if names else not name.startswith("_"):
                yield f"{module}.{text}"
                if isinstance(node, ast.ClassDef):
                    yield from (f"{module}.{name}.{line}" for line in members(node))


def members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the public fields and methods of a class."""
    for part in node.body:
        yield from (text for name, text in said(part) if not name.startswith("_"))


def said(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the name that a statement defines, and a line that says how it is used."""
    match node:
        case ast.ClassDef(name=name, bases=bases):
            yield name, f"{name}({', '.join(map(ast.unparse, bases))})"
        case ast.FunctionDef(name=name, args=args, returns=returns, decorator_list=marks):
            result = ast.unparse(returns) if returns else "None"
            wholly = any(ast.unparse(mark) == "property" for mark in marks)
            yield name, f"{name}{'' if wholly else f'({ast.unparse(args)})'} -> {result}"
        case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value):
            given = f" = {ast.unparse(value)}" if value else ""
            yield name, f"{name}: {ast.unparse(kind)}{given}"
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name != "__all__":
            yield name, f"{name} = {ast.unparse(value)}"


def stored() -> str:
    """Return the listing of the page."""
    found = LISTING.search(PAGE.read_text(encoding="utf-8"))
    return found[1] if found else ""


def recorded(changelog: str) -> str:
    """Return the fingerprint of the newest section of a changelog."""
    newest = changelog.split("\n## ")[1]
    found = FINGERPRINT.search(newest)
    return found[1] if found else ""


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(LISTING.sub(lambda _: f"```text\n{listing()}```", text), encoding="utf-8")
    print(
        f"say in CHANGELOG.md what has changed, under\nPublic interface: `{fingerprint(listing())}`"
    )
