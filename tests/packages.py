"""Everything from built wheels, in an environment that has never seen the sources.

Run as `make packages`. It builds coopkit and every package under plugins/, installs the wheels into
a fresh virtual environment, and does there what a stranger would: list the plugins, run each
package's recipe for one iteration, check each sampler, and follow the plugin tutorial to the
letter.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
CONSTRAINTS = ROOT / "constraints.txt"
GUIDE = ROOT / "docs" / "plugins.md"
TUTORIAL = re.compile(r"^## A plugin in ten minutes\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(
    r'^```(?:console|\{ .python title="(.+)" \})\n(.*?)^```', re.MULTILINE | re.DOTALL
)
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
TESTS = ("hypothesis", "pytest", "scipy")


class Stranger:
    """Someone with an empty folder and a virtual environment of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home / "venv" / "bin"
        venv.create(home / "venv", with_pip=True)
        left_out = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        self.environment = {k: v for k, v in os.environ.items() if k not in left_out}
        self.environment["PATH"] = f"{self.bin}:{os.environ['PATH']}"
        self.environment["PIP_CONSTRAINT"] = str(CONSTRAINTS)
        self.environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"

    def does(self, *words: str, inside: str = ".") -> str:
        """Run a command and return what it printed; end everything if it fails."""
        print("$", *words, flush=True)
        done = subprocess.run(
            words,
            cwd=self.home / inside,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{done.stdout}\nfailed with status {done.returncode}: {' '.join(words)}")
        return done.stdout

    def installs(self, *packages: str) -> None:
        """Install packages with pip."""
        self.does("python", "-m", "pip", "install", "--quiet", *packages)


def build(home: Path) -> list[str]:
    """Return the wheels of coopkit and of every package."""
    places = [str(path) for path in (ROOT, *PACKAGES)]
    wheels = home / "wheels"
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels)]
    subprocess.run(
        [*pip, *places], check=True, env={**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS)}
    )
    return [str(path) for path in sorted(wheels.glob("*.whl"))]


def samplers_of(listing: str, distribution: str) -> list[str]:
    """Return the samplers that `coopkit plugins` lists of a distribution."""
    rows = [line.split() for line in listing.splitlines()]
    return [row[0] for row in rows if row[1:3] == ["sampler", distribution]]


def tutorial() -> Iterator[tuple[str, str]]:
    """Yield the blocks of the plugin tutorial: a file's name, or nothing, and the text."""
    found = TUTORIAL.search(GUIDE.read_text(encoding="utf-8"))
    assert found, f"{GUIDE} has no tutorial"
    for title, text in BLOCK.findall(found[1]):
        yield title, SNIPPET.sub(lambda m: (ROOT / m[1]).read_text(encoding="utf-8"), text)


def try_packages(stranger: Stranger) -> None:
    """Put every package to use."""
    listing = stranger.does("coopkit", "plugins")
    if "warning" in listing:
        sys.exit(f"a plugin is not usable:\n{listing}")
    for package in PACKAGES:
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        found = samplers_of(listing, project["name"])
        if not found:
            sys.exit(f"{project['name']} supplies no sampler:\n{listing}")
        recipe = package / "recipe.toml"
        small = ["--set", "run.iterations=1", "--set", "run.chains=2"]
        stranger.does("coopkit", "run", str(recipe), "--out", f"runs/{package.name}", *small)
        for name in found:
            stranger.does("coopkit", "check", name, "--profile", "quick", "--seed", "0")


def follow_tutorial(stranger: Stranger) -> None:
    """Do what the guide says, each command and each file as it stands there."""
    inside, begun = Path(), time.perf_counter()
    for title, text in tutorial():
        if title:
            (stranger.home / inside / title).write_text(text, encoding="utf-8")
            continue
        for line in text.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("cd "):
                inside /= command.removeprefix("cd ")
            elif line.startswith("$ "):
                stranger.does("bash", "-c", command, inside=str(inside))
    print(f"the tutorial took {time.perf_counter() - begun:.0f} s of waiting")


def main() -> None:
    """Build, install, and try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        wheels = build(home)
        stranger = Stranger(home)
        stranger.installs(*wheels, *TESTS)
        try_packages(stranger)
        follow_tutorial(stranger)


if __name__ == "__main__":
    main()
