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

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.types import Array, Problem
from causaljax.scores import linear_gaussian
from causaljax.scores.classes import Classes

ROWS_PER_CONFIGURATION = 5  # no parent is added that leaves fewer on average


class ClassTable(NamedTuple):
    """A table of classes, a row of it for each variable."""

    codes: Array  # [d, n] int32
    levels: Array  # [d] float
    weight: Array  # [k, n] float, of rows for each variable, or k = 1 for all
    rows: Array  # [d] float, their sums


def class_table(
    problem: Problem, classes: Classes, *, interventional: bool
) -> ClassTable:
    """What the scores read.

    Args:
      problem: the table.
      classes: of its columns.
      interventional: as in ``linear_gaussian.statistics``.

    Returns:
      The table.
    """
    weight = linear_gaussian.row_weights(problem, interventional=interventional)
    return ClassTable(
        codes=classes.codes.T,
        levels=classes.levels.astype(problem.x.dtype),
        weight=weight,
        rows=jnp.broadcast_to(weight.sum(axis=1), classes.levels.shape),
    )


def bdeu(counts: Array, levels: Array, configurations: Array, size: Array) -> Array:
    """Local BDeu scores, nats.

    Args:
      counts: ``[..., q, r]`` float, rows by configuration and class; what goes beyond
        a variable's classes and configurations is 0.
      levels: ``[]`` float, classes of the variable.
      configurations: ``[...]`` float, of its parents, also those without a row.
      size: ``[]`` float, the equivalent sample size a.

    Returns:
      ``[...]`` float.

    Differentiable: in size.
    """

    def rises(counts, prior):
        start = jnp.broadcast_to(log_gamma(prior), counts.shape)
        return jnp.where(counts > 0, log_gamma(counts + prior) - start, 0)

    prior = (size / configurations)[..., None]
    cells = rises(counts, prior[..., None] / levels).sum(axis=(-2, -1))
    return cells - rises(counts.sum(axis=-1), prior).sum(axis=-1)


def multinomial_bic(
    counts: Array, levels: Array, configurations: Array, price: Array
) -> Array:
    """Local scores by the BIC, nats.

    Args:
      counts: as in ``bdeu``.
      levels: as in ``bdeu``.
      configurations: as in ``bdeu``.
      price: ``[]`` float, nats a parameter costs.

    Returns:
      ``[...]`` float.

    Differentiable: in price.
    """

    def entropy(counts):
        return counts * jnp.log(jnp.where(counts > 0, counts, 1))

    likelihood = entropy(counts).sum(axis=(-2, -1))
    likelihood = likelihood - entropy(counts.sum(axis=-1)).sum(axis=-1)
    return likelihood - price * (levels - 1) * configurations


def toggled_counts(
    table: ClassTable, j: Array, parents: Array, most_classes: int
) -> tuple[Array, Array]:
    """Rows by parent configuration and class of j, with each variable toggled.

    A configuration of the parents is a number of mixed radix: a variable that comes in
    is the digit in front, one that goes out a digit that stays 0.

    Args:
      table: of n rows.
      j: ``[]`` int, the variable.
      parents: ``[d]`` bool, its parents now.
      most_classes: r, the length of the counts' last axis, static.

    Returns:
      Counts ``[d, q, r]``, [u] with u among the parents if it is not among them and the
      other way round, [j] with the parents as they are; and ``[d]`` float, the numbers
      of configurations. q is a fixed part of n; where a number goes beyond, the counts
      are of no use.
    """
    d, n = table.codes.shape
    size = max(n // ROWS_PER_CONFIGURATION, 1)
    inside = jnp.where(parents, table.levels, 1)
    # Beyond the size nothing is read; digits must not overflow on the way there.
    after = jnp.minimum(jnp.cumprod(inside), size)
    stride = jnp.concatenate([jnp.ones_like(after[:1]), after[:-1]])
    now = after[-1]
    digit = jnp.where(parents, stride, 0).astype(jnp.int32)[:, None] * table.codes
    code = digit.sum(axis=0)
    moved = jnp.where(parents, -stride, now).astype(jnp.int32).at[j].set(0)
    code = (code + moved[:, None] * table.codes) % size
    changed = jnp.where(parents, 1 / table.levels, table.levels).at[j].set(1)
    weight = table.weight[jnp.minimum(j, table.weight.shape[0] - 1)]
    cell = code * most_classes + table.codes[j]

    def count(cell):
        empty = jnp.zeros_like(weight, shape=size * most_classes)
        return empty.at[cell].add(weight, mode="promise_in_bounds")

    counts = jax.vmap(count)(cell).reshape(d, size, most_classes)
    return counts, inside.prod() * changed


def log_gamma(x: Array) -> Array:
    """log Gamma(x) for x > 0 by Stirling's series, which is exact to 1e-12 from 8 on.

    ``jax.lax.lgamma`` takes six times as long on CPUs, and scores take little else.

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
