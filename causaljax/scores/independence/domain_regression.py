"""Tests of tables from several domains, by linear regressions in each domain.

The last variable is the domain, a class each. A mechanism may have another mean,
other slopes and another spread in each domain, and the test sees all three. A curve
that all domains share is no change: the squares and cubes of the conditioning variables
z are regressors, too, of the same slopes everywhere. With k domains:

- **x and the domain.** x is regressed on z and the curve with one line for all
  (residual sum of squares R_1), with an intercept a domain (R_2), with a line in z a
  domain (R_3). F tests of R_1 - R_2 tell of intercepts, those of R_2 - R_3 of slopes.
  Of spreads tells an analysis of variance of the last regression's residuals, of their
  absolute distances from the domain's median.
- **x and y given the domain.** With r_j the correlation of residuals in domain j and
  w_j = n_j - p - 3, ``(sum w artanh r)^2 / sum w`` has 1 degree of freedom and tells of
  what the domains have in common, ``sum w artanh(r)^2`` has k.
- **x and y without the domain.** Fisher's z of all rows, with the curve.

The p-value is the smallest of the parts times their number (Bonferroni). Where the
domain moves z and a mechanism bends more than cubes do, it can look changed; and a
relation of x and y without a line is not seen.

Sources: Chow 1960, "Tests of equality between sets of coefficients in two linear
regressions"; Brown and Forsythe 1974, "Robust tests for the equality of variances".
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.options import option
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Problem
from causaljax.scores.independence import null_laws
from causaljax.scores.independence.interface import (
    IndependenceTest,
    Outcome,
    row_weights,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the test.

    ``num_domains`` is room for the domains; rows of a domain beyond it do not count.
    """

    num_domains: int = option(20, least=2)


class DomainRows(NamedTuple):
    """A table in its domains."""

    # [3 d, n] float, without the domain: variables, their squares, their cubes, each
    # standardised
    columns: Array
    inside: Array  # [k, n] float, the row's weight in its domain
    count: Array  # [k] float, rows by weight
    mean: Array  # [k, 3 d] float
    covariance: Array  # [k, 3 d, 3 d] float, about the mean, divided by ``count``


def prepare(key: Array, problem: Problem, config: Config) -> DomainRows:
    """Means and covariances in each domain.

    Args:
      key: not used.
      problem: the table; its last column is the domain, whole numbers from 0. Rows with
        a gap do not count; weights count rows.
      config: the settings.

    Returns:
      The table and its moments.
    """
    del key
    weight = jnp.where(complete_rows(problem), row_weights(problem), 0)
    x, domain = problem.x[:, :-1], problem.x[:, -1]
    domains = jnp.arange(config.num_domains, dtype=x.dtype)
    inside = jnp.where(domain[None] == domains[:, None], weight[None], 0)
    weight = inside.sum(axis=0)
    rows = jnp.maximum(weight.sum(), 1)
    counted = (weight > 0)[:, None]
    lowest = jnp.where(counted, x, jnp.inf).min(axis=0)
    highest = jnp.where(counted, x, -jnp.inf).max(axis=0)
    x = jnp.where(counted & (lowest < highest)[None], x, 0)

    def standardised(x):
        x = jnp.where(counted, x - (matmul(weight, x) / rows)[None], 0)
        variance = matmul(weight, x**2) / rows
        varies = variance > 0
        scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1)), 0)
        return x * scale[None]

    x = standardised(x)
    x = jnp.concatenate([x, standardised(x**2), standardised(x**3)], axis=1)
    count = inside.sum(axis=1)
    share = inside / jnp.maximum(count, 1)[:, None]
    mean = matmul(share, x)
    centred = (x[None] - mean[:, None]) * jnp.sqrt(share)[:, :, None]
    covariance = matmul(centred.swapaxes(1, 2), centred)
    return DomainRows(x.T, inside, count, mean, covariance)


def p_values(stats: DomainRows, x: Array, y: Array, z: Array, used: Array) -> Outcome:
    """Tests of variables and of the domain, which is variable d.

    Args:
      stats: of ``prepare``.
      x: ``[b]`` int.
      y: ``[b]`` int.
      z: ``[b, m]`` int.
      used: ``[b, m]`` bool.

    Returns:
      The outcome; ``statistic`` and ``dof`` are those of the part that tells most.

    Example: the slope of x1 on x0 differs between two domains.
      >>> import jax, numpy as np
      >>> from causaljax.core.types import make_problem
      >>> x, noise = np.random.default_rng(0).normal(size=(2, 400))
      >>> domain = np.arange(400) % 2
      >>> table = np.stack([x, (2 * domain - 1) * x + noise, domain], axis=1)
      >>> stats = prepare(jax.random.key(0), make_problem(table), Config())
      >>> ask = np.array([0, 1]), np.array([2, 2]), np.array([[1], [0]])
      >>> p_values(stats, *ask, used=np.array([[False], [True]])).p > 0.01
      Array([ True, False], dtype=bool)
    """
    d, count = len(stats.columns) // 3, stats.count
    dtype = count.dtype
    least = 1e3 * float(jnp.finfo(dtype).eps)
    tiny = float(jnp.finfo(dtype).tiny)
    rows = count.sum()
    within = (count[:, None, None] * stats.covariance).sum(axis=0) / rows
    between = matmul((count[:, None] * stats.mean).T, stats.mean) / rows
    total = within + between

    def remainder(covariance, pair, z, live):
        """Covariances of some variables given z ``[k, p, p]``, and slopes."""
        both = (live[:, None] & live[None])[None]
        inner = jnp.where(both, covariance[:, z[:, None], z[None]], 0)
        # z that determine each other share a slope; what is not live is one unit each.
        scale = jnp.trace(inner, axis1=1, axis2=2)[:, None]
        diagonal = jnp.where(live[None], least * scale + least**2, 1)
        eye = jnp.eye(len(z), dtype=dtype)[None]
        inner = inner + diagonal[:, :, None] * eye
        cross = jnp.where(live[None, :, None], covariance[:, z[:, None], pair[None]], 0)
        slopes = jnp.linalg.solve(inner, cross)
        rest = covariance[:, pair[:, None], pair[None]]
        return rest - matmul(cross.swapaxes(1, 2), slopes), slopes

    def most(statistic, dof, log_p, number):
        """The part of the smallest p-value."""
        best = jnp.argmin(log_p)
        log_p = jnp.minimum(log_p[best] + jnp.log(number.astype(dtype)), 0)
        return statistic[best], dof[best], log_p

    def f_tests(more, less, dof, free, number):
        """Of sums of squares that are ``less`` by ``dof`` parameters, ``[parts]``.

        ``free`` degrees of freedom are left.
        """
        more, less, dof, free = map(jnp.stack, (more, less, dof, free))
        fits = (dof > 0) & (free > 0)
        dof, free = jnp.where(fits, dof, 1), jnp.where(fits, free, 1)
        less = jnp.maximum(less, least * rows)
        gain = jnp.where(fits, jnp.maximum(more - less, 0), 0)
        p = jax.scipy.special.betainc(free / 2, dof / 2, less / (less + gain))
        statistic = gain / less * free
        # What underflows is compared as if there were rows without end.
        log_p = jnp.where(
            p > 1e3 * tiny,
            jnp.log(jnp.maximum(p, tiny)),
            jnp.minimum(null_laws.log_chi2_tail(statistic, dof), jnp.log(tiny)),
        )
        log_p = jnp.where(fits, log_p, 0)
        return most(statistic, jnp.where(fits, dof, 0), log_p, number)

    def chi2_tests(statistic, dof, number):
        fits = dof > 0
        statistic = jnp.where(fits, jnp.maximum(statistic, 0), 0)
        log_p = null_laws.log_chi2_tail(statistic, dof)
        return most(statistic, dof, log_p, number)

    def curve_of(z, live):
        return jnp.concatenate([z + d, z + 2 * d]), jnp.concatenate([live, live])

    def with_curve(covariance, pair, z, live):
        """Covariances ``[2, 2]`` of a pair, of one matrix, given z and the curve."""
        curve, bent = curve_of(z, live)
        both = jnp.concatenate([z, curve]), jnp.concatenate([live, bent])
        return remainder(covariance[None], pair, *both)[0][0]

    def in_each(pair, z, live, few):
        """Of a line in z a domain and a common curve.

        Covariances ``[k, 2, 2]`` of residuals, the lines ``[k, m, 2 + 2 m]`` of the
        pair and of the curve, and the slopes ``[2 m, 2]`` on what is left of the curve.
        """
        curve, bent = curve_of(z, live)
        columns = jnp.concatenate([pair, curve])
        rest, lines = remainder(stats.covariance, columns, z, live)
        pooled = (few[:, None, None] * rest).sum(axis=0) / jnp.maximum(few.sum(), 1)
        places = jnp.arange(len(columns))
        _, slopes = remainder(pooled[None], places[:2], places[2:], bent)
        turn = jnp.concatenate([jnp.eye(2, dtype=dtype), -slopes[0]])[None]
        turn = jnp.broadcast_to(turn, (len(count), *turn.shape[1:]))
        return matmul(matmul(turn.swapaxes(1, 2), rest), turn), lines, slopes[0]

    def of_domain(x, y, z, live):
        child = jnp.where(x == d, y, x)
        pair = jnp.stack([child, child])
        p = live.sum(dtype=dtype)
        able = count >= 2 * p + 4  # as many residuals as parameters, and two
        few, num = jnp.where(able, count, 0), (count > 0).sum(dtype=dtype)
        n, k = few.sum(), able.sum(dtype=dtype)
        each, lines, slopes = in_each(pair, z, live, few)
        each = jnp.maximum(each[:, 0, 0], 0)
        inner = jnp.where(able[:, None, None], stats.covariance, 0)
        inner = (count[:, None, None] * inner).sum(axis=0) / jnp.maximum(n, 1)
        in_able = with_curve(inner, pair, z, live)[0, 0]
        in_all = with_curve(within, pair, z, live)[0, 0]
        at_all = with_curve(total, pair, z, live)[0, 0]
        separate = (few * each).sum()

        # With fewer rows, residuals mix so many of their neighbours' that spreads of
        # noise that is not normal look changed.
        many = count >= 6 * (p + 1)
        some, num_many = jnp.where(many, count, 0), many.sum(dtype=dtype)
        own = jnp.where(many[:, None], stats.inside, 0)
        member = (own > 0).astype(dtype)
        curve, bent = curve_of(z, live)

        def centred(columns, live):
            values = jnp.where(live[:, None], stats.columns[columns], 0)
            mean = jnp.where(live[None], stats.mean[:, columns], 0)
            return values - matmul(mean.T, member)

        # The line of the child less that of the curve's part in it.
        line = lines[:, :, 0] - matmul(lines[:, :, 2:], slopes[:, 0])
        residual = centred(child[None], jnp.ones(1, bool))[0]
        residual = residual - (matmul(line.T, member) * centred(z, live)).sum(axis=0)
        residual = residual - matmul(slopes[:, 0], centred(curve, bent))
        middle = _medians(residual, own > 0)
        size = jnp.abs(residual - matmul(middle, member))
        size = size * matmul(jnp.sqrt(count / jnp.maximum(count - 1 - p, 1)), member)
        level = matmul(own, size) / jnp.maximum(some, 1)
        inner = (own * (size[None] - level[:, None]) ** 2).sum()
        mean = (some * level).sum() / jnp.maximum(some.sum(), 1)
        outer = inner + (some * (level - mean) ** 2).sum()
        # Of means, of slopes and of spreads.
        return f_tests(
            (rows * at_all, n * in_able, outer),
            (rows * in_all, separate, inner),
            (num - 1, p * (k - 1), num_many - 1),
            (rows - num - 3 * p, n - k * (p + 1) - 2 * p, some.sum() - num_many),
            jnp.where(p > 0, 3, 2),
        )

    def in_domains(x, y, z, live):
        weight = jnp.maximum(count - live.sum(dtype=dtype) - 3, 0)
        rest, _, _ = in_each(jnp.stack([x, y]), z, live, weight)
        score = jnp.arctanh(_correlation(rest, least))
        sum_ = weight.sum()
        common = (weight * score).sum() ** 2 / jnp.maximum(sum_, 1)
        dof = jnp.stack([(sum_ > 0).astype(dtype), (weight > 0).sum(dtype=dtype)])
        statistic = jnp.stack([common, (weight * score**2).sum()])
        return chi2_tests(statistic, dof, jnp.full((), 2))

    def of_all(x, y, z, live):
        rest = with_curve(total, jnp.stack([x, y]), z, live)
        weight = jnp.maximum(rows - 3 * live.sum(dtype=dtype) - 3, 0)
        statistic = weight * jnp.arctanh(_correlation(rest[None], least)) ** 2
        return chi2_tests(statistic, (weight > 0).astype(dtype)[None], jnp.full((), 1))

    def ask(test):
        x, y, z, used = test
        live = used & (z != d)
        which = jnp.where(
            (x == d) | (y == d), 0, jnp.where((used & (z == d)).any(), 1, 2)
        )
        inner = jnp.minimum(z, d - 1)
        branches = (of_domain, in_domains, of_all)
        return jax.lax.switch(which, branches, x, y, inner, live)

    varies = jnp.append((stats.columns[:d] != 0).any(axis=1), True)
    statistic, dof, log_p = map_factorisations(ask, (x, y, z, used))
    testable = varies[x] & varies[y]
    return Outcome(
        jnp.where(testable, statistic, 0),
        jnp.where(testable, dof, 0),
        jnp.where(testable, log_p, 0),
        jnp.broadcast_to(rows, dof.shape),
    )


def _medians(values, inside):
    """The median of each domain, ``[k]``, of ``[n]`` and ``[k, n]`` bool."""
    domain = jnp.where(inside.any(axis=0), jnp.argmax(inside, axis=0), len(inside))
    ordered = values[jnp.lexsort((values, domain))]
    count = inside.sum(axis=1)
    first = jnp.cumsum(count) - count
    lower = first + jnp.maximum(count - 1, 0) // 2
    return (ordered[lower] + ordered[first + count // 2]) / 2


def _correlation(rest, least):
    """Of 2 x 2 covariances, 0 where a variance is."""
    variances = rest[:, 0, 0], rest[:, 1, 1]
    varies = jnp.minimum(*variances) > least
    product = jnp.where(varies, variances[0] * variances[1], 1)
    correlation = jnp.where(varies, rest[:, 0, 1] * jax.lax.rsqrt(product), 0)
    return jnp.clip(correlation, -1 + least, 1 - least)


DOMAIN_REGRESSION = IndependenceTest(prepare, p_values, Config, "double")
