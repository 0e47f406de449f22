"""Chains of blackjax on the densities of `densities`: a job from standard input, moments to output.

It runs with any Python that has blackjax, and imports nothing of coopkit.
"""

import json
import sys

import blackjax
import jax
import jax.numpy as jnp

LOG_DENSITIES = {
    "gaussian-100": lambda x: -((x / jnp.logspace(0, -1, 20)) ** 2).sum() / 2,
    "skewed": lambda x: -(x + (jnp.array([0.5, 3.0]) + 1) * jax.nn.softplus(-x)).sum(),
    "barrier": lambda x: (
        jax.nn.logsumexp(
            jnp.log(jnp.array([0.3, 0.7])) - ((x[0] - jnp.array([-3.0, 3.0])) / 0.7) ** 2 / 2
        )
        - x[1] ** 2 / 2
    ),
}


def algorithm(job):
    """Return the sampler, and how its state begins."""
    density, delta = LOG_DENSITIES[job["density"]], job["step_size"]
    if job["sampler"] == "mala":
        mala = blackjax.mala(density, delta**2 / 2)
        return mala, lambda x, key: mala.init(x)
    leapfrogs = job["leapfrogs"]
    hmc = blackjax.dynamic_hmc(
        density,
        delta,
        jnp.ones(len(job["start"][0])),
        next_random_arg_fn=lambda key: jax.random.split(key)[1],
        integration_steps_fn=lambda key: jax.random.randint(key, (), 1, 2 * leapfrogs),
    )
    return hmc, hmc.init


def main():
    """Run the job's chains, and print where they are and how many proposals were accepted."""
    job = json.load(sys.stdin)
    sampler, begin = algorithm(job)

    def chain(x, key):
        start, run = jax.random.split(key)

        def one(state, key):
            state, info = sampler.step(key, state)
            return state, info.is_accepted

        state, accepted = jax.lax.scan(one, begin(x, start), jax.random.split(run, job["steps"]))
        return state.position, accepted.mean()

    start = jnp.array(job["start"])
    keys = jax.random.split(jax.random.key(job["seed"]), len(start))
    positions, accepted = jax.jit(jax.vmap(chain))(start, keys)
    json.dump({"positions": positions.tolist(), "acceptance": float(accepted.mean())}, sys.stdout)


main()
