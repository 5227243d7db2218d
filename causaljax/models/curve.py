"""Least squares with one small network: curves fitted down to their noise.

    y = o + v'x + sum_h a_h silu(b_h + w_h'x) + noise

Gradient descent needs many thousands of updates to follow a curve whose noise is a
thousandth of its height; the Levenberg-Marquardt method solves a linear regression on
the network's own derivatives instead, some dozens of times.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.graphs.ops import matmul
from causaljax.types import Array

_DAMPING = (1e-5, 1e-1, 1e3)  # least, first, most; shares of the diagonal
_EASED, _RAISED = 0.25, 5.0  # factors of the damping after a success and a failure
_LEAST_NOISE = 1e-5  # a smaller residual is rounding
_FIRST_SIZE = 0.5  # standard deviation of the inputs' weights to begin with


class Curve(NamedTuple):
    """Parameters of one network of p inputs and h hidden units."""

    inputs: Array  # [p, h] float, w
    passed: Array  # [p] float, v, of what goes past the hidden units
    biases: Array  # [h] float, b
    outputs: Array  # [h] float, a
    offset: Array  # [] float, o


def first_curves(
    key: Array, number: int, num_inputs: int, num_hidden: int, dtype: jnp.dtype
) -> Curve:
    """Where to begin: constants with random hidden units; leaves ``[number, ...]``."""
    key_inputs, key_biases = jax.random.split(key)
    shape = (number, num_inputs, num_hidden)
    return Curve(
        inputs=_FIRST_SIZE * jax.random.normal(key_inputs, shape, dtype),
        passed=jnp.zeros((number, num_inputs), dtype),
        biases=jax.random.normal(key_biases, (number, num_hidden), dtype),
        outputs=jnp.zeros((number, num_hidden), dtype),
        offset=jnp.zeros(number, dtype),
    )


def predict(curve: Curve, x: Array) -> Array:
    """The curve's heights ``[n]`` at rows ``[n, p]``; differentiable in both."""
    unit, _ = _hidden(curve, x)
    return matmul(unit, curve.outputs) + matmul(x, curve.passed) + curve.offset


def slopes(curve: Curve, x: Array) -> Array:
    """Derivatives of ``predict`` by each input at each row, ``[n, p]``."""
    _, slope = _hidden(curve, x)
    slope = slope * curve.outputs[None, :]
    return matmul(slope, curve.inputs.T) + curve.passed[None, :]


def fit(
    curve: Curve,
    x: Array,
    y: Array,
    weight: Array,
    decay: ArrayLike,
    num_iterations: int,
    least_gain: ArrayLike = 0.0,
) -> tuple[Curve, Array]:
    """Minimises n/2 log(r) + decay/2 |parameters|^2, r the mean squared residual.

    Args:
      curve: where to begin.
      x: ``[n, p]`` float.
      y: ``[n]`` float.
      weight: ``[n]`` float, at least 0, of rows; n above is their sum.
      decay: ``[]`` float, positive; the precision of a normal prior.
      num_iterations: static, the most there are.
      least_gain: ``[]``, nats a row: a step that gains less is the last.

    Returns:
      The curve and the standard deviation of the noise, ``[]``, in units of y.

    Differentiable: no use is made of it; the steps accepted are a search.
    Source: Levenberg 1944; Marquardt 1963, with scaling by the diagonal.
    """
    total = jnp.maximum(weight.sum(), 1)
    root = jnp.sqrt(weight)
    layout = jax.tree.map(jnp.shape, curve)

    def normal(theta):
        """Normal equations of the linear regression around a curve."""
        columns, residual = _linearised(_unflatten(theta, layout), x, y, root)
        square = jnp.sum(residual**2) / total
        square = jnp.maximum(square, _LEAST_NOISE**2)
        return (
            matmul(columns.T, columns) / square,
            matmul(columns.T, residual) / square,
            square,
        )

    def objective(theta, square):
        return 0.5 * (total * jnp.log(square) + decay * jnp.sum(theta**2))

    def iterate(carry):
        number, _, theta, (curvature, slope, square), damping = carry
        diagonal = jnp.diagonal(curvature) + decay
        scale = diagonal**-0.5
        system = curvature * scale[:, None] * scale[None, :]
        ridge = damping + decay * scale**2
        factor = jax.scipy.linalg.cho_factor(system + jnp.diag(ridge))
        step = jax.scipy.linalg.cho_solve(factor, scale * (slope - decay * theta))
        moved = theta + scale * step
        tried = normal(moved)
        # A comparison with NaN fails, so that a spoilt step is not taken.
        gain = objective(theta, square) - objective(moved, tried[2])
        better = gain > 0
        ends = better & (gain < least_gain * total)
        damping = damping * jnp.where(better, _EASED, _RAISED).astype(damping.dtype)
        taken = jax.tree.map(
            lambda a, b: jnp.where(better, a, b),
            (moved, tried),
            (theta, (curvature, slope, square)),
        )
        damping = jnp.clip(damping, _DAMPING[0], _DAMPING[2])
        return (number + 1, ends, *taken, damping)

    def goes_on(carry):
        return (carry[0] < num_iterations) & ~carry[1]

    theta = jnp.concatenate([leaf.ravel() for leaf in curve])
    damping = jnp.full_like(theta[0], _DAMPING[1])
    # As local as the data, which shard_map asks of what a loop carries.
    number = 0 * jnp.argmax(theta).astype(jnp.int32)
    begun = normal(theta)
    number = number + 0 * jnp.argmax(begun[1]).astype(jnp.int32)
    carry = number, number > 0, theta, begun, damping
    _, _, theta, (_, _, square), _ = jax.lax.while_loop(goes_on, iterate, carry)
    return _unflatten(theta, layout), jnp.sqrt(square)


def fit_some(
    curve: Curve,
    chosen: Array,
    x: Array,
    y: Array,
    weight: Array,
    decay: ArrayLike,
    num_iterations: int,
    most: int,
    eighths: Sequence[int],
    least_gain: ArrayLike = 0.0,
) -> tuple[Curve, Array]:
    """``fit`` with the chosen inputs alone, ``[p]`` bool; the weights of others are 0.

    ``by_size`` says what ``most`` and ``eighths`` are. No more than the most are used.
    """

    def of_size(num, curve, chosen):
        there, which = jax.lax.top_k(chosen.astype(x.dtype), num)
        inputs = curve.inputs[which] * there[:, None]
        small = curve._replace(inputs=inputs, passed=curve.passed[which] * there)
        few = x[:, which] * there[None, :]
        small, noise = fit(small, few, y, weight, decay, num_iterations, least_gain)
        inputs = (
            jnp.zeros_like(curve.inputs).at[which].add(small.inputs * there[:, None])
        )
        passed = jnp.zeros_like(curve.passed).at[which].add(small.passed * there)
        return small._replace(inputs=inputs, passed=passed), noise

    return by_size(chosen.sum(), most, eighths, of_size, curve, chosen)


def by_size(
    number: Array,
    most: int,
    eighths: Sequence[int],
    function: Callable[..., Any],
    *operands: Any,
) -> Any:
    """``function(size, *operands)``, of a static size that is enough for a number.

    Sizes are the most there are and so many eighths of it, each a program of its own:
    the fewer inputs, the smaller the regressions.
    """
    sizes = sorted({max(most * part // 8, 1) for part in (*eighths, 8)})
    which = sum((number > size).astype(jnp.int32) for size in sizes[:-1])
    branches = [functools.partial(function, size) for size in sizes]
    return jax.lax.switch(which, branches, *operands)


def _hidden(curve, x):
    """Hidden units and their derivatives by what they take in, ``[n, h]`` each."""
    inner = matmul(x, curve.inputs) + curve.biases[None, :]
    gate = jax.nn.sigmoid(inner)
    unit = inner * gate
    return unit, gate + unit * (1 - gate)


def _linearised(curve, x, y, root):
    """Derivatives by the parameters, in their order, ``[n, k]``, and residuals.

    All times the roots of the rows' weights.
    """
    unit, slope = _hidden(curve, x)
    residual = matmul(unit, curve.outputs) + matmul(x, curve.passed) + curve.offset
    residual = (y - residual) * root
    root = root[:, None]
    slope = slope * curve.outputs[None, :] * root
    inputs = (x[:, :, None] * slope[:, None, :]).reshape(len(x), -1)
    columns = jnp.concatenate([inputs, x * root, slope, unit * root, root], axis=1)
    return columns, residual


def _unflatten(theta, layout):
    leaves, start = [], 0
    for shape in layout:
        size = math.prod(shape)
        leaves.append(theta[start : start + size].reshape(shape))
        start += size
    return Curve(*leaves)
