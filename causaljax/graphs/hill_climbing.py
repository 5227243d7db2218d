"""Hill climbing over acyclic graphs whose scores are sums over variables."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.graphs.dags import transitive_closure

_TOLERANCE = 1e-3  # nats; less is rounding


class Climb(NamedTuple):
    """A graph that no single change betters."""

    graph: Array  # [d, d] bool, acyclic
    gains: Array  # [d, d] float, what i among the parents of j adds to the score
    moves: Array  # [] int, changes made


def climb(
    column: Callable[[Array, Array], Array],
    graph: ArrayLike,
    allowed: ArrayLike,
    required: ArrayLike,
) -> Climb:
    """Adds, drops and turns edges, the best change first, until none is a gain.

    Args:
      column: ``(parents, j) -> gains``, with parents ``[d]`` bool and j ``[]`` int;
        gains ``[d]`` is the score of variable j with i among its parents minus the
        score without it, the other parents left as they are; prices included. What
        it is at j itself, which is no edge, is handed back as it is.
      graph: ``[d, d]`` bool, where to begin; acyclic, holds ``required``. Under
        shard_map it has to be as local as the data.
      allowed: ``[d, d]`` bool, False on the diagonal.
      required: ``[d, d]`` bool.

    Returns:
      The graph, with the gains of its columns.
    """
    graph, allowed = jnp.asarray(graph, bool), jnp.asarray(allowed, bool)
    required = jnp.asarray(required, bool)
    d = graph.shape[0]
    # As local as the graph, which shard_map asks of what is conditional or carried on.
    variables = jnp.arange(d) + 0 * jnp.argmax(graph[0])

    def best_change(graph, gains):
        reach = transitive_closure(graph)
        adds = allowed & ~graph & ~reach.T
        drops = graph & ~required
        # An edge may be turned if no other path leads the same way.
        paths = matmul(graph.astype(gains.dtype), reach.astype(gains.dtype)) > 0
        turns = drops & allowed.T & ~paths
        worth = jnp.stack(
            [
                jnp.where(adds, gains, -jnp.inf),
                jnp.where(drops, -gains, -jnp.inf),
                jnp.where(turns, gains.T - gains, -jnp.inf),
            ]
        )
        best = jnp.argmax(worth)
        kind, edge = jnp.divmod(best, d * d)
        return worth.ravel()[best], kind, *jnp.divmod(edge, d)

    def change(state):
        """The best change; columns that it alters are stale, if it is a gain."""
        worth, kind, i, j = best_change(state.graph, state.gains)
        goes = (worth > _TOLERANCE) & (state.moves < d * d)
        graph = state.graph.at[i, j].set(kind == 0).at[j, i].max(kind == 2)
        stale = (variables == j) | ((variables == i) & (kind == 2))
        return state._replace(
            graph=jnp.where(goes, graph, state.graph),
            moves=state.moves + goes.astype(state.moves.dtype),
            stale=stale & goes,
        )

    def update(state):
        # One column a time, at the one place where a column is compiled.
        j = jnp.argmax(state.stale)
        new = column(state.graph[:, j], j)
        state = state._replace(
            gains=jnp.where((variables == j)[None, :], new[:, None], state.gains),
            stale=state.stale & (variables != j),
        )
        return jax.lax.cond(state.stale.any(), lambda: state, lambda: change(state))

    dtype = jax.eval_shape(column, graph[:, 0], variables[0]).dtype
    begun = _Search(
        graph=graph,
        gains=0 * graph.astype(dtype),
        stale=graph[0] | True,
        moves=0 * jnp.argmax(graph[0]),
    )
    found = jax.lax.while_loop(lambda state: state.stale.any(), update, begun)
    return Climb(found.graph, found.gains, found.moves)


class _Search(NamedTuple):
    """A climb on its way."""

    graph: Array  # [d, d] bool
    gains: Array  # [d, d] float
    stale: Array  # [d] bool, columns of gains that no longer hold
    moves: Array  # [] int
