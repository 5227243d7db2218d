"""How variables act on their children: random functions for a given graph.

A family of mechanisms is a pair of functions in ``MECHANISMS``. All but "linear"
see their parents standardised, and their signal, what the parents contribute, is
standardised in turn and multiplied by a random gain from 1 to 2: beside noise of
standard deviation 1 neither side drowns the other, however many parents there are.
Means and standard deviations are those of the rows of regime 0, so that an
intervention does not change the function. A variable without parents is its noise.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, PyTree
from causaljax.simulate.columns import standardise

_NUM_FEATURES = 100  # of a random function of all parents
_NUM_FEATURES_EACH = 10  # of a random function of one parent
_NUM_HIDDEN = 10
_NUM_FORMS = 4  # random linear forms a polynomial is made of


class Mechanism(NamedTuple):
    """A family of random functions, as two pure functions.

    ``draw(key, graph, dtype) -> params``: every leaf has one slice a child, ``[d,
    ...]``.
    ``apply(params, parents, has_parents, noise, num_baseline) -> [n]``: the column
    of one child from its slice, ``parents`` ``[n, d]`` (0 where a variable is not
    a parent), ``has_parents`` ``[]`` bool and ``noise`` ``[n]``; statistics are
    those of the first ``num_baseline`` rows.
    """

    draw: Callable[..., PyTree]
    apply: Callable[..., Array]


def linear_weights(
    key: Array,
    graph: ArrayLike,
    low: ArrayLike = 0.5,
    high: ArrayLike = 2.0,
    dtype: DTypeLike = jnp.float32,
) -> Array:
    """Coefficients of uniform magnitude and random sign on the edges of a graph.

    Args:
      key: consumed.
      graph: ``[d, d]`` bool.
      low: smallest magnitude.
      high: largest magnitude.
      dtype: of the result.

    Returns:
      ``[d, d]``, at [i, j] the coefficient of i -> j, 0 where there is no edge.

    Differentiable: in ``low`` and ``high``.
    Source: Zheng et al. 2018 (NOTEARS), section 5, the defaults included.
    """
    graph = jnp.asarray(graph, bool)
    low, high = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
    key_magnitude, key_sign = jax.random.split(key)
    magnitude = low + (high - low) * jax.random.uniform(
        key_magnitude, graph.shape, dtype
    )
    sign = jax.random.rademacher(key_sign, graph.shape, dtype)
    return jnp.where(graph, magnitude * sign, 0)


def signed_uniform(
    key: Array,
    shape: tuple[int, ...],
    low: ArrayLike,
    high: ArrayLike,
    dtype: DTypeLike = jnp.float32,
) -> Array:
    """Independent numbers of random sign and of magnitude ``low`` to ``high``."""
    key_magnitude, key_sign = jax.random.split(key)
    magnitude = jax.random.uniform(key_magnitude, shape, dtype, low, high)
    return magnitude * jax.random.rademacher(key_sign, shape, dtype)


def hidden_units(
    params: PyTree,
    parents: Array,
    noise: Array | None = None,
    bend: Callable[[Array], Array] = jnp.tanh,
) -> Array:
    """The hidden layer of a random network: ``bend`` of linear forms.

    Args:
      params: of one child: "inputs" ``[d, m]``, "bias" ``[m]`` and, if there is
        noise, its weights "noise" ``[m]``.
      parents: ``[n, d]``, 0 where a variable is not a parent.
      noise: ``[n]``, an input like the parents.
      bend: of every unit.

    Returns:
      ``[n, m]``.

    Differentiable: in all arrays, as far as ``bend`` is.
    """
    hidden = matmul(parents, params["inputs"]) + params["bias"][None, :]
    if noise is not None:
        hidden = hidden + noise[:, None] * params["noise"][None, :]
    return bend(hidden)


def fourier_features(inputs: Array, frequencies: Array, phases: Array) -> Array:
    """Random features whose weighted sums are draws of a Gaussian process.

    With standard normal weights, frequencies of standard deviation 1 / length and
    uniform phases a sum is a draw of mean 0, variance 1 and squared exponential
    covariance, up to the number of features.

    Args:
      inputs: ``[n, d]``.
      frequencies: ``[d, m]``.
      phases: ``[m]``, radians.

    Returns:
      ``[n, m]``.

    Differentiable: in everything.
    Source: Rahimi and Recht 2007.
    """
    angles = matmul(inputs, frequencies) + phases[None, :]
    return math.sqrt(2 / phases.shape[0]) * jnp.cos(angles)


def draw_noise_factor(key: Array, graph: Array, dtype: DTypeLike) -> PyTree:
    """Parameters of ``noise_factor``, one slice a child; consumes the key."""
    return _draw_gaussian_process(key, graph, dtype)


def noise_factor(
    params: PyTree, parents: Array, has_parents: Array, num_baseline: int
) -> Array:
    """How the size of a child's noise depends on its parents.

    The square is log(1 + exp(2 g)) with g a Gaussian process of the standardised
    parents, divided by its mean.

    Args:
      params: the child's slice of ``draw_noise_factor``.
      parents: ``[n, d]``, 0 where a variable is not a parent.
      has_parents: ``[]`` bool; without parents the factor is 1.
      num_baseline: static; means are those of so many first rows.

    Returns:
      ``[n]``, above 0, of mean square 1 over the first rows.

    Differentiable: in ``params`` and ``parents``.
    Source: Lorch et al. 2022 (AVICI), whose variance is not divided.
    """
    process = _gaussian_process(params, standardise(parents, num_baseline))
    variance = jax.nn.softplus(2 * process)
    factor = jnp.sqrt(variance / variance[:num_baseline].mean())
    return jnp.where(has_parents, factor, 1)


def _per_root(graph, dtype):
    """One over the square root of the number of parents, ``[d]``.

    Sums over so many standardised parents stay of one size.
    """
    return 1 / jnp.sqrt(jnp.maximum(graph.sum(axis=0), 1).astype(dtype))


def _draw_linear(key, graph, dtype):
    return linear_weights(key, graph, dtype=dtype).T


def _apply_linear(weights, parents, has_parents, noise, num_baseline):
    del has_parents, num_baseline
    return matmul(parents, weights) + noise


def _draw_network(key, graph, dtype):
    d = graph.shape[0]
    key_in, key_bias, key_out = jax.random.split(key, 3)
    size = 1.5 * _per_root(graph, dtype)[:, None, None]  # bends, rarely saturates
    return {
        "inputs": size * jax.random.normal(key_in, (d, d, _NUM_HIDDEN), dtype),
        "bias": jax.random.normal(key_bias, (d, _NUM_HIDDEN), dtype),
        "outputs": jax.random.normal(key_out, (d, _NUM_HIDDEN), dtype),
    }


def _network(params, parents, noise=None):
    return matmul(hidden_units(params, parents, noise), params["outputs"])


def _draw_noisy_network(key, graph, dtype):
    key_network, key_noise = jax.random.split(key)
    weights = jax.random.normal(key_noise, (graph.shape[0], _NUM_HIDDEN), dtype)
    return {**_draw_network(key_network, graph, dtype), "noise": 1.5 * weights}


def _draw_gaussian_process(key, graph, dtype):
    d, m = graph.shape[0], _NUM_FEATURES
    key_length, key_frequency, key_phase, key_weight = jax.random.split(key, 4)
    length = jax.random.uniform(key_length, (d,), dtype, 0.7, 1.5)
    size = (_per_root(graph, dtype) / length)[:, None, None]
    return {
        "frequencies": size * jax.random.normal(key_frequency, (d, d, m), dtype),
        "phases": jax.random.uniform(key_phase, (d, m), dtype, 0, 2 * math.pi),
        "weights": jax.random.normal(key_weight, (d, m), dtype),
    }


def _gaussian_process(params, parents):
    features = fourier_features(parents, params["frequencies"], params["phases"])
    return matmul(features, params["weights"])


def _draw_additive(key, graph, dtype):
    d, m = graph.shape[0], _NUM_FEATURES_EACH
    key_length, key_frequency, key_phase, key_weight = jax.random.split(key, 4)
    length = jax.random.uniform(key_length, (d, d, 1), dtype, 0.7, 1.5)
    weights = jax.random.normal(key_weight, (d, d, m), dtype)
    return {
        "frequencies": jax.random.normal(key_frequency, (d, d, m), dtype) / length,
        "phases": jax.random.uniform(key_phase, (d, d, m), dtype, 0, 2 * math.pi),
        "weights": jnp.where(graph.T[:, :, None], weights, 0),
    }


def _additive(params, parents):
    angles = parents[:, :, None] * params["frequencies"][None, :, :]
    features = jnp.cos(angles + params["phases"][None, :, :])
    return (features * params["weights"][None, :, :]).sum(axis=(1, 2))


def _draw_sigmoid(key, graph, dtype):
    shape = graph.shape
    key_height, key_slope, key_centre = jax.random.split(key, 3)
    height = 1 + jax.random.exponential(key_height, shape, dtype) / 4
    return {
        "height": jnp.where(graph.T, height, 0),
        "slope": signed_uniform(key_slope, shape, 0.5, 2, dtype),
        "centre": jax.random.uniform(key_centre, shape, dtype, -2, 2),
    }


def _sigmoid(params, parents):
    z = params["slope"][None, :] * (parents - params["centre"][None, :])
    return matmul(z / (1 + jnp.abs(z)), params["height"])


def _draw_polynomial(key, graph, dtype):
    d = graph.shape[0]
    key_forms, key_cubic = jax.random.split(key)
    forms = signed_uniform(key_forms, (d, d, _NUM_FORMS), 0.5, 1.5, dtype)
    return {
        "forms": forms * _per_root(graph, dtype)[:, None, None],
        "cubic": jax.random.bernoulli(key_cubic, 0.5, (d,)).astype(dtype),
    }


def _polynomial(params, parents):
    forms = matmul(parents, params["forms"])
    # Far out the forms level off, or a cube would run away from the table.
    first, second, third, fourth = (3 * jnp.tanh(forms / 3)).T
    cube = params["cubic"] * fourth * (fourth**2 - 3)
    return first + second * third + cube / 2


def _draw_periodic(key, graph, dtype):
    key_weights, key_phase = jax.random.split(key)
    weights = signed_uniform(key_weights, graph.shape, 0.75, 2, dtype)
    return {
        "weights": weights * _per_root(graph, dtype)[:, None],
        "phase": jax.random.uniform(
            key_phase, graph.shape[:1], dtype, -math.pi, math.pi
        ),
    }


def _periodic(params, parents):
    return jnp.sin(matmul(parents, params["weights"]) + params["phase"])


def _draw_post_nonlinear(key, graph, dtype):
    d = graph.shape[0]
    key_weights, key_height, key_slope, key_centre = jax.random.split(key, 4)
    return {
        "weights": _draw_linear(key_weights, graph, dtype),
        "height": jax.random.uniform(key_height, (d,), dtype, 1, 3),
        "slope": jax.random.uniform(key_slope, (d,), dtype, 1, 3),
        "centre": jax.random.uniform(key_centre, (d,), dtype, -1, 1),
    }


def _weighted_sum(params, parents):
    return matmul(parents, params["weights"])


def _bend(params, z):
    """Strictly increasing, steep at the centre, a straight line far out."""
    step = jnp.tanh(params["slope"] * (z - params["centre"]))
    return (z + params["height"] * step) / (1 + params["height"])


def _with_gain(draw):
    def draw_with_gain(key, graph, dtype):
        key_gain, key_rest = jax.random.split(key)
        gain = jax.random.uniform(key_gain, graph.shape[:1], dtype, 1, 2)
        return gain, draw(key_rest, graph, dtype)

    return draw_with_gain


def _signal_and_noise(draw, function, bend=None):
    """The family ``bend(gain * function(parents) + noise)``."""

    def apply(gain_and_params, parents, has_parents, noise, num_baseline):
        gain, params = gain_and_params
        signal = function(params, standardise(parents, num_baseline))
        column = gain * standardise(signal, num_baseline) + noise
        if bend is not None:
            column = bend(params, column)
        # Rounding would pass for a signal where the signal is a constant.
        return jnp.where(has_parents, column, noise)

    return Mechanism(_with_gain(draw), apply)


def _noise_inside(draw, function):
    """The family ``gain * function(parents, noise)``."""

    def apply(gain_and_params, parents, has_parents, noise, num_baseline):
        gain, params = gain_and_params
        column = function(params, standardise(parents, num_baseline), noise)
        column = gain * standardise(column, num_baseline)
        return jnp.where(has_parents, column, noise)

    return Mechanism(_with_gain(draw), apply)


MECHANISMS = {
    "linear": Mechanism(_draw_linear, _apply_linear),
    "network": _signal_and_noise(_draw_network, _network),
    "gaussian_process": _signal_and_noise(_draw_gaussian_process, _gaussian_process),
    "additive": _signal_and_noise(_draw_additive, _additive),
    "sigmoid": _signal_and_noise(_draw_sigmoid, _sigmoid),
    "polynomial": _signal_and_noise(_draw_polynomial, _polynomial),
    "periodic": _signal_and_noise(_draw_periodic, _periodic),
    "post_nonlinear": _signal_and_noise(_draw_post_nonlinear, _weighted_sum, _bend),
    "nonadditive_network": _noise_inside(_draw_noisy_network, _network),
}
"""The families of mechanisms.

- "linear": weights of ``linear_weights``, neither side standardised.
- "network": one hidden layer of 10 tanh units (as in DCDI, Brouillard et al. 2020).
- "gaussian_process": of all parents jointly, length scale .7 to 1.5 times the
  square root of their number, 100 random Fourier features.
- "additive": a Gaussian process of each parent, summed.
- "sigmoid": a sigmoid of each parent, summed (as in CAM, Buehlmann et al. 2014).
- "polynomial": degree 2 or 3 with interactions, of linear forms that level off
  beyond 3 standard deviations.
- "periodic": the sine of a linear form.
- "post_nonlinear": an increasing function of linear signal plus noise (Zhang and
  Hyvarinen 2009).
- "nonadditive_network": the noise is an input of the network (as in DCDI); the
  gain is that of the whole column.
"""
