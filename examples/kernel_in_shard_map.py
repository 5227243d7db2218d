"""
A kernel inside your own shard_map
==================================

Tables of one shape over all devices, with a number that all devices agree on: how often
each edge was found. Kernels hold no collectives, so devices meet only where this
program says so. `causaljax.batch.parallel.run_sharded` does the same without the
`psum`, for batches of any length and problems of different sizes.

`XLA_FLAGS=--xla_force_host_platform_device_count=2` makes two devices of one CPU.
"""

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from causaljax import simulate
from causaljax.core import run
from causaljax.kernels import continuous

mesh = jax.make_mesh((jax.device_count(),), ("table",), axis_types=(AxisType.Auto,))
num_tables = 4 * mesh.size
config = continuous.Config(num_steps=1000, interventional=False)

graph_key, data_key, fit_key = jax.random.split(jax.random.key(0), 3)
graph = simulate.erdos_renyi(graph_key, 5, 1)
problems = [
    simulate.simulate_linear(key, graph, 300)[0]
    for key in jax.random.split(data_key, num_tables)
]
problems = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
keys = jax.random.split(fit_key, num_tables)


def fit(key_and_problem):
    """The graph of one table, and the loss of the last step."""
    posterior, info = run.run(continuous.KERNEL, *key_and_problem, config)
    return posterior.graphs[0], info.loss


@jax.jit
@jax.shard_map(
    mesh=mesh,
    in_specs=PartitionSpec("table"),
    out_specs=(PartitionSpec(), PartitionSpec("table")),
    check_vma=False,
)
def edge_frequency(keys, problems):
    """The share of tables with each edge ``[d, d]``, and the loss of each table."""
    # One fit after another: a device needs the memory of one.
    graphs, losses = jax.lax.map(fit, (keys, problems))
    found = jax.lax.psum(graphs.sum(axis=0), "table")
    return found / num_tables, losses


frequency, losses = edge_frequency(keys, problems)
print("edges of the graph", graph.sum())
print("found in each table", (frequency[graph] == 1).sum())
print("losses on", len(losses.sharding.device_set), "devices", losses.round(3))
