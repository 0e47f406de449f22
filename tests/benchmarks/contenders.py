"""One contender of the benchmark of Langevin steps, in a process of its own.

Its argument is a `Job` as JSON. It prints what it has found at the start, and then one line for
each line that it reads: the figures of one turn. `langevin.py` asks for the turns.
"""

import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from coopkit.builtin.descriptors import (
    FaceDescriptor,
    ObjectDescriptor,
    SceneDescriptor,
    TextureDescriptor,
)
from coopkit.builtin.generators import FaceGenerator, TextureGenerator
from coopkit.builtin.langevin import Langevin
from coopkit.fast import Preparation, cached_choices
from coopkit.fast.memory import keep_memory
from coopkit.steps import infer, revise
from coopkit.targets import Freeze, InferenceTarget, RevisionTarget, frozen

Network = Literal["texture", "object", "face", "scene", "face generator", "texture generator"]
DESCRIPTORS: dict[str, Any] = {
    "texture": TextureDescriptor(),
    "object": ObjectDescriptor(),
    "face": FaceDescriptor(),
    "scene": SceneDescriptor(),
}
GENERATORS: dict[str, Any] = {
    "face generator": FaceGenerator(),
    "texture generator": TextureGenerator(),
}
STEP_SIZE = 0.002
TELLING = 1e6
"""A step so large that the gradient, and not the noise, decides where it ends."""


@attrs.frozen(kw_only=True)
class Job:
    """What to measure: `way` is the contender, or "rates" for those of the machine."""

    network: Network
    size: int
    chains: int
    steps: int = 10
    way: str = "fast"
    threads: int | None = None
    memory: float | None = None
    bfloat16: bool = False


@attrs.frozen(eq=False)
class Problem:
    """A density to sample from; `signal` is what a generator infers from, None otherwise."""

    network: nn.Module
    std: float
    start: Tensor
    signal: Tensor | None

    def energy(self, x: Tensor) -> Tensor:
        """Return −log p(x) + const of each chain."""
        if self.signal is None:
            return (x**2).flatten(1).sum(1) / (2 * self.std**2) - self.network(x)
        error = ((self.signal - self.network(x)) ** 2).flatten(1).sum(1) / (2 * self.std**2)
        return error + (x**2).flatten(1).sum(1) / 2

    def revised(self, step_size: float, steps: int, rng: torch.Generator, how: Freeze) -> Tensor:
        """Return the end of chains of coopkit."""
        sampler = Langevin(step_size=step_size)
        if self.signal is None:
            return revise(how(self.network), self.std, sampler, self.start, steps, rng).revised
        found = infer(how(self.network), self.std, sampler, self.start, self.signal, steps, rng)
        return found.latents


Chain = Callable[[Problem, float, int, torch.Generator], Tensor]


def problem_of(job: Job, device: str) -> Problem:
    """Return the network of a job with its initial weights, and where its chains start."""
    torch.manual_seed(0)
    shape = (3, job.size, job.size)
    signal = torch.rand(job.chains, *shape) * 2 - 1
    if job.network in DESCRIPTORS:
        builder = DESCRIPTORS[job.network]
        network = builder.build(shape).to(device)
        return Problem(network, builder.reference_std, signal.to(device), None)
    builder = GENERATORS[job.network]
    network = builder.build(shape).to(device)
    latents = torch.randn(job.chains, *builder.latent_shape(shape))
    return Problem(network, builder.noise_std, latents.to(device), signal.to(device))


def public_chain(problem: Problem, step_size: float, steps: int, rng: torch.Generator) -> Tensor:
    """Return the end of the usual loop, which computes the gradients of the weights as well."""
    x = problem.start.detach()
    for _ in range(steps):
        x.requires_grad_()
        problem.energy(x).sum().backward()
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        x = x.detach() - step_size**2 / 2 * x.grad + step_size * noise
        problem.network.zero_grad()
    return x


def torchebm_chain(problem: Problem, step_size: float, steps: int, rng: torch.Generator) -> Tensor:
    """Return the end of torchebm's chain, whose step size η is δ²/2."""
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    class Energy(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.network = problem.network

        def forward(self, x: Tensor) -> Tensor:
            return problem.energy(x)

    sampler = LangevinDynamics(Energy(), step_size**2 / 2, device=problem.start.device)
    return sampler.sample(x=problem.start, n_steps=steps, generator=rng)


def torchebm_version() -> str:
    """Return the version of torchebm, empty where there is none; TORCHEBM_PATH may say where."""
    sys.path += [os.environ[name] for name in ("TORCHEBM_PATH",) if name in os.environ]
    try:
        import torchebm
    except ModuleNotFoundError:
        return ""
    return torchebm.__version__


def own_chain(freeze: Freeze) -> Chain:
    """Return the chain of coopkit that evaluates a network as `freeze` gives it."""
    return lambda problem, step_size, steps, rng: problem.revised(step_size, steps, rng, freeze)


def chain_of(job: Job) -> Chain:
    """Return the chain of a contender."""
    if job.way == "fast":
        return own_chain(Preparation(cached_choices(), memory=job.memory or float("inf")))
    chains = {"public": public_chain, "torchebm": torchebm_chain, "plain": own_chain(frozen)}
    return chains[job.way]


def precision(job: Job, device: str) -> AbstractContextManager[Any]:
    """Return the context that a job runs in."""
    return torch.autocast(device, torch.bfloat16) if job.bfloat16 else nullcontext()


def signature(problem: Problem, chain: Chain) -> list[float]:
    """Return two figures that tell where one large step along the network's gradient ends."""
    if problem.signal is None:
        problem = attrs.evolve(problem, std=math.inf)
    rng = torch.Generator(problem.start.device).manual_seed(0)
    moved = (chain(problem, TELLING, 1, rng) - problem.start).flatten(1)
    wave = torch.arange(moved.shape[1], device=moved.device).cos()
    norm = moved.norm()
    return [float(norm), float((moved @ wave).sum() / (norm * wave.norm()))]


def wait(device: str) -> None:
    """Wait until a device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(function: Callable[[], object], device: str) -> float:
    """Return how long a call takes."""
    wait(device)
    begin = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - begin


def serve_chain(job: Job, device: str) -> None:
    """Measure a contender: an untimed step and then a timed chain in each turn."""
    version = torchebm_version() if job.way == "torchebm" else ""
    if job.way == "torchebm" and not version:
        reply(missing="not installed")
        return
    problem, chain = problem_of(job, device), chain_of(job)
    rng = torch.Generator(device).manual_seed(0)

    def run(steps: int) -> None:
        chain(problem, STEP_SIZE, steps, rng)

    with precision(job, device):
        reply(signature=signature(problem, chain), version=version)
        for _ in sys.stdin:
            run(1)
            seconds = seconds_of(lambda: run(job.steps), device) / job.steps
            reply(seconds=seconds, peak=peak_memory(device))


def peak_memory(device: str) -> float:
    """Return the most GiB that this process has taken, of the device's memory on a GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def serve_rates(job: Job, device: str) -> None:
    """Measure the machine, for large operations of the type that the job uses."""
    keep_memory()
    one = problem_of(attrs.evolve(job, chains=1), "cpu")
    entry = 2 if job.bfloat16 else 4
    reply(flops=job.chains * flops_of(one), bytes=job.chains * entry * entries_of(one))
    new: dict[str, Any] = {
        "device": device,
        "dtype": torch.bfloat16 if job.bfloat16 else torch.float32,
    }
    matrix, filters = torch.randn(2048, 2048, **new), torch.randn(256, 256, 3, 3, **new)
    product, memory = torch.empty_like(matrix), torch.zeros(2**26, **new)
    copied = torch.zeros_like(memory)
    last: dict[str, Any] = {"memory_format": torch.channels_last}
    image, filters = torch.randn(8, 256, 32, 32, **new).to(**last), filters.to(**last)
    work = {
        "sgemm": (2 * 2048**3, lambda: torch.mm(matrix, matrix, out=product)),
        "convolution": (
            2 * 9 * 256 * image.numel(),
            lambda: torch.conv2d(image, filters, padding=1),
        ),
        "bandwidth": (2 * memory.numel() * memory.element_size(), lambda: copied.copy_(memory)),
    }
    for _ in sys.stdin:
        reply(**{name: rate_of(amount, does, device) for name, (amount, does) in work.items()})


def rate_of(amount: float, function: Callable[[], object], device: str) -> float:
    """Return the amount of work per second of a call after the first."""
    function()
    return amount / statistics.median(seconds_of(function, device) for _ in range(3))


def flops_of(problem: Problem) -> int:
    """Return the operations of one score by direct convolutions, a multiply-add counted twice."""
    evaluate = frozen(problem.network)

    def f(x: Tensor) -> Tensor:
        """Return the network's value; the counter needs an input that is no leaf."""
        return evaluate(x + 0)

    with FlopCounterMode(display=False) as counter:
        if problem.signal is None:
            RevisionTarget(f, problem.std).score(problem.start)
        else:
            InferenceTarget(f, problem.signal, problem.std).score(problem.start)
    return counter.get_total_flops()


def entries_of(problem: Problem) -> int:
    """Return the entries of the input, of what each layer gives, and of all their gradients."""
    sizes = [problem.start.numel()]
    for layer in problem.network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(lambda _, given, made: sizes.append(made.numel()))
    with torch.no_grad():
        problem.network(problem.start)
    return 2 * sum(sizes)


def reply(**figures: Any) -> None:
    """Print one line."""
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    given = Job(**json.loads(sys.argv[1]))
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    (serve_rates if given.way == "rates" else serve_chain)(given, where)
