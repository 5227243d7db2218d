"""The kernel tests of independence, KCI and HSIC, for some 1,500 rows and fewer.

Columns are standardised. With w a width that falls with n and m the number of
conditioning variables, the Gaussian kernels, centred, are

    K_x of (x, z / 2),  K_y of y,  K_z of z,  each of width w sqrt(m),

    R = e (K_z + e I)^-1,
    statistic = tr(R K_x R  R K_y R).

Under independence it is a sum of chi-squares whose weights are the eigenvalues of the
elementwise product of R K_x R and R K_y R, times

    c = tr(S^2) / sum_i S_ii^2,   S the centred R^2;

three moments of that sum give the p-value. With features of variance 1 left by z, tr
(S^2) is the mean of the statistic and sum_i S_ii^2 that of the weights' sum. The
authors have no c: of 250 tables of 200 rows with three z, they would reject .16 and not
.05. That n / tr(R), the ratio if all rows had equal influence, takes its place makes it
.00.
Without conditioning variables (HSIC) the statistic is tr(K_x K_y), of other widths, and
the weights are the products of the eigenvalues of K_x / sqrt(n) and K_y / sqrt(n).

Each kernel matrix is a product of a tall matrix with its transpose, by a Cholesky
factorisation that stops at some rank: kernels of few variables have fast falling
eigenvalues. A test costs O(n^3) all the same, of one product of n x n matrices.

Rows with a gap in any column of the table, and rows in which a variable was set from
outside, count in no test; a weight counts rows. Columns of all kinds are numbers.

x is the variable that comes first in an order that does not depend on labels, so that
(x, y) and (y, x) are the same test.

Sources: Zhang, Peters, Janzing and Scholkopf 2011, "Kernel-based conditional
independence test and application in causal discovery" (widths as in its authors'
program); Gretton et al. 2008, "A kernel statistical test of independence"; Chen,
Epperly, Tropp and Webber 2025, "Randomly pivoted Cholesky" (pivots in blocks; here they
are spread evenly and not drawn).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.options import option
from causaljax.core.problem import complete_rows, label_free_places, thin_rows
from causaljax.core.types import Array, Problem
from causaljax.scores.independence import null_laws
from causaljax.scores.independence.interface import (
    IndependenceTest,
    Outcome,
    row_weights,
)

_BLOCK = 16  # pivots a step
_RANK_OF_ONE = 64  # of the kernel of one variable
_AT_ONCE = 8  # tests that a device other than a CPU works on
# (rows below which they hold, width): the authors' rules
_WIDTHS = ((200, 0.8), (1200, 0.5), (jnp.inf, 0.3))  # without conditioning variables
_CONDITIONAL_WIDTHS = ((200, 1.2), (1200, 0.7), (jnp.inf, 0.4))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the test.

    ``ridge`` is e; in float32 it is at least what a factorisation of ``K_z + e I``
    needs, about 1e-7 n ``rank``. ``rank`` bounds the rank of K_x and K_z.
    """

    ridge: float = option(1e-3, above=0)
    rank: int = option(128, least=_BLOCK)


class KernelRows(NamedTuple):
    """A table, and the kernels of single variables."""

    columns: Array  # [d, n] float, standardised
    weight: Array  # [n] float, 0 in rows that do not count
    place: Array  # [d] int32, in an order that does not depend on labels
    factor: Array  # [d, n, 64] float, of the centred kernel without others given
    traces: Array  # [3, d] float, of its first three powers
    ridge: Array  # [] float
    rank: Array  # [rank] int32, of that length


def prepare(key: Array, problem: Problem, config: Config) -> KernelRows:
    """Standardises a table and factorises the kernel of each of its variables.

    Args:
      key: not used.
      problem: the table; columns of all kinds are numbers. Rows with a gap do not
        count; weights count rows.
      config: the settings.

    Returns:
      The table and the kernels.
    """
    del key
    weight = jnp.where(complete_rows(problem), row_weights(problem), 0)
    columns = standardised(problem.x.T, weight)
    width = _width(_WIDTHS, weight)

    def factorise(column):
        factor = _centred(
            low_rank(column[:, None] / width, weight, _RANK_OF_ONE), weight
        )
        gram = matmul(factor.T, factor)
        return factor, jnp.stack(_traces(gram))

    factor, traces = map_factorisations(factorise, columns)
    return KernelRows(
        columns=columns,
        weight=weight,
        place=label_free_places(problem.x, weight),
        factor=factor,
        traces=traces.T,
        ridge=jnp.asarray(config.ridge, columns.dtype),
        rank=jnp.arange(config.rank, dtype=jnp.int32),
    )


def standardised(columns: Array, weight: Array) -> Array:
    """Columns of mean 0 and variance 1, 0 throughout if constant.

    Args:
      columns: ``[d, n]`` float.
      weight: ``[n]`` float.

    Returns:
      ``[d, n]`` float, 0 in rows of weight 0.
    """
    counted = (weight > 0)[None]
    rows = jnp.maximum(weight.sum(), 1)
    lowest = jnp.where(counted, columns, jnp.inf).min(axis=1, keepdims=True)
    highest = jnp.where(counted, columns, -jnp.inf).max(axis=1, keepdims=True)
    columns = jnp.where(counted & (lowest < highest), columns, 0)
    mean = matmul(columns, weight)[:, None] / rows
    columns = jnp.where(counted, columns - mean, 0)
    variance = matmul(columns**2, weight)[:, None] / jnp.maximum(rows - 1, 1)
    varies = variance > 0
    return columns * jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1)), 0)


def low_rank(points: Array, weight: Array, rank: int) -> Array:
    """A tall matrix F with F F' close to the Gaussian kernel exp(-(u - v)^2 / 2).

    Args:
      points: ``[n, c]`` float, in units of the kernel's width.
      weight: ``[n]`` float, rows of weight 0 are of no interest.
      rank: the number of F's columns, static, in whole blocks.

    Returns:
      ``[n, rank]`` float.
    """
    n, dtype = len(points), points.dtype
    # Pivots that are known already divide rounding errors by the root of it.
    jitter = float(jnp.finfo(dtype).eps) ** 0.625

    def add_block(k, carry):
        factor, left = carry
        pivots = thin_rows(left, _BLOCK)
        squares = (points[:, None] - points[pivots][None]) ** 2
        kernel = jnp.exp(-squares.sum(axis=2) / 2)
        kernel = kernel - matmul(factor, factor[pivots].T)
        system = kernel[pivots] + jitter * jnp.eye(_BLOCK, dtype=dtype)
        root = jnp.linalg.cholesky((system + system.T) / 2)
        new = jax.scipy.linalg.solve_triangular(root, kernel.T, lower=True).T
        left = jnp.maximum(left - jnp.where(counted, (new**2).sum(axis=1), 0), 0)
        return jax.lax.dynamic_update_slice(factor, new, (0, k * _BLOCK)), left

    counted = weight > 0
    start = jnp.zeros((n, rank), dtype), counted.astype(dtype)
    return jax.lax.fori_loop(0, rank // _BLOCK, add_block, start)[0]


def _centred(factor, weight):
    """The factor of the centred kernel of a table in which rows are repeated."""
    mean = matmul(weight, factor) / jnp.maximum(weight.sum(), 1)
    return jnp.sqrt(weight)[:, None] * (factor - mean[None])


def _traces(matrix):
    """Traces of the first three powers of a symmetric matrix."""
    square = matmul(matrix, matrix)
    return jnp.trace(matrix), (matrix**2).sum(), (square * matrix).sum()


def _width(rule, weight):
    rows = weight.sum()
    width = jnp.asarray(rule[-1][1], rows.dtype)
    for below, value in reversed(rule[:-1]):
        width = jnp.where(rows < below, value, width)
    return width


def p_values(stats: KernelRows, x: Array, y: Array, z: Array, used: Array) -> Outcome:
    """Tests by kernels of all variables of a test.

    Args:
      stats: of ``prepare``.
      x: ``[b]`` int.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.

    Returns:
      The outcome. ``statistic`` is that of a chi-square of ``dof`` degrees of freedom,
      of the same p-value.

    Example:
      >>> import jax, numpy as np
      >>> from causaljax.core.types import make_problem
      >>> z, u, v = np.random.default_rng(0).normal(size=(3, 200))
      >>> table = np.stack([z**2 + u, z**2 + v, z], axis=1)
      >>> stats = prepare(jax.random.key(0), make_problem(table), Config())
      >>> ask = np.array([0, 0]), np.array([1, 1]), np.array([[2], [2]])
      >>> p_values(stats, *ask, used=np.array([[False], [True]])).p > 0.01
      Array([False,  True], dtype=bool)
    """
    weight, rows = stats.weight, stats.weight.sum()
    root = jnp.sqrt(weight)
    inverse_root = jnp.where(weight > 0, 1 / jnp.where(weight > 0, root, 1), 0)
    width = _width(_CONDITIONAL_WIDTHS, weight)
    rank = -(-len(stats.rank) // _BLOCK) * _BLOCK
    eps = float(jnp.finfo(root.dtype).eps)
    ridge = jnp.maximum(stats.ridge, eps * rank * rows)

    def unconditional(x, y, z, used):
        statistic = (matmul(stats.factor[x].T, stats.factor[y]) ** 2).sum()
        of_x, of_y = stats.traces[:, x], stats.traces[:, y]
        share = 1 / jnp.maximum(rows, 1)
        shares = jnp.stack([share, share**2, share**3])
        return statistic, *(of_x * of_y * shares)

    def conditional(x, y, z, used):
        scale = 1 / (width * jnp.sqrt(used.sum(dtype=width.dtype)))
        given = jnp.where(used[:, None], stats.columns[z], 0).T * scale
        of_x = jnp.concatenate([stats.columns[x][:, None] * scale, given / 2], axis=1)
        of_y = stats.columns[y][:, None] * scale
        of_x = _centred(low_rank(of_x, weight, rank), weight)
        of_y = _centred(low_rank(of_y, weight, _RANK_OF_ONE), weight)
        of_z = _centred(low_rank(given, weight, rank), weight)
        both = jnp.concatenate([of_x, of_y], axis=1)
        system = matmul(of_z.T, of_z) + ridge * jnp.eye(rank, dtype=ridge.dtype)
        factor = jnp.linalg.cholesky(system), True
        # R F = F - L (L'L + e I)^-1 L'F, where K_z = L L'.
        both = both - matmul(
            of_z, jax.scipy.linalg.cho_solve(factor, matmul(of_z.T, both))
        )
        of_x, of_y = both[:, :rank], both[:, rank:]
        statistic = (matmul(of_x.T, of_y) ** 2).sum()
        # Moments do not need more digits than float32 has.
        of_x, of_y = of_x.astype(jnp.float32), (of_y * inverse_root[:, None])
        of_y = of_y.astype(jnp.float32)
        product = matmul(of_x, of_x.T) * matmul(of_y, of_y.T)
        # C R^2 = C - L (B + B^2) L' / e, where B = e (L'L + e I)^-1 and C centres.
        identity = jnp.eye(rank, dtype=ridge.dtype)
        kept = ridge * jax.scipy.linalg.cho_solve(factor, identity)
        square = matmul(kept, kept)
        trace = rows - 1 - rank + (square**2).sum()
        taken = (matmul(of_z, kept + square) * of_z).sum(axis=1) / ridge
        own = 1 - 1 / jnp.maximum(rows, 1) - taken * inverse_root**2
        own = (weight * own**2).sum()
        share = jnp.maximum(trace, 0) / jnp.where(own > 0, own, 1)
        product = product * share.astype(product.dtype)
        return statistic, *(trace.astype(ridge.dtype) for trace in _traces(product))

    def ask(test):
        x, y, z, used = test
        swapped = stats.place[x] > stats.place[y]
        x, y = jnp.where(swapped, y, x), jnp.where(swapped, x, y)
        if not used.shape[0]:
            return unconditional(x, y, z, used)
        return jax.lax.cond(used.any(), conditional, unconditional, x, y, z, used)

    varies = (stats.columns != 0).any(axis=1)
    testable = varies[x] & varies[y]
    statistic, *traces = map_factorisations(ask, (x, y, z, used), _AT_ONCE)
    statistic, dof = null_laws.weighted_chi2(statistic, tuple(traces), testable)
    log_p = null_laws.log_chi2_tail(statistic, dof)
    return Outcome(statistic, dof, log_p, jnp.broadcast_to(rows, dof.shape))


KCI = IndependenceTest(prepare, p_values, Config, "double")
