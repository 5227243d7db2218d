"""Acyclicity penalties: differentiable, 0 on acyclic graphs, positive off them.

The spectral one is 0 only up to the floor of its power iteration, which a long path
raises: about floor^(1/length) after a path of that many edges.

All three read the non-negative matrix A = W * W (elementwise), whose entry
[i, j] weighs the edge i -> j. A penalty is no test: ``ops.is_acyclic`` is exact.

The three functions are for one evaluation. A descent evaluates at every step, a
little further on each time; ``PENALTIES`` holds their gradients in a form that reuses
the last step's work, in matrix products alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, PyTree

_FLOOR = 1e-12  # added to W * W by the power iteration; more biases long paths


@jax.custom_jvp
def _trace_expm(a: Array) -> Array:
    return jnp.trace(jax.scipy.linalg.expm(a))


@_trace_expm.defjvp
def _trace_expm_jvp(primals, tangents):
    # d tr e^A = <(e^A)^T, dA>: one exponential serves value and gradient.
    (a,), (tangent,) = primals, tangents
    exponential = jax.scipy.linalg.expm(a)
    return jnp.trace(exponential), jnp.sum(exponential.T * tangent)


def expm_penalty(weights: Array) -> Array:
    """Trace-exponential penalty, tr exp(W * W) - d.

    Args:
      weights: ``[d, d]`` float.

    Returns:
      ``[]`` float, no unit; grows like the exponential of the cycles' weight.

    Differentiable: in weights, any number of times.
    Source: Zheng et al. 2018 (NOTEARS), theorem 1.

    Example:
      >>> import numpy as np
      >>> float(expm_penalty(np.array([[0.0, 2.0], [0.0, 0.0]], np.float32)))
      0.0
    """
    return _trace_expm(weights * weights) - weights.shape[0]


@jax.custom_jvp
def polynomial_penalty(edges: Array) -> Array:
    """Polynomial penalty, tr (I + A / d)^d - d.

    Unlike the others it reads A itself, whose entries may be edges' probabilities.

    Args:
      edges: ``[..., d, d]`` float, at least 0.

    Returns:
      ``[...]`` float, no unit.

    Differentiable: in edges, any number of times.
    Source: Yu et al. 2019 (DAG-GNN), theorem 1.

    Example:
      >>> float(polynomial_penalty(jnp.array([[0.0, 1.0], [0.0, 0.0]])))
      0.0
      >>> float(polynomial_penalty(jnp.array([[0.0, 1.0], [1.0, 0.0]])))
      0.5
    """
    power, base = _last_power(edges)
    return _contracted(power, base) - edges.shape[-1]


@polynomial_penalty.defjvp
def _polynomial_penalty_jvp(primals, tangents):
    # d tr B^d = d <(B^(d-1))^T, dB>, and B has A / d: one power serves both.
    (edges,), (tangent,) = primals, tangents
    power, base = _last_power(edges)
    return _contracted(power, base) - edges.shape[-1], _contracted(power, tangent)


def _last_power(edges):
    """(I + A / d)^(d - 1) and I + A / d."""
    d = edges.shape[-1]
    identity = jnp.broadcast_to(jnp.eye(d, dtype=edges.dtype), edges.shape)
    base = identity + edges / d
    power, square, left = None, base, d - 1
    while left:
        if left % 2:
            power = square if power is None else matmul(power, square)
        left //= 2
        square = matmul(square, square) if left else square
    return identity if power is None else power, base


def _contracted(one, other):
    """tr(A B)."""
    return (jnp.swapaxes(one, -1, -2) * other).sum(axis=(-1, -2))


def logdet_penalty(weights: Array, scale: Array | float = 1.0) -> Array:
    """Log-determinant penalty, -log det(s I - W * W) + d log s.

    Args:
      weights: ``[d, d]`` float with the spectral radius of W * W below ``scale``;
        outside, the value means nothing.
      scale: ``[]`` float, s > 0.

    Returns:
      ``[]`` float, no unit.

    Differentiable: in weights and scale, inside the domain.
    Source: Bello et al. 2022 (DAGMA), theorem 1.
    """
    d = weights.shape[0]
    shifted = scale * jnp.eye(d, dtype=weights.dtype) - weights * weights
    return d * jnp.log(scale) - jnp.linalg.slogdet(shifted)[1]


def power_iteration(
    weights: Array, left: Array, right: Array, num_iterations: int
) -> tuple[Array, Array]:
    """Improves guesses of the leading left and right eigenvectors of W * W.

    The iterated matrix is W * W plus a small positive constant, so that the
    eigenvectors exist, are positive and are unique even for an acyclic graph.

    Args:
      weights: ``[d, d]`` float.
      left: ``[d]`` float, positive, norm 1.
      right: ``[d]`` float, positive, norm 1.
      num_iterations: how many products with each vector.

    Returns:
      (left, right), each ``[d]``, norm 1.

    Source: Nazaret et al. 2024 (SDCD), appendix on the spectral constraint.
    """
    a = weights * weights + _FLOOR

    def iterate(_, vectors):
        left, right = vectors
        left, right = matmul(left, a), matmul(a, right)
        return left / jnp.linalg.norm(left), right / jnp.linalg.norm(right)

    return jax.lax.fori_loop(0, num_iterations, iterate, (left, right))


def spectral_penalty(weights: Array, left: Array, right: Array) -> Array:
    """Spectral penalty, the largest eigenvalue of W * W as u' (W * W) v / u'v.

    Args:
      weights: ``[d, d]`` float.
      left: ``[d]`` float, u, from ``power_iteration``.
      right: ``[d]`` float, v, from ``power_iteration``.

    Returns:
      ``[]`` float, no unit; exact once the power iteration has converged.

    Differentiable: in weights, with gradient u v' / u'v as if u and v were
    constants, which at convergence is the derivative of the eigenvalue.
    Source: Lee et al. 2019 (NO-BEARS); Nazaret et al. 2024 (SDCD).
    """
    left, right = jax.lax.stop_gradient((left, right))
    product = matmul(left, matmul(weights * weights, right))
    return product / matmul(left, right)


class WarmPenalty(NamedTuple):
    """A penalty's gradient along a descent.

    ``start(weights)`` gives the memory at weights of 0.
    ``gradient(weights, memory) -> (gradient, memory, valid)``: ``valid`` False
    says that the point lies too far from the last one, or outside the penalty's
    domain; gradient and memory are then of no use.

    ``damping`` is Adam's epsilon. The spectral gradient touches one cycle at a
    time; edges it leaves alone must move in proportion to the score's small pull
    and not at Adam's full speed, or cycles return as fast as they go.
    """

    start: Callable[[Array], PyTree]
    gradient: Callable[[Array, PyTree], tuple[Array, PyTree, Array]]
    damping: float


def _expm_gradient(weights, memory):
    return jax.grad(expm_penalty)(weights), memory, jnp.isfinite(weights).all()


def _logdet_gradient(weights, inverse):
    """2 W * (I - W * W)^-T, the inverse corrected by one Newton-Schulz step.

    With R = I - (I - A) M for the last inverse M, a norm of R below 1 shows that
    no matrix on the way from the last point is singular: the domain was not left.
    """
    identity = jnp.eye(weights.shape[0], dtype=weights.dtype)
    error = identity - matmul(identity - weights * weights, inverse)
    inverse = inverse + matmul(inverse, error)
    return 2 * weights * inverse.T, inverse, jnp.sum(error * error) < 0.25


def _spectral_gradient(weights, vectors):
    # jax.grad of the penalty, but with the vectors left differentiable.
    left, right = power_iteration(weights, *vectors, num_iterations=5)
    gradient = 2 * weights * left[:, None] * right[None, :] / matmul(left, right)
    return gradient, (left, right), jnp.isfinite(gradient).all()


def _uniform_vectors(weights):
    vector = jnp.full_like(weights[0], weights.shape[0] ** -0.5)
    return vector, vector


PENALTIES = {
    "logdet": WarmPenalty(
        lambda weights: (
            jnp.zeros_like(weights) + jnp.eye(len(weights), dtype=weights.dtype)
        ),
        _logdet_gradient,
        damping=1e-8,
    ),
    "expm": WarmPenalty(lambda weights: (), _expm_gradient, damping=1e-8),
    "spectral": WarmPenalty(_uniform_vectors, _spectral_gradient, damping=0.1),
}
"""The penalties by name."""
