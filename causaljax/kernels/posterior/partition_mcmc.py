"""Samples of the posterior over DAGs by Markov chains on ordered partitions.

A DAG has layers: its roots, then the variables whose parents are all in layers before,
one of them in the last of these. Graphs with the same layers are summed at once, from
sums of weights over sets of candidate parents: a chain moves from one ordered partition
of the variables to another, and each DAG belongs to exactly one. So no graph counts
more often because more orders suit it.

A step takes every variable out of the partition once and puts it back at a place drawn
from its conditional distribution, into a layer or as a layer of its own. It then draws
a graph of the partition and turns some of its edges; the layers of that graph are the
new partition. Chains run side by side, each with copies of
higher temperature that exchange partitions.

Sources: Kuipers and Moffa 2017, "Partition MCMC for inference on acyclic digraphs";
Grzegorczyk and Husmeier 2008 (turning edges); Geyer 1991 (exchange of temperatures);
Gelman et al. 2013, section 11.4 (split R-hat).
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from causaljax.core.options import option
from causaljax.core.problem import label_free_places
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.graphs.dags import path_shares
from causaljax.graphs.edge_probabilities import known_edges
from causaljax.graphs.modular import NEVER, draw_entry
from causaljax.scores import parent_sets

_MOST_CANDIDATES = 12  # 2^12 parent sets a variable
_LOOKED_AT = 30  # graphs, for parents that are no candidates
_BATCHES = 20  # of a chain's steps, whose means tell the Monte Carlo error
_LEAST = 0.01  # edges of less probability need not have mixed
_MIXED = 1.05  # split R-hat of every other edge, below which chains have mixed
_BURN_IN = 0.2  # share of the steps that are not counted
# Shares of those, after which candidates are chosen anew. On ten tables of 20 columns
# and 1,000 rows, 1,500 steps, the most probable edge outside them had the probability
# .79 without a choice, .80 after one and .06 after these.
_CHOSEN_ANEW = (0.5, 0.7, 0.85)
# Share of those, in which the weights come into force. On twenty such tables the median
# split R-hat was 1.03 and 1.04 by ten, and 1.07 and 1.05 with all weight at once.
_HEATED = 0.5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(parent_sets.Config):
    """What parent sets are weighed by, and how long chains run.

    Parents of a variable are among ``num_candidates`` others, all if there are no more:
    those that explain most (``scores.parent_sets.rank_candidates``) to begin with, and
    those of the most probable edges once chains have moved for a while. ``num_chains``
    chains take ``num_steps`` steps, each with ``num_temperatures`` copies, in which log
    weights are multiplied by 1 down to ``coldness``. ``num_graphs`` graphs are kept.
    """

    num_candidates: int = option(_MOST_CANDIDATES, least=1)
    num_chains: int = option(4, least=2)
    num_temperatures: int = option(1, least=1)
    coldness: float = option(0.5, above=0)
    num_graphs: int = option(1000, least=1)
    num_steps: int = option(5000, least=2 * _BATCHES)


class State(NamedTuple):
    """Chains where they are, and what they have seen."""

    step: Array  # [] int32
    place: Array  # [d] int32, of each variable in the order in which they move
    candidates: Array  # [d, k] int32
    log_weights: Array  # [d, 2^k] float, of parent sets
    log_sums: Array  # [d, 2^k] float, over the subsets of each
    layer: Array  # [c, t, d] int32, of each variable, from 0
    edge_sums: Array  # [c, b, d, d] float, edge probabilities summed over steps
    counts: Array  # [b] float, how many steps
    kept: Array  # [s, d] int32, layers from which graphs are drawn


class Info(NamedTuple):
    """Diagnostics of all steps so far."""

    loss: Array  # [] float, minus the mean log weight of the chains' partitions
    rhat: Array  # [] float, the largest split R-hat of an edge
    mc_error: Array  # [] float, the largest standard error of an edge probability
    exchanged: Array  # [] float, share of exchanges between copies that were made
    converged: Array  # [] bool, the chains have mixed
    nonfinite: Array  # [] bool


def init(key: Array, problem: Problem, config: Config) -> State:
    """Chains at random orders."""
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    k = min(config.num_candidates, d - 1)
    place = label_free_places(problem.x, problem.weight)
    candidates = parent_sets.rank_candidates(problem, k, config)
    weights = parent_sets.log_weights(problem, candidates, config)
    weights = jnp.maximum(weights, NEVER)
    shape = (config.num_chains, config.num_temperatures)
    orders = jax.vmap(lambda key: jax.random.permutation(key, d))(
        jax.random.split(key, shape[0] * shape[1])
    )
    layer = orders.reshape(*shape, d)[:, :, place].astype(jnp.int32)
    zero = 0 * weights[0, 0]
    zero = jnp.where(jnp.isfinite(zero), zero, 0)
    return State(
        step=jnp.zeros((), jnp.int32),
        place=place,
        candidates=candidates,
        log_weights=weights,
        log_sums=_sums_of_subsets(weights),
        layer=layer + zero.astype(jnp.int32),
        edge_sums=jnp.zeros_like(weights, shape=(shape[0], _BATCHES, d, d)) + zero,
        counts=jnp.zeros_like(weights, shape=(_BATCHES,)) + zero,
        kept=jnp.zeros((config.num_graphs, d), jnp.int32) + zero.astype(jnp.int32),
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Every variable once, in all chains; then neighbouring temperatures."""
    chains, copies, d = state.layer.shape
    dtype = state.log_weights.dtype
    burn_in = max(int(_BURN_IN * config.num_steps), 1)
    move_key, turn_key, exchange_key, choice_key = jax.random.split(key, 4)
    if state.candidates.shape[1] < d - 1:
        chosen_at = [int(share * burn_in) for share in _CHOSEN_ANEW]
        chosen_at = jnp.array(chosen_at, state.step.dtype)
        state = jax.lax.cond(
            (chosen_at == state.step).any(),
            lambda: _choose_candidates(choice_key, state, problem, config),
            lambda: state,
        )
    ladder = jnp.asarray(config.coldness, dtype) ** (
        jnp.arange(copies, dtype=dtype) / max(copies - 1, 1)
    )
    heated = (state.step + 1).astype(dtype) / max(_HEATED * burn_in, 1)
    scale = ladder * jnp.minimum(heated, 1)
    order = (
        jnp.zeros_like(state.place)
        .at[state.place]
        .set(jnp.arange(d, dtype=state.place.dtype))
    )

    def move(i, layer):
        noise = jax.random.gumbel(
            jax.random.fold_in(move_key, i), (chains, copies, 2 * d - 1), dtype
        )

        def one(layer, noise, scale):
            return _relocate(state, layer, order[i], noise, scale)

        return jax.vmap(jax.vmap(one), (0, 0, None))(
            layer, noise, jnp.broadcast_to(scale, (copies,))
        )

    layer = jax.lax.fori_loop(0, d, move, state.layer)
    if state.candidates.shape[1]:  # a variable by itself has no edges
        first = _turn_edges(turn_key, state, layer[:, 0])
        layer = layer.at[:, 0].set(first)
    worth = jax.vmap(jax.vmap(lambda one: _log_weight(state, one)))(layer)
    layer, worth, exchanged = _exchange(exchange_key, layer, worth, scale, state.step)

    counted = state.step >= burn_in
    since = state.step - burn_in
    length = config.num_steps - burn_in
    batch = jnp.clip(since * _BATCHES // length, 0, _BATCHES - 1)
    seen = jax.vmap(lambda one: _edges_given(state, one))(layer[:, 0])
    gain = jnp.where(counted, seen, 0)
    edge_sums = state.edge_sums.at[:, batch].add(gain)
    counts = state.counts.at[batch].add(counted.astype(dtype))
    # Evenly over the steps that count, chain after chain.
    slots = jnp.arange(config.num_graphs, dtype=jnp.int32)
    due = (slots * length) // config.num_graphs == since
    # Before, whatever was met last.
    room = max(config.num_graphs // chains, 1)
    early = slots // chains == state.step % room
    due = jnp.where(counted, due, early)
    kept = jnp.where(due[:, None], layer[slots % chains, 0], state.kept)
    new = state._replace(
        step=state.step + 1,
        layer=layer,
        edge_sums=edge_sums,
        counts=counts,
        kept=kept,
    )
    error, rhat = _errors(edge_sums, counts)
    prob = edge_sums.sum(axis=(0, 1)) / jnp.maximum(chains * counts.sum(), 1)
    largest = jnp.where(prob > _LEAST, rhat, 1).max()
    finite = jnp.isfinite(worth).all() & (worth[:, 0] > NEVER / 2).all()
    info = Info(
        loss=-worth[:, 0].mean(),
        rhat=largest,
        mc_error=error.max(),
        exchanged=exchanged,
        converged=finite & (largest < _MIXED) & (counts > 1).all(),
        nonfinite=~finite,
    )
    return new, info


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """Mean edge probabilities of the chains, and graphs drawn from their partitions.

    ``extra`` has ``mc_error``, the standard error of each edge probability by the means
    of batches of steps; ``rhat``, the split R-hat of each edge's presence; ``ess``, how
    many independent graphs would tell its probability as well; and ``path_prob``, the
    share of the graphs with a directed path: ``[d, d]`` each;
    ``map_graph``, ``[d, d]`` bool, the most probable graph that was met; and
    ``left_out``, the largest probability of an edge from a variable that is no
    candidate, by the degenerate Gaussian score and given the rest of sampled graphs.
    """
    chains = state.edge_sums.shape[0]
    prob = state.edge_sums.sum(axis=(0, 1)) / jnp.maximum(
        chains * state.counts.sum(), 1
    )
    error, rhat = _errors(state.edge_sums, state.counts)
    keys = jax.random.split(key, config.num_graphs)

    def draw(pair):
        key, layer = pair
        # Numbers by place, so that they go with a variable wherever its column stands.
        level = jax.random.uniform(key, layer.shape, prob.dtype)[state.place]
        sets = _draw_sets(state, layer, level)
        return _as_graph(state, sets), _own(state.log_weights, sets).sum()

    graphs, worth = jax.lax.map(draw, (keys, state.kept))
    spread = prob * (1 - prob)
    log_weight = jnp.full_like(worth, -jnp.log(config.num_graphs))
    return Posterior(
        edge_prob=known_edges(jnp.clip(prob, 0, 1), problem),
        graphs=graphs,
        log_weight=log_weight,
        extra={
            "mc_error": error,
            "rhat": rhat,
            "ess": spread / jnp.maximum(error**2, 1e-30),
            "path_prob": path_shares(graphs, log_weight),
            "map_graph": graphs[jnp.argmax(worth)],
            "left_out": _left_out(state, graphs, problem, config),
        },
    )


def _sums_of_subsets(log_weights):
    """The logarithm of the summed weights of every set's subsets, ``[d, 2^k]``."""
    sums, size = log_weights, log_weights.shape[1]
    for j in range(size.bit_length() - 1):
        halves = sums.reshape(len(sums), -1, 2, 2**j)
        both = jnp.logaddexp(halves[:, :, 0], halves[:, :, 1])
        sums = jnp.stack([halves[:, :, 0], both], axis=2).reshape(len(sums), size)
    return sums


def _log_difference(larger, smaller):
    """log(exp(larger) - exp(smaller)), ``NEVER`` where nothing is left."""
    share = jnp.exp(jnp.minimum(smaller - larger, 0))
    left = larger + jnp.log1p(-jnp.where(share < 1, share, 0))
    return jnp.where(share < 1, left, NEVER)


def _set_number(inside):
    """The numbers of sets, of ``[..., k]`` bool."""
    bits = 1 << jnp.arange(inside.shape[-1], dtype=jnp.int32)
    return jnp.where(inside, bits, 0).sum(axis=-1, dtype=jnp.int32)


def _before(state, layer):
    """Candidates in layers before each variable's and before the last of these."""
    of_candidates = layer[state.candidates]
    earlier = of_candidates < layer[:, None]
    return _set_number(earlier), _set_number(of_candidates < layer[:, None] - 1)


def _own(sums, numbers):
    """Each variable's entry, ``[d]``, or ``[d, m]`` of so many numbers."""
    rows = jnp.arange(sums.shape[0])
    return sums[rows.reshape(-1, *[1] * (numbers.ndim - 1)), numbers]


def _log_weight(state, layer):
    """The log of the summed weights of a partition's graphs, ``[]``."""
    inside, not_last = _before(state, layer)
    each = _log_difference(_own(state.log_sums, inside), _own(state.log_sums, not_last))
    return jnp.where(layer == 0, state.log_weights[:, 0], each).sum()


def _relocate(state, layer, v, noise, scale):
    """A partition in which v is at a place drawn given the others.

    Without v there are m layers. Place 2l + 1 is in layer l, place 2l a new layer
    before it, and 2m the last; the others keep place 2l + 1.
    """
    d = layer.shape[0]
    others = jnp.arange(d, dtype=v.dtype) != v
    own = layer[v]
    alone = ~(others & (layer == own)).any()
    rest = jnp.where(alone & (layer > own), layer - 1, layer)
    rest = jnp.where(others, rest, d)
    number = jnp.where(others, rest, -1).max() + 1  # m
    places = jnp.arange(2 * d - 1, dtype=jnp.int32)

    of_candidates = rest[state.candidates]
    is_v = state.candidates == v
    earlier = (of_candidates < rest[:, None]) & ~is_v
    before_last = (of_candidates < rest[:, None] - 1) & ~is_v
    bit = _set_number(is_v)
    b, a = _set_number(earlier), _set_number(before_last)
    numbers = jnp.stack([b, a, b | bit, a | bit], axis=1)
    sum_b, sum_a, sum_bv, sum_av = _own(state.log_sums, numbers).T
    apart = jnp.where(rest == 0, state.log_weights[:, 0], _log_difference(sum_b, sum_a))
    new_layer = _log_difference(sum_bv, sum_b)  # v alone in the layer just before
    joined = _log_difference(sum_bv, sum_a)  # v in the layer that was just before
    further = _log_difference(sum_bv, sum_av)
    position = 2 * rest[None, :] + 1
    p = places[:, None]
    each = jnp.where(
        p >= position,
        apart[None],
        jnp.where(
            p == position - 1,
            new_layer[None],
            jnp.where(p == position - 2, joined[None], further[None]),
        ),
    )
    of_others = jnp.where(others[None, :], each, 0).sum(axis=1)

    candidate_place = 2 * rest[state.candidates[v]][None, :] + 1
    last = jnp.where(p % 2 == 0, p - 1, p - 2)
    inside = _set_number(candidate_place < p)
    not_last = _set_number(candidate_place < last)
    sums = state.log_sums[v]
    of_v = _log_difference(sums[inside], sums[not_last])
    of_v = jnp.where(places < 2, state.log_weights[v, 0], of_v)

    logits = jnp.where(places <= 2 * number, scale * (of_others + of_v), -jnp.inf)
    chosen = jnp.argmax(logits + noise).astype(jnp.int32)
    target = chosen // 2
    new = chosen % 2 == 0
    moved = jnp.where(new & (rest >= target), rest + 1, rest)
    return jnp.where(others, moved, target).astype(jnp.int32)


def _left_out(state, graphs, problem, config):
    """The largest probability of an edge from outside the candidates."""
    d, k = state.candidates.shape
    if k == d - 1:
        return 0 * state.log_weights[0, 0]
    some = graphs[:: max(len(graphs) // _LOOKED_AT, 1)]
    shares = parent_sets.edge_shares(problem, some, config)
    return parent_sets.left_out(shares, state.candidates)


def _choose_candidates(key, state, problem, config):
    """Candidates and weights anew, from graphs that the chains have met."""
    keys = jax.random.split(key, _LOOKED_AT)
    slots = jnp.arange(_LOOKED_AT) * config.num_graphs // _LOOKED_AT

    def draw(pair):
        key, layer = pair
        level = jax.random.uniform(key, layer.shape, state.log_weights.dtype)
        return _as_graph(state, _draw_sets(state, layer, level[state.place]))

    graphs = jax.lax.map(draw, (keys, state.kept[slots]))
    shares = parent_sets.edge_shares(problem, graphs, config)
    candidates = parent_sets.candidates_of(shares, state.candidates, state.place)
    weights = parent_sets.log_weights(problem, candidates, config)
    weights = jnp.maximum(weights, NEVER)
    return state._replace(
        candidates=candidates,
        log_weights=weights,
        log_sums=_sums_of_subsets(weights),
    )


def _turn_edges(key, state, layer):
    """Partitions of graphs drawn from partitions, some of whose edges were turned."""
    chains, d = layer.shape
    dtype = state.log_weights.dtype
    keys = jax.random.split(key, 2)
    level = jax.random.uniform(keys[0], (chains, d), dtype)[:, state.place]
    turns = d // 4 + 1  # each takes as long as several moves of a variable
    uniform = jax.random.uniform(keys[1], (turns, chains, 4), dtype)
    sets = jax.vmap(lambda *pair: _draw_sets(state, *pair))(layer, level)

    def turn(i, sets):
        return jax.vmap(lambda *pair: _reverse_edge(state, *pair))(sets, uniform[i])

    sets = jax.lax.fori_loop(0, turns, turn, sets)
    return jax.vmap(lambda one: _layers(state, one))(sets)


def _exchange(key, layer, worth, scale, step):
    """Neighbouring copies of a chain exchange partitions, every other pair a step."""
    chains, copies = worth.shape
    if copies == 1:
        return layer, worth, 0 * worth[0, 0]
    lower = jnp.arange(copies - 1, dtype=step.dtype)
    turn = (lower % 2) == step % 2
    steps = (scale[lower] - scale[lower + 1])[None]
    gain = steps * (worth[:, 1:] - worth[:, :-1])
    uniform = jax.random.uniform(key, gain.shape, worth.dtype)
    made = (jnp.log(uniform) < gain) & turn[None]
    no = jnp.zeros_like(made[:, :1])
    up = jnp.concatenate([made, no], axis=1)
    down = jnp.concatenate([no, made], axis=1)
    own = jnp.arange(copies, dtype=step.dtype)[None, :]
    source = own + up.astype(own.dtype) - down.astype(own.dtype)
    layer = jnp.take_along_axis(layer, source[:, :, None], axis=1)
    worth = jnp.take_along_axis(worth, source, axis=1)
    share = made.sum(dtype=worth.dtype) / jnp.maximum(
        chains * turn.sum(dtype=worth.dtype), 1
    )
    return layer, worth, share


def _edges_given(state, layer):
    """The probability of each edge, summed over the graphs of a partition, ``[d, d]``.

    The weight of the sets between two that hold a candidate is the weight of all less
    that of those without it.
    """
    d, k = state.candidates.shape
    inside, not_last = _before(state, layer)
    bits = 1 << jnp.arange(k, dtype=jnp.int32)
    without_b = _own(state.log_sums, inside[:, None] & ~bits[None])
    without_a = _own(state.log_sums, not_last[:, None] & ~bits[None])
    sum_b = _own(state.log_sums, inside)[:, None]
    sum_a = _own(state.log_sums, not_last)[:, None]
    held = -jnp.expm1(jnp.minimum(without_b - sum_b, 0))
    held_a = -jnp.expm1(jnp.minimum(without_a - sum_a, 0))
    a_share = jnp.exp(jnp.minimum(sum_a - sum_b, 0))
    total = jnp.maximum(1 - a_share, 1e-300)
    prob = jnp.clip((held - a_share * held_a) / total, 0, 1)
    prob = jnp.where((layer == 0)[:, None], 0, prob)
    edges = jnp.zeros_like(prob, shape=(d, d))
    return edges.at[state.candidates, jnp.arange(d)[:, None]].add(prob)


def _errors(edge_sums, counts):
    """Monte Carlo errors of edge probabilities and split R-hats, ``[d, d]`` each."""
    chains, batches = edge_sums.shape[:2]
    means = edge_sums / jnp.maximum(counts, 1)[None, :, None, None]
    overall = means.mean(axis=(0, 1))
    number = chains * batches
    squares = ((means - overall[None, None]) ** 2).sum(axis=(0, 1))
    error = jnp.sqrt(squares / (number - 1) / number)
    halves = means.reshape(chains, 2, batches // 2, *means.shape[2:]).mean(axis=2)
    within = (halves * (1 - halves)).mean(axis=(0, 1))
    between = ((halves - overall[None, None]) ** 2).sum(axis=(0, 1)) / (2 * chains - 1)
    return error, jnp.sqrt(1 + between / jnp.maximum(within, 1e-12))


def _draw_sets(state, layer, level):
    """One of a partition's graphs by its weight, as numbers of parent sets, ``[d]``.

    ``level`` is ``[d]``, uniform.
    """
    inside, not_last = _before(state, layer)
    sets = jnp.arange(state.log_weights.shape[1], dtype=jnp.int32)[None, :]
    fits = (sets & ~inside[:, None]) == 0
    # One parent is in the layer just before.
    touches = (sets & ~not_last[:, None]) != 0
    fits = jnp.where((layer == 0)[:, None], sets == 0, fits & touches)
    return draw_entry(level, jnp.where(fits, state.log_weights, -jnp.inf))


def _holds(state, sets):
    """``[d, k]`` bool, which candidates are parents."""
    bits = jnp.arange(state.candidates.shape[1], dtype=sets.dtype)
    return (sets[:, None] >> bits[None, :] & 1) == 1


def _layers(state, sets):
    """The layer of each variable of a graph, ``[d]``."""
    holds = _holds(state, sets)

    def deeper(carry):
        layer, _ = carry
        parents = jnp.where(holds, layer[state.candidates] + 1, 0)
        new = parents.max(axis=1)
        # Weights that are NaN may have drawn a cycle.
        return new, (new != layer).any() & (new.max() < len(new))

    start = jnp.zeros_like(sets), sets[0] == sets[0]
    return jax.lax.while_loop(lambda carry: carry[1], deeper, start)[0]


def _descendants(state, sets, start):
    """Whom paths from some variables reach, themselves among them; ``[m, d]`` bool."""
    holds = _holds(state, sets)

    def further(carry):
        reached, _ = carry
        new = reached | (reached[:, state.candidates] & holds[None]).any(axis=2)
        return new, (new != reached).any()

    return jax.lax.while_loop(lambda carry: carry[1], further, (start, start.any()))[0]


def _reverse_edge(state, sets, uniform):
    """A graph in which an edge i -> j has been turned, and the parents of both renewed.

    Both lose their parents; i then gets a set with j in it, and j one that closes no
    cycle, each by its weight. Source: Grzegorczyk and Husmeier 2008, "Improving the
    structure MCMC sampler for Bayesian networks by introducing a new edge reversal
    move". ``uniform`` is ``[4]``.
    """
    d, k = state.candidates.shape
    numbers = jnp.arange(d, dtype=jnp.int32)
    holds = _holds(state, sets)
    ends = jnp.cumsum(holds.ravel())
    total = ends[-1]
    drawn = (uniform[0] * total.astype(uniform.dtype)).astype(ends.dtype)
    wanted = jnp.minimum(drawn, total - 1) + 1
    entry = (ends < wanted).sum(dtype=jnp.int32)
    entry = jnp.minimum(entry, d * k - 1)
    j, i = entry // k, state.candidates.ravel()[entry]
    both = jnp.stack([i, j])
    orphaned = jnp.where((numbers == i) | (numbers == j), 0, sets)
    reached = _descendants(state, orphaned, numbers[None] == both[:, None])
    others = state.candidates[both]
    fits = _set_number(~jnp.take_along_axis(reached, others, axis=1))
    free = _set_number(~reached.any(axis=0)[others])
    partner = _set_number(others == both[::-1, None])
    sums = state.log_sums[both]

    def of(number):
        return jnp.take_along_axis(sums, number[:, None], axis=1)[:, 0]

    with_partner = _log_difference(of(fits), of(fits & ~partner))
    without = of(free)
    every = jnp.arange(2**k, dtype=jnp.int32)
    for_i = ((every & ~fits[0]) == 0) & ((every & partner[0]) != 0)
    for_j = (every & ~free[1]) == 0
    logits = jnp.where(jnp.stack([for_i, for_j]), state.log_weights[both], -jnp.inf)
    drawn = draw_entry(uniform[1:3], logits)
    new = orphaned.at[both].set(drawn)
    gain = with_partner[0] - with_partner[1] + without[1] - without[0]
    after = jnp.maximum(_holds(state, new).sum(), 1)
    gain = gain + jnp.log(total.astype(gain.dtype) / after.astype(gain.dtype))
    possible = (total > 0) & (partner[0] != 0) & (with_partner[0] > NEVER / 2)
    made = possible & (jnp.log(uniform[3]) < gain)
    return jnp.where(made, new, sets)


def _as_graph(state, sets):
    """A graph of parent sets, ``[d, d]`` bool."""
    d = len(sets)
    graph = jnp.zeros((d, d), bool)
    rows = jnp.arange(d, dtype=jnp.int32)[:, None]
    return graph.at[state.candidates, rows].max(_holds(state, sets))


KERNEL = Kernel(init, step, finalise, precision="double")
