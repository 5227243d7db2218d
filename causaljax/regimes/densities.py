"""Densities of cells, by mechanisms and by what regimes did to variables."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.mechanisms import conjugate, noise_shape, regression_network
from causaljax.regimes.state import Config, Mechanisms, State

_SHAPE_ITERATIONS = 20
_BUCKETS = 2, 4  # of the places for parents: sizes that are compiled for curves
_FEW_BUCKETS = (4,)  # and for what takes less time
_TOLERANCE = 1e-5  # nats a row, of an iteration: curves are fitted on, step by step


def inputs_of(mechanisms: Mechanisms, x: Array, j: ArrayLike) -> Array:
    """A variable's candidate parents, ``[n, p]``, 0 where a place is not taken."""
    return jnp.where(mechanisms.parent_mask[j][None, :], x[:, mechanisms.parents[j]], 0)


def fit_mechanisms(state: State, x: Array, config: Config) -> tuple[State, Array]:
    """The state with curves fitted on, and their heights ``[n, d]``."""
    mechanisms = state.mechanisms
    few, weight = x[state.rows], state.weight[state.rows]
    weight = weight * state.weight.sum() / jnp.maximum(weight.sum(), 1e-6)

    most, hidden = mechanisms.curves.inputs.shape[1:]
    # Without hidden units what is largest is small, and there is one size.
    buckets = _BUCKETS if hidden else ()

    def of_variable(j):
        begun = jax.tree.map(lambda leaf: leaf[j], mechanisms.curves)
        used = (1 - state.intervened_prob[state.rows, j]) * weight
        found, scale = regression_network.fit_selected(
            begun,
            mechanisms.parent_mask[j],
            inputs_of(mechanisms, few, j),
            few[:, j],
            used,
            config.weight_decay,
            config.num_iterations,
            most,
            buckets,
            _TOLERANCE,
        )
        mean = regression_network.predict(found, inputs_of(mechanisms, x, j))
        return found, scale, mean

    curves, scale, mean = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    mechanisms = mechanisms._replace(curves=curves, scale=scale)
    return state._replace(mechanisms=mechanisms), mean.T


def _by_bucket(mechanisms, j, function, *operands):
    """``curve.by_bucket`` for j's parents, whose places are taken in order."""
    most, number = mechanisms.parents.shape[1], mechanisms.parent_mask[j].sum()
    buckets = _FEW_BUCKETS if mechanisms.curves.biases.shape[1] else ()
    return regression_network.by_bucket(number, most, buckets, function, *operands)


def _first_inputs(own, size):
    return own._replace(inputs=own.inputs[:size], skip_weights=own.skip_weights[:size])


def first_shapes(d: int, num_features: int, dtype: DTypeLike, config: Config) -> Array:
    """Of the noise of all mechanisms, none where it is normal."""
    if config.mechanism != "flow":
        return jnp.zeros((d, 0, 0), dtype)
    one = noise_shape.normal_shape(num_features, jnp.dtype(dtype))
    return jnp.broadcast_to(one, (d, *one.shape))


def fit_shapes(
    state: State, x: Array, mean: Array, config: Config
) -> tuple[State, Array]:
    """The state with shapes of noise fitted on, and log-densities of cells ``[n, d]``.

    Curves are fitted already, and ``mean`` ``[n, d]`` are their heights.
    """
    if config.mechanism != "flow":
        return state, log_normal(x - mean, state.mechanisms.scale[None, :])
    mechanisms = state.mechanisms
    weight = state.weight[state.rows]

    def of_variable(j):
        used = (1 - state.intervened_prob[state.rows, j]) * weight
        features = features_of(mechanisms, x, j)[state.rows]
        noise = ((x[:, j] - mean[:, j]) / mechanisms.scale[j])[state.rows]
        shape = noise_shape.fit(
            mechanisms.shapes[j],
            features,
            noise,
            used,
            config.weight_decay,
            _SHAPE_ITERATIONS,
        )
        return shape, _usual(mechanisms, shape, x, mean[:, j], j)

    shapes, usual = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    return state._replace(mechanisms=mechanisms._replace(shapes=shapes)), usual.T


def usual_log_density(
    mechanisms: Mechanisms, x: Array, mean: Array, j: ArrayLike
) -> Array:
    """Log-density of a variable that is left alone, ``[n]``, nats."""
    return _usual(mechanisms, mechanisms.shapes[j], x, mean, j)


def _usual(mechanisms, shape, x, mean, j):
    residual = x[:, j] - mean
    normal = log_normal(residual, mechanisms.scale[j])
    if not shape.size:
        return normal
    noise = residual / mechanisms.scale[j]
    shaped = noise_shape.log_density(shape, features_of(mechanisms, x, j), noise)
    # What has no causes stays normal: any mixture is a shape, and what was done to it
    # would hide there.
    return jnp.where(
        mechanisms.parent_mask[j].any(), shaped - jnp.log(mechanisms.scale[j]), normal
    )


def features_of(mechanisms: Mechanisms, x: Array, j: ArrayLike) -> Array:
    """What a mechanism's read-out is linear in, ``[n, m]``; the first is 1."""
    own = jax.tree.map(lambda leaf: leaf[j], mechanisms.curves)
    return _features(own, inputs_of(mechanisms, x, j))


def _features(own, inputs):
    unit = jax.nn.silu(matmul(inputs, own.inputs) + own.biases[None, :])
    return jnp.concatenate([jnp.ones_like(inputs[:, :1]), unit, inputs], axis=1)


def statistics_of_regimes(
    mechanisms: Mechanisms, x: Array, mean: Array, each: Array, intervention: str
) -> tuple[conjugate.Statistics, conjugate.Statistics]:
    """Of all variables in rows of weights ``each`` ``[n, k]``; leaves ``[d, k, ...]``.

    First those of the regimes' own densities, then those of the mechanisms' read-outs.
    """

    def of_size(size, own, inputs, residual):
        features = _features(_first_inputs(own, size), inputs[:, :size])
        sums = conjugate.statistics(each, features, residual)
        return conjugate.pad(sums, inputs.shape[1] - size)

    def of_variable(j):
        own = jax.tree.map(lambda leaf: leaf[j], mechanisms.curves)
        residual = x[:, j] - mean[:, j]
        inputs = inputs_of(mechanisms, x, j)
        return _by_bucket(mechanisms, j, of_size, own, inputs, residual)

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
    """What a fit knows of rows."""

    mechanisms: Mechanisms
    targets: Array  # [k, d]
    log_weights: Array  # [k], E log pi
    own: conjugate.Fit  # leaves [d, k, ...], densities of the regimes' own


def take_variables(model: Model, order: Array) -> Model:
    """The model with its variables in another order.

    Args:
      model: of d variables.
      order: ``[d]`` int, the variable that comes to each place.
    """
    mechanisms, own = jax.tree.map(
        lambda leaf: leaf[order], (model.mechanisms, model.own)
    )
    parents = order.argsort()[mechanisms.parents]
    return model._replace(
        mechanisms=mechanisms._replace(parents=parents),
        targets=model.targets[:, order],
        own=own,
    )


def regime_log_likelihoods(model: Model, x: Array, intervention: str) -> Array:
    """The bound on log p(x_n, regime k), ``[n, k]``, nats in the units of x.

    Args:
      model: ``extra["model"]`` of a posterior.
      x: ``[n, d]``, in the units of the table that was fitted.
      intervention: as in ``Config``, static.
    """
    mechanisms = model.mechanisms

    def of_variable(j):
        own = jax.tree.map(lambda leaf: leaf[j], mechanisms.curves)
        mean = regression_network.predict(own, inputs_of(mechanisms, x, j))
        usual = usual_log_density(mechanisms, x, mean, j)
        features, cells = own_features(mechanisms, x, mean, j, intervention)
        fit = jax.tree.map(lambda leaf: leaf[j], model.own)
        other = conjugate.expected_log_density(fit, features, cells)
        disturbed = model.targets[:, j][None, :]
        return (1 - disturbed) * usual[:, None] + disturbed * other

    each = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    return model.log_weights[None, :] + each.sum(axis=0)


def own_features(
    mechanisms: Mechanisms, x: Array, mean: Array, j: ArrayLike, intervention: str
) -> tuple[Array, Array]:
    """What a regime's own density of a variable is linear in, and its cells."""
    if intervention == "perfect":
        return jnp.ones_like(x[:, :1]), x[:, j]
    return features_of(mechanisms, x, j), x[:, j] - mean


def log_densities_of_targets(
    mechanisms: Mechanisms,
    x: Array,
    mean: Array,
    intervention: str,
    each: Array,
    targets: Array,
) -> Array:
    """sum_j R_kj E log p_k(x_nj | parents), ``[n, k]``, of rows ``each`` teaches of."""
    if intervention == "perfect":
        found = conjugate.fit(conjugate.normal_statistics(each, x))[0]
        return conjugate.expected_normal(found, x, targets)

    def of_size(size, own, inputs, residual):
        features = _features(_first_inputs(own, size), inputs[:, :size])
        found = conjugate.fit(conjugate.statistics(each, features, residual))[0]
        return conjugate.expected_log_density(found, features, residual)

    def of_variable(j):
        own = jax.tree.map(lambda leaf: leaf[j], mechanisms.curves)
        residual = x[:, j] - mean[:, j]
        inputs = inputs_of(mechanisms, x, j)
        found = _by_bucket(mechanisms, j, of_size, own, inputs, residual)
        return found * targets[:, j][None, :]

    return jax.lax.map(of_variable, jnp.arange(x.shape[1])).sum(axis=0)


def describe(
    state: State, x: Array, each: Array, log_weights: Array, intervention: str
) -> Model:
    """What rows ``[n, d]`` with weights ``[n, k]`` teach of all regimes."""
    mechanisms = state.mechanisms

    def own(j):
        curves = jax.tree.map(lambda leaf: leaf[j], mechanisms.curves)
        mean = regression_network.predict(curves, inputs_of(mechanisms, x, j))
        features, cells = own_features(mechanisms, x, mean, j, intervention)
        return conjugate.fit(conjugate.statistics(each, features, cells))[0]

    return Model(
        mechanisms=mechanisms,
        targets=state.targets,
        log_weights=log_weights,
        own=jax.lax.map(own, jnp.arange(x.shape[1])),
    )
