"""Hidden common causes: variables that act on a table and are not in it."""

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.graphs.dags import transitive_closure
from causaljax.simulate.graphs import largest

_BUSIEST = 0.6  # of the draws that hide the variables with most children


def draw_hidden(key: Array, graph: Array, present: Array, num_hidden: Array) -> Array:
    """Which variables are hidden: those with most children (60 %), or any.

    Args:
      key: consumed.
      graph: ``[d, d]`` bool.
      present: ``[d]`` bool, the variables to choose from.
      num_hidden: ``[]`` int, how many.

    Returns:
      ``[d]`` bool.
    """
    busiest_key, chance_key = jax.random.split(key)
    busiest = jax.random.bernoulli(busiest_key, _BUSIEST)
    chance = jax.random.uniform(chance_key, graph.shape[:1], jnp.float32)
    children = jnp.where(busiest, graph.sum(axis=1).astype(jnp.float32), 0)
    return largest(jnp.where(present, children + chance, -jnp.inf), num_hidden)


def project(graph: Array, hidden: Array) -> tuple[Array, Array]:
    """What a graph says about the variables that are not hidden.

    i -> j stands for a directed path from i to j whose inner variables are all
    hidden; i and j are confounded if a hidden variable has such a path to either.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      hidden: ``[d]`` bool.

    Returns:
      ``(graph, confounded)``, each ``[d, d]`` bool, False in the rows and columns of
      hidden variables. The former is acyclic, the latter symmetric and False on the
      diagonal.

    Source: Verma and Pearl 1990 (latent projection).
    """
    d = graph.shape[0]
    eye = jnp.eye(d, dtype=bool)
    both_hidden = hidden[:, None] & hidden[None, :]
    both_shown = ~hidden[:, None] & ~hidden[None, :]
    among = transitive_closure(graph & both_hidden) | eye
    # From a hidden variable to where its effects first appear.
    appears = _follow(among & both_hidden, graph)
    through = _follow(graph & hidden[None, :], appears)
    confounded = _follow(appears.T, appears) & ~eye
    return (graph | through) & both_shown, confounded & both_shown


def _follow(first, second):
    """Pairs joined by a step of ``first`` and then one of ``second``."""
    first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    return matmul(first, second) > 0
