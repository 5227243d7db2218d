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
        level = jax.random.uniform(parent_key, (d,), log_weights.dtype)
        chosen = draw_entry(level, jnp.where(fits, log_weights, -jnp.inf))
        return jnp.asarray(_members(d))[chosen].T

    keys = jax.random.split(key, num_graphs)
    return jax.lax.map(one, keys, batch_size=max(1, _AT_ONCE // 2**d))


def path_probabilities(log_weights: ArrayLike) -> Array:
    """The probability that a directed path leads from one variable to another.

    With C(N, S) for the weight of all ways to add the variables S to N, where they may
    have parents in N and S, and R(D) for the weight of those ways to add D to the rest
    in which a variable s of D is an ancestor of all others of D,

        C(N, S) = sum over X, a nonempty part of S: (-1)^(|X| + 1)
                  prod_{i in X} a_i(N) C(N + X, S - X),   C(N, {}) = 1,
        R(D) = C(V - D, D) - sum over E, a proper part of D with s in it:
               C(V - D, D - E) R(E),
        P(D is s and its descendants) = C({}, V - D) R(D) / C({}, V).

    Time grows as 4^d.

    Args:
      log_weights: as in ``log_total``.

    Returns:
      ``[d, d]`` float, 0 on the diagonal.

    Source: Chen, Meng and Tian 2015, "Exact Bayesian learning of ancestor relations in
    Bayesian networks", whose sums over sets of descendants these are.
    """
    log_weights = _possible(log_weights)
    d = log_weights.shape[0]
    additions = _log_additions(_log_subset_sums(log_weights))
    place = jnp.asarray(_places(d))
    everything = 2**d - 1

    def from_source(s):
        others = jnp.arange(d - 1, dtype=jnp.int32)
        others = others + (others >= s).astype(others.dtype)
        # Sets D by their members besides s.
        without = _over_subsets((1 << others)[None])[0]
        bit = (1 << s).astype(without.dtype)
        reached = jnp.zeros_like(additions, shape=(2 ** (d - 1),))
        for size in range(d):
            own = jnp.asarray(_subsets(d - 1, size))
            parts = jnp.asarray(_parts(d - 1, size))  # [c, 2^size], the last all of it
            whole = without[own] | bit
            rest = everything & ~whole
            full = additions[place[rest] + 2 * place[whole]]
            left = without[own[:, None] ^ parts[:, :-1]]
            terms = additions[place[rest][:, None] + 2 * place[left]]
            # As shares of C(V - D, D): those of all E sum to 1.
            terms = jnp.exp(terms + reached[parts[:, :-1]] - full[:, None])
            share = jnp.maximum(1 - terms.sum(axis=1), 0)
            reached = reached.at[own].set(
                jnp.where(share > 0, full + jnp.log(share), NEVER)
            )
        rest = everything & ~(without | bit)
        total = additions[2 * place[everything]]
        prob = jnp.exp(additions[2 * place[rest]] + reached - total)
        found = jnp.asarray(_members(d))[without].astype(prob.dtype)
        return jnp.matmul(prob, found, precision="highest")

    return jax.lax.map(from_source, jnp.arange(d, dtype=jnp.int32))


def most_probable(log_weights: ArrayLike) -> Array:
    """The DAG of the largest weight.

        M(Y) = max over i in Y of M(Y - i) + max over P, a part of Y - i, of log w_i(P)

    Args:
      log_weights: as in ``log_total``.

    Returns:
      ``[d, d]`` bool.

    Source: Silander and Myllymaki 2006, "A simple approach for finding the globally
    optimal Bayesian network structure".
    """
    log_weights = _possible(log_weights)
    d = log_weights.shape[0]
    best, parents = (
        log_weights,
        jnp.broadcast_to(jnp.arange(2**d, dtype=jnp.int32), log_weights.shape),
    )
    for j in range(d):
        halves = best.reshape(d, -1, 2, 2**j)
        kept = parents.reshape(d, -1, 2, 2**j)
        larger = halves[:, :, 1] > halves[:, :, 0]
        most = jnp.where(larger, halves[:, :, 1], halves[:, :, 0])
        best = jnp.stack([halves[:, :, 0], most], axis=2).reshape(d, 2**d)
        which = jnp.where(larger, kept[:, :, 1], kept[:, :, 0])
        parents = jnp.stack([kept[:, :, 0], which], axis=2).reshape(d, 2**d)
    worth = jnp.zeros_like(log_weights[0])
    sinks = jnp.zeros(2**d, jnp.int32)
    variables = np.arange(d, dtype=np.int32)
    for size in range(1, d + 1):
        sets = _subsets(d, size)
        without = sets[:, None] & ~(np.int32(1) << variables)[None, :]
        terms = worth[without] + best[variables[None, :], without]
        terms = jnp.where(_members(d)[sets], terms, -jnp.inf)
        worth = worth.at[sets].set(terms.max(axis=1))
        sinks = sinks.at[sets].set(jnp.argmax(terms, axis=1).astype(jnp.int32))

    def take_sink(carry, _):
        left, chosen = carry
        sink = sinks[left]
        left = left & ~(1 << sink)
        return (left, chosen.at[sink].set(parents[sink, left])), None

    zero = _local_zero(best)
    start = zero + (2**d - 1), jnp.zeros(d, jnp.int32) + zero
    (_, chosen), _ = jax.lax.scan(take_sink, start, length=d)
    return jnp.asarray(_members(d))[chosen].T


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
    sets = np.arange(2**d, dtype=np.int32)
    return sets[np.bitwise_count(sets) == size]


def _elements(d, sets):
    """The variables in sets of one size, ``[c, m]``."""
    places = np.argwhere(_members(d)[sets])[:, 1]
    return places.reshape(len(sets), -1).astype(np.int32)


@functools.cache
def _level(d, size):
    sets = _subsets(d, size)
    outside = _elements(d, 2**d - 1 - sets)
    unions = sets[:, None]
    for bit in (np.int32(1) << outside).T:
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
    sums = jnp.zeros_like(terms, shape=(*terms.shape[:-1], 1))
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
        # The empty X is no part of the sum: Z(Y) is not known yet.
        terms = (_over_subsets(weights) + rest[level.unions])[:, 1:]
        sizes = level.sizes[1:]
        signs = np.where(sizes % 2, 1.0, -1.0) if signed else np.ones(len(sizes))
        highest = jax.lax.stop_gradient(terms.max(axis=1))
        scaled = jnp.exp(terms - highest[:, None]) * signs.astype(terms.dtype)[None, :]
        rest = rest.at[level.sets].set(highest + jnp.log(scaled.sum(axis=1)))
    return rest[0]


@functools.cache
def _parts(d, size):
    """The subsets of every set of a size, ``[c, 2^size]``, in rising order."""
    sets = _subsets(d, size)
    inside = _elements(d, sets)
    parts = np.zeros_like(sets)[:, None]
    for bit in (np.int32(1) << inside).T if size else ():
        parts = np.concatenate([parts, parts | bit[:, None]], axis=1)
    return parts


def _log_additions(subsets):
    """The logarithm of C(N, S) of ``path_probabilities``, ``[3^d]``.

    Its place is the number whose digits to the base 3 are 2 in S and 1 in N.
    """
    d = subsets.shape[0]
    table = jnp.zeros_like(subsets, shape=(3**d,))
    place = jnp.asarray(_places(d))
    for size in range(1, d + 1):
        sets = _subsets(d, size)
        inside = _elements(d, sets)
        signs = np.where(np.bitwise_count(np.arange(1, 2**size)) % 2, 1.0, -1.0)
        given = _parts(d, d - size)[::-1]  # the complements come in falling order

        def add(row, table=table, signs=signs):
            added, inside, given, parts = row
            weights = subsets[inside[None, :], given[:, None]]
            terms = _over_subsets(weights)[:, 1:]
            before = given[:, None] | parts[None, 1:]
            after = (added ^ parts)[None, 1:]
            terms = terms + table[place[before] + 2 * place[after]]
            highest = terms.max(axis=1)
            scaled = jnp.exp(terms - highest[:, None]) * signs.astype(terms.dtype)[None]
            return highest + jnp.log(scaled.sum(axis=1))

        rows = jax.tree.map(jnp.asarray, (sets, inside, given, _parts(d, size)))
        sums = jax.lax.map(add, rows, batch_size=max(1, _AT_ONCE // 2**d))
        numbers = place[rows[2]] + 2 * place[rows[0]][:, None]
        table = table.at[numbers].set(sums)
    return table


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
        lasts = _parts(d, size)

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
        return (state[1] != 2**d - 1) & (state[0] < d)  # NaN comes to no end

    def add_layer(state):
        step, placed, last, placed_before, last_before = state
        touching = _log_touching(subsets, placed, last)
        touching = jnp.where(variables & placed, -jnp.inf, touching)
        logits = _over_subsets(touching)
        fits = (everything != 0) & (everything & placed == 0)
        after = completions[jnp.where(fits, place[placed] + 2 * place, 0)]
        logits = jnp.where(fits, logits + after, -jnp.inf)
        level = jax.random.uniform(jax.random.fold_in(key, step), (), logits.dtype)
        layer = draw_entry(level, logits)
        new = (variables & layer) != 0
        return (
            step + 1,
            placed | layer,
            layer,
            jnp.where(new, placed, placed_before),
            jnp.where(new, last, last_before),
        )

    none = _local_zero(subsets)
    each = jnp.zeros_like(variables) + none
    state = (jnp.zeros((), jnp.int32), none, none, each, each)
    return jax.lax.while_loop(unfinished, add_layer, state)[3:]


def draw_entry(level: Array, logits: Array) -> Array:
    """The place of an entry, drawn by its share of the sum along the last axis.

    Args:
      level: ``[...]`` float, uniform in [0, 1).
      logits: ``[..., m]`` float, logarithms of weights; one at least is finite.

    Returns:
      ``[...]`` int32.
    """
    sums = jnp.cumsum(jnp.exp(logits - logits.max(axis=-1, keepdims=True)), axis=-1)
    before = sums <= level[..., None] * sums[..., -1:]
    place = before.sum(axis=-1, dtype=jnp.int32)
    # Rounding may lead beyond the last entry that has a weight.
    likeliest = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return jnp.where(before[..., -1], likeliest, place)


def _local_zero(array):
    """0 as int32, as local to a device as an array: a loop's carry must be, too."""
    return jnp.where(array.ravel()[0] > 0, 0, 0).astype(jnp.int32)


@functools.cache
def _places(d):
    """The number to the base 3 that has the digits of each set to the base 2."""
    return _members(d) @ 3 ** np.arange(d, dtype=np.int32)
