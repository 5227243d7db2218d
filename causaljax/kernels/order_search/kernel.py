"""Linear DAGs by search over orders: reinsertions and iterated local search.

An order of the variables is worth what its best graph is worth,

    max over graphs that fit the order of  sum_j -n_j/2 log v_j - price_j |pa_j|,

where v_j is the residual variance of j on its parents and price_j the BIC's. The
search takes one variable after another out of the order and puts it back where
that is worth most, until no variable gains; each step then moves some variables
at random, searches again, and keeps what is better. For variables of non-Gaussian
noise n_j times the negentropy of the residuals joins the score, and so do the
log-odds of what is believed of each edge beforehand. ``scores.order_score``
holds the score, ``kernels.order_search.reinsertion`` the moves and
``kernels.order_search.directions`` what may be said of directions; here is the search.

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
from jax.typing import ArrayLike

from causaljax.core.options import option
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.graphs.edge_probabilities import prior_log_odds
from causaljax.kernels.order_search import directions, reinsertion
from causaljax.scores import (
    linear_gaussian,
    linear_nongaussian,
    order_score,
    sweep_operator,
)

_NOISES = ("auto", "gaussian", "nongaussian")
_MAX_TRIALS = 100  # a variable and step, where rounding keeps a search from ending
_ROWS_PER_PARENT = 10  # no more parents are added; a common rule of regression


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    Each edge costs ``bic_weight`` times log(n)/2 + max(log(d/n), 0) nats; each step
    moves ``perturb`` variables at random before it searches. Non-Gaussian noise counts
    in the last third of the steps; until then the search is for a good class of graphs.

    ``noise="auto"`` lets it count for continuous columns and counts of many values, if
    one of them earns more by it than the BIC asks. Half way and twice later the
    residuals are tested: variables of equations that are not linear with independent
    noise lose it, and the search goes back to the best Gaussian graph. The posterior
    then says of each edge what is known of its direction (``directions.Verdict``).
    ``noise="nongaussian"`` tests nothing.

    ``interventional`` False promises that no cell is intervened on; if one is, all
    results are NaN and flagged. ``shapes``, ``[d]`` bool, names the variables whose
    noise may count; None is all. ``prior``, ``[d, d]`` in [0, 1], holds probabilities
    of edges beforehand (``graphs.edge_probabilities.prior_log_odds``): .5 changes
    nothing, 0 rules an edge out that is not required.
    """

    bic_weight: float = option(2.0, least=0)
    noise: str = option("gaussian", choices=_NOISES)
    num_steps: int = option(30, least=1)
    perturb: int = option(8, least=1)
    interventional: bool = option(True)
    shapes: Array | None = None
    prior: ArrayLike | None = None


class State(NamedTuple):
    """The best order found, and its best graph."""

    step: Array  # [] int32
    order: Array  # [d] int, the variable at each place
    graph: Array  # [d, d] bool
    score: Array  # [] float, nats
    nongaussian_evidence: Array  # [] float, nats, as in Info
    shape_counts: Array  # [d] bool, whose negentropy may join the score
    gaussian_order: Array  # [d] int, the best before negentropy counted
    gaussian_graph: Array  # [d, d] bool, likewise
    renewed: Array  # [] bool, the score has changed: the order is one to begin with
    statistics: linear_gaussian.Statistics


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus the best score, nats per row
    accepted: Array  # [] bool, the step found a better order
    trials: Array  # [] int, reinsertions tried
    converged: Array  # [] bool, no reinsertion of one variable is a gain
    nonfinite: Array  # [] bool, the score is not finite
    # [] float, nats by which non-Gaussian noise beats Gaussian noise, of the variable
    # where it is most, on the best graph before it counts; 0 for Gaussian noise
    nongaussian_evidence: Array


def init(key: Array, problem: Problem, config: Config) -> State:
    """A greedy order and its parents; no random numbers but in ``shard_map``."""
    stats, criterion = _prepare(key, problem, config)
    order = _first_order(criterion)
    return _settled(order, criterion.required, stats, criterion, problem, config)


def _prepare(key, problem, config):
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    # In units from a row of the table, a constant column is exactly 0.
    used = complete_rows(problem)
    shifted = problem._replace(x=problem.x - problem.x[jnp.argmax(used)][None, :])
    stats = linear_gaussian.statistics(shifted, interventional=config.interventional)
    return stats, _criterion(key, problem, stats, config)


def _settled(order, parents, stats, criterion, problem, config):
    start = order_score.unfitted(order, criterion)
    search = order_score.settle(start, criterion, parents)
    score = order_score.score(search, criterion)
    shapes = (search.parents[0] & False) | (config.noise != "gaussian")
    if config.noise == "auto":
        shapes = shapes & directions.many_values(problem)
    if config.shapes is not None:
        shapes = shapes & config.shapes
    return State(
        step=jnp.zeros((), jnp.int32),
        order=search.order,
        graph=search.parents.T,
        score=score,
        nongaussian_evidence=jnp.zeros_like(score),
        shape_counts=shapes,
        gaussian_order=search.order,
        gaussian_graph=search.parents.T,
        renewed=shapes[0] | True,
        statistics=stats,
    )


def _schedule(num_steps):
    """The step from which negentropy counts, and those after which it is tested."""
    first = num_steps - -(-num_steps // 3)
    tests = {first + part * (num_steps - first) // 6 for part in (3, 4, 5)} - {first}
    return first, jnp.array(sorted(tests), jnp.int32)


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Random moves and a local search; kept if the score rises.

    No gradient flows through the search: the graph is a step function of the data.
    """
    criterion_key, search_key = jax.random.split(key)
    criterion = _criterion(criterion_key, problem, state.statistics, config)
    # Measured in any case: the evidence is made of it.
    measured = criterion._replace(shape_counts=state.shape_counts)
    best = order_score.fit(state.order, state.graph.T, measured)

    num_rows = jax.lax.stop_gradient(linear_gaussian.num_rows(problem))
    gaussian_steps, tests = _schedule(config.num_steps)
    evidence, fresh = state.nongaussian_evidence, state.renewed
    counts = state.shape_counts
    if config.noise != "gaussian":
        seen = linear_gaussian.num_rows(problem._replace(whole=None))
        found = linear_nongaussian.evidence(best.excess, seen).max()
        # Settled at the change of scores, or the steps after it had no one score.
        evidence = jnp.where(state.step <= gaussian_steps, found, evidence)
        counts = counts & (state.step >= gaussian_steps)
        if config.noise == "auto":
            counts = counts & (evidence > 0)
        criterion = criterion._replace(shape_counts=counts)
        best = best._replace(excess=jnp.where(counts, best.excess, 0))
        # With a new score, every variable is tried first, and none moved at random.
        fresh = fresh | (counts.any() & (state.step == gaussian_steps))

    found, trials, at_rest = _local_search(search_key, best, fresh, criterion, config)
    best_score, found_score = (
        order_score.score(best, criterion),
        order_score.score(found, criterion),
    )
    accepted = found_score > best_score + order_score.min_gain(criterion)
    score = jnp.where(accepted, found_score, best_score)
    order = jnp.where(accepted, found.order, best.order)
    graph = jnp.where(accepted, found.parents.T, best.parents.T)
    settled = state.step + 1 == gaussian_steps
    new_state = state._replace(
        step=state.step + 1,
        order=order,
        graph=graph,
        score=score,
        nongaussian_evidence=evidence,
        gaussian_order=jnp.where(settled, order, state.gaussian_order),
        gaussian_graph=jnp.where(settled, graph, state.gaussian_graph),
        renewed=fresh & False,
    )
    if config.noise == "auto" and tests.size:
        due = counts.any() & (state.step + 1 == tests).any()
        doubted = directions.doubted(order, graph.T, criterion, due)
        lost = (doubted & state.shape_counts).any()
        new_state = new_state._replace(
            shape_counts=state.shape_counts & ~doubted,
            order=jnp.where(lost, state.gaussian_order, order),
            graph=jnp.where(lost, state.gaussian_graph, graph),
            renewed=lost,
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

    ``extra`` has ``weights``, ``[s, d, d]``, and ``told``, ``[s, d, d]`` bool, pairs
    whose direction non-Gaussian noise tells or, for ``noise="nongaussian"``, is taken
    to tell. For ``noise="auto"`` it has what ``directions.Directions`` has, too, and
    ``shape_counts``, ``[s, d]`` bool, the variables whose noise counted in the end.

    Differentiable: the weights, in the data, with the graph held fixed.
    """
    weights = linear_gaussian.coefficients(state.graph, state.statistics)
    counts = state.shape_counts  # of none for Gaussian noise
    extra = {
        "weights": weights[None],
        "told": (counts[:, None] & counts[None, :])[None],
    }
    if config.noise == "auto":
        state, stats = jax.lax.stop_gradient((state, state.statistics))
        # What is told of directions, the data tell.
        unbelieving = dataclasses.replace(config, prior=None)
        criterion = _criterion(key, problem, stats, unbelieving)
        counts = counts & (state.nongaussian_evidence > 0)
        criterion = criterion._replace(shape_counts=counts | True)
        best = order_score.fit(state.order, state.graph.T, criterion)
        told = directions.directions(best, criterion, counts, problem)
        extra |= {name: leaf[None] for name, leaf in told._asdict().items()}
        extra["shape_counts"] = counts[None]
    return Posterior(
        edge_prob=state.graph.astype(weights.dtype),
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(weights[0, :1]),
        extra=extra,
    )


def _criterion(key, problem, stats, config):
    problem, stats = jax.lax.stop_gradient((problem, stats))
    d = problem.x.shape[1]
    num_rows = linear_gaussian.num_rows(problem)
    rows = jnp.broadcast_to(stats.share, (d,)) * num_rows
    bic_weight = jax.lax.stop_gradient(jnp.asarray(config.bic_weight, rows.dtype))
    variances = linear_gaussian.variances(stats)
    required = problem.required.T
    price = (bic_weight * _unit_price(rows, d))[:, None]
    if config.prior is not None:
        odds = prior_log_odds(config.prior, rows.dtype).T
        price = price - jnp.where(required, 0, odds)
    table = None
    if config.noise != "gaussian":
        table = linear_nongaussian.rows(
            problem, stats, interventional=config.interventional
        )
    criterion = order_score.Criterion(
        correlation=sweep_operator.correlations(stats.covariance),
        rows=rows,
        price=price,
        most=jnp.clip(rows / _ROWS_PER_PARENT, 0, d).astype(int),
        # The BIC of the empty graph.
        unit=-(rows / 2 * jnp.log(jnp.where(variances > 0, variances, 1))).sum(),
        allowed=(problem.allowed.T | required) & ~jnp.eye(d, dtype=bool),
        required=required,
        table=table,
        shape_counts=jnp.zeros(d, bool),
    )
    # Loops carry what depends on the key, the data and the settings. Inside
    # shard_map they must start with something that varies over all the same axes.
    zero = (jax.random.key_data(key).sum() & 0).astype(rows.dtype)
    same = (zero * bic_weight * num_rows == 0) | True
    varying = jax.tree.map(lambda leaf: jnp.where(same, leaf, leaf), criterion)
    # Unmapped by vmap, the choice of the score stays a branch.
    return varying._replace(shape_counts=criterion.shape_counts)


def _unit_price(rows, d):
    """log(n)/2, and more where there are more candidates than rows. ``[d]``, nats.

    The best of d unrelated candidates gains about log d (Chen and Chen 2008).
    """
    rows = jnp.maximum(rows, 1)
    return jnp.log(rows) / 2 + jnp.log(jnp.maximum(d / rows, 1))


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


KERNEL = Kernel(
    init,
    step,
    finalise,
    precision="double",
    # The tests of directions sort residuals.
    sums_rows=lambda config: config.noise == "gaussian",
)
