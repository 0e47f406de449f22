"""What a sampler keeps between iterations: where it comes back, and where it must not."""

import attrs
import pytest
import torch
from torch import Tensor, nn

from coopkit.algorithms import CooperativeAlgorithm, DescriptorAlgorithm, GeneratorAlgorithm
from coopkit.interfaces import Keeping, Kept, Reporting, Target
from coopkit.iterations import Batch, Learner, Settings, Streams
from coopkit.keeping import recall, recall_rows, remember, remember_rows
from coopkit.sampling import walk_chains


@attrs.frozen(eq=False)
class Rolling:
    """The chains, their speeds, and a size that has been tuned."""

    position: Tensor
    speed: Tensor
    size: Tensor


class Roll:
    """x ← x + v and v ← v + 1; the size grows by one half in each step."""

    name = "roll"

    def init(self, target: Target, position: Tensor) -> Rolling:
        return self.resume(target, position, Kept())

    def step(self, target: Target, state: Rolling, rng: torch.Generator) -> Rolling:
        speed = state.speed.unsqueeze(1)
        return Rolling(state.position + speed, state.speed + 1, state.size + 0.5)

    def figures(self, state: Rolling) -> dict[str, Tensor]:
        return {"speed": state.speed, "chains": torch.tensor(len(state.speed))}

    def keep(self, state: Rolling) -> Kept:
        return Kept(chains={"speed": state.speed}, tuned={"size": state.size})

    def resume(self, target: Target, position: Tensor, kept: Kept) -> Rolling:
        zero = torch.zeros(len(position))
        speed, size = kept.chains.get("speed", zero), kept.tuned.get("size", zero)
        return Rolling(position.clone(), speed, size)


class Sum(nn.Linear):
    """f(Y) = w·Y."""

    def __init__(self) -> None:
        super().__init__(3, 1, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y).squeeze(1)


ROLL = Roll()
STREAMS = Streams(*(torch.Generator().manual_seed(seed) for seed in range(3)))
SETTINGS = Settings(revision=ROLL, revision_steps=2, inference=ROLL, inference_steps=3)


def learner(network: nn.Module) -> Learner:
    return Learner(network, torch.optim.SGD(network.parameters(), lr=0.01), 1.0)


def batch(*places: int) -> Batch:
    return Batch(torch.zeros(len(places), 3), torch.tensor(places))


def test_the_interfaces_are_seen():
    assert isinstance(ROLL, Keeping)
    assert isinstance(ROLL, Reporting)


def test_algorithm_1_goes_on_with_all_that_was_kept(seed):
    algorithm = DescriptorAlgorithm(learner(Sum()), STREAMS, {"chains": torch.zeros(4, 3)})
    first = algorithm.iterate(batch(0, 1), SETTINGS)
    assert torch.equal(first.revised, torch.full((4, 3), 0.0 + 1))
    second = algorithm.iterate(batch(0, 1), SETTINGS)
    assert torch.equal(second.revised, torch.full((4, 3), 0.0 + 1 + 2 + 3))
    assert second.figures["revision.speed"] == 4
    assert torch.equal(algorithm.memory["revision.tuned.size"], torch.full((4,), 2.0))


def test_what_outlives_an_iteration_is_in_the_order_of_a_checkpoint(seed):
    """Sums of float32 depend on the order in memory, and so would a run that is resumed."""

    class Crosswise(Roll):
        def step(self, target: Target, state: Rolling, rng: torch.Generator) -> Rolling:
            state = super().step(target, state, rng)
            return attrs.evolve(state, position=state.position.T.contiguous().T)

        def keep(self, state: Rolling) -> Kept:
            return Kept(chains={"speed": state.speed}, tuned={"scores": state.position})

    settings = Settings(revision=Crosswise(), revision_steps=2)
    algorithm = DescriptorAlgorithm(learner(Sum()), STREAMS, {"chains": torch.zeros(4, 3)})
    assert not algorithm.iterate(batch(0, 1), settings).revised.is_contiguous()
    assert {"chains", "revision.tuned.scores"} < algorithm.memory.keys()
    for name, value in algorithm.memory.items():
        assert value.is_contiguous(), name


def test_algorithm_2_keeps_for_each_example(seed):
    memory = {"latents": torch.zeros(6, 2)}
    algorithm = GeneratorAlgorithm(learner(nn.Linear(2, 3)), STREAMS, memory)
    algorithm.iterate(batch(4, 0), SETTINGS)
    algorithm.iterate(batch(0, 4), SETTINGS)
    assert memory["inference.chains.speed"].tolist() == [6, 0, 0, 0, 6, 0]
    assert memory["latents"][:, 0].tolist() == [15, 0, 0, 0, 15, 0]
    algorithm.iterate(batch(4, 1), SETTINGS)
    assert memory["inference.chains.speed"].tolist() == [6, 3, 0, 0, 3, 0]
    found = algorithm.iterate(batch(0, 1), SETTINGS)
    assert memory["inference.chains.speed"].tolist() == [9, 6, 0, 0, 3, 0]
    assert found.figures["inference.speed"] == 7.5


def test_an_example_not_seen_before_costs_the_others_their_chains_and_not_what_was_tuned(seed):
    """The last examples of an epoch are left out, so that later batches mix old and new."""
    memory = {"latents": torch.zeros(6, 2)}
    algorithm = GeneratorAlgorithm(learner(nn.Linear(2, 3)), STREAMS, memory)
    algorithm.iterate(batch(4), SETTINGS)
    algorithm.iterate(batch(4, 0), SETTINGS)
    assert memory["inference.chains.speed"].tolist() == [3, 0, 0, 0, 3, 0]
    assert memory["inference.tuned.size"].tolist() == [3, 0, 0, 0, 3, 0]
    algorithm.iterate(batch(0, 4), SETTINGS)
    assert memory["inference.tuned.size"].tolist() == [4.5, 0, 0, 0, 4.5, 0]
    algorithm.iterate(batch(1, 0, 2), SETTINGS)
    assert memory["inference.tuned.size"].tolist() == [6, 6, 6, 0, 4.5, 0]
    algorithm.iterate(batch(4, 3), SETTINGS)
    assert memory["inference.tuned.size"].tolist() == [6, 6, 6, 7.5, 6, 0]
    assert memory["inference.chains.speed"].tolist() == [3, 3, 3, 3, 3, 0]


def test_algorithm_3_starts_anew_with_what_was_tuned(seed):
    algorithm = CooperativeAlgorithm(learner(Sum()), learner(nn.Linear(2, 3)), (2,), 5, STREAMS)
    for iteration in (1, 2):
        found = algorithm.iterate(batch(0, 1), SETTINGS)
        assert found.figures["revision.speed"] == 2
        assert found.figures["inference.speed"] == 3
        memory = algorithm.memory
        assert memory["revision.tuned.size"].tolist() == [1.0 * iteration] * 5
        assert memory["inference.tuned.size"].tolist() == [1.5 * iteration] * 5
        assert set(memory) == {"revision.tuned.size", "inference.tuned.size"}


def test_what_was_tuned_serves_any_number_of_chains():
    kept = Kept(tuned={"size": torch.tensor([1.0, 2.0])})
    walk = walk_chains(ROLL, TARGET, torch.zeros(5, 3), 1, torch.Generator(), kept)
    assert walk.kept.tuned["size"].tolist() == [1.5, 2.5, 1.5, 2.5, 1.5]
    fewer = walk_chains(ROLL, TARGET, torch.zeros(1, 3), 1, torch.Generator(), kept)
    assert fewer.kept.tuned["size"].tolist() == [1.5]


def test_figures_are_means_over_chains():
    kept = Kept(chains={"speed": torch.tensor([1.0, 2.0])})
    walk = walk_chains(ROLL, TARGET, torch.zeros(2, 3), 1, torch.Generator(), kept)
    assert walk.figures == {"speed": torch.tensor(2.5), "chains": torch.tensor(2.0)}


def test_no_steps_keep_what_was_kept():
    kept = Kept(chains={"speed": torch.tensor([1.0, 2.0])})
    assert walk_chains(ROLL, TARGET, torch.zeros(2, 3), 0, torch.Generator(), kept).kept is kept


def test_a_sampler_that_keeps_nothing_leaves_nothing_in_memory():
    memory: dict[str, Tensor] = {}
    remember(memory, "revision", None)
    remember_rows(memory, "inference", None, torch.tensor([0]), 3, lambda x: x)
    assert memory == {}
    assert recall(memory, "revision") is None
    assert recall_rows(memory, "inference", torch.tensor([0])) is None


def test_what_is_kept_no_longer_is_forgotten():
    memory: dict[str, Tensor] = {"revisions.tuned.size": torch.ones(1)}
    remember(
        memory, "revision", Kept(tuned={"size": torch.ones(1)}, chains={"speed": torch.ones(1)})
    )
    remember(memory, "revision", Kept(chains={"speed": torch.ones(1)}))
    found = recall(memory, "revision")
    assert found is not None
    assert (list(found.chains), list(found.tuned)) == (["speed"], [])
    remember(memory, "revision", Kept())
    assert list(memory) == ["revisions.tuned.size"]


@pytest.mark.parametrize("name", ["speed", "a.name.with.dots"])
def test_memory_gives_back_what_it_was_given(name):
    memory = {"chains": torch.zeros(2), "inference.chains.other": torch.ones(2)}
    kept = Kept(chains={name: torch.tensor([1.0, 2.0])}, tuned={name: torch.tensor([3.0, 4.0])})
    remember(memory, "revision", kept)
    found = recall(memory, "revision")
    assert found is not None
    assert found.chains == kept.chains
    assert found.tuned == kept.tuned


def test_a_name_that_is_new_makes_the_other_rows_unseen():
    memory: dict[str, Tensor] = {}
    for name, place in (("speed", 0), ("size", 1)):
        kept = Kept(tuned={name: torch.tensor([2.0])})
        remember_rows(memory, "inference", kept, torch.tensor([place]), 3, lambda x: x)
    assert memory["inference.seen"].tolist() == [False, True, False]
    found = recall_rows(memory, "inference", torch.tensor([0]))
    assert found is not None
    assert found.tuned["size"].tolist() == [2.0], "not of the row that was seen"


def test_no_steps_remember_no_rows(seed):
    memory = {"latents": torch.zeros(6, 2)}
    algorithm = GeneratorAlgorithm(learner(nn.Linear(2, 3)), STREAMS, memory)
    algorithm.iterate(batch(4, 0), SETTINGS)
    algorithm.iterate(batch(1, 2), attrs.evolve(SETTINGS, inference_steps=0))
    assert memory["inference.seen"].tolist() == [True, False, False, False, True, False]


def test_rows_of_several_processes_come_together():
    """Each process brings a row of its own; all of them remember both."""
    memory: dict[str, Tensor] = {}
    others = {"places": torch.tensor([2]), "rows": torch.tensor([7.0])}

    def share(x: Tensor) -> Tensor:
        other = others["places"] if x.dtype == torch.int64 else others["rows"]
        return torch.cat([x, other.to(x.dtype)])

    kept = Kept(tuned={"size": torch.tensor([5.0])})
    remember_rows(memory, "inference", kept, torch.tensor([0]), 3, share)
    assert memory["inference.tuned.size"].tolist() == [5, 0, 7]
    assert memory["inference.seen"].tolist() == [True, False, True]


class Flat(Target):
    """A density without a slope."""

    def log_prob(self, x: Tensor) -> Tensor:
        return 0 * x.sum(1)


TARGET = Flat()
