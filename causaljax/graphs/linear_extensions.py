"""How many orders of the variables suit a DAG."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.types import Array

MOST_VARIABLES = 16
"""The sum goes over all sets of variables; more of them do not fit."""


def log_linear_extensions(graph: ArrayLike) -> Array:
    """The logarithm of the number of orders with every parent before its children.

        N(S) = sum of N(S - i) over the i in S that have no child in S,   N({}) = 1;

    the answer is log N(V), minus infinity if the graph has a cycle. There are 2^d sets,
    and a step looks at d of each.

    Args:
      graph: ``[d, d]`` bool, d at most ``MOST_VARIABLES``.

    Returns:
      ``[]`` float, of jax's default dtype; exact up to rounding.

    Raises:
      ValueError: if d exceeds ``MOST_VARIABLES``.

    Example: A collider a -> c <- b has the orders a b c and b a c.
      >>> collider = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
      >>> round(float(jnp.exp(log_linear_extensions(collider))))
      2
    """
    graph = jnp.asarray(graph, bool)
    d = graph.shape[0]
    if d > MOST_VARIABLES:
        raise ValueError(
            f"linear extensions are counted for at most {MOST_VARIABLES} variables, "
            f"not {d}: keep the order beside the graph instead"
        )
    variables, sets = 1 << np.arange(d), np.arange(2**d)
    children = jnp.where(graph, variables[None], 0).sum(axis=1)
    inside = (sets[:, None] & variables[None]) != 0
    without = jnp.asarray(np.where(inside, sets[:, None] - variables[None], 0))
    last = inside & ((sets[:, None] & children[None]) == 0)

    # After step t those of sets of t variables are right, and all others are 0.
    def add_one(_, ways):
        return jnp.where(last, ways[without], 0).sum(axis=1)

    start = jnp.asarray(sets == 0, jnp.result_type(float))
    return jnp.log(jax.lax.fori_loop(0, d, add_one, start)[-1])
