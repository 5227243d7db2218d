"""Oracles: independence as the true graph or the true covariance has it.

A search that asks an oracle makes no sampling errors: what it gets wrong is its own.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.options import option
from causaljax.core.types import Array, Problem
from causaljax.graphs.dags import transitive_closure
from causaljax.scores import sweep_operator
from causaljax.scores.independence import elimination
from causaljax.scores.independence.interface import IndependenceTest, Outcome
from causaljax.scores.independence.partial_correlation import partial_correlations


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """The true graph.

    ``graph`` is ``[e, e]`` bool, acyclic, of e >= d variables. The first d are those of
    the table; the others are hidden. ``selected`` is ``[e]`` bool: variables that
    decide which rows are in the table, and so are given in every test. None means that
    there are none.
    """

    graph: ArrayLike
    selected: ArrayLike | None = None


class TrueGraph(NamedTuple):
    """What d-separation reads of a graph."""

    graph: Array  # [e, e] float, 1 for an edge
    reaches: Array  # [e, e] float, 1 where a directed path leads from i to j, or i = j
    selected: Array  # [e] bool


def prepare_graph(key: Array, problem: Problem, config: GraphConfig) -> TrueGraph:
    """Reads the graph of the config; key and problem are not used."""
    del key
    graph = jnp.asarray(config.graph, bool)
    reaches = transitive_closure(graph) | jnp.eye(len(graph), dtype=bool)
    selected = jnp.zeros(len(graph), bool)
    if config.selected is not None:
        selected = jnp.asarray(config.selected, bool)
    dtype = problem.x.dtype
    return TrueGraph(graph.astype(dtype), reaches.astype(dtype), selected)


def d_separation(
    stats: TrueGraph, x: Array, y: Array, z: Array, used: Array
) -> Outcome:
    """Whether x and y are d-separated by z and the selected variables.

    A walk from x goes on along every path that is open. It leaves a variable that is
    not given in all directions but from a parent to a parent; it turns from a parent to
    a parent where the variable or one of its descendants is given.

    Args:
      stats: of ``prepare_graph``.
      x: ``[b]`` int.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.

    Returns:
      The outcome: p-value 1 and statistic 0 if they are separated; a p-value of 0, its
      logarithm the least finite number, and statistic 1 if not. ``rows`` is infinite.

    Source: Shachter 1998, "Bayes-Ball".

    Example:
      >>> import jax, numpy as np
      >>> from causaljax.core.types import make_problem
      >>> graph = np.zeros((3, 3), bool)
      >>> graph[:2, 2] = True  # 0 -> 2 <- 1
      >>> config = GraphConfig(graph=graph)
      >>> stats = prepare_graph(jax.random.key(0), make_problem(graph * 1.0), config)
      >>> ask = np.array([0, 0]), np.array([1, 1]), np.array([[2], [2]])
      >>> d_separation(stats, *ask, used=np.array([[False], [True]])).p.tolist()
      [1.0, 0.0]
    """
    node = jnp.arange(stats.selected.shape[0])
    given = (z[:, :, None] == node[None, None]) & used[:, :, None]
    given = given.any(axis=1) | stats.selected[None]
    dtype = stats.graph.dtype

    def follow(places, edges):
        return matmul(places.astype(dtype), edges) > 0

    opened = follow(
        given, stats.reaches.T
    )  # colliders that are given, or whose effects

    def step(carry):
        _, up, down = carry
        passes = (up | down) & ~given
        upward = up | follow((up & ~given) | (down & opened), stats.graph.T)
        downward = down | follow(passes, stats.graph)
        moved = (upward != up).any() | (downward != down).any()
        return moved, upward, downward

    start = node[None] == x[:, None]
    carry = jnp.asarray(True), start, jnp.zeros_like(start)
    _, up, down = jax.lax.while_loop(lambda carry: carry[0], step, carry)
    reached = (up | down) & ~given
    dependent = jnp.take_along_axis(reached, y[:, None], axis=1)[:, 0]
    return _certain(dependent, dependent.astype(dtype))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class CovarianceConfig:
    """The true covariance.

    ``covariance`` is ``[d, d]`` float. Partial correlations of at most ``tolerance`` in
    absolute value are taken for 0; float32 needs some 1e-4.
    """

    covariance: ArrayLike
    tolerance: float = option(1e-6, above=0, below=1)


class TrueCovariance(NamedTuple):
    """What the test of a known covariance reads."""

    correlation: Array  # [d, d] float
    tolerance: Array  # [] float


def prepare_covariance(
    key: Array, problem: Problem, config: CovarianceConfig
) -> TrueCovariance:
    """Reads the covariance of the config; key and problem are not used."""
    del key
    covariance = jnp.asarray(config.covariance, problem.x.dtype)
    tolerance = jnp.asarray(config.tolerance, problem.x.dtype)
    return TrueCovariance(sweep_operator.correlations(covariance), tolerance)


def vanishing_correlation(
    stats: TrueCovariance, x: Array, y: Array, z: Array, used: Array
) -> Outcome:
    """Whether the partial correlation of x and y given z is 0.

    Arguments are as of ``d_separation``, and so is the outcome, but that its statistic
    is the absolute partial correlation.
    """
    columns = jnp.concatenate([z.T, x[None], y[None]])
    live = jnp.concatenate([used.T, jnp.ones((2, len(x)), bool)])
    parts = elimination.gather(stats.correlation, columns, live)
    correlation = jnp.abs(partial_correlations(parts))
    return _certain(correlation > stats.tolerance, correlation)


def _certain(dependent, statistic):
    one = jnp.ones_like(statistic)
    least = float(jnp.finfo(statistic.dtype).min)
    log_p = jnp.where(dependent, least, 0 * one)
    return Outcome(statistic, one, log_p, one * jnp.inf)


D_SEPARATION = IndependenceTest(prepare_graph, d_separation, GraphConfig)
VANISHING_CORRELATION = IndependenceTest(
    prepare_covariance, vanishing_correlation, CovarianceConfig
)
