"""Tests of the rank of a cross-covariance by canonical correlations.

The cross-covariance of two sets of p and q variables has at most rank r if r variables,
measured or hidden, t-separate the sets in a linear model. With the canonical
correlations c_1 >= c_2 >= ... of the sets in n rows,

    statistic = -(n - 1 - r - (p + q + 1) / 2 + sum_{i <= r} c_i^-2)
                sum_{i > r} log(1 - c_i^2)

is compared with the chi-square of (p - r) (q - r) degrees of freedom. Where the true
rank is less than r, the test rejects less often than its level says. Variables that the
others of their set determine do not count in p or q.

Sources: Bartlett 1938, "Further aspects of the theory of multiple regression"; Lawley
1959, "Tests of significance in canonical analysis" (the factor); Sullivant, Talaska and
Draisma 2010, "Trek separation for Gaussian graphical models".
"""

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.types import Array
from causaljax.scores import sweep_operator
from causaljax.scores.independence import null_laws
from causaljax.scores.independence.interface import Outcome
from causaljax.scores.independence.partial_correlation import Correlations

_AT_ONCE = 256  # tests that a device other than a CPU works on


def p_values(
    stats: Correlations,
    left: Array,
    left_used: Array,
    right: Array,
    right_used: Array,
    rank: Array,
) -> Outcome:
    """Tests whether a cross-covariance has at most some rank.

    Args:
      stats: of ``partial_correlation.prepare``.
      left: ``[b, p]`` int, the first set of each test.
      left_used: ``[b, p]`` bool, False where the set is smaller.
      right: ``[b, q]`` int, the second set.
      right_used: ``[b, q]`` bool.
      rank: ``[b]`` int, r.

    Returns:
      The outcome; p-value 1 if r is not less than p and q.

    Example:
      >>> import jax, numpy as np
      >>> from causaljax.core.types import make_problem
      >>> from causaljax.scores.independence import partial_correlation
      >>> hidden, *noise = np.random.default_rng(0).normal(size=(5, 500))
      >>> problem = make_problem(np.stack(noise, axis=1) + hidden[:, None])
      >>> config = partial_correlation.Config()
      >>> stats = partial_correlation.prepare(jax.random.key(0), problem, config)
      >>> sets, used = np.array([[0, 1], [0, 1]]), np.ones((2, 2), bool)
      >>> p_values(stats, sets, used, sets + 2, used, np.array([0, 1])).p > 0.01
      Array([False,  True], dtype=bool)
    """
    num_left = left.shape[1]
    variables = jnp.concatenate([left, right], axis=1)
    used = jnp.concatenate([left_used, right_used], axis=1)
    least = sweep_operator.resolution(stats.correlation.dtype)

    def whitening(matrix):
        """What turns a set's correlations into the identity; the set's rank."""
        values, vectors = jnp.linalg.eigh(matrix)
        counts = values > least
        scale = jnp.where(counts, jax.lax.rsqrt(jnp.where(counts, values, 1)), 0)
        return vectors * scale[None], counts.sum()

    def ask(test):
        variables, used, rank = test
        both = used[:, None] & used[None]
        pairs = variables[:, None], variables[None]
        matrix = jnp.where(both, stats.correlation[pairs], 0)
        rows = jnp.where(both, stats.rows[pairs], jnp.inf).min()
        of_left, p = whitening(matrix[:num_left, :num_left])
        of_right, q = whitening(matrix[num_left:, num_left:])
        cross = matmul(of_left.T, matmul(matrix[:num_left, num_left:], of_right))
        most = 1 - float(jnp.finfo(cross.dtype).eps)
        squares = jnp.clip(jnp.linalg.svd(cross, compute_uv=False), 0, most) ** 2
        p, q, rank = (number.astype(cross.dtype) for number in (p, q, rank))
        first = jnp.arange(len(squares), dtype=cross.dtype) < rank
        positive = jnp.where(squares > least, squares, 1)
        factor = rows - 1 - rank - (p + q + 1) / 2
        factor = factor + jnp.where(first, 1 / positive, 0).sum()
        dof = jnp.maximum(p - rank, 0) * jnp.maximum(q - rank, 0)
        testable = (factor > 0) & (dof > 0)
        log_ratio = jnp.where(first, 0, jnp.log1p(-squares)).sum()
        statistic = jnp.where(testable, -factor * log_ratio, 0)
        return statistic, jnp.where(testable, dof, 0), rows

    statistic, dof, rows = map_factorisations(ask, (variables, used, rank), _AT_ONCE)
    return Outcome(statistic, dof, null_laws.log_chi2_tail(statistic, dof), rows)
