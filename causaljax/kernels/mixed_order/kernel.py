"""DAGs of tables of classes and numbers by search over orders.

An order of the variables is worth the sum of the local scores of its variables, each
with the parents that growing and shrinking finds among those before it
(``kernels.mixed_order.families``). The search takes one variable after another out of
the order and puts it back where that is worth most, until no variable gains; each step
then moves some variables at random, searches again, and keeps what is better.

The scores are ``scores.degenerate_gaussian`` for tables of classes and numbers, and
``scores.discrete`` for tables of classes alone; the log-odds of what is believed of an
edge beforehand are added.

Sources: Teyssier and Koller 2005 (search over orders); Andrews et al. 2023 (BOSS,
best reinsertions); Wienobst, Henckel and Weichwald 2025 (iterated local search).
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.options import option
from causaljax.core.types import Array, Kernel, Kind, Posterior, Problem
from causaljax.graphs.edge_probabilities import prior_log_odds
from causaljax.kernels.mixed_order.families import (
    Criterion,
    Families,
    Memory,
    best_families,
    no_memory,
)
from causaljax.scores import degenerate_gaussian, discrete, sweep_operator
from causaljax.scores.classes import read_classes

SCORES = ("degenerate_gaussian", "bdeu", "bic")
_MAX_TRIALS = 100  # a variable and step, where rounding keeps a search from ending
_IMPOSSIBLE = -1e12  # nats, of a place that required edges forbid


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    Scores "bdeu" and "bic" take every value of every column for a class.
    ``bic_weight`` multiplies log(n)/2, which a parameter costs by "bic" and
    "degenerate_gaussian"; ``equivalent_sample_size`` is of "bdeu". ``most_classes``
    bounds the classes of a column that is read as classes, rare ones put together; if
    a column has more, all results are NaN and flagged. Each step moves ``perturb``
    variables at random before it searches. ``interventional`` False promises that no
    cell is intervened on; if one is, all results are NaN and flagged. ``prior``,
    ``[d, d]`` in [0, 1], holds probabilities of edges beforehand
    (``graphs.edge_probabilities.prior_log_odds``): .5 changes nothing, 0 rules an edge
    out that is not required.
    """

    score: str = option("degenerate_gaussian", choices=SCORES)
    bic_weight: float = option(1.0, least=0)
    equivalent_sample_size: float = option(1.0, above=0)
    most_classes: int = option(8, least=2)
    num_steps: int = option(20, least=1)
    perturb: int = option(6, least=1)
    interventional: bool = option(True)
    prior: ArrayLike | None = None


class State(NamedTuple):
    """The best order found, and its best graph."""

    step: Array  # [] int32
    order: Array  # [d] int, the variable at each place
    graph: Array  # [d, d] bool
    local: Array  # [d] float, nats
    table: discrete.ClassTable | degenerate_gaussian.Blocks
    memory: Memory


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus the best score, nats per row
    accepted: Array  # [] bool, the step found a better order
    evaluations: Array  # [] int, local scores computed since the start
    trials: Array  # [] int, reinsertions tried
    converged: Array  # [] bool, no reinsertion of one variable is a gain
    nonfinite: Array  # [] bool, the score is not finite


class _Fit(NamedTuple):
    """An order and its families."""

    place: Array  # [d] int, of each variable
    parents: Array  # [d, d] bool, [w, u] if u -> w
    local: Array  # [d] float


def init(key: Array, problem: Problem, config: Config) -> State:
    """An order without edges but those required; no random numbers."""
    del key
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    problem = jax.lax.stop_gradient(problem)
    classes = read_classes(problem)
    if problem.whole is not None and problem.whole.levels is not None:
        classes = classes._replace(levels=problem.whole.levels)
    is_class = (problem.kind == Kind.CATEGORICAL) | (problem.kind == Kind.BINARY)
    if config.score == "degenerate_gaussian":
        table = degenerate_gaussian.blocks(
            problem,
            classes,
            config.most_classes,
            interventional=config.interventional,
        )
        excess = is_class & (classes.levels > config.most_classes)
        table = table._replace(rows=jnp.where(excess.any(), jnp.nan, table.rows))
    else:
        table = discrete.class_table(
            problem,
            classes,
            config.most_classes,
            interventional=config.interventional,
        )
        excess = classes.levels > config.most_classes
        table = table._replace(weight=jnp.where(excess.any(), jnp.nan, table.weight))
    criterion = _criterion(problem, table, config)
    # By what the columns hold, and not by their labels.
    place = _valid(table.association(), criterion.required)
    return State(
        step=jnp.zeros((), jnp.int32),
        order=_inverse(place),
        graph=criterion.required.T,
        local=jnp.full_like(table.rows, -jnp.inf),
        table=table,
        memory=no_memory(d, criterion.min_gain),
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Random moves and a local search; kept if the score rises.

    No gradient flows through the search: the graph is a step function of the data.
    """
    problem = jax.lax.stop_gradient(problem)
    criterion = _criterion(problem, state.table, config)
    d = state.order.shape[0]
    best = _Fit(_inverse(state.order), state.graph.T, state.local)

    # What is drawn goes by the place in the best order, and not by labels.
    turn_key, who_key, where_key = jax.random.split(key, 3)
    turn = jax.random.permutation(turn_key, d)[best.place]
    moved = jax.random.permutation(who_key, d)[best.place] < min(config.perturb, d)
    moved = moved & (state.step > 0)
    target = jax.random.uniform(where_key, (d,), state.local.dtype, -1, d)[best.place]
    priority = jnp.where(moved, target, best.place.astype(target.dtype))
    place = _valid(priority, criterion.required)
    start = best._replace(place=place)
    memory, found, trials, at_rest = _local_search(
        state.memory, start, turn, moved | (state.step == 0), criterion, config
    )
    accepted = found.local.sum() > best.local.sum() + criterion.min_gain
    kept = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), found, best)
    total = kept.local.sum()
    new_state = state._replace(
        step=state.step + 1,
        order=_inverse(kept.place),
        graph=kept.parents.T,
        local=kept.local,
        memory=memory,
    )
    info = Info(
        loss=-total / jnp.maximum(state.table.rows.max(), 1e-30),
        accepted=accepted,
        trials=trials,
        evaluations=memory.evaluations,
        converged=at_rest,
        nonfinite=~jnp.isfinite(total) | ~jnp.isfinite(found.local.sum()),
    )
    return new_state, info


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The best graph."""
    del key, problem, config
    dtype = state.local.dtype
    return Posterior(
        edge_prob=state.graph.astype(dtype),
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(state.local[:1]),
    )


def _criterion(problem, table, config):
    d = problem.x.shape[1]
    rows = table.rows
    # As local as the data, which shard_map asks of what a loop carries.
    zero = 0 * rows.sum()
    required = problem.required.T | (zero != zero) & False
    bic_weight, sample_size = (
        jax.lax.stop_gradient(jnp.asarray(value, rows.dtype)) + zero
        for value in (config.bic_weight, config.equivalent_sample_size)
    )
    least = sweep_operator.resolution(rows.dtype) * jnp.maximum(rows.max(), 1)
    log_odds = None
    if config.prior is not None:
        odds = prior_log_odds(config.prior, rows.dtype).T
        log_odds = jnp.where(required, 0, odds) + zero
    return Criterion(
        table=table,
        bic_weight=bic_weight,
        sample_size=sample_size,
        allowed=(problem.allowed.T | required) & ~jnp.eye(d, dtype=bool),
        required=required,
        min_gain=least,
        log_odds=log_odds,
    )


def _local_search(memory, start, turn, moved, criterion, config):
    """The best move of one variable after another, until all sleep.

    A move wakes the variables that it changed and their neighbours; a variable that
    has nothing to gain sleeps.
    """
    d = turn.shape[0]

    def try_next(carry):
        memory, fitted, awake, last, trials = carry
        # The families of the order as it is come first.
        fresh = trials == 0
        v = jnp.argmin(jnp.where(awake, (turn - last) % d, d))
        memory, after, gain = _reinserted(memory, fitted, v, fresh, criterion, config)
        accept = fresh | (gain > criterion.min_gain)
        changed = (after.parents != fitted.parents).any(axis=1)
        changed = jnp.where(fresh, changed | moved, changed.at[v].set(True))
        near = _with_neighbours(changed & accept, fitted.parents | after.parents)
        fitted = jax.tree.map(
            lambda new, old: jnp.where(accept, new, old), after, fitted
        )
        awake = (awake | near).at[v].set(fresh & near[v])
        return memory, fitted, awake, jnp.where(fresh, 0, turn[v] + 1), trials + 1

    zero = jnp.zeros_like(start.place[0])
    memory, fitted, awake, _, trials = jax.lax.while_loop(
        lambda carry: carry[2].any() & (carry[4] < _MAX_TRIALS * d),
        try_next,
        (memory, start, moved | True, zero, zero),
    )
    return memory, fitted, trials, ~awake.any()


def _reinserted(memory, fitted, v, fresh, criterion, config):
    """The order with v where it is worth most, and the nats that it gains.

    Where ``fresh``, the families of the order as it is.
    """
    place, parents, local = fitted
    d = place.shape[0]
    node = jnp.arange(d)
    others = jnp.where(place > place[v], place - 1, place)
    others = jnp.where(node == v, 2 * d, others)
    # v at every place, and every other with v before it, if it is not, or without it.
    now = place[None, :] < place[:, None]
    candidates = jnp.concatenate(
        [
            jnp.where(fresh, now, others[None, :] < node[:, None]),
            now ^ (~fresh & (node == v))[None, :],
        ]
    )
    nodes = jnp.concatenate([jnp.where(fresh, node, v), node])
    memory, found = best_families(memory, nodes, candidates, criterion, config.score)
    at_place = Families(*(leaf[:d] for leaf in found))
    flipped = Families(*(leaf[d:] for leaf in found))
    comes_after = place > place[v]
    without = jnp.where(comes_after, flipped.scores, local)
    behind = jnp.where(comes_after, local, flipped.scores)
    # Of a place, those of the others that come before it have no v before them.
    before = others[None, :] < node[:, None]
    apart = (node != v)[None, :]
    totals = at_place.scores + jnp.where(
        apart, jnp.where(before, without[None], behind[None]), 0
    ).sum(axis=1)
    first = jnp.where(criterion.required[v], others, -1).max() + 1
    last = jnp.where(criterion.required[:, v], others, d).min()
    totals = jnp.where((node < first) | (node > last), _IMPOSSIBLE, totals)
    # The first of those that tie, so that ties do not hang on rounding.
    best = jnp.argmax(totals > totals.max() - criterion.min_gain / 2)
    gain = totals[best] - totals[place[v]]
    flips = (others < best) == comes_after
    flips = flips & (node != v)
    new_place = jnp.where(others >= best, others + 1, others)
    new_parents = jnp.where(flips[:, None], flipped.parents, parents)
    new_local = jnp.where(flips, flipped.scores, local)
    moved = _Fit(
        new_place.at[v].set(best),
        new_parents.at[v].set(at_place.parents[best]),
        new_local.at[v].set(at_place.scores[best]),
    )
    as_is = _Fit(place, at_place.parents, at_place.scores)
    after = jax.tree.map(lambda a, b: jnp.where(fresh, a, b), as_is, moved)
    return memory, after, gain


def _with_neighbours(changed, edges):
    near = changed | (edges & changed[:, None]).any(axis=0)
    return near | (edges & changed[None, :]).any(axis=1)


def _inverse(order):
    """The place of each variable in an order, or the other way round."""
    # Not argsort, which in shard_map forgets what its result varies over.
    return jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0]))


def _valid(priority, required):
    """Places of variables by priority, lowest first, required edges obeyed."""
    d = priority.shape[0]

    def place_next(i, carry):
        place, placed = carry
        waits = (required & ~placed[None, :]).any(axis=1)
        k = jnp.argmin(jnp.where(placed | waits, jnp.inf, priority))
        return place.at[k].set(i), placed.at[k].set(True)

    placed = required[0] & False
    zeros = placed.astype(int)
    return jax.lax.fori_loop(0, d, place_next, (zeros, placed))[0]


KERNEL = Kernel(init, step, finalise, precision="double")
