"""Equations whose parameters are particles: linear ones, and small networks.

    x_j = f_j(g_1j x_1, ..., g_dj x_d) + e_j,   e_j ~ N(0, exp(s_j))

where edges g may lie between 0 and 1. All parameters have standard normal priors, also
those of edges that a graph does not have, which say nothing of the table.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem, PyTree
from causaljax.scores import linear_gaussian

EQUATIONS = ("linear", "network")


class Linear(NamedTuple):
    """Parameters of linear equations; an intercept is estimated by the mean."""

    weights: Array  # [..., d, d] float, i -> j at [i, j]
    log_variance: Array  # [..., d] float, s


class Network(NamedTuple):
    """Parameters of one hidden layer of rectified units for each variable."""

    inputs: Array  # [..., d, d, h] float, [i, j]: what the units of j have from i
    thresholds: Array  # [..., d, h] float
    outputs: Array  # [..., d, h] float
    means: Array  # [..., d] float
    log_variance: Array  # [..., d] float, s


class Table(NamedTuple):
    """What the equations read of a table."""

    statistics: linear_gaussian.Statistics | None  # of linear ones
    num_rows: Array  # [] float
    x: Array | None  # [n, d] float, of networks
    weight: Array | None  # [k, n] float, of each row in each equation, k = d or 1


def read_table(kind: str, problem: Problem, *, interventional: bool) -> Table:
    """What equations of a kind read of a table.

    Args:
      kind: of ``EQUATIONS``.
      problem: the table.
      interventional: as in ``linear_gaussian.statistics``.

    Differentiable: in x and weight.
    """
    rows = linear_gaussian.num_rows(problem)
    if kind == "linear":
        found = linear_gaussian.statistics(problem, interventional=interventional)
        return Table(found, rows, None, None)
    weight = linear_gaussian.row_weights(problem, interventional=interventional)
    # A row that does not count may hold anything.
    x = jnp.where((problem.weight > 0)[:, None], problem.x, 0)
    return Table(None, rows, x, weight)


def draw(key: Array, kind: str, shape: tuple[int, ...], dtype: Any) -> PyTree:
    """Random parameters from their prior.

    Args:
      key: consumed.
      kind: of ``EQUATIONS``.
      shape: (m, d, h): particles, variables, hidden units (of networks).
      dtype: of the parameters.

    Returns:
      ``Linear`` or ``Network``, with a leading axis m.
    """
    m, d, h = shape
    keys = iter(jax.random.split(key, 5))

    def normal(*size: int) -> Array:
        return jax.random.normal(next(keys), size, dtype)

    if kind == "linear":
        return Linear(normal(m, d, d), normal(m, d))
    return Network(
        inputs=normal(m, d, d, h),
        thresholds=normal(m, d, h),
        outputs=normal(m, d, h),
        means=normal(m, d),
        log_variance=normal(m, d),
    )


def log_prior(parameters: PyTree) -> Array:
    """The log-density of one particle's parameters but for a constant, ``[]``."""
    squares = jnp.stack([(leaf * leaf).sum() for leaf in parameters])
    return -0.5 * squares.sum()


def log_likelihoods(parameters: PyTree, edges: Array, table: Table) -> Array:
    """Log-likelihoods of every equation, for several graphs.

    Args:
      parameters: ``Linear`` or ``Network``, of one particle.
      edges: ``[s, d, d]`` float in [0, 1].
      table: of ``read_table``, of the same kind.

    Returns:
      ``[s, d]`` float, nats; cells that were intervened on do not count.

    Differentiable: in parameters, edges and the table.
    """
    if table.statistics is not None:
        squares, rows = _linear_squares(parameters, edges, table)
    else:
        squares, rows = _network_squares(parameters, edges, table)
    log_variance = parameters.log_variance[None, :]
    constant = math.log(2 * math.pi)
    return -0.5 * (
        rows[None, :] * (constant + log_variance) + squares * jnp.exp(-log_variance)
    )


def _linear_squares(parameters, edges, table):
    def of_graph(edges):
        weights = edges * parameters.weights
        return linear_gaussian.residual_variances(weights, table.statistics)

    d = edges.shape[-1]
    rows = jnp.broadcast_to(table.statistics.share * table.num_rows, (d,))
    return rows[None, :] * jax.vmap(of_graph)(edges), rows


def _network_squares(parameters, edges, table):
    num, d, _ = edges.shape
    masked = edges[..., None] * parameters.inputs[None]  # [s, d, d, h]
    hidden = matmul(table.x[None], masked.reshape(num, d, -1))
    hidden = hidden.reshape(num, len(table.x), *parameters.thresholds.shape)
    hidden = jax.nn.relu(hidden + parameters.thresholds[None, None])
    means = (hidden * parameters.outputs[None, None]).sum(axis=-1)
    residuals = table.x[None] - means - parameters.means[None, None]  # [s, n, d]
    weight = jnp.broadcast_to(table.weight, (d, len(table.x)))
    return (residuals**2 * weight.T[None]).sum(axis=1), weight.sum(axis=1)
