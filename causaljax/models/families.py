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
    """Root mean squares of a curve's derivatives by its parents."""
    at_rows = curve.slopes(found, jnp.where(parents[None, :], data.x, 0))
    square = matmul((at_rows**2).T, data.share)
    return jnp.where(parents, jnp.sqrt(square), 0)


def thin_families(state, problem, data, config):
    """The families, those that are stale fitted and without what they can spare."""
    begins = state.step == 0
    ends = state.step + 1 == config.num_steps
    scale = state.families.noise

    def visited(column):
        family, stale, required, child = column

        def thinned():
            fitted = _fit(family, child, begins, data, config)
            size = fitted.slopes * scale**NOISE_SHARE
            order = jnp.argsort(jnp.where(fitted.parents, size, jnp.inf))
            attempts = jnp.where(begins, 0, fitted.parents.sum())
            left = jax.lax.fori_loop(
                0 * attempts,
                attempts,
                lambda place, left: _spared(
                    left, order[place], required, child, ends, data, config
                ),
                fitted,
            )
            size = slopes_at(left.curve, left.parents, data)
            return left._replace(slopes=jnp.where(left.parents, size, fitted.slopes))

        return jax.lax.cond(stale, thinned, lambda: family)

    children = data.x.T, data.used.T
    columns = state.families, state.stale, problem.required.T, children
    families = jax.lax.map(visited, columns)
    # Without inputs the prior has made all hidden units alike: nothing to go on from.
    alone = ~families.parents.any(axis=1)
    restarted = jax.tree.map(
        lambda a, b: jnp.where(alone.reshape(-1, *[1] * (a.ndim - 1)), a, b),
        state.first,
        families.curve,
    )
    return families._replace(curve=restarted)


def _fit(family, child, begins, data, config):
    """A family with its curve fitted, the first time at length."""

    def again(found):
        return refit(found, family.parents, child, data, config)

    found, noise = jax.lax.fori_loop(
        0,
        jnp.where(begins, _FIRST_FITS - 1, 0),
        lambda _, fitted: again(fitted[0]),
        again(family.curve),
    )
    size = slopes_at(found, family.parents, data)
    size = jnp.where(family.parents, size, family.slopes)
    return family._replace(curve=found, noise=noise, slopes=size)


def _spared(family, which, required, child, ends, data, config):
    """The family without this parent if it can spare it."""
    others = family.parents.at[which].set(False)
    found, noise = refit(family.curve, others, child, data, config)
    cost = jnp.log(noise / family.noise)
    # The less noise there is, the more misfit stands out.
    bar = _SPARED**2 * family.noise**-_MISFIT
    least = jnp.where(ends, 0.5 * jnp.log1p(bar), WORTH)
    spared = (cost < least) & ~required[which]
    family = family._replace(costs=family.costs.at[which].set(cost))
    without = family._replace(parents=others, curve=found, noise=noise)
    return jax.tree.map(lambda a, b: jnp.where(spared, a, b), without, family)
