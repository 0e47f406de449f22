"""Results of checks, made up."""

from coopkit.testing import Result
from coopkit.testing.records import Status


def result(
    check: str, status: Status = "failed", detail: str = "seen", stages: int = 4, **clues: float
) -> Result:
    """Return what a check has found; with no stages it was ended by an error."""
    return Result(
        check=check,
        status=status,
        figure=9.0,
        bound=4.0,
        seed=3,
        detail=detail,
        stages=stages,
        false_alarm=0.0,
        clues=clues,
        meaning="",
        source="(6)",
    )
