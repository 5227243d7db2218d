"""Many candidate edges, thinned out by what a well-fitted curve misses without them.

Candidates are all edges that are not unlikely beforehand, in the acyclic order of the
likeliest. Every variable's curve over its candidate parents
(``mechanisms.regression_network``) is
fitted down to its noise. Then each parent is left out for once, that of least effect
first, and the curve fitted on from where it was: if its residuals, of standard
deviation s_j, grow by less than

    log(1 + 0.15^2 / s_j^(1/4)) / 2    nats a row

the parent goes. The power of s_j is there because a candidate that is no parent helps
a curve that does not fit perfectly, and that shows the more the less noise there is.
Nothing goes that is missed, so that one wrong step does not bring down the others.

A variable too early in the order lacks causes. It moves behind a descendant
(``graphs.moves``), or just gets back candidates that are no descendants any more, if
that makes it likelier by more than the children that turn lose.

Of what is left, edges of little effect go, an effect being

    e_ij = sqrt(mean (df_j / dx_i)^2) (s_i / s_j)^(3/4)

With the exponent 0 this is what a change by one unit of the (standardised) parent
does; with 1, what a change as large as the parent's own noise does in units of the
child's noise. The first overlooks weak causes of variables with little noise, the
second exaggerates what a misfit makes of them; in between measured best.

Sources: Buehlmann, Peters and Ernest 2014 (CAM) for pruning in an order; Teyssier and
Koller 2005 for moves in one; Nazaret et al. 2024 (SDCD) for two stages and thresholds
of effects; Peters and Buehlmann 2014 for scores by the sizes of residuals.
"""

import dataclasses
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.options import option
from causaljax.core.problem import (
    complete_rows,
    label_free_places,
    like_data,
    thin_rows,
)
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.graphs.dags import free_edges, greedy_acyclic
from causaljax.graphs.edge_probabilities import pair_probabilities
from causaljax.graphs.moves import Moves, list_moves, strongest, take_moves
from causaljax.mechanisms import regression_network
from causaljax.mechanisms.regression_network import Curve, init_curves
from causaljax.scores.linear_gaussian import explained_share, statistics

_NOISE_SHARE = 0.75  # how far effects are measured in noise
_BUCKETS = 1, 2, 4, 6  # of the parents there may be: sizes that are compiled
_FIRST_FITS = 3  # as many times the iterations
_SPARED = 0.15  # what can be spared at the least
_MISFIT = 0.25  # power of the noise by which edges must be worth more
_WORTH = 0.05  # nats a row that an edge must be worth until all is settled
_STEEPNESS = 4.0  # of an edge's probability in the log of its effect
_LEAST = 1e-12  # of effects, whose logarithm is taken
_DOUBT = 0.005  # of the method that began
_ROUNDS = 30  # of estimating the share of candidates that are edges
_IN_DOUBT = 0.1  # least prior probability of the direction an edge is reversed to


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``start`` holds probabilities of edges from another method; edges of more than
    ``min_prior_prob`` are candidates, of which a variable keeps the ``max_parents``
    likeliest. Without it the candidates are all edges along growing R2
    (``linear_gaussian.explained_share``), which is a guess. ``min_effect`` is the bar
    of effects; it is the lower the likelier the edge was beforehand, by
    ``prior_weight``, and the more edges there are (``finalise``). ``weight_decay`` is
    the precision of a normal prior of the curves' parameters, which have ``hidden``
    units and are fitted on ``num_rows`` rows at most, by ``num_iterations`` at a time,
    or fewer if one gains less than ``tolerance`` nats a row. With a ``screening`` above
    0 those parents are first left out together that a linear regression on the curve's
    derivatives can spare at that share of the bar (``regression_network.expendable``).
    That saves most fits of a dense graph; an edge at the bar may go with the others.
    """

    start: ArrayLike | None = None  # [d, d] float in [0, 1]
    min_prior_prob: float = option(0.02, least=0)
    min_effect: float = option(0.15, least=0)
    prior_weight: float = option(0.8, least=0)
    weight_decay: ArrayLike = option(1.0, above=0)
    tolerance: float = option(0.0, least=0)
    screening: float = option(0.0, least=0, static=True)
    max_parents: int = option(24, least=1)
    hidden: int = option(16, least=1)
    num_iterations: int = option(20, least=1)
    num_rows: int = option(4096, least=1)
    num_steps: int = option(9, least=1)


class Family(NamedTuple):
    """A variable's parents and what is known of them; in a state, one a variable."""

    parents: Array  # [d] bool, the candidates that are left
    curve: Curve  # over all d variables
    noise: Array  # [] float, standard deviation of the curve's residuals
    slopes: Array  # [d] float, root mean squares, when last measured
    costs: Array  # [d] float, nats a row by which the fit without was worse


class Known(NamedTuple):
    """What moves were found to do; NaN: unknown."""

    gains: Array  # [d, d] float, nats a row of v if it moves behind u
    tried: Array  # [d, d, d] bool, the parents it had with this gain
    losses: Array  # [d, d] float, nats a row of c without v


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    belief: Array  # [d, d] float, beforehand
    families: Family  # leaves [d, ...]; acyclic
    first: Curve  # leaves [d, ...], which curves begin from
    stale: Array  # [d] bool, families that are to be fitted
    refit_parents: Array  # [d, d] bool, a family's parents when all were last let in
    known: Known
    rows: Array  # [m] int, those that curves are fitted on
    weight: Array  # [m] float


class Data(NamedTuple):
    """The rows that curves are fitted on."""

    x: Array  # [m, d]
    used: Array  # [m, d], weights, 0 where the variable was set
    share: Array  # [m], weights that sum up to 1


class Trials(NamedTuple):
    """Fits that are asked for, a row a variable."""

    whole: Array  # [d] int32, how many more of the family as it is
    wanted: Array  # [d, d] bool, others
    parents: Array  # [d, d, d] bool, of those others
    thins: Array  # [] bool, they are of the family without one parent, which may go


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus log-likelihood, plus prices of edges, nats a row
    moves: Array  # [] int, edges dropped or reversed
    converged: Array  # [] bool, the loss is finite: each step ends its work
    nonfinite: Array  # [] bool, the loss is not finite


def init(key: Array, problem: Problem, config: Config) -> State:
    """What is believed beforehand. Rows with a gap or of weight 0 are left out."""
    n, d = problem.x.shape
    chex.assert_shape([problem.intervened, problem.observed], (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    counted = complete_rows(problem)
    weight = jnp.where(counted, problem.weight, 0)
    rows = jnp.arange(n)
    if n > config.num_rows:
        rows = thin_rows(weight, config.num_rows)
        weight = jnp.ones(config.num_rows, weight.dtype) * (
            weight.sum() / config.num_rows
        )
    x = jnp.where(counted[:, None], problem.x, 0)

    free = free_edges(problem)
    if config.start is None:
        table = problem._replace(x=x, intervened=jnp.zeros_like(problem.intervened))
        table = statistics(table, interventional=False)
        share = explained_share(table.covariance[0])
        belief = 0.5 + 0.5 * (share[None, :] - share[:, None])
    else:
        belief = jnp.asarray(config.start)
    belief = jnp.where(problem.required, 1, jnp.where(free, belief, 0))
    belief = belief.astype(x.dtype)
    places = label_free_places(x, jnp.where(counted, problem.weight, 0))
    begun = init_curves(key, d, d, config.hidden, x.dtype)
    begun = begun._replace(
        inputs=begun.inputs[places][:, places], biases=begun.biases[places]
    )
    nothing = jnp.zeros_like(belief)
    families = Family(problem.required.T, begun, nothing[0] + 1, nothing, nothing)
    state = State(
        step=jnp.zeros((), jnp.int32),
        belief=belief,
        families=families,
        first=begun,
        stale=jnp.ones(d, bool),
        refit_parents=problem.required.T,
        known=Known(nothing + jnp.nan, jnp.zeros((d, d, d), bool), nothing + jnp.nan),
        rows=rows,
        weight=weight,
    )
    return like_data(state, weight)._replace(step=state.step, rows=rows)


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Fits changed families and drops what they can spare; then moves variables."""
    del key
    # Which edges stay is no smooth question.
    state, problem, config = jax.lax.stop_gradient((state, problem, config))
    data = _fitted_rows(state, problem)
    state = _opened(state, config)
    families, moves, gains, known = _worked_off(state, problem, data, config)
    parents = take_moves(families.parents, moves, gains, _WORTH)
    moved = (parents != families.parents).any(axis=1)
    loss = _loss(families, data, state.weight, config)
    new = state._replace(
        step=state.step + 1,
        families=families._replace(parents=parents),
        stale=moved,
        refit_parents=jnp.where(moved[:, None], parents, state.refit_parents),
        known=known,
    )
    return new, Info(
        loss=loss,
        moves=(parents != state.families.parents).sum(),
        converged=jnp.isfinite(loss),
        nonfinite=~jnp.isfinite(loss),
    )


def _opened(state, config):
    """Families with all their candidates, to begin with and when the order is settled.

    All of them are fitted then, and a second time after the first step.
    """
    begins = state.step == 0
    settled = (state.step > 1) & (state.step + 1 == config.num_steps)
    opens = begins | settled
    # Those there are, and the likeliest that close no cycle.
    there = state.families.parents
    least = jnp.where(opens, config.min_prior_prob, jnp.inf)
    graph = greedy_acyclic(state.belief, least, there.T)
    strength = jnp.where(there, 2, state.belief.T)
    few = strongest(graph.T, strength, _most_parents(config, len(there)))
    parents = jnp.where(opens, few, there)
    return state._replace(
        families=state.families._replace(parents=parents),
        refit_parents=jnp.where(begins, parents, state.refit_parents),
        stale=state.stale | opens | (state.step == 1),
    )


def _moves(state, problem, families, config):
    """All moves of variables, and which of them can be taken, ``[d, d]``."""
    d = len(state.belief)
    free = state.belief > 0  # what knowledge forbids is not believed at all
    candidates = state.belief > config.min_prior_prob
    most = _most_parents(config, d)
    moves = list_moves(families.parents.T, candidates, state.belief, most)
    # Where nobody intervened only the sizes of misfits tell directions.
    doubtful = problem.intervened.any() | (state.belief >= _IN_DOUBT)
    fixed = problem.required | ~(free & doubtful).T
    turns = moves.reversed_edges.any(axis=-1)
    fresh = (moves.parents_after_move & ~state.refit_parents[:, None, :]).any(axis=-1)
    possible = ~(moves.reversed_edges & fixed[:, None, :]).any(axis=-1)
    possible = possible & (turns | (fresh & jnp.eye(d, dtype=bool)))
    # The last two steps are for the settled order.
    moving = (state.step > 0) & (state.step + 2 < config.num_steps)
    return moves, possible & moving


def _worked_off(state, problem, data, config):
    """Families thinned out, all moves, what they gain in all, nats a row, ``[d, d]``.

    And all that is known of moves.
    """
    old, stale = state.known, state.stale
    weight = data.used.sum(axis=0) / jnp.maximum(state.weight.sum(), 1)

    def net(families, moves, gains, losses):
        """What moves gain if children lose their parent, or have others instead."""
        costs = jnp.fmin(weight[None, :] * families.costs.T, losses)
        return gains - jnp.where(moves.reversed_edges, costs[:, None, :], 0).sum(
            axis=-1
        )

    def phase(number, carry):
        """First families are thinned out; then come moves, then children that turn."""
        trials, families, moves, possible, gains, losses = carry
        families, costs = _work_off(trials, families, state, problem, data, config)
        costs = weight[:, None] * costs
        gains = jnp.where(trials.wanted & (number == 1), -costs, gains)
        losses = jnp.where(trials.wanted.T & (number == 2), costs.T, losses)
        moves, possible = jax.lax.cond(
            number == 0,
            lambda: _moves(state, problem, families, config),
            lambda: (moves, possible),
        )
        known = (moves.parents_after_move == old.tried).all(axis=-1) & ~jnp.isnan(
            old.gains
        )
        known = known & ~stale[:, None]
        # With other candidates instead, a child may lose less.
        unmet = possible & (gains > _WORTH)
        unmet = unmet & (net(families, moves, gains, jnp.nan) < _WORTH)
        unknown = (unmet[:, :, None] & moves.reversed_edges).any(axis=1) & jnp.isnan(
            losses
        )
        trials = Trials(
            whole=0 * trials.whole,
            wanted=jnp.where(number == 0, possible & ~known, unknown.T),
            parents=jnp.where(
                number == 0,
                moves.parents_after_move,
                moves.child_parents_after.swapaxes(0, 1),
            ),
            thins=trials.thins & False,
        )
        return trials, families, moves, possible, gains, losses

    trials = _thinning(state)
    nothing = trials.parents
    losses = jnp.where(stale[None, :], jnp.nan, old.losses)
    carry = trials, state.families, Moves(nothing, nothing, nothing), trials.wanted
    carry = jax.lax.fori_loop(0, 3, phase, (*carry, old.gains, losses))
    _, families, moves, possible, gains, losses = carry
    tried = jnp.where(possible[:, :, None], moves.parents_after_move, old.tried)
    known = jnp.where(stale[:, None] & ~possible, jnp.nan, gains)
    won = jnp.where(possible, net(families, moves, gains, losses), -jnp.inf)
    return families, moves, won, Known(known, tried, losses)


def _most_parents(config, d):
    """How many parents a variable may have."""
    return max(min(config.max_parents, d - 1), 1)


def _fitted_rows(state, problem):
    """The rows that curves are fitted on."""
    x = jnp.where(state.weight[:, None] > 0, problem.x[state.rows], 0)
    used = jnp.where(problem.intervened[state.rows], 0, state.weight[:, None])
    return Data(x, used, state.weight / jnp.maximum(state.weight.sum(), 1))


def _refit(found, parents, child, data, config):
    """A child's curve, fitted on from where it was, and its noise."""
    y, used = child
    x, most = data.x, _most_parents(config, data.x.shape[1])
    return regression_network.fit_selected(
        found,
        parents,
        x,
        y,
        used,
        config.weight_decay,
        config.num_iterations,
        most,
        _BUCKETS,
        config.tolerance,
    )


def _slopes_at(found, parents, data):
    """Root mean squares of a curve's derivatives by its parents, of others 0."""
    at_rows = regression_network.slopes(found, jnp.where(parents[None, :], data.x, 0))
    square = matmul((at_rows**2).T, data.share)
    return jnp.where(parents, jnp.sqrt(square), 0)


def _thinning(state):
    """Fits of families that are stale, the first time at length, to thin them out."""
    begins = state.step == 0
    parents = state.families.parents
    return Trials(
        whole=jnp.where(state.stale, jnp.where(begins, _FIRST_FITS, 1), 0),
        wanted=parents & state.stale[:, None] & ~begins,
        parents=jnp.zeros_like(state.known.tried),
        thins=state.step >= 0,
    )


def _work_off(trials, families, state, problem, data, config):
    """The families, and by how many nats a row each fit was worse, ``[d, d]``.

    Fits are done one after another by one program, which takes long to compile. When
    families are thinned out, the parent of least effect is tried first, and goes if
    it can be spared.
    """
    ends = state.step + 1 == config.num_steps
    scale = state.families.noise**_NOISE_SHARE
    thins = trials.thins

    def goes_on(carry):
        whole, wanted, *_ = carry
        return (whole > 0).any() | wanted.any()

    def fit_next(carry):
        whole, wanted, families, slopes, costs, several = carry
        child = jnp.argmax((whole > 0) | wanted.any(axis=1))
        family = jax.tree.map(lambda leaf: leaf[child], families)
        all_stay = whole[child] > 0
        # What a linear regression can spare is left out at once, for a try.
        jointly = ~all_stay & several[child].any()
        size = slopes[child] * scale
        which = jnp.argmin(jnp.where(wanted[child], size, jnp.inf))
        left_out = (jnp.arange(len(scale)) == which) & ~all_stay
        left_out = jnp.where(jointly, several[child], left_out)
        parents = family.parents & ~left_out
        parents = jnp.where(thins, parents, trials.parents[child, which])

        y, used = data.x[:, child], data.used[:, child]
        found, noise = _refit(family.curve, parents, (y, used), data, config)
        cost = jnp.log(noise / family.noise)
        # The less noise there is, the more misfit stands out.
        bar = _SPARED**2 * family.noise**-_MISFIT
        least = jnp.where(ends, 0.5 * jnp.log1p(bar), _WORTH)
        spared = (cost < least) & ~(problem.required[:, child] & left_out).any()

        # Of parents that go, slopes stay those of the curve with all.
        now = _slopes_at(found, parents, data)
        whole_slopes = jnp.where(parents & all_stay, now, slopes[child])
        new = Family(
            parents=parents,
            curve=found,
            noise=noise,
            slopes=jnp.where(parents, now, whole_slopes),
            costs=family.costs,
        )
        better = thins & (all_stay | spared)
        families = jax.tree.map(
            lambda leaf, a, b: leaf.at[child].set(jnp.where(better, a, b)),
            families,
            new,
            family,
        )
        proposed = left_out & False
        if config.screening > 0:
            proposed = jax.lax.cond(
                thins & (whole[child] == 1) & wanted[child].any(),
                lambda: regression_network.expendable(
                    found,
                    parents,
                    wanted[child] & ~problem.required[:, child],
                    data.x,
                    y,
                    used,
                    config.weight_decay,
                    _most_parents(config, len(scale)),
                    least * config.screening,
                ),
                lambda: proposed,
            )
        one_out = ~all_stay & ~jointly
        done = jnp.where(jointly, left_out & spared, left_out & one_out)
        return (
            whole.at[child].add(-all_stay.astype(whole.dtype)),
            wanted.at[child].set(wanted[child] & ~done),
            families,
            slopes.at[child].set(jnp.where(thins, whole_slopes, slopes[child])),
            costs.at[child].set(jnp.where(left_out & one_out, cost, costs[child])),
            several.at[child].set(proposed),
        )

    nothing = trials.wanted & False
    carry = trials.whole, trials.wanted, families, families.slopes, families.costs
    carry = jax.lax.while_loop(goes_on, fit_next, (*carry, nothing))
    *_, families, _, costs, _ = carry
    # Without inputs the prior has made all hidden units alike: nothing to go on from.
    alone = ~families.parents.any(axis=1)
    restarted = jax.tree.map(
        lambda a, b: jnp.where(alone.reshape(-1, *[1] * (a.ndim - 1)), a, b),
        state.first,
        families.curve,
    )
    costs_now = jnp.where(thins, costs, families.costs)
    return families._replace(curve=restarted, costs=costs_now), costs


def _loss(families, data, weight, config):
    """Minus the log-likelihood, plus prices of edges, nats a row."""
    scale, rows = families.noise, data.used.sum(axis=0)
    loss = (rows * (jnp.log(scale) + 0.5 * math.log(2 * math.pi * math.e))).sum()
    total = jnp.maximum(weight.sum(), 1)
    # So that restarts compare graphs of different sizes: half log(n) a parameter.
    price = 0.5 * (config.hidden + 1) * jnp.log(jnp.maximum(total, 2))
    return (loss + price * families.parents.sum().astype(scale.dtype)) / total


def _effects(state):
    """What edges do, in the units of ``min_effect``."""
    scale = state.families.noise
    ratio = scale[:, None] / scale[None, :]
    return state.families.slopes.T * ratio**_NOISE_SHARE


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph, and how clearly each edge is above or below the bar.

    The log-odds of an edge are

        4 log(e / b) + prior_weight logit(p) + logit(q)

    with b^2 = min_effect^2 + (hidden + 1) / rows, the second of which is about what
    chance can do, p its probability beforehand and q the share of candidates that are
    edges: the fixed point of the mean probability of all candidates (one of each kind
    more keeps it off 0 and 1). Where both directions of a pair were measured, their
    probabilities and that of no edge add up to 1. ``extra`` holds ``effects``
    ``[d, d]`` and ``noise`` ``[d]``, the standard deviations of the curves' residuals.
    """
    del key
    effects, graph = _effects(state), state.families.parents.T
    odds = _log_odds(effects, state, config)
    odds = jnp.where(graph, odds, jnp.minimum(odds, 0))
    # A pair has one of three states, whatever was measured of its two directions.
    prob = pair_probabilities(odds)
    return Posterior(
        edge_prob=jnp.where(problem.required, 1, prob).astype(prob.dtype),
        graphs=((graph & (odds >= 0)) | problem.required)[None],
        log_weight=jnp.zeros_like(prob[0, :1]),
        extra={"effects": effects, "noise": state.families.noise},
    )


def _log_odds(effects, state, config):
    """Of edges: by their effects, beforehand, and by how many seem to be there."""
    rows = jnp.clip(state.weight.sum(), 1, config.num_rows)
    chance = (config.hidden + 1) / rows
    least = jnp.asarray(config.min_effect, effects.dtype)
    bar = jnp.sqrt(least**2 + chance)
    size = jnp.maximum(effects, _LEAST)
    belief = jnp.clip(state.belief, _DOUBT, 1 - _DOUBT)
    prior = jnp.asarray(config.prior_weight, effects.dtype) * jax.scipy.special.logit(
        belief
    )
    odds = _STEEPNESS * (jnp.log(size) - jnp.log(bar)) + prior
    measured = effects > 0
    number = measured.sum().astype(odds.dtype)

    def again(_, share):
        there = jax.nn.sigmoid(odds + jax.scipy.special.logit(share))
        return (jnp.where(measured, there, 0).sum() + 1) / (number + 2)

    half = jnp.full_like(odds[0, 0], 0.5)
    share = jax.lax.fori_loop(0, _ROUNDS, again, half)
    return jnp.where(measured, odds + jax.scipy.special.logit(share), -jnp.inf)


KERNEL = Kernel(init, step, finalise)
