"""The BGe score: the marginal likelihood of a linear Gaussian DAG.

Rows are normal with unknown mean and precision W, under a normal-Wishart prior:
mean | W ~ N(0, (alpha_mu W)^-1), W ~ Wishart(alpha_w, T^-1).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.types import Array, Problem
from causaljax.scores import linear_gaussian

_ALPHA_MU = 1.0  # rows that the prior mean counts for
_DEGREES = 2.0  # alpha_w - d
_PRIOR = _ALPHA_MU * (_DEGREES - 1) / (_ALPHA_MU + 1)  # T is so many times I


class Scatter(NamedTuple):
    """What prior and table say together of each variable's rows."""

    matrix: Array  # [d, d, d] float, R of ``bge``, for the mechanism of each variable
    rows: Array  # [d] float, N


def scatter(problem: Problem, *, interventional: bool = True) -> Scatter:
    """The posterior scatter R = T + S + aN/(a+N) m m' of ``bge``.

    Args:
      problem: the table, in standardised columns.
      interventional: as in ``linear_gaussian.statistics``.

    Returns:
      The scatter and the numbers of rows.

    Differentiable: in x and weight.
    """
    d, dtype = problem.x.shape[1], problem.x.dtype
    stats = linear_gaussian.statistics(problem, interventional=interventional)
    weight = linear_gaussian.row_weights(problem, interventional=interventional)
    count = weight.sum(axis=1)
    mean = matmul(weight, problem.x) / jnp.maximum(count, 1e-30)[:, None]
    shrunk = _ALPHA_MU * count / (_ALPHA_MU + count)
    about = count[:, None, None] * stats.covariance
    about = about + shrunk[:, None, None] * mean[:, :, None] * mean[:, None, :]
    matrix = about + _PRIOR * jnp.eye(d, dtype=dtype)[None]
    return Scatter(jnp.broadcast_to(matrix, (d, d, d)), jnp.broadcast_to(count, (d,)))


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
    d, dtype = graph.shape[0], problem.x.dtype
    graph = graph.astype(bool)
    posterior = scatter(problem, interventional=interventional)

    def log_determinant(members, matrix):
        inside = members[:, None] & members[None, :]
        matrix = jnp.where(inside, matrix, jnp.eye(d, dtype=dtype))
        return 2 * jnp.log(jnp.diagonal(jnp.linalg.cholesky(matrix))).sum()

    def local(parents, j, matrix, rows):
        p = parents.sum(dtype=dtype)
        before, after = (_DEGREES + p) / 2, (_DEGREES + p + 1) / 2
        family = parents | (jnp.arange(d) == j)
        return (
            0.5 * jnp.log(_ALPHA_MU / (_ALPHA_MU + rows))
            - 0.5 * math.log(math.pi) * rows
            + jax.lax.lgamma(after + rows / 2)
            - jax.lax.lgamma(after)
            + (after * (p + 1) - before * p) * math.log(_PRIOR)
            - (after + rows / 2) * log_determinant(family, matrix)
            + (before + rows / 2) * log_determinant(parents, matrix)
        )

    each = graph.T, jnp.arange(d), *posterior
    return map_factorisations(lambda one: local(*one), each)


def bge_of_parent_sets(problem: Problem, *, interventional: bool = True) -> Array:
    """``bge`` of every parent set of every variable: what ``graphs.modular`` sums.

    With a logarithm of the prior of each set added, ``modular`` gives the exact
    posterior over all DAGs.

    Args:
      problem: of few variables, in standardised columns.
      interventional: as in ``bge``.

    Returns:
      ``[d, 2^d]`` float, nats, of sets whose bit j is 1 where variable j is in the set.
      A set that holds the variable itself has the score of the set without it.
    """
    d = problem.x.shape[1]
    sets = (np.arange(2**d)[:, None] >> np.arange(d)[None] & 1).astype(bool)
    # In graph k each variable has the set k as its parents, but itself.
    graphs = jnp.asarray(sets[:, :, None] & ~np.eye(d, dtype=bool)[None])

    def local(graph):
        return bge(graph, problem, interventional=interventional)

    return map_factorisations(local, graphs).T
