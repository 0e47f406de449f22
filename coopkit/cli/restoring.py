"""The commands for given images: infer their latents, restore what is occluded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coopkit.cli.console import out, say, watching, write_json
from coopkit.cli.restored import SHOWN, as_asked, errors_of, save_pictures, table_of
from coopkit.cli.results import (
    FIGURES,
    device_option,
    images_option,
    load_with_prior,
    overwrite_option,
    prior_option,
    results,
    run_argument,
    seed_option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from coopkit.tasks.infer import InferenceSettings
    from coopkit.tasks.inpaint import Restored
    from coopkit.tasks.trained import Trained


def inference_options(command: Any) -> Any:
    """Add the options of an inference of latents to a command."""
    options = (
        click.option("--steps", type=click.IntRange(min=1), default=1000, help="Of each chain."),
        click.option("--chains", type=click.IntRange(min=1), default=1, help="Of each image."),
        click.option("--step-size", type=POSITIVE, help="δ; one that suits if left out."),
        click.option("--noise-std", type=POSITIVE, help="σ; the generator's if left out."),
    )
    for option in reversed(options):
        command = option(command)
    return command


POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@run_argument
@images_option
@click.option("--out", "folder", type=Path, help="A new folder; RUN/reconstruct if left out.")
@inference_options
@seed_option
@device_option
@prior_option
@overwrite_option
def reconstruct(
    run_folder: Path,
    source: str,
    folder: Path | None,
    seed: int,
    device: str,
    prior: str,
    overwrite: bool,
    **inference: Any,
) -> None:
    """Infer the latents of given images by Langevin dynamics, and draw g(X) beside each."""
    from coopkit.sheets import draw_sheet, save_image, save_signals
    from coopkit.tasks.given import read_given
    from coopkit.tasks.infer import InferenceSettings
    from coopkit.tasks.reconstruct import reconstruct as infer
    from coopkit.tasks.trained import run_recipe

    folder = folder or run_folder / "reconstruct"
    run_recipe(run_folder)
    with results(folder, overwrite) as writing:
        trained = load_with_prior(run_folder, device, prior)
        given = read_given(trained, source)
        with watching() as watch:
            found = infer(
                trained, given.signals, InferenceSettings(**inference), seed=seed, watch=watch
            )
        figures: dict[str, Any] = {
            "asked": as_asked(),
            "mean_absolute_error": float(found.error.mean()),
            "images": dict(zip(given.names, found.error.tolist(), strict=True)),
        }
        write_json(figures, writing / FIGURES)
        save_signals(writing / "reconstructed", given.names, found.signals, trained.mean)
        panels = {"given": given.signals, "g(X)": found.signals}
        save_image(draw_sheet(panels, trained.mean, most=SHOWN), writing / "sheet.png")
    say(f"off by {figures['mean_absolute_error']:.4f} on [−1, 1] in the mean; wrote {folder}")


def occlusion_options(command: Any) -> Any:
    """Add what inpaint and complete have in common to a command."""
    options = (
        run_argument,
        images_option,
        click.option(
            "--mask",
            required=True,
            metavar="SIZE|FILE",
            help="A square of SIZE pixels at random places, or a picture, bright where occluded.",
        ),
        click.option("--out", "folder", type=Path, help="A new folder; in RUN if left out."),
        click.option("--compare", is_flag=True, help="Also fill the holes without a network."),
        seed_option,
        device_option,
        overwrite_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@occlusion_options
@prior_option
@inference_options
@click.option("--blend", is_flag=True, help="Carry what g(X) is off by at its border into a hole.")
@click.option(
    "--revise",
    "revision_steps",
    type=click.IntRange(min=0),
    default=0,
    help="Steps of the descriptor on the occluded pixels afterwards.",
)
@click.option(
    "--by",
    type=click.Choice(["generator", "descriptor"]),
    default="generator",
    help="Which network restores; the descriptor does what the command complete does.",
)
def inpaint(run_folder: Path, folder: Path | None, by: str, **asked: Any) -> None:
    """Restore occluded pixels of given images from what the generator of RUN infers of the others.

    Each image is occluded, restored and compared with itself: restored pictures, a sheet and the
    mean absolute differences on the occluded pixels are written to a folder.
    """
    from coopkit.tasks.inpaint import InpaintingSettings

    folder = folder or run_folder / "inpaint"
    if by == "descriptor":
        refuse_inference(asked)
        restore(run_folder, folder, completion(asked), **asked)
        return
    inference = inference_settings(asked)
    settings = InpaintingSettings(
        inference=inference, blend=asked.pop("blend"), revision_steps=asked.pop("revision_steps")
    )

    def by_generator(
        trained: "Trained", signals: "Tensor", holes: "Tensor", **how: Any
    ) -> "Restored":
        from coopkit.tasks.inpaint import inpaint as restored

        return restored(trained, signals, holes, settings, **how)

    restore(run_folder, folder, by_generator, **asked)


@click.command()
@occlusion_options
@click.option("--steps", type=click.IntRange(min=1), default=1000, help="Of each chain.")
@click.option("--chains", type=click.IntRange(min=1), default=1, help="Of each image.")
@click.option("--step-size", type=POSITIVE, help="δ of revision; as in training if left out.")
def complete(run_folder: Path, folder: Path | None, **asked: Any) -> None:
    """Complete given images by the descriptor of RUN: chains on the occluded pixels only.

    The observed pixels are held fixed (the associative memory of the paper's appendix 9.1).
    """
    restore(run_folder, folder or run_folder / "complete", completion(asked), **asked)


def inference_settings(asked: dict[str, Any]) -> "InferenceSettings":
    """Take what is asked of an inference out of the options."""
    from coopkit.tasks.infer import InferenceSettings

    names = ("steps", "chains", "step_size", "noise_std")
    return InferenceSettings(**{name: asked.pop(name) for name in names})


def refuse_inference(asked: dict[str, Any]) -> None:
    """Refuse options that the descriptor has no use for, and take them out."""
    if asked.pop("prior") != "standard":
        raise click.UsageError("--prior is of no use with --by descriptor")
    for name in ("noise_std", "blend", "revision_steps"):
        if asked.pop(name):
            option = {"revision_steps": "revise"}.get(name, name.replace("_", "-"))
            raise click.UsageError(f"--{option} is of no use with --by descriptor")


def completion(asked: dict[str, Any]) -> Any:
    """Take the options of chains on occluded pixels, and return what runs them."""
    from coopkit.tasks.complete import CompletionSettings
    from coopkit.tasks.complete import complete as drawn
    from coopkit.tasks.inpaint import restored_by

    names = ("steps", "chains", "step_size")
    settings = CompletionSettings(**{name: asked.pop(name) for name in names})

    def by_descriptor(
        trained: "Trained", signals: "Tensor", holes: "Tensor", **how: Any
    ) -> "Restored":
        return restored_by(signals, holes, drawn(trained, signals, holes, settings, **how))

    return by_descriptor


def restore(
    run_folder: Path,
    folder: Path,
    method: Any,
    source: str,
    mask: str,
    compare: bool,
    overwrite: bool,
    **how: Any,
) -> None:
    """Occlude given images, restore them, and write what came of it."""
    from coopkit.tasks.given import read_given
    from coopkit.tasks.inpaint import baselines
    from coopkit.tasks.masks import holes_of
    from coopkit.tasks.trained import run_recipe

    run_recipe(run_folder)
    with results(folder, overwrite) as writing:
        trained = load_with_prior(run_folder, how.pop("device"), how.pop("prior", "standard"))
        given = read_given(trained, source)
        holes = holes_of(mask, len(given), trained.signal_shape, how["seed"])
        with watching() as watch:
            restored = method(trained, given.signals, holes, watch=watch, **how)
            by_name = {"coopkit": restored.signals}
            if compare:
                others = baselines(given.signals, holes, how["seed"], watch)
                by_name |= others.restored
        figures = errors_of(by_name, given, holes, trained.mean)
        write_json({"asked": as_asked(), "errors": figures}, writing / FIGURES)
        save_pictures(writing, trained, given, holes, restored)
    out.print(table_of(figures))
    for name, reason in others.refused.items() if compare else ():
        say(f"{name} is left out: {reason}")
    say(f"wrote {folder}")
