"""Mechanisms of variables as curves, and what regimes make of them.

What holds mechanisms, a kernel's state or a ``Model``, has ``curves`` (leaves
``[d, ...]``), the ``scale`` ``[d]`` of their noise, and their ``parents`` ``[d, p]``
with ``there`` ``[d, p]``, which says whether a place is taken.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.graphs.ops import matmul
from causaljax.models import conjugate, curve, noise_shape
from causaljax.types import Array

_SHAPE_ITERATIONS = 20
_EIGHTHS = 2, 4  # of the places for parents: sizes that are compiled for curves
_FEW_EIGHTHS = (4,)  # and for what takes less time
_LEAST_GAIN = 1e-5  # nats a row, of an iteration: curves are fitted on, step by step


def inputs_of(state, x, j):
    """A variable's candidate parents, ``[n, p]``, 0 where a place is not taken."""
    return jnp.where(state.there[j][None, :], x[:, state.parents[j]], 0)


def fit_mechanisms(state, x, config):
    """The state with curves fitted on, and their heights ``[n, d]``."""
    few, weight = x[state.rows], state.weight[state.rows]
    weight = weight * state.weight.sum() / jnp.maximum(weight.sum(), 1e-6)

    most, hidden = state.curves.inputs.shape[1:]
    # Without hidden units what is largest is small, and there is one size.
    eighths = _EIGHTHS if hidden else ()

    def of_variable(j):
        begun = jax.tree.map(lambda leaf: leaf[j], state.curves)
        used = (1 - state.cells[state.rows, j]) * weight
        found, scale = curve.fit_some(
            begun,
            state.there[j],
            inputs_of(state, few, j),
            few[:, j],
            used,
            config.decay,
            config.num_iterations,
            most,
            eighths,
            _LEAST_GAIN,
        )
        return found, scale, curve.predict(found, inputs_of(state, x, j))

    curves, scale, mean = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    return state._replace(curves=curves, scale=scale), mean.T


def _by_size(state, j, function, *operands):
    """``curve.by_size`` for j's parents, whose places are taken in order."""
    most, number = state.parents.shape[1], state.there[j].sum()
    eighths = _FEW_EIGHTHS if state.curves.biases.shape[1] else ()
    return curve.by_size(number, most, eighths, function, *operands)


def _first_inputs(own, size):
    return own._replace(inputs=own.inputs[:size], passed=own.passed[:size])


def first_shapes(d, num_features, dtype, config):
    """Of the noise of all mechanisms, none where it is normal."""
    if config.mechanism != "flow":
        return jnp.zeros((d, 0, 0), dtype)
    one = noise_shape.normal_shape(num_features, dtype)
    return jnp.broadcast_to(one, (d, *one.shape))


def fit_shapes(state, x, mean, config):
    """The state with shapes of noise fitted on, and log-densities of cells ``[n, d]``.

    Curves are fitted already, and ``mean`` ``[n, d]`` are their heights.
    """
    if config.mechanism != "flow":
        return state, log_normal(x - mean, state.scale[None, :])
    weight = state.weight[state.rows]

    def of_variable(j):
        used = (1 - state.cells[state.rows, j]) * weight
        features = features_of(state, x, j)[state.rows]
        noise = ((x[:, j] - mean[:, j]) / state.scale[j])[state.rows]
        shape = noise_shape.fit(
            state.shapes[j], features, noise, used, config.decay, _SHAPE_ITERATIONS
        )
        return shape, _usual(state, shape, x, mean[:, j], j)

    shapes, usual = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    return state._replace(shapes=shapes), usual.T


def usual_log_density(state, x, mean, j):
    """Log-density of a variable that is left alone, ``[n]``, nats."""
    return _usual(state, state.shapes[j], x, mean, j)


def _usual(state, shape, x, mean, j):
    residual = x[:, j] - mean
    normal = log_normal(residual, state.scale[j])
    if not shape.size:
        return normal
    noise = residual / state.scale[j]
    shaped = noise_shape.log_density(shape, features_of(state, x, j), noise)
    # What has no causes stays normal: any mixture is a shape, and what was done to it
    # would hide there.
    return jnp.where(state.there[j].any(), shaped - jnp.log(state.scale[j]), normal)


def features_of(state, x, j):
    """What a mechanism's read-out is linear in, ``[n, m]``; the first is 1."""
    own = jax.tree.map(lambda leaf: leaf[j], state.curves)
    return _features(own, inputs_of(state, x, j))


def _features(own, inputs):
    unit = jax.nn.silu(matmul(inputs, own.inputs) + own.biases[None, :])
    return jnp.concatenate([jnp.ones_like(inputs[:, :1]), unit, inputs], axis=1)


def statistics_of_regimes(state, x, mean, each, intervention):
    """Of all variables in rows of weights ``each`` ``[n, k]``; leaves ``[d, k, ...]``.

    First those of the regimes' own densities, then those of the mechanisms' read-outs.
    """

    def of_size(size, own, inputs, residual):
        features = _features(_first_inputs(own, size), inputs[:, :size])
        sums = conjugate.statistics(each, features, residual)
        return conjugate.pad(sums, inputs.shape[1] - size)

    def of_variable(j):
        own = jax.tree.map(lambda leaf: leaf[j], state.curves)
        residual = x[:, j] - mean[:, j]
        inputs = inputs_of(state, x, j)
        return _by_size(state, j, of_size, own, inputs, residual)

    shared = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    own = shared
    if intervention == "perfect":
        own = conjugate.normal_statistics(each, x)
    return own, shared


def log_normal(residual: ArrayLike, scale: ArrayLike) -> Array:
    """Log-density of residuals, nats."""
    z = jnp.asarray(residual) / scale
    return -0.5 * (math.log(2 * math.pi) + z**2) - jnp.log(scale)


class Model(NamedTuple):
    """What a fit knows of rows; leaves of mechanisms ``[d, ...]``."""

    curves: curve.Curve
    scale: Array  # [d]
    shapes: Array  # [d, m, b]
    parents: Array  # [d, p]
    there: Array  # [d, p]
    targets: Array  # [k, d]
    log_weights: Array  # [k], E log pi
    own: conjugate.Fit  # leaves [d, k, ...], densities of the regimes' own


def take_variables(model: Model, order: Array) -> Model:
    """The model with its variables in another order.

    Args:
      model: of d variables.
      order: ``[d]`` int, the variable that comes to each place.
    """
    # Those of regimes have no axis of variables, or another.
    nothing: Any = None
    own = model._replace(targets=nothing, log_weights=nothing)
    moved = jax.tree.map(lambda leaf: leaf[order], own)
    place = order.argsort()
    return moved._replace(
        parents=place[moved.parents],
        targets=model.targets[:, order],
        log_weights=model.log_weights,
    )


def regime_log_likelihoods(model: Model, x: Array, intervention: str) -> Array:
    """The bound on log p(x_n, regime k), ``[n, k]``, nats in the units of x.

    Args:
      model: ``extra["model"]`` of a posterior.
      x: ``[n, d]``, in the units of the table that was fitted.
      intervention: as in ``Config``, static.
    """

    def of_variable(j):
        own = jax.tree.map(lambda leaf: leaf[j], model.curves)
        mean = curve.predict(own, inputs_of(model, x, j))
        usual = usual_log_density(model, x, mean, j)
        features, cells = own_features(model, x, mean, j, intervention)
        fit = jax.tree.map(lambda leaf: leaf[j], model.own)
        other = conjugate.expected_log_density(fit, features, cells)
        disturbed = model.targets[:, j][None, :]
        return (1 - disturbed) * usual[:, None] + disturbed * other

    each = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    return model.log_weights[None, :] + each.sum(axis=0)


def own_features(model, x, mean, j, intervention):
    """What a regime's own density of a variable is linear in, and its cells."""
    if intervention == "perfect":
        return jnp.ones_like(x[:, :1]), x[:, j]
    return features_of(model, x, j), x[:, j] - mean


def log_densities_of_targets(state, x, mean, intervention, each, targets):
    """sum_j R_kj E log p_k(x_nj | parents), ``[n, k]``, of rows ``each`` teaches of."""
    if intervention == "perfect":
        found = conjugate.fit(conjugate.normal_statistics(each, x))[0]
        return conjugate.expected_normal(found, x, targets)

    def of_size(size, own, inputs, residual):
        features = _features(_first_inputs(own, size), inputs[:, :size])
        found = conjugate.fit(conjugate.statistics(each, features, residual))[0]
        return conjugate.expected_log_density(found, features, residual)

    def of_variable(j):
        own = jax.tree.map(lambda leaf: leaf[j], state.curves)
        residual = x[:, j] - mean[:, j]
        inputs = inputs_of(state, x, j)
        found = _by_size(state, j, of_size, own, inputs, residual)
        return found * targets[:, j][None, :]

    return jax.lax.map(of_variable, jnp.arange(x.shape[1])).sum(axis=0)


def describe(
    state: Any, x: Array, each: Array, log_weights: Array, intervention: str
) -> Model:
    """What rows ``[n, d]`` with weights ``[n, k]`` teach of all regimes."""

    def own(j):
        curves = jax.tree.map(lambda leaf: leaf[j], state.curves)
        mean = curve.predict(curves, inputs_of(state, x, j))
        features, cells = own_features(state, x, mean, j, intervention)
        return conjugate.fit(conjugate.statistics(each, features, cells))[0]

    return Model(
        curves=state.curves,
        scale=state.scale,
        shapes=state.shapes,
        parents=state.parents,
        there=state.there,
        targets=state.targets,
        log_weights=log_weights,
        own=jax.lax.map(own, jnp.arange(x.shape[1])),
    )
