"""
A learned graph in a numpyro model
==================================

What one table says of all graphs is the prior of the graph in a numpyro model of your
own: here of whether a programme pays, before and after a small experiment.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import distributions as dist
from numpyro.infer import MCMC, NUTS, Predictive

from causaljax import make_problem
from causaljax.probabilistic import Modular
from causaljax.scores import bge_weights, parent_sets

names = ["age", "exercise", "weight", "pressure"]
rng = np.random.default_rng(0)
age = rng.normal(size=150)
exercise = rng.normal(size=150) - 0.5 * age
weight = rng.normal(size=150) - 0.6 * exercise
pressure = rng.normal(size=150) + 0.5 * weight + 0.4 * age
table = np.stack([age, exercise, weight, pressure], axis=1)
table = (table - table.mean(axis=0)) / table.std(axis=0)

# %%
# The BGe score of each parent set of each variable is the exact posterior over all 543
# graphs, as a distribution of numpyro.
with jax.enable_x64(True):
    scores = np.asarray(
        jax.jit(parent_sets.all_log_weights)(make_problem(table), parent_sets.Config())
    )
learned = Modular(scores)
problem = make_problem(table.astype(np.float32))


# %%
# Your model draws a graph from it. Weights given the graph have a posterior in closed
# form; benefit and price are your own beliefs, per unit of pressure and of exercise.
def programme():
    """Whether more exercise is worth its price, by what it does to the pressure."""
    graph, key = jnp.asarray(numpyro.sample("graph", learned)), numpyro.prng_key()
    assert key is not None  # as Predictive gives one
    weights = bge_weights.draw_weights(key, graph[None], problem)
    effect = bge_weights.total_effects(weights)[0, 1, 3]
    numpyro.deterministic("effect", effect)
    benefit = jnp.asarray(numpyro.sample("benefit", dist.LogNormal(0.0, 0.3)))
    price = jnp.asarray(numpyro.sample("price", dist.LogNormal(-2.0, 0.3)))
    numpyro.deterministic("gain", -benefit * effect - price)


before = Predictive(programme, num_samples=1000)(jax.random.key(1))
print("P(row causes column):")
for name, row in zip(names, np.asarray(before["graph"]).mean(axis=0), strict=True):
    print(f"{name:>9} ", " ".join(f"{share:4.2f}" for share in row))
print(f"before the experiment: gain with probability {(before['gain'] > 0).mean():.2f}")

# %%
# An experiment sets the exercise of 40 people. NUTS does not sample graphs: they are
# summed out over the draws.
dose = jnp.repeat(jnp.array([-1.0, 1.0]), 20)
result = -0.3 * dose + 0.9 * jax.random.normal(jax.random.key(2), (40,))
effects = before["effect"]


def experiment(dose, result):
    """The pressure under do(exercise), whichever of the draws is right."""
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    law = dist.Normal(mean + effects[:, None] * dose[None], noise)
    logs = law.log_prob(result[None]).sum(axis=1)
    numpyro.deterministic("share", jax.nn.softmax(logs))
    numpyro.factor("result", jax.nn.logsumexp(logs))


mcmc = MCMC(NUTS(experiment), num_warmup=200, num_samples=200, progress_bar=False)
mcmc.run(jax.random.key(3), dose, result)
shares = mcmc.get_samples()["share"].mean(axis=0)
print(f"after it: gain with probability {shares @ (before['gain'] > 0):.2f}")
