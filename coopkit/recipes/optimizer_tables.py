"""The tables of an optimiser in a recipe, checked by building it."""

from collections.abc import Mapping
from typing import Any

from coopkit.conversion import TableProblems, quoted, refuse
from coopkit.interfaces import Schedule
from coopkit.optimizers import Capped, OptimizerTable, TorchOptimizer
from coopkit.recipes.scheduling import Scheduled, is_schedule, numbers_along
from coopkit.recipes.tables import Raw, structure_schedule, structure_scheduled


def structure_optimizer(raw: Any, iterations: int) -> Scheduled[OptimizerTable]:
    """Check an optimiser's table, the authors' rule or one of torch.optim."""
    if not isinstance(raw, Mapping):
        raise TableProblems([("", str(refuse(raw, Any)))])
    if not isinstance(raw.get("name"), str):
        raise TableProblems([("name", 'must name an optimiser: "capped" or one of torch.optim')])
    arguments = {key: value for key, value in raw.items() if key != "name"}
    if raw["name"] == Capped.name:
        capped: Scheduled[Any] = structure_scheduled(Capped, arguments, iterations)
        return capped
    return structure_torch_optimizer(raw["name"], arguments, iterations)


def structure_torch_optimizer(
    name: str, arguments: Raw, iterations: int
) -> Scheduled[OptimizerTable]:
    """Check the arguments of an optimiser of torch.optim, by building it along the schedules."""
    schedules = {}
    moments = {0}
    for key, value in arguments.items():
        if is_schedule(value):
            try:
                schedules[key] = structure_schedule(Any, value, iterations)
                moments |= extreme_moments(schedules[key], iterations)
            except TableProblems as error:
                raise TableProblems(list(error.under(quoted(key)))) from error
            except ValueError as error:
                raise TableProblems([(quoted(key), str(error))]) from error
    for t in sorted(moments, reverse=True):
        try:
            values = {key: schedule.value(t) for key, schedule in schedules.items()}
            table = TorchOptimizer(name, {**arguments, **values})
            table.rehearse()
        except ValueError as error:
            at = f"at iteration {t} of its schedules: " if t else ""
            raise TableProblems([("", f"{at}{error}")]) from error
    return Scheduled(table, schedules)


def extreme_moments(schedule: Schedule, iterations: int) -> set[int]:
    """Return the iterations at which a schedule is lowest and highest.

    Raises:
        ValueError: it has no finite number at one that is checked.
    """
    numbers = dict(numbers_along(schedule, iterations))
    return {min(numbers, key=numbers.__getitem__), max(numbers, key=numbers.__getitem__)}
