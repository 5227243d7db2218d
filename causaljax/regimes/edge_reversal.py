"""Whether an edge pays the other way, where rows' regimes are known and targets not.

With one edge the wrong way round, what was done to a cause looks as if it had been done
to its effect as well, or all regimes but one look disturbed, so that the cells that are
left do not tell. Here targets are found anew for each family that is weighed, by

    max_R log p(x_j | parents, R) + log p(R) - (h + 1) / 2 log(n) per parent

its mechanism fitted on the cells that R leaves alone, its read-out integrated out
(``regimes.find_targets``), and its h hidden weights a parent charged for as by BIC.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logit
from jax.typing import ArrayLike

from causaljax.core.compiling import quick_jit
from causaljax.core.linalg import matmul
from causaljax.core.problem import label_free_places
from causaljax.core.types import Array
from causaljax.graphs.dags import transitive_closure
from causaljax.mechanisms import conjugate, regression_network
from causaljax.regimes import intervention_targets
from causaljax.regimes.initialise import odds_of_cells

_HIDDEN = 16
_BUCKETS = 1, 2, 4  # of the variables: sizes that are compiled
_CELL_ROUNDS, _TARGET_ROUNDS = 3, 2
_ITERATIONS = 8  # of a curve, a round
_TOLERANCE = 1e-5  # nats a row, of an iteration
_FIRST_SHARE = 0.1  # of cells that are disturbed, before it is known


class Sample(NamedTuple):
    """What families are weighed on."""

    x: Array  # [n, d] float
    weight: Array  # [n] float
    responsibilities: Array  # [n, k] float
    targets: Array  # [k, d] float, where they are known
    known: Array  # [k] bool, whether they are


class Turning(NamedTuple):
    """Evidence of families, nats, as far as it is known; NaN: not yet.

    Of the cause with more parents, and of the effect with fewer.
    """

    graph: Array  # [d, d] bool
    now: Array  # [d], of every family as it is
    one: Array  # [d, d, 2], where an edge alone turns
    every: Array  # [d, d, 2], where all turn that turn with it
    only: Array  # [d, d], of a cause with its effect as the only parent
    number: Array  # [] int32, of turns


@quick_jit(static_argnames=("perfect", "most"))
def turn_edges(
    key: Array,
    sample: Sample,
    graph: Array,
    free: Array,
    weight_decay: ArrayLike,
    target_prior: ArrayLike,
    least: ArrayLike,
    perfect: bool,
    most: int,
) -> tuple[Array, Array]:
    """Turns edges, each time those of most gain.

    With an edge all turn by which its cause comes after its effect, or all by which
    its effect comes before its cause: a variable in the wrong place has many edges the
    wrong way round, and to turn one alone need not gain. Where all that leads to an
    effect is a path, the path turns as a whole as well: of rows left alone it says the
    same in both directions, and half turned it may be worse than either.

    Args:
      key: of the curves to begin with.
      sample: rows and their regimes.
      graph: ``[d, d]`` bool, acyclic.
      free: ``[d, d]`` bool, edges that may be there, and need not be the other way.
      weight_decay: ``[]``, of curves.
      target_prior: ``[]``, prior probability of a target.
      least: ``[]``, nats that a turn must gain.
      perfect: whether interventions are, static.
      most: turns, static.

    Returns:
      The graph, and what turning each of its edges would gain in the three ways,
      ``[d, d, 3]``, nats: -inf where there is none, or turning it is ruled out, or
      the way is one of those before.
    """
    d, dtype = len(graph), sample.x.dtype
    first = jax.tree.map(
        lambda leaf: leaf[0], regression_network.init_curves(key, 1, d, _HIDDEN, dtype)
    )
    # Random numbers go with the variables, whatever their labels.
    places = label_free_places(sample.x, sample.weight)
    first = first._replace(inputs=first.inputs[places])
    itself = jnp.eye(d, dtype=bool)

    def evidence(case):
        # One program for all; what is known or nobody asks for costs nothing.
        old, wanted, j, parents = case
        return jax.lax.cond(
            wanted & jnp.isnan(old),
            lambda: _evidence(
                first, sample, j, parents, weight_decay, target_prior, perfect
            ),
            lambda: old,
        )

    def weighed(state):
        graph, parents = state.graph, state.graph.T
        ends = _turning_along(graph)

        def able(i, j):
            later, earlier = ends[i, j]
            may = (~later | free[:, i]).all(), (~earlier | free[j]).all()
            return graph[i, j] & jnp.stack(may)

        def families(i, j):
            more, fewer = parents[i], parents[j]
            later, earlier = ends[i, j]
            one = jnp.stack([more | itself[j], fewer & ~itself[i]])
            return one, jnp.stack([more | later, fewer & ~earlier])

        alone = ends.sum(axis=-1) == 1
        able = _each_pair(able, d)
        asked = jnp.broadcast_to(graph[:, :, None], (d, d, 2)), able & ~alone
        path, on_path = _paths(graph)
        passed = (on_path & parents.any(axis=1)[:, None, None]).any(axis=0)
        whose = _each_pair(lambda i, j: jnp.stack([i, j]), d)
        tried = [leaf.reshape(-1, d) for leaf in _each_pair(families, d)]
        cases = (
            jnp.concatenate([leaf.ravel() for leaf in state[1:-1]]),
            jnp.concatenate(
                [
                    graph.any(0) | graph.any(1),
                    *(w.ravel() for w in asked),
                    passed.ravel(),
                ]
            ),
            jnp.concatenate(
                [jnp.arange(d), whose.ravel(), whose.ravel(), whose[:, :, 0].ravel()]
            ),
            jnp.concatenate([parents, *tried, jnp.tile(itself, (d, 1))]),
        )
        places = [d, d + 2 * d * d, d + 4 * d * d]
        now, one, every, only = jnp.split(jax.lax.map(evidence, cases), places)
        one, every = one.reshape(d, d, 2), every.reshape(d, d, 2)
        only = only.reshape(d, d)

        def gain(i, j):
            later, earlier = ends[i, j]
            own = (
                jnp.where(alone[i, j], one[i, j], every[i, j]) - now[jnp.stack([i, j])]
            )
            effects = jnp.where(later, one[i, :, 1] - now, 0).sum()
            causes = jnp.where(earlier, one[:, j, 0] - now, 0).sum()
            second = able[i, j, 1] & ~alone[i, j, 1]
            here = on_path[j]
            first = parents.any(axis=1)[:, None]
            turned = jnp.where(first, only, one[:, :, 0]) - now[:, None]
            whole = one[i, j, 1] - now[j] + jnp.where(here, turned, 0).sum()
            third = graph[i, j] & path[j] & (~here | free.T).all()
            counts = jnp.stack([able[i, j, 0], second, third])
            gains = jnp.append(own + jnp.stack([effects, causes]), whole)
            return jnp.where(counts, gains, -jnp.inf)

        known = Turning(graph, now, one, every, only, state.number)
        return known, _each_pair(gain, d)

    def turn(carry):
        state, gains = carry
        i, j, way = jnp.unravel_index(jnp.argmax(gains), gains.shape)
        old = _turning_along(state.graph)
        later, earlier = old[i, j]
        here = jnp.where(
            way == 0,
            itself[i][:, None] & later[None, :],
            earlier[:, None] & itself[j][None, :],
        )
        here = jnp.where(way == 2, _paths(state.graph)[1][j], here)
        graph = (state.graph & ~here) | here.T
        changed = here.any(axis=0) | here.any(axis=1)
        whose = _each_pair(lambda i, j: jnp.stack([changed[i], changed[j]]), d)
        others = (_turning_along(graph) != old).any(axis=-1)
        return weighed(
            Turning(
                graph=graph,
                now=jnp.where(changed, jnp.nan, state.now),
                one=jnp.where(whose, jnp.nan, state.one),
                every=jnp.where(whose | others, jnp.nan, state.every),
                only=state.only,
                number=state.number + 1,
            )
        )

    def goes_on(carry):
        state, gains = carry
        begins = state.number < 0
        return begins | ((state.number < most) & (gains.max() > least))

    now, pairs = jnp.full(d, jnp.nan, dtype), jnp.full((d, d, 2), jnp.nan, dtype)
    begun = Turning(graph, now, pairs, pairs, pairs[..., 0], jnp.full((), -1, "int32"))
    # The first turn is of no edge: outside the loop all would be compiled once more.
    nothing = jnp.full((d, d, 3), -jnp.inf, dtype)
    state, gains = jax.lax.while_loop(goes_on, turn, (begun, nothing))
    return state.graph, gains


def _each_pair(function, d):
    """Of all i and j, ``[d, d, ...]``."""
    index = jnp.arange(d)
    of_cause = jax.vmap(function, (None, 0))
    return jax.vmap(of_cause, (0, None))(index, index)


def _turning_along(graph):
    """The other ends u of what turns with i -> j, that itself one, ``[d, d, 2, d]``.

    First i -> u where u leads to j: i comes after j. Then u -> j where i leads to u.
    """
    reach = transitive_closure(graph) | jnp.eye(len(graph), dtype=bool)

    def ends(i, j):
        return graph[i, j] & jnp.stack([graph[i] & reach[:, j], graph[:, j] & reach[i]])

    return _each_pair(ends, len(graph))


def _paths(graph):
    """Whether all that leads to a variable is a path of more than one edge, ``[d]``.

    And that path's edges, ``[d, d, d]`` bool.
    """
    leads = (transitive_closure(graph) | jnp.eye(len(graph), dtype=bool)).T
    single = graph.sum(axis=0) <= 1
    path = (~leads | single[None, :]).all(axis=1) & (leads.sum(axis=1) > 2)
    edges = graph[None] & leads[:, :, None] & leads[:, None, :]
    return path, edges & path[:, None, None]


def _evidence(first, sample, j, parents, weight_decay, target_prior, perfect):
    """Of a variable's mechanism and of its targets together, nats."""
    x, y, dtype = sample.x, sample.x[:, j], sample.x.dtype
    d = x.shape[1]
    each = sample.responsibilities * sample.weight[:, None]
    total = jnp.maximum(sample.weight.sum(), 1)
    one = jnp.ones_like(x[:, :1])
    odds = logit(jnp.asarray(target_prior, dtype))

    def by_cell(number, found, scale, residual, cells):
        odds, _ = odds_of_cells(number, y, residual, scale, cells, sample.weight)
        cells = jax.nn.sigmoid(odds)
        size = jnp.maximum(each.sum(axis=0), 1e-6)
        likely = (matmul(each.T, cells) / size > 0.5).astype(dtype)
        return cells, likely, jnp.zeros((), dtype)

    def by_target(found, residual, targets):
        unit = jax.nn.silu(matmul(x, found.inputs) + found.biases[None, :])
        told, known = sample.targets[:, j], sample.known

        def of_size(size):
            there, which = jax.lax.top_k(parents.astype(dtype), size)
            inputs = x[:, which] * there[None, :]
            features = jnp.concatenate([one, unit, inputs], axis=1)
            return conjugate.pad(
                conjugate.statistics(each, features, residual), d - size
            )

        sums = own = regression_network.by_bucket(parents.sum(), d, (2,), of_size)
        if perfect:
            own = conjugate.statistics(each, one, y)
        own = conjugate.fit(own)[1]
        begin = jnp.where(known, told, targets)
        found, score = intervention_targets.best_targets(sums, own, begin, known, odds)
        cells = jnp.clip(matmul(sample.responsibilities, found), 0, 1)
        return cells, found, score

    def update(carry, number):
        found, cells, targets = carry
        used = (1 - cells) * sample.weight
        found, scale = regression_network.fit_selected(
            found,
            parents,
            x,
            y,
            used,
            weight_decay,
            _ITERATIONS,
            d,
            _BUCKETS,
            _TOLERANCE,
        )
        residual = y - regression_network.predict(found, x)
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
