"""Recipes: one TOML file that says all of a run."""

import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import tomli_w

from coopkit.conversion import TableProblems, convert, one_line, quoted
from coopkit.data import DataTable
from coopkit.errors import RecipeError, did_you_mean
from coopkit.iterations import Settings
from coopkit.optimizers import Capped
from coopkit.recipes.overrides import apply_overrides
from coopkit.recipes.scheduling import Scheduled
from coopkit.recipes.sections import (
    Chain,
    DraftTable,
    Network,
    ReconstructionTable,
    RunTable,
    ShiftTable,
    StartTable,
    Steps,
    resolve,
    structure_section,
)
from coopkit.recipes.tables import Parts, Raw, check_writable

AlgorithmName = Literal["descriptor", "generator", "cooperative"]


TABLES: dict[str, tuple[str, ...]] = {
    "descriptor": ("data", "descriptor", "revision", "shift", "run"),
    "generator": ("data", "generator", "inference", "reconstruction", "run"),
    "cooperative": (
        "data",
        "descriptor",
        "generator",
        "draft",
        "revision",
        "inference",
        "shift",
        "reconstruction",
        "run",
    ),
}
KEYS: dict[str, type[Any]] = {
    "data": DataTable,
    "draft": DraftTable,
    "shift": ShiftTable,
    "reconstruction": ReconstructionTable,
    "run": RunTable,
    "start": StartTable,
    "steps": Steps,
    "capped": Capped,
}
"""Classes whose fields are the keys of coopkit's own tables; others are those of plugins."""

OPTIONAL: dict[str, dict[str, Raw]] = {
    "descriptor": {"shift": {}},
    "generator": {"reconstruction": {}},
    "cooperative": {"draft": {}, "inference": {"steps": 0}, "shift": {}, "reconstruction": {}},
}
"""The tables that an algorithm can do without, and what they then say."""


SHOWN = 8
"""Of how many chains S3 is drawn where no sheet is; one of its figures is their mean."""


@attrs.frozen(kw_only=True)
class Recipe:
    """All of a run, checked; what an algorithm has no use for is None.

    Attributes:
        algorithm: "descriptor" (Algorithm 1), "generator" (2) or "cooperative" (3).
        seed: of every stream of randomness.
        data: where the observed signals come from.
        descriptor: f and its optimiser.
        generator: g and its optimiser.
        draft: G0.
        revision: the sampler of D1.
        inference: the sampler of G1.
        shift: D2.
        reconstruction: G2.
        run: length, width and watching.
        raw: the tables as the file has them, with defaults and overrides filled in.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("algorithm", "seed")

    algorithm: AlgorithmName
    seed: int = 0
    data: DataTable
    descriptor: Network | None = None
    generator: Network | None = None
    draft: Scheduled[DraftTable] | None = None
    revision: Chain | None = None
    inference: Chain | None = None
    shift: Scheduled[ShiftTable] | None = None
    reconstruction: Scheduled[ReconstructionTable] | None = None
    run: RunTable
    raw: Raw = attrs.field(repr=False, eq=False)

    @classmethod
    def read(cls, source: str | Path, overrides: Iterable[str] = ()) -> "Recipe":
        """Return the recipe in a file, or the packaged one of that name.

        Args:
            source: a path, or a name that `coopkit recipes` lists.
            overrides: "table.key=value", the value in TOML or a bare word; one, or several.

        Raises:
            RecipeError: the file is not there, is no TOML, or has problems; all are listed.
        """
        text = recipe_text(source)
        try:
            raw = tomllib.loads(text)
        except ValueError as error:
            raise RecipeError(str(source), [f"this is not TOML: {error}"]) from error
        except RecursionError as error:
            raise RecipeError(str(source), ["this is TOML nested too deeply to read"]) from error
        return cls.from_tables(raw, str(source), overrides)

    @classmethod
    def from_tables(
        cls, raw: Raw, source: str = "recipe", overrides: Iterable[str] = ()
    ) -> "Recipe":
        """Return the recipe that nested tables say, as `read` does for a file.

        Raises:
            RecipeError: with every problem.
        """
        try:
            check_writable(raw)
            tables = deepcopy(dict(raw))
            apply_overrides(tables, [overrides] if isinstance(overrides, str) else overrides)
            check_writable(tables)
            return structure_recipe(cls, tables)
        except TableProblems as error:
            problems = [one_line(f"{path} {sentence}") for path, sentence in error.items]
            raise RecipeError(source, problems) from error

    def settings(self, t: int) -> Settings:
        """Return the numbers of learning iteration t, after all schedules."""
        every, sheets = self.run.residual_every, self.run.sheet_every
        drawn = t + 1 == self.run.iterations or (bool(sheets) and (t + 1) % sheets == 0)
        revision, inference = self.revision, self.inference
        return Settings(
            revision=revision.sampler.at(t) if revision else None,
            revision_steps=revision.steps.at(t).steps if revision else 0,
            inference=inference.sampler.at(t) if inference else None,
            inference_steps=inference.steps.at(t).steps if inference else 0,
            draft_noise_std=self.draft.at(t).noise_std if self.draft else 0.0,
            score_penalty=self.shift.at(t).score_penalty if self.shift else 0.0,
            updates=self.reconstruction.at(t).updates if self.reconstruction else 1,
            residual=bool(every) and t % every == 0,
            shown=None if drawn else SHOWN,
        )

    @property
    def start_recipe(self) -> "Recipe | None":
        """The run of Algorithm 2 by which [generator.start] has the generator begin, if it does.

        It shares the data, the seed, the generator and how it is run and watched.
        """
        start = self.raw.get("generator", {}).get("start")
        if not isinstance(start, Mapping):
            return None
        generator = {**self.raw["generator"], "optimizer": start["optimizer"]}
        length = {key: start[key] for key in ("iterations", "observed", "latents")}
        return Recipe.from_tables(
            {
                "algorithm": "generator",
                "seed": self.seed,
                "data": self.raw["data"],
                "generator": {key: value for key, value in generator.items() if key != "start"},
                "inference": start["inference"],
                "run": {**self.raw["run"], **length},
            }
        )

    def to_toml(self) -> str:
        """Return the recipe with every key written out; it runs again to the same result."""
        return tomli_w.dumps(plain(self.raw))


def recipe_text(source: str | Path) -> str:
    """Return the text of a recipe file or of a packaged recipe.

    Raises:
        RecipeError: there is none, or it cannot be read.
    """
    known = packaged_recipes()
    try:
        path = Path(source).expanduser()
        if path.is_file():
            return path.read_text(encoding="utf-8-sig")
        hint = did_you_mean(str(source), list(known))
        problem = f"there is no such file and no packaged recipe; {hint}"
        if path.is_dir():
            problem = "this is a folder; give a recipe's file, or --resume with the folder of a run"
    except OSError as error:
        problem = f"this cannot be read: {error.strerror}"
    except (RuntimeError, UnicodeDecodeError) as error:
        problem = f"this cannot be read as a text: {error}"
    if str(source) in known:
        return known[str(source)]
    raise RecipeError(str(source), [problem])


def packaged_recipes() -> dict[str, str]:
    """Return the text of each recipe that comes in the box, by name."""
    texts = {
        file.name.removesuffix(".toml"): file.read_text(encoding="utf-8")
        for file in resources.files("coopkit.recipes").iterdir()
        if file.name.endswith(".toml")
    }
    return dict(sorted(texts.items()))


def structure_recipe(cls: type[Recipe], tables: dict[str, Any]) -> Recipe:
    """Check every table of a recipe, then all of it."""
    parts = Parts()
    given = tables.get("algorithm", "cooperative")
    algorithm: AlgorithmName = (
        parts.add("algorithm", convert, given, AlgorithmName) or "cooperative"
    )
    parts.add("seed", whole_number, tables.get("seed", 0))
    parts.problems += misplaced(algorithm, tables)
    present = {**OPTIONAL[algorithm], **tables}
    iterations = planned_iterations(tables)
    names = [name for name in TABLES[algorithm] if name in present]
    for name in names:
        parts.add(name, structure_section, name, present[name], iterations)
    made = dict(zip(("algorithm", "seed", *names), parts.all(), strict=True))
    raw = {name: resolve(made[name]) if name in names else made[name] for name in made}
    return cls(**made, raw=raw)


def whole_number(value: Any) -> int:
    """Return a seed, a whole number of any size from 0 on."""
    number: int = convert(value, int)
    if number < 0:
        raise ValueError(f"must be >= 0: {number}")
    return number


def planned_iterations(tables: Raw) -> int:
    """Return the iterations of the run, over which schedules extend, or 1 if they are not right."""
    run = tables.get("run")
    iterations = run.get("iterations") if isinstance(run, Mapping) else None
    return iterations if type(iterations) is int and iterations > 0 else 1


def misplaced(algorithm: str, tables: Raw) -> list[tuple[str, str]]:
    """Return the problems of tables that are missing, misspelt or of no use to the algorithm."""
    known = [*Recipe.KEYS, *TABLES["cooperative"]]
    problems = []
    for key in tables:
        if key not in known:
            problems.append(
                (quoted(key), f"is no table or key of a recipe; {did_you_mean(key, known)}")
            )
        elif key not in Recipe.KEYS and key not in TABLES[algorithm]:
            problems.append((key, f'is of no use to algorithm = "{algorithm}"; remove the table'))
    for name in TABLES[algorithm]:
        if name not in tables and name not in OPTIONAL[algorithm]:
            problems.append((name, f'is missing; algorithm = "{algorithm}" needs this table'))
    return problems


def plain(value: Any) -> Any:
    """Return nested tables as TOML has them: lists for tuples, no key for what is None."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value
