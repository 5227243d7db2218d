"""Randomised kernel tests of independence, RCIT and RCoT, for long tables.

Columns are standardised. f and g are a few random Fourier features of x and y, h many
of the conditioning variables z: sqrt(2) cos(w' v / s + b) with normal w, uniform b and
s the median distance of rows. All features are standardised. With the residuals of f
and g after ridge regression on h, and S their cross-covariance,

    statistic = n ||S||^2

is, under independence, a sum of chi-squares whose weights are the eigenvalues of the
second moments of the products of residuals, one of f with one of g; three moments of
that sum give the p-value. These second moments are sums divided not by n but by n less
the degrees of freedom of the regression: residuals are smaller than what they estimate,
and 100 features of few hundred rows would reject too often. RCIT takes g of y and z
together, RCoT of y alone. Without conditioning variables both are RIT.

All that is read of the rows are sums. ``moments`` and ``products`` give those of the
rows at hand: tables that may not be brought together answer as one, if they share an
``Agreement`` and their sums are added::

    first = sum of moments(table, tests) over tables
    second = sum of products(table, first, tests) over tables
    outcome(first, second, agreement, x, y)

The random numbers belong to variables: the same key gives the same answer to a test,
whatever tests stand beside it. x is the variable that comes first in an order that does
not depend on labels, so that (x, y) and (y, x) are the same test.

Source: Strobl, Zhang and Visweswaran 2019, "Approximate kernel-based conditional
independence tests for fast non-parametric causal discovery".
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.options import option
from causaljax.core.problem import complete_rows, label_free_places, thin_rows
from causaljax.core.types import Array, Problem
from causaljax.scores.independence import null_laws
from causaljax.scores.independence.interface import (
    IndependenceTest,
    Outcome,
    row_weights,
)

_PAIRS = 512  # of rows, whose median distance is the width of a kernel
_AT_ONCE = 64  # tests that a device other than a CPU works on


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the tests.

    ``num_features`` are drawn of x and of y, ``num_given`` of the conditioning
    variables. ``ridge`` is added to the correlation matrix of the latter; in float32 it
    is at least what a factorisation needs, about 1e-7 ``num_given^2``. A ridge of 1e-3
    leaves so much of sin(2 z) in x and y that of 500 tables of 1,000 rows, .34 and not
    .05 were rejected at level .05: run these tests in float64.
    """

    num_features: int = option(5, least=1)
    num_given: int = option(100, least=1)
    ridge: float = option(1e-10, above=0)


class Agreement(NamedTuple):
    """What tables that answer together must share."""

    mean: Array  # [d] float
    scale: Array  # [d] float, 1 over the standard deviation; 0 for a constant column
    squares: Array  # [d, 512] float, squared distances of pairs of rows, standardised
    frequencies: Array  # [d, 2 f + h] float, of the features of x, of y and of z
    phases: Array  # [2 f + h] float
    place: Array  # [d] int32, in an order that does not depend on labels
    few: Array  # [f] int32, of that length
    ridge: Array  # [] float


class FeatureRows(NamedTuple):
    """A table and what it takes to draw features of it."""

    columns: Array  # [d, n] float, standardised
    weight: Array  # [n] float, 0 in rows that do not count
    agreed: Agreement


class Moments(NamedTuple):
    """Sums of features over rows; sums of several tables can be added."""

    rows: Array  # [b] float
    total: Array  # [b, 2 f + h] float, sum of features
    outer: Array  # [b, 2 f + h, 2 f + h] float, sum of their products

    def __add__(self, other):
        return jax.tree.map(jnp.add, self, other)


class Products(NamedTuple):
    """Second moments of products of residuals, summed over rows; they can be added."""

    outer: Array  # [b, f^2, f^2] float

    def __add__(self, other):
        return jax.tree.map(jnp.add, self, other)


def agree(key: Array, problem: Problem, config: Config) -> Agreement:
    """Draws features, and takes means, scales and widths from a table.

    Args:
      key: consumed.
      problem: the table, or a part of all rows that speaks for them.
      config: the settings.

    Returns:
      The agreement.
    """
    weight = _weight(problem)
    counted = (weight > 0)[:, None]
    rows = jnp.maximum(weight.sum(), 1)
    lowest = jnp.where(counted, problem.x, jnp.inf).min(axis=0)
    highest = jnp.where(counted, problem.x, -jnp.inf).max(axis=0)
    x = jnp.where(counted & (lowest < highest)[None], problem.x, 0)
    mean = matmul(weight, x) / rows
    centred = jnp.where(counted, x - mean[None], 0)
    variance = matmul(weight, centred**2) / jnp.maximum(rows - 1, 1)
    varies = variance > 0
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1)), 0)

    pairs, draws = jax.random.split(key)
    first = thin_rows(weight, _PAIRS)
    second = jax.random.permutation(pairs, first)
    squares = ((centred[first] - centred[second]) * scale[None]) ** 2

    d, num = problem.x.shape[1], 2 * config.num_features + config.num_given
    place = label_free_places(problem.x, weight)
    frequencies, phases = jax.random.split(draws)
    dtype = problem.x.dtype
    return Agreement(
        mean=jnp.where(varies, mean, 0),
        scale=scale,
        squares=squares.T,
        frequencies=jax.random.normal(frequencies, (d, num), dtype)[place],
        phases=jax.random.uniform(phases, (num,), dtype, 0, 2 * math.pi),
        place=place,
        few=jnp.arange(config.num_features, dtype=jnp.int32),
        ridge=jnp.asarray(config.ridge, dtype),
    )


def _weight(problem):
    return jnp.where(complete_rows(problem), row_weights(problem), 0)


def read(agreed: Agreement, problem: Problem) -> FeatureRows:
    """A table in the units of an agreement.

    Args:
      agreed: of ``agree``, of this table or another.
      problem: the table; columns of all kinds are numbers. Rows with a gap do not
        count; weights count rows.

    Returns:
      The table.
    """
    weight = _weight(problem)
    columns = (problem.x - agreed.mean[None]) * agreed.scale[None]
    return FeatureRows(jnp.where((weight > 0)[:, None], columns, 0).T, weight, agreed)


def prepare(key: Array, problem: Problem, config: Config) -> FeatureRows:
    """``agree`` on a table and ``read`` the same."""
    return read(agree(key, problem, config), problem)


def _features(stats, augmented, test):
    """The features of a test's variables, ``[n, 2 f + h]``: of x, of y, of z."""
    x, y, z, used = test
    agreed = stats.agreed
    few = len(agreed.few)
    swapped = agreed.place[x] > agreed.place[y]
    x, y = jnp.where(swapped, y, x), jnp.where(swapped, x, y)
    live = used[:, None]

    def angles(variables, live, part):
        """Of features of some variables together, in units of their kernel's width."""
        squares = jnp.where(live, agreed.squares[variables], 0).sum(axis=0)
        median = jnp.nanmedian(jnp.where(squares > 0, squares, jnp.nan))
        width = jnp.sqrt(jnp.where(median > 0, median, 1))
        frequencies = jnp.where(live, agreed.frequencies[variables, part], 0) / width
        return matmul(stats.columns[variables].T, frequencies)

    of_y = y[None], jnp.ones((1, 1), bool)
    if augmented:
        of_y = jnp.concatenate([y[None], z]), jnp.concatenate([of_y[1], live])
    parts = [
        angles(x[None], jnp.ones((1, 1), bool), slice(0, few)),
        angles(*of_y, slice(few, 2 * few)),
        angles(z, live, slice(2 * few, None)),
    ]
    turned = jnp.concatenate(parts, axis=1) + agreed.phases[None]
    return math.sqrt(2) * jnp.cos(turned)


def _moments(features, weight):
    weighted = features * weight[:, None]
    return Moments(weight.sum(), weighted.sum(axis=0), matmul(weighted.T, features))


def _residual_map(moments, agreed):
    """The matrix and the offset that turn features into residuals of x and of y."""
    both = 2 * len(agreed.few)
    rows = jnp.maximum(moments.rows, 2)
    mean = moments.total / rows
    covariance = moments.outer / rows - mean[:, None] * mean[None]
    covariance = covariance * (rows / (rows - 1))
    variance = jnp.diagonal(covariance)
    eps = float(jnp.finfo(variance.dtype).eps)
    # What is left of a feature that hardly varies would be rounding.
    varies = variance > math.sqrt(eps)
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1)), 0)
    correlation = covariance * scale[:, None] * scale[None]
    num_given = len(mean) - both
    ridge = jnp.maximum(agreed.ridge, eps * num_given**2)
    system = correlation[both:, both:]
    system = system + ridge * jnp.eye(num_given, dtype=ridge.dtype)
    factor = jnp.linalg.cholesky(system), True
    slopes = jax.scipy.linalg.cho_solve(factor, correlation[both:, :both])
    matrix = jnp.concatenate([jnp.eye(both, dtype=slopes.dtype), -slopes])
    matrix = scale[:, None] * matrix
    # The regression takes sum l / (l + ridge) degrees of freedom, l the eigenvalues.
    identity = jnp.eye(num_given, dtype=ridge.dtype)
    root = jax.scipy.linalg.solve_triangular(factor[0], identity, lower=True)
    taken = num_given - ridge * (root**2).sum()
    return matrix, -matmul(mean, matrix), correlation, slopes, taken


def _products(features, weight, matrix, offset):
    residuals = matmul(features, matrix) + offset[None]
    of_x, of_y = jnp.split(residuals, 2, axis=1)
    products = (of_x[:, :, None] * of_y[:, None, :]).reshape(len(weight), -1)
    return Products(matmul((products * weight[:, None]).T, products))


def _statistic(moments, products, agreed):
    """The statistic, and the first three moments of its law under independence."""
    few = len(agreed.few)
    _, _, correlation, slopes, taken = _residual_map(moments, agreed)
    of_x, of_y, given = slice(0, few), slice(few, 2 * few), slice(2 * few, None)
    left = correlation[of_x, of_y] - matmul(correlation[of_x, given], slopes[:, of_y])
    second = products.outer / jnp.maximum(moments.rows - 1 - taken, 1)
    square = matmul(second, second)
    traces = jnp.trace(second), (second**2).sum(), (square * second).sum()
    return moments.rows * (left**2).sum(), *traces


def moments(
    stats: FeatureRows, x: Array, y: Array, z: Array, used: Array, *, augmented: bool
) -> Moments:
    """The sums of the first round.

    Args:
      stats: of ``read``.
      x: ``[b]`` int.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.
      augmented: True for RCIT, False for RCoT; static.

    Returns:
      The sums, ``(2 f + h)^2`` numbers a test.
    """

    def ask(test):
        return _moments(_features(stats, augmented, test), stats.weight)

    return map_factorisations(ask, (x, y, z, used), _AT_ONCE)


def products(
    stats: FeatureRows,
    first: Moments,
    x: Array,
    y: Array,
    z: Array,
    used: Array,
    *,
    augmented: bool,
) -> Products:
    """The sums of the second round.

    Args:
      stats: of ``read``.
      first: of all tables, added.
      x: ``[b]`` int; this and the rest are as of ``moments``.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.
      augmented: static.

    Returns:
      The sums, f^4 numbers a test.
    """

    def ask(slices):
        test, first = slices
        matrix, offset, *_ = _residual_map(first, stats.agreed)
        features = _features(stats, augmented, test)
        return _products(features, stats.weight, matrix, offset)

    return map_factorisations(ask, ((x, y, z, used), first), _AT_ONCE)


def outcome(
    first: Moments, second: Products, agreed: Agreement, x: Array, y: Array
) -> Outcome:
    """The answers that the sums of all tables give.

    Args:
      first: of ``moments``, added over tables.
      second: of ``products``, added over tables.
      agreed: what the tables share.
      x: ``[b]`` int, of the tests.
      y: ``[b]`` int.

    Returns:
      The outcome. ``statistic`` is that of a chi-square of ``dof`` degrees of freedom,
      of the same p-value.
    """
    found = map_factorisations(
        lambda sums: _statistic(sums[0], sums[1], agreed), (first, second), _AT_ONCE
    )
    varies = agreed.scale > 0
    return _outcome(found, first.rows, varies[x] & varies[y])


def _outcome(found, rows, testable):
    statistic, *traces = found
    statistic, dof = null_laws.weighted_chi2(statistic, tuple(traces), testable)
    return Outcome(statistic, dof, null_laws.log_chi2_tail(statistic, dof), rows)


def p_values(
    stats: FeatureRows,
    x: Array,
    y: Array,
    z: Array,
    used: Array,
    *,
    augmented: bool = True,
) -> Outcome:
    """Tests by random features of the variables of a test.

    Args:
      stats: of ``prepare``.
      x: ``[b]`` int.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.
      augmented: True for RCIT, False for RCoT; static.

    Returns:
      The outcome, as of ``outcome``.

    Example:
      >>> import jax, numpy as np
      >>> from causaljax.core.types import make_problem
      >>> z, u, v = np.random.default_rng(0).normal(size=(3, 500))
      >>> table = np.stack([z**2 + u, z**2 + v, z], axis=1)
      >>> stats = prepare(jax.random.key(0), make_problem(table), Config())
      >>> ask = np.array([0, 0]), np.array([1, 1]), np.array([[2], [2]])
      >>> p_values(stats, *ask, used=np.array([[False], [True]])).p > 0.01
      Array([False,  True], dtype=bool)
    """

    def ask(test):
        features = _features(stats, augmented, test)
        # Sums of centred features keep more digits; the answer does not depend on it.
        mean = matmul(stats.weight, features) / jnp.maximum(stats.weight.sum(), 1)
        features = features - mean[None]
        first = _moments(features, stats.weight)
        matrix, offset, *_ = _residual_map(first, stats.agreed)
        second = _products(features, stats.weight, matrix, offset)
        return _statistic(first, second, stats.agreed), first.rows

    varies = stats.agreed.scale > 0
    found, rows = map_factorisations(ask, (x, y, z, used), _AT_ONCE)
    return _outcome(found, rows, varies[x] & varies[y])


RCIT = IndependenceTest(prepare, p_values, Config, "double")
RCOT = RCIT._replace(p_values=functools.partial(p_values, augmented=False))
