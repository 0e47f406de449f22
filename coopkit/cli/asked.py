"""Options that come together, each set given to a command as one argument with a type."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from coopkit.cli.results import (
    device_option,
    images_option,
    overwrite_option,
    run_argument,
    seed_option,
)

if TYPE_CHECKING:
    from coopkit.tasks.complete import CompletionSettings
    from coopkit.tasks.infer import InferenceSettings

Command = Callable[..., None]


class Positive(click.FloatRange):
    """A number above 0 whose square is neither 0 nor infinite."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if not 1e-30 <= number <= 1e30:
            self.fail(f"{value} is no number from 1e-30 to 1e30.", param, ctx)
        return number


POSITIVE = Positive()


def gathered(name: str, kind: Any, options: Sequence[Any]) -> Callable[[Command], Command]:
    """Return a decorator that adds options to a command and gives it their values as one.

    Args:
        name: of the command's argument.
        kind: the attrs class of its value, with a field for each option.
        options: decorators of click, in the order of the help.
    """
    fields = [field.name for field in attrs.fields(kind)]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_one(**values: Any) -> None:
            asked = kind(**{field: values.pop(field) for field in fields})
            command(**{name: asked}, **values)

        for option in reversed(options):
            with_one = option(with_one)
        return with_one

    return decorate


@attrs.frozen
class ChainOptions:
    """What is asked of chains from given images; None where it was left out."""

    steps: int | None
    chains: int
    step_size: float | None
    noise_std: float | None = None
    ascent: int = 0

    def inference(self) -> "InferenceSettings":
        """Return how latents are inferred.

        Raises:
            click.UsageError: there are neither chains nor an ascent, or a step size without steps,
                or one that is unstable for every generator.
        """
        from coopkit.tasks.infer import LARGEST, InferenceSettings

        if self.steps == self.ascent == 0:
            raise click.UsageError("--steps 0 needs --ascent, without which nothing is inferred")
        if self.steps == 0 and self.step_size:
            raise click.UsageError("--step-size is of no use with --steps 0: chains do not move")
        if self.step_size and self.step_size > LARGEST:
            raise click.UsageError(
                f"--step-size {self.step_size:g} is unstable for every generator; give one of "
                f"{LARGEST:g} at most, or none for one that suits"
            )
        asked = attrs.asdict(self, filter=lambda _, value: value is not None)
        return InferenceSettings(**asked)

    def completion(self) -> "CompletionSettings":
        """Return how occluded pixels are drawn from the descriptor."""
        from coopkit.tasks.complete import CompletionSettings

        return CompletionSettings(steps=self.steps, chains=self.chains, step_size=self.step_size)


def inference_options(chains: int, used: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of inference to a command.

    Args:
        chains: of each image, if left out.
        used: what is made of several.
    """
    counted = f"Of each image; {chains} if left out. {used}"
    return gathered(
        "chains",
        ChainOptions,
        (
            click.option(
                "--steps",
                type=click.IntRange(min=0),
                help="Langevin steps of each chain; 1000 if left out.",
            ),
            click.option("--chains", type=click.IntRange(min=1), default=chains, help=counted),
            click.option("--step-size", type=POSITIVE, help="δ; one that suits if left out."),
            click.option("--noise-std", type=POSITIVE, help="σ; the generator's if left out."),
            click.option(
                "--ascent",
                type=click.IntRange(min=0),
                default=0,
                help="Steps of Adam towards a mode of X before the chains begin.",
            ),
        ),
    )


@attrs.frozen
class OcclusionOptions:
    """Which images of a user are occluded where, and where what restores them is written."""

    run_folder: Path
    source: str
    mask: str
    folder: Path | None
    compare: bool
    seed: int
    device: str
    overwrite: bool


occlusion_options = gathered(
    "asked",
    OcclusionOptions,
    (
        run_argument,
        images_option,
        click.option(
            "--mask",
            required=True,
            metavar="SIZE|FILE",
            help="A square of SIZE pixels at random places, or a picture, bright where occluded.",
        ),
        click.option("--out", "folder", type=Path, help="A new folder; in RUN if left out."),
        click.option(
            "--compare",
            is_flag=True,
            help="Also fill the holes without a network, and draw all beside each other.",
        ),
        seed_option,
        device_option,
        overwrite_option,
    ),
)
