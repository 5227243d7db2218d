"""Exact sums over all DAGs whose weight is a product over variables.

A modular weight is w(G) = prod_i w_i(pa_i(G)). A posterior over graphs has one if the
score and the prior have: w_i is the local marginal likelihood times the prior of the
parent set. Parent sets are numbers: bit j of a set is 1 where variable j is in it. What
is asked for is summed over graphs and not over orders, so no graph counts more often
because more orders suit it.

The sums grow as 3^d, those of sampling as 4^d; ``bytes_needed`` foretells the memory.
Work in float64: float32 has too few digits for logarithms of weights.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.types import Array

_AT_ONCE = 2**22  # entries of the largest arrays that are in memory at a time

NEVER = -1e12
"""Stands for the logarithm of 0: finite, so that sums and gradients are."""


class _Level(NamedTuple):
    """The sets Y of one size and what there is outside, as constants of a program."""

    sets: np.ndarray  # [c] the sets
    outside: np.ndarray  # [c, m] the variables that are in none of them
    unions: np.ndarray  # [c, 2^m] Y together with each set X of those
    sizes: np.ndarray  # [2^m] of X


def log_total(log_weights: ArrayLike) -> Array:
    """The logarithm of the sum of the weights of all DAGs.

        Z(Y) = sum over X, a nonempty part of V - Y:
               (-1)^(|X| + 1) prod_{i in X} a_i(Y) Z(Y + X),
        a_i(Y) = sum over P, a part of Y, of w_i(P),   Z(V) = 1;   answer Z({}).

    Z(Y) is the weight of all ways to add the variables that are not in Y, which may
    have parents in Y: X runs over sets of variables that have parents in Y alone, and
    the signs count each graph once. The gradient is the posterior probability of each
    parent set.

    Args:
      log_weights: ``[d, 2^d]`` float, log w_i(P); what is below ``NEVER`` counts as 0.
        A set that holds i itself has no weight, whatever is given.

    Returns:
      ``[]`` float; NaN where rounding has eaten the sum, see ``rounding_error``.

    Differentiable: in the logarithms of the weights.
    Source: Tian and He 2009, "Computing posterior probabilities of structural features
    in Bayesian networks", and Robinson 1973 for the signs.
    """
    return _log_total(_possible(log_weights), signed=True)


def rounding_error(log_weights: ArrayLike) -> Array:
    """An estimate of the relative error of ``log_total``'s sum through its signs.

    That is the sum without signs over the sum with them, times the precision of the
    dtype. It is largest where graphs with few edges weigh most.

    Args:
      log_weights: as in ``log_total``.

    Returns:
      ``[]`` float.
    """
    log_weights = _possible(log_weights)
    plain = _log_total(log_weights, signed=False)
    excess = plain - _log_total(log_weights, signed=True)
    return jnp.exp(excess) * jnp.finfo(log_weights.dtype).eps


def parent_set_probabilities(log_weights: ArrayLike) -> Array:
    """The probability of every parent set of every variable.

    Args:
      log_weights: as in ``log_total``.

    Returns:
      ``[d, 2^d]`` float; rows sum to 1.
    """
    return jax.grad(log_total)(jnp.asarray(log_weights))


def edge_probabilities(parent_sets: ArrayLike) -> Array:
    """Edge probabilities of those of parent sets.

    Args:
      parent_sets: ``[d, 2^d]`` float, of ``parent_set_probabilities``.

    Returns:
      ``[d, d]`` float, [i, j] the probability of i -> j.
    """
    parent_sets = jnp.asarray(parent_sets)
    members = _members(parent_sets.shape[0]).astype(parent_sets.dtype)
    return jnp.einsum("js,si->ij", parent_sets, members, precision="highest")


def sample_dags(key: Array, log_weights: ArrayLike, num_graphs: int) -> Array:
    """DAGs drawn independently, each with probability w(G) / Z.

    A graph has layers: its roots, then the variables whose parents are all in layers
    before, one of them in the last. With U for what is placed and T for the last layer,

        B(U, T) = sum over T', a nonempty part of V - U:
                  prod_{i in T'} (a_i(U) - a_i(U - T)) B(U + T', T'),   B(V, .) = 1;

    layers are drawn from the terms of this sum, parent sets given the layers.

    Args:
      key: typed key.
      log_weights: as in ``log_total``.
      num_graphs: s, static.

    Returns:
      ``[s, d, d]`` bool.

    Source: Kuipers and Moffa 2017 and Talvitie, Vuoksenmaa and Koivisto 2019 for sums
    over layers.
    """
    log_weights = _possible(log_weights)
    d = log_weights.shape[0]
    subsets = _log_subset_sums(log_weights)
    completions = _log_completions(subsets)
    everything = jnp.arange(2**d, dtype=jnp.int32)

    def one(key):
        layer_key, parent_key = jax.random.split(key)
        placed, last = _layers(layer_key, subsets, completions)
        # Parents are among what was placed before, one of them in the layer before.
        inside = (everything[None, :] & ~placed[:, None]) == 0
        touches = (everything[None, :] & last[:, None]) != 0
        fits = inside & (touches | (placed == 0)[:, None])
        keys = jax.random.split(parent_key, d)
        chosen = jax.vmap(_draw)(keys, jnp.where(fits, log_weights, -jnp.inf))
        return jnp.asarray(_members(d))[chosen].T

    keys = jax.random.split(key, num_graphs)
    return jax.lax.map(one, keys, batch_size=max(1, _AT_ONCE // 2**d))


def bytes_needed(num_variables: int, *, sampling: bool) -> int:
    """Memory that exact sums over DAGs take at their peak, roughly.

    Args:
      num_variables: d.
      sampling: whether graphs are drawn, too.

    Returns:
      Bytes, in float64.
    """
    return 8 * (12 * 3**num_variables + (8 * _AT_ONCE if sampling else 0))


def _possible(log_weights):
    """Weights with none for a variable among its own parents."""
    log_weights = jnp.asarray(log_weights)
    own = _members(log_weights.shape[0]).T
    return jnp.where(own, NEVER, jnp.maximum(log_weights, NEVER))


@functools.cache
def _members(d):
    """``[2^d, d]`` bool, which variables are in each set."""
    return (np.arange(2**d)[:, None] >> np.arange(d)[None, :] & 1).astype(bool)


def _subsets(d, size):
    sets = np.arange(2**d)
    return sets[np.bitwise_count(sets) == size]


@functools.cache
def _level(d, size):
    sets = _subsets(d, size)
    outside = np.stack([np.flatnonzero(~_members(d)[one]) for one in sets])
    unions = sets[:, None]
    for bit in (1 << outside).T:
        unions = np.concatenate([unions, unions | bit[:, None]], axis=1)
    return _Level(sets, outside, unions, np.bitwise_count(np.arange(2 ** (d - size))))


def _log_subset_sums(log_weights):
    """The logarithm of a_i(Y) for every set Y, ``[d, 2^d]``."""
    d = log_weights.shape[0]
    sums = log_weights
    for j in range(d):
        halves = sums.reshape(d, -1, 2, 2**j)
        without = halves[:, :, 0]
        both = jnp.logaddexp(without, halves[:, :, 1])
        sums = jnp.stack([without, both], axis=2).reshape(d, 2**d)
    return sums


def _over_subsets(terms):
    """Sums over every set of entries along the last axis, ``[..., 2^m]``."""
    sums = jnp.zeros_like(terms[..., :0].sum(axis=-1, keepdims=True))
    for j in range(terms.shape[-1]):
        sums = jnp.concatenate([sums, sums + terms[..., j : j + 1]], axis=-1)
    return sums


def _log_total(log_weights, signed):
    d = log_weights.shape[0]
    subsets = _log_subset_sums(log_weights)
    rest = jnp.zeros_like(subsets[0])  # log Z(Y) by Y
    for size in reversed(range(d)):
        level = _level(d, size)
        weights = subsets[level.outside, level.sets[:, None]]
        terms = (_over_subsets(weights) + rest[level.unions])[:, 1:]  # X is not empty
        signs = np.where(level.sizes[1:] % 2, 1.0, -1.0 if signed else 1.0)
        highest = jax.lax.stop_gradient(terms.max(axis=1))
        scaled = jnp.exp(terms - highest[:, None]) * signs.astype(terms.dtype)[None, :]
        rest = rest.at[level.sets].set(highest + jnp.log(scaled.sum(axis=1)))
    return rest[0]


def _log_completions(subsets):
    """The logarithm of B(U, T) of ``sample_dags``, ``[3^d]``.

    Its place is the sum of the ``_places`` of U and T, the number whose digits to the
    base 3 are 2 in T, 1 in the rest of U and 0 elsewhere.
    """
    d = subsets.shape[0]
    table = jnp.zeros_like(subsets, shape=(3**d,))
    place = jnp.asarray(_places(d))
    for size in reversed(range(d)):
        level = _level(d, size)
        inside = np.stack([np.flatnonzero(_members(d)[one]) for one in level.sets])
        lasts = np.zeros_like(level.sets)[:, None]
        for bit in (1 << inside).T if size else ():
            lasts = np.concatenate([lasts, lasts | bit[:, None]], axis=1)

        def complete(row, table=table):
            placed, outside, unions, lasts = row
            touching = jax.vmap(
                lambda last: _log_touching(subsets, placed, last)[outside]
            )(lasts)
            added = unions ^ placed
            terms = _over_subsets(touching) + table[place[unions] + place[added]][None]
            return jax.nn.logsumexp(terms[:, 1:], axis=1)

        rows = level.sets, level.outside, level.unions, lasts
        rows = jax.tree.map(jnp.asarray, rows)
        sums = jax.lax.map(complete, rows, batch_size=max(1, _AT_ONCE // 2**d))
        table = table.at[place[rows[0]][:, None] + place[rows[3]]].set(sums)
    return table


def _log_touching(subsets, placed, last):
    """The logarithm of a_i(U) - a_i(U - T), ``[d]``.

    Roots, for which U is empty, have the empty set.
    """
    all_of = subsets[:, placed]
    without = subsets[:, placed & ~last]
    share = jnp.where(placed == 0, 0, jnp.exp(without - all_of))
    return jnp.where(share < 1, all_of + jnp.log1p(-jnp.minimum(share, 1)), NEVER)


def _layers(key, subsets, completions):
    """What is placed before each variable and the layer before, ``[d]`` int each."""
    d = subsets.shape[0]
    variables = 1 << jnp.arange(d, dtype=jnp.int32)
    place = jnp.asarray(_places(d))
    everything = jnp.arange(2**d, dtype=jnp.int32)

    def unfinished(state):
        return state[1] != 2**d - 1

    def add_layer(state):
        step, placed, last, placed_before, last_before = state
        touching = _log_touching(subsets, placed, last)
        touching = jnp.where(variables & placed, -jnp.inf, touching)
        logits = _over_subsets(touching)
        fits = (everything != 0) & (everything & placed == 0)
        after = completions[jnp.where(fits, place[placed] + 2 * place, 0)]
        logits = jnp.where(fits, logits + after, -jnp.inf)
        layer = _draw(jax.random.fold_in(key, step), logits)
        new = (variables & layer) != 0
        return (
            step + 1,
            placed | layer,
            layer,
            jnp.where(new, placed, placed_before),
            jnp.where(new, last, last_before),
        )

    none = jnp.zeros((), variables.dtype)
    each = jnp.zeros_like(variables)
    state = (jnp.zeros((), jnp.int32), none, none, each, each)
    return jax.lax.while_loop(unfinished, add_layer, state)[3:]


def _draw(key, logits):
    """The place of one entry, drawn by its share of the sum."""
    sums = jnp.cumsum(jnp.exp(logits - logits.max()))
    level = jax.random.uniform(key, dtype=logits.dtype) * sums[-1]
    return jnp.searchsorted(sums, level, side="right").astype(jnp.int32)


@functools.cache
def _places(d):
    """The number to the base 3 that has the digits of each set to the base 2."""
    return _members(d) @ 3 ** np.arange(d)
