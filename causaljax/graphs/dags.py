"""Exact operations on directed graphs: closure, cycles, orders.

Nothing here is differentiable: graphs are boolean. All functions take one graph,
have static shapes and may be vmapped.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem


def transitive_closure(graph: ArrayLike) -> Array:
    """Which variables reach which along at least one edge.

    Args:
      graph: ``[d, d]`` bool, may have cycles and self-loops.

    Returns:
      ``[d, d]`` bool, [i, j] True if a directed path of length >= 1 leads from
      i to j.
    """
    reach = jnp.asarray(graph, bool)
    d = reach.shape[0]

    def lengthen(_, reach):
        paths = reach.astype(jnp.float32)
        return reach | (matmul(paths, paths) > 0)

    # A loop: unrolled, it was much of what several kernels had to compile.
    return jax.lax.fori_loop(0, math.ceil(math.log2(max(d, 2))), lengthen, reach)


def ancestors(graph: np.ndarray) -> np.ndarray:
    """Who is an ancestor of whom, each variable of itself too; on the host.

    Args:
      graph: ``[d, d]`` bool, may have cycles.

    Returns:
      ``[d, d]`` bool, [i, j] True if i is j or a directed path leads from i to j.
    """
    reach = np.asarray(graph, bool) | np.eye(len(graph), dtype=bool)
    while True:
        paths = reach.astype(np.float32)
        longer = paths @ paths > 0
        if (longer == reach).all():
            return reach
        reach = longer


def path_shares(graphs: Array, log_weight: Array) -> Array:
    """How often a directed path leads from one variable to another.

    Args:
      graphs: ``[s, d, d]`` bool.
      log_weight: ``[s]`` float, normalised.

    Returns:
      ``[d, d]`` float, the summed weights of the graphs with a path i -> ... -> j.
    """

    def add(total, pair):
        graph, weight = pair
        return total + jnp.where(transitive_closure(graph), jnp.exp(weight), 0), None

    start = jnp.zeros_like(log_weight, shape=graphs.shape[1:]) + 0 * log_weight[0]
    total, _ = jax.lax.scan(add, start, (graphs, log_weight))
    return jnp.minimum(total, 1)


def is_acyclic(graph: ArrayLike) -> Array:
    """Whether a graph has no directed cycle, self-loops included; exact.

    The penalties of ``graphs.acyclicity`` cannot tell: in float32 they are 0 for
    a long cycle.

    Args:
      graph: ``[d, d]`` bool.

    Returns:
      ``[]`` bool.

    Example:
      >>> import numpy as np
      >>> bool(is_acyclic(np.array([[0, 1], [0, 0]], bool)))
      True
      >>> bool(is_acyclic(np.array([[0, 1], [1, 0]], bool)))
      False
    """
    return ~jnp.diagonal(transitive_closure(graph)).any()


def topological_order(graph: ArrayLike) -> Array:
    """The variables with every parent before its children.

    Ties go to the variable with fewer ancestors, then to the lower index.

    Args:
      graph: ``[d, d]`` bool, acyclic (a cycle's order means nothing).

    Returns:
      ``[d]`` int32, the k-th entry is the k-th variable.
    """
    ancestors = transitive_closure(graph).sum(axis=0)
    return jnp.argsort(ancestors, stable=True).astype(jnp.int32)


def greedy_acyclic(
    strength: ArrayLike, threshold: ArrayLike, required: ArrayLike
) -> Array:
    """The acyclic graph that takes the strongest edges first.

    Starting from the required edges, edges are tried in falling order of
    strength; one that would close a cycle is passed over; those of strength
    ``threshold`` or less are never tried.

    Args:
      strength: ``[d, d]`` float, at least 0; non-finite entries count as 0.
      threshold: ``[]`` float, at least 0.
      required: ``[d, d]`` bool, acyclic.

    Returns:
      ``[d, d]`` bool, acyclic, a superset of ``required``.
    """
    strength, required = jnp.asarray(strength), jnp.asarray(required, bool)
    d = strength.shape[0]
    strength = jnp.where(jnp.isfinite(strength), strength, 0)
    candidate = (strength > threshold) & ~required & ~jnp.eye(d, dtype=bool)
    order = jnp.argsort(-jnp.where(candidate, strength, -1).ravel(), stable=True)

    def add_edge(state):
        position, graph, reach = state
        source, target = jnp.divmod(order[position], d)
        fits = ~reach[target, source]
        # Everything that reaches the source now reaches what the target reaches.
        before = reach[:, source].at[source].set(True)
        after = reach[target].at[target].set(True)
        reach = reach | (fits & before[:, None] & after[None, :])
        graph = graph.at[source, target].max(fits)
        return position + 1, graph, reach

    start = (jnp.zeros_like(order[0]), required, transitive_closure(required))
    num_candidates = candidate.sum()
    _, graph, _ = jax.lax.while_loop(
        lambda state: state[0] < num_candidates, add_edge, start
    )
    return graph


def free_edges(problem: Problem) -> Array:
    """The edges that knowledge leaves possible.

    Args:
      problem: its required edges have no cycle.

    Returns:
      ``[d, d]`` bool, True where an edge is allowed and closes no cycle with the
      required edges; the required edges themselves are among them.
    """
    return problem.allowed & ~transitive_closure(problem.required).T
