"""The tables of a recipe: their classes, how they are checked, how they are written out."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, lt

from coopkit.conversion import TableProblems, convert, refuse, shorten
from coopkit.data import DataTable, place_of
from coopkit.interfaces import Sampler
from coopkit.optimizers import Capped, OptimizerTable, TorchOptimizer
from coopkit.plugins import RESERVED
from coopkit.recipes.optimizer_tables import structure_optimizer
from coopkit.recipes.scheduling import Scheduled
from coopkit.recipes.tables import Parts, Raw, find_class, structure, structure_scheduled

Latents = Literal["prior", "components"]


@attrs.frozen
class Steps:
    """How long a chain runs each iteration.

    Attributes:
        steps: l_D or l_G, transitions of the sampler; 0 leaves the chains where they are.
    """

    steps: int = attrs.field(validator=ge(0))


@attrs.frozen
class Chain:
    """The tables [revision] (D1) and [inference] (G1): a sampler, its fields, and `steps`."""

    sampler: Scheduled[Sampler[Any]]
    steps: Scheduled[Steps]


@attrs.frozen(kw_only=True)
class StartTable:
    """Length, batch and first latents of the run of Algorithm 2 that trains the generator first.

    Attributes:
        iterations: learning iterations in all.
        observed: n, examples that each iteration sees; all of them where there are fewer.
        latents: where they begin, as in [run].
    """

    iterations: int = attrs.field(validator=ge(1))
    observed: int = attrs.field(default=32, validator=ge(1))
    latents: Latents = "prior"


@attrs.frozen
class Start:
    """The table [generator.start]: Algorithm 2, before the run's own algorithm begins."""

    table: StartTable
    inference: Chain
    optimizer: Scheduled[OptimizerTable]


@attrs.frozen
class Network:
    """The tables [descriptor] and [generator]: an architecture, its fields, and an optimiser.

    Attributes:
        architecture: the class of a plugin, with its fields.
        optimizer: of its weights.
        start: the folder of a run whose generator it begins from, or how such a run is made first;
            empty for weights of its own.
    """

    architecture: Any
    optimizer: Scheduled[OptimizerTable]
    start: str | Start = ""


@attrs.frozen(kw_only=True)
class DraftTable:
    """How G0 drafts signals.

    Attributes:
        noise_std: standard deviation of ε in Ŷ = g(X̂) + ε, in the units of the signal; the paper
            has the generator's σ here, 0 drafts g(X̂) itself.
    """

    noise_std: float = attrs.field(default=0.0, validator=ge(0))


@attrs.frozen(kw_only=True)
class ShiftTable:
    """How D2 moves density from the revised to the observed signals.

    Attributes:
        score_penalty: γ ≥ 0 of γ/2 · s² · mean ‖∂E/∂Y‖² over the observed signals, which f learns
            to make small beside (7); 0 is the paper's. The energy stays nearly level around them,
            so that revisions can be longer, for a second derivative in each update.
    """

    score_penalty: float = attrs.field(default=0.0, validator=[ge(0), lt(math.inf)])


@attrs.frozen(kw_only=True)
class ReconstructionTable:
    """How G2 learns.

    Attributes:
        updates: of the generator each iteration, on the same pairs of X and Ỹ.
    """

    updates: int = attrs.field(default=1, validator=ge(0))


@attrs.frozen(kw_only=True)
class RunTable:
    """How long, how wide and how watched a run is.

    Attributes:
        iterations: learning iterations in all.
        chains: ñ, signals that are drafted and revised each iteration, or persistent chains.
        observed: n, examples that each iteration sees; all of them where there are fewer.
        latents: where the persistent latents of Algorithm 2 begin: "prior" draws X ~ N(0, I), the
            paper's, "components" takes the whitened principal components of the examples, so that
            the first iterations need not find out what latents mean. Of no use to Algorithms 1 and
            3; for a run that comes first see [generator.start].
        mixed_precision: of the networks; chains stay float32. "auto" is what the launcher says.
        log_prob: type in which the layers of f and g compute log p, by which samplers accept or
            reject; "float64" takes one more pass forward, in float64, of all chains at once
            whatever `memory` says, and rejects next to nothing by rounding where f is large.
            Chains, scores and all that learns stay float32.
        device: "auto" is the launcher's choice, a GPU where there is one; "cuda" insists on one.
        sheet_every: iterations between sample sheets; 0 makes only the last.
        checkpoint_every: iterations between checkpoints; 0 makes only the last.
        keep_checkpoints: how many of the newest to keep.
        residual_every: iterations between measurements of the auto-encoder residual (26); 0 for
            never.
        fast: "auto" evaluates the networks of D1 and G1 in the way that was measured to be fastest,
            "off" as they are.
        choices: the file fast.json of another run, whose ways are taken instead of being measured;
            needed where a run begins.
        memory: GiB that evaluating a network in D1 or G1 may take at a time, about; more chains are
            done in chunks, one chain is always done. A network that cannot be traced sees all.
    """

    iterations: int = attrs.field(validator=ge(1))
    chains: int = attrs.field(default=16, validator=ge(1))
    observed: int = attrs.field(default=32, validator=ge(1))
    latents: Latents = "prior"
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    log_prob: Literal["float32", "float64"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    sheet_every: int = attrs.field(default=50, validator=ge(0))
    checkpoint_every: int = attrs.field(default=100, validator=ge(0))
    keep_checkpoints: int = attrs.field(default=2, validator=ge(1))
    residual_every: int = attrs.field(default=0, validator=ge(0))
    fast: Literal["auto", "off"] = "auto"
    choices: str = ""
    memory: float = attrs.field(default=4.0, validator=gt(0))


PLAIN: dict[str, type[Any]] = {"data": DataTable, "run": RunTable}
SCHEDULABLE: dict[str, type[Any]] = {
    "draft": DraftTable,
    "shift": ShiftTable,
    "reconstruction": ReconstructionTable,
}


def structure_section(name: str, raw: Any, iterations: int) -> Any:
    """Check one table of a recipe.

    Raises:
        TableProblems: with all that is wrong in it.
    """
    if not isinstance(raw, Mapping):
        raise TableProblems([("", str(refuse(raw, Any)))])
    if name in ("descriptor", "generator"):
        return structure_network(name, raw, iterations)
    if name in ("revision", "inference"):
        return structure_chain(raw, iterations)
    if name in SCHEDULABLE:
        return structure_scheduled(SCHEDULABLE[name], raw, iterations)
    table = structure(PLAIN[name], raw)
    resolve(table)
    return table


def structure_chain(raw: Any, iterations: int) -> Chain:
    """Check a sampler's table: `sampler` and `steps` are the recipe's, the rest the sampler's."""
    if not isinstance(raw, Mapping):
        raise TableProblems([("", str(refuse(raw, Any)))])
    cls = find_class("sampler", raw, default="langevin")
    own = {key: value for key, value in raw.items() if key not in RESERVED["sampler"]}
    steps = {key: value for key, value in raw.items() if key == "steps"}
    parts = Parts()
    parts.add("", structure_scheduled, cls, own, iterations)
    parts.add("", structure_scheduled, Steps, steps, iterations)
    return Chain(*parts.all())


def structure_network(kind: str, raw: Raw, iterations: int) -> Network:
    """Check a network's table: `architecture` and `optimizer` are the recipe's own keys."""
    parts = Parts()
    parts.add("", lambda: structure(find_class(kind, raw), raw, RESERVED[kind]))
    parts.add("optimizer", structure_optimizer, raw.get("optimizer", {}), iterations)
    if kind == "generator":
        parts.add("start", structure_start, raw.get("start", ""))
    return Network(*parts.all())


START_KEYS = ("inference", "optimizer")
"""The tables in [generator.start]."""


def structure_start(raw: Any) -> str | Start:
    """Check how a generator begins: with the run in a folder, or one that is made first."""
    if not isinstance(raw, Mapping):
        try:
            folder = convert(raw, str)
        except ValueError as error:
            said = f"must be the folder of a run, or a table: {shorten(repr(raw), 100)}"
            raise TableProblems([("", said)]) from error
        return folder and resolve_path("", folder)
    parts = Parts()
    table = parts.add("", structure, StartTable, raw, START_KEYS)
    iterations = table.iterations if table else 1
    parts.add("inference", structure_chain, raw.get("inference", {}), iterations)
    parts.add("optimizer", structure_optimizer, raw.get("optimizer", {}), iterations)
    return Start(*parts.all())


def resolve(part: Any) -> dict[str, Any]:
    """Return a checked table with every key written out."""
    if isinstance(part, Chain):
        name = {"sampler": part.sampler.table.name}
        return {**name, **resolve(part.steps), **resolve(part.sampler)}
    if isinstance(part, Network):
        name = {"architecture": part.architecture.name}
        begins = resolve(part.start) if isinstance(part.start, Start) else part.start
        start = {"start": begins} if begins else {}
        own = {**name, **start, **resolve(part.architecture)}
        return {**own, "optimizer": resolve(part.optimizer)}
    if isinstance(part, Start):
        tables = {"inference": resolve(part.inference), "optimizer": resolve(part.optimizer)}
        return {**resolve(part.table), **tables}
    if isinstance(part, Scheduled):
        values = resolve(part.table)
        for key, schedule in part.schedules.items():
            values[key] = {"schedule": schedule.name, **resolve(schedule)}
        return values
    if isinstance(part, TorchOptimizer):
        return {"name": part.name, **part.arguments}
    if isinstance(part, DataTable):
        return {**attrs.asdict(part), "source": resolve_source(part.source)}
    if isinstance(part, RunTable):
        choices = part.choices and resolve_path("choices", part.choices)
        return {**attrs.asdict(part), "choices": choices}
    values = attrs.asdict(part)
    return {"name": part.name, **values} if isinstance(part, Capped) else values


def resolve_source(source: str) -> str:
    """Return a source that means the same from any folder.

    Raises:
        TableProblems: it is empty, or in the home folder of a user who is not there.
    """
    if not source:
        raise TableProblems([("source", "must not be empty")])
    return source if place_of(source) is None else resolve_path("source", source)


def resolve_path(key: str, folder: str) -> str:
    """Return a path that means the same from any folder.

    Raises:
        TableProblems: it is in the home folder of a user who is not there.
    """
    try:
        return str(Path(folder).expanduser().absolute())
    except RuntimeError as error:
        problem = f"is in the home folder of nobody: {shorten(repr(folder), 100)}"
        raise TableProblems([(key, problem)]) from error
