"""Partial covariances of many small matrices at once.

The matrices of a batch lie along the last axis: a pivot is then one operation on long
rows of memory. (XLA gives a batch of Cholesky factorisations to LAPACK one by one.)
"""

import jax
import jax.numpy as jnp

from causaljax.core.types import Array
from causaljax.scores import sweep_operator


def gather(matrix: Array, columns: Array, live: Array) -> Array:
    """Parts of a correlation matrix, with rows of the identity where one has no column.

    Args:
      matrix: ``[c, c]`` float, 1 on the diagonal.
      columns: ``[k, b]`` int, the columns of each part.
      live: ``[k, b]`` bool, False where a part lacks a column.

    Returns:
      ``[k, k, b]`` float.

    Differentiable: in matrix.
    """
    parts = matrix[columns[:, None], columns[None]]
    return keep_live(parts, live)


def keep_live(parts: Array, live: Array) -> Array:
    """``[k, k, b]`` correlations with rows of the identity where ``live`` is False."""
    parts = jnp.where(live[:, None] & live[None], parts, 0)
    diagonal = jnp.eye(len(live), dtype=bool)[:, :, None]
    return jnp.where(diagonal, 1, parts)


def eliminate(parts: Array, first: int, last: int) -> tuple[Array, Array]:
    """Takes what columns explain out of all others: the partial covariances.

    Pivots at k = first, ..., last - 1 turn S into S - S_.k S_k. / S_kk. A column that
    those before it determine explains nothing more and is passed over.

    Args:
      parts: ``[k, k, b]`` float, symmetric, of variances of at most 1.
      first: the first pivot, static.
      last: one more than the last pivot, static.

    Returns:
      ``[k, k, b]`` float, right in rows and columns that were no pivot yet, and
      ``[last - first, b]`` float, the pivots, 0 where one was passed over.

    Differentiable: in parts.
    """
    least = sweep_operator.resolution(parts.dtype)

    def pivot_once(parts, k):
        pivot = parts[k, k]
        explains = pivot > least
        share = jnp.where(explains, 1 / jnp.where(explains, pivot, 1), 0)
        parts = parts - parts[k][:, None] * (parts[k] * share[None])[None]
        return parts, jnp.where(explains, pivot, 0)

    return jax.lax.scan(pivot_once, parts, jnp.arange(first, last))
