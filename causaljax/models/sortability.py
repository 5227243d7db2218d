"""How far a graph could have been read off marginal numbers of its variables.

In many simulated systems variance, or the share of variance that the others
explain, grows along causal paths; whoever sorts by it looks good. These functions
tell how much of that there is.
"""

import jax
import jax.numpy as jnp

from causaljax.graphs.metrics import shd
from causaljax.graphs.ops import matmul
from causaljax.models.linear_gaussian import (
    Statistics,
    coefficients,
    num_rows,
    statistics,
)
from causaljax.types import Array, Problem


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


def sortability(graph: Array, criterion: Array) -> Array:
    """The part of a graph's causal pairs along which a criterion grows.

    Over all lengths k and all pairs joined by a directed path of length k; a tie
    counts half. 0.5 is what an uninformative criterion gives, 1 means that sorting
    by it gives a causal order.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      criterion: ``[d]``, e.g. variances or ``explained_share``.

    Returns:
      ``[]`` in [0, 1]; NaN for a graph without edges.

    Source: Reisach, Seiler and Weichwald 2021, "Beware of the simulated DAG!",
    equation 1, for variances; Reisach et al. 2023 for R2.
    """
    edges = jnp.asarray(graph, criterion.dtype)
    grows = criterion[:, None] < criterion[None, :]
    ties = criterion[:, None] == criterion[None, :]
    value = grows.astype(edges.dtype) + 0.5 * ties.astype(edges.dtype)

    def add_length(carry, _):
        joined, total, sorted_ = carry
        total, sorted_ = total + joined.sum(), sorted_ + (joined * value).sum()
        joined = (matmul(joined, edges) > 0).astype(edges.dtype)
        return (joined, total, sorted_), None

    zero = jnp.zeros_like(edges[0, 0])
    (_, total, sorted_), _ = jax.lax.scan(
        add_length, (edges, zero, zero), length=graph.shape[0]
    )
    return sorted_ / total


def sort_and_regress(
    criterion: Array, stats: Statistics, rows: Array | float, penalty: float = 2.0
) -> Array:
    """The baseline graph: sort variables by a criterion, regress on all earlier ones.

    An edge stays if dropping it alone would cost more log-likelihood than its
    penalty, n log(1 + b^2 / (v P)) > penalty log n, where b is its coefficient, v
    the residual variance and P the entry of the parents' inverse covariance.

    Args:
      criterion: ``[d]``, ascending in the supposed causal order.
      stats: statistics with one covariance for all variables.
      rows: n.
      penalty: in units of the BIC's.

    Returns:
      ``[d, d]`` bool, acyclic.

    Source: Reisach, Seiler and Weichwald 2021, section 4.1 (SortnRegress), with
    BIC tests in place of the Lasso.
    """
    covariance = stats.covariance[0]
    d = covariance.shape[0]
    rank = jnp.argsort(jnp.argsort(criterion))
    earlier = rank[:, None] < rank[None, :]
    weights = coefficients(earlier, stats)
    identity = jnp.eye(d, dtype=weights.dtype)
    contrast = identity - weights
    variances = jnp.sum(contrast * matmul(covariance, contrast), axis=0)

    def parent_precision(parents):
        block = jnp.where(parents[:, None] & parents[None, :], covariance, 0)
        block = block + jnp.diag(jnp.where(parents, 0, 1).astype(block.dtype))
        return jnp.diagonal(jnp.linalg.solve(block, identity))

    # Not vmap, as in ``coefficients``.
    precision = jax.lax.map(parent_precision, earlier.T).T
    gain = rows * jnp.log1p(weights**2 / (variances[None, :] * precision))
    return earlier & (gain > penalty * jnp.log(rows))


def baselines(
    graph: Array, problem: Problem, scales: Array
) -> dict[str, tuple[Array, Array]]:
    """What sorting by variance or by R2 says of a graph learned from a table.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      problem: the table; interventions are ignored, as whoever sorts would.
      scales: ``[d]``, the user's units, by which the problem's were divided.

    Returns:
      By criterion, "variance" and "r2", the graph's sortability and its SHD to the
      graph of ``sort_and_regress``.
    """
    untouched = problem._replace(intervened=jnp.zeros_like(problem.intervened))
    stats = statistics(untouched, interventional=False)
    criteria = {
        "variance": jnp.diagonal(stats.covariance[0]) * scales**2,
        "r2": explained_share(stats.covariance[0]),
    }
    return {
        name: (
            sortability(graph, criterion),
            shd(graph, sort_and_regress(criterion, stats, num_rows(problem))),
        )
        for name, criterion in criteria.items()
    }
