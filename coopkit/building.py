"""From a recipe to networks, optimisers and an algorithm, placed on their device."""

import atexit
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from coopkit.algorithms import (
    Algorithm,
    CooperativeAlgorithm,
    DescriptorAlgorithm,
    GeneratorAlgorithm,
)
from coopkit.data import Images
from coopkit.errors import RecipeError
from coopkit.fast import Preparation, cached_choices, order_weights, read_choices
from coopkit.interfaces import Shape
from coopkit.iterations import Learner, Streams
from coopkit.precision import Uncast, finest
from coopkit.recipes import Recipe
from coopkit.recipes.sections import Network
from coopkit.starting import unexpanded
from coopkit.statistics.components import component_latents
from coopkit.streams import seeded, stream_seed
from coopkit.targets import frozen
from coopkit.trials import (
    build_module,
    check_float64,
    check_second_derivative,
    latent_shape_of,
    origin,
    std_of,
    try_values,
)

if TYPE_CHECKING:
    from accelerate import Accelerator


PLAIN = ("NO", "MULTI_")
"""How Accelerate's names begin of the ways in which every process has whole networks."""

LOSS_SCALE = 2.0**-6
"""What losses are multiplied by in fp16 at first.

Torch's own 2¹⁶ is for means over entries. Those of D2 and G2 are sums over an image: at 2¹⁶ the
first eleven updates of f in `texture-small` are skipped, until it has been halved to ⅛.
"""


def new_accelerator(recipe: Recipe) -> "Accelerator":
    """Return the accelerator of a recipe; one process may make several after each other.

    Raises:
        RecipeError: the precision or the recipe wants a GPU that is not there, or processes were
            launched that are not joined.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import GradientAccumulationPlugin, GradScalerKwargs

    # Processes that are joined stay so; else the device is chosen anew.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    precision, device = recipe.run.mixed_precision, recipe.run.device
    accelerator = Accelerator(
        mixed_precision=None if precision == "auto" else precision,
        cpu=device == "cpu",
        # Not what a launcher's configuration says: every backward pass is followed by its update,
        # and a compiled network cannot be differentiated twice.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        dynamo_backend="no",
        kwargs_handlers=[GradScalerKwargs(init_scale=LOSS_SCALE)],
    )
    if device not in ("auto", accelerator.device.type):
        lacks = device == "cuda" and torch.version.cuda is None
        no = "has no CUDA" if lacks else f"computes on {accelerator.device}"
        problem = (
            f'run.device "{device}": torch {torch.__version__} {no}; "auto" takes what there is'
        )
        raise RecipeError("recipe", [problem])
    if not accelerator.distributed_type.value.startswith(PLAIN):
        problem = (
            f"the launcher's configuration is for {accelerator.distributed_type.value}; coopkit "
            "trains whole networks on every process"
        )
        raise RecipeError("recipe", [problem])
    if recipe.run.log_prob == "float64" and finest(accelerator.device) != torch.float64:
        raise RecipeError("recipe", ['run.log_prob: this device has no "float64"'])
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        problem = 'run.mixed_precision "fp16" needs a GPU; "bf16" and "no" work on a CPU'
        raise RecipeError("recipe", [problem])
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > accelerator.num_processes:
        problem = f'{launched} processes were launched; without GPUs run.device = "cpu" joins them'
        raise RecipeError("recipe", [problem])
    if accelerator.num_processes > 1:
        # Left to the interpreter, the threads that join the processes may abort at its exit.
        atexit.register(accelerator.end_training)
    return accelerator


def abandon(accelerator: "Accelerator") -> None:
    """Let a process that has failed exit at once, so that its launcher ends the others.

    GPUs would first wait for what the others have not sent, and never will.
    """
    if accelerator.device.type != "cpu":
        atexit.unregister(accelerator.end_training)


def check_shares(recipe: Recipe, images: Images, accelerator: "Accelerator") -> None:
    """Refuse chains and examples that several processes cannot share evenly.

    Raises:
        RecipeError: saying which.
    """
    world = accelerator.num_processes
    batch = min(recipe.run.observed, len(images))
    chains = recipe.run.chains if recipe.revision else 0
    for key, number in (("run.chains", chains), ("run.observed", batch)):
        if number % world:
            problem = f"{key} {number} cannot be shared evenly by {world} processes"
            raise RecipeError("recipe", [problem])


def check_memory(recipe: Recipe, shape: Shape, accelerator: "Accelerator") -> None:
    """Refuse chains whose signals alone, S1, S2 and the score, are more than all of the memory.

    Raises:
        RecipeError: saying how many there may be at most.
    """
    device, gpus = accelerator.device, 1
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        gpus = accelerator.num_processes
    elif hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    else:
        return
    most = gpus * memory // (3 * 4 * math.prod(shape))
    if recipe.revision is not None and recipe.run.chains > most:
        problem = (
            f"run.chains {recipe.run.chains} of {' x '.join(map(str, shape))} are more than the "
            f"memory of {gpus * memory / 2**30:.3g} GiB has room for, {most}"
        )
        raise RecipeError("recipe", [problem])


def build_network(recipe: Recipe, kind: str, shape: Shape) -> nn.Module:
    """Build one network with weights drawn from the recipe's seed.

    Raises:
        RecipeError: the architecture does not fit signals of that shape.
        RunError: the latents are too many to begin where another run ended.
    """
    architecture = getattr(recipe, kind).architecture
    with seeded(stream_seed(recipe.seed, f"{kind} weights")):
        network = build_module(architecture, kind, shape).train()
    if getattr(recipe, kind).start:
        return unexpanded(network, math.prod(latent_shape_of(architecture, shape)))
    return network


def new_preparation(recipe: Recipe, earlier: Path) -> Preparation | None:
    """Return what makes the networks of D1 and G1 fast; None where the recipe says "off".

    Args:
        recipe: what it says of choices comes before what this machine has measured.
        earlier: the file with the choices of an earlier part of the run, which come before both.

    Raises:
        RecipeError: the recipe's file holds no choices.
    """
    if recipe.run.fast == "off":
        return None
    choices = cached_choices()
    if recipe.run.choices:
        given = read_choices(Path(recipe.run.choices))
        if not given and not earlier.exists():
            problem = f"run.choices {recipe.run.choices!r} is no fast.json of a run"
            raise RecipeError("recipe", [problem])
        choices.known |= given
    choices.known |= read_choices(earlier)
    return Preparation(choices, recipe.run.memory * 2**30)


def build_learner(
    recipe: Recipe,
    kind: str,
    shape: Shape,
    accelerator: "Accelerator",
    preparation: Preparation | None = None,
) -> Learner:
    """Build one network and its optimiser, and place them.

    Raises:
        RecipeError: the architecture does not fit the signals, or the optimiser the network; or
            what it gives is no network that can learn.
    """
    table: Network = getattr(recipe, kind)
    network = build_network(recipe, kind, shape)
    descriptor = kind == "descriptor"
    std = std_of(table.architecture, kind)
    entry = shape if descriptor else latent_shape_of(table.architecture, shape)
    try_values(network, origin(table.architecture, kind), entry, () if descriptor else shape)
    exact = recipe.run.log_prob == "float64"
    if exact:
        check_float64(network, kind, entry)
    if descriptor and is_penalized(recipe):
        check_second_derivative(network, entry)
    try:
        plain = table.optimizer.at(0).build(network, torch.zeros(1, *entry))
    except ValueError as error:
        raise RecipeError("recipe", [f"{kind}.optimizer does not fit: {error}"]) from error
    # Each process would measure for itself, and those that are joined need one order.
    if preparation is not None and accelerator.num_processes == 1:
        rows = recipe.run.chains + (recipe.run.observed if descriptor else 0)
        x = torch.zeros(1, *entry, device=accelerator.device).expand(rows, *entry)
        with seeded(0, accelerator.device):
            order_weights(network.to(accelerator.device), x, preparation.choices)
    precise = None if accelerator.mixed_precision == "no" else Uncast(network)
    trained, optimizer = accelerator.prepare(network, plain)
    backward = backward_through(accelerator, optimizer)
    freeze = preparation or frozen
    return Learner(network, optimizer, std, trained, backward, freeze, precise, exact)


def is_penalized(recipe: Recipe) -> bool:
    """Whether D2 of any iteration has a penalty on the score."""
    shift = recipe.shift
    iterations = range(recipe.run.iterations)
    return shift is not None and any(shift.at(t).score_penalty > 0 for t in iterations)


def backward_through(
    accelerator: "Accelerator", optimizer: Optimizer
) -> Callable[[Tensor], object]:
    """Return a backward pass that leaves true gradients, also where the loss had to be scaled."""

    def backward(loss: Tensor) -> None:
        accelerator.backward(loss)
        accelerator.unscale_gradients(optimizer)

    return backward


def build_algorithm(
    recipe: Recipe,
    images: Images,
    learners: dict[str, Learner],
    streams: Streams,
    accelerator: "Accelerator",
) -> Algorithm:
    """Return the recipe's algorithm with what it remembers at the start."""
    device, rank = accelerator.device, accelerator.process_index
    chains = recipe.run.chains // accelerator.num_processes
    if recipe.algorithm == "descriptor":
        learner = learners["descriptor"]
        rng = torch.Generator(device).manual_seed(stream_seed(recipe.seed, "chains", rank))
        std = learner.std if learner.std < float("inf") else 1.0
        start = std * torch.randn((chains, *images.shape), generator=rng, device=device)
        return DescriptorAlgorithm(learner, streams, {"chains": start})
    assert recipe.generator is not None
    latent_shape = recipe.generator.architecture.latent_shape(images.shape)
    if recipe.algorithm == "generator":
        rng = torch.Generator(device).manual_seed(stream_seed(recipe.seed, "latents"))
        start = torch.randn((len(images), *latent_shape), generator=rng, device=device)
        return GeneratorAlgorithm(
            learners["generator"], streams, {"latents": start}, accelerator.gather
        )
    return CooperativeAlgorithm(
        learners["descriptor"], learners["generator"], latent_shape, chains, streams
    )


def begins_at_components(recipe: Recipe) -> bool:
    """Whether there are latents of Algorithm 2, and they begin at principal components."""
    return recipe.algorithm == "generator" and recipe.run.latents == "components"


def begin_latents(recipe: Recipe, images: Images, algorithm: Algorithm) -> None:
    """Put the latents of Algorithm 2 where the recipe has them begin, if not at N(0, I)."""
    if begins_at_components(recipe):
        memory, seed = algorithm.memory, stream_seed(recipe.seed, "components")
        drawn = memory["latents"]
        memory["latents"] = component_latents(images.signals, len(images), drawn, seed)


def own_part(places: Tensor, accelerator: "Accelerator") -> Tensor:
    """Return the share of a batch that belongs to this process."""
    own: Tensor = places.chunk(accelerator.num_processes)[accelerator.process_index]
    return own
