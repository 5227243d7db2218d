"""The BGe score: the marginal likelihood of a linear Gaussian DAG.

Rows are normal with unknown mean and precision W, under a normal-Wishart prior:
mean | W ~ N(0, (alpha_mu W)^-1), W ~ Wishart(alpha_w, T^-1).
"""

import math

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.types import Array, Problem
from causaljax.scores import linear_gaussian

_ALPHA_MU = 1.0  # rows that the prior mean counts for
_DEGREES = 2.0  # of the Wishart prior, less the number of variables
_PRIOR = _ALPHA_MU * (_DEGREES - 1) / (_ALPHA_MU + 1)  # on T's diagonal


def bge(graph: Array, problem: Problem, *, interventional: bool = True) -> Array:
    """Local log marginal likelihoods, log p(x_j, x_P) - log p(x_P).

    For a set Y of l variables, with N rows, mean m and scatter S,

        p(x_Y) = (a / (a + N))^(l/2) pi^(-lN/2) |T|^((w-d+l)/2) |R|^(-(w-d+l+N)/2)
                 Gamma_l((w-d+l+N)/2) / Gamma_l((w-d+l)/2),
        R = T + S + aN/(a+N) m m',   T = a (w-d-1)/(a+1) I,   a = 1,   w = d + 2.

    Each variable has the rows in which it was not intervened on. Without
    interventions, the members of a Markov equivalence class have the same sum.

    Args:
      graph: ``[d, d]`` bool.
      problem: the table. The prior is in units of the columns: standardise them.
      interventional: as in ``linear_gaussian.statistics``.

    Returns:
      ``[d]`` float, nats.

    Differentiable: in x and weight.
    Source: Geiger and Heckerman 2002; Kuipers, Moffa and Heckerman 2014, whose
    correction of the exponents is used.
    """
    d = graph.shape[0]
    graph = graph.astype(bool)
    posterior, count = posterior_scatter(problem, interventional=interventional)

    def log_determinant(members, matrix):
        inside = members[:, None] & members[None, :]
        matrix = jnp.where(inside, matrix, jnp.eye(d, dtype=matrix.dtype))
        return 2 * jnp.log(jnp.diagonal(jnp.linalg.cholesky(matrix))).sum()

    def local(parents, j, matrix, rows):
        family = parents | (jnp.arange(d) == j)
        return local_score(
            parents.sum(dtype=matrix.dtype),
            rows,
            log_determinant(parents, matrix),
            log_determinant(family, matrix),
        )

    posterior = jnp.broadcast_to(posterior, (d, d, d))
    rows = jnp.broadcast_to(count, (d,))
    each = graph.T, jnp.arange(d), posterior, rows
    return map_factorisations(lambda one: local(*one), each)


def posterior_scatter(problem: Problem, *, interventional: bool) -> tuple[Array, Array]:
    """The matrix R of ``bge`` and the number of rows N, of each variable.

    Args:
      problem: as in ``bge``.
      interventional: likewise.

    Returns:
      ``[k, d, d]`` float and ``[k]`` float; k = d, or 1 (one for all variables).

    Differentiable: in x and weight.
    """
    stats = linear_gaussian.statistics(problem, interventional=interventional)
    weight = linear_gaussian.row_weights(problem, interventional=interventional)
    count = weight.sum(axis=1)
    mean = matmul(weight, problem.x) / jnp.maximum(count, 1e-30)[:, None]
    shrunk = _ALPHA_MU * count / (_ALPHA_MU + count)
    scatter = count[:, None, None] * stats.covariance
    scatter = scatter + shrunk[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return scatter + _PRIOR * jnp.eye(mean.shape[1], dtype=mean.dtype)[None], count


def local_score(
    num_parents: Array, rows: Array, of_parents: Array, of_family: Array
) -> Array:
    """Local log marginal likelihoods, of determinants.

    Args:
      num_parents: ``[...]`` float.
      rows: ``[...]`` float, N of ``bge``.
      of_parents: ``[...]`` float, log det of R at the parents.
      of_family: ``[...]`` float, likewise with the variable itself.

    Returns:
      ``[...]`` float, nats.

    Differentiable: in the determinants and rows.
    """
    p = num_parents
    before, after = (_DEGREES + p) / 2, (_DEGREES + p + 1) / 2
    return (
        0.5 * jnp.log(_ALPHA_MU / (_ALPHA_MU + rows))
        - 0.5 * math.log(math.pi) * rows
        + jax.lax.lgamma(after + rows / 2)
        - jax.lax.lgamma(after)
        + (after * (p + 1) - before * p) * math.log(_PRIOR)
        - (after + rows / 2) * of_family
        + (before + rows / 2) * of_parents
    )
