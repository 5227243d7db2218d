"""How variables act on their children: random coefficients for a given graph."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.types import Array


def linear_weights(
    key: Array,
    graph: ArrayLike,
    low: ArrayLike = 0.5,
    high: ArrayLike = 2.0,
    dtype: DTypeLike = jnp.float32,
) -> Array:
    """Coefficients of uniform magnitude and random sign on the edges of a graph.

    Args:
      key: consumed.
      graph: ``[d, d]`` bool.
      low: smallest magnitude.
      high: largest magnitude.
      dtype: of the result.

    Returns:
      ``[d, d]``, at [i, j] the coefficient of i -> j, 0 where there is no edge.

    Differentiable: in ``low`` and ``high``.
    Source: Zheng et al. 2018 (NOTEARS), section 5, the defaults included.
    """
    graph = jnp.asarray(graph, bool)
    low, high = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
    key_magnitude, key_sign = jax.random.split(key)
    magnitude = low + (high - low) * jax.random.uniform(
        key_magnitude, graph.shape, dtype
    )
    sign = jax.random.rademacher(key_sign, graph.shape, dtype)
    return jnp.where(graph, magnitude * sign, 0)
