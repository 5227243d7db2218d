"""Many candidate edges, thinned out by what each does in well-fitted curves.

Candidates are all edges that are not unlikely beforehand, in the acyclic order of the
likeliest. Every variable's curve over its candidate parents (``models.curve``) is
fitted down to its noise, and an edge i -> j is measured by

    e_ij = sqrt(mean (df_j / dx_i)^2) (s_i / s_j)^(3/4)

s the standard deviations of the variables' noise. With the exponent 0 this is what a
change by one unit of the (standardised) parent does; with 1, what a change as large as
the parent's own noise does in units of the child's noise, and log(1 + e_ij^2) / 2 is
roughly the edge's worth in nats a row. The first overlooks weak causes of variables
with little noise, the second exaggerates what a misfit makes of them; in between
measured best. Edges of little effect go. An edge that closes no cycle the other way
round is turned if its two variables' curves then leave smaller residuals (by the
entropy of normals of their sizes), in the rows where nobody set the variable,
and if the start was in doubt: beside noise of a thousandth misfit outshouts the truth.
Curves whose inputs have changed are fitted anew, and all edges looked over again.

Why effects and not likelihoods: a candidate that is no parent often helps a curve that
does not fit perfectly, and on many rows any help is significant.

Sources: Buehlmann, Peters and Ernest 2014 (CAM) for pruning in an order; Nazaret et al.
2024 (SDCD) for two stages and thresholds of effects; Peters and Buehlmann 2014 for
scores by the sizes of residuals.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.graphs.ops import greedy_acyclic, is_acyclic, matmul, transitive_closure
from causaljax.models import curve
from causaljax.models.linear_gaussian import statistics
from causaljax.models.sortability import explained_share
from causaljax.types import Array, Kernel, Posterior, Problem, static

_STEEPNESS = 4.0  # of an edge's probability in the log of its effect
_LEAST = 1e-12  # of effects, whose logarithm is taken
_DOUBT = 0.005  # of the method that began
_ROUNDS = 30  # of estimating the share of candidates that are edges
_NOISE_SHARE = 0.75  # how far effects are measured in noise
_EASY_STEPS = 4  # until the bar has risen
_IN_DOUBT = 0.1  # least probability beforehand of the direction an edge is turned to
_MOST_TURNED = 10  # parents of a variable whose edges are turned
_FIRST_SIZE = 0.5  # standard deviation of the inputs' weights to begin with


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``start`` holds probabilities of edges from another method; edges of more than
    ``least_belief`` are candidates, of which a variable keeps the ``max_parents``
    likeliest. Without it the candidates are all edges along growing R2
    (``models.sortability``), which is a guess. An edge whose effect is below
    ``least_effect`` goes; in earlier steps the bar is lower, and it is the lower the
    likelier the edge was beforehand, by ``trust``, and the more edges there are
    (``finalise``). ``decay`` is the
    precision of a normal prior of the curves' parameters, which have ``hidden``
    units and are fitted by ``num_iterations`` on ``num_rows`` rows at most.
    """

    start: ArrayLike | None = None  # [d, d] float in [0, 1]
    least_belief: float = 0.02
    least_effect: float = 0.2
    trust: float = 0.8
    decay: ArrayLike = 1.0
    max_parents: int = static(default=24)
    hidden: int = static(default=16)
    num_iterations: int = static(default=50)
    num_rows: int = static(default=4096)
    num_steps: int = static(default=9)


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    belief: Array  # [d, d] float, beforehand
    graph: Array  # [d, d] bool, the candidates that are left; acyclic
    slopes: Array  # [d, d] float, root mean squares, when last measured
    scale: Array  # [d] float, standard deviations of the noise
    gains: Array  # [d, d] float, nats by turning an edge, NaN where not measured
    stale: Array  # [d] bool, families that have changed since they were measured
    places: Array  # [d] int, whose random numbers are a variable's
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
    """The candidates. Rows with a gap are left out, as those of weight 0 are."""
    del key
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

    free = problem.allowed & ~transitive_closure(problem.required).T
    if config.start is None:
        table = problem._replace(x=x, intervened=jnp.zeros_like(problem.intervened))
        table = statistics(table, interventional=False)
        share = explained_share(table.covariance[0])
        belief = 0.5 + 0.5 * (share[None, :] - share[:, None])
    else:
        belief = jnp.asarray(config.start)
    belief = jnp.where(problem.required, 1, jnp.where(free, belief, 0))
    belief = belief.astype(x.dtype)
    third = matmul(jnp.where(counted, problem.weight, 0), x**3)
    zero = 0 * weight[0]  # as local as the data, which shard_map asks of what they feed
    return State(
        step=jnp.zeros((), jnp.int32),
        belief=belief,
        graph=greedy_acyclic(belief, config.least_belief, problem.required),
        slopes=jnp.zeros_like(belief) + zero,
        scale=jnp.ones_like(belief[0]) + zero,
        gains=jnp.full_like(belief, jnp.nan) + zero,
        stale=jnp.ones_like(belief[0], dtype=bool) & (zero == 0),
        places=jnp.argsort(jnp.argsort(third)),
        rows=rows,
        weight=weight,
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Fits curves on the candidates that are left; drops some of these, turns some."""
    # Which edges stay is no smooth question.
    state, problem, config = jax.lax.stop_gradient((state, problem, config))
    graph, x = state.graph, problem.x[state.rows]
    x = jnp.where(state.weight[:, None] > 0, x, 0)
    used = jnp.where(problem.intervened[state.rows], 0, state.weight[:, None])
    d = len(graph)
    measure, children = _measurement(key, x, used, state, config)
    # Indexing stays out of what is conditional: shard_map cannot have it there.
    variables = jnp.arange(d)

    def fitted(column):
        parents, stale, there, child = column
        return jax.lax.cond(stale, lambda: measure(parents, child, 2), lambda: there)

    there = state.slopes.T, state.scale
    columns = graph.T, state.stale, there, children
    slopes, scale = jax.lax.map(fitted, columns)
    slopes = jnp.where(graph, slopes.T, state.slopes)
    state = state._replace(slopes=slopes, scale=scale)
    progress = jnp.minimum((state.step + 1).astype(x.dtype) / _EASY_STEPS, 1)
    odds = _log_odds(_effects(state), state, progress, config)
    kept = (graph & (odds >= 0)) | problem.required

    reach = transitive_closure(kept)
    through = matmul(kept.astype(x.dtype), reach.astype(x.dtype)) > 0
    free = problem.allowed & ~transitive_closure(problem.required).T
    possible = kept & ~through & free.T & ~problem.required
    possible = possible & (state.belief.T >= _IN_DOUBT)
    possible = possible & (state.step + 1 < config.num_steps)
    # Large families are slow to fit, and soon smaller.
    small = graph.sum(axis=0) <= _MOST_TURNED
    possible = possible & small[:, None] & small[None, :]
    rows = used.sum(axis=0)

    def gain_of(pair):
        """Nats by which turning an edge makes its two variables likelier."""
        cause, effect = pair
        without = graph[:, effect] & (variables != cause)
        beside = graph[:, cause] | (variables == effect)
        lost = jax.tree.map(lambda leaf: leaf[effect], children)
        gained = jax.tree.map(lambda leaf: leaf[cause], children)
        at_effect, at_cause = scale[effect], scale[cause]
        weight_effect, weight_cause = rows[effect], rows[cause]

        def refitted():
            gone = jnp.log(measure(without, lost, 1)[1] / at_effect)
            come = jnp.log(measure(beside, gained, 1)[1] / at_cause)
            return -(gone * weight_effect + come * weight_cause)

        old = state.gains[cause, effect]
        doubtful = jnp.isnan(old) | state.stale[cause] | state.stale[effect]
        return jax.lax.cond(possible[cause, effect] & doubtful, refitted, lambda: old)

    cause, effect = jnp.repeat(variables, d), jnp.tile(variables, d)
    gains = jax.lax.map(gain_of, (cause, effect)).reshape(d, d)
    turned = _turned(kept, jnp.where(possible, gains - (config.hidden + 1), -jnp.inf))
    loss = (rows * (jnp.log(scale) + 0.5 * math.log(2 * math.pi * math.e))).sum()
    total = jnp.maximum(state.weight.sum(), 1)
    # So that restarts compare graphs of different sizes: half log(n) a parameter.
    price = 0.5 * (config.hidden + 1) * jnp.log(jnp.maximum(total, 2))
    loss = (loss + price * graph.sum().astype(x.dtype)) / total
    moves = (graph & ~turned).sum()
    new = state._replace(
        step=state.step + 1,
        graph=turned,
        slopes=jnp.where(kept & ~turned, 0, slopes),
        gains=gains,
        stale=(turned != graph).any(axis=0),
    )
    return new, Info(
        loss=loss,
        moves=moves,
        converged=jnp.isfinite(loss),
        nonfinite=~jnp.isfinite(loss),
    )


def _measurement(key, x, used, state, config):
    """``(parents [d], child, fits) -> slopes [d], noise``; and all children."""
    d = x.shape[1]
    key_inputs, key_outputs = jax.random.split(key)
    # By child; two fits of each.
    first = jax.random.normal(key_inputs, (d, 2, d, config.hidden), x.dtype)
    first = _FIRST_SIZE * first[state.places][:, :, state.places]
    last = jax.random.normal(key_outputs, (d, 2, config.hidden), x.dtype)
    last = last[state.places]
    total = jnp.maximum(state.weight.sum(), 1)
    most = max(min(config.max_parents, d - 1), 1)
    sizes = sorted({max(most // part, 1) for part in (4, 2, 1)})

    def slopes_on(num_inputs, believed, y, used, first, last):
        """Root mean squares of one variable's slopes, and its noise."""
        value, parents = jax.lax.top_k(believed, num_inputs)
        there = value > 0
        inputs = jnp.where(there[None, :], x[:, parents], 0)

        def fitted(begin):
            first, last = begin
            begun = curve.Curve(
                inputs=first[parents],
                passed=jnp.zeros_like(value),
                biases=last,
                outputs=jnp.zeros_like(last),
                offset=jnp.zeros_like(value[0]),
            )
            found, noise = curve.fit(
                begun, inputs, y, used, config.decay, config.num_iterations
            )
            return curve.slopes(found, inputs), noise

        # What misfit adds to a slope differs between two fits, and drops out.
        slopes, noise = jax.lax.map(fitted, (first, last))
        square = matmul((slopes[0] * slopes[-1]).T, state.weight) / total
        slope = jnp.where(there, jnp.sqrt(jnp.maximum(square, 0)), 0)
        spread = jnp.zeros_like(believed).at[parents].add(slope)
        return spread, noise.min()

    branches = [functools.partial(slopes_on, size) for size in sizes]

    def measure(parents, child, num_fits):
        belief, y, used, first, last = child
        # The fewer candidates, the smaller the regressions.
        which = sum((parents.sum() > size).astype(jnp.int32) for size in sizes[:-1])
        believed = jnp.where(parents, belief + 1, 0)
        begin = first[:num_fits], last[:num_fits]
        return jax.lax.switch(which, branches, believed, y, used, *begin)

    return measure, (state.belief.T, x.T, used.T, first, last)


def _turned(graph, gains):
    """Edges turned round, those of most gain first, unless that closes a cycle.

    A gain holds only while both families are what they were when it was measured.
    """
    d = len(graph)

    def turn(_, carry):
        graph, gains = carry
        best = jnp.argmax(gains)
        cause, effect = best // d, best % d
        turned = graph.at[cause, effect].set(False).at[effect, cause].set(True)
        good = (gains[cause, effect] > 0) & is_acyclic(turned)
        touched = jnp.zeros(d, bool).at[cause].set(True).at[effect].set(True)
        touched = touched[:, None] | touched[None, :]
        spent = jnp.zeros_like(graph).at[cause, effect].set(True)
        spent = spent | (good & touched)
        return jnp.where(good, turned, graph), jnp.where(spent, -jnp.inf, gains)

    return jax.lax.fori_loop(0, d, turn, (graph, gains))[0]


def _effects(state):
    """What edges do, in the units of ``least_effect``."""
    return state.slopes * (state.scale[:, None] / state.scale[None, :]) ** _NOISE_SHARE


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph, and how clearly each edge is above or below the bar.

    The log-odds of an edge are

        4 log(e / b) + trust logit(p) + logit(q)

    with b^2 = least_effect^2 + (hidden + 1) / rows, the second of which is about what
    chance can do, p its probability beforehand and q the share of candidates that are
    edges: the fixed point of the mean probability of all candidates (one of each kind
    more keeps it off 0 and 1). ``extra`` holds ``effects`` ``[d, d]`` and ``noise``
    ``[d]``, the standard deviations of the curves' residuals.
    """
    del key
    odds = _log_odds(_effects(state), state, jnp.ones_like(state.scale[0]), config)
    prob = jax.nn.sigmoid(odds)
    return Posterior(
        edge_prob=jnp.where(problem.required, 1, prob).astype(prob.dtype),
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(prob[0, :1]),
        extra={"effects": _effects(state), "noise": state.scale},
    )


def _log_odds(effects, state, progress, config):
    """Of edges: by their effects, beforehand, and by how many seem to be there."""
    rows = jnp.clip(state.weight.sum(), 1, config.num_rows)
    chance = (config.hidden + 1) / rows
    least = jnp.asarray(config.least_effect, effects.dtype)
    bar = progress * jnp.sqrt(least**2 + chance)
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
