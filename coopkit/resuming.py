"""The state of a run between two iterations, and taking it up again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor
from torch.optim import Optimizer

from coopkit.checkpoint import Checkpoint, all_finite, put_weights
from coopkit.errors import RunError

if TYPE_CHECKING:
    from coopkit.training import Run


def has_learnt(*runs: "Run | None") -> bool:
    """Whether one of the parts of a run has done an iteration, or this process has no say in it."""
    return any(run is not None and (run.iteration > 0 or not run.is_main) for run in runs)


def state_of(run: "Run") -> Checkpoint:
    """Return the state of the run; every process must take part.

    Raises:
        DivergedError: a weight is infinite or not a number.
    """
    gather = run.accelerator.gather
    streams = [generator.get_state() for generator in attrs.astuple(run.streams)]
    memory = run.algorithm.memory
    if not is_shared(memory):
        memory = {name: gather(value) for name, value in memory.items()}
    scaler = run.accelerator.scaler
    state = Checkpoint(
        run.iteration,
        {kind: learner.network.state_dict() for kind, learner in run.learners.items()},
        {
            "optimizers": {
                kind: learner.optimizer.state_dict() for kind, learner in run.learners.items()
            },
            "memory": memory,
            "streams": gather(torch.stack(streams).to(run.accelerator.device)),
            "scaler": scaler.state_dict() if scaler else None,
            "processes": run.accelerator.num_processes,
            "data": run.images.fingerprint,
            "signal_shape": run.images.shape,
            "mean": run.images.mean,
        },
    )
    if not all_finite(state):
        raise run.diverged(run.iteration, "a weight", float("nan"))
    return state


def restore(run: "Run", state: Checkpoint) -> None:
    """Take up a run where a checkpoint left it.

    Raises:
        RunError: the checkpoint was made from other data, by another number of processes or on
            another kind of device, or after more iterations than are asked for.
    """
    training, asked = state.training, run.recipe.run.iterations
    if state.iteration > asked:
        raise RunError(
            f"run.iterations {asked}: {run.folder} has done {state.iteration} iterations already; "
            "ask for as many or more"
        )
    if training["data"] != run.images.fingerprint:
        raise RunError(
            f"data.source {run.recipe.data.source!r} gives other images than those that the run "
            "began with; put them back, or begin another run"
        )
    processes = run.accelerator.num_processes
    if training["processes"] != processes:
        raise RunError(
            f"the checkpoint was made by {training['processes']} processes and there are "
            f"{processes} now; launch as many as before"
        )
    for kind, learner in run.learners.items():
        put_weights(learner.network, state.networks[kind], kind)
        learner.optimizer.load_state_dict(training["optimizers"][kind])
        lay_as_weights(learner.optimizer)
    rank, device = run.accelerator.process_index, run.accelerator.device
    shared = is_shared(training["memory"])
    for name, value in training["memory"].items():
        part = value if shared else value.chunk(processes)[rank]
        run.algorithm.memory[name] = part.to(device)
    states = training["streams"].chunk(processes)[rank]
    for generator, saved in zip(attrs.astuple(run.streams), states, strict=True):
        try:
            # A clone, because torch disregards where in its memory a row begins.
            generator.set_state(saved.clone())
        except RuntimeError as error:
            raise RunError(
                f"the checkpoint was made on another kind of device than {device}; its streams "
                "of randomness can go on only there"
            ) from error
    if run.accelerator.scaler and training["scaler"]:
        run.accelerator.scaler.load_state_dict(training["scaler"])
    run.iteration = state.iteration


def lay_as_weights(optimizer: Optimizer) -> None:
    """Have what an optimiser knows of a weight lie in memory as the weight does.

    Fused ones go through both as they lie, and a checkpoint keeps no order.
    """
    for weight, known in optimizer.state.items():
        for name, value in known.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                known[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def check_alike(run: "Run") -> None:
    """Refuse processes that do not all stand at the same iteration.

    Raises:
        RunError: some found a checkpoint and some did not, or not the same one.
    """
    parts = (run, run.start)
    here = [-1 if part is None else part.iteration for part in parts]
    found = run.accelerator.gather(torch.tensor([here], device=run.accelerator.device))
    if not bool((found == found[0]).all()):
        raise RunError(
            f"the processes found different states of {run.folder}: they are at iterations "
            f"{found.max(1).values.tolist()}; its folder must be one that all of them share"
        )


def is_shared(memory: Mapping[str, Tensor]) -> bool:
    """Whether every process has all of a memory: that of the examples, not of its own chains."""
    return "latents" in memory
