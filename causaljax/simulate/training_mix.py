"""Endless tables of known graph for networks to learn from.

One table is one key: graph, mechanisms, noise, scales, interventions, gaps and what
is revealed of the graph are all drawn afresh. Held out, so that they can test a
trained network: Watts-Strogatz graphs, Cauchy noise, and the mechanism families
"sigmoid", "polynomial", "periodic" and "post_nonlinear" of ``MECHANISMS``. The
other mechanisms are of the same kind as those of ``MECHANISMS``, but their parameters
have distributions of their own.

Branches are real branches (``lax.switch``) as long as tables are drawn one by one, as
``lax.map`` does; under vmap every branch would be computed.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Kind, Problem
from causaljax.simulate.columns import fill_columns
from causaljax.simulate.graphs import attach, largest
from causaljax.simulate.interventions import (
    Intervention,
    draw_target_sets,
    draw_targets,
    on_targets,
)
from causaljax.simulate.knowledge import draw_knowledge
from causaljax.simulate.mechanisms import (
    fourier_features,
    hidden_units,
    linear_weights,
    signed_uniform,
)
from causaljax.simulate.noise import NOISE, mixture, student_t

HIDDEN_SHARE = 0.31
"""Of the tables, how many are pooled from interventions that nobody recorded."""

# How often each family is drawn.
_GRAPHS = {
    "uniform": 0.38, "blocks": 0.12, "geometric": 0.12, "popularity": 0.14,
    "attachment": 0.24,
}  # fmt: skip
_NOISE = {
    "gaussian": 0.42, "laplace": 0.13, "uniform": 0.11, "exponential": 0.13,
    "gumbel": 0.06, "student_t": 0.08, "mixture": 0.07,
}  # fmt: skip
_MECHANISMS = {
    "linear": 0.34, "network": 0.21, "gaussian_process": 0.23, "additive": 0.16,
    "nonadditive_network": 0.06,
}  # fmt: skip
_NUM_FEATURES = 48  # of a Gaussian process, and of a sum of functions of one parent
_NUM_HIDDEN = 16  # units of a network
_BLOCK_BONUS = 2.3  # log of the odds of an edge within a block to one between two


class Draw(NamedTuple):
    """A table and what made it."""

    problem: Problem  # ``allowed`` and ``required`` hold what was revealed
    graph: Array  # [d, d] bool
    known: Array  # [d, d] bool, symmetric: pairs revealed whole
    target: Array  # [d] bool, targets of interventions nobody recorded


def draw_table(
    key: Array, num_variables: int, num_rows: int, hidden: float = HIDDEN_SHARE
) -> Draw:
    """One table of the training mix.

    Graphs are uniform, scale-free in either direction, in blocks, geometric, or of
    uneven popularity, of .5 to 3 edges a variable; of 0 to .5 in a tenth of the
    tables, and in 1 / d of those of less than ten variables. Mechanisms are linear,
    networks (also with the noise inside), Gaussian processes or sums of functions of
    one parent each; noise Gaussian, Laplace, uniform, exponential, Gumbel, Student-t or
    in two lumps, sometimes of varying scale. In half of the tables each column is
    standardised before its children see it. A share ``hidden`` of the tables is
    pooled from regimes of unknown label, target and number: up to d of one target
    each, or up to 2 d of one to four. Of the others 55 % have no interventions and
    in 45 % they are known. Some rows are padding in 40 %, cells are missing in 15 %,
    columns rounded in 5 %; in half, part of the graph is revealed.

    Args:
      key: consumed.
      num_variables: d, static, at least 2.
      num_rows: n, static; rows of weight 0 included.
      hidden: share of the tables whose interventions nobody recorded, in [0, 1].

    Returns:
      The draw, float32, finite.
    """
    d, n = num_variables, num_rows
    keys = iter(jax.random.split(key, 9))
    graph = _graph(next(keys), d)
    done, recorded = _interventions(next(keys), d, n, hidden)
    weight = _row_weights(next(keys), n)
    noise = _noise(next(keys), d, n)
    x = _columns(next(keys), graph, noise, done, weight)
    x = _rounded(next(keys), x)
    observed = _observed(next(keys), d, n)
    allowed, required, known = draw_knowledge(next(keys), graph)

    order = jax.random.permutation(next(keys), d)
    graph, allowed, required, known = (
        matrix[order][:, order] for matrix in (graph, allowed, required, known)
    )
    problem = Problem(
        x=jnp.where(observed, x[:, order], 0),
        observed=observed,
        intervened=(done.targets & recorded)[:, order],
        regime=jnp.full(n, -1, jnp.int32),
        weight=weight,
        allowed=allowed,
        required=required,
        kind=jnp.full(d, Kind.CONTINUOUS, jnp.int8),
    )
    hit = jnp.any(done.targets & (weight > 0)[:, None], axis=0)
    return Draw(problem, graph, known, (hit & ~recorded)[order])


def _uniform(key, low=0.0, high=1.0, shape=()):
    return jax.random.uniform(key, shape, jnp.float32, low, high)


def _log_uniform(key, low, high, shape=()):
    return jnp.exp(_uniform(key, jnp.log(low), jnp.log(high), shape))


def _normal(key, *shape):
    return jax.random.normal(key, shape, jnp.float32)


def _choose(key, shares, shape=()):
    return jax.random.choice(key, len(shares), shape, p=jnp.array(shares))


def _families(key, shares, alike, d):
    """The place in ``shares`` of each variable's family, ``[d]``.

    With probability ``alike`` all variables are of one family.
    """
    key_family, key_alike = jax.random.split(key)
    family = _choose(key_family, list(shares.values()), (d,))
    return jnp.where(jax.random.bernoulli(key_alike, alike), family[0], family)


def _graph(key, d):
    """``[d, d]`` bool, parents before children."""
    keys = iter(jax.random.split(key, 10))
    few = jax.random.bernoulli(next(keys), max(0.1, 1 / d))
    degree = _uniform(next(keys), jnp.where(few, 0, 0.5), jnp.where(few, 0.5, 3))
    most = max(0.7 * d * (d - 1) / 2, 1.0)
    num_edges = jnp.minimum(jnp.round(d * degree), most).astype(jnp.int32)
    kind = _choose(next(keys), list(_GRAPHS.values()))

    # All but "attachment" take the edges of the highest scores.
    chance = jax.random.gumbel(next(keys), (d, d), jnp.float32)
    num_blocks = jax.random.randint(next(keys), (), 2, 6)
    block = jax.random.randint(next(keys), (d,), 0, num_blocks)
    place = _uniform(next(keys), shape=(d, 2))
    out, into = _normal(next(keys), 2, d)
    scores = {
        "uniform": chance,
        "blocks": chance + jnp.where(block[:, None] == block[None], _BLOCK_BONUS, 0),
        "geometric": -((place[:, None] - place[None]) ** 2).sum(axis=-1),
        "popularity": chance + out[:, None] + into[None],
        "attachment": chance,  # it joins every variable, so it is not for few edges
    }
    score = jnp.stack([scores[name] for name in _GRAPHS])[kind]
    above = jnp.triu(jnp.ones((d, d), bool), 1)
    scored = largest(jnp.where(above, score, -jnp.inf), num_edges)

    num_targets = jnp.maximum(jnp.round(num_edges / d), 1).astype(jnp.int32)
    attached = attach(next(keys), d, num_targets)
    turned = jax.random.bernoulli(next(keys))
    attached = jnp.where(turned, attached.T, attached[::-1, ::-1])
    is_attached = (kind == list(_GRAPHS).index("attachment")) & ~few
    return jnp.where(is_attached, attached, scored)


def _interventions(key, d, n, hidden):
    """What is done to each cell, ``[n, d]`` leaves, and whether that is recorded.

    Shifts, and scales where cut, are in standard deviations of the rows of the column
    that are left alone.
    """
    keys = iter(jax.random.split(key, 16))
    none, recorded = 0.55 * (1 - hidden), 0.45 * (1 - hidden)
    kind = _choose(next(keys), [none, recorded, hidden])

    several = jax.random.bernoulli(next(keys), 0.35)  # targets in one regime
    most = 2 * d
    num_regimes = jax.random.randint(next(keys), (), 1, jnp.where(several, most, d) + 1)
    every = jax.random.bernoulli(next(keys), 0.45)
    num_regimes = jnp.where(every & ~several, d, num_regimes)
    sizes, alike = (1, min(4, d)), jax.random.bernoulli(next(keys))
    targets = jnp.where(
        several,
        draw_target_sets(next(keys), d, most + 1, sizes, alike),
        draw_targets(next(keys), d, most + 1, 1),
    )
    regime = jax.random.randint(next(keys), (n,), 1, num_regimes + 1)
    alone = _uniform(next(keys), shape=(n,)) <= _uniform(next(keys), 0.03, 0.7)
    regime = jnp.where(alone | (kind == 0), 0, regime)

    cut = jax.random.bernoulli(next(keys), 0.8)
    moved = jax.random.bernoulli(next(keys), 0.85)
    low = jnp.where(cut, _uniform(next(keys), 0.5, 2), 0.5)
    high = jnp.where(cut, 2.5 * low, 2.5)
    shift = jnp.where(moved, signed_uniform(next(keys), targets.shape, low, high), 0)
    # Some perfect ones set a constant; some others leave the noise as it is.
    fixed = moved & jax.random.bernoulli(next(keys), jnp.where(cut, 0.25, 0.5))
    spread = _uniform(next(keys), 0.2, 1.5, targets.shape)
    scale = jnp.where(fixed, jnp.where(cut, 0.0, 1.0), spread)
    done = on_targets(targets, cut, shift, scale)
    return jax.tree.map(lambda leaf: leaf[regime], done), kind == 1


def _row_weights(key, n):
    count_key, padded_key = jax.random.split(key)
    padded = jax.random.bernoulli(padded_key, 0.4)
    count = jnp.where(padded, _log_uniform(count_key, min(30, n), n), n)
    return (jnp.arange(n, dtype=jnp.float32) < count).astype(jnp.float32)


def _noise(key, d, n):
    """``[n, d]`` of mean 0 and standard deviation 1."""
    keys = iter(jax.random.split(key, 5))
    freedom = _log_uniform(next(keys), 2.5, 8.0)
    lump = _uniform(next(keys), 0.5, 0.95)
    varied = {
        "student_t": functools.partial(student_t, df=freedom),
        "mixture": functools.partial(mixture, mean=lump),
    }
    draws = [{**NOISE, **varied}[name] for name in _NOISE]
    branches = [
        functools.partial(draw, shape=(n,), dtype=jnp.float32) for draw in draws
    ]
    family = _families(next(keys), _NOISE, 0.75, d)
    noise = jax.lax.map(
        lambda column: jax.lax.switch(column[0], branches, column[1]),
        (family, jax.random.split(next(keys), d)),
    )
    lean = jax.random.rademacher(next(keys), (d,), jnp.float32)
    return jnp.clip(noise.T * lean[None, :], -20, 20)


def _columns(
    key: Array, graph: Array, noise: Array, done: Intervention, weight: Array
) -> Array:
    """Fills the columns, parents first, ``[n, d]``."""
    d = graph.shape[0]
    keys = iter(jax.random.split(key, 12))
    internal = jax.random.bernoulli(next(keys), 0.5)
    family = _families(next(keys), _MECHANISMS, 0.85, d)
    # Signals whose size is not drawn, but follows from the weights.
    is_plain = jax.random.bernoulli(next(keys), 0.65) & (
        family == list(_MECHANISMS).index("linear")
    )
    low = _uniform(next(keys), 0.2, 1)
    high = low + _uniform(next(keys), 0.2, 2)
    weights = linear_weights(next(keys), graph, low, high)
    signal_size = _log_uniform(next(keys), 0.7, 4.0)
    length = _uniform(next(keys), 0.7, 2.5)
    uneven = jax.random.bernoulli(next(keys), 0.4)
    noise_scale = jnp.where(uneven, _log_uniform(next(keys), 0.3, 2.0, (d,)), 1.0)
    varying = jax.random.bernoulli(next(keys), 0.15)
    column_key = next(keys)
    unit_noise = noise * done.scale

    def moments(column, j):
        """Of the rows in which the column is left alone."""
        natural = jnp.where(done.targets[:, j], 0, weight)
        count = jnp.maximum(natural.sum(), 1)
        mean = (natural * column).sum() / count
        variance = (natural * (column - mean) ** 2).sum() / count
        return mean, jnp.sqrt(jnp.maximum(variance, 1e-10))

    def shown_moments(column, j):
        """Only tables standardised column by column are centred."""
        mean, sd = moments(column, j)
        return jnp.where(internal, mean, 0), sd

    def respond(x, means, sds, j):
        del means
        parents = jnp.where(graph[None, :, j], x, 0)
        noise = unit_noise[:, j]
        keys = jax.random.split(jax.random.fold_in(column_key, j), 3)
        seen_weights = jnp.where(internal, 1, sds) * weights[:, j]
        signals = {
            "linear": lambda key: matmul(parents, seen_weights),
            **_nonlinear(graph[:, j], parents, noise, length),
        }
        branches = [signals[name] for name in _MECHANISMS]
        signal = jax.lax.switch(family[j], branches, keys[0])
        mean, sd = moments(signal, j)
        size = signal_size * jnp.exp(0.3 * _normal(keys[1]))
        signal = jnp.where(is_plain[j], signal, (signal - mean) / sd * size)
        swing = jnp.exp(jnp.tanh(matmul(parents, _normal(keys[2], d))))
        noise = noise_scale[j] * noise * jnp.where(varying, swing, 1)
        return jnp.where(graph[:, j].any(), signal, 0) + noise

    x, _, _ = fill_columns(
        respond, jnp.arange(d), unit_noise, done.cut, done.shift, shown_moments
    )
    square = (weight[:, None] * x**2).sum(axis=0) / jnp.maximum(weight.sum(), 1)
    x = x / jnp.maximum(jnp.sqrt(square), 1e-6)[None, :]
    return jnp.nan_to_num(x, posinf=0, neginf=0)


def _nonlinear(is_parent, parents, noise, length):
    """What a child gets from its parents: family -> ``key -> [n]``, of any scale."""
    d, m = parents.shape[1], _NUM_FEATURES

    def network(key, noise=None):
        keys = jax.random.split(key, 4)
        params = {
            "inputs": signed_uniform(keys[0], (d, _NUM_HIDDEN), 0.3, 2),
            "bias": _normal(keys[1], _NUM_HIDDEN),
            "noise": _normal(keys[2], _NUM_HIDDEN),
        }
        units = hidden_units(params, parents, noise)
        return matmul(units, _normal(keys[3], _NUM_HIDDEN))

    def gaussian_process(key):
        keys = jax.random.split(key, 3)
        frequencies = _normal(keys[0], d, m) / length
        phases = _uniform(keys[1], 0, 2 * math.pi, (m,))
        features = fourier_features(parents, frequencies, phases)
        return matmul(features, _normal(keys[2], m))

    def additive(key):
        keys = jax.random.split(key, 5)
        logits = jnp.where(is_parent, 0, -jnp.inf)
        source = jax.random.categorical(keys[0], logits, shape=(m,))
        slope = 1.5 / length * _normal(keys[1], m)
        params = {
            "inputs": jax.nn.one_hot(source, d, axis=0) * slope[None, :],
            "bias": _uniform(keys[2], -3, 3, (m,)),
        }
        wave = jax.random.bernoulli(keys[3])
        bend = functools.partial(jax.lax.cond, wave, jnp.cos, jnp.tanh)
        return matmul(hidden_units(params, parents, bend=bend), _normal(keys[4], m))

    return {
        "network": network,
        "gaussian_process": gaussian_process,
        "additive": additive,
        "nonadditive_network": lambda key: network(key, noise),
    }


def _rounded(key, x):
    """Some columns of some tables hold few distinct values."""
    some, which, steps = jax.random.split(key, 3)
    step = _log_uniform(steps, 0.2, 1.5, (1, x.shape[1]))
    which = jax.random.bernoulli(some, 0.05) & jax.random.bernoulli(
        which, 0.5, (1, x.shape[1])
    )
    return jnp.where(which, jnp.round(x / step) * step, x)


def _observed(key, d, n):
    some, rate, cells = jax.random.split(key, 3)
    rate = jnp.where(jax.random.bernoulli(some, 0.15), _uniform(rate, 0.02, 0.3), 0)
    return _uniform(cells, shape=(n, d)) >= rate
