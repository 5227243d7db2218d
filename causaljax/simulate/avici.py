"""The tables that AVICI was trained and tested on.

Facts of the published configurations, for numbers that can be set beside AVICI's.
They are not this package's idea of a fair test: columns are raw, and variances
grow along the order.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem, make_problem
from causaljax.graphs.dags import topological_order
from causaljax.simulate.columns import fill_columns
from causaljax.simulate.graphs import (
    lattice,
    random_geometric,
    scale_free,
    stochastic_block,
)
from causaljax.simulate.mechanisms import fourier_features

_NUM_FEATURES = 100
_BIAS = 3.0  # uniform between minus and plus this
_NOISE_SCALE = (0.2, 2.0)
_VARIANCE_LENGTH, _VARIANCE_SCALE = 10.0, 2.0
_SHARE_INTERVENED = 0.2  # 200 of 1000 rows


class _Setting(NamedTuple):
    """One column of AVICI's table of configurations; lists are drawn from evenly."""

    graphs: list  # functions of (key, num_variables)
    weights: list  # (low, high) magnitudes of linear coefficients
    lengths: list  # (low, high) of the Gaussian process of "rff"
    scales: list  # (low, high) of its standard deviation
    targets: float  # share of variables that are ever intervened on
    value: tuple  # (low, high) magnitude of an intervened cell


def _scale_free(edges, direction, power=1.0):
    return lambda key, d: scale_free(key, d, edges, power, direction)


def _independent(edges):
    return lambda key, d: stochastic_block(key, d, edges, 1)


def _lattice(num_dimensions):
    return lambda key, d: lattice(key, d, num_dimensions, 0.3, "position")


def _blocks(num_blocks):
    return lambda key, d: stochastic_block(key, d, 2, min(num_blocks, d), 0.1)


def _geometric(key, d):
    return random_geometric(key, d, 0.1, "position")


_IN_DISTRIBUTION = _Setting(
    graphs=[
        *(_scale_free(edges, "in") for edges in (1, 2, 3)),
        *(_scale_free(edges, "out") for edges in (1, 2, 3)),
        *(_independent(edges) for edges in (1, 2, 3)),
    ],
    weights=[(1.0, 3.0)],
    lengths=[(7.0, 10.0)],
    scales=[(10.0, 20.0)],
    targets=1.0,
    value=(1.0, 3.0),
)
_OUT_OF_DISTRIBUTION = _Setting(
    graphs=[
        *(_scale_free(2, "out", power) for power in (0.5, 1.5)),
        *(_lattice(num_dimensions) for num_dimensions in (2, 3)),
        *(_blocks(num_blocks) for num_blocks in (5, 10)),
        *(_geometric, _geometric),  # one family in four, as the others
    ],
    weights=[(0.5, 2.0), (2.0, 4.0)],
    lengths=[(5.0, 8.0), (8.0, 12.0)],
    scales=[(8.0, 12.0), (18.0, 22.0)],
    targets=0.5,
    value=(1.0, 5.0),
)


def avici_table(
    key: Array,
    domain: str = "linear",
    *,
    out_of_distribution: bool = False,
    num_variables: int = 30,
    num_rows: int = 1000,
    interventional: bool = False,
) -> tuple[Problem, Array]:
    """One table of AVICI's LINEAR or RFF domain, as it was trained or tested on.

    In distribution: scale-free graphs with hubs of either kind and independent
    edges, 1 to 3 a variable; Gaussian noise of standard deviation .2 to 2; weights
    of 1 to 3 in absolute value, or Gaussian processes of length 7 to 10 and scale
    10 to 20; biases up to 3. Out of distribution: scale-free graphs of power .5 or
    1.5, lattices, blocks and geometric graphs; other ranges of weights, lengths
    and scales; Laplace or Cauchy noise whose variance, log(1 + exp h), depends on
    the parents through a Gaussian process h. Cauchy noise is not clipped: standard
    deviations mean little in such tables.

    Interventions set one variable to values of random sign and of 1 to 3 (out of
    distribution: 1 to 5) in absolute value, drawn anew for every row. The variables
    hit are all of them (out of distribution: half of them).

    Args:
      key: consumed.
      domain: "linear" or "rff", static.
      out_of_distribution: static.
      num_variables: d, static, at least 4.
      num_rows: n, static.
      interventional: static; if True a fifth of the rows, after the others, is
        shared evenly among the targets, each a regime of its own.

    Returns:
      ``(problem, graph)``: raw columns, and the graph ``[d, d]`` bool.

    Raises:
      ValueError: if the domain is another or there are fewer than 4 variables.

    Source: Lorch et al. 2022, "Amortized inference for causal structure learning";
    its published configurations. A lattice of AVICI keeps its variables' order,
    and so does a geometric graph: directions follow positions.
    """
    if domain not in ("linear", "rff"):
        raise ValueError(f'domain must be "linear" or "rff", not {domain!r}')
    if num_variables < 4:
        raise ValueError(f"num_variables must be at least 4, not {num_variables}")
    setting = _OUT_OF_DISTRIBUTION if out_of_distribution else _IN_DISTRIBUTION
    key_graph, key_function, key_bias, key_noise, key_done = jax.random.split(key, 5)
    graph = _choose_graph(key_graph, setting.graphs, num_variables)
    draw = _linear if domain == "linear" else _gaussian_process
    signal = draw(key_function, setting, graph)
    bias = jax.random.uniform(key_bias, (num_variables,), jnp.float32, -_BIAS, _BIAS)
    draw_noise = _heteroscedastic if out_of_distribution else _homoscedastic
    scaled_noise = draw_noise(key_noise, graph, num_rows)

    def respond(x, means, sds, j):
        del means, sds
        parents = jnp.where(graph[None, :, j], x, 0)
        return signal(parents, j) + bias[j] + scaled_noise(parents, j)

    regime, cut, value = _interventions(
        key_done, setting, num_variables, num_rows, interventional
    )
    x, _, _ = fill_columns(
        respond,
        topological_order(graph),
        jnp.zeros_like(value),  # a cut cell is its value
        cut,
        value,
    )
    return make_problem(x, intervened=cut, regime=regime), graph


def _choose_graph(key, graphs, num_variables):
    # All are drawn and one is kept, which is what a switch is under vmap.
    key_kind, *keys = jax.random.split(key, len(graphs) + 1)
    kind = jax.random.randint(key_kind, (), 0, len(graphs))
    drawn = [graph(key, num_variables) for graph, key in zip(graphs, keys, strict=True)]
    return jnp.stack(drawn)[kind]


def _choose_range(key, ranges):
    low, high = jnp.array(ranges)[jax.random.randint(key, (), 0, len(ranges))]
    return low, high


def _signed(key, shape, low, high):
    key_magnitude, key_sign = jax.random.split(key)
    magnitude = jax.random.uniform(key_magnitude, shape, jnp.float32)
    sign = jax.random.rademacher(key_sign, shape, jnp.float32)
    return sign * (low + (high - low) * magnitude)


def _linear(key, setting, graph):
    key_range, key_weights = jax.random.split(key)
    weights = _signed(
        key_weights, graph.shape, *_choose_range(key_range, setting.weights)
    )
    return lambda parents, j: matmul(parents, weights[:, j])


def _gaussian_process(key, setting, graph):
    """Draws of length and scale are each variable's own, their ranges the table's."""
    key_lengths, key_scales, key_length, key_scale, key_draw = jax.random.split(key, 5)

    def uniform(key, low, high):
        share = jax.random.uniform(key, graph.shape[:1], jnp.float32)
        return low + (high - low) * share

    lengths = uniform(key_length, *_choose_range(key_lengths, setting.lengths))
    scales = uniform(key_scale, *_choose_range(key_scales, setting.scales))
    return _random_functions(key_draw, lengths, scales)


def _random_functions(key, lengths, scales):
    """One Gaussian process a variable, ``(parents [n, d], j) -> [n]``."""
    d = lengths.shape[0]
    key_frequency, key_phase, key_weight = jax.random.split(key, 3)
    shape = (d, d, _NUM_FEATURES)
    frequencies = jax.random.normal(key_frequency, shape, jnp.float32)
    frequencies = frequencies / lengths[:, None, None]
    phases = jax.random.uniform(
        key_phase, (d, _NUM_FEATURES), jnp.float32, 0, 2 * math.pi
    )
    weights = jax.random.normal(key_weight, (d, _NUM_FEATURES), jnp.float32)
    weights = scales[:, None] * weights

    def function(parents, j):
        features = fourier_features(parents, frequencies[j], phases[j])
        return matmul(features, weights[j])

    return function


def _homoscedastic(key, graph, num_rows):
    key_scale, key_noise = jax.random.split(key)
    d = graph.shape[0]
    scale = jax.random.uniform(key_scale, (d,), jnp.float32, *_NOISE_SCALE)
    noise = scale[None, :] * jax.random.normal(key_noise, (num_rows, d), jnp.float32)
    return lambda parents, j: noise[:, j]


def _heteroscedastic(key, graph, num_rows):
    key_family, key_laplace, key_cauchy, key_variance = jax.random.split(key, 4)
    d = graph.shape[0]
    # In AVICI's units: neither has standard deviation 1.
    noise = jnp.where(
        jax.random.bernoulli(key_family),
        jax.random.laplace(key_laplace, (num_rows, d), jnp.float32),
        jax.random.cauchy(key_cauchy, (num_rows, d), jnp.float32),
    )
    variance_input = _random_functions(
        key_variance,
        jnp.full(d, _VARIANCE_LENGTH, jnp.float32),
        jnp.full(d, _VARIANCE_SCALE, jnp.float32),
    )

    def scaled_noise(parents, j):
        return jnp.sqrt(jax.nn.softplus(variance_input(parents, j))) * noise[:, j]

    return scaled_noise


def _interventions(key, setting, num_variables, num_rows, interventional):
    """The regime of each row, which cells are set, and to what, elsewhere 0."""
    num_intervened = round(_SHARE_INTERVENED * num_rows) if interventional else 0
    num_targets = round(setting.targets * num_variables)
    key_targets, key_values = jax.random.split(key)
    targets = jax.random.permutation(key_targets, num_variables)[:num_targets]
    place = jnp.sort(jnp.arange(num_intervened) % num_targets)
    first = jnp.zeros(num_rows - num_intervened, jnp.int32)
    regime = jnp.concatenate([first, place.astype(jnp.int32) + 1])
    hit = jnp.concatenate([first - 1, targets[place].astype(jnp.int32)])
    cut = hit[:, None] == jnp.arange(num_variables)[None, :]
    value = _signed(key_values, cut.shape, *setting.value)
    return regime, cut, jnp.where(cut, value, 0)
