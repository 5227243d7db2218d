"""Weights of parent sets: what a table and a prior say of every set of parents.

Each variable has candidates, and each set of candidates has a number: bit m of it is 1
where candidate m is in the set. A posterior over graphs that is a product over
variables is known when the weights of these sets are.

All scores here are differences of a function of sets, log p(x_P, x_j) - log p(x_P), so
a candidate is taken up or left out one after another, and each set is reached by one
step from a smaller one.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.options import option
from causaljax.core.types import Array, Kind, Problem
from causaljax.graphs.dags import transitive_closure
from causaljax.graphs.edge_probabilities import prior_log_odds
from causaljax.graphs.modular import NEVER
from causaljax.scores import bge, degenerate_gaussian, discrete, linear_gaussian
from causaljax.scores.classes import Classes, read_classes

_TIE = 1e-6  # probability: what is less is no difference
SCORES = ("bge", "bdeu", "degenerate_gaussian")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What parent sets are weighed by.

    "bge" takes all columns for jointly Gaussian numbers, "bdeu" for classes, and
    "degenerate_gaussian" takes each for what it is, by an approximation of the marginal
    likelihood. ``bic_weight`` is of "degenerate_gaussian", ``equivalent_sample_size``
    of "bdeu", ``most_classes`` bounds the classes of a column that is read as classes.
    ``edge_odds`` multiplies the prior of a graph once for each edge: at 1 all DAGs are
    equally probable. ``prior``, ``[d, d]`` in [0, 1], holds probabilities of edges
    (``graphs.edge_probabilities.prior_log_odds``). ``interventional`` False promises
    that no cell is intervened on; if one is, all weights are NaN.
    """

    score: str = option("bge", choices=SCORES)
    bic_weight: float = option(1.0, least=0)
    equivalent_sample_size: float = option(1.0, above=0)
    most_classes: int = option(8, least=2)
    edge_odds: float = option(1.0, above=0)
    interventional: bool = option(True)
    prior: ArrayLike | None = None


def take(config: Config, order: ArrayLike) -> Config:
    """The settings for a problem whose variables are in another order.

    Args:
      config: of a problem of d variables.
      order: ``[d]`` int, the variable that comes to each place.

    Returns:
      Settings whose prior is in that order.
    """
    if config.prior is None:
        return config
    prior = jnp.asarray(config.prior)[order][:, order]
    return dataclasses.replace(config, prior=prior)


def all_others(num_variables: int) -> np.ndarray:
    """Candidates where every other variable is one, ``[d, d - 1]`` int32."""
    off = ~np.eye(num_variables, dtype=bool)
    places = np.broadcast_to(np.arange(num_variables, dtype=np.int32), off.shape)
    return places[off].reshape(num_variables, num_variables - 1)


def log_weights(problem: Problem, candidates: ArrayLike, config: Config) -> Array:
    """Local scores plus the logarithm of the prior, for every set of candidates.

        log w_j(P) = log p(x_j | x_P) + |P| log(edge_odds) + sum over i of
                     (log-odds of i -> j if i is in P, else 0)

    and ``NEVER`` for sets that knowledge forbids.

    Args:
      problem: the table. Columns have standard deviation 1 for "bge".
      candidates: ``[d, k]`` int, of each variable: distinct, not itself.
      config: what counts.

    Returns:
      ``[d, 2^k]`` float, nats.

    Differentiable: in x and weight, but for "bdeu", and in the settings.
    """
    candidates = jnp.asarray(candidates)
    if config.score == "bge":
        scores = _bge(problem, candidates, config)
    elif config.score == "bdeu":
        scores = _bdeu(problem, candidates, config)
    else:
        scores = _degenerate_gaussian(problem, candidates, config)
    return jnp.where(_permitted(problem, candidates), scores, NEVER) + _log_prior(
        candidates, config, scores.dtype
    )


def all_log_weights(problem: Problem, config: Config) -> Array:
    """``log_weights`` of every set of other variables, as ``graphs.modular`` sums them.

    Args:
      problem: the table, of few variables.
      config: what counts.

    Returns:
      ``[d, 2^d]`` float, nats; bit i of a set's number is variable i.

    Differentiable: as ``log_weights``.
    """
    every = all_others(problem.x.shape[1])
    return over_variables(log_weights(problem, every, config))


def over_variables(log_weights: ArrayLike) -> Array:
    """Weights by sets of variables, of those by sets of ``all_others``.

    Args:
      log_weights: ``[d, 2^(d-1)]`` float.

    Returns:
      ``[d, 2^d]`` float, bit i of a set's number is variable i, as in
      ``graphs.modular``; ``NEVER`` where a variable is among its own parents.
    """
    log_weights = jnp.asarray(log_weights)
    d = log_weights.shape[0]
    sets = np.arange(2**d)[None, :]
    place = np.arange(d)[:, None]
    low = sets & ((1 << place) - 1)
    # Without the variable's own bit the higher ones move down by a place.
    number = low | ((sets >> (place + 1)) << place)
    own = (sets >> place & 1).astype(bool)
    return jnp.where(own, NEVER, jnp.take_along_axis(log_weights, number, axis=1))


def members(num_candidates: int) -> np.ndarray:
    """``[2^k, k]`` bool, which candidates are in each set."""
    sets = np.arange(2**num_candidates)[:, None]
    return (sets >> np.arange(num_candidates)[None, :] & 1).astype(bool)


def rank_candidates(problem: Problem, num_candidates: int, config: Config) -> Array:
    """Each variable's most promising parents, found by forward selection.

    The candidate that lowers the conditional variance of a variable most, given those
    before it, comes next. Required parents come first, forbidden ones last. Classes
    are read as their indicators, whatever the score.

    Args:
      problem: the table.
      num_candidates: k, at most d - 1, static.
      config: what counts.

    Returns:
      ``[d, k]`` int32.
    """
    d = problem.x.shape[1]
    table = _blocks(problem, config)
    odds = jnp.zeros((d, d), problem.x.dtype)
    if config.prior is not None:
        odds = prior_log_odds(config.prior, problem.x.dtype).T

    def of_variable(j):
        def select(parents, _):
            scores, _ = degenerate_gaussian.toggled_scores(
                table, j, parents, jnp.zeros_like(table.rows[0])
            )
            scores = scores + odds[j]
            scores = jnp.where(problem.allowed[:, j], scores, NEVER)
            scores = jnp.where(problem.required[:, j], -NEVER, scores)
            taken = parents | (jnp.arange(d) == j)
            best = jnp.argmax(jnp.where(taken, -jnp.inf, scores)).astype(jnp.int32)
            return parents.at[best].set(True), best

        none = jnp.zeros(d, bool) & (table.rows != table.rows)
        return jax.lax.scan(select, none, length=num_candidates)[1]

    return jax.lax.map(of_variable, jnp.arange(d))


def edge_shares(problem: Problem, graphs: Array, config: Config) -> Array:
    """The probability of each edge given the rest of graphs, averaged over these.

    The odds of an edge, given the other parents of its end, are those of the degenerate
    Gaussian score and the prior, whatever the score. An edge that would close a cycle
    has the probability 0.

    Args:
      problem: the table.
      graphs: ``[s, d, d]`` bool, acyclic.
      config: what counts.

    Returns:
      ``[d, d]`` float, i -> j at [i, j].
    """
    d = problem.x.shape[1]
    table = _blocks(problem, config)
    dtype = table.rows.dtype
    odds = jnp.log(jnp.asarray(config.edge_odds, dtype))
    more = 0 if config.prior is None else prior_log_odds(config.prior, dtype)

    def of_graph(graph):
        def of_variable(j):
            scores, _ = degenerate_gaussian.toggled_scores(
                table, j, graph[:, j], jnp.asarray(config.bic_weight, dtype)
            )
            return jnp.where(graph[:, j], scores[j] - scores, scores - scores[j])

        gains = jax.lax.map(of_variable, jnp.arange(d)).T + odds + more
        possible = problem.allowed & ~transitive_closure(graph).T
        share = jnp.where(possible, jax.nn.sigmoid(gains), 0)
        return jnp.where(problem.required, 1, share)

    return jax.lax.map(of_graph, graphs).mean(axis=0)


def left_out(shares: Array, candidates: Array) -> Array:
    """The largest probability of an edge from a variable that is no candidate.

    Args:
      shares: ``[d, d]`` float, of ``edge_shares``.
      candidates: ``[d, k]`` int, of each variable.

    Returns:
      ``[]`` float.
    """
    numbers = jnp.arange(len(shares), dtype=candidates.dtype)[:, None]
    inside = jnp.zeros(shares.shape, bool).at[candidates, numbers].set(True)
    inside = inside | jnp.eye(len(shares), dtype=bool)
    return jnp.where(inside, 0, shares).max()


def candidates_of(shares: Array, candidates: Array, place: Array) -> Array:
    """Candidates chosen anew: the ends of the edges that are most probable, either way.

    Args:
      shares: as in ``left_out``.
      candidates: ``[d, k]`` int, those so far; they are taken first among equals.
      place: ``[d]`` int, of each variable in an order that no label decides; it decides
        among the rest.

    Returns:
      ``[d, k]`` int.
    """
    d, k = candidates.shape
    numbers = jnp.arange(d, dtype=candidates.dtype)[:, None]
    before = jnp.arange(k, 0, -1, dtype=shares.dtype) * (_TIE / k)
    bonus = (
        jnp.zeros_like(shares)
        .at[numbers, candidates]
        .set(jnp.broadcast_to(before, (d, k)))
    )
    worth = jnp.maximum(shares, shares.T) + bonus
    worth = jnp.where(jnp.eye(d, dtype=bool), -jnp.inf, worth)
    order = jnp.lexsort((jnp.broadcast_to(place[None], worth.shape), -worth))
    return order[:, :k].astype(candidates.dtype)


def _permitted(problem, candidates):
    """``[d, 2^k]`` bool, the sets that hold what is required and nothing forbidden."""
    d, k = candidates.shape
    inside = members(k)[None]
    allowed = jnp.take_along_axis(problem.allowed.T, candidates, axis=1)
    required = jnp.take_along_axis(problem.required.T, candidates, axis=1)
    fits = (allowed[:, None] | ~inside).all(axis=2)
    fits = fits & (~required[:, None] | inside).all(axis=2)
    # A required parent that is no candidate leaves no set.
    known = required.sum(axis=1) == problem.required.sum(axis=0)
    return fits & known[:, None]


def _log_prior(candidates, config, dtype):
    k = candidates.shape[1]
    inside = jnp.asarray(members(k), dtype)
    log_odds = jnp.full(
        candidates.shape, jnp.log(jnp.asarray(config.edge_odds, dtype)), dtype
    )
    if config.prior is not None:
        odds = prior_log_odds(config.prior, dtype).T
        odds = jnp.take_along_axis(odds, candidates, axis=1)
        log_odds = log_odds + jnp.maximum(odds, NEVER)
    return jnp.matmul(log_odds, inside.T, precision=jax.lax.Precision.HIGHEST)


def _bge(problem, candidates, config):
    posterior, rows = bge.posterior_scatter(
        problem, interventional=config.interventional
    )
    d, k = candidates.shape
    sizes = members(k).sum(axis=1)

    def local(j):
        matrix = posterior[jnp.minimum(j, posterior.shape[0] - 1)]
        of_parents, of_variable = _log_determinants(matrix, candidates[j], j, 1)
        count = rows[jnp.minimum(j, rows.shape[0] - 1)]
        return bge.local_score(
            sizes.astype(matrix.dtype), count, of_parents, of_parents + of_variable
        )

    return jax.lax.map(local, jnp.arange(d))


def _blocks(problem, config):
    classes = read_classes(problem)
    is_class = (problem.kind == Kind.CATEGORICAL) | (problem.kind == Kind.BINARY)
    table = degenerate_gaussian.blocks(
        problem, classes, config.most_classes, interventional=config.interventional
    )
    excess = (is_class & (classes.levels > config.most_classes)).any()
    return table._replace(rows=jnp.where(excess, jnp.nan, table.rows))


def _degenerate_gaussian(problem, candidates, config):
    table = _blocks(problem, config)
    d, k = candidates.shape
    width = table.correlation.shape[-1] // d
    inside = jnp.asarray(members(k), table.rows.dtype)

    def local(j):
        matrix = table.correlation[jnp.minimum(j, table.correlation.shape[0] - 1)]
        _, of_variable = _log_determinants(matrix, candidates[j], j, width)
        rows, widths = table.rows[j], table.widths
        columns = jnp.matmul(
            inside, widths[candidates[j]], precision=jax.lax.Precision.HIGHEST
        )
        price = config.bic_weight * jnp.log(jnp.maximum(rows, 1)) / 2
        score = -rows / 2 * of_variable - price * widths[j] * columns
        fits = (columns * degenerate_gaussian.ROWS_PER_COLUMN <= rows) | (columns == 0)
        return jnp.where(fits | jnp.isnan(rows), score, NEVER)

    return jax.lax.map(local, jnp.arange(d))


def _log_determinants(matrix, candidates, j, width):
    """Log det of each set's block, and of j's given the set, ``[2^k]`` each.

    Every matrix is left as it is or gives its first block up as a pivot: the Schur
    complements of all sets together take about as long as those of the largest.
    """
    blocks = jnp.concatenate([candidates, j[None].astype(candidates.dtype)])
    within = jnp.arange(width, dtype=blocks.dtype)
    columns = (blocks[:, None] * width + within[None, :]).ravel()
    matrices = matrix[columns][:, columns][None]
    total = jnp.zeros_like(matrices[:, 0, 0])
    for _ in range(len(candidates)):
        without = matrices[:, width:, width:]
        added, rest = _eliminate(matrices, width)
        matrices = jnp.concatenate([without, rest])
        total = jnp.concatenate([total, total + added])
    return total, _eliminate(matrices, width)[0]


def _eliminate(matrices, width):
    """Log det of the leading block and the Schur complement of it."""
    total = 0 * matrices[:, 0, 0]
    for _ in range(width):
        pivot = matrices[:, 0, 0]
        row = matrices[:, 0, 1:]
        total = total + jnp.log(pivot)
        matrices = (
            matrices[:, 1:, 1:] - row[:, :, None] * (row / pivot[:, None])[:, None, :]
        )
    return total, matrices


def _bdeu(problem, candidates, config):
    classes = read_classes(problem)
    excess = (classes.levels > config.most_classes).any()
    weight = linear_gaussian.row_weights(problem, interventional=config.interventional)
    weight = jnp.where(excess, jnp.nan, weight)
    d, k = candidates.shape
    last = 2**k  # the number of the set that holds the variable alone

    def local(j):
        row_weight = weight[jnp.minimum(j, weight.shape[0] - 1)]
        every = jnp.concatenate([candidates[j], j[None].astype(candidates.dtype)])
        found = _log_evidence(classes, every, row_weight, config)
        return found[last:] - found[:last]

    return jax.lax.map(local, jnp.arange(d))


def _log_evidence(classes: Classes, variables, weight, config):
    """Log p of every set's classes but for a constant, ``[2^k]``.

        sum over cells c with rows of lgamma(a / q + N_c) - lgamma(a / q)

    where q is the number of the set's configurations. BDeu is a difference of two.
    """
    n, most = classes.codes.shape[0], config.most_classes
    codes = classes.codes.T
    number = jnp.zeros((1, n), jnp.int32) + 0 * codes[0][None]
    levels = jnp.ones_like(weight, shape=(1,))
    for u in range(variables.shape[0]):
        joint = number * most + codes[variables[u]][None]
        number = jnp.concatenate([number, jax.vmap(_renumber, (0, None))(joint, most)])
        more = classes.levels[variables[u]].astype(levels.dtype)
        levels = jnp.concatenate([levels, levels * more])
    size = jnp.asarray(config.equivalent_sample_size, weight.dtype)

    def of_set(pair):
        number, levels = pair
        counts = jnp.zeros_like(weight).at[number].add(weight)
        prior = size / levels
        rises = discrete.log_gamma(counts + prior) - discrete.log_gamma(prior)
        return jnp.where(counts != 0, rises, 0).sum()

    return jax.lax.map(of_set, (number, levels), batch_size=64)


def _renumber(joint, most):
    """The same classes of rows, numbered from 0 without a gap."""
    there = jnp.zeros(joint.shape[0] * most, jnp.int32).at[joint].set(1)
    return (jnp.cumsum(there) - 1)[joint].astype(joint.dtype)
