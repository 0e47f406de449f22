"""Parallel tempering of Langevin chains, a plugin of coopkit."""

import math
from collections.abc import Mapping
from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, gt
from einops import rearrange, repeat
from torch import Tensor
from torch.nn.functional import pad

from coopkit import Capabilities, Target, hookimpl
from coopkit.interfaces import Kept

coopkit_interface = 1


@attrs.frozen(eq=False)
class Traffic:
    """Where the walkers of each chain's ladder are; rung 0 is the coldest.

    Attributes:
        clock: steps since the chain was new, (chains,).
        walkers: which walker is on each rung, (chains, rungs); walker k began on rung k.
        heading: of the walker on each rung, (chains, rungs): 1 if the end of the ladder where it
            was last is the cold one, −1 if it is the hot one and it was at the cold one before,
            and else 0.
    """

    clock: Tensor
    walkers: Tensor
    heading: Tensor


@attrs.frozen(eq=False)
class Tally:
    """What is counted since the chains began or were resumed.

    Attributes:
        rounds: attempts to swap, (chains,).
        chances: the sum over the rounds of each pair's probability to swap, (chains, rungs − 1).
        trips: round trips from the cold end to the hot one and back, (chains,).
    """

    rounds: Tensor
    chances: Tensor
    trips: Tensor


@attrs.frozen(eq=False)
class LadderState:
    """The chains of a parallel tempering sampler, each with a ladder of its own.

    Attributes:
        position: the replicas at temperature 1, (chains, ...), float32.
        replicas: the hotter ones, the hottest last, (chains, rungs − 1, ...).
        traffic: where the walkers are.
        tally: what was counted.
        fresh: whether the hotter replicas have yet to settle.
    """

    position: Tensor
    replicas: Tensor
    traffic: Traffic
    tally: Tally
    fresh: bool = False


@attrs.frozen(kw_only=True)
class ParallelTempering:
    """Langevin chains at a ladder of temperatures, which swap places by the rule of Metropolis.

    Update rule: on each rung k, x_k ← x_k + δ²/2 · ∇ log p(x_k) + δ √T_k U_k, U_k ~ N(0, I). After
    every n-th step the neighbours k and k + 1 swap places with probability
    min(1, exp((1/T_k − 1/T_(k+1)) (log p(x_(k+1)) − log p(x_k)))), for even and odd k in turn; of
    two rungs after each.

    Source: D. J. Earl, M. W. Deem (2005), "Parallel tempering: theory, applications, and new
    perspectives", Physical Chemistry Chemical Physics 7; S. Syed, A. Bouchard-Côté,
    G. Deligiannidis, A. Doucet (2022), "Non-reversible parallel tempering: a scalable highly
    parallel MCMC scheme", Journal of the Royal Statistical Society B 84, for swaps of even and odd
    pairs in turn. The moves are those of equation (6) of coopkit's paper.

    Symbols: x_k the replica on rung k = 1 ... K, in pixels for revision and latent units for
    inference; T_k = T_K^((k−1)/(K−1)) its temperature, dimensionless, 1 on the coldest rung; δ the
    step size of that one, in the units of x. Rung k has the target p^(1/T_k) and the step size
    δ √T_k, so that its drift δ²T_k/2 · ∇ log p / T_k is that of all others. Every chain has a
    ladder of its own, and a step evaluates K scores: `steps` × K is the cost of a call, and a round
    of swaps adds K densities.

    Invariant law: p for the position in the limit δ → 0, with the bias of order δ² of the Langevin
    moves. The swaps are exact: they leave the product of all p^(1/T_k) as it is. Until the hotter
    replicas of new chains, which start where the coldest one does, have come to their own laws, it
    is off its own as well, by what δ does not tell; `settle` gives them time.

    Step-size convention: `step_size` is the paper's δ on the coldest rung, the standard deviation
    of its noise; that on rung k is δ √T_k.

    Attributes:
        step_size: δ > 0 of the coldest rung, in the units of the position (pixels for revision,
            latents for inference).
        replicas: K ≥ 2, the rungs of the ladder, the coldest among them.
        hottest: T_K > 1, the temperature of the last rung, dimensionless.
        swap_every: n ≥ 1, steps from one attempt to swap to the next.
        settle: steps that the hotter replicas of new chains take alone before the first step, at
            K − 1 scores each; 0 for none.
    """

    name: ClassVar[str] = "parallel-tempering"
    capabilities: ClassVar[Capabilities] = Capabilities(
        bias_order=2, equivariant=True, clocked=True
    )

    step_size: float = attrs.field(default=0.002, validator=gt(0))
    replicas: int = attrs.field(default=4, validator=ge(2))
    hottest: float = attrs.field(default=4.0, validator=gt(1))
    swap_every: int = attrs.field(default=1, validator=ge(1))
    settle: int = attrs.field(default=0, validator=ge(0))

    @property
    def temperatures(self) -> list[float]:
        """T_1 = 1 to T_K, in a geometric row."""
        return [self.hottest ** (k / (self.replicas - 1)) for k in range(self.replicas)]

    def init(self, target: Target, position: Tensor) -> LadderState:
        """Return the state of new chains, all of whose replicas start at `position`."""
        chains, device = len(position), position.device
        none = torch.zeros(chains, dtype=torch.long, device=device)
        walkers = repeat(torch.arange(self.replicas, device=device), "k -> chains k", chains=chains)
        return LadderState(
            position.clone(),
            repeat(position, "chains ... -> chains k ...", k=self.replicas - 1).clone(),
            Traffic(none, walkers.clone(), (walkers == 0).long()),
            Tally(none, position.new_zeros(chains, self.replicas - 1), none),
            fresh=self.settle > 0,
        )

    def step(self, target: Target, state: LadderState, rng: torch.Generator) -> LadderState:
        """Return the state one move of every replica later, and one round of swaps if it is due."""
        hotter = [*rearrange(state.replicas, "chains k ... -> k chains ...")]
        if state.fresh:
            hotter = self.settled(target, hotter, rng)
        before = [state.position, *hotter]
        ladder = torch.stack(
            [
                target.project(self.moved(target, x, temperature, rng))
                for x, temperature in zip(before, self.temperatures, strict=True)
            ]
        )
        traffic, tally = attrs.evolve(state.traffic, clock=state.traffic.clock + 1), state.tally
        due = traffic.clock % self.swap_every == 0
        if self.swap_every == 1 or bool(due.any()):
            probability = self.swap_probability(target, ladder)
            order = self.swapped_order(probability, traffic.clock, due, rng)
            ladder = ladder[order.T, torch.arange(len(order), device=order.device)]
            traffic, returned = travelled(traffic, order)
            tally = Tally(
                tally.rounds + due,
                tally.chances + probability * rearrange(due, "chains -> chains 1"),
                tally.trips + returned,
            )
        replicas = rearrange(ladder[1:], "k chains ... -> chains k ...")
        return LadderState(ladder[0], replicas, traffic, tally)

    def settled(self, target: Target, hotter: list[Tensor], rng: torch.Generator) -> list[Tensor]:
        """Return the hotter replicas, (chains, ...) each, after steps without swaps."""
        for _ in range(self.settle):
            hotter = [
                target.project(self.moved(target, x, temperature, rng))
                for x, temperature in zip(hotter, self.temperatures[1:], strict=True)
            ]
        return hotter

    def moved(self, target: Target, x: Tensor, temperature: float, rng: torch.Generator) -> Tensor:
        """Return the replicas of one rung, (chains, ...), after a step at its temperature."""
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        drifted = x + self.step_size**2 / 2 * target.score(x)
        return drifted + self.step_size * math.sqrt(temperature) * noise

    def swap_probability(self, target: Target, ladder: Tensor) -> Tensor:
        """Return the probability that each pair of neighbours swaps, (chains, rungs − 1).

        Args:
            target: p, which may hold data of each chain and so is asked for one rung at a time.
            ladder: the replicas, (rungs, chains, ...).
        """
        with torch.no_grad():
            log_p = rearrange([target.log_prob(x) for x in ladder], "k chains -> chains k")
        cold = log_p.new_tensor([1 / temperature for temperature in self.temperatures])
        log_ratio = -cold.diff() * log_p.diff()
        return log_ratio.clamp(max=0).exp().nan_to_num(nan=0.0).to(ladder.dtype)

    def swapped_order(
        self, probability: Tensor, clock: Tensor, due: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Return from which rung each rung has its replica after the swaps, (chains, rungs).

        Args:
            probability: of each pair to swap, (chains, rungs − 1).
            clock: of each chain; the pairs of even and of odd place are tried in turn, the only
                pair of two rungs every time.
            due: in which chains swaps are tried now, (chains,).
            rng: a uniform for each pair of each chain is drawn from it.
        """
        uniforms = [
            torch.rand(column.shape, generator=rng, device=column.device, dtype=column.dtype)
            for column in probability.T
        ]
        pair = torch.arange(self.replicas - 1, device=clock.device)
        turns = min(2, self.replicas - 1)
        turn = rearrange(clock // self.swap_every - 1, "chains -> chains 1") % turns == pair % turns
        tried = turn & rearrange(due, "chains -> chains 1")
        swaps = tried & (rearrange(uniforms, "pairs chains -> chains pairs") < probability)
        rungs = torch.arange(self.replicas, device=clock.device)
        return rungs + pad(swaps.long(), (0, 1)) - pad(swaps.long(), (1, 0))

    def figures(self, state: LadderState) -> Mapping[str, Tensor]:
        """Return how likely swaps were, over all pairs and pair by pair, and the round trips.

        The probability is that of each pair in each round, tried or not; 0 before the first round.
        """
        tally = state.tally
        rounds = rearrange(tally.rounds, "chains -> chains 1").clamp(min=1)
        chances = tally.chances / rounds
        pairs = {f"swap_{k}_{k + 1}": chances[:, k - 1] for k in range(1, self.replicas)}
        return {"swap_acceptance": chances.mean(1), **pairs, "round_trips": tally.trips}

    def keep(self, state: LadderState) -> Kept:
        """Return the hotter replicas and where the walkers are, which belong to their chains."""
        traffic = attrs.asdict(state.traffic, recurse=False)
        return Kept(chains={"replicas": state.replicas, **traffic})

    def resume(self, target: Target, position: Tensor, kept: Kept) -> LadderState:
        """Return the state of chains at `position` with the replicas that they had.

        New chains, and a ladder of another number of rungs, begin anew.
        """
        state = self.init(target, position)
        hotter = kept.chains.get("replicas")
        if hotter is None or hotter.shape[1] != self.replicas - 1:
            return state
        traffic = Traffic(**{name: kept.chains[name] for name in ("clock", "walkers", "heading")})
        return attrs.evolve(state, replicas=hotter, traffic=traffic, fresh=False)


def travelled(traffic: Traffic, order: Tensor) -> tuple[Traffic, Tensor]:
    """Return where the walkers are after swaps, and which chains have one back at the cold end.

    Args:
        traffic: before the swaps.
        order: from which rung each rung has its replica, (chains, rungs).
    """
    heading = traffic.heading.gather(1, order)
    returned = heading[:, 0] == -1
    heading[:, 0] = 1
    heading[:, -1] = torch.where(heading[:, -1] == 1, -1, heading[:, -1])
    return Traffic(traffic.clock, traffic.walkers.gather(1, order), heading), returned


@hookimpl
def samplers() -> list[type[ParallelTempering]]:
    """Supply parallel tempering."""
    return [ParallelTempering]


__all__ = ["LadderState", "ParallelTempering", "Tally", "Traffic"]
