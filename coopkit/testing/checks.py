"""The checks by name, and which of them apply to a sampler."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from coopkit.interfaces import LinearOnGaussians, Sampler
from coopkit.testing.law import equilibrium, gaussians, laws, motion
from coopkit.testing.records import Applies, Check, Experiment, always, capabilities_of
from coopkit.testing.structure import conduct, paths
from coopkit.testing.structure.properties import Rule, holds
from coopkit.testing.structure.scenes import (
    Scene,
    companies,
    descriptor_scenes,
    elementwise_scenes,
    scenes,
)

GAUSSIANS: dict[str, motion.MakeGaussian] = {
    "isotropic": gaussians.isotropic,
    "correlated": gaussians.correlated,
    "badly-scaled": gaussians.badly_scaled,
    "masked": gaussians.masked,
    "posterior": gaussians.posterior,
}
OTHERS: dict[str, laws.MakeLaw] = {
    "skewed": laws.skewed,
    "two-modes": laws.two_modes,
    "heavy-tail": laws.heavy_tail,
}


def exact(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers that leave the target itself invariant."""
    return "it declares a bias" if capabilities_of(sampler).bias_order else ""


def biased(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers with a bias of a declared order."""
    return "" if capabilities_of(sampler).bias_order else "it declares no bias"


def biased_only(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers of which nothing but the order of the bias is known."""
    return biased(sampler) or ("" if linear(sampler) else "its law on Gaussians is known")


def linear(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers whose step on Gaussians is known."""
    return "" if isinstance(sampler, LinearOnGaussians) else "it declares no gaussian_step"


def reversible(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers that declare detailed balance."""
    return "" if capabilities_of(sampler).reversible else "it declares no reversibility"


def tempered(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers with a temperature."""
    return "" if capabilities_of(sampler).tempered else "it declares no temperature"


def tempered_and_known(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers with a temperature, whose law on Gaussians is known."""
    return tempered(sampler) or known(sampler)


def tempered_biased_only(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers with a temperature, of which only the bias's order is known."""
    return tempered(sampler) or biased_only(sampler)


def equivariant(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers that declare equivariance."""
    return "" if capabilities_of(sampler).equivariant else "it declares no equivariance"


def known(sampler: Sampler[Any]) -> str:
    """Let a check apply to samplers whose invariant law on Gaussians is known."""
    return "" if not linear(sampler) or not exact(sampler) else "its law on Gaussians is not known"


def structure_checks() -> Iterator[Check]:
    """Yield the checks of structure."""

    def check(
        name: str, rule: Rule, strategy: st.SearchStrategy[Scene], applies: Applies = always
    ) -> Check:
        meaning = (rule.__doc__ or "").strip().rstrip(".")
        source = "the Sampler interface"
        return Check(name, meaning, source, rule=holds(rule, strategy), applies=applies)

    yield check("zero-steps", conduct.zero_steps, scenes())
    yield check("kind-kept", conduct.kind_kept, elementwise_scenes())
    yield check("inputs-kept", conduct.inputs_kept, scenes())
    yield check("state-plain", conduct.state_plain, scenes())
    yield check("reproducible", paths.reproducible, elementwise_scenes())
    yield check("global-stream", conduct.global_stream, scenes())
    yield check("resumes", paths.resumes, scenes())
    yield check("own-path", paths.own_path, companies())
    yield check("chain-count", paths.chain_count, companies())
    yield check("permuted", paths.permuted, companies())
    yield check("parameters-left", conduct.parameters_left, descriptor_scenes())
    yield check("gradient-count", conduct.gradients_counted, scenes(), conduct.declares_gradients)
    yield check("masked-bits", paths.masked, scenes())
    yield check("figures", conduct.figures_told, scenes(), conduct.reports)
    yield check("kept", paths.kept, companies(), paths.keeps)
    yield check("fused", paths.fused, companies(), paths.offers_run)


def law_checks() -> Iterator[Check]:
    """Yield the checks of law."""

    def check(
        name: str, experiment: Experiment, meaning: str, source: str, applies: Applies = always
    ) -> Check:
        return Check(name, meaning, source, experiment=experiment, applies=applies)

    for name, make in GAUSSIANS.items():
        yield check(
            f"one-step[{name}]",
            motion.one_step(make),
            "one step from fixed points has the declared mean and covariance",
            "(6), (13)",
            linear,
        )
    for name, make in GAUSSIANS.items():
        yield check(
            f"invariance[{name}]",
            equilibrium.invariance(make),
            "exact draws from the invariant law still follow it after 8 steps",
            "(17)-(19)",
            known,
        )
    for name, other in OTHERS.items():
        yield check(
            f"invariance[{name}]",
            equilibrium.invariance(other),
            "exact draws from the target still follow it after 8 steps",
            "(17)-(19)",
            exact,
        )
    for name, other in {**GAUSSIANS, **OTHERS}.items():
        yield check(
            f"bias-order[{name}]",
            equilibrium.bias_order(other),
            "halving δ shrinks the bias of every moment as declared",
            "weak order p: bias ∝ δ^p",
            biased if name in OTHERS else biased_only,
        )
    yield check(
        "bias-order[from-afar]",
        equilibrium.bias_order(gaussians.isotropic, motion.ARRIVAL, 4.0),
        "chains from far away arrive, but for a bias that shrinks as declared",
        "weak order p: bias ∝ δ^p",
        biased_only,
    )
    yield check(
        "bias-order[tempered]",
        equilibrium.tempered_bias_order,
        "halving δ brings the covariance at T closer to T times that at 1",
        "p^(1/T)",
        tempered_biased_only,
    )
    yield check(
        "bias-order[declared]",
        equilibrium.declared_bias,
        "the declared step's own law tends to the target's with the declared order",
        "Σ = AΣAᵀ + C",
        linear,
    )
    for name in ("isotropic", "correlated", "posterior"):
        yield check(
            f"convergence[{name}]",
            motion.convergence(GAUSSIANS[name]),
            "from far away the moments arrive where and when they should",
            "(6), (13)",
            known,
        )
    yield check(
        "arrow-of-time",
        motion.arrow_of_time,
        "the divergence from the invariant law never rises",
        "(23)",
        linear,
    )
    for name, law in {"correlated": GAUSSIANS["correlated"], **OTHERS}.items():
        yield check(
            f"reversibility[{name}]",
            equilibrium.reversibility(law),
            "in equilibrium a step and its reverse are equally likely",
            "detailed balance",
            reversible,
        )
    yield check(
        "temperature",
        equilibrium.temperature,
        "at T the covariance of a Gaussian is T times that at 1",
        "p^(1/T)",
        tempered_and_known,
    )
    yield check(
        "descent",
        motion.descent,
        "at T = 0 the energy never rises while δ²/2 ≤ 1/L",
        "(8), (16)",
        tempered,
    )
    yield check(
        "equivariance",
        motion.equivariance,
        "a rotated start gives a rotated law, on an isotropic target",
        "rotations",
        equivariant,
    )
    yield check(
        "geweke",
        equilibrium.geweke,
        "inferring X and drawing Y in turn keeps their joint law",
        "Geweke (2004), (9), (13)",
        known,
    )
    yield check(
        "noise",
        motion.noise,
        "the noise is normal of the right scale, independent in chains, steps and entries",
        "U ~ N(0, I), (6)",
    )


CHECKS: tuple[Check, ...] = (*structure_checks(), *law_checks())
