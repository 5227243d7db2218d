"""Linear DAGs by search over orders: reinsertions and iterated local search.

An order of the variables is worth what its best graph is worth,

    max over graphs that fit the order of  sum_j -n_j/2 log v_j - price_j |pa_j|,

where v_j is the residual variance of j on its parents and price_j the BIC's. The
search takes one variable after another out of the order and puts it back where
that is worth most, until no variable gains; each step then moves some variables
at random, searches again, and keeps what is better. For non-Gaussian noise n_j
times the negentropy of the residuals joins the score. ``scores.order_score`` holds
the score and ``kernels.order_search.reinsertion`` the moves; here is the search.

Run it in float64 (``jax.enable_x64``) beyond a few variables: residual variances of
standardised linear data lose their digits in float32.

Sources: Teyssier and Koller 2005 (search over orders); Andrews et al. 2023 (BOSS,
best reinsertions); Wienobst, Henckel and Weichwald 2025 (FLOP, warm-started parents
and iterated local search); Hyvarinen and Smith 2013 (negentropy).
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from causaljax.core.options import option
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.kernels.order_search import reinsertion
from causaljax.scores import (
    linear_gaussian,
    linear_nongaussian,
    order_score,
    sweep_operator,
)

_NOISES = ("auto", "gaussian", "nongaussian")
_MAX_TRIALS = 100  # a variable and step, where rounding keeps a search from ending
_ROWS_PER_PARENT = 3  # no more parents are added, so that n < d has an answer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    Each edge costs ``bic_weight`` log(n)/2 nats; each step moves ``perturb`` variables
    at random before it searches. Non-Gaussian noise counts in the last third of
    the steps; until then the search is for a good class of graphs. ``noise="auto"``
    lets it count if it beats Gaussian noise on the graph found by then.
    ``interventional`` False promises that no cell is intervened on; if one is, all
    results are NaN and flagged.
    """

    bic_weight: float = option(2.0, least=0)
    noise: str = option("gaussian", choices=_NOISES)
    num_steps: int = option(30, least=1)
    perturb: int = option(8, least=1)
    interventional: bool = option(True)


class State(NamedTuple):
    """The best order found, and its best graph."""

    step: Array  # [] int32
    order: Array  # [d] int, the variable at each place
    graph: Array  # [d, d] bool
    score: Array  # [] float, nats
    nongaussian_evidence: Array  # [] float, nats, as in Info
    statistics: linear_gaussian.Statistics


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus the best score, nats per row
    accepted: Array  # [] bool, the step found a better order
    trials: Array  # [] int, reinsertions tried
    converged: Array  # [] bool, no reinsertion of one variable is a gain
    nonfinite: Array  # [] bool, the score is not finite
    # [] float, nats by which non-Gaussian noise beats Gaussian noise on the best
    # graph, until non-Gaussian noise can count; 0 for Gaussian noise
    nongaussian_evidence: Array


def init(key: Array, problem: Problem, config: Config) -> State:
    """A greedy order and its parents; no random numbers but in ``shard_map``."""
    stats, criterion = _prepare(key, problem, config)
    order = _first_order(criterion)
    return _settled(order, criterion.required, stats, criterion)


def _prepare(key, problem, config):
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    # In units from a row of the table, a constant column is exactly 0.
    used = complete_rows(problem)
    shifted = problem._replace(x=problem.x - problem.x[jnp.argmax(used)][None, :])
    stats = linear_gaussian.statistics(shifted, interventional=config.interventional)
    return stats, _criterion(key, problem, stats, config)


def _settled(order, parents, stats, criterion):
    start = order_score.unfitted(order, criterion)
    search = order_score.settle(start, criterion, parents)
    score = order_score.score(search, criterion)
    return State(
        step=jnp.zeros((), jnp.int32),
        order=search.order,
        graph=search.parents.T,
        score=score,
        nongaussian_evidence=jnp.zeros_like(score),
        statistics=stats,
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Random moves and a local search; kept if the score rises.

    No gradient flows through the search: the graph is a step function of the data.
    """
    criterion_key, search_key = jax.random.split(key)
    criterion = _criterion(criterion_key, problem, state.statistics, config)
    # Measured in any case: the evidence is made of it.
    measured = criterion._replace(shape_counts=jnp.array(config.noise != "gaussian"))
    best = order_score.fit(state.order, state.graph.T, measured)

    num_rows = jax.lax.stop_gradient(linear_gaussian.num_rows(problem))
    gaussian_steps = config.num_steps - -(-config.num_steps // 3)
    evidence, counts = state.nongaussian_evidence, jnp.array(False)
    if config.noise != "gaussian":
        found = linear_nongaussian.evidence(best.excess, num_rows)
        # Settled at the change of scores, or the steps after it had no one score.
        evidence = jnp.where(state.step <= gaussian_steps, found, evidence)
        counts = state.step >= gaussian_steps
        if config.noise == "auto":
            counts = counts & (evidence > 0)
        criterion = criterion._replace(shape_counts=counts)
        best = best._replace(excess=jnp.where(counts, best.excess, 0))
    # With a new score, every variable is tried first, and none moved at random.
    fresh = (state.step == 0) | (counts & (state.step == gaussian_steps))

    found, trials, at_rest = _local_search(search_key, best, fresh, criterion, config)
    best_score, found_score = (
        order_score.score(best, criterion),
        order_score.score(found, criterion),
    )
    accepted = found_score > best_score + order_score.min_gain(criterion)
    score = jnp.where(accepted, found_score, best_score)
    new_state = state._replace(
        step=state.step + 1,
        order=jnp.where(accepted, found.order, best.order),
        graph=jnp.where(accepted, found.parents.T, best.parents.T),
        score=score,
        nongaussian_evidence=evidence,
    )
    info = Info(
        loss=-score / jnp.maximum(num_rows, 1e-30),
        accepted=accepted,
        trials=trials,
        converged=at_rest,
        nonfinite=~jnp.isfinite(score) | ~jnp.isfinite(found_score),
        nongaussian_evidence=evidence,
    )
    return new_state, info


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The best graph, with coefficients by least squares.

    Differentiable: the weights, in the data, with the graph held fixed.
    """
    del key, problem, config
    weights = linear_gaussian.coefficients(state.graph, state.statistics)
    return Posterior(
        edge_prob=state.graph.astype(weights.dtype),
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(weights[0, :1]),
        extra={"weights": weights[None]},
    )


def _criterion(key, problem, stats, config):
    problem, stats = jax.lax.stop_gradient((problem, stats))
    d = problem.x.shape[1]
    num_rows = linear_gaussian.num_rows(problem)
    rows = jnp.broadcast_to(stats.share, (d,)) * num_rows
    bic_weight = jax.lax.stop_gradient(jnp.asarray(config.bic_weight, rows.dtype))
    variances = linear_gaussian.variances(stats)
    required = problem.required.T
    table = None
    if config.noise != "gaussian":
        table = linear_nongaussian.rows(
            problem, stats, interventional=config.interventional
        )
    criterion = order_score.Criterion(
        correlation=sweep_operator.correlations(stats.covariance),
        rows=rows,
        price=bic_weight * jnp.log(jnp.maximum(rows, 1)) / 2,
        most=jnp.clip(rows / _ROWS_PER_PARENT, 1, d).astype(int),
        # The BIC of the empty graph.
        unit=-(rows / 2 * jnp.log(jnp.where(variances > 0, variances, 1))).sum(),
        allowed=(problem.allowed.T | required) & ~jnp.eye(d, dtype=bool),
        required=required,
        table=table,
        shape_counts=jnp.array(False),
    )
    # Loops carry what depends on the key, the data and the settings. Inside
    # shard_map they must start with something that varies over all the same axes.
    zero = (jax.random.key_data(key).sum() & 0).astype(rows.dtype)
    same = (zero * bic_weight * num_rows == 0) | True
    varying = jax.tree.map(lambda leaf: jnp.where(same, leaf, leaf), criterion)
    # Unmapped by vmap, the choice of the score stays a branch.
    return varying._replace(shape_counts=criterion.shape_counts)


def _local_search(key, search, fresh, criterion, config):
    """Random moves, then the best move of one variable after another.

    A move wakes the variables that it changed and their neighbours; a variable that
    has nothing to gain sleeps. Returns the search, the number of trials and whether
    all sleep.
    """
    d = search.order.shape[0]
    node = jnp.arange(d)
    turn_key, place_key = jax.random.split(key)
    turn = jax.random.permutation(turn_key, d)
    target = jax.random.randint(place_key, (d,), 0, d)
    kicks = jnp.where(fresh, 0, min(config.perturb, d))

    def try_next(carry):
        search, awake, last, trials = carry
        kick = trials < kicks
        v = jnp.argmin(jnp.where(awake | kick, (turn - last) % d, d))
        trial = reinsertion.reinsertions(search, v, criterion)
        totals, gain = trial.totals, order_score.min_gain(criterion)
        # The first of those that tie, so that ties do not hang on rounding.
        best = jnp.argmax(totals > totals.max() - gain / 2)
        distance = jnp.where(
            totals > order_score.IMPOSSIBLE / 2, jnp.abs(node - target[v]), d
        )
        place = jnp.where(kick, jnp.argmin(distance), best)
        accept = kick | (totals[best] > totals[trial.place] + gain)

        def move(carry):
            search, awake, _ = carry
            before = order_score.score(search, criterion)
            search, near = reinsertion.reinsert(search, v, place, trial, criterion)
            # A gain by rounding alone wakes nobody, or the search would not end.
            gained = order_score.score(search, criterion) > before + gain / 2
            awake = awake | (near & (kick | gained))
            return search, awake.at[v].set(kick), ~accept

        # A loop of at most one round: under vmap a branch would always be taken.
        search, awake, _ = jax.lax.while_loop(
            lambda carry: carry[2], move, (search, awake.at[v].set(False), accept)
        )
        return search, awake, turn[v] + 1, trials + 1

    zero = jnp.zeros_like(search.order[0])
    start = (search, (search.order < 0) | fresh, zero, zero)
    search, awake, _, trials = jax.lax.while_loop(
        lambda carry: (
            (carry[1].any() | (carry[3] < kicks)) & (carry[3] < _MAX_TRIALS * d)
        ),
        try_next,
        start,
    )
    return order_score.settle(search, criterion), trials, ~awake.any()


def _first_order(criterion):
    """Next always the variable with the least variance given those before it."""
    d = criterion.required.shape[0]
    pooled = criterion.correlation.mean(axis=0)
    least = sweep_operator.resolution(pooled.dtype)

    def place_next(i, carry):
        rest, placed, order = carry
        # The first is the one that the others are most correlated with.
        worth = jnp.where(i == 0, -jnp.abs(pooled).sum(axis=0), jnp.diagonal(rest))
        waits = (criterion.required & ~placed[None, :]).any(axis=1)
        worth = jnp.where(placed, jnp.inf, jnp.where(waits, 2.0 * d, worth))
        k = jnp.argmin(worth)
        row = rest[k]
        rest = rest - row[:, None] * row[None, :] / jnp.maximum(row[k], least)
        return rest, placed.at[k].set(True), order.at[i].set(k)

    placed = criterion.required[0] & False
    start = (pooled, placed, jnp.zeros_like(criterion.most))
    return jax.lax.fori_loop(0, d, place_next, start)[2]


KERNEL = Kernel(init, step, finalise, precision="double")
