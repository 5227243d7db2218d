"""The likelihood ratio test of the degenerate Gaussian model, for mixed tables.

A variable of K classes becomes K - 1 indicators, a numeric variable stays one column,
and all columns together are taken for Gaussian. With S the covariance of the columns,
blocks x and y of k_x and k_y columns and k_z columns of conditioning variables,

    statistic = -N log (det S_xyz det S_z / (det S_xz det S_yz)),
    N = n - 1 - k_z - (k_x + k_y + 1) / 2,

is compared with the chi-square of k_x k_y degrees of freedom. N instead of n is
Bartlett's correction, which keeps the test's size in small tables. Columns that the
conditioning variables determine count neither in k_x nor in k_y. The test sees whether
means depend on classes and classes on values, linearly and without interactions.

Rows with a gap in any column of the table, and rows in which a variable was set from
outside, count in no test; a weight counts rows. Columns of kind ``CATEGORICAL`` and
``BINARY`` are classes, those of all other kinds numbers.

Sources: Andrews, Ramsey and Cooper 2019, "Learning high-dimensional directed acyclic
graphs with mixed data-types"; Bartlett 1938, "Further aspects of the theory of multiple
regression".
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.options import option
from causaljax.core.types import Array, Problem
from causaljax.scores import degenerate_gaussian, sweep_operator
from causaljax.scores.classes import read_classes
from causaljax.scores.independence import elimination, null_laws
from causaljax.scores.independence.interface import (
    IndependenceTest,
    Outcome,
    row_weights,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the test.

    ``most_classes`` is room for the classes of a column; those of fewest rows that have
    none count as the most frequent class.
    """

    most_classes: int = option(8, least=2)


class ColumnBlocks(NamedTuple):
    """Correlations of the columns of all variables."""

    correlation: Array  # [d, w, d, w] float, the identity within a variable
    widths: Array  # [d] int32, how many columns each variable has
    rows: Array  # [] float


def prepare(key: Array, problem: Problem, config: Config) -> ColumnBlocks:
    """The correlations of indicators and numbers.

    Args:
      key: not used.
      problem: the table. Columns of kind ``CATEGORICAL`` and ``BINARY`` are classes,
        rare ones put together (``scores.classes``), others numbers. Rows with a gap do
        not count; weights count rows.
      config: the settings.

    Returns:
      The correlations, of the whole table if the problem holds a sample.
    """
    del key
    problem = problem._replace(
        weight=row_weights(problem), intervened=jnp.zeros_like(problem.intervened)
    )
    blocks = degenerate_gaussian.blocks(
        problem, read_classes(problem), config.most_classes, interventional=False
    )
    d = problem.x.shape[1]
    width = blocks.correlation.shape[-1] // d
    correlation = blocks.correlation.reshape(d, width, d, width)
    widths = jnp.minimum(blocks.widths, width).astype(jnp.int32)
    return ColumnBlocks(correlation, widths, blocks.rows[0])


def p_values(stats: ColumnBlocks, x: Array, y: Array, z: Array, used: Array) -> Outcome:
    """Tests whether two variables' columns are correlated given others.

    Args:
      stats: of ``prepare``.
      x: ``[b]`` int.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.

    Returns:
      The outcome.

    Example:
      >>> import jax, numpy as np
      >>> from causaljax.core.types import Kind, make_problem
      >>> rng = np.random.default_rng(0)
      >>> group = rng.integers(0, 3, 300)
      >>> x = group[:, None] + rng.normal(size=(300, 2))
      >>> table = np.concatenate([group[:, None], x], axis=1)
      >>> kind = [Kind.CATEGORICAL, Kind.CONTINUOUS, Kind.CONTINUOUS]
      >>> problem = make_problem(table, kind=kind)
      >>> stats = prepare(jax.random.key(0), problem, Config(most_classes=3))
      >>> ask = np.array([1, 1, 0]), np.array([2, 2, 1]), np.array([[0], [0], [0]])
      >>> outcome = p_values(stats, *ask, used=np.array([[False], [True], [False]]))
      >>> outcome.dof.tolist(), (outcome.p > 0.01).tolist()
      ([1.0, 1.0, 2.0], [False, True, False])
    """
    d, width = stats.correlation.shape[:2]
    variables = jnp.concatenate([z.T, x[None], y[None]]).astype(jnp.int32)
    live = jnp.concatenate([used.T, jnp.ones((2, len(x)), bool)])
    place = jnp.arange(width, dtype=jnp.int32)[None, :, None]
    columns = variables[:, None] * width + place
    live = live[:, None] & (place < stats.widths[variables][:, None])
    columns, live = (part.reshape(-1, len(x)) for part in (columns, live))
    parts = stats.correlation.reshape(d * width, d * width)
    parts = elimination.gather(parts, columns, live)

    of_x, of_y, end = ((z.shape[1] + k) * width for k in range(3))
    parts, pivots_z = elimination.eliminate(parts, 0, of_x)
    _, without_x = elimination.eliminate(parts[of_y:, of_y:], 0, width)
    parts, pivots_x = elimination.eliminate(parts, of_x, of_y)
    _, with_x = elimination.eliminate(parts, of_y, end)

    def count(pivots, live):
        return ((pivots > 0) & live).sum(axis=0).astype(parts.dtype)

    num_x, num_y = count(pivots_x, live[of_x:of_y]), count(without_x, live[of_y:])
    num_z = count(pivots_z, live[:of_x])
    least = sweep_operator.resolution(parts.dtype)
    ratios = jnp.where(without_x > 0, without_x / jnp.maximum(with_x, least), 1)
    log_ratio = jnp.maximum(jnp.log(ratios).sum(axis=0), 0)
    rows = stats.rows - 1 - num_z - (num_x + num_y + 1) / 2
    testable = (rows > 0) & (num_x * num_y > 0)
    statistic = jnp.where(testable, rows * log_ratio, 0)
    dof = jnp.where(testable, num_x * num_y, 0)
    log_p = null_laws.log_chi2_tail(statistic, dof)
    return Outcome(statistic, dof, log_p, jnp.broadcast_to(stats.rows, dof.shape))


DEGENERATE_GAUSSIAN = IndependenceTest(prepare, p_values, Config)
