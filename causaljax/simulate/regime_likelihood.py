"""How likely each row of a simulated table is in each regime, by its true model.

With the sizes of the regimes as prior this gives the posterior of a row's regime,
which nobody who is not told the regimes can beat on average: the ceiling of methods
that guess them.
"""

import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem
from causaljax.simulate.interventions import Intervention
from causaljax.simulate.scm import LinearTruth

_LOG_FLOOR = -30.0  # of a density that is a sum over a grid
_GRID_SIZE = 257
_GRID_REACH = 6.0  # standard deviations of the noise
_SMALLEST_SD = 1e-3  # of a normal density; what is set to a constant has 0
_ROWS_AT_ONCE = 128


class RegimeModel(NamedTuple):
    """Every variable given its parents, regime by regime; the child comes first.

    A variable is N where ``listens`` is False and f(parents, N) where it is True, N
    normal of mean ``noise_mean`` and standard deviation ``noise_scale``.
    ``log_density`` knows f: a child's slice of it takes ``(x, parents, noise_mean,
    noise_scale)``, of shapes ``[]``, ``[d]``, ``[r]`` and ``[r]``, and returns
    ``[r]``, nats.
    """

    log_density: Partial  # leaves [d, ...]
    is_parent: Array  # [d, d] bool, i -> j at [j, i]
    listens: Array  # [d, r] bool
    noise_mean: Array  # [d, r] float
    noise_scale: Array  # [d, r] float, >= 0


class _HasModel(Protocol):
    @property
    def model(self) -> RegimeModel: ...


def regime_log_likelihood(problem: Problem, truth: _HasModel) -> Array:
    """Log density of every row under what generated each regime.

        sum_j log p_r(x_j | parents of j)

    Exact where noise is added. Where it enters a network it is a sum over a grid of
    257 noise values, each smoothed as wide as it is apart from the next, and at
    least e^-30 a variable. A variable set to a constant counts as normal of standard
    deviation .001.

    Args:
      problem: the table as generated, its columns not scaled since.
      truth: that came with it, of ``dcdi_table`` or ``faria_table``.

    Returns:
      ``[n, r]``, nats.

    Example:
      >>> from causaljax import simulate
      >>> problem, truth = simulate.dcdi_table(jax.random.key(0), num_rows=1100)
      >>> regime_log_likelihood(problem, truth).shape
      (1100, 11)
    """
    model = truth.model

    def of_row(row):
        def add(total, child):
            x, (log_density, is_parent, listens, mean, scale) = child
            # What a cut variable becomes would stretch the grid; regime 0 has no cut.
            noise = (jnp.where(listens, each, each[0]) for each in (mean, scale))
            heard = log_density(x, jnp.where(is_parent, row, 0), *noise)
            alone = _normal_log_density(x - mean, scale)
            return total + jnp.where(listens, heard, alone), None

        nothing = jnp.zeros(model.listens.shape[1], row.dtype)
        return jax.lax.scan(add, nothing, (row, model))[0]

    return jax.lax.map(of_row, problem.x, batch_size=_ROWS_AT_ONCE)


def linear_regime_log_likelihood(
    problem: Problem, truth: LinearTruth, intervention: Intervention
) -> Array:
    """The same for a table of ``simulate_linear`` with Gaussian noise.

        sum_j log normal(x_j; sum_i w_ij x_i + shift_rj, scale_rj noise_scale_j)

    and ``normal(x_j; shift_rj, scale_rj)`` where j is cut in r. Exact for raw
    columns. With other scalings the noise of variables that are not cut has had its
    average over regime 0 taken off, of which the truth keeps no record: its size
    is ``noise_scale`` over the square root of the number of those rows.

    Args:
      problem: the table, as generated.
      truth: that came with it.
      intervention: that it was generated with.

    Returns:
      ``[n, r]``, nats.

    Source: none; the equation in ``simulate_linear``.

    Example:
      >>> from causaljax import simulate
      >>> key, pair = jax.random.key(0), jnp.array([[0, 1], [0, 0]], bool)
      >>> done = simulate.shift_intervention(jnp.array([[0, 0], [1, 0]], bool), 2.0)
      >>> problem, truth = simulate.simulate_linear(key, pair, 50, intervention=done)
      >>> linear_regime_log_likelihood(problem, truth, done).shape
      (50, 2)
    """
    dtype = problem.x.dtype
    scale = intervention.scale.astype(dtype)
    own_scale = jnp.where(intervention.cut, 1, truth.noise_scale[None, :]) * scale
    model = added_noise_model(
        Partial(_parents_themselves),
        truth.weights.T[:, None, :],
        jnp.zeros(truth.noise_scale.shape, dtype),
        graph=truth.graph,
        listens=~intervention.cut,
        noise_mean=intervention.shift.astype(dtype),
        noise_scale=own_scale,
    )
    return regime_log_likelihood(problem, _Linear(model))


class _Linear(NamedTuple):
    model: RegimeModel


def added_noise_model(
    features: Partial, outputs: Array, offset: Array, **of_regimes: Array
) -> RegimeModel:
    """The model ``x_j = outputs_rj . features_j(parents) + offset_j + N_rj``.

    Args:
      features: leaves ``[d, ...]``; a child's slice takes the parents ``[n, d]`` and
        noise ``[n]``, which it ignores, and returns ``[n, m]``.
      outputs: ``[d, r, m]``, or ``[d, 1, m]`` if the same in all regimes.
      offset: ``[d]``.
      of_regimes: ``graph [d, d]`` and ``listens``, ``noise_mean`` and
        ``noise_scale``, ``[r, d]``, as in ``RegimeModel``.

    Returns:
      The model.
    """
    log_density = Partial(_log_density_of_added, features, outputs, offset)
    return _model(log_density, **of_regimes)


def inner_noise_model(
    features: Partial, outputs: Array, offset: Array, **of_regimes: Array
) -> RegimeModel:
    """The model ``x_j = outputs_rj . features_j(parents, N_rj) + offset_j``.

    Args:
      features: leaves ``[d, ...]``; a child's slice takes the parents ``[n, d]`` or
        ``[1, d]`` and noise ``[n]``, and returns ``[n, m]``.
      outputs: as in ``added_noise_model``.
      offset: ``[d]``.
      of_regimes: as in ``added_noise_model``.

    Returns:
      The model.
    """
    log_density = Partial(_log_density_of_inner, features, outputs, offset)
    return _model(log_density, **of_regimes)


def _model(log_density, *, graph, listens, noise_mean, noise_scale):
    listens = listens & graph.any(axis=0)[None, :]
    return RegimeModel(log_density, graph.T, listens.T, noise_mean.T, noise_scale.T)


def _parents_themselves(parents: ArrayLike, noise: ArrayLike) -> ArrayLike:
    del noise
    return parents


def _log_density_of_added(features, outputs, offset, x, parents, mean, scale):
    hidden = features(parents[None, :], jnp.zeros(1, x.dtype))[0]
    return _normal_log_density(x - matmul(outputs, hidden) - offset - mean, scale)


def _log_density_of_inner(features, outputs, offset, x, parents, mean, scale):
    """A mixture of normals around the values that a grid of noise leads to."""
    reach = _GRID_REACH * scale
    grid = jnp.linspace((mean - reach).min(), (mean + reach).max(), _GRID_SIZE)
    z = (grid[:, None] - mean[None, :]) / scale[None, :]
    mass = jax.nn.softmax(-(z**2) / 2, axis=0)  # [g, r]
    values = matmul(features(parents[None, :], grid), outputs.T) + offset  # [g, r | 1]
    gap = jnp.abs(jnp.diff(values, axis=0))
    before, after = jnp.pad(gap, ((1, 0), (0, 0))), jnp.pad(gap, ((0, 1), (0, 0)))
    # Where the function is flat in the noise, no narrower than rounding.
    width = jnp.maximum(before, after) + 1e-4 + 1e-5 * jnp.abs(values)
    kernel = jnp.exp(-(((x - values) / width) ** 2) / 2) / width
    density = (kernel * mass).sum(axis=0) / math.sqrt(2 * math.pi)
    return jnp.log(jnp.maximum(density, math.exp(_LOG_FLOOR)))


def _normal_log_density(residual, sd):
    sd = jnp.maximum(sd, _SMALLEST_SD)
    return -((residual / sd) ** 2) / 2 - jnp.log(sd) - math.log(2 * math.pi) / 2
