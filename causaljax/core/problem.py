"""What every method does to a ``Problem``: rows and variables that count, each once."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from causaljax.core.types import Array, Problem, PyTree

_GOLDEN = 0.6180339887498949


def padded_size(num_rows: int) -> int:
    """The number of rows that a table is padded to before it meets a kernel.

    The least of 128 and the numbers 4, 5, 6 and 7 times a power of two that is large
    enough. Tables of similar length share compiled programs, and at most a fifth of
    the rows is padding from 128 rows on.

    Args:
      num_rows: of the table.

    Returns:
      A number of at least ``num_rows``.

    Example:
      >>> padded_size(1000), padded_size(1001), padded_size(1025), padded_size(5)
      (1024, 1024, 1280, 128)
    """
    if num_rows <= 128:
        return 128
    unit = 1 << ((num_rows - 1).bit_length() - 3)
    return -(-num_rows // unit) * unit


def pad_rows(problem: Problem, num_rows: int) -> Problem:
    """A problem with rows of weight 0 at its end, which change no answer.

    Args:
      problem: of at most ``num_rows`` rows.
      num_rows: how many there are to be.

    Returns:
      The problem; its leaves are numpy's. The new rows hold 0, are observed, not
      intervened on, and of unknown regime.
    """
    extra = num_rows - problem.x.shape[0]

    def padded(leaf, filler):
        widths = [(0, extra)] + [(0, 0)] * (leaf.ndim - 1)
        return np.pad(np.asarray(leaf), widths, constant_values=filler)

    return jax.tree.map(np.asarray, problem)._replace(
        x=padded(problem.x, 0),
        observed=padded(problem.observed, True),
        intervened=padded(problem.intervened, False),
        regime=padded(problem.regime, -1),
        weight=padded(problem.weight, 0),
    )


def take_variables(problem: Problem, order: ArrayLike) -> Problem:
    """The problem with its variables in another order.

    Args:
      problem: of d variables.
      order: ``[d]`` int, the variable that comes to each place.

    Returns:
      The problem, of the arrays' own kind (jax's or numpy's).
    """
    whole = problem.whole
    if whole is not None:
        whole = whole._replace(covariance=whole.covariance[order][:, order])
    return problem._replace(
        x=problem.x[:, order],
        observed=problem.observed[:, order],
        intervened=problem.intervened[:, order],
        allowed=problem.allowed[order][:, order],
        required=problem.required[order][:, order],
        kind=problem.kind[order],
        whole=whole,
    )


def label_free_places(x: Array, weight: Array) -> Array:
    """The variables' places in an order that does not depend on their labels.

    What is drawn for each place and dealt out by it goes with a variable wherever its
    column stands: relabelled variables then give the relabelled answer.

    Args:
      x: ``[n, d]``; the order is that of the third moments.
      weight: ``[n]``, of rows; those of weight 0 do not count.

    Returns:
      ``[d]`` int32, the place of each variable.
    """
    x = jnp.where(weight[:, None] > 0, x, 0)
    third, index = jnp.sum(weight[:, None] * x**3, axis=0), jnp.arange(x.shape[1])
    alike = third[None, :] == third[:, None]
    before = third[None, :] < third[:, None]
    before = before | (alike & (index[None, :] < index[:, None]))
    return before.sum(axis=1, dtype=jnp.int32)


def complete_rows(problem: Problem) -> Array:
    """The rows that methods without a model of gaps learn from.

    Args:
      problem: a table.

    Returns:
      ``[n]`` bool, True where the weight is above 0 and no cell is missing.
    """
    return problem.observed.all(axis=1) & (problem.weight > 0)


def thin_rows(weight: Array, num_rows: int) -> Array:
    """Rows spread evenly along the table, by weight.

    Args:
      weight: ``[n]``, of rows.
      num_rows: m, how many, static.

    Returns:
      ``[m]`` int; a row of weight 0 is among them only if all weights are 0.
    """
    cumulative = jnp.cumsum(weight)
    part = (jnp.arange(num_rows, dtype=weight.dtype) + 0.5) / num_rows
    rows = jnp.searchsorted(cumulative, part * cumulative[-1], side="right")
    return jnp.minimum(rows, len(weight) - 1)


def held_out_rows(counted: Array, share: ArrayLike, dtype: DTypeLike) -> Array:
    """Rows to score on and not to learn from.

    Every stretch of rows has the same share of them, and padding moves none: the k-th
    row that counts is held out if the fraction of k times the golden ratio is below
    the share.

    Args:
      counted: ``[n]`` bool, rows that count.
      share: of the rows that count, 0 to 1.
      dtype: of the arithmetic.

    Returns:
      ``[n]`` bool; rows that do not count may be among them.
    """
    return (jnp.cumsum(counted).astype(dtype) * _GOLDEN) % 1 < share


def like_data(tree: PyTree, data: Array) -> PyTree:
    """The same arrays, as local to a device as the data are.

    Inside ``shard_map`` a loop's carry must vary over the mesh as the data does that
    will be in it.

    Args:
      tree: of arrays.
      data: an array of numbers.

    Returns:
      The tree, unchanged in value as long as the data's first entry is finite.
    """
    zero = 0 * data.ravel()[0]
    return jax.tree.map(lambda leaf: leaf + zero.astype(leaf.dtype), tree)
