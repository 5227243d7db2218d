"""The tables DCDI was tested on, re-implemented."""

import math
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
from causaljax.simulate.mechanisms import hidden_units, linear_weights
from causaljax.simulate.regime_likelihood import (
    RegimeModel,
    added_noise_model,
    inner_noise_model,
)
from causaljax.simulate.scm import fill_table, row_by_row

_INNER = "nonadditive_network"  # its noise is an input
_NUM_HIDDEN = {"network": 10, _INNER: 20}
_MECHANISMS = ("linear", *_NUM_HIDDEN)
_INTERVENTIONS = ("perfect", "imperfect")
_NOISE_SHARE = 0.4  # of the noise of a variable with parents
_TARGET_MEAN, _TARGET_SD = 2.0, 1.0
_SLOPE = 0.25  # of the leaky ReLU below 0


class DcdiTruth(NamedTuple):
    """What made a table of DCDI's generator."""

    graph: Array  # [d, d] bool
    noise_scale: Array  # [r, d] float, standard deviation, of the noise as it enters
    targets: Array  # [r, d] bool, row 0 all False
    regime: Array  # [n] int32
    cut: Array  # [r, d] bool, True where parents no longer matter
    model: RegimeModel  # for `regime_log_likelihood`


def dcdi_table(
    key: Array,
    *,
    mechanism: str = "linear",
    num_variables: int = 10,
    edges_per_variable: float = 1,
    num_rows: int = 10_000,
    intervention: str = "perfect",
    targets_per_regime: int | tuple[int, int] = 1,
    num_interventions: int | None = None,
) -> tuple[Problem, DcdiTruth]:
    """One table as DCDI's generator makes them: graph, mechanisms, interventions.

    The edges along a uniform order are independent, of one probability; there are
    ``edges_per_variable * d`` of them on average. Variables without parents are
    normal of mean 0 and variance v. With E_j normal of mean 0 and variance v_j, v
    and v_j uniform between 1 and 2, the others are

        "linear"                x_j = sum_i w_ij x_i + 0.4 E_j
        "network"               x_j = a' leaky_relu(B x_pa + c) + c0 + 0.4 E_j
        "nonadditive_network"   x_j = a' tanh(B (x_pa, 0.4 E_j) + c) + c0

    w_ij of random sign and magnitude .25 to 1, a and B standard normal, c and c0
    uniform up to one over the square root of the number of inputs of their layer,
    which has 10 (additive) or 20 hidden units. A perfect intervention cuts the
    target off and makes it normal of mean 2 and variance 1. An imperfect one adds a
    number of random sign and magnitude 2 to 5 to every w_ij, or a standard normal
    one to every entry of a; the same in all regimes with this target. It does to a
    variable without parents what a perfect one does. Columns are raw.

    These are the equations of the published generator with the options
    ``--noise variable_gaussian --initial-cause variable_gaussian
    --struct-interv-distr shifted_normal --obs-data``, including that it draws v and
    v_j anew in every regime, so that not only targets change. Different: regime 0
    comes first in the table, and where sizes differ by the one row that is left it
    goes to the first regimes. Not known from the code: the options and the seeds of
    the published tables. That they are these, that columns were standardised
    before fitting, and that every table has d interventions, on one variable each
    for d = 10 and on one or two each for d = 20, is how the paper is remembered;
    published for d = 10 is a table of 10 interventions with one target each.

    Args:
      key: consumed.
      mechanism: one of the three above, static.
      num_variables: d, static, at least 2.
      edges_per_variable: at least 0; an edge's probability is at most .99.
      num_rows: n, static; split evenly over the regimes.
      intervention: "perfect" or "imperfect", static.
      targets_per_regime: static. 1: every variable has its turn before one has a
        second. Otherwise subsets of so many variables, independent between regimes;
        a pair (low, high) draws their size evenly, low and high included.
      num_interventions: r - 1, static; d if left out. 0 is observational.

    Returns:
      ``(problem, truth)``: raw columns; the problem knows regimes and targets.

    Raises:
      ValueError: if an option is unknown or a count is out of range.

    Source: Brouillard et al. 2020 (DCDI), appendix B.1, and its public code.

    Example:
      >>> problem, truth = dcdi_table(jax.random.key(0), num_rows=1100)
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
    num_regimes = 1 + (d if num_interventions is None else num_interventions)
    key_graph, key_targets, key_function, key_scale, key_noise = jax.random.split(
        key, 5
    )
    graph = stochastic_block(key_graph, d, edges_per_variable, 1)
    targets = draw_target_sets(key_targets, d, num_regimes, targets_per_regime)
    has_parents = graph.any(axis=0)
    cut = targets & (~has_parents[None, :] | (intervention == "perfect"))
    done = perfect_intervention(cut, _TARGET_MEAN, _TARGET_SD)
    done = row_by_row(done._replace(targets=targets), num_rows, d, 1, jnp.float32)

    share = jnp.where(has_parents, _NOISE_SHARE, 1.0)
    variance = jax.random.uniform(key_scale, (num_regimes, d), jnp.float32, 1, 2)
    noise_scale = share[None, :] * jnp.sqrt(variance)
    unit_noise = jax.random.normal(key_noise, (num_rows, d), jnp.float32)
    noise = noise_scale[done.regime] * unit_noise
    usual, altered = _draw(key_function, graph, mechanism)
    is_altered = done.targets[done.regime] & ~done.cut

    def respond(x, means, sds, j):
        del means, sds
        parents = jnp.where(graph[None, :, j], x, 0)

        def column(params):
            params = of_child(params, j)
            hidden = _FEATURES[mechanism](params, parents, noise[:, j])
            signal = matmul(hidden, params["outputs"]) + params["offset"]
            return signal if mechanism == _INNER else signal + noise[:, j]

        value = column(usual)
        if intervention == "imperfect":
            value = jnp.where(is_altered[:, j], column(altered), value)
        return jnp.where(has_parents[j], value, noise[:, j])

    def of_child(params, j):
        return jax.tree.map(lambda leaf: leaf[j], params)

    problem, _ = fill_table(respond, graph, unit_noise, done, "raw")
    outputs = usual["outputs"][:, None, :]
    if intervention == "imperfect":
        is_other = (targets & ~cut).T[:, :, None]
        outputs = jnp.where(is_other, altered["outputs"][:, None, :], outputs)
    describe = inner_noise_model if mechanism == _INNER else added_noise_model
    model = describe(
        Partial(_FEATURES[mechanism], usual),
        outputs,
        usual["offset"],
        graph=graph,
        listens=~cut,
        noise_mean=jnp.where(cut, _TARGET_MEAN, jnp.zeros_like(noise_scale)),
        noise_scale=jnp.where(cut, _TARGET_SD, noise_scale),
    )
    return problem, DcdiTruth(graph, noise_scale, targets, done.regime, cut, model)


def _draw(key, graph, mechanism):
    """Parameters as usual and under an imperfect intervention, one slice a child."""
    d = graph.shape[0]
    if mechanism == "linear":
        key_usual, key_change = jax.random.split(key)
        weights = linear_weights(key_usual, graph, 0.25, 1.0)
        change = linear_weights(key_change, graph, 2.0, 5.0)
        usual = {"outputs": weights.T, "offset": jnp.zeros(d, jnp.float32)}
        return usual, {**usual, "outputs": (weights + change).T}
    num_hidden = _NUM_HIDDEN[mechanism]
    keys = jax.random.split(key, 6)

    def normal(key, *shape):
        return jax.random.normal(key, shape, jnp.float32)

    def uniform(key, *shape):
        return jax.random.uniform(key, shape, jnp.float32, -1, 1)

    noise_is_input = int(mechanism == _INNER)
    num_inputs = graph.sum(axis=0) + noise_is_input
    bound = 1 / jnp.sqrt(jnp.maximum(num_inputs, 1).astype(jnp.float32))
    usual = {
        "inputs": normal(keys[0], d, d, num_hidden),
        "noise": normal(keys[1], d, num_hidden),
        "bias": bound[:, None] * uniform(keys[2], d, num_hidden),
        "outputs": normal(keys[3], d, num_hidden),
        "offset": uniform(keys[4], d) / math.sqrt(num_hidden),
    }
    change = normal(keys[5], d, num_hidden)
    return usual, {**usual, "outputs": usual["outputs"] + change}


def _linear_features(params, parents, noise):
    del params, noise
    return parents


def _network_features(params, parents, noise):
    del noise
    return hidden_units(
        params, parents, bend=lambda hidden: jax.nn.leaky_relu(hidden, _SLOPE)
    )


# What a child adds up, ``[n, m]``, from its slice of the parameters.
_FEATURES = {
    "linear": _linear_features,
    "network": _network_features,
    _INNER: hidden_units,
}
