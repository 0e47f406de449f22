"""A training run: data, accelerator, algorithm and schedules, and whoever watches.

The loop knows none of its watchers; metrics, sheets and checkpoints are watchers like any plugin's.
"""

import math
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor

from coopkit.algorithms import Algorithm
from coopkit.building import (
    abandon,
    begin_latents,
    build_algorithm,
    build_learner,
    check_memory,
    check_shares,
    new_accelerator,
    new_preparation,
    own_part,
)
from coopkit.checkpoint import CHECKPOINTS, list_checkpoints, load_checkpoint
from coopkit.data import Images, load_images
from coopkit.divergence import PURPOSES, Patience, advice_for, too_far, what_is_left
from coopkit.errors import DivergedError, RecipeError
from coopkit.fast import Preparation, keep_memory
from coopkit.folder import FAST_FILE, START, Hold, check_folder, clear_run, cleared_unless
from coopkit.interrupts import asked_to_stop, stopping_signals
from coopkit.iterations import Batch, Iteration, Learner, Streams
from coopkit.optimizers import apply_settings
from coopkit.plugins import check_watchers, registry, watching
from coopkit.recipes import Recipe
from coopkit.recipes.sections import Network
from coopkit.resuming import check_alike, has_learnt, restore
from coopkit.starting import begin_from
from coopkit.streams import Order, seeded, stream_seed
from coopkit.watchers import file_watchers
from coopkit.watchers.files import Records

if TYPE_CHECKING:
    from accelerate import Accelerator


@attrs.define(eq=False)
class Run:
    """A training run in progress.

    Attributes:
        recipe: all of it, as it was asked for.
        folder: where its files go.
        images: the observed signals.
        accelerator: of Hugging Face Accelerate; places and casts.
        learners: by "descriptor" and "generator".
        algorithm: one of the three.
        streams: the sources of randomness of this process.
        order: in which the examples are seen.
        preparation: what makes the networks of D1 and G1 fast, if anything.
        iteration: how many learning iterations are done.
        figures: what the last iteration measured, mean over processes.
        interrupted: the signal that asked the run to stop, if one did.
        failed: whether an error ended the run.
        start: the run of Algorithm 2 that [generator.start] has come first, until it is over.
        is_start: whether this is such a run.
        patience: with chains that do not move and a generator that goes astray.
    """

    recipe: Recipe
    folder: Path
    images: Images
    accelerator: "Accelerator"
    learners: dict[str, Learner]
    algorithm: Algorithm
    streams: Streams
    order: Order
    preparation: Preparation | None = None
    iteration: int = 0
    figures: dict[str, float] = attrs.field(factory=dict)
    interrupted: signal.Signals | None = None
    failed: bool = False
    start: "Run | None" = None
    is_start: bool = False
    patience: Patience = attrs.field(factory=Patience)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files."""
        return bool(self.accelerator.is_main_process)

    @property
    def finished(self) -> bool:
        """Whether all iterations of the recipe are done."""
        return self.iteration >= self.recipe.run.iterations

    def iterate(self) -> Iteration:
        """Do one learning iteration.

        Raises:
            DivergedError: a figure is infinite or not a number, signals went farther than images
                are apart, or no revision has moved a chain for long.
        """
        t = self.iteration
        for kind, learner in self.learners.items():
            network: Network = getattr(self.recipe, kind)
            apply_settings(learner.optimizer, network.optimizer.at(t))
        places = own_part(self.order.places(t), self.accelerator)
        device = self.accelerator.device
        batch = Batch(self.images.signals(places).to(device), places.to(device))
        rank, settings = self.accelerator.process_index, self.recipe.settings(t)
        with seeded(stream_seed(self.recipe.seed, "dropout", t, rank), device):
            iteration = self.algorithm.iterate(batch, settings)
        self.figures = self.read(iteration.figures)
        self.iteration += 1
        revises, chains = settings.revision_steps > 0, self.recipe.run.chains
        lost = self.patience.lost(self.figures, revises, chains, self.reference_std)
        if lost is not None:
            raise self.diverged(self.iteration, *lost)
        return iteration

    def read(self, figures: dict[str, Tensor]) -> dict[str, float]:
        """Bring the figures of all processes to the host, once, and refuse what has diverged.

        Where the loss is scaled (fp16) a gradient may overflow: the update is skipped, the norm
        left out, for JSON has no such number.
        """
        device = self.accelerator.device
        stacked = torch.stack([figure.detach().float().to(device) for figure in figures.values()])
        values = self.accelerator.reduce(stacked, reduction="mean").tolist()
        for name, value in zip(figures, values, strict=True):
            skipped = self.accelerator.scaler is not None and name.endswith("gradient_norm")
            if too_far(name, value, self.reference_std) or not (math.isfinite(value) or skipped):
                raise self.diverged(self.iteration + 1, name, value)
        return {n: v for n, v in zip(figures, values, strict=True) if math.isfinite(v)}

    @property
    def reference_std(self) -> float:
        """s of the descriptor; infinity where there is none, or no reference."""
        return self.learners["descriptor"].std if "descriptor" in self.learners else math.inf

    def diverged(
        self, iteration: int, quantity: str, value: float, advice: str = ""
    ) -> DivergedError:
        """Return the error for a value that says so, with what to try and what is left."""
        if not advice:
            key = "start" if self.is_start else self.recipe.algorithm
            names = {of: c.sampler.table.name for of in PURPOSES if (c := getattr(self.recipe, of))}
            advice = advice_for(key, iteration, quantity, value, names)
        left = what_is_left(list_checkpoints(self.folder / CHECKPOINTS))
        return DivergedError(iteration, quantity, value, f"{advice} {left}")


def run(
    recipe: Recipe | str | Path,
    folder: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    watchers: Sequence[object] = (),
) -> Run:
    """Train as a recipe says and leave metrics, sheets and checkpoints in a folder.

    Args:
        recipe: checked, or a path or packaged name to read.
        folder: for this run alone.
        resume: go on from the newest checkpoint in the folder, or begin if there is none.
        overwrite: remove the run that is in the folder first.
        watchers: objects with hooks of `coopkit.hookspecs`, called besides the plugins'. A recipe
            with [generator.start] is two runs, one after the other, and they watch both.

    Returns:
        The run as it ended; `interrupted` says whether a signal cut it short.

    Raises:
        CoopkitError: the recipe, the data, the folder or a watcher is not right, training diverged,
            or several processes do not share the folder.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.read(recipe)
    check_watchers(watchers)  # while the old run is still there
    hold = Hold(Path(folder))
    training = prepare(recipe, hold.folder, resume, overwrite)
    with hold.kept(training.is_main):
        check_alike(training)
        if overwrite and training.is_main:
            if training.start is not None:
                clear_run(training.start.folder)
            clear_run(training.folder)
        training.accelerator.wait_for_everyone()
        return train(training, watchers)


def train(training: Run, watchers: Sequence[object]) -> Run:
    """Do all iterations of a run, of its start first, and return it as it ended."""
    parts = (training, training.start)
    with stopping_signals() as received, cleared_unless(training.folder, has_learnt, *parts):
        if training.start is not None:
            # The recipe is written first, so that a run that is stopped in its start can go on.
            Records().run_started(run=training)
            training.accelerator.wait_for_everyone()
            learn(training.start, received, watchers)
            training.interrupted = asked_to_stop(training.accelerator, received)
            if training.interrupted:
                return training
            begin_from(training.learners["generator"].network, training.start.folder)
            training.start = None
        learn(training, received, watchers)
    return training


def prepare(
    recipe: Recipe, folder: Path, resume: bool, overwrite: bool, images: Images | None = None
) -> Run:
    """Build a run and the run that comes first in it, where they stand; write nothing.

    Raises:
        CoopkitError: the recipe, the data or the folder is not right.
    """
    checkpoints = check_folder(recipe, folder, resume, overwrite)
    images = load_images(recipe.data, recipe.seed) if images is None else images
    training = build_run(recipe, folder, images)
    begins = recipe.generator.start if recipe.generator is not None else ""
    if checkpoints:
        restore(training, load_checkpoint(checkpoints[-1]))
        return training
    begin_latents(recipe, images, training.algorithm)
    if recipe.start_recipe is not None:
        training.start = prepare_start(recipe.start_recipe, training, resume, overwrite)
    elif isinstance(begins, str) and begins:
        begin_from(training.learners["generator"].network, Path(begins))
    return training


def prepare_start(recipe: Recipe, training: Run, resume: bool, overwrite: bool) -> Run:
    """Build the run of Algorithm 2 that [generator.start] asks for.

    Raises:
        CoopkitError: the table or the folder is not right.
    """
    try:
        start = prepare(recipe, training.folder / START, resume, overwrite, training.images)
    except RecipeError as error:
        problems = [f"in [generator.start], {problem}" for problem in error.problems]
        raise RecipeError(error.source, problems) from error
    start.is_start = True
    return start


def learn(training: Run, received: list[signal.Signals], watchers: Sequence[object]) -> None:
    """Do the iterations that are left, or as many as there are before a signal."""
    # Files first: what a watcher of a user raises then costs no checkpoint.
    hooks = watching([*registry().modules, *watchers, *file_watchers()])
    try:
        hooks.run_started(run=training)
        while not training.finished:
            training.interrupted = asked_to_stop(training.accelerator, received)
            if training.interrupted:
                break
            iteration = training.iterate()
            hooks.iteration_finished(run=training, iteration=iteration)
    except BaseException:
        training.failed = True
        abandon(training.accelerator)
        raise
    finally:
        hooks.run_finished(run=training)
    training.accelerator.wait_for_everyone()


def build_run(recipe: Recipe, folder: Path, images: Images) -> Run:
    """Build networks, optimisers and streams from the seed, and place them."""
    accelerator = new_accelerator(recipe)
    check_shares(recipe, images, accelerator)
    check_memory(recipe, images.shape, accelerator)
    rank = accelerator.process_index
    seeds = [stream_seed(recipe.seed, use, rank) for use in ("draft", "revision", "inference")]
    streams = Streams(*(torch.Generator(accelerator.device).manual_seed(seed) for seed in seeds))
    preparation = new_preparation(recipe, folder / FAST_FILE)
    if preparation is not None and accelerator.device.type == "cpu":
        keep_memory()
    learners = {
        kind: build_learner(recipe, kind, images.shape, accelerator, preparation)
        for kind in ("descriptor", "generator")
        if getattr(recipe, kind) is not None
    }
    return Run(
        recipe=recipe,
        folder=folder,
        images=images,
        accelerator=accelerator,
        learners=learners,
        algorithm=build_algorithm(recipe, images, learners, streams, accelerator),
        streams=streams,
        order=Order(len(images), recipe.run.observed, recipe.seed),
        preparation=preparation,
    )
