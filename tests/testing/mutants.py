"""Planted mistakes: Langevin dynamics, its relatives and its targets, each wrong in one way.

Most of them stand in published code. `MUTANTS` names each with what would be right, for the table
of `docs/power.md` and the diagnoses of `coopkit check`, which `make power` measures from here.
"""

from wrong_langevin import WRONG_LANGEVIN
from wrong_relatives import WRONG_RELATIVES
from wrong_targets import WRONG_TARGETS

MUTANTS = [*WRONG_LANGEVIN, *WRONG_RELATIVES, *WRONG_TARGETS]
