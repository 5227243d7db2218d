"""Linear Gaussian models, x_j = sum_i w_ij x_i + e_j, from covariances.

Rows in which a variable was intervened on say nothing about its mechanism and are
left out of its statistics. Rows with a gap are left out altogether.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Problem
from causaljax.scores import sweep_operator


class Statistics(NamedTuple):
    """Sufficient statistics of a table.

    The leading axis k is d, one covariance for the regression of each variable,
    or 1, one covariance for all of them.
    """

    covariance: Array  # [k, d, d] float, about the mean of the rows used
    share: Array  # [k] float, the part of all rows used, by weight


def row_weights(problem: Problem, *, interventional: bool) -> Array:
    """The weight of each row in the statistics of each variable.

    Args:
      problem: the table.
      interventional: as in ``statistics``.

    Returns:
      ``[k, n]`` float, 0 where the row has a gap or the variable is intervened
      on; k = d, or 1 (one for all variables, NaN if there is an intervention).

    Differentiable: in weight.
    """
    complete = jnp.where(complete_rows(problem), problem.weight, 0)
    if interventional:
        return jnp.where(problem.intervened, 0, complete[:, None]).T
    broken = (problem.intervened & (complete > 0)[:, None]).any()
    return jnp.where(broken, jnp.nan, complete)[None]


def num_rows(problem: Problem) -> Array:
    """The summed weight of the rows without a gap, ``[]`` float.

    Of the whole table, if the problem holds a sample.
    """
    if problem.whole is not None:
        return jnp.asarray(problem.whole.rows)
    return jnp.where(complete_rows(problem), problem.weight, 0).sum()


def statistics(problem: Problem, *, interventional: bool) -> Statistics:
    """Covariances of the rows that inform each variable's mechanism.

    C_j = sum_n u_nj (x_n - m_j)(x_n - m_j)' / sum_n u_nj, where u_nj is the row's
    weight, or 0 where j is intervened on or the row has a gap.

    Args:
      problem: the table.
      interventional: True gives each variable a covariance of its own, d^3
        numbers in all. False uses all rows for all variables, for tables without
        interventions; if there is one after all, the result is NaN.

    Returns:
      The statistics. A variable without an informative row has covariance 0. Of a
      problem that holds a sample, they are those of the whole table.

    Differentiable: in x and weight.
    """
    if problem.whole is not None:
        return Statistics(
            problem.whole.covariance[None], jnp.ones_like(problem.weight[:1])
        )
    usable = row_weights(problem, interventional=interventional)
    count = usable.sum(axis=1)

    def covariance(row_weight):
        row_weight = row_weight / jnp.maximum(row_weight.sum(), 1e-30)
        centred = problem.x - matmul(row_weight, problem.x)[None, :]
        return matmul((centred * row_weight[:, None]).T, centred)

    total = jnp.maximum(num_rows(problem), 1e-30)
    return Statistics(jax.lax.map(covariance, usable), count / total)


def residual_variances(weights: Array, stats: Statistics) -> Array:
    """Mean squared residual of each variable, (e_j - w_j)' C_j (e_j - w_j).

    Args:
      weights: ``[d, d]`` float, coefficient of i -> j at [i, j].
      stats: the statistics.

    Returns:
      ``[d]`` float, squared units of the columns.

    Differentiable: in both.
    """
    contrast = jnp.eye(weights.shape[0], dtype=weights.dtype) - weights
    if stats.covariance.shape[0] == 1:
        return jnp.sum(contrast * matmul(stats.covariance[0], contrast), axis=0)
    columns = contrast.T[:, :, None]
    return jnp.sum(columns * matmul(stats.covariance, columns), axis=(1, 2))


def least_squares(weights: Array, stats: Statistics) -> Array:
    """Half the summed mean squared residuals, 1/2 sum_j s_j v_j.

    The negative log-likelihood of equal noise variances, up to a factor and a
    constant; s_j is the share of rows in which j was not intervened on.

    Args:
      weights: ``[d, d]`` float.
      stats: the statistics.

    Returns:
      ``[]`` float, squared units of the columns, per row.

    Differentiable: in both.
    Source: Zheng et al. 2018 (NOTEARS), section 2.2.
    """
    return 0.5 * jnp.sum(stats.share * residual_variances(weights, stats))


def profile_likelihood(weights: Array, stats: Statistics) -> Array:
    """Negative Gaussian log-likelihood with the variances at their optimum.

    ``1/2 sum_j s_j log v_j - log |det(I - W)|``, up to a constant; the determinant is
    1 on acyclic graphs.

    Args:
      weights: ``[d, d]`` float.
      stats: the statistics.

    Returns:
      ``[]`` float, nats per row.

    Differentiable: in both, where I - W is not singular.
    Source: Ng, Ghassami and Zhang 2020 (GOLEM), equation 2.
    """
    identity = jnp.eye(weights.shape[0], dtype=weights.dtype)
    variances = residual_variances(weights, stats)
    # A variable without an informative row has variance 0 and share 0.
    logs = jnp.log(jnp.where(stats.share > 0, variances, 1))
    log_det = jnp.linalg.slogdet(identity - weights)[1]
    return 0.5 * jnp.sum(stats.share * logs) - log_det


def coefficients(graph: Array, stats: Statistics) -> Array:
    """Least-squares coefficients of every variable on its parents.

    Args:
      graph: ``[d, d]`` bool.
      stats: the statistics.

    Returns:
      ``[d, d]`` float, 0 off the graph. Collinear parents share their weight.

    Differentiable: in stats.
    """
    graph = graph.astype(bool)

    def regress(target):
        parents = graph[:, target]
        c = stats.covariance[jnp.minimum(target, stats.covariance.shape[0] - 1)]
        scale = jnp.where(parents, jnp.maximum(jnp.diagonal(c), 1e-30), 1) ** -0.5
        system = jnp.where(parents[:, None] & parents[None, :], c, 0)
        system = system * scale[:, None] * scale[None, :]
        # The ridge, in units of variances, is far below what float32 resolves
        # of well-conditioned data and keeps copies of a column solvable.
        ridge = jnp.where(parents, 1 + 1e-6, 1) - jnp.diagonal(system)
        system = system + jnp.diag(ridge)
        right = jnp.where(parents, c[:, target], 0) * scale
        solution = jax.scipy.linalg.solve(system, right[:, None], assume_a="pos")
        return jnp.where(parents, solution[:, 0] * scale, 0)

    return map_factorisations(regress, jnp.arange(graph.shape[0])).T


def bic(
    graph: Array, stats: Statistics, num_rows: Array, penalty: Array | float = 1.0
) -> Array:
    """Local scores of a graph by the Bayesian information criterion.

        b_j = -n_j/2 log v_j - penalty log(n_j)/2 |pa_j|,
        v_j = C_jj - C_jP C_PP^-1 C_Pj

    with n_j = s_j num_rows, the number of rows in which j was not intervened on.
    Larger is better; the constant -n_j/2 (1 + log 2 pi) and the price of means and
    variances are left out. Without interventions, the members of a Markov
    equivalence class have the same sum.

    Args:
      graph: ``[d, d]`` bool.
      stats: the statistics.
      num_rows: ``[]`` float, the summed weight of the rows without a gap.
      penalty: ``[]`` float, 1 is Schwarz's criterion; a multiple of 2 asks more of
        an edge, as FLOP does.

    Returns:
      ``[d]`` float, nats. A variable that is constant or never observed free has
      0 minus its penalty; one that its parents determine has the variance
      ``tableau.resolution`` times its own.

    Differentiable: in stats.
    Source: Schwarz 1978; Chickering 2002, section 2.3.
    """
    d = graph.shape[0]
    swept = sweep_operator.sweep(sweep_operator.correlations(stats.covariance), graph)
    remaining = jnp.diagonal(sweep_operator.own_rows(swept))
    remaining = jnp.maximum(remaining, sweep_operator.resolution(remaining.dtype))
    variance = variances(stats)
    logs = jnp.log(remaining) + jnp.log(jnp.where(variance > 0, variance, 1))
    rows = jnp.broadcast_to(stats.share, (d,)) * num_rows
    price = penalty * jnp.log(jnp.maximum(rows, 1)) / 2
    return -rows / 2 * logs - price * graph.sum(axis=0, dtype=rows.dtype)


def variances(stats: Statistics) -> Array:
    """Each variable's variance in its own rows, ``[d]`` float."""
    d = stats.covariance.shape[-1]
    own = jnp.diagonal(jnp.broadcast_to(stats.covariance, (d, d, d)), 0, 0, 1)
    return jnp.diagonal(own)


def explained_share(covariance: Array) -> Array:
    """R2 of each variable's linear regression on all others.

    R2_j = 1 - 1 / (C_jj (C^-1)_jj)

    Args:
      covariance: ``[d, d]``; a ridge far below any noise keeps a singular one usable.

    Returns:
      ``[d]`` in [0, 1].

    Source: Reisach et al. 2023, "A scale-invariant sorting criterion to find a
    causal order in additive noise models", section 3.
    """
    identity = jnp.eye(covariance.shape[0], dtype=covariance.dtype)
    scale = jnp.diagonal(covariance) ** -0.5
    correlation = covariance * scale[:, None] * scale[None, :]
    ridge = 10 * jnp.finfo(covariance.dtype).eps
    precision = jnp.linalg.solve(correlation + ridge * identity, identity)
    return jnp.clip(1 - 1 / jnp.diagonal(precision), 0, 1)
