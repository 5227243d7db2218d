"""Missing cells in linear statistics: filled with what the rest of their row says.

Correlations over the rows that have both cells disagree from pair to pair and need not
belong to any table; where variables are nearly collinear, their inverse is then
meaningless. Here one joint correlation matrix is estimated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.networks.associations import precision_of

_ROUNDS = 10
_REACH = 10.0  # standard deviations that a filled cell may lie off


class Filled(NamedTuple):
    """Columns without gaps, and how uncertain the filled cells are."""

    values: Array  # [n, m]
    gap: Array  # [n, m] float, 1 where a cell was filled
    alone: Array  # [m] variance of a filled cell, all others known
    together: Array  # [m, m] covariance of two filled cells; diagonal 0
    wider: Array  # [m, m] what the variance of i gains where j is filled too


def fill_gaps(values: Array, weight: Array, observed: Array, ridge: Array) -> Filled:
    """Fills every gap with its conditional mean under one joint normal law.

    Expectation maximisation: given the precision matrix P, conditional means by one
    sweep of Gauss and Seidel a round, over the fills of the round before; then the
    correlations of the filled table plus the covariance of what was filled. That is
    taken to first order: of one cell 1 / P_ii, of two (the 2 x 2 block of P)^-1.

    Args:
      values: ``[n, m]`` columns of mean 0 and standard deviation about 1; 0 in gaps.
      weight: ``[n]``, 0 for padding.
      observed: ``[n, m]`` float, 0 in gaps.
      ridge: ``[]``, how far correlations are pulled towards 0 before inversion.

    Returns:
      The filled columns. Without gaps they are ``values``.

    Differentiable: in ``values``.
    Source: Beale and Little 1975; the approximate covariance is our own.
    """
    gap = 1 - observed
    m = values.shape[1]
    none = jnp.zeros((m, m), values.dtype)
    untouched = Filled(values, gap, jnp.ones(m, values.dtype), none, none)

    def step(filled, _):
        covariance = _covariance(filled, weight)
        scale = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 1e-6))
        units = scale[:, None] * scale[None]
        precision = precision_of(covariance / units, ridge)
        values = _conditional_means(filled, precision, scale)
        return _uncertain(values, gap, precision, scale), None

    def fill():
        return jax.lax.scan(step, untouched, None, length=_ROUNDS)[0]

    return jax.lax.cond(jnp.any(gap * weight[:, None] > 0), fill, lambda: untouched)


def correlation_of(filled: Filled, weight: Array) -> Array:
    """Correlations over the weighted rows, ``[m, m]``; 0 for a constant column."""
    covariance = _covariance(filled, weight)
    variance = jnp.maximum(jnp.diagonal(covariance), 0)
    scale = variance[:, None] * variance[None]
    inverse = jax.lax.rsqrt(jnp.maximum(scale, 1e-12))
    return jnp.where(scale > 1e-12, jnp.clip(covariance * inverse, -1, 1), 0)


def _covariance(filled, weight):
    values, gap, alone, together, wider = filled
    mass = weight[:, None]
    count = jnp.maximum(weight.sum(), 1e-6)
    mean = jnp.sum(mass * values, 0) / count
    both = matmul((mass * gap).T, gap) / count
    share = jnp.diagonal(both)
    variance = jnp.minimum(share * alone + jnp.sum(wider * both, 1), share)
    known = matmul((mass * values).T, values) / count - mean[:, None] * mean[None]
    return known + together * both + jnp.diag(variance)


def _conditional_means(filled, precision, scale):
    m = scale.shape[0]
    coefficients = -precision / jnp.diagonal(precision)[:, None]
    coefficients = coefficients * scale[:, None] / scale[None]
    coefficients = jnp.where(jnp.eye(m, dtype=bool), 0, coefficients)

    def column(j, values):
        mean = jnp.clip(matmul(values, coefficients[j]), -_REACH, _REACH)
        return values.at[:, j].set(jnp.where(filled.gap[:, j] > 0, mean, values[:, j]))

    return jax.lax.fori_loop(0, m, column, filled.values)


def _uncertain(values, gap, precision, scale):
    own = jnp.diagonal(precision)
    eye = jnp.eye(own.shape[0], dtype=bool)
    block = own[:, None] * own[None] - precision**2
    block = jnp.where(eye, 1, jnp.maximum(block, 1e-6))
    units = scale[:, None] * scale[None]
    together = jnp.where(eye, 0, -precision / block * units)
    wider = jnp.where(
        eye, 0, (own[None] / block - 1 / own[:, None]) * scale[:, None] ** 2
    )
    return Filled(values, gap, scale**2 / own, together, wider)


def own_matrices(
    filled: Filled, weight: Array, natural: Array, ridge: Array
) -> tuple[Array, Array]:
    """Correlations and precision over the natural rows of each variable.

    Args:
      filled: the columns, m = d.
      weight: ``[n]``.
      natural: ``[n, d]`` float, 1 where nobody set the variable.
      ridge: ``[]``.

    Returns:
      Two ``[d, d, d]``, the first axis the variable whose rows they are.
    """
    d = natural.shape[1]

    def over(rows):
        correlation = correlation_of(filled, weight * rows)
        return correlation, precision_of(correlation, ridge)

    # One program: where nobody set anything, the first matrices serve for all.
    shared = jnp.all(natural > 0)

    def of_variable(last, row):
        number, rows = row
        known = shared & (number > 0)
        found = jax.lax.cond(known, lambda: last, lambda: over(rows))
        return found, found

    nothing = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype) + 0 * weight[0],
        jax.eval_shape(over, weight),
    )
    return jax.lax.scan(of_variable, nothing, (jnp.arange(d), natural.T))[1]
