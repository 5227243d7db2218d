"""How a mixture of regimes begins: cells that look disturbed, and then regimes.

States and settings are those of ``kernels.latent_interventions``.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import logit

from causaljax.graphs.ops import matmul
from causaljax.models import conjugate
from causaljax.models.gaussian_mixture import gaussian_mixture
from causaljax.models.mechanisms import fit_mechanisms, log_normal

CELL_STEPS = 6  # before there are regimes
WIDE = 1.5  # standard deviation of disturbed cells, for two steps
_SHARE = (0.005, 0.5)  # of a variable's cells that are disturbed
_PER_REGIME = 4  # groups of rows that a regime may begin with


def cell_step(key, state, x, problem, config):
    """Each variable is a mixture of its mechanism and of something else."""
    state, mean = fit_mechanisms(state, x, config)

    def of_variable(column):
        x, residual, scale, cells = column
        return odds_of_cells(state.step, x, residual, scale, cells, state.weight)

    columns = x.T, (x - mean).T, state.scale, state.cells.T
    odds, share = jax.lax.map(of_variable, columns)
    cells = jax.nn.sigmoid(odds.T)
    if config.targets_known:
        known = told_regimes(problem, config)[0]
        cells = jnp.where(known[:, None], problem.intervened.astype(cells.dtype), cells)
    moved = state._replace(cells=cells.astype(x.dtype))
    begun = jax.lax.cond(
        state.step == CELL_STEPS - 1,
        lambda: _begin(key, moved, x, odds.T, share, problem, config),
        lambda: moved,
    )
    zero = 0 * jnp.argmax(share).astype(jnp.int32)
    return begun, jnp.full_like(share[0], jnp.inf), zero


def odds_of_cells(number, x, residual, scale, cells, weight):
    """Log-odds ``[n]`` that a variable's cells are disturbed, and their share.

    Args:
      number: of updates before this one.
      x: ``[n]``.
      residual: ``[n]``, x less its mechanism.
      scale: ``[]``, its standard deviation.
      cells: ``[n]``, P(disturbed) before.
      weight: ``[n]``, of rows.
    """
    new, one = number < 2, jnp.ones_like(x)[:, None]
    # Medians stand fast while disturbed cells still weigh in.
    size = jnp.where(weight > 0, jnp.abs(residual), jnp.inf)
    half = ((weight > 0).sum() / 2).astype(jnp.int32)
    median = jnp.maximum(1.4826 * jnp.sort(size)[half], 1e-4)
    scale = jnp.where(new, jnp.minimum(scale, median), scale)
    sums = conjugate.statistics((cells * weight)[:, None], one, x)
    other = conjugate.expected_log_density(conjugate.fit(sums)[0], one, x)[:, 0]
    other = jnp.where(new, log_normal(x, WIDE), other)
    share = (weight * cells).sum() / jnp.maximum(weight.sum(), 1)
    share = jnp.clip(share, *_SHARE)
    return logit(share) + other - log_normal(residual, scale), share


def is_given(value):
    """Whether something to begin from is there, ``[]`` bool: arrays of NaN are not."""
    return jnp.asarray(value is not None and ~jnp.isnan(jnp.asarray(value)[0, 0]))


def or_else(value, otherwise):
    """What is given to begin from, if it is."""
    if value is None:
        return otherwise
    return jnp.where(is_given(value), jnp.asarray(value, otherwise.dtype), otherwise)


def told_regimes(problem, config):
    """Which rows have labels, and log-probabilities of regimes given them."""
    known = (problem.regime >= 0) & (problem.regime < config.num_labels)
    label = jnp.where(known, problem.regime, 0)
    index = jnp.arange(config.max_regimes, dtype=label.dtype)
    its_own = label[:, None] == index[None, :]
    noise = jnp.asarray(config.label_noise, problem.x.dtype)
    other = jnp.log(noise / max(config.max_regimes - 1, 1))
    prior = jnp.where(its_own, jnp.log1p(-noise), other)
    return known, jnp.where(known[:, None], prior, 0)


def _begin(key, state, x, odds, share, problem, config):
    """Regimes: those that have labels, and in the places left those of a start."""
    labels = config.num_labels
    free = config.max_regimes - labels
    known, told = told_regimes(problem, config)
    belonging = jax.nn.softmax(told, axis=1)
    if not free:
        targets = _likely_targets(belonging, state)
        return state._replace(
            belonging=belonging, targets=told_targets(targets, problem, config)
        )

    by_variable, of_variables = _by_variable(odds, share, free, labels == 0)
    kind = jnp.asarray(config.kind).astype(jnp.int32)
    # Not all starts have a use for groups, which take long.
    asked = (kind > 0) & ~is_given(config.belonging)
    # One mixture serves both kinds; columns of 0 move no row.
    cells = jnp.concatenate([2 * state.cells, state.cells * x], axis=1)
    columns = jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    groups = gaussian_mixture(
        key,
        jnp.where(kind == 1, cells, columns),
        x,
        jnp.where(known, 0, state.weight),
        num_groups=_PER_REGIME * free,
        most=free,
        concentration=config.concentration,
        asked=asked,
    )
    found = jnp.where(kind == 0, by_variable, groups)
    found = jnp.pad(found, ((0, 0), (labels, 0)))
    belonging = jnp.where(known[:, None], belonging, found)
    belonging = or_else(config.belonging, belonging)
    targets = _likely_targets(belonging, state)
    of_variables = jnp.concatenate([targets[:labels], of_variables])
    named = (kind == 0) & ~is_given(config.belonging)
    targets = jnp.where(named, of_variables, targets)
    reference = state.reference
    if labels == 0:
        # The largest by far, and all the others are named by what they disturb.
        reference = jnp.where(named, 0, reference)
    return state._replace(
        belonging=belonging,
        targets=told_targets(targets, problem, config),
        reference=reference.astype(jnp.int32),
    )


def _likely_targets(belonging, state):
    """Variables most of whose cells look disturbed in a regime."""
    each = belonging * state.weight[:, None]
    size = jnp.maximum(each.sum(axis=0), 1e-6)
    return (matmul(each.T, state.cells) / size[:, None] > 0.5).astype(belonging.dtype)


def _by_variable(odds, share, free, reference):
    """Responsibilities ``[n, free]`` and targets: a regime a variable, one a place."""
    d = len(share)
    _, which = jax.lax.top_k(share, min(free - reference, d))
    score = odds[:, which]
    targets = which[:, None] == jnp.arange(d, dtype=which.dtype)[None, :]
    if reference:
        score = jnp.pad(score, ((0, 0), (1, 0)))
        targets = jnp.pad(targets, ((1, 0), (0, 0)))
    found, empty = jax.nn.softmax(score, axis=1), free - score.shape[1]
    return (
        jnp.pad(found, ((0, 0), (0, empty))),
        jnp.pad(targets, ((0, empty), (0, 0))).astype(odds.dtype),
    )


def told_targets(targets, problem, config):
    """Targets of regimes with labels are what their rows say, if that is told."""
    if not (config.targets_known and config.num_labels):
        return targets
    known, _ = told_regimes(problem, config)
    label = jnp.where(known, problem.regime, 0)
    told = jnp.zeros(targets.shape, bool)
    told = told.at[label].max(problem.intervened & known[:, None])
    has_label = (jnp.arange(len(targets)) < config.num_labels)[:, None]
    return jnp.where(has_label, told.astype(targets.dtype), targets)
