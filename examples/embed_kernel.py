"""
A kernel inside another program
===============================

A sweep over a setting and a gradient with respect to it. Each of them compiles once.
"""

import dataclasses

import jax
import jax.numpy as jnp

from causaljax import simulate
from causaljax.core import run
from causaljax.kernels import continuous

graph_key, data_key, sweep_key, step_key, init_key = jax.random.split(
    jax.random.key(0), 5
)
graph = simulate.erdos_renyi(graph_key, 10, 2)
problem, truth = simulate.simulate_linear(data_key, graph, 500)
config = continuous.Config(num_steps=3000, interventional=False)


@jax.jit
def num_edges(l1):
    """Edges of the graph at one l1."""
    settings = dataclasses.replace(config, l1=l1)
    posterior, _ = run.run(continuous.KERNEL, sweep_key, problem, settings)
    return posterior.graphs[0].sum()


print("edges by l1", jax.vmap(num_edges)(jnp.array([0.02, 0.1, 0.5, 2.0])))


@jax.jit
@jax.grad
def sensitivity(l1):
    """How the summed absolute weights answer to l1, through 200 steps."""
    settings = dataclasses.replace(config, l1=l1)
    state = continuous.KERNEL.init(init_key, problem, settings)
    state, _ = run.advance(continuous.KERNEL, step_key, state, problem, settings, 200)
    return jnp.abs(state.weights).sum()


print("sensitivity", sensitivity(0.1))
