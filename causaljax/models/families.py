"""Variables with their candidate parents, and which of these a curve can spare.

States and settings are those of ``kernels.pruning``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.graphs.ops import matmul
from causaljax.models import curve
from causaljax.models.curve import Curve
from causaljax.types import Array

NOISE_SHARE = 0.75  # how far effects are measured in noise
_EIGHTHS = 1, 2, 4, 6  # of the parents there may be: sizes that are compiled
_FIRST_FITS = 3  # as many times the iterations
_SPARED = 0.15  # what can be spared at the least
_MISFIT = 0.25  # power of the noise by which edges must be worth more
WORTH = 0.05  # nats a row that an edge must be worth until all is settled


class Family(NamedTuple):
    """A variable's parents and what is known of them; in a state, one a variable."""

    parents: Array  # [d] bool, the candidates that are left
    curve: Curve  # over all d variables
    noise: Array  # [] float, standard deviation of the curve's residuals
    slopes: Array  # [d] float, root mean squares, when last measured
    costs: Array  # [d] float, nats a row by which the fit without was worse


class Data(NamedTuple):
    """The rows that curves are fitted on."""

    x: Array  # [m, d]
    used: Array  # [m, d], weights, 0 where the variable was set
    share: Array  # [m], weights that sum up to 1


def most_parents(config, d):
    """How many parents a variable may have."""
    return max(min(config.max_parents, d - 1), 1)


def fitted_rows(state, problem):
    """The rows that curves are fitted on."""
    x = jnp.where(state.weight[:, None] > 0, problem.x[state.rows], 0)
    used = jnp.where(problem.intervened[state.rows], 0, state.weight[:, None])
    return Data(x, used, state.weight / jnp.maximum(state.weight.sum(), 1))


def refit(found, parents, child, data, config):
    """A child's curve, fitted on from where it was, and its noise."""
    y, used = child
    x, most = data.x, most_parents(config, data.x.shape[1])
    return curve.fit_some(
        found,
        parents,
        x,
        y,
        used,
        config.decay,
        config.num_iterations,
        most,
        _EIGHTHS,
        config.least_gain,
    )


def slopes_at(found, parents, data):
    """Root mean squares of a curve's derivatives by its parents, of others 0."""
    at_rows = curve.slopes(found, jnp.where(parents[None, :], data.x, 0))
    square = matmul((at_rows**2).T, data.share)
    return jnp.where(parents, jnp.sqrt(square), 0)


class Trials(NamedTuple):
    """Fits that are asked for, a row a variable."""

    whole: Array  # [d] int32, how many more of the family as it is
    wanted: Array  # [d, d] bool, others
    parents: Array  # [d, d, d] bool, of those others
    thins: Array  # [] bool, they are of the family without one parent, which may go


def thinning(state):
    """Fits of families that are stale, the first time at length, to thin them out."""
    begins = state.step == 0
    parents = state.families.parents
    return Trials(
        whole=jnp.where(state.stale, jnp.where(begins, _FIRST_FITS, 1), 0),
        wanted=parents & state.stale[:, None] & ~begins,
        parents=jnp.zeros_like(state.known.tried),
        thins=state.step >= 0,
    )


def work_off(trials, families, state, problem, data, config):
    """The families, and by how many nats a row each fit was worse, ``[d, d]``.

    Fits are done one after another by one program, which takes long to compile. When
    families are thinned out, the parent of least effect is tried first, and goes if
    it can be spared.
    """
    ends = state.step + 1 == config.num_steps
    scale = state.families.noise**NOISE_SHARE
    thins = trials.thins

    def goes_on(carry):
        whole, wanted, *_ = carry
        return (whole > 0).any() | wanted.any()

    def fit_next(carry):
        whole, wanted, families, slopes, costs = carry
        child = jnp.argmax((whole > 0) | wanted.any(axis=1))
        family = jax.tree.map(lambda leaf: leaf[child], families)
        all_stay = whole[child] > 0
        size = slopes[child] * scale
        which = jnp.argmin(jnp.where(wanted[child], size, jnp.inf))
        left_out = (jnp.arange(len(scale)) == which) & ~all_stay
        parents = family.parents & ~left_out
        parents = jnp.where(thins, parents, trials.parents[child, which])

        y, used = data.x[:, child], data.used[:, child]
        found, noise = refit(family.curve, parents, (y, used), data, config)
        cost = jnp.log(noise / family.noise)
        # The less noise there is, the more misfit stands out.
        bar = _SPARED**2 * family.noise**-_MISFIT
        least = jnp.where(ends, 0.5 * jnp.log1p(bar), WORTH)
        spared = (cost < least) & ~problem.required[which, child]

        # Of parents that go, slopes stay those of the curve with all.
        now = slopes_at(found, parents, data)
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
        tried = costs[child, which]
        return (
            whole.at[child].add(-all_stay.astype(whole.dtype)),
            wanted.at[child, which].set(wanted[child, which] & all_stay),
            families,
            slopes.at[child].set(jnp.where(thins, whole_slopes, slopes[child])),
            costs.at[child, which].set(jnp.where(all_stay, tried, cost)),
        )

    carry = trials.whole, trials.wanted, families, families.slopes, families.costs
    *_, families, _, costs = jax.lax.while_loop(goes_on, fit_next, carry)
    # Without inputs the prior has made all hidden units alike: nothing to go on from.
    alone = ~families.parents.any(axis=1)
    restarted = jax.tree.map(
        lambda a, b: jnp.where(alone.reshape(-1, *[1] * (a.ndim - 1)), a, b),
        state.first,
        families.curve,
    )
    costs_now = jnp.where(thins, costs, families.costs)
    return families._replace(curve=restarted, costs=costs_now), costs
