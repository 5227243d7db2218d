"""
Structural equations inside jit
===============================

The kernel of `NeuralDAG` in a function of yours, for three tables. One `jax.jit`
compiles all of it: the trained network and the linear search that
propose edges, the pruning, and the equations. The linear search works in float64, so
the function is traced under `jax.enable_x64(True)`; the rest stays in float32.
"""

import jax
import numpy as np

from causaljax import NeuralDAG, make_problem
from causaljax.core import run
from causaljax.kernels import amortized, neural, order_search
from causaljax.kernels.neural import candidates, equations
from causaljax.networks.weights import load_weights


def table(seed, num_rows=400):
    """Rows of a -> b -> c <- a, columns of mean 0 and standard deviation 1."""
    a, b, c = np.random.default_rng(seed).normal(size=(3, num_rows))
    b = np.sin(2 * a) + 0.3 * b
    c = b**2 - a + 0.3 * c
    x = np.stack([a, b, c], axis=1)
    return (x - x.mean(axis=0)) / x.std(axis=0)


config = neural.Config(
    candidates=candidates.Config(
        network=amortized.configure(load_weights()),
        search=order_search.Config(interventional=False),
    ),
    equations=equations.Config(num_updates=100),
)


@jax.jit
def graph_of(x):
    """The graph ``[d, d]``, and the mean log-likelihood of its equations."""
    posterior, info = run.run(neural.KERNEL, jax.random.key(0), make_problem(x), config)
    return posterior.graphs[0], -info.equations_loss


for seed in range(3):
    x = table(seed).astype("float32")
    with jax.enable_x64(True):
        graph, nats = graph_of(x)
    model = NeuralDAG(num_updates=100).fit(x)
    same = (np.asarray(graph) == model.adjacency_.to_numpy()).all()
    print(f"table {seed}: {nats:.2f} nats a row, as NeuralDAG finds it: {same}")
    print(np.asarray(graph).astype(int).tolist())
