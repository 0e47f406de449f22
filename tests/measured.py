"""The parts of a page that a script measures."""

import os
import platform
import re
from pathlib import Path

import torch


def machine() -> str:
    """Return what a figure was measured with."""
    return (
        f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def processor() -> str:
    """Return the name of the processor, where the system tells it."""
    table = Path("/proc/cpuinfo")
    text = table.read_text(encoding="utf-8") if table.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def write_part(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a part of a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
