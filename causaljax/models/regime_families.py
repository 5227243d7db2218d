"""Whether an edge pays the other way, where rows' regimes are known and targets not.

With one edge the wrong way round, what was done to a cause looks as if it had been done
to its effect as well, or all regimes but one look disturbed, so that the cells that are
left do not tell. Here targets are found anew for each family that is weighed, by

    max_R log p(x_j | parents, R) + log p(R) - (h + 1) / 2 log(n) per parent

its mechanism fitted on the cells that R leaves alone, its read-out integrated out
(``regimes.find_targets``), and its h hidden weights a parent charged for as by BIC.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logit
from jax.typing import ArrayLike

from causaljax.graphs.ops import matmul, transitive_closure
from causaljax.models import conjugate, curve, regimes
from causaljax.models.regime_starts import odds_of_cells
from causaljax.types import Array

_HIDDEN = 16
_CELL_ROUNDS, _TARGET_ROUNDS = 3, 2
_ITERATIONS = 8  # of a curve, a round
_LEAST_GAIN = 1e-5  # nats a row, of an iteration
_FIRST_SHARE = 0.1  # of cells that are disturbed, before it is known


class Sample(NamedTuple):
    """What families are weighed on."""

    x: Array  # [n, d] float
    weight: Array  # [n] float
    fitted: Array  # [m] int, rows that curves are fitted on
    belonging: Array  # [n, k] float
    targets: Array  # [k, d] float, where they are known
    known: Array  # [k] bool, whether they are


class Turning(NamedTuple):
    """Evidence of families, nats, as far as it is known; NaN: not yet."""

    graph: Array  # [d, d] bool
    now: Array  # [d], of every family as it is
    without: Array  # [d, d], of the effect's without the cause
    turned: Array  # [d, d], of the cause's with the effect
    number: Array  # [] int32, of turns


@functools.partial(jax.jit, static_argnames=("perfect", "most"))
def turn_edges(
    key: Array,
    sample: Sample,
    graph: Array,
    free: Array,
    decay: ArrayLike,
    sparsity: ArrayLike,
    least: ArrayLike,
    perfect: bool,
    most: int,
) -> tuple[Array, Array]:
    """Turns edges, each time that of most gain.

    Args:
      key: of the curves to begin with.
      sample: rows and their regimes.
      graph: ``[d, d]`` bool, acyclic.
      free: ``[d, d]`` bool, edges that may be there, and need not be the other way.
      decay: ``[]``, of curves.
      sparsity: ``[]``, prior probability of a target.
      least: ``[]``, nats that a turn must gain.
      perfect: whether interventions are, static.
      most: turns, static.

    Returns:
      The graph, and what turning each of its edges alone would gain, ``[d, d]``, nats:
      -inf where there is none, or turning it is ruled out or closes a cycle.
    """
    d, dtype = len(graph), sample.x.dtype
    first = jax.tree.map(
        lambda leaf: leaf[0], curve.first_curves(key, 1, d, _HIDDEN, dtype)
    )
    variables, itself = jnp.arange(d), jnp.eye(d, dtype=bool)
    cause, effect = (part.ravel() for part in jnp.indices((d, d)))

    def able(graph):
        longer = (
            matmul(graph.astype(dtype), transitive_closure(graph).astype(dtype)) > 0
        )
        return graph & free.T & ~longer

    def evidence(case):
        # One program for all; what is known or nobody asks for costs nothing.
        old, wanted, j, parents = case
        return jax.lax.cond(
            wanted & jnp.isnan(old),
            lambda: _evidence(first, sample, j, parents, decay, sparsity, perfect),
            lambda: old,
        )

    def weighed(state):
        graph, parents = state.graph, state.graph.T
        turns = able(graph)
        cases = (
            jnp.concatenate([state.now, state.without.ravel(), state.turned.ravel()]),
            jnp.concatenate(
                [turns.any(0) | turns.any(1), turns.ravel(), turns.ravel()]
            ),
            jnp.concatenate([variables, effect, cause]),
            jnp.concatenate(
                [
                    parents,
                    parents[effect] & ~itself[cause],
                    parents[cause] | itself[effect],
                ]
            ),
        )
        now, without, turned = jnp.split(jax.lax.map(evidence, cases), [d, d + d * d])
        gains = without - now[effect] + turned - now[cause]
        gains = jnp.where(turns, gains.reshape(d, d), -jnp.inf)
        shape = (d, d)
        known = Turning(
            graph, now, without.reshape(shape), turned.reshape(shape), state.number
        )
        return known, gains

    def turn(carry):
        state, gains = carry
        best = jnp.argmax(gains)
        i, j = best // d, best % d
        here = itself[i][:, None] & itself[j][None, :]
        changed = itself[i] | itself[j]
        return weighed(
            Turning(
                graph=(state.graph & ~here) | here.T,
                now=jnp.where(changed, jnp.nan, state.now),
                without=jnp.where(changed[None, :], jnp.nan, state.without),
                turned=jnp.where(changed[:, None], jnp.nan, state.turned),
                number=state.number + 1,
            )
        )

    def goes_on(carry):
        state, gains = carry
        return (state.number < most) & (gains.max() > least)

    nothing = jnp.full((d, d), jnp.nan, dtype)
    begun = Turning(graph, nothing[0], nothing, nothing, jnp.zeros((), jnp.int32))
    state, gains = jax.lax.while_loop(goes_on, turn, weighed(begun))
    return state.graph, gains


def _evidence(first, sample, j, parents, decay, sparsity, perfect):
    """Of a variable's mechanism and of its targets together, nats."""
    x, y, dtype = sample.x, sample.x[:, j], sample.x.dtype
    d = x.shape[1]
    each = sample.belonging * sample.weight[:, None]
    total = jnp.maximum(sample.weight.sum(), 1)
    few, few_weight = x[sample.fitted], sample.weight[sample.fitted]
    few_weight = few_weight * total / jnp.maximum(few_weight.sum(), 1e-6)
    one = jnp.ones_like(x[:, :1])
    odds = logit(jnp.asarray(sparsity, dtype))
    sizes = sorted({max(d // 4, 1), max(d // 2, 1), d})

    def by_cell(number, found, scale, residual, cells):
        odds, _ = odds_of_cells(number, y, residual, scale, cells, sample.weight)
        cells = jax.nn.sigmoid(odds)
        size = jnp.maximum(each.sum(axis=0), 1e-6)
        likely = (matmul(each.T, cells) / size > 0.5).astype(dtype)
        return cells, likely, jnp.zeros((), dtype)

    def by_target(found, residual, targets):
        unit = jax.nn.silu(matmul(x, found.inputs) + found.biases[None, :])
        inputs = jnp.where(parents[None, :], x, 0)
        features = jnp.concatenate([one, inputs, unit], axis=1)
        sums = own = conjugate.statistics(each, features, residual)
        if perfect:
            own = conjugate.statistics(each, one, y)
        own = conjugate.fit(own)[1]
        starts = jnp.stack([targets, jnp.zeros_like(own), jnp.ones_like(own)])
        told = sample.targets[:, j][None, :]
        starts = jnp.where(sample.known[None, :], told, starts)
        tried, scores = jax.lax.map(
            lambda start: regimes.find_targets(sums, own, start, sample.known, odds),
            starts,
        )
        best = jnp.argmax(scores)
        cells = jnp.clip(matmul(sample.belonging, tried[best]), 0, 1)
        return cells, tried[best], scores[best]

    def update(carry, number):
        found, cells, targets = carry
        used = (1 - cells[sample.fitted]) * few_weight
        found, scale = curve.fit_some(
            found,
            parents,
            few,
            y[sample.fitted],
            used,
            decay,
            _ITERATIONS,
            sizes,
            _LEAST_GAIN,
        )
        residual = y - curve.predict(found, x)
        cells, targets, score = jax.lax.cond(
            number < _CELL_ROUNDS,
            lambda: by_cell(number, found, scale, residual, cells),
            lambda: by_target(found, residual, targets),
        )
        return (found, cells, targets), score

    begun = first._replace(inputs=jnp.where(parents[:, None], first.inputs, 0))
    nobody = jnp.zeros_like(each[0])
    carry = begun, jnp.full_like(y, _FIRST_SHARE), nobody
    rounds = jnp.arange(_CELL_ROUNDS + _TARGET_ROUNDS)
    _, scores = jax.lax.scan(update, carry, rounds)
    price = (_HIDDEN + 1) / 2 * jnp.log(total)
    return scores[-1] - price * parents.sum().astype(dtype)
