"""DAGs that grow by one edge at a time, and what the next edge may be.

A table of log weights ``[d, 2^d]`` scores parent sets, with the numbers of sets of
``graphs.modular``: bit j of a set is 1 where variable j is in it. Each function takes
one DAG and may be vmapped.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.types import Array
from causaljax.graphs.dags import transitive_closure
from causaljax.graphs.modular import NEVER


class Dag(NamedTuple):
    """A DAG and which variables reach which."""

    graph: Array  # [d, d] bool
    reach: Array  # [d, d] bool, along at least one edge


class Edges(NamedTuple):
    """What is known of each edge that could be added to a DAG."""

    legal: Array  # [d, d] bool
    gain: Array  # [d, d] float, log w(with the edge) - log w(without); 0 if not legal


def start(required: Array) -> Dag:
    """The DAG of the required edges alone.

    Args:
      required: ``[d, d]`` bool, acyclic.

    Returns:
      The DAG.
    """
    return Dag(required, transitive_closure(required))


def add_edge(dag: Dag, source: Array, target: Array, added: Array | bool) -> Dag:
    """The DAG with one more edge.

    Everything that reaches the source now reaches what the target reaches: the closure
    gains the outer product of two boolean vectors.

    Args:
      dag: without the edge.
      source: ``[]`` int.
      target: ``[]`` int, does not reach the source.
      added: ``[]`` bool, False leaves the DAG as it is.

    Returns:
      The DAG.
    """
    before = dag.reach[:, source].at[source].set(True)
    after = dag.reach[target].at[target].set(True)
    return Dag(
        dag.graph.at[source, target].max(added),
        dag.reach | (added & before[:, None] & after[None, :]),
    )


def edges(dag: Dag, table: Array) -> Edges:
    """The edges that can be added, and what each does to the log weight.

    An edge is legal if it is new, closes no cycle, and the parent set it makes has a
    weight above 0.

    Args:
      dag: of d variables.
      table: ``[d, 2^d]`` float, log weights of parent sets.

    Returns:
      The edges.
    """
    d = len(table)
    longer = _parent_sets(dag)[None, :] | _bits(d)[:, None]
    after = table[np.arange(d)[None, :], longer]
    legal = ~dag.graph & ~dag.reach.T & ~np.eye(d, dtype=bool) & (after > NEVER / 2)
    gain = after - local_log_weights(dag, table)[None, :]
    return Edges(legal, jnp.where(legal, gain, 0))


def local_log_weights(dag: Dag, table: Array) -> Array:
    """Log weights of a DAG's own parent sets; their sum is the DAG's log weight.

    Args:
      dag: of d variables.
      table: ``[d, 2^d]`` float, log weights of parent sets.

    Returns:
      ``[d]`` float.
    """
    return table[np.arange(len(table)), _parent_sets(dag)]


def greedy(dag: Dag, table: Array) -> Dag:
    """The DAG after adding the edge of the largest gain as long as there is a gain.

    Args:
      dag: to begin with.
      table: ``[d, 2^d]`` float, log weights of parent sets.

    Returns:
      The DAG.
    """
    d = len(table)

    def add_best(_, dag):
        gain = edges(dag, table).gain
        best = jnp.argmax(gain.ravel())
        return add_edge(dag, best // d, best % d, gain.ravel()[best] > 0)

    return jax.lax.fori_loop(0, d * (d - 1) // 2, add_best, dag)


def _bits(d):
    return 1 << np.arange(d, dtype=np.int32)


def _parent_sets(dag):
    """The numbers of the parent sets, ``[d]`` int32."""
    bits = _bits(len(dag.graph))
    return jnp.where(dag.graph, bits[:, None], 0).sum(axis=0, dtype=jnp.int32)
