"""The watchers of every run; each is registered as a plugin's would be."""

from coopkit.watchers.files import Checkpoints, Evaluations, Metrics, Records, Sheets


def file_watchers() -> tuple[object, ...]:
    """Return fresh watchers that write a run's folder."""
    return Checkpoints(), Evaluations(), Sheets(), Metrics(), Records()


__all__ = ["Checkpoints", "Evaluations", "Metrics", "Records", "Sheets", "file_watchers"]
