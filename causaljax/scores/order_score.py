"""What an order of the variables is worth: the score of the best graph that fits it.

    max over graphs  sum_j -n_j/2 log v_j - sum_i in pa_j price_ij + n_j J_j,

where v_j is the residual variance of j on its parents, price_ij what the edge i -> j
costs, and J_j, of variables whose noise may be non-Gaussian, the residuals' negentropy.

Parents are found by growing and shrinking: each variable keeps the sweep tableau of
the correlations on its parents (``scores.sweep_operator``), which tells in d operations
what each candidate, in or out, would change.

Nothing here is differentiable.

Source: Teyssier and Koller 2005, "Ordering-based search".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.types import Array
from causaljax.scores import linear_nongaussian, sweep_operator

IMPOSSIBLE = -1e12  # nats, of a place that required edges forbid


class Criterion(NamedTuple):
    """What is searched for. ``[w, u]`` of a matrix speaks of the edge u -> w."""

    correlation: Array  # [k, d, d] float
    rows: Array  # [d] float, the number of rows that inform a variable
    # [d, 1] float, nats an edge into w costs, or [d, d]: inf if it is ruled out
    price: Array
    most: Array  # [d] int, parents a variable may grow to
    unit: Array  # [] float, the score's part that depends on the columns' units
    allowed: Array  # [d, d] bool
    required: Array  # [d, d] bool
    table: linear_nongaussian.Rows | None
    shape_counts: Array  # [d] bool, whose negentropy joins the score


class Fit(NamedTuple):
    """An order with every variable's parents and regression on them."""

    order: Array  # [d] int
    place: Array  # [d] int, the order's inverse
    parents: Array  # [d, d] bool, [w, u] if u -> w
    tableaux: Array  # [d, d, d] float
    diagonals: Array  # [d, d] float, the tableaux' diagonals
    own: Array  # [d, d] float, row w of tableau w
    excess: Array  # [d] float, nats that negentropy adds

    @property
    def variance(self) -> Array:
        """Residual variances, of 1, ``[d]`` float."""
        return jnp.diagonal(self.diagonals)


def shape_rows(criterion: Criterion) -> Array:
    """The number of rows that the noise of each variable is seen in, ``[d]`` float."""
    if criterion.table is None or criterion.table.sampled is None:
        return criterion.rows
    return jnp.zeros_like(criterion.rows) + criterion.table.sampled


def min_gain(criterion: Criterion) -> Array:
    """Nats a move has to gain: ties are everywhere inside a class. ``[]`` float."""
    return sweep_operator.resolution(criterion.rows.dtype) * jnp.maximum(
        criterion.rows.max(), 1
    )


def variance_ratios(criterion, nodes, diagonals, own, parents, variance, candidates):
    """What toggling each u does to the variance of ``nodes``, priced. ``[l, d]``.

    The residual variance's ratio, times or by exp(2 price / n): a gain is < 1.
    """
    least = sweep_operator.resolution(variance.dtype)
    variance = jnp.maximum(variance[:, None], least)
    ratio = jnp.maximum(1 - own * own / (diagonals * variance), least / variance)
    rows = jnp.maximum(criterion.rows[nodes], 1)[:, None]
    cost = jnp.exp(2 * criterion.price[nodes] / rows)
    room = (parents.sum(axis=1) < criterion.most[nodes])[:, None]
    can_add = (
        candidates & criterion.allowed[nodes] & ~parents & (diagonals > least) & room
    )
    can_drop = parents & ~criterion.required[nodes]
    return jnp.where(can_add, ratio * cost, jnp.where(can_drop, ratio / cost, jnp.inf))


def is_gain(ratios):
    """Whether variance ratios mean a gain, beyond rounding."""
    return ratios < 1 - sweep_operator.resolution(ratios.dtype)


def negentropy_excess(criterion, nodes, parents, own, variance, wanted=True):
    """Nats that negentropy adds to the scores of ``nodes``, if wanted. ``[l]``."""
    if criterion.table is None:
        return jnp.zeros_like(variance)

    counts = criterion.shape_counts[nodes]

    def measure(carry):
        wanted, _ = carry
        per_row = linear_nongaussian.residual_negentropy(
            nodes, own, parents, criterion.table
        )
        rows = shape_rows(criterion)[nodes]
        return wanted & False, jnp.where(counts, rows * per_row, 0)

    # A loop of at most one round: under vmap a branch would always be taken.
    start = (counts.any() & wanted, jnp.zeros_like(variance))
    return jax.lax.while_loop(lambda carry: carry[0], measure, start)[1]


def local_scores(criterion, nodes, parents, variance, excess):
    """Nats of ``nodes`` with the columns in units of their deviations. ``[l]``."""
    least = sweep_operator.resolution(variance.dtype)
    scores = -criterion.rows[nodes] / 2 * jnp.log(jnp.maximum(variance, least))
    return scores - jnp.where(parents, criterion.price[nodes], 0).sum(axis=1) + excess


def score(fitted: Fit, criterion: Criterion) -> Array:
    """The score of the graph, nats, ``[]`` float: the sum of its local scores.

    Without negentropy it is the sum of ``linear_gaussian.bic``.
    """
    nodes = jnp.arange(fitted.order.shape[0])
    local = local_scores(
        criterion, nodes, fitted.parents, fitted.variance, fitted.excess
    )
    return local.sum() + criterion.unit


def toggle_parents(tableaux, parents, toggles):
    """Sweeps tableau w on every u of ``toggles[w]``, one at a time and in place."""

    def toggle_one(carry):
        tableaux, parents, toggles, w = carry
        k = jnp.argmax(toggles[w])
        one = sweep_operator.toggle(tableaux[w], k, parents[w, k])
        tableaux = jax.lax.dynamic_update_slice(
            tableaux, one[None], (w, jnp.zeros_like(w), jnp.zeros_like(w))
        )
        parents = parents.at[w, k].set(~parents[w, k])
        toggles = toggles.at[w, k].set(False)
        return tableaux, parents, toggles, jnp.argmax(toggles.any(axis=1))

    first = jnp.argmax(toggles.any(axis=1))
    tableaux, parents, *_ = jax.lax.while_loop(
        lambda carry: carry[2].any(), toggle_one, (tableaux, parents, toggles, first)
    )
    diagonals = jnp.diagonal(tableaux, axis1=1, axis2=2)
    return tableaux, diagonals, sweep_operator.own_rows(tableaux), parents


def inverse_order(order):
    """The place of each variable in an order."""
    # Not argsort, which in shard_map forgets what its result varies over.
    return jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0]))


def unfitted(order: Array, criterion: Criterion) -> Fit:
    """An order whose variables have no parents yet."""
    d = order.shape[0]
    tableaux = jnp.broadcast_to(criterion.correlation, (d, d, d))
    # As local as the data, which shard_map asks of what a loop carries.
    nothing = criterion.required & False
    return Fit(
        order=order,
        place=inverse_order(order),
        parents=nothing,
        tableaux=tableaux,
        diagonals=jnp.diagonal(tableaux, axis1=1, axis2=2),
        own=sweep_operator.own_rows(tableaux),
        excess=jnp.zeros_like(criterion.rows),
    )


def fit(order: Array, parents: Array, criterion: Criterion) -> Fit:
    """The regressions of a graph, made afresh from the correlations.

    Args:
      order: ``[d]`` int, the variable at each place.
      parents: ``[d, d]`` bool, [w, u] if u -> w; fits the order.
      criterion: what is searched for.

    Returns:
      The fit.
    """
    return _measured(_toggled(unfitted(order, criterion), parents), criterion)


def settle(fitted: Fit, criterion: Criterion, toggles: Array | None = None) -> Fit:
    """The best single change of parents for every variable, until none gains.

    Args:
      fitted: where to begin.
      criterion: what is searched for.
      toggles: ``[d, d]`` bool, [w, u] if u is to become a parent of w, or to be one
        no more, before all else; None: nothing.

    Returns:
      The fit.
    """
    d = fitted.order.shape[0]
    nodes = jnp.arange(d)
    earlier = fitted.place[None, :] < fitted.place[:, None]

    def change(carry):
        fitted, toggles, _, count = carry
        fitted = _toggled(fitted, toggles)
        ratios = variance_ratios(
            criterion,
            nodes,
            fitted.diagonals,
            fitted.own,
            fitted.parents,
            fitted.variance,
            earlier,
        )
        best = nodes[None, :] == jnp.argmin(ratios, axis=1)[:, None]
        toggles = best & is_gain(ratios)
        return fitted, toggles, toggles.any(), count + 1

    nothing = fitted.parents & False
    first = nothing if toggles is None else toggles | nothing
    start = (fitted, first, nothing[0, 0] | True, jnp.zeros_like(fitted.order[0]))
    fitted, *_ = jax.lax.while_loop(
        lambda carry: carry[2] & (carry[3] <= 4 * d), change, start
    )
    return _measured(fitted, criterion)


def _toggled(fitted, toggles):
    tableaux, diagonals, own, parents = toggle_parents(
        fitted.tableaux, fitted.parents, toggles
    )
    return fitted._replace(
        tableaux=tableaux, diagonals=diagonals, own=own, parents=parents
    )


def _measured(fitted, criterion):
    nodes = jnp.arange(fitted.order.shape[0])
    return fitted._replace(
        excess=negentropy_excess(
            criterion, nodes, fitted.parents, fitted.own, fitted.variance
        )
    )
