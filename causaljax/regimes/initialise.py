"""How a mixture of regimes begins: cells that look intervened on, and then regimes."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logit
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem
from causaljax.mechanisms import conjugate
from causaljax.regimes.densities import log_normal
from causaljax.regimes.gaussian_mixture import gaussian_mixture
from causaljax.regimes.state import Config, State

WIDE = 1.5  # standard deviation of disturbed cells, for two steps
_SHARE = (0.005, 0.5)  # of a variable's cells that are disturbed
_PER_REGIME = 4  # groups of rows that a regime may begin with


def num_cell_steps(config: Config) -> int:
    """How many steps come before there are regimes."""
    return max(round(config.cell_share * config.num_steps), 1)


def num_labels(config: Config) -> Array:
    """How many regimes have labels, ``[]`` int32."""
    return jnp.asarray(config.num_labels).astype(jnp.int32)


def targets_known(config: Config) -> Array:
    """Whether intervened cells tell the targets of regimes with labels, ``[]`` bool."""
    return jnp.asarray(config.targets_known).astype(bool)


def cell_step(
    key: Array, state: State, x: Array, mean: Array, problem: Problem, config: Config
) -> tuple[State, Array, Array]:
    """Each variable is a mixture of its mechanism, of heights ``mean``, and of more."""

    def of_variable(column):
        x, residual, scale, cells = column
        return odds_of_cells(state.step, x, residual, scale, cells, state.weight)

    columns = x.T, (x - mean).T, state.mechanisms.scale, state.intervened_prob.T
    odds, share = jax.vmap(of_variable)(columns)
    cells = jax.nn.sigmoid(odds.T)
    known = labelled_regimes(problem, config)[0] & targets_known(config)
    cells = jnp.where(known[:, None], problem.intervened.astype(cells.dtype), cells)
    moved = state._replace(intervened_prob=cells.astype(x.dtype))
    begun = jax.lax.cond(
        state.step == num_cell_steps(config) - 1,
        lambda: _begin(key, moved, x, odds.T, share, problem, config),
        lambda: moved,
    )
    zero = 0 * jnp.argmax(share).astype(jnp.int32)
    return begun, jnp.full_like(share[0], jnp.inf), zero


def odds_of_cells(
    number: Array,
    x: Array,
    residual: Array,
    scale: Array,
    cells: Array,
    weight: Array,
) -> tuple[Array, Array]:
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


def is_given(value: ArrayLike | None) -> Array:
    """Whether something to begin from is there, ``[]`` bool: arrays of NaN are not."""
    return jnp.asarray(value is not None and ~jnp.isnan(jnp.asarray(value)[0, 0]))


def or_else(value: ArrayLike | None, otherwise: Array) -> Array:
    """What is given to begin from, if it is."""
    if value is None:
        return otherwise
    return jnp.where(is_given(value), jnp.asarray(value, otherwise.dtype), otherwise)


def labelled_regimes(problem: Problem, config: Config) -> tuple[Array, Array]:
    """Which rows have labels, and log-probabilities of regimes given them."""
    known = (problem.regime >= 0) & (problem.regime < num_labels(config))
    label = jnp.where(known, problem.regime, 0)
    index = jnp.arange(config.max_regimes, dtype=label.dtype)
    its_own = label[:, None] == index[None, :]
    noise = jnp.asarray(config.label_noise, problem.x.dtype)
    other = jnp.log(noise / max(config.max_regimes - 1, 1))
    prior = jnp.where(its_own, jnp.log1p(-noise), other)
    return known, jnp.where(known[:, None], prior, 0)


def _begin(key, state, x, odds, share, problem, config):
    """Regimes: those that have labels, and in the places left those of a start."""
    labels, most = num_labels(config), config.max_regimes
    index = jnp.arange(most, dtype=jnp.int32)
    free = most - labels
    known, told = labelled_regimes(problem, config)
    labelled_responsibilities = jax.nn.softmax(told, axis=1)
    given = is_given(config.responsibilities)
    kind = jnp.asarray(config.initialisation).astype(jnp.int32)
    # Not all starts have a use for groups, which take long.
    asked = (kind > 0) & ~given & (free > 0)
    # One mixture serves both kinds; columns of 0 move no row.
    cells = jnp.concatenate(
        [2 * state.intervened_prob, state.intervened_prob * x], axis=1
    )
    columns = jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    groups = gaussian_mixture(
        key,
        jnp.where(kind == 1, cells, columns),
        x,
        jnp.where(known, 0, state.weight),
        num_groups=_PER_REGIME * most,
        most=most,
        concentration=config.concentration,
        asked=asked,
        kept=free,
    )
    # Moved past the labels, by a product: shard_map cannot have indexing here.
    past = (index[:, None] + labels == index[None, :]).astype(x.dtype)
    by_variable, of_variables = _by_variable(odds, share, labels, most)
    found = jnp.where(kind == 0, by_variable, matmul(groups, past))
    responsibilities = jnp.where(
        (known | (free == 0))[:, None], labelled_responsibilities, found
    )
    responsibilities = jnp.where(
        free > 0, or_else(config.responsibilities, responsibilities), responsibilities
    )
    targets = _likely_targets(responsibilities, state)
    named = (kind == 0) & ~given
    of_start = (named & (index >= labels))[:, None]
    targets = jnp.where(of_start, of_variables, targets)
    # The largest by far, and all the others are named by what they disturb.
    reference = jnp.where(named & (labels == 0), 0, state.reference)
    return state._replace(
        responsibilities=responsibilities,
        targets=labelled_targets(targets, problem, config),
        reference=reference.astype(jnp.int32),
    )


def _likely_targets(responsibilities, state):
    """Variables most of whose cells look disturbed in a regime."""
    each = responsibilities * state.weight[:, None]
    size = jnp.maximum(each.sum(axis=0), 1e-6)
    return (matmul(each.T, state.intervened_prob) / size[:, None] > 0.5).astype(
        responsibilities.dtype
    )


def _by_variable(odds, share, labels, most):
    """Responsibilities ``[n, most]`` and targets: a regime a variable, one a place.

    Those with labels have none of it, and without labels the first has no target.
    """
    d, index = len(share), jnp.arange(most, dtype=jnp.int32)
    _, which = jax.lax.top_k(share, min(most, d))
    rank = jnp.arange(len(which), dtype=jnp.int32)
    place = (rank[:, None] + jnp.maximum(labels, 1) == index[None, :]).astype(
        odds.dtype
    )
    there = (place.sum(axis=0) > 0) | ((index == 0) & (labels == 0))
    score = matmul(odds[:, which], place)
    found = jax.nn.softmax(jnp.where(there[None, :], score, -jnp.inf), axis=1)
    named = which[:, None] == jnp.arange(d, dtype=which.dtype)[None, :]
    return jnp.where(there[None, :], found, 0), matmul(
        place.T, named.astype(place.dtype)
    )


def labelled_targets(targets: Array, problem: Problem, config: Config) -> Array:
    """Targets of regimes with labels are what their rows say, if that is told."""
    known, _ = labelled_regimes(problem, config)
    index = jnp.arange(len(targets), dtype=problem.regime.dtype)
    its_own = known[:, None] & (problem.regime[:, None] == index[None, :])
    hit = matmul(
        its_own.astype(targets.dtype).T, problem.intervened.astype(targets.dtype)
    )
    has_label = (index < num_labels(config)) & targets_known(config)
    return jnp.where(has_label[:, None], (hit > 0).astype(targets.dtype), targets)
