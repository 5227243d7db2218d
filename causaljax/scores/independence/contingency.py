"""Tests of contingency tables: G-squared and Pearson's chi-square.

With N_xyz the rows of a cell, N_z the rows of a configuration of the conditioning
variables and E_xyz = N_xz N_yz / N_z the rows expected of it under independence,

    G-squared:  2 sum N_xyz log(N_xyz / E_xyz),
    Pearson:    sum (N_xyz - E_xyz)^2 / E_xyz.

Either is compared with the chi-square of

    sum over z that occur of  (r_x(z) - 1) (r_y(z) - 1)

degrees of freedom, where r_x(z) is the number of classes of x that occur together with
z. So causal-learn counts them; bnlearn (its "mi" and "x2") and pcalg take all classes
and all configurations, also those that do not occur, for (r_x - 1) (r_y - 1) prod r_z.

A test uses the rows in which its variables are all observed, but none in which a
variable of the table was set from outside; a weight counts rows. Columns of all kinds
are classes by their values.

Either law needs rows in all cells, G-squared many more than Pearson's. Of 10,000 tables
of 200 rows with three classes a variable, they rejected at level .05

    one conditioning variable, 7 rows a cell:        .098 and .052,
    three conditioning variables, 1 row a cell:      .586 and .178,

and of 4,000 tables of 1,000 rows .060 and .053, and .371 and .064.

Sources: Neapolitan 2004, "Learning Bayesian networks", section 10.3; Bishop, Fienberg
and Holland 1975, "Discrete multivariate analysis", section 3.8 (cells that cannot
occur).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.options import option
from causaljax.core.types import Array, Problem
from causaljax.scores.classes import value_ranks
from causaljax.scores.independence import null_laws
from causaljax.scores.independence.interface import (
    IndependenceTest,
    Outcome,
    row_weights,
)

_CELLS_AT_ONCE = 1 << 18  # of the tables that are in memory
_TESTS_AT_ONCE = 64


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the tests.

    ``most_classes`` is room for the classes of a column. Values of a column that has
    more are put together, all from the last one that has room; tests given that column
    are then not exact.
    """

    most_classes: int = option(8, least=2)


class ClassRows(NamedTuple):
    """A table of classes."""

    codes: Array  # [d, n] int32, from 0; 0 where not observed
    observed: Array  # [d, n] float, 1 where observed
    weight: Array  # [n] float
    classes: Array  # [r] int32, 0 to r - 1 for r classes at most


def prepare(key: Array, problem: Problem, config: Config) -> ClassRows:
    """Numbers the distinct values of every column, in their order.

    Args:
      key: not used.
      problem: the table; columns of all kinds are classes by their values. Weights
        count rows.
      config: the settings.

    Returns:
      The table.
    """
    del key
    weight = row_weights(problem)
    seen = problem.observed & (weight > 0)[:, None]
    ranks = jax.vmap(value_ranks, in_axes=1)(problem.x, seen)
    codes = jnp.where(seen.T, jnp.minimum(ranks, config.most_classes - 1), 0)
    classes = jnp.arange(config.most_classes, dtype=jnp.int32)
    observed = seen.T.astype(problem.x.dtype)
    return ClassRows(codes.astype(jnp.int32), observed, weight, classes)


def g_squared(stats: ClassRows, x: Array, y: Array, z: Array, used: Array) -> Outcome:
    """The likelihood ratio test.

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
      >>> from causaljax.core.types import make_problem
      >>> coin = np.array([0.0, 0, 1, 1] * 20)
      >>> other = np.array([0.0, 1, 0, 1] * 20)
      >>> table = np.stack([coin, other, (coin + other) % 2], axis=1)
      >>> stats = prepare(jax.random.key(0), make_problem(table), Config())
      >>> ask = np.array([0, 0]), np.array([1, 1]), np.array([[2], [2]])
      >>> outcome = g_squared(stats, *ask, used=np.array([[False], [True]]))
      >>> outcome.dof.tolist(), (outcome.p > 0.01).tolist()
      ([1.0, 2.0], [True, False])
    """

    def distance(counts, expected):
        ratio = jnp.where(counts > 0, counts, 1) / jnp.where(counts > 0, expected, 1)
        return 2 * counts * jnp.log(ratio)

    return _outcome(stats, x, y, z, used, distance)


def chi_squared(stats: ClassRows, x: Array, y: Array, z: Array, used: Array) -> Outcome:
    """Pearson's test; arguments and outcome are as of ``g_squared``."""

    def distance(counts, expected):
        return (counts - expected) ** 2 / jnp.where(expected > 0, expected, 1)

    return _outcome(stats, x, y, z, used, distance)


def _outcome(stats, x, y, z, used, distance):
    n, r = stats.codes.shape[1], stats.classes.shape[0]
    m = z.shape[1]
    # Numbers of configurations grow until each row has its own.
    direct = r**m <= n
    num_configurations = r**m if direct else n

    def configurations(z, used):
        """A number for each row's configuration, at most ``num_configurations``."""
        found = jnp.zeros_like(stats.codes[0])
        for k in range(m):
            code = jnp.where(used[k], stats.codes[z[k]], 0)
            found = found * r + code
            if not direct and r ** (k + 1) > n:
                # The first row of each configuration stands for it.
                row = jnp.arange(n, dtype=found.dtype)
                size = min(r ** (k + 1), n * r)
                found = jnp.full(size, n, row.dtype).at[found].min(row)[found]
        return found

    def ask(test):
        x, y, z, used = test
        seen = stats.observed[x] * stats.observed[y]
        seen = seen * jnp.where(used[:, None], stats.observed[z], 1).prod(axis=0)
        weight = seen * stats.weight
        cell = (configurations(z, used) * r + stats.codes[x]) * r + stats.codes[y]
        counts = jnp.zeros(num_configurations * r * r, weight.dtype)
        counts = counts.at[cell].add(weight).reshape(-1, r, r)
        of_x, of_y = counts.sum(axis=2), counts.sum(axis=1)
        total = of_x.sum(axis=1)[:, None, None]
        expected = of_x[:, :, None] * of_y[:, None, :] / jnp.where(total > 0, total, 1)
        statistic = distance(counts, expected).sum()

        def free(margin):
            return jnp.maximum((margin > 0).sum(axis=1) - 1, 0)

        dof = (free(of_x) * free(of_y)).sum().astype(weight.dtype)
        statistic = jnp.where(dof > 0, jnp.maximum(statistic, 0), 0)
        return statistic, dof, weight.sum()

    cells = num_configurations * r * r
    at_once = max(1, min(_TESTS_AT_ONCE, _CELLS_AT_ONCE // cells))
    statistic, dof, rows = jax.lax.map(ask, (x, y, z, used), batch_size=at_once)
    return Outcome(statistic, dof, null_laws.log_chi2_tail(statistic, dof), rows)


G_SQUARED = IndependenceTest(prepare, g_squared, Config)
CHI_SQUARED = IndependenceTest(prepare, chi_squared, Config)
