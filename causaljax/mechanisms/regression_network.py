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

from causaljax.core.linalg import matmul
from causaljax.core.types import Array

_DAMPING = (1e-5, 1e-1, 1e3)  # least, first, most; shares of the diagonal
_EASED, _RAISED = 0.25, 5.0  # factors of the damping after a success and a failure
_LEAST_NOISE = 1e-5  # a smaller residual is rounding
_FIRST_SIZE = 0.5  # standard deviation of the inputs' weights to begin with


class Curve(NamedTuple):
    """Parameters of one network of p inputs and h hidden units."""

    inputs: Array  # [p, h] float, w
    skip_weights: Array  # [p] float, v, of what goes past the hidden units
    biases: Array  # [h] float, b
    outputs: Array  # [h] float, a
    offset: Array  # [] float, o


def init_curves(
    key: Array, number: int, num_inputs: int, num_hidden: int, dtype: jnp.dtype
) -> Curve:
    """Where to begin: constants with random hidden units; leaves ``[number, ...]``."""
    key_inputs, key_biases = jax.random.split(key)
    shape = (number, num_inputs, num_hidden)
    return Curve(
        inputs=_FIRST_SIZE * _normal(key_inputs, shape, dtype),
        skip_weights=jnp.zeros((number, num_inputs), dtype),
        biases=_normal(key_biases, (number, num_hidden), dtype),
        outputs=jnp.zeros((number, num_hidden), dtype),
        offset=jnp.zeros(number, dtype),
    )


def _normal(key, shape, dtype):
    """``jax.random.normal``, drawn in one row, which compiles sooner."""
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def predict(curve: Curve, x: Array) -> Array:
    """The curve's heights ``[n]`` at rows ``[n, p]``; differentiable in both."""
    unit, _ = _hidden(curve, x)
    return matmul(unit, curve.outputs) + matmul(x, curve.skip_weights) + curve.offset


def slopes(curve: Curve, x: Array) -> Array:
    """Derivatives of ``predict`` by each input at each row, ``[n, p]``."""
    _, slope = _hidden(curve, x)
    slope = slope * curve.outputs[None, :]
    return matmul(slope, curve.inputs.T) + curve.skip_weights[None, :]


def fit(
    curve: Curve,
    x: Array,
    y: Array,
    weight: Array,
    weight_decay: ArrayLike,
    num_iterations: int,
    tolerance: ArrayLike = 0.0,
) -> tuple[Curve, Array]:
    """Minimises ``n/2 log(r) + w/2 |parameters|^2``, r the mean squared residual.

    Args:
      curve: where to begin.
      x: ``[n, p]`` float.
      y: ``[n]`` float.
      weight: ``[n]`` float, at least 0, of rows; n above is their sum.
      weight_decay: ``[]`` float, positive; the precision of a normal prior.
      num_iterations: static, the most there are.
      tolerance: ``[]``, nats a row: a step that gains less is the last.

    Returns:
      The curve and the standard deviation of the noise, ``[]``, in units of y.

    Differentiable: no use is made of it; the steps accepted are a search.
    Source: Levenberg 1944; Marquardt 1963, with scaling by the diagonal.
    """
    num = x.shape[1]
    number = jnp.full((), num, jnp.int32)
    settings = weight_decay, num_iterations, tolerance
    return _minimise(curve, number, num, (), x, y, weight, *settings)


def fit_selected(
    curve: Curve,
    chosen: Array,
    x: Array,
    y: Array,
    weight: Array,
    weight_decay: ArrayLike,
    num_iterations: int,
    most: int,
    buckets: Sequence[int],
    tolerance: ArrayLike = 0.0,
) -> tuple[Curve, Array]:
    """``fit`` with the chosen inputs alone, ``[p]`` bool; the weights of others are 0.

    ``by_bucket`` says what ``most`` and ``buckets`` are.
    """
    there, which = jax.lax.top_k(chosen.astype(x.dtype), most)
    few = curve._replace(
        inputs=curve.inputs[which] * there[:, None],
        skip_weights=curve.skip_weights[which] * there,
    )
    few_x = x[:, which] * there[None, :]
    number, settings = chosen.sum(), (weight_decay, num_iterations, tolerance)
    found, noise = _minimise(few, number, most, buckets, few_x, y, weight, *settings)
    inputs = jnp.zeros_like(curve.inputs).at[which].set(found.inputs * there[:, None])
    skip_weights = (
        jnp.zeros_like(curve.skip_weights).at[which].set(found.skip_weights * there)
    )
    return found._replace(inputs=inputs, skip_weights=skip_weights), noise


def _minimise(
    curve, number, most, buckets, x, y, weight, weight_decay, num_iterations, tolerance
):
    """``fit`` where just so many inputs, the first, count: the others are 0.

    A number's size (``by_bucket``) decides on the regressions, and on nothing else:
    whatever depends on it is compiled for each size.

    The constant is one input more, the first. Parameters are in the order: outputs,
    then of each input what skips the hidden units and the weights of the hidden units.
    """
    h = len(curve.biases)
    root = jnp.sqrt(weight)[:, None]
    total = jnp.maximum(weight.sum(), 1)
    x = jnp.concatenate([jnp.ones_like(x[:, :1]), x], axis=1)
    y = y[:, None] * root

    def next_try(size, better, rows, theta, products, square, damping):
        """Solves the regression on the derivatives, which are new if it got better."""
        length = 1 + h + (1 + size) * (1 + h)

        def measured():
            return _products(x[:, : 1 + size], rows)

        some = products[:length, :length]
        some = jax.lax.cond(better, measured, lambda: some)
        curvature, slope = some[1:, 1:], some[0, 1:]
        decayed = weight_decay * square
        diagonal = curvature.ravel()[::length] + decayed
        scale = jax.lax.rsqrt(diagonal)
        system = curvature * scale[:, None] * scale[None, :]
        ridge = jnp.diag(damping + decayed * scale**2)
        factor = jax.lax.linalg.cholesky(system + ridge, symmetrize_input=False)
        slope = scale * (slope - decayed * theta[: length - 1])
        step = scale * jax.scipy.linalg.cho_solve((factor, True), slope)
        missing = (0, len(products) - length)
        return jnp.pad(some, (missing, missing)), theta + jnp.pad(step, missing)

    def iterate(carry):
        times, _, theta, products, square, height, damping, tried = carry
        rows = _linearised(tried, h, x, y, root)
        noise = jnp.maximum(jnp.sum(rows[0] ** 2) / total, _LEAST_NOISE**2)
        now = 0.5 * (total * jnp.log(noise) + weight_decay * jnp.sum(tried**2))
        # A comparison with NaN fails, so that a spoilt step is not taken.
        gain = height - now
        better = gain > 0
        ends = better & (gain < tolerance * total)
        theta, square, height = jax.tree.map(
            lambda a, b: jnp.where(better, a, b),
            (tried, noise, now),
            (theta, square, height),
        )
        damping = damping * jnp.where(better, _EASED, _RAISED).astype(damping.dtype)
        damping = jnp.clip(damping, _DAMPING[0], _DAMPING[2])
        operands = better, rows, theta, products, square, damping
        products, tried = by_bucket(number, most, buckets, next_try, *operands)
        return times + 1, ends, theta, products, square, height, damping, tried

    def goes_on(carry):
        return (carry[0] <= num_iterations) & ~carry[1]

    theta = _parameters(curve)
    # As local as the data, which shard_map asks of what a loop carries. What is tried
    # first is the beginning itself, which is better than nothing.
    local = jnp.argmax(theta) + jnp.argmax(y) + jnp.argmax(x) + jnp.argmax(root)
    times = 0 * (local + number).astype(jnp.int32)
    zero = times.astype(theta.dtype)
    damping, nothing = zero + _DAMPING[1] / _EASED, zero + jnp.inf
    products = jnp.zeros((len(theta) + 1,) * 2, theta.dtype) + zero
    theta = theta + zero
    carry = times, times > 0, theta, products, nothing, nothing, damping, theta
    _, _, theta, _, square, *_ = jax.lax.while_loop(goes_on, iterate, carry)
    weights = theta[h:].reshape(-1, 1 + h)
    found = Curve(
        inputs=weights[1:, 1:],
        skip_weights=weights[1:, 0],
        biases=weights[0, 1:],
        outputs=theta[:h],
        offset=weights[0, 0],
    )
    return found, jnp.sqrt(square)


def _parameters(curve):
    """All of them in one row: outputs, then of the constant and of each input."""
    weights = jnp.concatenate([curve.biases[None, :], curve.inputs])
    skip_weights = jnp.concatenate([curve.offset[None], curve.skip_weights])
    weights = jnp.concatenate([skip_weights[:, None], weights], axis=1)
    return jnp.concatenate([curve.outputs, weights.ravel()])


def _linearised(theta, h, x, y, root):
    """Of rows the residual, and derivatives: by the outputs, and by [1, inner]."""
    outputs = theta[:h, None]
    inner = matmul(x, theta[h:].reshape(-1, 1 + h))
    unit, slope = _units(inner[:, 1:])
    residual = y - root * (inner[:, :1] + matmul(unit, outputs))
    by_inner = jnp.concatenate([root, root * slope * outputs.T], axis=1)
    return residual, root * unit, by_inner


def _products(x, rows):
    """Sums over rows of products of the residual and all derivatives."""
    residual, by_outputs, by_inner = rows
    by_weights = (x[:, :, None] * by_inner[:, None, :]).reshape(len(x), -1)
    columns = jnp.concatenate([residual, by_outputs, by_weights], axis=1)
    return matmul(columns.T, columns)


def expendable(
    curve: Curve,
    chosen: Array,
    may_go: Array,
    x: Array,
    y: Array,
    weight: Array,
    weight_decay: ArrayLike,
    most: int,
    least: ArrayLike,
) -> Array:
    """Inputs that a linear regression on the fitted curve's derivatives can spare.

    Backward elimination: with V the inverse of the curvature and S the parameters of an
    input, leaving it out adds t_S' (V_SS)^-1 t_S to the sum of squares. The input that
    adds least goes, V and the parameters are updated, and so on while the noise grows
    by less than a bar. A curve can be fitted on where a linear regression cannot, so
    the answer is a proposal: it is for the fit without those inputs to confirm it.

    Args:
      curve: fitted, as by ``fit_selected`` of the same arguments.
      chosen: ``[p]`` bool, its inputs.
      may_go: ``[p]`` bool, those that may be spared.
      x: ``[n, p]`` float.
      y: ``[n]`` float.
      weight: ``[n]`` float.
      weight_decay: ``[]``.
      most: static, the most inputs there are.
      least: ``[]``, nats a row: an input that is worth less is spared.

    Returns:
      ``[p]`` bool.

    Source: Draper and Smith 1998, section 15.2, for backward elimination.
    """
    h = len(curve.biases)
    there, which = jax.lax.top_k(chosen.astype(x.dtype), most)
    few = curve._replace(
        inputs=curve.inputs[which] * there[:, None],
        skip_weights=curve.skip_weights[which] * there,
    )
    root = jnp.sqrt(weight)[:, None]
    few_x = x[:, which] * there[None, :]
    few_x = jnp.concatenate([jnp.ones_like(few_x[:, :1]), few_x], axis=1)
    theta = _parameters(few)
    rows = _linearised(theta, h, few_x, y[:, None] * root, root)
    products = _products(few_x, rows)
    total = jnp.maximum(weight.sum(), 1)
    square = jnp.maximum(products[0, 0], total * _LEAST_NOISE**2)
    eye = jnp.eye(len(theta), dtype=x.dtype)
    ridge = weight_decay * square / total
    scale = jax.lax.rsqrt(jnp.diagonal(products)[1:] + ridge)
    curvature = products[1:, 1:] * scale[:, None] * scale[None, :]
    ridge = jnp.diag(ridge * scale**2 + _DAMPING[0])
    factor = jax.lax.linalg.cholesky(curvature + ridge, symmetrize_input=False)
    inverse = jax.scipy.linalg.cho_solve((factor, True), eye)
    theta = theta / scale
    first, size = 2 * h + 1, 1 + h

    def block_of(index):
        return first + index * size

    def increases(inverse, theta):
        def of_input(index):
            start = block_of(index)
            block = jax.lax.dynamic_slice(inverse, (start, start), (size, size))
            own = jax.lax.dynamic_slice(theta, (start,), (size,))
            block = block + _LEAST_NOISE * jnp.eye(size, dtype=x.dtype)
            solved = jnp.linalg.solve(block, own)
            return (own * solved).sum(), solved

        return jax.lax.map(of_input, jnp.arange(most))

    def spare(carry):
        inverse, theta, square, left, added, solved, which_next, _ = carry
        start = block_of(which_next)
        columns = jax.lax.dynamic_slice(inverse, (0, start), (len(theta), size))
        block = jax.lax.dynamic_slice(columns, (start, 0), (size, size))
        block = block + _LEAST_NOISE * jnp.eye(size, dtype=x.dtype)
        inverse = inverse - matmul(columns, jnp.linalg.solve(block, columns.T))
        theta = theta - matmul(columns, solved[which_next])
        square = square + added[which_next]
        left = left & (jnp.arange(most) != which_next)
        return measured(inverse, theta, square, left)

    def measured(inverse, theta, square, left):
        added, solved = increases(inverse, theta)
        added = jnp.maximum(added, 0)
        cost = jnp.where(left, 0.5 * jnp.log1p(added / square), jnp.inf)
        which_next = jnp.argmin(cost)
        goes = cost[which_next] < least
        return inverse, theta, square, left, added, solved, which_next, goes

    left = (there > 0) & may_go[which]
    carry = measured(inverse, theta, square, left)
    _, _, _, still, *_ = jax.lax.while_loop(lambda c: c[-1], spare, carry)
    return jnp.zeros_like(chosen).at[which].set(left & ~still)


def by_bucket(
    number: Array,
    most: int,
    buckets: Sequence[int],
    function: Callable[..., Any],
    *operands: Any,
) -> Any:
    """``function(size, *operands)``, of a static size that is enough for a number.

    Sizes are the most there are and so many buckets of it, each a program of its own:
    the fewer inputs, the smaller the regressions.
    """
    sizes = sorted({max(most * part // 8, 1) for part in (*buckets, 8)})
    which = sum((number > size).astype(jnp.int32) for size in sizes[:-1])
    branches = [functools.partial(function, size) for size in sizes]
    return jax.lax.switch(which, branches, *operands)


def _hidden(curve, x):
    """Hidden units and their derivatives by what they take in, ``[n, h]`` each."""
    return _units(matmul(x, curve.inputs) + curve.biases[None, :])


def _units(inner):
    gate = jax.nn.sigmoid(inner)
    unit = inner * gate
    return unit, gate + unit * (1 - gate)
