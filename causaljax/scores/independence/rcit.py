"""Randomised kernel tests of independence, RCIT and RCoT, for long tables.

Columns are standardised. Of the conditioning variables z, h(z) are many random Fourier
features: sqrt(2) cos(w' z / s + b) with normal w, uniform b and s^2 the sum over z of
the squares of their median distances of rows. y' is what ridge regression of y on h
leaves of y, in units of its own standard deviation. f(x) and g(y') are a few features
more. All features are standardised. With the residuals of f and g after ridge
regression on h, and S their cross-covariance,

    statistic = n ||S||^2

is, under independence, a sum of chi-squares whose weights are the eigenvalues of the
second moments of the products of residuals, one of f with one of g; three moments of
that sum give the p-value. These second moments are sums divided not by n but by n less
the degrees of freedom of the regression: residuals are smaller than what they estimate.
There is at most one feature of z to four rows. RCIT takes g of y' and z together, RCoT
of y' alone. Without conditioning variables both are RIT.

The authors take y for y' and the median distance of rows of z for s. y' is independent
of x given z exactly if y is, and what z says of g(y') is simple where z moves y, while
what it says of g(y) has as many bends as z has dimensions. S is biased only by what h
misses of f and of g, both. Of 500 tables of 1,000 rows with x, y = sum sin(2 z) /
sqrt(3) + noise / 2 of three z, .04 (RCIT) and .05 (RCoT) are rejected at level .05
(``scripts/independence_tests.py null``).

They reject too often where 100 features miss much of what three z say: .14 and .39 for
the cubes of such x and y. With one z all these are at most .05.

Rows with a gap in any column of the table, and rows in which a variable was set from
outside, count in no test; a weight counts rows. Columns of all kinds are numbers. A
variable that is constant, or that z determines, is independent of all others.

All that is read of the rows are sums: tables that may not be brought together answer as
one, if they share an ``Agreement`` and their sums are added::

    given, of_y = sums of explain(table, *tests) over tables
    second = sum of moments(table, given, of_y, *tests) over tables
    third = sum of products(table, given, of_y, second, *tests) over tables
    outcome(given, second, third, agreement, x, y)

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
import numpy as np

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
_ROWS_PER_FEATURE = 4  # of z, at least
_TERMS = 8  # of the series of the sine, for an error below 1e-11


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the tests.

    ``num_features`` are drawn of x and of y, ``num_given`` of the conditioning
    variables. ``ridge`` is added to the correlation matrix of the latter; in float32 it
    is at least what a factorisation needs, about 1e-7 ``num_given^2``, which is too
    large for more than one conditioning variable: run these tests in float64.
    """

    num_features: int = option(5, least=1)
    num_given: int = option(100, least=1)
    ridge: float = option(1e-10, above=0)


class Agreement(NamedTuple):
    """What tables that answer together must share."""

    mean: Array  # [d] float
    scale: Array  # [d] float, 1 over the standard deviation; 0 for a constant column
    width: Array  # [d] float, median distance of rows in standard deviations, or 0
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


class GivenMoments(NamedTuple):
    """Sums over rows of the features of z."""

    rows: Array  # [b] float
    total: Array  # [b, h] float
    outer: Array  # [b, h, h] float, of products

    def __add__(self, other):
        return jax.tree.map(jnp.add, self, other)


class Moments(NamedTuple):
    """Sums over rows of k features that are regressed on those of z."""

    total: Array  # [b, k] float
    outer: Array  # [b, k, k] float, of products
    cross: Array  # [b, k, h] float, of products with the features of z

    def __add__(self, other):
        return jax.tree.map(jnp.add, self, other)


class Products(NamedTuple):
    """Sums over rows of products of four residuals, two of x and two of y."""

    outer: Array  # [b, f (f + 1) / 2, f (f + 1) / 2] float

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
    distances = jnp.abs((centred[first] - centred[second]) * scale[None])
    width = jnp.nanmedian(jnp.where(distances > 0, distances, jnp.nan), axis=0)

    d, num = problem.x.shape[1], 2 * config.num_features + config.num_given
    place = label_free_places(problem.x, weight)
    frequencies, phases = jax.random.split(draws)
    dtype = problem.x.dtype
    return Agreement(
        mean=jnp.where(varies, mean, 0),
        scale=scale,
        width=jnp.where(width > 0, width, 0),
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


def _in_order(agreed, test):
    x, y, z, used = test
    swapped = agreed.place[x] > agreed.place[y]
    return jnp.where(swapped, y, x), jnp.where(swapped, x, y), z, used


def _cosines(turns):
    """cos(2 pi t) as a polynomial: ``jnp.cos`` takes ten times as long on a CPU."""
    angle = 2 * math.pi * (0.25 - jnp.abs(turns - jnp.round(turns)))
    square, series = angle**2, jnp.zeros_like(angle)
    for k in reversed(range(_TERMS)):
        series = series * square + (-1) ** k / math.factorial(2 * k + 1)
    return series * angle


def _features(values, variables, live, agreed, part):
    """Features ``[k, n]`` of variables together, whose values are ``[m, n]``."""
    square = jnp.where(live, agreed.width[variables] ** 2, 0).sum()
    width = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 1)
    frequencies = agreed.frequencies[variables, part]
    frequencies = jnp.where(live[:, None], frequencies, 0) / width
    angles = matmul(frequencies.T, values) + agreed.phases[part][:, None]
    return math.sqrt(2) * _cosines(angles / (2 * math.pi))


def _features_given(stats, test):
    _, _, z, used = test
    part = slice(2 * len(stats.agreed.few), None)
    return _features(stats.columns[z], z, used, stats.agreed, part)


def _features_tested(stats, augmented, test, residual):
    """Features ``[2 f, n]`` of x and of what z leaves of y."""
    x, y, z, used = test
    agreed, one = stats.agreed, jnp.ones(1, bool)
    few = len(agreed.few)
    of_x = _features(stats.columns[x][None], x[None], one, agreed, slice(0, few))
    values, variables, live = residual[None], y[None], one
    if augmented:
        values = jnp.concatenate([values, stats.columns[z]])
        variables = jnp.concatenate([variables, z])
        live = jnp.concatenate([live, used])
    of_y = _features(values, variables, live, agreed, slice(few, 2 * few))
    return jnp.concatenate([of_x, of_y])


def _given_moments(features, weight):
    weighted = features * weight[None]
    return GivenMoments(
        weight.sum(), weighted.sum(axis=1), matmul(weighted, features.T)
    )


def _moments(features, given, weight):
    weighted = features * weight[None]
    outer, cross = matmul(weighted, features.T), matmul(weighted, given.T)
    return Moments(weighted.sum(axis=1), outer, cross)


class _Given(NamedTuple):
    """What regressions on the features of z have in common."""

    rows: Array  # []
    mean: Array  # [h]
    scale: Array  # [h], 1 over the standard deviation; 0 for a feature left out
    factor: Array  # [h, h], of the correlations and the ridge
    taken: Array  # [], degrees of freedom


class _Fit(NamedTuple):
    """A regression of k features, standardised, on those of z."""

    scale: Array  # [k], 1 over the standard deviation, 0 where z leaves nothing
    slopes: Array  # [h, k]
    offset: Array  # [k]
    left: Array  # [k, k], covariances of features with residuals


def _read_given(sums, agreed):
    rows = jnp.maximum(sums.rows, 2)
    mean = sums.total / rows
    covariance = (sums.outer / rows - mean[:, None] * mean[None]) * (rows / (rows - 1))
    num = len(mean)
    # A regression that takes most degrees of freedom leaves the test no power.
    kept = jnp.arange(num, dtype=rows.dtype) < rows / _ROWS_PER_FEATURE
    rounding = float(jnp.finfo(mean.dtype).eps) * num
    ridge = jnp.maximum(agreed.ridge, rounding * num)
    # Standardised, a feature that hardly varies would have errors above the ridge, and
    # the matrix no factor.
    variance = jnp.diagonal(covariance)
    kept &= variance > rounding / ridge
    scale = jnp.where(kept, _inverse_root(variance), 0)
    identity = jnp.eye(num, dtype=scale.dtype)
    system = covariance * scale[:, None] * scale[None] + ridge * identity
    factor = jnp.linalg.cholesky(system)
    # It is sum l / (l + ridge), with l the eigenvalues.
    inverse = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
    return _Given(rows, mean, scale, factor, num - ridge * (inverse**2).sum())


def _inverse_root(variance):
    """1 over the standard deviation, 0 where a variance of 1 would leave rounding."""
    varies = variance > math.sqrt(float(jnp.finfo(variance.dtype).eps))
    return jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1)), 0)


def _regress(sums, given):
    rows = given.rows
    share = rows / (rows - 1)
    mean = sums.total / rows
    covariance = (sums.outer / rows - mean[:, None] * mean[None]) * share
    cross = (sums.cross / rows - mean[:, None] * given.mean[None]) * share
    scale = _inverse_root(jnp.diagonal(covariance))
    cross = cross * scale[:, None] * given.scale[None]
    slopes = jax.scipy.linalg.cho_solve((given.factor, True), cross.T)
    left = covariance * scale[:, None] * scale[None] - matmul(cross, slopes)
    some = _inverse_root(jnp.diagonal(left)) > 0
    scale, slopes = jnp.where(some, scale, 0), jnp.where(some[None], slopes, 0)
    left = jnp.where(some[:, None] & some[None], left, 0)
    slopes = slopes * given.scale[:, None]
    return _Fit(scale, slopes, mean * scale - matmul(given.mean, slopes), left)


def _residuals(fit, features, features_given):
    explained = matmul(fit.slopes.T, features_given) + fit.offset[:, None]
    return features * fit.scale[:, None] - explained


def _residual_of_y(stats, test, fit, features_given):
    """What z leaves of y, in units of its own standard deviation."""
    _, y, _, _ = test
    left = _residuals(fit, stats.columns[y][None], features_given)
    return (left * _inverse_root(jnp.diagonal(fit.left))[:, None])[0]


def _products(fit, features, features_given, weight):
    of_x, of_y = jnp.split(_residuals(fit, features, features_given), 2)
    first, second = np.triu_indices(len(of_x))
    of_x, of_y = of_x[first] * of_x[second] * weight[None], of_y[first] * of_y[second]
    return Products(matmul(of_x, of_y.T))


def _statistic(fit, products, rows, taken):
    """The statistic, and the first three moments of its law under independence."""
    few = len(fit.scale) // 2
    place = np.zeros((few, few), int)
    place[np.triu_indices(few)] = np.arange(few * (few + 1) // 2)
    place = np.maximum(place, place.T)
    # From pairs of x's and pairs of y's to pairs of products of an x and a y.
    second = products.outer[place[:, None, :, None], place[None, :, None, :]]
    second = second.reshape(few**2, few**2) / jnp.maximum(rows - 1 - taken, 1)
    square = matmul(second, second)
    traces = jnp.trace(second), (second**2).sum(), (square * second).sum()
    return rows * (fit.left[:few, few:] ** 2).sum(), *traces


def explain(
    stats: FeatureRows, x: Array, y: Array, z: Array, used: Array
) -> tuple[GivenMoments, Moments]:
    """The sums of the first round, for the regression of y on z.

    Args:
      stats: of ``read``.
      x: ``[b]`` int.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.

    Returns:
      The sums of the features of z, h^2 numbers a test, and those of y, h numbers.
    """

    def ask(test):
        test = _in_order(stats.agreed, test)
        given = _features_given(stats, test)
        of_y = stats.columns[test[1]][None]
        weight = stats.weight
        return _given_moments(given, weight), _moments(of_y, given, weight)

    return map_factorisations(ask, (x, y, z, used), _AT_ONCE)


def _second_features(stats, augmented, test, given, of_y):
    """The features of the second round and those of z."""
    test = _in_order(stats.agreed, test)
    features_given = _features_given(stats, test)
    residual = _residual_of_y(stats, test, _regress(of_y, given), features_given)
    return _features_tested(stats, augmented, test, residual), features_given


def moments(
    stats: FeatureRows,
    given: GivenMoments,
    of_y: Moments,
    x: Array,
    y: Array,
    z: Array,
    used: Array,
    *,
    augmented: bool,
) -> Moments:
    """The sums of the second round.

    Args:
      stats: of ``read``.
      given: of ``explain``, of all tables, added.
      of_y: of ``explain``, of all tables, added.
      x: ``[b]`` int; this and the rest are as of ``explain``.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.
      augmented: True for RCIT, False for RCoT; static.

    Returns:
      The sums, ``2 f (2 f + h)`` numbers a test.
    """

    def ask(slices):
        test, given, of_y = slices
        given = _read_given(given, stats.agreed)
        features = _second_features(stats, augmented, test, given, of_y)
        return _moments(*features, stats.weight)

    return map_factorisations(ask, ((x, y, z, used), given, of_y), _AT_ONCE)


def products(
    stats: FeatureRows,
    given: GivenMoments,
    of_y: Moments,
    second: Moments,
    x: Array,
    y: Array,
    z: Array,
    used: Array,
    *,
    augmented: bool,
) -> Products:
    """The sums of the third round.

    Args:
      stats: of ``read``.
      given: of ``explain``, of all tables, added.
      of_y: of ``explain``, of all tables, added.
      second: of ``moments``, of all tables, added.
      x: ``[b]`` int; this and the rest are as of ``moments``.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.
      augmented: static.

    Returns:
      The sums, some f^4 / 4 numbers a test.
    """

    def ask(slices):
        test, given, of_y, second = slices
        given = _read_given(given, stats.agreed)
        features = _second_features(stats, augmented, test, given, of_y)
        return _products(_regress(second, given), *features, stats.weight)

    return map_factorisations(ask, ((x, y, z, used), given, of_y, second), _AT_ONCE)


def outcome(
    given: GivenMoments,
    second: Moments,
    third: Products,
    agreed: Agreement,
    x: Array,
    y: Array,
) -> Outcome:
    """The answers that the sums of all tables give.

    Args:
      given: of ``explain``, added over tables.
      second: of ``moments``, added over tables.
      third: of ``products``, added over tables.
      agreed: what the tables share.
      x: ``[b]`` int, of the tests.
      y: ``[b]`` int.

    Returns:
      The outcome. ``statistic`` is that of a chi-square of ``dof`` degrees of freedom,
      of the same p-value.
    """

    def ask(sums):
        given, second, third = sums
        known = _read_given(given, agreed)
        return _statistic(_regress(second, known), third, given.rows, known.taken)

    found = map_factorisations(ask, (given, second, third), _AT_ONCE)
    varies = agreed.scale > 0
    return _outcome(found, given.rows, varies[x] & varies[y])


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
    weight = stats.weight

    def conditional(*test):
        features_given = _features_given(stats, test)
        given = _read_given(_given_moments(features_given, weight), stats.agreed)
        of_y = _moments(stats.columns[test[1]][None], features_given, weight)
        fit = _regress(of_y, given)
        residual = _residual_of_y(stats, test, fit, features_given)
        features = _features_tested(stats, augmented, test, residual)
        fit = _regress(_moments(features, features_given, weight), given)
        found = _products(fit, features, features_given, weight)
        return _statistic(fit, found, weight.sum(), given.taken)

    def unconditional(*test):
        features = _features_tested(stats, False, test, stats.columns[test[1]])
        nothing = features[:0]
        given = _read_given(_given_moments(nothing, weight), stats.agreed)
        fit = _regress(_moments(features, nothing, weight), given)
        found = _products(fit, features, nothing, weight)
        return _statistic(fit, found, weight.sum(), given.taken)

    def ask(test):
        test = _in_order(stats.agreed, test)
        if not z.shape[1]:
            return unconditional(*test)
        return jax.lax.cond(test[3].any(), conditional, unconditional, *test)

    varies = stats.agreed.scale > 0
    found = map_factorisations(ask, (x, y, z, used), _AT_ONCE)
    rows = jnp.broadcast_to(weight.sum(), found[0].shape)
    return _outcome(found, rows, varies[x] & varies[y])


RCIT = IndependenceTest(prepare, p_values, Config, "double")
RCOT = RCIT._replace(p_values=functools.partial(p_values, augmented=False))
