"""The commands for given images: infer their latents, restore what is occluded."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from coopkit.cli.asked import (
    POSITIVE,
    ChainOptions,
    OcclusionOptions,
    inference_options,
    occlusion_options,
)
from coopkit.cli.console import out, say, watching, write_json
from coopkit.cli.folders import FIGURES, SHEET, results
from coopkit.cli.restored import (
    SHOWN,
    errors_of,
    made_by,
    save_compared,
    save_pictures,
    table_of,
    white_of,
)
from coopkit.cli.results import (
    check_steps,
    device_option,
    images_option,
    load_run,
    overwrite_option,
    prior_option,
    run_argument,
    seed_option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from coopkit.tasks.inpaint import Restored
    from coopkit.tasks.trained import Trained

    Method = Callable[..., Restored]
    """From a trained pair, signals and holes, by a seed, told a watch."""


@click.command()
@run_argument
@images_option
@click.option("--out", "folder", type=Path, help="A new folder; RUN/reconstruct if left out.")
@inference_options(chains=4, used="The closest counts.")
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
    chains: ChainOptions,
) -> None:
    """Infer the latents of given images by Langevin dynamics, and draw g(X) beside each."""
    from coopkit.sheets import draw_sheet, save_image, save_signals
    from coopkit.tasks.given import read_given
    from coopkit.tasks.reconstruct import reconstruct as infer
    from coopkit.tasks.trained import run_recipe

    settings = chains.inference()
    folder = folder or run_folder / "reconstruct"
    run_recipe(run_folder)
    with results(folder, overwrite, run_folder, source) as writing:
        trained = load_run(run_folder, device, prior)
        given = read_given(trained, source, "--images")
        with watching() as watch:
            found = infer(trained, given.signals, settings, seed=seed, watch=watch)
        figures: dict[str, Any] = {
            **made_by(trained, found),
            "mean_absolute_error": float(found.error.mean()),
            "images": dict(zip(given.files, found.error.tolist(), strict=True)),
        }
        write_json(figures, writing / FIGURES)
        save_signals(writing / "reconstructed", given.names, found.signals, trained.mean)
        panels = {"given": given.signals, "g(X)": found.signals}
        save_image(draw_sheet(panels, trained.mean, most=SHOWN), writing / SHEET)
    say(f"off by {figures['mean_absolute_error']:.4f} on [−1, 1] in the mean; wrote {folder}")


@click.command()
@occlusion_options
@prior_option
@inference_options(chains=1, used="The mean restores; with --steps 0 the highest mode.")
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
    help="Which network restores; the descriptor does what the command complete does, with its "
    "number of steps.",
)
def inpaint(
    asked: OcclusionOptions,
    chains: ChainOptions,
    prior: str,
    blend: bool,
    revision_steps: int,
    by: str,
) -> None:
    """Restore occluded pixels of given images from what the generator of RUN infers of the others.

    Each image is occluded, restored and compared with itself: restored pictures, a sheet and the
    mean absolute differences on the occluded pixels are written to a folder.
    """
    from coopkit.tasks.inpaint import InpaintingSettings

    if by == "descriptor":
        useless = {
            "--prior": prior != "standard",
            "--noise-std": chains.noise_std is not None,
            "--ascent": chains.ascent > 0,
            "--steps 0": chains.steps == 0,
            "--blend": blend,
            "--revise": revision_steps > 0,
        }
        for option in (name for name, given in useless.items() if given):
            raise click.UsageError(f"{option} is of no use with --by descriptor")
        restore(asked, "inpaint", by_descriptor(chains))
        return
    settings = InpaintingSettings(
        inference=chains.inference(), blend=blend, revision_steps=revision_steps
    )

    check_steps(asked.run_folder, revision_steps or None, "--revise")

    def by_generator(
        trained: "Trained", signals: "Tensor", holes: "Tensor", **how: Any
    ) -> "Restored":
        from coopkit.tasks.inpaint import inpaint as restored

        return restored(trained, signals, holes, settings, **how)

    restore(asked, "inpaint", by_generator, prior)


@click.command()
@occlusion_options
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Revision steps of each chain; as in training if left out.",
)
@click.option(
    "--chains",
    type=click.IntRange(min=1),
    default=1,
    help="Of each image; 1 if left out. The mean completes.",
)
@click.option("--step-size", type=POSITIVE, help="δ of revision; as in training if left out.")
def complete(
    asked: OcclusionOptions, steps: int | None, chains: int, step_size: float | None
) -> None:
    """Complete given images by the descriptor of RUN: chains on the occluded pixels only.

    The observed pixels are held fixed (the associative memory of the paper's appendix 9.1); the
    chains begin at a smooth fill of the hole. A descriptor learns what a few steps do: hundreds
    lead away from images.
    """
    restore(asked, "complete", by_descriptor(ChainOptions(steps, chains, step_size)))


def by_descriptor(chains: ChainOptions) -> "Method":
    """Return what restores by chains on the occluded pixels."""
    from coopkit.tasks.complete import complete as drawn
    from coopkit.tasks.complete import completing_step_size
    from coopkit.tasks.inpaint import restored_by

    settings = chains.completion()

    def restored(trained: "Trained", signals: "Tensor", holes: "Tensor", **how: Any) -> "Restored":
        found = restored_by(signals, holes, drawn(trained, signals, holes, settings, **how))
        return attrs.evolve(found, step_size=completing_step_size(trained, settings))

    return restored


def restore(asked: OcclusionOptions, usual: str, method: "Method", prior: str = "standard") -> None:
    """Occlude given images, restore them, and write what came of it.

    Args:
        asked: which images, and where to write.
        usual: the folder in RUN that is written to where none is asked for.
        method: restores signals with holes.
        prior: "standard" or "fitted".
    """
    from coopkit.tasks.given import read_given
    from coopkit.tasks.inpaint import Baselines, baselines
    from coopkit.tasks.masks import holes_of
    from coopkit.tasks.trained import run_recipe

    run_recipe(asked.run_folder)
    folder, seed = asked.folder or asked.run_folder / usual, asked.seed
    sources = [asked.source, "" if asked.mask.isdecimal() else asked.mask]
    with results(folder, asked.overwrite, asked.run_folder, *sources) as writing:
        trained = load_run(asked.run_folder, asked.device, prior)
        given = read_given(trained, asked.source, "--images")
        holes = holes_of(asked.mask, len(given), trained.signal_shape, seed)
        with watching() as watch:
            restored = method(trained, given.signals, holes, seed=seed, watch=watch)
            others = Baselines({}, {})
            if asked.compare:
                others = baselines(given.signals, holes, seed, watch)
        by_name = {"coopkit": restored.signals, **others.restored}
        figures = errors_of(by_name, given, holes, trained.mean)
        written = {"errors": figures, "uncertainty_white": white_of(restored)}
        write_json(made_by(trained, restored) | written, writing / FIGURES)
        save_pictures(writing, trained, given, holes, restored)
        if others.restored:
            save_compared(writing, trained, given, holes, by_name, figures)
    out.print(table_of(figures))
    for name, reason in others.refused.items():
        say(f"{name} is left out: {reason}")
    say(f"wrote {folder}")
