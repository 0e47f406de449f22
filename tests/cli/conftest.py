"""Runs for the commands to read, and the command line beside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coopkit.recipes import Recipe
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny"

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished run of each algorithm, and two folders of images."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("descriptor", "generator", "cooperative"):
        changes = ["data.resize=fit", "data.subtract_mean=true"]
        run(Recipe.read(TINY / f"{name}.toml", changes), folder / name)
    rng = np.random.default_rng(0)
    for number in range(5):
        pixels = 255 * rng.integers(0, 2, (8, 8), dtype=np.uint8)
        place = folder / ("images" if number < 3 else "others") / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place)
    return folder


@pytest.fixture
def call(call: Call, request: pytest.FixtureRequest) -> Call:
    """Return the command line as a function; arguments that open with @ lie beside the runs."""

    def beside(argument: object) -> object:
        if not str(argument).startswith("@"):
            return argument
        folder: Path = request.getfixturevalue("runs")
        return folder / str(argument)[1:]

    return lambda *arguments: call(*map(beside, arguments))
