"""What every reinsertion of one variable into an order is worth, and doing it.

Where a variable v can go is tried at all places at once: only variables that have v
as a parent, or would gain by it, care, and they are refitted from the parents they
have. Nothing here is differentiable.

Sources: Andrews et al. 2023 (BOSS, best reinsertions); Wienobst, Henckel and
Weichwald 2025 (FLOP, warm-started parents).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.types import Array
from causaljax.scores import sweep_operator
from causaljax.scores.order_score import (
    IMPOSSIBLE,
    Criterion,
    Fit,
    inverse_order,
    is_gain,
    local_scores,
    negentropy_excess,
    toggle_parents,
    variance_ratios,
)

_LANES = 8  # variables refitted side by side
_DEPTH = 8  # changes to one variable's parents in one refit
_PENDING = 48  # changes of a walk after which its tableaux are rewritten


class Reinsertions(NamedTuple):
    """One variable's reinsertion at every place, and what it would entail."""

    totals: Array  # [d] float, the graph's score up to a constant, by place
    place: Array  # [] int, where the variable is now
    others: Array  # [d] int, the other variables' places without it
    refitted: Array  # [d] bool, variables that change as it passes them
    refits: Array  # [d, d] bool, their parents then
    refit_excess: Array  # [d] float
    parents: Array  # [d, d] bool, the variable's own parents, by place
    excess: Array  # [d] float, by place


def _refit(fitted, v, nodes, on, criterion):
    """Parents of ``nodes`` after v is toggled, and a few changes that then gain.

    The tableaux are corrected by the rank-one updates made so far, not rewritten.
    Returns parents ``[l, d]``, residual variances ``[l]`` and excess ``[l]``.
    """
    d = fitted.order.shape[0]
    num = nodes.shape[0]
    lanes, node = jnp.arange(num), jnp.arange(d)[None, :]
    parents = fitted.parents[nodes]
    earlier = fitted.place[None, :] < fitted.place[nodes][:, None]
    candidates = jnp.where(node == v, ~parents[:, v][:, None], earlier)

    def change(carry):
        count, k, on, updates, inverses, diagonals, own, parents, variance = carry
        toggled = (node == k[:, None]) & on[:, None]
        factors = updates[lanes, :, k] * inverses
        row = fitted.tableaux[nodes, k] - (factors[:, :, None] * updates).sum(axis=1)
        pivot = diagonals[lanes, k]
        q = sweep_operator.pivot_row(row, k, pivot, parents[lanes, k])
        inverse = jnp.where(on, 1 / pivot, 0)
        updates = updates.at[:, count].set(q)
        inverses = inverses.at[:, count].set(inverse)
        at_own = q[lanes, nodes]
        diagonals = diagonals - q * q * inverse[:, None]
        diagonals = jnp.where(toggled, -inverse[:, None], diagonals)
        own = own - q * (at_own * inverse)[:, None]
        parents, variance = parents ^ toggled, variance - at_own**2 * inverse
        ratios = variance_ratios(
            criterion, nodes, diagonals, own, parents, variance, candidates
        )
        k = jnp.argmin(ratios, axis=1)
        on = on & is_gain(ratios.min(axis=1))
        count = count + 1
        return count, k, on, updates, inverses, diagonals, own, parents, variance

    diagonals = fitted.diagonals[nodes]
    updates = jnp.zeros_like(diagonals, shape=(num, _DEPTH, d))
    start = (
        jnp.zeros_like(v),
        jnp.zeros_like(nodes) + v,
        on,
        updates,
        updates[:, :, 0],
        diagonals,
        fitted.own[nodes],
        parents,
        fitted.variance[nodes],
    )
    *_, own, parents, variance = jax.lax.while_loop(
        lambda carry: (carry[0] < _DEPTH) & carry[2].any(), change, start
    )
    return (
        parents,
        variance,
        negentropy_excess(criterion, nodes, parents, own, variance),
    )


def _walk(fitted, v, others, place, criterion):
    """Local score of v at every place, by walks left and right from its own.

    One change of parents an iteration. To the left, when the parents are settled,
    the last of them in the order is forced out; to the right, the walk goes on to
    the next variable that would gain. A change needs one row of the tableau, which is
    corrected by the changes made so far: the d^2 numbers of a tableau are rewritten
    once in ``_PENDING`` changes. Returns scores ``[d]``, parents ``[d, d]``
    and excess ``[d]``, each by place.
    """
    d = fitted.order.shape[0]
    node, lanes = jnp.arange(d)[None, :], jnp.arange(2)
    nodes = jnp.stack([v, v])

    def go_on(carry):
        count, on, base, diagonals, own, parents, at, scores, sets, excess = carry
        variance = own[:, v]
        table = (diagonals, own, parents, variance)
        earlier = others[None, :] < at[:, None]
        everything = variance_ratios(criterion, nodes, *table, True)
        ratios = jnp.where(earlier | parents, everything, jnp.inf)
        settled = ~is_gain(ratios.min(axis=1))
        # A variable beyond the right walk that would gain as soon as it is passed.
        ahead = is_gain(everything[1]) & ~earlier[1] & ~parents[1]
        last = jnp.where(parents[0], others, -1)
        following = jnp.where(ahead & (others >= at[1]), others, d)
        event = jnp.stack([last.max(), following.min()])
        at_event = jnp.stack([last.argmax(), following.argmin()])

        low = jnp.stack([event[0] + 1, at[1]])
        high = jnp.stack([at[0], jnp.minimum(event[1], d - 1)])
        reached = (node >= low[:, None]) & (node <= high[:, None])
        reached = reached & (settled & on)[:, None]
        extra = negentropy_excess(
            criterion, nodes, parents, own, variance, (settled & on).any()
        )
        score = local_scores(criterion, nodes, parents, variance, extra)
        scores = jnp.where(reached, score[:, None], scores)
        excess = jnp.where(reached, extra[:, None], excess)
        sets = jnp.where(reached[:, :, None], parents[:, None, :], sets)

        k = jnp.where(settled, at_event, jnp.argmin(ratios, axis=1))
        at = jnp.where(settled, event + lanes, at)
        on = on & (~settled | jnp.stack([event[0] >= 0, event[1] < d]))
        toggled = (node == k[:, None]) & on[:, None]
        pivot = diagonals[lanes, k]
        tableaux, updates, inverses = base
        factors = updates[lanes, :, k] * inverses
        row = tableaux[lanes, k] - (factors[:, :, None] * updates).sum(axis=1)
        q = sweep_operator.pivot_row(row, k, pivot, parents[lanes, k])
        q, inverse = jnp.where(on[:, None], q, 0), jnp.where(on, 1 / pivot, 0)
        diagonals = diagonals - q * q * inverse[:, None]
        diagonals = jnp.where(toggled, -inverse[:, None], diagonals)
        own = own - q * (q[:, v] * inverse)[:, None]
        slot = count % pending
        base = tableaux, updates.at[:, slot].set(q), inverses.at[:, slot].set(inverse)
        base = _rewritten(base, diagonals, slot + 1 == pending)
        parents = parents ^ toggled
        return count + 1, on, base, diagonals, own, parents, at, scores, sets, excess

    def twice(leaf):
        return jnp.stack([leaf, leaf])

    parents, pending = twice(fitted.parents[v]), min(_PENDING, d)
    scores = jnp.full_like(fitted.own[:2], IMPOSSIBLE)
    tableaux = twice(fitted.tableaux[v])
    updates = jnp.zeros_like(tableaux, shape=(2, pending, d))
    start = (
        jnp.zeros_like(v),
        parents[:, 0] | True,
        (tableaux, updates, updates[:, :, 0]),
        twice(fitted.diagonals[v]),
        twice(fitted.own[v]),
        parents,
        twice(place),
        scores,
        jnp.zeros_like(parents, shape=(2, d, d)),
        jnp.zeros_like(scores),
    )
    *_, scores, sets, excess = jax.lax.while_loop(
        lambda carry: (carry[0] < 4 * d) & carry[1].any(), go_on, start
    )
    left = node[0] < place
    return (
        jnp.where(left, scores[0], scores[1]),
        jnp.where(left[:, None], sets[0], sets[1]),
        jnp.where(left, excess[0], excess[1]),
    )


def _rewritten(base, diagonals, due):
    """Tableaux with the updates that wait for it made, where it is due."""

    # A loop of at most one round: under vmap a branch would always be taken.
    def rewrite(carry):
        due, tableaux, updates, inverses = carry
        scaled = updates * inverses[:, :, None]
        tableaux = tableaux - jnp.einsum(
            "lua,lub->lab", scaled, updates, precision="highest"
        )
        own = jnp.eye(tableaux.shape[-1], dtype=bool)[None]
        tableaux = jnp.where(own, diagonals[:, :, None], tableaux)
        return due & False, tableaux, updates, inverses * 0

    _, *base = jax.lax.while_loop(lambda carry: carry[0], rewrite, (due, *base))
    return tuple(base)


def reinsertions(fitted: Fit, v: Array, criterion: Criterion) -> Reinsertions:
    """The scores of the orders with v at every place, others refitted as need be.

    Others change only if they have v as a parent, and lose it, or come before it
    and would gain by it.
    """
    d = fitted.order.shape[0]
    node = jnp.arange(d)
    place = fitted.place[v]
    others = jnp.where(fitted.place > place, fitted.place - 1, fitted.place)
    others = jnp.where(node == v, 2 * d, others)
    child, variance = fitted.parents[:, v], fitted.variance
    only_v = jnp.broadcast_to((node == v)[None, :], (d, d))
    table = (fitted.diagonals, fitted.own, fitted.parents, variance)
    gains = is_gain(variance_ratios(criterion, node, *table, only_v)[:, v]) & ~child
    refitted = child | ((others < place) & gains)
    lanes = min(_LANES, d)

    def refit_some(carry):
        left, parents, variance, excess = carry
        rank = jnp.cumsum(left) - 1
        now = left & (rank < lanes)
        nodes = jnp.full_like(node, d, shape=lanes)
        nodes = nodes.at[jnp.where(now, rank, lanes)].set(node, mode="drop")
        results = _refit(fitted, v, jnp.minimum(nodes, d - 1), nodes < d, criterion)
        parents, variance, excess = (
            old.at[nodes].set(new, mode="drop")
            for old, new in zip((parents, variance, excess), results, strict=True)
        )
        return left & ~now, parents, variance, excess

    start = (refitted, fitted.parents, variance, fitted.excess)
    _, refits, new_variance, refit_excess = jax.lax.while_loop(
        lambda carry: carry[0].any(), refit_some, start
    )
    old = local_scores(criterion, node, fitted.parents, variance, fitted.excess)
    new = local_scores(criterion, node, refits, new_variance, refit_excess)
    change = jnp.where(refitted, new - old, 0)
    # What it means for each of the others that v comes after it, not before.
    passed = jnp.where(child, change, -change)
    passed = jnp.where(criterion.required[:, v], IMPOSSIBLE, passed)
    scores, parents, excess = _walk(fitted, v, others, place, criterion)
    first = jnp.where(criterion.required[v], others, -1).max() + 1
    scores = jnp.where(node < first, IMPOSSIBLE, scores)
    rest = jnp.where(node >= place, jnp.roll(fitted.order, -1), fitted.order)
    passed = jnp.cumsum(passed[rest])[:-1]
    return Reinsertions(
        totals=scores + jnp.concatenate([jnp.zeros_like(passed[:1]), passed]),
        place=place,
        others=others,
        refitted=refitted,
        refits=refits,
        refit_excess=refit_excess,
        parents=parents,
        excess=excess,
    )


def reinsert(
    fitted: Fit, v: Array, place: Array, moves: Reinsertions, criterion: Criterion
) -> tuple[Fit, Array]:
    """Puts v at a place.

    Returns:
      The fit, and ``[d]`` bool, the variables that changed and their neighbours.
    """
    node = jnp.arange(fitted.order.shape[0])
    child = fitted.parents[:, v]
    moved_past = jnp.where(child, moves.others < place, moves.others >= place)
    changed = moves.refitted & moved_past
    new = jnp.where(changed[:, None], moves.refits, fitted.parents)
    new = new.at[v].set(moves.parents[place])
    tableaux, diagonals, own, parents = toggle_parents(
        fitted.tableaux, fitted.parents, new ^ fitted.parents
    )
    places = jnp.where(moves.others >= place, moves.others + 1, moves.others)
    places = jnp.where(node == v, place, places)
    excess = jnp.where(changed, moves.refit_excess, fitted.excess)
    excess = excess.at[v].set(moves.excess[place])
    changed = changed | (node == v)
    edges = fitted.parents | parents
    near = changed | (edges & changed[:, None]).any(axis=0)
    near = near | (edges & changed[None, :]).any(axis=1)
    order = inverse_order(places)
    return Fit(order, places, parents, tableaux, diagonals, own, excess), near
