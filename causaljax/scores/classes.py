"""The classes of a table's columns, as whole numbers from 0."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Problem

FEWEST_ROWS = 5  # of a class of its own


class Classes(NamedTuple):
    """Every column's classes, the most frequent first."""

    codes: Array  # [n, d] int32, from 0; 0 in rows that do not count
    levels: Array  # [d] int32, the number of classes, at least 1
    pooled: Array  # [d] int32, how many rare classes were put together


def value_ranks(x: Array, counted: Array) -> Array:
    """The place of each value among the distinct values of a column.

    Args:
      x: ``[n]`` float, the column.
      counted: ``[n]`` bool, the rows whose values count.

    Returns:
      ``[n]`` int, from 0; of no meaning in rows that do not count.
    """
    by_value = jnp.argsort(jnp.where(counted, x, jnp.inf))
    values, counted = x[by_value], counted[by_value]
    new = jnp.concatenate([counted[:1], values[1:] != values[:-1]]) & counted
    rank = jnp.maximum(jnp.cumsum(new) - 1, 0)
    return jnp.zeros_like(rank).at[by_value].set(rank)


def read_classes(problem: Problem) -> Classes:
    """Numbers the distinct values of every column, rare ones put together.

    The values of fewer than ``FEWEST_ROWS`` rows become one class; if that has too few
    rows, too, they join the least frequent of the other classes. The numbers of
    classes do not depend on the order of the values but where two classes have as many
    rows.

    Args:
      problem: rows of weight 0 and rows with a gap do not count.

    Returns:
      The classes, of columns of all kinds.

    Example:
      >>> import numpy as np
      >>> from causaljax.core.types import make_problem
      >>> column = np.repeat([0.0, 1.0, 2.0, 3.0], [6, 9, 3, 2])
      >>> found = read_classes(make_problem(column[:, None]))
      >>> found.codes[:, 0].tolist()
      [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2]
      >>> found.levels.tolist(), found.pooled.tolist()
      ([3], [2])
    """
    used = complete_rows(problem)

    def of_column(x):
        n = x.shape[0]
        rank = value_ranks(x, used)
        counts = jnp.zeros_like(rank).at[rank].add(used.astype(rank.dtype))
        kept = counts >= FEWEST_ROWS
        rare = (counts > 0) & ~kept
        by_rows = jnp.argsort(-jnp.where(kept, counts, 0))
        code = jnp.zeros_like(rank).at[by_rows].set(jnp.arange(n, dtype=rank.dtype))
        # The class of the rare ones, if it has rows enough, comes last.
        own_class = jnp.where(rare, counts, 0).sum() >= FEWEST_ROWS
        levels = jnp.maximum(kept.sum() + own_class.astype(rank.dtype), 1)
        code = jnp.where(kept, code, levels - 1)
        codes = jnp.where(used, code[rank], 0).astype(jnp.int32)
        return codes, levels, rare.sum()

    codes, levels, pooled = jax.vmap(of_column, in_axes=1)(problem.x)
    return Classes(codes.T, levels.astype(jnp.int32), pooled.astype(jnp.int32))
