"""Linear regressions with a conjugate prior, many at once.

    x | f, b, v ~ Normal(b'f, v),  b | v ~ Normal(b0, v / precision),
    v ~ InverseGamma(shape0, rate0)

Weighted sufficient statistics are all they need, so that groups of rows can be joined
by adding. With the one feature 1 it is a normal density of unknown mean and variance.

Source: Bishop 2006, section 3.3 and exercise 3.12.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln

from causaljax.core.linalg import matmul
from causaljax.core.types import Array

_PRECISION = 1e-3  # of coefficients, in units of the noise variance
_ROUNDING = 512.0
_SHAPE, _RATE = 0.5, 0.005  # a variance of about .1^2, within orders of magnitude


class Statistics(NamedTuple):
    """Weighted sums over rows, of any leading shape; additive."""

    count: Array  # [...] float, of weights
    features: Array  # [..., m, m] float, of f f'
    product: Array  # [..., m] float, of f (x - b0'f)
    square: Array  # [...] float, of (x - b0'f)^2


class Fit(NamedTuple):
    """Posterior of the coefficients' departure from b0 and of the variance."""

    mean: Array  # [..., m] float
    root: Array  # [..., m, m] float, lower Cholesky factor of the precision over v
    shape: Array  # [...] float
    rate: Array  # [...] float


def statistics(weight: Array, features: Array, residual: Array) -> Statistics:
    """Sums of one variable's rows in k groups.

    Args:
      weight: ``[n, k]`` float, at least 0.
      features: ``[n, m]`` float.
      residual: ``[n]`` float, x - b0'f.
    """
    m = features.shape[1]

    # Of a symmetric matrix one half is enough, diagonal by diagonal: f_i f_(i + s), of
    # indices modulo m. One small program, where slices of all pairs would be m.
    def diagonal(turned, _):
        sums = matmul(weight.T, features * turned)
        return jnp.concatenate([turned[:, 1:], turned[:, :1]], axis=1), sums

    _, diagonals = jax.lax.scan(diagonal, features, length=m // 2 + 1)
    # The first, and of even m the last, are there twice once the other half is added.
    twice = 2 * jnp.arange(m // 2 + 1)[:, None, None] % m == 0
    diagonals = jnp.where(twice, diagonals / 2, diagonals)
    half = _wrapped(diagonals.transpose(1, 2, 0))
    return Statistics(
        count=weight.sum(axis=0),
        features=half + half.swapaxes(1, 2),
        product=matmul(weight.T, features * residual[:, None]),
        square=matmul(weight.T, residual**2),
    )


def _wrapped(rows):
    """Entries [k, i, s], s up to m / 2, moved to [k, i, (i + s) mod m], ``[k, m, m]``.

    Shapes alone do that: shard_map cannot have indexing in what is conditional.
    """
    k, m, number = rows.shape
    rows = jnp.pad(rows, ((0, 0), (0, 0), (0, 2 * m - number))).reshape(k, -1)
    # Rows that are shorter by one begin one place further left each.
    shifted = rows[:, : m * (2 * m - 1)].reshape(k, m, 2 * m - 1)
    return shifted[:, :, :m] + jnp.pad(shifted[:, :, m:], ((0, 0), (0, 0), (0, 1)))


def pad(sums: Statistics, number: int) -> Statistics:
    """The sums with so many more features, which are 0 in all rows."""
    around = [(0, 0)] * (sums.product.ndim - 1) + [(0, number)]
    return sums._replace(
        features=jnp.pad(sums.features, [*around, (0, number)]),
        product=jnp.pad(sums.product, around),
    )


def fit(given: Statistics) -> tuple[Fit, Array]:
    """The posterior, and the log marginal likelihood ``[...]``, nats; differentiable.

        log p(x) = -N/2 log(2 pi) + 1/2 log(|L0| / |L|) + s0 log r0 - s log r
                   + lgamma(s) - lgamma(s0)

    with L the precision of the coefficients, s the shape and r the rate of the noise
    precision; those of the prior have a 0.
    """
    m = given.product.shape[-1]
    # Features can be collinear up to rounding, each by its own size: those that are
    # 0 throughout must leave the evidence as it is.
    eye = jnp.broadcast_to(jnp.eye(m, dtype=given.product.dtype), given.features.shape)
    rounding = _ROUNDING * jnp.finfo(eye.dtype).eps * jnp.maximum(given.features, 0)
    precision = given.features + (_PRECISION + rounding) * eye
    root = _root(precision)
    white = _solve(root, given.product[..., None])
    mean = _solve(root, white, transposed=True)[..., 0]
    shape = _SHAPE + given.count / 2
    explained = (white[..., 0] ** 2).sum(axis=-1)
    rate = _RATE + jnp.maximum(given.square - explained, 0) / 2
    log_root = jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    evidence = (
        -given.count / 2 * math.log(2 * math.pi)
        + m / 2 * math.log(_PRECISION)
        - log_root
        + _SHAPE * math.log(_RATE)
        - shape * jnp.log(rate)
        + gammaln(shape)
        - math.lgamma(_SHAPE)
    )
    return Fit(mean, root, shape, rate), evidence


def _root(matrix):
    """The lower Cholesky factor; of one number without a call of LAPACK."""
    if matrix.shape[-1] == 1:
        return jnp.sqrt(matrix)
    return jax.lax.linalg.cholesky(matrix, symmetrize_input=False)


def _solve(root, right, transposed=False):
    """What ``root`` times it, or its transpose, is ``right``."""
    if root.shape[-1] == 1:
        return right / root
    return jax.lax.linalg.triangular_solve(
        root, right, left_side=True, lower=True, transpose_a=transposed
    )


def expected_log_density(fit: Fit, features: Array, residual: Array) -> Array:
    """E log Normal(x; b'f, v) under the posteriors of k groups, ``[n, k]``, nats.

    Args:
      fit: leaves ``[k, ...]``.
      features: ``[n, m]``.
      residual: ``[n]``, x - b0'f.
    """
    m = features.shape[1]

    def of_group(one):
        # A small inverse and a product are faster than solving for all rows.
        inverse = _solve(one.root, jnp.eye(m, dtype=features.dtype))
        spread = (matmul(features, inverse.T) ** 2).sum(axis=1)
        error = residual - matmul(features, one.mean)
        scaled = error**2 * (one.shape / one.rate)
        log_variance = jnp.log(one.rate) - digamma(one.shape)
        return -0.5 * (math.log(2 * math.pi) + log_variance + spread + scaled)

    return jax.vmap(of_group, out_axes=1)(fit)


def normal_statistics(weight: Array, x: Array) -> Statistics:
    """``statistics`` of all variables ``[n, d]`` with the one feature 1.

    Leaves are ``[d, k, ...]``.
    """
    count = jnp.broadcast_to(weight.sum(axis=0), (x.shape[1], weight.shape[1]))
    return Statistics(
        count=count,
        features=count[:, :, None, None],
        product=matmul(x.T, weight)[:, :, None],
        square=matmul(x.T**2, weight),
    )


def expected_normal(fit: Fit, x: Array, chosen: Array) -> Array:
    """Sums over chosen variables of ``expected_log_density``, ``[n, k]``, nats.

    Args:
      fit: leaves ``[d, k, ...]``, of the one feature 1.
      x: ``[n, d]``.
      chosen: ``[k, d]``, weights.
    """
    sharpness = fit.shape / fit.rate
    mean, spread = fit.mean[..., 0], fit.root[..., 0, 0] ** -2
    log_variance = jnp.log(fit.rate) - digamma(fit.shape)
    least = math.log(2 * math.pi) + log_variance + spread + sharpness * mean**2
    # As products of matrices: a quadratic function of x.
    sharpness = sharpness * chosen.T
    quadratic = matmul(x**2, sharpness) - 2 * matmul(x, sharpness * mean)
    return -0.5 * (quadratic + (least * chosen.T).sum(axis=0)[None, :])
