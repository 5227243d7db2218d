"""Scores of tables of classes: BDeu and the BIC of multinomial distributions.

A variable j of r_j classes with parents of q configurations, of which configuration c
has N_c rows and N_ck of them with class k, scores

    BDeu: sum_c lgamma(a / q) - lgamma(a / q + N_c)
          + sum_ck lgamma(a / (q r_j) + N_ck) - lgamma(a / (q r_j)),
    BIC:  sum_ck N_ck log(N_ck / N_c) - penalty log(n_j) / 2 (r_j - 1) q.

Both give the members of a Markov equivalence class the same sum. Rows in which j was
intervened on say nothing of it and are not counted.

Sources: Heckerman, Geiger and Chickering 1995 (BDeu); Schwarz 1978 (BIC).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem
from causaljax.scores import linear_gaussian
from causaljax.scores.classes import Classes

ROWS_PER_CONFIGURATION = 5  # no parent is added that leaves fewer on average
_AT_ONCE = 8  # configurations whose counts are in memory


class ClassTable(NamedTuple):
    """A table of classes, a row of it for each variable."""

    codes: Array  # [d, n] int32
    columns: Array  # [n, d r] float, 1 at u r + k where variable u has class k
    levels: Array  # [d] float
    weight: Array  # [k, n] float, of rows for each variable, or k = 1 for all
    rows: Array  # [d] float, their sums

    def association(self) -> Array:
        """Minus the nats that each variable's classes take, ``[d]`` float."""
        d = self.rows.shape[0]
        counts = matmul(self.weight, self.columns).mean(axis=0)
        return log_likelihood(counts.reshape(d, 1, -1))


def class_table(
    problem: Problem, classes: Classes, most_classes: int, *, interventional: bool
) -> ClassTable:
    """What the scores read.

    Args:
      problem: the table.
      classes: of its columns.
      most_classes: r, of any column, static.
      interventional: as in ``linear_gaussian.statistics``.

    Returns:
      The table.
    """
    weight = linear_gaussian.row_weights(problem, interventional=interventional)
    which = jnp.arange(most_classes, dtype=jnp.int32)
    columns = classes.codes[:, :, None] == which[None, None, :]
    return ClassTable(
        codes=classes.codes.T,
        columns=columns.reshape(len(columns), -1).astype(problem.x.dtype),
        levels=classes.levels.astype(problem.x.dtype),
        weight=weight,
        rows=jnp.broadcast_to(weight.sum(axis=1), classes.levels.shape),
    )


def bdeu(counts: Array, levels: Array, configurations: Array, size: Array) -> Array:
    """Local BDeu scores, nats: a sum over configurations, whole or in parts.

    Args:
      counts: ``[..., q, r]`` float, rows by configuration and class. Configurations
        without a row may be left out.
      levels: ``[]`` float, classes of the variable.
      configurations: ``[...]`` float, of its parents, also those without a row.
      size: ``[]`` float, the equivalent sample size a.

    Returns:
      ``[...]`` float.

    Differentiable: in size.
    """

    def rises(counts, prior):
        return jnp.where(counts > 0, log_gamma(counts + prior) - log_gamma(prior), 0)

    prior = (size / configurations)[..., None]
    cells = rises(counts, prior[..., None] / levels).sum(axis=(-2, -1))
    return cells - rises(counts.sum(axis=-1), prior).sum(axis=-1)


def log_likelihood(counts: Array) -> Array:
    """Multinomial log-likelihoods at their maximum, sum_ck N_ck log(N_ck / N_c), nats.

    Args:
      counts: as in ``bdeu``.

    Returns:
      ``[...]`` float.
    """

    def entropy(counts):
        return counts * jnp.log(jnp.where(counts > 0, counts, 1))

    of_cells = entropy(counts).sum(axis=(-2, -1))
    return of_cells - entropy(counts.sum(axis=-1)).sum(axis=-1)


def toggled_scores(
    table: ClassTable,
    j: Array,
    parents: Array,
    local_score: Callable[[Array, Array, Array], Array],
) -> tuple[Array, Array]:
    """Local scores of a variable, with each other variable toggled among its parents.

    A configuration of the parents is a number of mixed radix. The joint counts of it,
    of j and of every other variable give the scores with one more parent, some
    configurations at a time; a digit set to 0 gives those with one less.

    Args:
      table: of n rows.
      j: ``[]`` int, the variable.
      parents: ``[d]`` bool, its parents now.
      local_score: ``(counts, levels, configurations) -> score``, as ``bdeu``, a sum
        over configurations.

    Returns:
      ``[d]`` float, nats: [u] with u among the parents if it is not among them and the
      other way round, [j] with the parents as they are; and ``[d]`` float, the numbers
      of configurations. Scores of more configurations than n over
      ``ROWS_PER_CONFIGURATION`` are of no use.
    """
    d, n = table.codes.shape
    most = table.columns.shape[1] // d
    size = max(n // ROWS_PER_CONFIGURATION, 1)
    inside = jnp.where(parents, table.levels, 1)
    # Beyond the size nothing is read; digits must not overflow on the way there.
    after = jnp.minimum(jnp.cumprod(inside), size).astype(jnp.int32)
    stride = jnp.concatenate([jnp.ones_like(after[:1]), after[:-1]])
    digits = jnp.where(parents, stride, 0)[:, None] * table.codes
    code = digits.sum(axis=0, dtype=jnp.int32) % size
    weight = table.weight[jnp.minimum(j, table.weight.shape[0] - 1)]
    changed = jnp.where(parents, 1 / table.levels, table.levels).at[j].set(1)
    configurations, levels = inside.prod() * changed, table.levels[j]
    own = table.codes[j]
    zero = 0 * weight[0]

    columns = table.columns * weight[:, None]

    def add_some(carry):
        first, scores = carry
        cell = (code - first) * most + own
        cell = jnp.where(code >= first, cell, _AT_ONCE * most)
        counts = jnp.zeros_like(columns, shape=(_AT_ONCE * most, d * most)) + zero
        counts = counts.at[cell].add(columns, mode="drop")
        counts = counts.reshape(_AT_ONCE, most, d, most).transpose(2, 0, 3, 1)
        counts = counts.reshape(d, _AT_ONCE * most, most)
        return first + _AT_ONCE, scores + local_score(counts, levels, configurations)

    start = (0 * after[-1], jnp.zeros_like(table.levels) + zero)
    _, scores = jax.lax.while_loop(lambda carry: carry[0] < after[-1], add_some, start)
    counts = jnp.zeros_like(weight, shape=(size, most)) + zero
    counts = counts.at[code, own].add(weight)
    each = jnp.arange(size, dtype=code.dtype)

    def drop_one(carry):
        left, scores = carry
        u = jnp.argmax(left)
        digit = each // stride[u] % table.levels[u].astype(jnp.int32)
        rest = each - jnp.where(u == j, 0, digit * stride[u])
        fewer = jnp.zeros_like(counts).at[rest].add(counts)
        score = local_score(fewer, levels, configurations[u])
        return left.at[u].set(False), scores.at[u].set(score)

    _, scores = jax.lax.while_loop(
        lambda carry: carry[0].any(), drop_one, (parents.at[j].set(True), scores)
    )
    return scores, configurations


def log_gamma(x: Array) -> Array:
    """The logarithm of the gamma function, by Stirling's series from 8 on.

    The series is exact to 1e-12 there. ``jax.lax.lgamma`` takes twice as long on CPUs.

    Args:
      x: ``[...]`` float.

    Returns:
      ``[...]`` float.

    Differentiable: in x.
    """
    small = x < 8
    product = x
    for k in range(1, 8):
        product = product * (x + k)
    y = jnp.where(small, x + 8, x)
    inverse = 1 / y
    square = inverse * inverse
    series = 1 / 1680 - square / 1188
    series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * series))
    stirling = (y - 0.5) * jnp.log(y) - y + 0.9189385332046727 + inverse * series
    return stirling - jnp.log(jnp.where(small, product, 1))
