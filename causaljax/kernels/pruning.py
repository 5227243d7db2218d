"""Many candidate edges, thinned out by what a well-fitted curve misses without them.

Candidates are all edges that are not unlikely beforehand, in the acyclic order of the
likeliest. Every variable's curve over its candidate parents (``models.curve``) is
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

from causaljax.graphs.moves import Moves, list_moves, strongest, take_moves
from causaljax.graphs.ops import (
    greedy_acyclic,
    label_free_places,
    pair_probabilities,
    transitive_closure,
)
from causaljax.models.curve import Curve, first_curves
from causaljax.models.families import (
    NOISE_SHARE,
    WORTH,
    Family,
    Trials,
    fitted_rows,
    most_parents,
    thinning,
    work_off,
)
from causaljax.models.linear_gaussian import explained_share, statistics
from causaljax.types import Array, Kernel, Posterior, Problem, static

_STEEPNESS = 4.0  # of an edge's probability in the log of its effect
_LEAST = 1e-12  # of effects, whose logarithm is taken
_DOUBT = 0.005  # of the method that began
_ROUNDS = 30  # of estimating the share of candidates that are edges
_IN_DOUBT = 0.1  # least belief in the direction an edge is turned to


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``start`` holds probabilities of edges from another method; edges of more than
    ``least_belief`` are candidates, of which a variable keeps the ``max_parents``
    likeliest. Without it the candidates are all edges along growing R2
    (``linear_gaussian.explained_share``), which is a guess. ``least_effect`` is the bar
    of effects; it is the lower the likelier the edge was beforehand, by ``trust``, and
    the more edges there are (``finalise``). ``decay`` is the precision of a normal
    prior of the curves' parameters, which have ``hidden`` units and are fitted on
    ``num_rows`` rows at most, by ``num_iterations`` at a time, or fewer if one gains
    less than ``least_gain`` nats a row.
    """

    start: ArrayLike | None = None  # [d, d] float in [0, 1]
    least_belief: float = 0.02
    least_effect: float = 0.15
    trust: float = 0.8
    decay: ArrayLike = 1.0
    least_gain: float = 0.0
    max_parents: int = static(default=24)
    hidden: int = static(default=16)
    num_iterations: int = static(default=20)
    num_rows: int = static(default=4096)
    num_steps: int = static(default=9)


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
    opened: Array  # [d, d] bool, the parents a family had when it was last opened
    known: Known
    rows: Array  # [m] int, those that curves are fitted on
    weight: Array  # [m] float


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus log-likelihood, plus prices of edges, nats a row
    moves: Array  # [] int, edges dropped or turned
    converged: Array  # [] bool, the loss is finite: each step ends its work
    nonfinite: Array  # [] bool, the loss is not finite


def check_config(config: Config) -> None:
    """Raises ValueError, naming the option, if a setting makes no sense."""
    for name, positive in (
        ("least_belief", False),
        ("least_effect", False),
        ("trust", False),
        ("decay", True),
        ("least_gain", False),
    ):
        value = getattr(config, name)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a number, not {value!r}") from None
        if not (math.isfinite(number) and (number > 0 if positive else number >= 0)):
            bound = "positive" if positive else "at least 0"
            raise ValueError(f"{name} must be finite and {bound}, not {value!r}")
    for name in ("max_parents", "hidden", "num_iterations", "num_rows", "num_steps"):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(
                f"{name} must be a whole number of at least 1, not {value!r}"
            )


def init(key: Array, problem: Problem, config: Config) -> State:
    """What is believed beforehand. Rows with a gap or of weight 0 are left out."""
    n, d = problem.x.shape
    chex.assert_shape([problem.intervened, problem.observed], (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    counted = problem.observed.all(axis=1) & (problem.weight > 0)
    weight = jnp.where(counted, problem.weight, 0)
    rows = jnp.arange(n)
    if n > config.num_rows:
        # Evenly along the table, by weight: every stretch has its share.
        cumulative = jnp.cumsum(weight)
        part = (jnp.arange(config.num_rows, dtype=weight.dtype) + 0.5) / config.num_rows
        rows = jnp.searchsorted(cumulative, part * cumulative[-1], side="right")
        rows = jnp.minimum(rows, n - 1)
        weight = jnp.full_like(part, 1) * (weight.sum() / config.num_rows)
    x = jnp.where(counted[:, None], problem.x, 0)

    free = _free(problem)
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
    begun = first_curves(key, d, d, config.hidden, x.dtype)
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
        opened=problem.required.T,
        known=Known(nothing + jnp.nan, jnp.zeros((d, d, d), bool), nothing + jnp.nan),
        rows=rows,
        weight=weight,
    )
    zero = 0 * weight[0]  # as local as the data, which shard_map asks of what they feed
    local = jax.tree.map(lambda leaf: leaf + zero.astype(leaf.dtype), state)
    return local._replace(step=state.step, rows=rows)


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Fits changed families and drops what they can spare; then moves variables."""
    del key
    # Which edges stay is no smooth question.
    state, problem, config = jax.lax.stop_gradient((state, problem, config))
    data = fitted_rows(state, problem)
    state = _opened(state, config)
    families, moves, gains, known = _worked_off(state, problem, data, config)
    parents = take_moves(families.parents, moves, gains, WORTH)
    moved = (parents != families.parents).any(axis=1)
    loss = _loss(families, data, state.weight, config)
    new = state._replace(
        step=state.step + 1,
        families=families._replace(parents=parents),
        stale=moved,
        opened=jnp.where(moved[:, None], parents, state.opened),
        known=known,
    )
    return new, Info(
        loss=loss,
        moves=(parents != state.families.parents).sum(),
        converged=jnp.isfinite(loss),
        nonfinite=~jnp.isfinite(loss),
    )


def _free(problem):
    """Edges that knowledge allows."""
    return problem.allowed & ~transitive_closure(problem.required).T


def _opened(state, config):
    """Families with all their candidates, to begin with and when the order is settled.

    All of them are fitted then, and a second time after the first step.
    """
    begins = state.step == 0
    settled = (state.step > 1) & (state.step + 1 == config.num_steps)
    opens = begins | settled
    # Those there are, and the likeliest that close no cycle.
    there = state.families.parents
    least = jnp.where(opens, config.least_belief, jnp.inf)
    graph = greedy_acyclic(state.belief, least, there.T)
    strength = jnp.where(there, 2, state.belief.T)
    few = strongest(graph.T, strength, most_parents(config, len(there)))
    parents = jnp.where(opens, few, there)
    return state._replace(
        families=state.families._replace(parents=parents),
        opened=jnp.where(begins, parents, state.opened),
        stale=state.stale | opens | (state.step == 1),
    )


def _moves(state, problem, families, config):
    """All moves of variables, and which of them can be taken, ``[d, d]``."""
    d = len(state.belief)
    free = state.belief > 0  # what knowledge forbids is not believed at all
    hopeful = state.belief > config.least_belief
    most = most_parents(config, d)
    moves = list_moves(families.parents.T, hopeful, state.belief, most)
    # Where nobody intervened only the sizes of misfits tell directions.
    doubtful = problem.intervened.any() | (state.belief >= _IN_DOUBT)
    fixed = problem.required | ~(free & doubtful).T
    turns = moves.turned.any(axis=-1)
    fresh = (moves.opened & ~state.opened[:, None, :]).any(axis=-1)
    possible = ~(moves.turned & fixed[:, None, :]).any(axis=-1)
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
        return gains - jnp.where(moves.turned, costs[:, None, :], 0).sum(axis=-1)

    def phase(number, carry):
        """First families are thinned out; then come moves, then children that turn."""
        trials, families, moves, possible, gains, losses = carry
        families, costs = work_off(trials, families, state, problem, data, config)
        costs = weight[:, None] * costs
        gains = jnp.where(trials.wanted & (number == 1), -costs, gains)
        losses = jnp.where(trials.wanted.T & (number == 2), costs.T, losses)
        moves, possible = jax.lax.cond(
            number == 0,
            lambda: _moves(state, problem, families, config),
            lambda: (moves, possible),
        )
        known = (moves.opened == old.tried).all(axis=-1) & ~jnp.isnan(old.gains)
        known = known & ~stale[:, None]
        # With other candidates instead, a child may lose less.
        unmet = possible & (gains > WORTH)
        unmet = unmet & (net(families, moves, gains, jnp.nan) < WORTH)
        unknown = (unmet[:, :, None] & moves.turned).any(axis=1) & jnp.isnan(losses)
        trials = Trials(
            whole=0 * trials.whole,
            wanted=jnp.where(number == 0, possible & ~known, unknown.T),
            parents=jnp.where(number == 0, moves.opened, moves.bereft.swapaxes(0, 1)),
            thins=trials.thins & False,
        )
        return trials, families, moves, possible, gains, losses

    trials = thinning(state)
    nothing = trials.parents
    losses = jnp.where(stale[None, :], jnp.nan, old.losses)
    carry = trials, state.families, Moves(nothing, nothing, nothing), trials.wanted
    carry = jax.lax.fori_loop(0, 3, phase, (*carry, old.gains, losses))
    _, families, moves, possible, gains, losses = carry
    tried = jnp.where(possible[:, :, None], moves.opened, old.tried)
    known = jnp.where(stale[:, None] & ~possible, jnp.nan, gains)
    won = jnp.where(possible, net(families, moves, gains, losses), -jnp.inf)
    return families, moves, won, Known(known, tried, losses)


def _loss(families, data, weight, config):
    """Minus the log-likelihood, plus prices of edges, nats a row."""
    scale, rows = families.noise, data.used.sum(axis=0)
    loss = (rows * (jnp.log(scale) + 0.5 * math.log(2 * math.pi * math.e))).sum()
    total = jnp.maximum(weight.sum(), 1)
    # So that restarts compare graphs of different sizes: half log(n) a parameter.
    price = 0.5 * (config.hidden + 1) * jnp.log(jnp.maximum(total, 2))
    return (loss + price * families.parents.sum().astype(scale.dtype)) / total


def _effects(state):
    """What edges do, in the units of ``least_effect``."""
    scale = state.families.noise
    ratio = scale[:, None] / scale[None, :]
    return state.families.slopes.T * ratio**NOISE_SHARE


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph, and how clearly each edge is above or below the bar.

    The log-odds of an edge are

        4 log(e / b) + trust logit(p) + logit(q)

    with b^2 = least_effect^2 + (hidden + 1) / rows, the second of which is about what
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
    least = jnp.asarray(config.least_effect, effects.dtype)
    bar = jnp.sqrt(least**2 + chance)
    size = jnp.maximum(effects, _LEAST)
    belief = jnp.clip(state.belief, _DOUBT, 1 - _DOUBT)
    prior = jnp.asarray(config.trust, effects.dtype) * jax.scipy.special.logit(belief)
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
