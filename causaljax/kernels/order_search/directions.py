"""What may be said of the direction of each edge of a linear graph.

Non-Gaussian noise tells directions if the equations are linear with independent noise.
Curvature, classes, noise of unequal size and hidden causes make residuals non-Gaussian,
too, and then tell wrong ones. So equations are tested, edge by edge, before they count.
"""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Kind, Problem
from causaljax.graphs.dags import transitive_closure
from causaljax.scores import (
    linear_nongaussian,
    order_score,
    residual_independence,
    sweep_operator,
)

_LEVEL = 0.01  # of a false alarm in a table whose equations hold
_MIN_VALUES = 20  # distinct ones: noise of a continuous shape has more


class Verdict(enum.IntEnum):
    """What is known of the direction of an edge besides its equivalence class."""

    NO_EDGE = 0
    TOLD = 1  # non-Gaussian noise tells it
    NOT_TOLD = 2  # the noise is too near to Gaussian
    FEW_VALUES = 3  # one of the columns is of classes or few values
    DEPENDENT = 4  # the residual of the effect is not independent of the cause
    NEAR_DEPENDENT = 5  # a path of edges joins it to such an edge
    UNCOUNTED = 6  # one of the two was at such an edge of an earlier graph


class Directions(NamedTuple):
    """What is known of the edges i -> j of a graph."""

    verdict: Array  # [d, d] int8, of ``Verdict``
    told: Array  # [d, d] bool, non-Gaussian noise tells the direction
    doubted: Array  # [d, d] bool, the linear model does not hold there
    independence_p: Array  # [d, d] float, p-value times the number of edges
    direction_evidence: Array  # [d, d] float, nats that the reversal loses, 0 off edges


def many_values(problem: Problem) -> Array:
    """The variables whose noise can have a continuous shape.

    Those of numbers, not classes, with at least 20 distinct values.

    Args:
      problem: the table; rows with a gap or of weight 0 do not count.

    Returns:
      ``[d]`` bool.
    """
    used = complete_rows(problem)
    x = jax.lax.stop_gradient(problem.x)
    ordered = jnp.sort(
        jnp.where(used[:, None], x, x[jnp.argmax(used)][None, :]), axis=0
    )
    distinct = (ordered[1:] > ordered[:-1]).sum(axis=0) + 1
    numbers = (problem.kind == Kind.CONTINUOUS) | (problem.kind == Kind.COUNT)
    return numbers & (distinct >= _MIN_VALUES)


def _tested(fitted, criterion):
    """P-values times the number of edges, ``[w, u]`` of u -> w."""
    p = residual_independence.p_values(
        fitted.parents,
        fitted.tableaux,
        order_score.shape_rows(criterion),
        criterion.table,
    )
    number = fitted.parents.sum(dtype=p.dtype)
    return jnp.minimum(p * jnp.maximum(number, 1), 1)


def _at_failures(p):
    """The variables at an edge whose test fails, ``[d]``."""
    fails = p < _LEVEL
    return fails.any(axis=0) | fails.any(axis=1)


def doubted(
    order: Array, parents: Array, criterion: order_score.Criterion, wanted: Array
) -> Array:
    """The variables at an edge of which the linear model does not hold.

    Args:
      order: ``[d]`` int, of a graph.
      parents: ``[d, d]`` bool, [w, u] if u -> w.
      criterion: the score.
      wanted: ``[]`` bool; False saves the work and doubts nothing.

    Returns:
      ``[d]`` bool.
    """

    # A loop of at most one round: under vmap a branch would always be taken.
    def test(carry):
        fitted = order_score.fit(order, parents, criterion)
        return carry[0] & False, _at_failures(_tested(fitted, criterion))

    start = wanted, parents[0] & False
    return jax.lax.while_loop(lambda carry: carry[0], test, start)[1]


def _direction_evidence(fitted, criterion):
    """Nats that the reversal of each edge loses, ``[d, d]`` at [i, j]; 0 off edges."""
    d = fitted.order.shape[0]
    node = jnp.arange(d)
    least = sweep_operator.resolution(fitted.own.dtype)

    def score(nodes, parents, own):
        variance = jnp.take_along_axis(own, nodes[:, None], axis=1)[:, 0]
        excess = order_score.negentropy_excess(criterion, nodes, parents, own, variance)
        return order_score.local_scores(criterion, nodes, parents, variance, excess)

    now = score(node, fitted.parents, fitted.own)

    def of_edges_into(j):
        tableau, mine = fitted.tableaux[j], fitted.parents[j]
        effect = jnp.full_like(node, 0) + j
        pivot = jnp.where(mine, jnp.diagonal(tableau), -1)
        q = sweep_operator.pivot_row(tableau, node, pivot, mine)
        without = tableau[j][None, :] - q * (q[:, j] / pivot)[:, None]
        fewer = mine[None, :] & (node[None, :] != node[:, None])
        of_effect = score(effect, fewer, without)

        pivot = jnp.maximum(fitted.diagonals[:, j], least)
        row = fitted.tableaux[:, j]
        q = sweep_operator.pivot_row(row, effect, pivot, jnp.zeros_like(mine))
        at_own = jnp.take_along_axis(q, node[:, None], axis=1)[:, 0]
        with_effect = fitted.own - q * (at_own / pivot)[:, None]
        more = fitted.parents | (node[None, :] == j)
        of_cause = score(node, more, with_effect)
        return jnp.where(mine, now[j] + now - of_effect - of_cause, 0)

    return jax.lax.map(of_edges_into, node).T


def directions(
    fitted: order_score.Fit,
    criterion: order_score.Criterion,
    shape_counts: Array,
    problem: Problem,
) -> Directions:
    """What is known of the direction of each edge besides the equivalence class.

    A direction is told if the tests of all edges pass that paths join it to, the noise
    of both variables has negentropy that earns more than log(n d) nats, and the
    reversed edge, with the rest of the graph as it is, has a log-likelihood more than
    log n nats lower.

    The tests have one level for all edges, so a failure says that the model does not
    hold: a cause is hidden, say, or columns are rounded. Then edges that pass are wrong
    as often (``scripts/bench_directions.py``: 14 of 31 right beside hidden causes).

    Args:
      fitted: the graph, its excess measured for all variables.
      criterion: the score, in which negentropy counts for all.
      shape_counts: ``[d]`` bool, the variables whose negentropy counted in the search.
      problem: the table.

    Returns:
      The directions.
    """
    p = _tested(fitted, criterion)
    evidence = _direction_evidence(fitted, criterion)
    num_rows = order_score.shape_rows(criterion).max()
    shaped = linear_nongaussian.evidence(fitted.excess, num_rows) > 0
    clear = evidence > jnp.log(jnp.maximum(num_rows, 1))

    def both(of_each):
        return of_each[:, None] & of_each[None, :]

    edge = fitted.parents.T
    failing = _at_failures(p)
    joined = transitive_closure(edge | edge.T)
    near = failing | (joined & failing[None, :]).any(axis=1)
    cases = (
        (~edge, Verdict.NO_EDGE),
        ((p < _LEVEL).T, Verdict.DEPENDENT),
        (~both(~near), Verdict.NEAR_DEPENDENT),
        (~both(many_values(problem)), Verdict.FEW_VALUES),
        (~(both(shaped) & clear), Verdict.NOT_TOLD),
        (~both(shape_counts), Verdict.UNCOUNTED),
    )
    verdict = jnp.select(
        [case for case, _ in cases],
        [jnp.full_like(edge, value, jnp.int8) for _, value in cases],
        jnp.full_like(edge, Verdict.TOLD, jnp.int8),
    )
    return Directions(
        verdict=verdict,
        told=verdict == Verdict.TOLD,
        doubted=(verdict == Verdict.DEPENDENT) | (verdict == Verdict.NEAR_DEPENDENT),
        independence_p=jnp.where(edge, p.T, 1),
        direction_evidence=evidence,
    )
