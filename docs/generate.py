"""What the site takes from the code: the tables of the recipe reference, and the pages of the API.

mkdocs calls the functions named ``on_...`` while it builds the site. Nothing that they write is
kept in the repository, so none of it can fall behind.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from coopkit.plugins import load
from coopkit.recipes import KEYS, packaged_recipes
from coopkit.recipes.reference import fields_of, first_line

PACKAGE = Path(__file__).parent.parent / "coopkit"
REFERENCE = "recipes.md"
MARKER = re.compile(r"^<!-- (\w+): ([\w ]+) -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the API at the end of the navigation."""
    pages = [{title: path} for path, title, _ in api_pages()]
    config.nav = [*(config.nav or []), {"API": pages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every module."""
    for path, _, text in api_pages():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the tables of the recipe reference."""
    return fill(markdown) if page.file.src_uri == REFERENCE else markdown


def api_pages() -> Iterator[tuple[str, str, str]]:
    """Yield the path, the title and the text of the page of each module."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.stem == "__main__":
            continue
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        module = ".".join(parts)
        path = "/".join(("api", *parts[1:])) if len(parts) > 1 else "api/coopkit"
        yield f"{path}.md", module, f"# {module}\n\n::: {module}\n"


def fill(markdown: str) -> str:
    """Replace each marker of a page by what it stands for."""
    return MARKER.sub(lambda found: WRITERS[found[1]](found[2]), markdown)


def write_table(name: str) -> str:
    """Return the keys of one of the recipe's own tables."""
    return table_of(KEYS[name])


def write_plugins(kind: str) -> str:
    """Return the keys of every plugin of a kind that comes in the box."""
    entries = [entry for entry in load(third_party=False).entries if entry.kind == kind]
    return "\n\n".join(
        f"### {kind} `{entry.name}`\n\n{first_line(entry.cls)}\n\n{table_of(entry.cls)}"
        for entry in entries
    )


def write_recipes(_: str) -> str:
    """Return the packaged recipes with the first line of each."""
    rows = [
        (f"`{name}`", text.splitlines()[0].lstrip("# "))
        for name, text in packaged_recipes().items()
    ]
    return as_table(("recipe", "what it trains"), rows)


WRITERS: dict[str, Callable[[str], str]] = {
    "table": write_table,
    "plugins": write_plugins,
    "recipes": write_recipes,
}


def table_of(cls: type[Any]) -> str:
    """Return the fields of a recipe table."""
    rows = [
        (f"`{field.name}`", field.type, default(field.default), field.meaning)
        for field in fields_of(cls)
    ]
    return as_table(("key", "type", "default", "meaning and unit"), rows)


def default(text: str) -> str:
    """Return a default as code, or say that there is none."""
    return "required" if text == "required" else f"`{text}`"


def as_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    """Return a text that ends no cell."""
    return text.replace("|", "\\|")
