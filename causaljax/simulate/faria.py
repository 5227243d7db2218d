"""The tables on which intervention models with hidden regimes were first tested."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem
from causaljax.simulate.graphs import stochastic_block
from causaljax.simulate.interventions import (
    draw_target_sets,
    perfect_intervention,
)
from causaljax.simulate.regime_likelihood import (
    RegimeModel,
    added_noise_model,
    inner_noise_model,
)
from causaljax.simulate.scm import fill_table, row_by_row

_INNER = "nonadditive_network"  # its noise is an input
_MECHANISMS = ("linear", "network", _INNER)
_INTERVENTIONS = ("perfect", "imperfect")
_NUM_HIDDEN = 8
_NOISE_SHARE = 0.2  # of the noise that is added to what parents do
_TARGET_SD = 0.2
_FACTOR = 2.5  # of what an imperfect intervention on one variable redraws


class FariaTruth(NamedTuple):
    """What made a table of Faria, Martins and Figueiredo's generator."""

    graph: Array  # [d, d] bool
    noise_mean: Array  # [r, d] float, of the noise as it enters; where cut, of the cell
    noise_scale: Array  # [r, d] float, standard deviation of the same
    targets: Array  # [r, d] bool, row 0 all False
    regime: Array  # [n] int32
    cut: Array  # [r, d] bool, True where parents no longer matter
    model: RegimeModel  # for `regime_log_likelihood`


def faria_table(
    key: Array,
    *,
    mechanism: str = "linear",
    num_variables: int = 10,
    edges_per_variable: float = 1,
    num_rows: int = 10_000,
    intervention: str = "perfect",
    multi_target: bool = False,
) -> tuple[Problem, FariaTruth]:
    """One table as the paper's generator makes them.

    The edges along a uniform order are independent, of one probability; there are
    ``edges_per_variable * d`` of them on average. With N_j = 0.4 a_j E_j + b_j, E_j
    standard normal, a_j uniform from 1 to 1.4 and b_j normal of standard deviation
    0.3, variables without parents are N_j and the others

        "linear"                x_j = w_j' x_pa + 0.2 N_j
        "network"               x_j = w_j' h(x_pa) + 0.2 N_j
        "nonadditive_network"   x_j = w_j' h(x_pa, N_j)

    w_j of random signs and magnitudes .25 to 1, and h two layers of 8 ReLU units
    each, of standard normal weights and biases of random signs and magnitudes .05 to
    1.5. A perfect intervention makes each target normal of standard deviation .2
    around a number of random sign and magnitude 4 to 8, drawn anew for every target
    of every regime.

    An imperfect intervention draws w_j and, where noise is added, a_j and b_j anew.
    If it has one target only they are then multiplied by 2.5, and signs are 1 or -4
    instead of 1 and -1. It does to a variable without parents what a perfect one
    does, but if it may have several targets it sets such a variable to a constant,
    a draw of its N_j.

    Columns are raw. The published generator standardises them over all rows and
    shuffles the rows, which blocks of equal regimes replace here. Sizes of regimes
    differ by at most one row. Regimes and targets are known to the problem;
    ``hide_regimes`` hides them, as in the paper.

    Args:
      key: consumed.
      mechanism: one of the three above, static.
      num_variables: d, static, at least 2.
      edges_per_variable: at least 0; an edge's probability is at most .99.
      num_rows: n, static; split evenly over the regimes, regime 0 left alone first.
      intervention: "perfect" or "imperfect", static.
      multi_target: static. If False there are d interventions, one on each variable;
        if True 2 d, each on a random set of 1 to (d + 2) // 3 variables, all sizes
        being equally likely.

    Returns:
      ``(problem, truth)``.

    Raises:
      ValueError: if an option is unknown or a count is out of range.

    Source: Faria, Martins and Figueiredo 2022, as read off their public code.

    Example:
      >>> problem, truth = faria_table(jax.random.key(0), num_rows=1100)
      >>> problem.x.shape, truth.targets.shape
      ((1100, 10), (11, 10))
    """
    if mechanism not in _MECHANISMS:
        raise ValueError(f"mechanism {mechanism!r} is not one of {_MECHANISMS}")
    if intervention not in _INTERVENTIONS:
        raise ValueError(
            f'intervention must be "perfect" or "imperfect", not {intervention!r}'
        )
    if num_variables < 2:
        raise ValueError(f"num_variables must be at least 2, not {num_variables}")
    d = num_variables
    num_regimes, most = (2 * d + 1, (d + 2) // 3) if multi_target else (d + 1, 1)
    keys = jax.random.split(key, 7)
    graph = stochastic_block(keys[0], d, edges_per_variable, 1)
    targets = draw_target_sets(keys[1], d, num_regimes, (1, most))
    has_parents = graph.any(axis=0)
    cut = targets & (~has_parents[None, :] | (intervention == "perfect"))
    # One draw a regime: that of regime 0 is the usual one.
    own_mean, own_scale = _own_noise(keys[2], (num_regimes, d))
    weights = _signed_uniform(
        keys[3], (num_regimes, d, d if mechanism == "linear" else _NUM_HIDDEN), 0.25, 1
    )
    usual_mean, usual_scale, usual_weights = own_mean[:1], own_scale[:1], weights[:1]
    if not multi_target:
        own_mean, own_scale = _FACTOR * own_mean, _FACTOR * own_scale
        weights = _FACTOR * jnp.where(weights < 0, 4 * weights, weights)
    altered = targets & ~cut
    weights = jnp.where(altered[:, :, None], weights, usual_weights)
    redrawn = altered & (mechanism != _INNER)
    share = jnp.where(has_parents & (mechanism != _INNER), _NOISE_SHARE, 1.0)[None, :]
    noise_mean = share * jnp.where(redrawn, own_mean, usual_mean)
    noise_scale = share * jnp.where(redrawn, own_scale, usual_scale)

    if intervention == "imperfect" and multi_target:
        constant = jax.random.normal(keys[4], (num_regimes, d), jnp.float32)
        set_mean, set_sd = noise_mean + noise_scale * constant, 0.0
    else:
        set_mean, set_sd = _signed_uniform(keys[4], (num_regimes, d), 4, 8), _TARGET_SD
    noise_mean = jnp.where(cut, set_mean, noise_mean)
    noise_scale = jnp.where(cut, set_sd, noise_scale)
    done = perfect_intervention(cut, noise_mean, noise_scale)
    done = row_by_row(done._replace(targets=targets), num_rows, d, 1, jnp.float32)

    unit_noise = jax.random.normal(keys[5], (num_rows, d), jnp.float32)
    noise = noise_mean[done.regime] + noise_scale[done.regime] * unit_noise
    features = Partial(_FEATURES[mechanism], _draw_hidden_layers(keys[6], d))

    def respond(x, means, sds, j):
        del means, sds
        parents = jnp.where(graph[None, :, j], x, 0)
        hidden = jax.tree.map(lambda leaf: leaf[j], features)(parents, noise[:, j])
        value = (hidden * weights[done.regime, j]).sum(axis=1)
        value = value if mechanism == _INNER else value + noise[:, j]
        return jnp.where(has_parents[j], value, noise[:, j])

    problem, _ = fill_table(respond, graph, unit_noise * done.scale, done, "raw")
    describe = inner_noise_model if mechanism == _INNER else added_noise_model
    model = describe(
        features,
        (usual_weights if intervention == "perfect" else weights).swapaxes(0, 1),
        jnp.zeros(d, jnp.float32),
        graph=graph,
        listens=~cut,
        noise_mean=noise_mean,
        noise_scale=noise_scale,
    )
    truth = FariaTruth(graph, noise_mean, noise_scale, targets, done.regime, cut, model)
    return problem, truth


def _signed_uniform(key, shape, low, high):
    key_size, key_sign = jax.random.split(key)
    size = jax.random.uniform(key_size, shape, jnp.float32, low, high)
    return size * jax.random.rademacher(key_sign, shape, jnp.float32)


def _own_noise(key, shape):
    """Mean and standard deviation of ``N_j``."""
    key_mean, key_scale = jax.random.split(key)
    mean = 0.3 * jax.random.normal(key_mean, shape, jnp.float32)
    return mean, 0.4 * jax.random.uniform(key_scale, shape, jnp.float32, 1, 1.4)


def _draw_hidden_layers(key, num_variables):
    """Parameters of two hidden layers, one slice a child."""
    d, h = num_variables, _NUM_HIDDEN
    keys = jax.random.split(key, 5)
    return {
        "inputs": jax.random.normal(keys[0], (d, d, h), jnp.float32),
        "noise": jax.random.normal(keys[1], (d, h), jnp.float32),
        "bias": _signed_uniform(keys[2], (d, h), 0.05, 1.5),
        "second": jax.random.normal(keys[3], (d, h, h), jnp.float32),
        "second_bias": _signed_uniform(keys[4], (d, h), 0.05, 1.5),
    }


def _linear_features(params, parents, noise):
    del params, noise
    return parents


def _network_features(params, parents, noise):
    return _noisy_network_features(params, parents, jnp.zeros_like(noise))


def _noisy_network_features(params, parents, noise):
    hidden = matmul(parents, params["inputs"]) + params["bias"][None, :]
    hidden = jax.nn.relu(hidden + noise[:, None] * params["noise"][None, :])
    hidden = matmul(hidden, params["second"]) + params["second_bias"][None, :]
    return jax.nn.relu(hidden)


# What a child adds up, ``[n, m]``, from its slice of the parameters.
_FEATURES = {
    "linear": _linear_features,
    "network": _network_features,
    _INNER: _noisy_network_features,
}
