"""Exact sums over all DAGs whose weight depends on numbers of parents alone.

    w(G) = prod_j f(number of parents of j in G)

Variables are alike then, so sets count by their sizes: sums take d^3 operations, where
those of ``graphs.modular`` take 3^d. Every term is positive, so float32 serves.

A graph has layers: its roots, then the variables whose parents are all in layers
before, one of them in the last. With u variables placed and s of them in the last
layer, a new variable has parents in

    W(u, s) = sum_p (C(u, p) - C(u - s, p)) f(p),    W(0, 0) = f(0)

ways, by weight, and the rest of the graph has weight

    B(u, s) = sum_{k = 1}^{d - u} C(d - u, k) W(u, s)^k B(u + k, k),    B(d, s) = 1.

Source: Robinson 1973 and Kuipers and Moffa 2015, "Uniform random generation of large
acyclic digraphs", who count graphs so; here they have weights.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.types import Array
from causaljax.graphs.modular import NEVER


def log_total(log_weights: ArrayLike) -> Array:
    """The logarithm of the sum of the weights of all DAGs, log B(0, 0).

    Args:
      log_weights: ``[d]`` float, log f(p) for p = 0, ..., d - 1 parents; what is below
        ``modular.NEVER`` counts as 0.

    Returns:
      ``[]`` float.

    Differentiable: in the logarithms of the weights. The gradient is the expected
    number of variables with each number of parents.

    Example: There are 543 DAGs of four variables.
      >>> round(float(jnp.exp(log_total(jnp.zeros(4)))))
      543
    """
    return _sums(log_weights).rest[0, 0]


def sample_dags(key: Array, log_weights: ArrayLike, num_graphs: int) -> Array:
    """DAGs drawn independently, each with probability w(G) / Z.

    Sizes of layers are drawn from the terms of B, numbers of parents from those of W.
    Which variables they are is uniform.

    Args:
      key: typed key.
      log_weights: as in ``log_total``.
      num_graphs: s, static.

    Returns:
      ``[s, d, d]`` bool.
    """
    sums = _sums(log_weights)
    keys = jax.random.split(key, num_graphs)
    return jax.vmap(lambda one: _sample(one, sums))(keys)


class _Sums(NamedTuple):
    weights: Array  # [d] float, log f
    ways: Array  # [d + 1, d + 1] float, log W(u, s)
    rest: Array  # [d + 1, d + 1] float, log B(u, s)


def _sums(log_weights):
    weights = jnp.asarray(log_weights)
    weights = jnp.maximum(weights, NEVER)
    d, dtype = weights.shape[0], weights.dtype
    choose = jnp.asarray(_log_choose(d), dtype)
    terms = jnp.asarray(_log_touching(d), dtype) + weights[None, None]
    ways = jax.nn.logsumexp(terms, axis=2)
    sizes = jnp.arange(1, d + 1)

    def earlier(rest, placed):
        after = rest[jnp.minimum(placed + sizes, d), sizes]
        terms = choose[d - placed, sizes] + after
        terms = terms[None] + sizes.astype(dtype)[None] * ways[placed][:, None]
        return rest.at[placed].set(jax.nn.logsumexp(terms, axis=1)), None

    done = jnp.zeros((d + 1, d + 1), dtype)
    rest, _ = jax.lax.scan(earlier, done, jnp.arange(d), reverse=True)
    return _Sums(weights, ways, rest)


def _sample(key, sums):
    d = sums.weights.shape[0]
    dtype = sums.weights.dtype
    choose = jnp.asarray(_log_choose(d), dtype)
    touching = jnp.asarray(_log_touching(d), dtype)
    layer_key, size_key, split_key, place_key, label_key = jax.random.split(key, 5)
    sizes = jnp.arange(1, d + 1)
    places = jnp.arange(d)

    def unfinished(state):
        return state[0] < d

    def add_layer(state):
        placed, last, placed_before, last_before = state
        after = sums.rest[jnp.minimum(placed + sizes, d), sizes]
        logits = choose[d - placed, sizes] + after
        logits = logits + sizes.astype(dtype) * sums.ways[placed, last]
        step_key = jax.random.fold_in(layer_key, placed)
        size = 1 + jax.random.categorical(step_key, logits)
        new = (places >= placed) & (places < placed + size)
        return (
            placed + size,
            size,
            jnp.where(new, placed, placed_before),
            jnp.where(new, last, last_before),
        )

    none, each = jnp.zeros_like(places[0]), jnp.zeros_like(places)
    start = none, none, each, each
    _, _, placed, last = jax.lax.while_loop(unfinished, add_layer, start)

    # How many parents, then how many of them are in the layer before.
    logits = touching[placed, last] + sums.weights[None]
    number = jax.random.categorical(size_key, logits, axis=1)
    others = jnp.maximum(number[:, None] - places[None], 0)
    earlier = jnp.maximum(placed - last, 0)
    logits = choose[last[:, None], places[None]] + choose[earlier[:, None], others]
    fits = (places[None] >= 1) & (places[None] <= number[:, None])
    logits = jnp.where(fits, logits, NEVER)
    near = jnp.where(number > 0, jax.random.categorical(split_key, logits, axis=1), 0)

    # A uniform choice of that many of each.
    noise = jax.random.uniform(place_key, (d, d), dtype)
    in_last = (places[None] >= earlier[:, None]) & (places[None] < placed[:, None])
    before = places[None] < earlier[:, None]
    chosen = in_last & (_ranks(noise, in_last) < near[:, None])
    chosen = chosen | (before & (_ranks(noise, before) < (number - near)[:, None]))
    labels = jax.random.permutation(label_key, d)
    return chosen.T[labels][:, labels]


def _ranks(noise, inside):
    """How many entries of the same row, of those inside, are smaller."""
    order = jnp.argsort(jnp.where(inside, noise, 2), axis=1)
    return jnp.argsort(order, axis=1)


@functools.cache
def _log_choose(d):
    """Logarithms of binomial coefficients, ``[d + 1, d + 1]``, of n and k."""
    n, k = np.arange(d + 1)[:, None], np.arange(d + 1)[None]
    factorials = np.cumsum(np.log(np.maximum(np.arange(d + 1), 1)))
    logs = factorials[n] - factorials[k] - factorials[np.maximum(n - k, 0)]
    return np.where(k <= n, logs, NEVER)


@functools.cache
def _log_touching(d):
    """Logarithms of C(u, p) - C(u - s, p), ``[d + 1, d + 1, d]``, of u, s and p."""
    u, s = np.arange(d + 1)[:, None, None], np.arange(d + 1)[None, :, None]
    p = np.arange(d)[None, None]
    choose = _log_choose(d)
    all_of, without = choose[u, p], choose[np.maximum(u - s, 0), p]
    with np.errstate(divide="ignore"):
        logs = all_of + np.log(-np.expm1(np.minimum(without - all_of, 0)))
    logs = np.where((s >= 1) & (s <= u) & (p >= 1) & (p <= u), logs, NEVER)
    return np.where((u == 0) & (s == 0) & (p == 0), 0, logs)
