"""What the commands for given images write and print of what they restored."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from coopkit.cli.console import say
from coopkit.cli.folders import COMPARED, SHEET

if TYPE_CHECKING:
    from torch import Tensor

    from coopkit.tasks.given import Given
    from coopkit.tasks.inpaint import Restored
    from coopkit.tasks.reconstruct import Reconstructed
    from coopkit.tasks.trained import Trained

SHOWN = 36
"""Images on a sheet at most."""

ROWS = 12
"""Images on a sheet of all methods at most, each a row."""


def as_asked() -> dict[str, Any]:
    """Return the options of the command, as JSON has them."""
    options = click.get_current_context().params
    return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}


def made_by(trained: "Trained", found: "Reconstructed | Restored | None" = None) -> dict[str, Any]:
    """Return, as JSON has it, by what figures were made: what was asked of which state of the run.

    Of chains from given images it says the step size too, and warns of one that is unstable.
    """
    told: dict[str, Any] = {"asked": as_asked(), "iteration": trained.iteration}
    if found is None:
        return told
    size, stable = found.step_size, found.stable_below
    if size is not None and stable is not None and size > stable:
        say(
            f"warning: --step-size {size:g} is unstable where the generator is steep; below "
            f"{stable:.3g} it is not"
        )
    return told | {"step_size": size, "stable_below": stable}


def errors_of(
    restored: Mapping[str, "Tensor"], given: "Given", holes: "Tensor", mean: float
) -> dict[str, dict[str, Any]]:
    """Return, by method, the mean error on both scales and the error of each image on [−1, 1]."""
    from coopkit.tasks.inpaint import restoration_error

    figures = {}
    for name, signals in restored.items():
        errors = restoration_error(signals, given.signals, holes, mean)
        figures[name] = {
            "minus_one_to_one": float(errors.mean()),
            "zero_to_one": float(errors.mean()) / 2,
            "images": dict(zip(given.files, errors.tolist(), strict=True)),
        }
    return figures


def white_of(restored: "Restored") -> float | None:
    """Return the largest standard deviation between chains, on [−1, 1]; None where one is all."""
    return float(restored.uncertainty.max()) if restored.chains.shape[1] > 1 else None


def save_pictures(
    folder: Path, trained: "Trained", given: "Given", holes: "Tensor", restored: "Restored"
) -> None:
    """Write each restored image and its uncertainty, black 0, and a sheet of the first of them."""
    from coopkit.sheets import draw_sheet, save_image, save_signals

    mean = trained.mean
    save_signals(folder / "restored", given.names, restored.signals, mean)
    panels = {
        "occluded": occluded(given.signals, holes, mean),
        "restored": restored.signals,
        "truth": given.signals,
    }
    white = white_of(restored)
    if white is not None:
        shown = 2 * restored.uncertainty[:, None] / max(white, 1e-12) - 1 - mean
        save_signals(folder / "uncertainty", given.names, shown, mean)
        panels[f"uncertainty, white = {white:.2g}"] = shown
    save_image(draw_sheet(panels, mean, most=SHOWN), folder / SHEET)


def occluded(signals: "Tensor", holes: "Tensor", mean: float) -> "Tensor":
    """Return signals whose occluded pixels are grey in a picture."""
    return signals.where(~holes[:, None].to(signals.device), -mean)


def save_compared(
    folder: Path,
    trained: "Trained",
    given: "Given",
    holes: "Tensor",
    restored: Mapping[str, "Tensor"],
    figures: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write a sheet of what each method restored, an image a row, the smallest error first."""
    from coopkit.sheets import draw_sheet, save_image

    mean = trained.mean
    panels = {
        "occluded": occluded(given.signals, holes, mean),
        **{name: restored[name] for name in by_error(figures)},
        "truth": given.signals,
    }
    save_image(draw_sheet(panels, mean, most=ROWS, columns=1), folder / COMPARED)


def by_error(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the methods, the smallest error first."""
    return sorted(figures, key=lambda name: float(figures[name]["minus_one_to_one"]))


def table_of(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the errors of all methods as a table, the smallest first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("restored by")
    table.add_column("error on [−1, 1]", justify="right")
    table.add_column("on [0, 1]", justify="right")
    for name in by_error(figures):
        errors = figures[name]
        table.add_row(name, f"{errors['minus_one_to_one']:.4f}", f"{errors['zero_to_one']:.4f}")
    return table
