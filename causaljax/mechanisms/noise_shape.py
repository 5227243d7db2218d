"""Noise whose shape depends on what a mechanism listens to: a sigmoidal flow.

With u the noise in standard deviations and f features of the parents,

    z = Phi^-1(sum_b softmax(W'f)_b Phi((u - c_b) / h))

is standard normal, c_b being places in a row and h a width: a flow of one layer, whose
density is p(u | f) = sum_b softmax(W'f)_b Normal(u; c_b, h^2). A hundredth of the noise
is taken to be Normal(0, 3^2) instead, so that no cell is impossible.

Sources: Huang et al. 2018, "Neural autoregressive flows", for the layer; Boehning 1992
for the bound of the curvature by which W moves.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array

_REACH, NUM_PLACES, _WIDTH = 4.0, 33, 0.2
_FAR, _FAR_WIDTH = 0.01, 3.0  # share of noise that is anywhere, and how far


def normal_shape(num_features: int, dtype: jnp.dtype) -> Array:
    """Weights ``[m, 33]`` of about normal noise; the first feature is 1."""
    weights = jnp.zeros((num_features, NUM_PLACES), dtype)
    spread = 1 - _WIDTH**2  # of the bumps, which have a width themselves
    return weights.at[0].set(-0.5 * _places(dtype) ** 2 / spread)


def log_density(weights: Array, features: Array, noise: Array) -> Array:
    """Log-density of noise given features of the parents, ``[n]``, nats.

    Args:
      weights: ``[m, 33]``, W.
      features: ``[n, m]``, f.
      noise: ``[n]``, u, standard deviations.

    Differentiable: in everything.
    """
    shape = jax.nn.log_softmax(matmul(features, weights), axis=1)
    near = logsumexp(shape + _bumps(noise), axis=1)
    far = _log_normal(noise, _FAR_WIDTH)
    return jnp.logaddexp(math.log1p(-_FAR) + near, math.log(_FAR) + far)


def fit(
    weights: Array,
    features: Array,
    noise: Array,
    weight: Array,
    weight_decay: ArrayLike,
    num_iterations: int,
) -> Array:
    """Weights moved on to more likelihood, by expectation and bounded Newton steps.

    Args:
      weights: where to begin.
      features: ``[n, m]``, as in ``log_density``.
      noise: ``[n]``.
      weight: ``[n]``, of rows.
      weight_decay: precision of a normal prior around ``normal_shape``.
      num_iterations: static.
    """
    begin = normal_shape(len(weights), weights.dtype)
    weight_decay = jnp.asarray(weight_decay, weights.dtype)
    # An upper bound of the curvature of softmax regressions is half of this.
    square = matmul(features.T, features * weight[:, None])
    root = jax.scipy.linalg.cho_factor(
        square / 2 + weight_decay * jnp.eye(len(square), dtype=square.dtype)
    )
    bumps = _bumps(noise)

    def iterate(weights, _):
        shape = jax.nn.log_softmax(matmul(features, weights), axis=1)
        missed = jax.nn.softmax(shape + bumps, axis=1) - jnp.exp(shape)
        slope = matmul(features.T, missed * weight[:, None])
        slope = slope - weight_decay * (weights - begin)
        return weights + jax.scipy.linalg.cho_solve(root, slope), None

    return jax.lax.scan(iterate, weights, length=num_iterations)[0]


def _places(dtype):
    return jnp.linspace(-_REACH, _REACH, NUM_PLACES, dtype=dtype)


def _bumps(noise):
    return _log_normal(noise[:, None] - _places(noise.dtype)[None, :], _WIDTH)


def _log_normal(z, scale):
    return -0.5 * (z / scale) ** 2 - math.log(scale * math.sqrt(2 * math.pi))
