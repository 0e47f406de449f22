"""What the commands over the tasks refuse, and in what words."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from coopkit.recipes import Recipe
from coopkit.training import run

TINY = Path(__file__).parents[1] / "tiny"

Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("runs")

LONG = "a" * 5000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("inpaint", "@descriptor", "--images", "@images", "--mask", "3"), "has no generator"),
        (("complete", "@generator", "--images", "@images", "--mask", "3"), "has no descriptor"),
        (("energy", "@generator", "--images", "@images"), "has no descriptor"),
        (("interpolate", "@descriptor"), "has no generator"),
        (("reconstruct", "@nothing", "--images", "@images", "--out", "x"), "holds no run"),
        (("inpaint", "@generator", "--images", "@no", "--mask", "3"), "--images: "),
        (("energy", "@cooperative", "--images", ""), "--images: '' is no file, no folder"),
        (("energy", "@cooperative", "--images", "@no"), "--images: '"),
        (("energy", "@cooperative", "--images", "@images", "--against", ""), "--against: '' is"),
        (("energy", "@cooperative", "--images", "@images", "--against", "@no"), "--against: '"),
        (("inpaint", "@generator", "--images", "@images", "--mask", "8"), "give one of 1 to 7"),
        (("inpaint", "@generator", "--images", "@images", "--mask", "x"), "neither a number"),
        (("reconstruct", "@generator", "--images", "@images", "--out", "."), "as a whole"),
        (("reconstruct", "@generator", "--images", "@images", "--out", "/"), "is, or holds, "),
        (("reconstruct", "nothing", "--images", "@images"), "holds no run"),
        (("complete", "nothing", "--images", "@images", "--mask", "3"), "holds no run"),
        (("energy", "@cooperative", "--images", "@images", "--out", "."), ". is a folder"),
        (("evaluate", "@cooperative", "--out", "."), ". is a folder"),
        (("sample", "@cooperative", "--out", "."), ". is a folder"),
        (("sample", "@cooperative", "--files", "."), "give a new folder as --files"),
        (("sample", "@cooperative", "--out", "x.txt"), "must end in .png, .jpg"),
        (("sample", "@cooperative", "--out", f"{LONG}.png"), "png cannot be written: File name"),
        (("sample", "@cooperative", "--files", LONG), "a cannot be written: File name too long"),
        (("sample", "@cooperative", "--files", "s.png", "--out", "s.png"), "lies in, the --out"),
        (("sample", "@cooperative", "--size", LONG.replace("a", "9")), "is no size"),
        (("inpaint", "@generator", "--images", "@images", "--mask", "9" * 20), "neither a number"),
        (("energy", "@cooperative", "--images", "@images", "--against", "@images"), "other images"),
        (("run", "@images", "--resume"), "holds no run to go on with"),
    ],
)
def test_mistake_is_answered_with_one_sentence(
    call: Call, tmp_path: Path, runs: Path, arguments: tuple[str, ...], says: str
):
    status, _, said = call(*arguments)
    assert status == 2
    assert says in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
    assert not list(runs.rglob(".writing*"))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "0", "1e999", "1e-200", "1e200"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("reconstruct", "--step-size"),
        ("reconstruct", "--noise-std"),
        ("inpaint", "--step-size"),
        ("inpaint", "--noise-std"),
        ("complete", "--step-size"),
    ],
)
def test_a_step_size_and_a_spread_have_a_square_that_is_a_number(
    call: Call, tmp_path: Path, command: str, option: str, number: str
):
    mask = () if command == "reconstruct" else ("--mask", "3")
    arguments = ("@cooperative", "--images", "@images", *mask, "--out", "x")
    status, _, said = call(command, *arguments, option, number)
    assert status == 2
    assert f"Invalid value for '{option}': " in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ((), "--steps 0 needs --ascent, without which nothing is inferred"),
        (("--ascent", "3", "--step-size", "1"), "--step-size is of no use with --steps 0"),
    ],
)
@pytest.mark.parametrize("command", [("reconstruct",), ("inpaint", "--mask", "3")])
def test_chains_without_steps(
    call: Call, tmp_path: Path, command: tuple[str, ...], asked: tuple[str, ...], says: str
):
    arguments = (*command, "@nothing", "--images", "@nowhere", "--steps", "0")
    status, _, said = call(*arguments, *asked)
    assert (status, says in said) == (2, True)
    assert not list(tmp_path.iterdir())


def test_an_image_too_small_for_a_run_that_does_not_resize(call: Call, tmp_path: Path):
    asked = ["data.resize=none", "run.iterations=1"]
    run(Recipe.read(TINY / "generator.toml", asked), tmp_path / "mine")
    Image.new("L", (7, 9)).save(tmp_path / "small.png")
    status, _, said = call("reconstruct", "mine", "--images", "small.png")
    assert status == 2
    assert said == (
        "coopkit: small.png is 9 x 7 pixels, smaller than the crop of 8 x 8; "
        "give images of 8 x 8 pixels or more; the run does not resize\n"
    )


@pytest.mark.parametrize(
    "option",
    [
        ("--blend",),
        ("--prior", "fitted"),
        ("--noise-std", "1"),
        ("--revise", "2"),
        ("--ascent", "2"),
        ("--steps", "0"),
    ],
)
def test_what_the_descriptor_has_no_use_for(call: Call, tmp_path: Path, option: tuple[str, ...]):
    arguments = ("--images", "@images", "--mask", "3", "--by", "descriptor")
    status, _, said = call("inpaint", "@cooperative", *arguments, *option)
    assert status == 2
    named = "--steps 0" if option[0] == "--steps" else option[0]
    assert f"{named} is of no use with --by descriptor" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sample", "@generator", "--steps", "3"), "no descriptor to revise by"),
        (("interpolate", "@generator", "--steps", "0"), "no descriptor to revise by"),
        (("evaluate", "@generator", "--steps", "3"), "no descriptor to revise by"),
        (
            ("inpaint", "@generator", "--images", "brick", "--mask", "2", "--revise", "1"),
            "--revise is of no use: the run",
        ),
        (
            ("interpolate", "@generator", "-n", "4", "--images", "@images/0.png", "@images/1.png"),
            "-n is of no use with --images",
        ),
        (
            ("interpolate", "@generator", "--images", "@images/0.png", "@images"),
            "images holds 3 images; an end of a path is one",
        ),
        (
            ("interpolate", "@generator", "--images", "@images", "@images/0.png"),
            "images holds 3 images; an end of a path is one",
        ),
        (("interpolate", "@generator", "--images", "@images/0.png", "@no"), "--images: '"),
        (
            ("interpolate", "@generator", "--out", "a.gif", "--gif", "./a.gif"),
            "--gif a.gif is the --out of the sheet",
        ),
        (("evaluate", "@generator", "--size", "299"), "--size is of no use without --features"),
        (("evaluate", "@generator", "--range", "[0, 1]"), "--range is of no use without"),
    ],
)
def test_what_is_of_no_use_or_wrong_is_refused_before_anything_is_computed(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    says: str,
):
    monkeypatch.setattr("coopkit.tasks.trained.load", None)
    status, _, said = call(*arguments)
    assert status == 2
    assert says in said
    assert not list(tmp_path.iterdir())
