"""The degenerate Gaussian score of tables of classes and numbers.

A variable of K classes becomes the K - 1 indicators of all classes but one, a numeric
variable stays one column; all columns together are taken for Gaussian. With S the
columns' covariance, block j and the parents' blocks P score

    -n_j/2 (log det S_jP - log det S_P) - penalty log(n_j)/2 k_j k_P,

where k_j and k_P are numbers of columns. The members of a Markov equivalence class have
the same sum. Rows in which j was intervened on are left out of its covariance.

Source: Andrews, Ramsey and Cooper 2019, "Learning high-dimensional directed acyclic
graphs with mixed data-types".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations
from causaljax.core.types import Array, Kind, Problem
from causaljax.scores import linear_gaussian, sweep_operator
from causaljax.scores.classes import Classes

_RIDGE = 1e-6  # of variances of 1: classes that one another determine stay solvable
ROWS_PER_COLUMN = 3  # no parent is added that leaves fewer, so that n < d has an answer


class Blocks(NamedTuple):
    """Correlations of columns that are uncorrelated, of variance 1, in each block.

    A block has b columns, b the width of the widest; those that it lacks are correlated
    with none. Column m of variable j is ``j * b + m``.
    """

    correlation: Array  # [k, d b, d b] float, for each variable, or k = 1 for all
    widths: Array  # [d] float, numbers of columns
    rows: Array  # [d] float, the rows that inform each variable, by weight

    def association(self) -> Array:
        """Minus the summed squared correlations of each variable's columns."""
        d = self.rows.shape[0]
        squares = (self.correlation**2).mean(axis=0)
        return -squares.reshape(d, -1).sum(axis=1)


def blocks(
    problem: Problem, classes: Classes, most_classes: int, *, interventional: bool
) -> Blocks:
    """The covariance of indicators and numbers, each block brought to the identity.

    Args:
      problem: the table. Columns of kind ``CATEGORICAL`` and ``BINARY`` are classes;
        counts and ordered classes are numbers, the latter by their values.
      classes: of its columns.
      most_classes: of any categorical column, static; b is one less.
      interventional: as in ``linear_gaussian.statistics``.

    Returns:
      The blocks.
    """
    n, d = problem.x.shape
    width = max(most_classes - 1, 1)
    is_class = (problem.kind == Kind.CATEGORICAL) | (problem.kind == Kind.BINARY)
    which = jnp.arange(1, width + 1, dtype=jnp.int32)
    indicator = (classes.codes[:, :, None] == which[None, None, :]).astype(
        problem.x.dtype
    )
    number = jnp.where((which == 1)[None, None, :], problem.x[:, :, None], 0)
    columns = jnp.where(is_class[None, :, None], indicator, number)
    columns = columns.reshape(n, d * width)
    stats = linear_gaussian.statistics(
        problem._replace(x=columns), interventional=interventional
    )
    correlation = sweep_operator.correlations(stats.covariance)
    ridge = _RIDGE * jnp.eye(d * width, dtype=correlation.dtype)
    correlation = (correlation + ridge[None]) / (1 + _RIDGE)

    def whitened(matrix):
        grid = matrix.reshape(d, width, d, width)
        own = jnp.diagonal(grid, axis1=0, axis2=2).transpose(2, 0, 1)
        factors = map_factorisations(jnp.linalg.cholesky, own)

        def halfway(grid):
            return map_factorisations(
                lambda pair: jax.scipy.linalg.solve_triangular(*pair, lower=True),
                (factors, grid.reshape(d, width, d * width)),
            ).reshape(d * width, d * width)

        once = halfway(grid)
        return halfway(once.T.reshape(d, width, d, width))

    rows = jnp.broadcast_to(stats.share, (d,)) * linear_gaussian.num_rows(problem)
    widths = jnp.where(is_class, classes.levels - 1, 1).astype(rows.dtype)
    return Blocks(jax.lax.map(whitened, correlation), widths, rows)


def toggled_scores(
    table: Blocks, j: Array, parents: Array, bic_weight: Array
) -> tuple[Array, Array]:
    """Local scores of a variable, with each other variable toggled among its parents.

    Args:
      table: the blocks.
      j: ``[]`` int, the variable.
      parents: ``[d]`` bool, its parents now.
      bic_weight: ``[]`` float, the penalty.

    Returns:
      ``[d]`` float, nats: [u] with u among the parents if it is not among them and the
      other way round, [j] with the parents as they are; and ``[d]`` float, the numbers
      of the parents' columns.

    Differentiable: in the correlations.
    """
    d = parents.shape[0]
    size = table.correlation.shape[-1]
    width = size // d
    correlation = table.correlation[jnp.minimum(j, table.correlation.shape[0] - 1)]
    column = jnp.arange(width, dtype=table.widths.dtype)
    within = column[None, :] < table.widths[:, None]
    swept = (parents[:, None] & within).ravel()

    def sweep_next(carry):
        tableau, left = carry
        k = jnp.argmax(left)
        return sweep_operator.toggle(tableau, k, left[k] & False), left.at[k].set(False)

    tableau, _ = jax.lax.while_loop(
        lambda carry: carry[1].any(), sweep_next, (correlation, swept)
    )
    grid = tableau.reshape(d, width, d, width)
    own = jnp.diagonal(grid, axis1=0, axis2=2).transpose(2, 0, 1)  # [d, b, b]
    cross = grid[j].transpose(1, 2, 0)  # [d, b of u, b of j]
    itself = (jnp.arange(d) == j)[:, None, None]
    own_j = jnp.broadcast_to(grid[j, :, j], own.shape)
    cross = jnp.where(itself, 0, cross)
    own = jnp.where(itself, jnp.eye(width, dtype=own.dtype)[None], own)
    both = jnp.concatenate(
        [
            jnp.concatenate([own, cross], axis=2),
            jnp.concatenate([cross.transpose(0, 2, 1), own_j], axis=2),
        ],
        axis=1,
    )
    least = sweep_operator.resolution(both.dtype)

    def eliminate(k, carry):
        both, log_det = carry
        pivot = both[:, k, k]
        # Of block u any sign is right: if it is among the parents, it goes out.
        pivot = jnp.where(k < width, pivot, jnp.maximum(pivot, least))
        log_det = log_det + jnp.where(k < width, 0, jnp.log(jnp.abs(pivot)))
        row = both[:, k] / pivot[:, None]
        return both - both[:, :, k, None] * row[:, None, :], log_det

    start = (both, jnp.zeros_like(both[:, 0, 0]))
    _, log_det = jax.lax.fori_loop(0, 2 * width, eliminate, start)
    total = jnp.where(parents, table.widths, 0).sum()
    changed = jnp.where(parents, -table.widths, table.widths).at[j].set(0)
    rows, columns = table.rows[j], total + changed
    price = bic_weight * jnp.log(jnp.maximum(rows, 1)) / 2
    return -rows / 2 * log_det - price * table.widths[j] * columns, columns
