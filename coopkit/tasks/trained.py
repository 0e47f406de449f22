"""Loading a run to use it."""

import json
import shlex
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from coopkit.building import build_network, new_preparation
from coopkit.checkpoint import CHECKPOINTS, list_checkpoints, load_checkpoint, put_weights
from coopkit.derivatives import Function
from coopkit.errors import RecipeError, RunError
from coopkit.folder import ENVIRONMENT_FILE, FAST_FILE, RECIPE_FILE, START
from coopkit.interfaces import Kept, Sampler, Shape
from coopkit.iterations import Settings
from coopkit.keeping import recall
from coopkit.recipes import Recipe
from coopkit.targets import Freeze, exact, frozen


@attrs.frozen(eq=False)
class Trained:
    """A trained pair, or one network of it, ready to use.

    Attributes:
        recipe: as it was trained.
        iteration: how many learning iterations are done.
        signal_shape: (channels, height, width).
        mean: what was subtracted from the data.
        descriptor: f in evaluation mode, or None after Algorithm 2.
        generator: g in evaluation mode, or None after Algorithm 1.
        chains: the persistent chains of Algorithm 1, or None.
        device: where all of it is.
        freeze: turns a network into a function of its input alone, for chains.
        kept: what the sampler of D1 kept of its chains, or None.
        latents: of the examples, (n, *latent), after Algorithm 2, or None.
        fitted_prior: whether the generator is no longer the one that the recipe's [inference] was
            meant for.
        data: the fingerprint of the images that it has seen, or None where it is not known.
    """

    recipe: Recipe
    iteration: int
    signal_shape: Shape
    mean: float
    descriptor: nn.Module | None
    generator: nn.Module | None
    chains: Tensor | None
    device: torch.device
    freeze: Freeze = frozen
    kept: Kept | None = None
    latents: Tensor | None = None
    fitted_prior: bool = False
    data: str | None = None

    @property
    def settings(self) -> Settings:
        """What the recipe's schedules said of the last iteration that was done."""
        return self.recipe.settings(max(self.iteration - 1, 0))

    def for_chains(self, network: nn.Module) -> Function:
        """Return a network as a function of its input alone, with log p as the recipe wants it."""
        cast = self.freeze(network)
        return exact(network, cast) if self.recipe.run.log_prob == "float64" else cast

    @property
    def tuned(self) -> Kept | None:
        """What the sampler of D1 has tuned, for new chains on signals of the same shape."""
        return Kept(tuned=self.kept.tuned) if self.kept else None


def run_recipe(folder: str | Path) -> Recipe:
    """Return the recipe of a run's folder.

    Raises:
        RunError: the folder holds no run.
        RecipeError: the recipe cannot be read, which says what the run was made with that is not
            installed.
    """
    stored = Path(folder) / RECIPE_FILE
    if not stored.is_file():
        raise RunError(f"{folder} holds no run: there is no {RECIPE_FILE} in it")
    try:
        return Recipe.read(stored)
    except RecipeError as error:
        lacking = not_installed(stored.with_name(ENVIRONMENT_FILE))
        if not lacking:
            raise
        problem = f"the run was made with {', '.join(lacking)}, which is not installed"
        raise RecipeError(str(stored), [*error.problems, problem]) from error


def not_installed(environment: Path) -> list[str]:
    """Return what a run was made with, by name and version, that is not there now."""
    try:
        versions = json.loads(environment.read_text(encoding="utf-8"))["versions"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    installed = {distribution.name for distribution in distributions()}
    return [f"{name} {number}" for name, number in versions if name not in installed]


def usable_device(device: str | torch.device) -> torch.device:
    """Return a device on which a number can be put and read back.

    Raises:
        RunError: there is none of that name.
    """
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(f"the device {str(device)!r} cannot be used: {reason}") from error
    return torch.device(device)


@torch.inference_mode(False)
def load(folder: str | Path, device: str | torch.device = "cpu") -> Trained:
    """Return the newest state of a run.

    Args:
        folder: of the run.
        device: where to put it.

    Raises:
        RunError: there is no run, no checkpoint yet, or a damaged one; or no such device.
    """
    device = usable_device(device)
    recipe = run_recipe(folder)
    places = list_checkpoints(Path(folder) / CHECKPOINTS)
    if not places:
        raise RunError(no_checkpoint(Path(folder), recipe))
    state = load_checkpoint(places[-1])
    shape = tuple(state.training["signal_shape"])
    networks: dict[str, nn.Module] = {}
    for kind, weights in state.networks.items():
        networks[kind] = build_network(recipe, kind, shape)
        put_weights(networks[kind], weights, kind)
        networks[kind].to(device).eval()
    memory = {name: value.to(device) for name, value in state.training["memory"].items()}
    return Trained(
        recipe=recipe,
        iteration=state.iteration,
        signal_shape=shape,
        mean=state.training["mean"],
        descriptor=networks.get("descriptor"),
        generator=networks.get("generator"),
        chains=memory.get("chains"),
        device=device,
        freeze=new_preparation(recipe, Path(folder) / FAST_FILE) or frozen,
        kept=recall(memory, "revision"),
        latents=memory.get("latents"),
        data=state.training["data"],
    )


def no_checkpoint(folder: Path, recipe: Recipe) -> str:
    """Say that a run has no checkpoint, how it gets one, and what of it can be used meanwhile."""
    said = f"the run {folder} has no checkpoint yet"
    if recipe.start_recipe is not None:
        said += ", it has not gone beyond its start"
    said += f"; coopkit run {shlex.quote(str(folder))} --resume goes on with it"
    if list_checkpoints(folder / START / CHECKPOINTS):
        said += f", and {folder / START} is a run that can be used"
    return said


def generator_of(trained: Trained) -> tuple[Shape, float]:
    """Return the shape of a latent and σ.

    Raises:
        RunError: the run has no generator.
    """
    if trained.generator is None or trained.recipe.generator is None:
        raise RunError(
            "the run has no generator, which this task needs; train one by algorithm "
            '"cooperative" or "generator"'
        )
    architecture = trained.recipe.generator.architecture
    return architecture.latent_shape(trained.signal_shape), architecture.noise_std


def revision_of(
    trained: Trained, step_size: float | None = None
) -> tuple[Function, float, Sampler[Any]]:
    """Return f, s and the sampler of D1, of another step size if one is given.

    Raises:
        RunError: the run has no descriptor, or its sampler has no step size.
    """
    if trained.descriptor is None or trained.recipe.descriptor is None:
        raise RunError(
            "the run has no descriptor, which this task needs; train one by algorithm "
            '"cooperative" or "descriptor"'
        )
    sampler = trained.settings.revision
    assert sampler is not None
    if step_size is not None:
        if not hasattr(sampler, "step_size"):
            raise RunError(f"the sampler {sampler.name!r} of the run has no step_size to set")
        sampler = attrs.evolve(sampler, step_size=step_size)  # type: ignore[misc]
    f = trained.for_chains(trained.descriptor)
    return f, trained.recipe.descriptor.architecture.reference_std, sampler
