"""What the commands for given images write and print of what they restored."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from coopkit.cli.folders import SHEET

if TYPE_CHECKING:
    from torch import Tensor

    from coopkit.tasks.given import Given
    from coopkit.tasks.inpaint import Restored
    from coopkit.tasks.trained import Trained

SHOWN = 36
"""Images on a sheet at most."""


def as_asked() -> dict[str, Any]:
    """Return the options of the command, as JSON has them."""
    options = click.get_current_context().params
    return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}


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


def save_pictures(
    folder: Path, trained: "Trained", given: "Given", holes: "Tensor", restored: "Restored"
) -> None:
    """Write each restored image, and a sheet of all with their uncertainty."""
    from coopkit.sheets import draw_sheet, save_image, save_signals

    mean, free = trained.mean, holes[:, None].to(given.signals.device)
    save_signals(folder / "restored", given.names, restored.signals, mean)
    panels = {
        "occluded": given.signals.where(~free, -mean),
        "restored": restored.signals,
        "truth": given.signals,
    }
    if restored.chains.shape[1] > 1:
        uncertainty = restored.uncertainty[:, None]
        most = float(uncertainty.max())
        panels[f"uncertainty, white = {most:.2g}"] = 2 * uncertainty / max(most, 1e-12) - 1 - mean
    save_image(draw_sheet(panels, mean, most=SHOWN), folder / SHEET)


def table_of(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the errors of all methods as a table, the smallest first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("restored by")
    table.add_column("error on [−1, 1]", justify="right")
    table.add_column("on [0, 1]", justify="right")
    for name, errors in sorted(figures.items(), key=lambda item: item[1]["minus_one_to_one"]):
        table.add_row(name, f"{errors['minus_one_to_one']:.4f}", f"{errors['zero_to_one']:.4f}")
    return table
