"""Tables are filled a column at a time, parents first."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from causaljax.core.types import Array

SCALINGS = ("raw", "standardised", "internal")
"""Whether columns are standardised, and whether their children notice."""


def fill_columns(
    respond: Callable[[Array, Array, Array, Array], Array],
    order: Array,
    unit_noise: Array,
    cut: Array,
    shift: Array,
    moments: Callable[[Array, Array], tuple[Array, Array]] | None = None,
    realise: Callable[[Array, Array], Array] | None = None,
) -> tuple[Array, Array, Array]:
    """The table in which every column responds to the columns before it.

    Args:
      respond: ``(x, means, sds, j) -> [n]``, the raw column j. Columns not filled
        yet are 0 in x; ``means`` and ``sds``, ``[d]``, turn the others back into
        raw ones, ``x * sds + means``.
      order: ``[d]`` int, parents before children.
      unit_noise: ``[n, d]``, what a cell holds where it is cut.
      cut: ``[n, d]`` bool, True where parents do not matter.
      shift: ``[n, d]``, added in the end, in units of the table as returned.
      moments: ``(column, j) -> (mean, sd)``, both ``[]``: what is taken off the raw
        column j and what it is then divided by. Without it columns stay raw.
      realise: ``(column, j) -> [n]``, what becomes of column j in the end, before
        others see it: classes, say. Without it columns stay as they are.

    Returns:
      ``(x, means, sds)``: the table ``[n, d]`` and what was taken off and divided
      by, ``[d]``, which is 0 and 1 of raw columns.

    Differentiable: in all floats, and in what ``respond`` closes over.
    """
    num_variables = order.shape[0]
    dtype = unit_noise.dtype

    def fill_column(carry, j):
        x, means, sds = carry
        column = respond(x, means, sds, j)
        if moments is not None:
            mean, sd = moments(column, j)
            means, sds = means.at[j].set(mean), sds.at[j].set(sd)
            column = (column - means[j]) / sds[j]
        column = jnp.where(cut[:, j], unit_noise[:, j], column) + shift[:, j]
        if realise is not None:
            column = realise(column, j)
        return (x.at[:, j].set(column), means, sds), None

    empty = jnp.zeros(unit_noise.shape, dtype)
    start = (empty, jnp.zeros(num_variables, dtype), jnp.ones(num_variables, dtype))
    filled, _ = jax.lax.scan(fill_column, start, order)
    return filled


def standardise(columns: Array, num_baseline: int) -> Array:
    """Columns of mean 0 and standard deviation 1 over the first rows.

    A column that is constant there only has its mean taken off.

    Args:
      columns: ``[n, ...]``.
      num_baseline: static, the number of rows that count.

    Returns:
      ``[n, ...]``.

    Differentiable: in ``columns``.
    """
    baseline = columns[:num_baseline]
    mean = baseline.mean(axis=0, keepdims=True)
    variance = baseline.var(axis=0, keepdims=True)
    # The square root has no slope at 0, chosen or not.
    return (columns - mean) / jnp.sqrt(jnp.where(variance > 0, variance, 1))
