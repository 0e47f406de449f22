"""Checks of structure on paths: whose noise, whose values and which steps they depend on."""

import copy
from typing import Any

import attrs
import torch

from coopkit.interfaces import Kept, Sampler
from coopkit.sampling import half_kept, is_fused, is_keeping, run_chains, step_chains
from coopkit.targets import MaskedTarget
from coopkit.testing.structure.properties import close, demand, same
from coopkit.testing.structure.scenes import Scene


def reproducible(sampler: Sampler[Any], scene: Scene) -> None:
    """The same generator gives the same bits, whatever ran in between; another does not."""
    once = scene.walk(sampler)
    scene.walk(sampler, scene.start + 1, seed=scene.seed + 1)
    same(scene.walk(sampler), once, "the same seed gives other chains after another run")
    many = torch.zeros(16, *scene.start.shape[1:], dtype=once.dtype, device=once.device)
    longer = attrs.evolve(scene, start=many, steps=10)
    ends = [longer.walk(sampler, seed=seed) for seed in (scene.seed, scene.seed + 1)]
    demand(not torch.equal(*ends), "another seed gives the same chains")


def resumes(sampler: Sampler[Any], scene: Scene) -> None:
    """n + m steps are n steps, and then m from the saved state with a sampler just made."""
    rng, again = scene.stream(), scene.stream()
    fresh, just_made = copy.deepcopy(sampler), copy.deepcopy(sampler)
    state = sampler.init(scene.target, scene.start)
    whole = run_chains(sampler, scene.target, state, scene.steps + 2, rng)
    state = fresh.init(scene.target, scene.start)
    saved = copy.deepcopy(run_chains(fresh, scene.target, state, scene.steps, again))
    rest = run_chains(just_made, scene.target, saved, 2, again)
    same(whole.position, rest.position, "a run in two parts ends elsewhere than a run in one")


def own_path(sampler: Sampler[Any], scene: Scene) -> None:
    """A chain's path does not depend on what the other chains are."""
    chains = list(range(len(scene.start)))
    changed = scene.start.clone()
    changed[-1] = 3 - 2 * changed[-1]
    ends = [scene.walk(sampler, start, chains)[:-1] for start in (scene.start, changed)]
    close(ends[0], ends[1], "changing one chain changes the path of another")


def chain_count(sampler: Sampler[Any], scene: Scene) -> None:
    """A chain's path does not depend on how many chains there are."""
    chains = list(range(len(scene.start)))
    whole = scene.walk(sampler, None, chains)
    part = scene.walk(sampler, scene.start[:-1], chains[:-1])
    close(whole[:-1], part, "leaving one chain out changes the path of another")


def permuted(sampler: Sampler[Any], scene: Scene) -> None:
    """Permuting the chains permutes the results."""
    chains = list(range(len(scene.start)))
    end = scene.walk(sampler, None, chains)
    turned = scene.walk(sampler, scene.start.flip(0), chains[::-1])
    close(end.flip(0), turned, "chains in another order take other paths")


def masked(sampler: Sampler[Any], scene: Scene) -> None:
    """Entries that a target holds keep their bits, signed zeros and tiny numbers too."""
    free, held = scene.mask(), scene.start.clone()
    held[held == 0] = -0.0
    masked = attrs.evolve(scene, target=MaskedTarget(scene.target, free, held))
    end = masked.walk(sampler, scene.start + 0.5)
    kept = torch.equal(end[~free], held[~free])
    kept = kept and torch.equal(end[~free].signbit(), held[~free].signbit())
    demand(kept, "an entry that the target holds has moved")


def kept(sampler: Sampler[Any], scene: Scene) -> None:
    """What is kept goes with its chains, and where nothing was kept, resuming is starting."""
    assert is_keeping(sampler)
    target, start = scene.target, scene.start
    chains = list(range(len(start)))
    with scene.noise_of(chains, start):
        begun = sampler.init(target, start)
        state = run_chains(sampler, target, begun, scene.steps, scene.stream())
    said = sampler.keep(state)
    for name, value in (*said.chains.items(), *said.tuned.items()):
        demand(len(value) == len(start), f"what is kept as {name!r} has not a row for each chain")

    def goes_on(rows: list[int], given: Kept) -> torch.Tensor:
        again = state.position[rows].clone()
        with scene.noise_of(rows, again):
            resumed = sampler.resume(target, again, given.rows(rows))
            same(resumed.position, state.position[rows], "resume moves the chains")
            end = run_chains(sampler, target, resumed, scene.steps, scene.stream())
        same(again, state.position[rows], "resume changes the positions that it is given")
        position: torch.Tensor = end.position
        return position

    whole, part = goes_on(chains, said), goes_on(chains[::-1][:-1], said)
    close(whole.flip(0)[:-1], part, "what is kept of one chain changes the path of another")
    with scene.noise_of(chains, start):
        fresh = sampler.init(target, state.position)
        end = run_chains(sampler, target, fresh, scene.steps, scene.stream())
    close(goes_on(chains, Kept()), end.position, "resume without what was kept is not init")
    goes_on(chains, Kept(tuned=said.tuned))
    names = [[sorted(k.chains), sorted(k.tuned)] for k in (sampler.keep(begun), said)]
    demand(names[0] == names[1], f"what is kept is {names[0]} at first, and then {names[1]}")


def keeps(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers that keep something between calls."""
    return "" if half_kept(sampler) or is_keeping(sampler) else "it keeps nothing between calls"


def fused(sampler: Sampler[Any], scene: Scene) -> None:
    """A fused run agrees with repeated steps, and holds what the target holds at each of them."""
    assert is_fused(sampler)
    for target in (scene.target, MaskedTarget(scene.target, scene.mask(), scene.start)):
        start = scene.start + 0.5
        state = sampler.init(target, start)
        state = step_chains(sampler, target, state, scene.steps, scene.stream())
        whole = sampler.run(target, sampler.init(target, start), scene.steps, scene.stream())
        close(state.position, whole.position, "the fused run ends elsewhere than its steps")
        for name, value in attrs.asdict(state, recurse=False).items():
            if isinstance(value, torch.Tensor):
                close(value, getattr(whole, name), f"the fused run leaves another {name}")


def offers_run(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers with a fused run."""
    return "" if is_fused(sampler) else "it offers no fused run"
