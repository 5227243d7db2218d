"""Linear models with independent non-Gaussian noise, x_j = sum_i w_ij x_i + e_j.

The entropy of the noise is that of a normal of its variance less its negentropy,
so the profile log-likelihood is the Gaussian one plus n times the negentropy.
Unlike the Gaussian part it tells the members of a Markov equivalence class apart.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Problem
from causaljax.scores import linear_gaussian, sweep_operator


class Rows(NamedTuple):
    """A table's rows, ready for residuals in units of sweep tableaux.

    The leading axis k is that of ``linear_gaussian.Statistics``.
    """

    centred: Array  # [d, n] float, about some mean; 0 in rows that are not used
    share: Array  # [k, n] float, weights that sum to 1
    mean: Array  # [k, d] float, of centred
    scale: Array  # [k, d] float, 1 / the columns' standard deviations
    # [] float, how many rows these are, if the statistics are those of more rows
    sampled: Array | None = None


def rows(
    problem: Problem, stats: linear_gaussian.Statistics, *, interventional: bool
) -> Rows:
    """The rows that belong to the statistics of a problem, or the sample of them."""
    weight = linear_gaussian.row_weights(problem, interventional=interventional)
    share = weight / jnp.maximum(weight.sum(axis=1, keepdims=True), 1e-30)
    used = complete_rows(problem)[:, None]
    x = jnp.where(used, problem.x, 0)
    mean = x.sum(axis=0, keepdims=True) / jnp.maximum(used.sum(dtype=x.dtype), 1)
    centred = jnp.where(used, x - mean, 0)
    variance = jnp.diagonal(stats.covariance, axis1=1, axis2=2)
    sampled = None if problem.whole is None else weight.sum()
    return Rows(
        centred=centred.T,
        share=share,
        mean=matmul(share, centred),
        scale=jnp.where(variance > 0, variance, jnp.inf) ** -0.5,
        sampled=sampled,
    )


def negentropy(values: Array, share: Array) -> Array:
    """By how much a variable's entropy falls short of a normal's; approximately.

    J(u) = 79.047 (E log cosh u - 0.37457)^2 + 7.4129 (E u exp(-u^2/2))^2

    Args:
      values: ``[l, n]`` float, of l variables, of mean 0 and variance 1.
      share: ``[l, n]`` or ``[1, n]`` float, each row's weight; they sum to 1.

    Returns:
      ``[l]`` float, nats, at least 0.

    Differentiable: in both.
    Source: Hyvarinen 1998, "New approximations of differential entropy"; Hyvarinen
    and Smith 2013, "Pairwise likelihood ratios".
    """
    size = jnp.abs(values)
    # log cosh, up to log 2, written so that it cannot overflow.
    log_cosh = size + jnp.log1p(jnp.exp(-2 * size))
    even = (log_cosh * share).sum(axis=1) - math.log(2) - 0.37457
    odd = (values * jnp.exp(-values * values / 2) * share).sum(axis=1)
    return 79.047 * even**2 + 7.4129 * odd**2


def residual_negentropy(
    nodes: Array, own_rows: Array, parents: Array, rows: Rows
) -> Array:
    """Negentropy of some variables' residuals about their least-squares fits.

    Args:
      nodes: ``[l]`` int, the variables.
      own_rows: ``[l, d]`` float, their rows of their sweep tableaux.
      parents: ``[l, d]`` bool.
      rows: the table.

    Returns:
      ``[l]`` float, nats a row; 0 where the parents determine the variable.

    Differentiable: in own_rows and rows.
    """
    shared = rows.share.shape[0] == 1
    share, mean, scale = (
        leaf if shared else leaf[nodes] for leaf in (rows.share, rows.mean, rows.scale)
    )
    itself = jnp.arange(own_rows.shape[1])[None, :] == nodes[:, None]
    variance = jnp.where(itself, own_rows, 0).sum(axis=1, keepdims=True)
    noisy = variance > sweep_operator.resolution(own_rows.dtype)
    contrast = jnp.where(itself, 1, jnp.where(parents, -own_rows, 0)) * scale
    contrast = contrast / jnp.sqrt(jnp.where(noisy, variance, 1))
    offset = (contrast * mean).sum(axis=1, keepdims=True)
    residuals = matmul(contrast, rows.centred) - offset
    if rows.sampled is not None:
        # By the variance of all rows a sample's residuals would seem non-Gaussian.
        spread = (residuals * residuals * share).sum(axis=1, keepdims=True)
        residuals = residuals * jax.lax.rsqrt(jnp.maximum(spread, 1e-30))
    return jnp.where(noisy[:, 0], negentropy(residuals, share), 0)


def log_likelihood(
    graph: Array, problem: Problem, *, interventional: bool = True
) -> Array:
    """Local log-likelihoods with coefficients and variances by least squares.

    l_j = -n_j/2 log v_j + n_j J(e_j)

    for the residuals e_j of variance v_j and their negentropy J; up to the constant
    -n_j/2 (1 + log 2 pi), as in ``linear_gaussian.bic``.

    Args:
      graph: ``[d, d]`` bool.
      problem: the table.
      interventional: as in ``linear_gaussian.statistics``.

    Returns:
      ``[d]`` float, nats.

    Differentiable: in x and weight.
    Source: Hyvarinen and Smith 2013, "Pairwise likelihood ratios for estimation of
    non-Gaussian structural equation models"; here for whole graphs.
    """
    d = graph.shape[0]
    stats = linear_gaussian.statistics(problem, interventional=interventional)
    num_rows = linear_gaussian.num_rows(problem)
    swept = sweep_operator.sweep(sweep_operator.correlations(stats.covariance), graph)
    table = rows(problem, stats, interventional=interventional)
    excess = residual_negentropy(
        jnp.arange(d), sweep_operator.own_rows(swept), graph.T.astype(bool), table
    )
    gaussian = linear_gaussian.bic(graph, stats, num_rows, penalty=0.0)
    if table.sampled is not None:
        num_rows = table.sampled
    return gaussian + stats.share * num_rows * excess


def evidence(excess: Array, num_rows: Array) -> Array:
    """By how much non-Gaussian noise beats Gaussian noise, variable by variable.

    n_j J(e_j) - log n - log d: the log-likelihood that the residuals' negentropy earns,
    less the BIC of the two shape parameters that it takes, less what the best of d
    Gaussian variables gains by chance.

    Args:
      excess: ``[d]`` float, n_j J(e_j), nats.
      num_rows: ``[]`` float, n.

    Returns:
      ``[d]`` float, nats; above 0 speaks for non-Gaussian noise.

    Differentiable: in both.
    """
    return excess - jnp.log(jnp.maximum(num_rows, 1) * excess.shape[0])
