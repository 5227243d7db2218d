"""Stein variational gradient descent: particles that move towards a density together.

Each particle climbs the log-density along an average of all particles' gradients,
weighted by similarity, and is pushed away from its like:

    phi(z) = 1/m sum over particles u of k(u, z) grad log p(u) + grad_u k(u, z),
    k(u, z) = exp(-|u - z|^2 / h)

Source: Liu and Wang 2016, "Stein variational gradient descent", equation 8.
"""

import math

import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array


def squared_distances(points: Array) -> Array:
    """Between all pairs of points, ``[m, m]``.

    Args:
      points: ``[m, q]`` float.

    Differentiable: in points.
    """
    products = matmul(points, points.T)
    norms = jnp.diagonal(products)
    return jnp.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)


def median_bandwidth(distances: Array) -> Array:
    """The h at which a particle's similarities to the others sum to about 1.

    That is the median of the squared distances between two particles over log m.

    Args:
      distances: ``[m, m]`` float, of ``squared_distances``.

    Returns:
      ``[]`` float, above 0; 1 if there is one particle only.

    Source: Liu and Wang 2016, section 5.
    """
    m = distances.shape[0]
    if m == 1:
        return jnp.ones_like(distances[0, 0])
    median = jnp.median(distances[jnp.triu_indices(m, k=1)])
    return jnp.maximum(median, jnp.finfo(median.dtype).tiny) / math.log(m)


def similarity(distances: Array, bandwidth: ArrayLike) -> Array:
    """``exp(-distances / bandwidth)``."""
    return jnp.exp(-distances / bandwidth)


def direction(
    points: Array,
    gradients: Array,
    total: Array,
    own: Array,
    bandwidth: ArrayLike,
) -> Array:
    """The direction in which particles move, phi.

    The similarity may be a sum of several, each of a part of a particle's coordinates.
    Then ``points`` are the coordinates of one part, and only that part's similarity
    has a derivative in them.

    Args:
      points: ``[m, q]`` float.
      gradients: ``[m, q]`` float, of the log-density in the points.
      total: ``[m, m]`` float, the similarity, symmetric.
      own: ``[m, m]`` float, the part of it that depends on the points.
      bandwidth: h of that part.

    Returns:
      ``[m, q]`` float.

    Differentiable: in all arguments.
    """
    repulsion = points * own.sum(axis=1)[:, None] - matmul(own, points)
    moves = matmul(total, gradients) + 2 / bandwidth * repulsion
    return moves / points.shape[0]
