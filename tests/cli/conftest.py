"""Runs for the commands to read, and the command line beside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coopkit.recipe import Recipe
from coopkit.sheets import GAP, LEAST_CELL, TITLE
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny"

Call = Callable[..., tuple[int, str, str]]
Pixels = "np.typing.NDArray[np.uint8]"
Cells = Callable[[Path, int], list[Pixels]]


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


@pytest.fixture
def cells() -> Cells:
    """Return a function that reads a sheet of signals of 8×8: those of its topmost row."""

    def read(sheet: Path, count: int) -> list[Pixels]:
        """Return those that stand first, one colour of each."""
        with Image.open(sheet) as image:
            shown = np.asarray(image)[TITLE : TITLE + LEAST_CELL, :, 0]
        width = LEAST_CELL + GAP
        return [shown[::16, k * width : k * width + LEAST_CELL : 16] for k in range(count)]

    return read
