"""Classes: how they come about, and how they act on other variables.

Codes are whole numbers from 0, as floats, so that columns of all kinds share a table.
No column has more than ``MOST_CLASSES`` classes.
"""

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array

MOST_CLASSES = 8

_NUM_MARKS = 63  # a class cut from a value has at least about 1 row in 64
_TABLE_SIZE = 64  # rows of a conditional table


def marks(key: Array, value: Array, num_rows: Array) -> Array:
    """The sorted values of 63 random rows: quantiles without sorting a column.

    Args:
      key: consumed.
      value: ``[n]``.
      num_rows: ``[]`` int, only the first so many rows are used.

    Returns:
      ``[63]``, the k-th (from 1) being, on average, the quantile k / 64.
    """
    rows = jax.random.randint(key, (_NUM_MARKS,), 0, jnp.maximum(num_rows, 1))
    return jnp.sort(value[rows])


def cut_classes(
    key: Array, value: Array, num_rows: Array, num_classes: Array, even: Array
) -> Array:
    """Classes in the order of a value, cut at random quantiles.

    Args:
      key: consumed.
      value: ``[n]``.
      num_rows: ``[]`` int, only the first so many rows place the cuts.
      num_classes: ``[]`` int, from 2 to ``MOST_CLASSES``.
      even: ``[]`` bool, whether classes are about equally frequent; else all shares
        are equally likely.

    Returns:
      ``[n]`` float codes.
    """
    mark_key, place_key = jax.random.split(key)
    values = marks(mark_key, value, num_rows)
    chance = jax.random.uniform(place_key, (_NUM_MARKS,), jnp.float32)
    # No cut at the last mark: there may be no row beyond.
    score = jnp.where(jnp.arange(_NUM_MARKS) < _NUM_MARKS - 1, chance, -jnp.inf)
    _, places = jax.lax.top_k(score, MOST_CLASSES - 1)
    number = jnp.arange(1, MOST_CLASSES)
    places = jnp.where(even, number * (_NUM_MARKS + 1) // num_classes - 1, places)
    cuts = values[jnp.clip(places, 0, _NUM_MARKS - 1)]
    above = (value[:, None] > cuts[None, :]) & (number < num_classes)[None, :]
    return above.sum(axis=1).astype(value.dtype)


def draw_classes(key: Array, logits: Array, num_classes: Array) -> Array:
    """One class a row, of probabilities softmax(logits) over the first classes.

    Args:
      key: consumed.
      logits: ``[n, MOST_CLASSES]``.
      num_classes: ``[]`` int.

    Returns:
      ``[n]`` float codes.
    """
    valid = jnp.arange(MOST_CLASSES) < num_classes
    prob = jax.nn.softmax(jnp.where(valid[None, :], logits, -jnp.inf), axis=1)
    below = jnp.cumsum(prob, axis=1)
    chance = jax.random.uniform(key, logits.shape[:1], logits.dtype)
    code = (chance[:, None] > below).sum(axis=1)
    return jnp.minimum(code, num_classes - 1).astype(logits.dtype)


def random_logits(key: Array) -> Array:
    """Logits ``[MOST_CLASSES]`` of random shares, Dirichlet of concentration 1."""
    share = jax.random.exponential(key, (MOST_CLASSES,), jnp.float32)
    return jnp.log(jnp.maximum(share, 1e-6))


def class_logits(
    key: Array, seen: Array, codes: Array, is_class: Array, is_ordered: Array
) -> Array:
    """Logits of a child's classes given its parents.

    They are the sum of those of random shares, of a linear form of what is seen of
    the parents, and of a conditional table with one random row for each combination
    of the parents' classes; one of the latter two may be missing, but never what
    numbers add. Of ordered classes the linear form is a multiple of the code.

    Args:
      key: consumed.
      seen: ``[n, d]``, the parents as numbers of size 1, 0 where there is no parent.
      codes: ``[n, d]``, the same as codes.
      is_class: ``[d]`` bool, parents that are classes.
      is_ordered: ``[]`` bool, whether the child's classes are.

    Returns:
      ``[n, MOST_CLASSES]``.
    """
    d = seen.shape[1]
    keys = jax.random.split(key, 7)
    free = jax.random.normal(keys[0], (d, MOST_CLASSES), jnp.float32)
    steps = jnp.arange(MOST_CLASSES, dtype=jnp.float32)
    weights = jnp.where(is_ordered, free[:, :1] * steps[None, :], free)
    form = jax.random.randint(keys[1], (), 0, 3)  # linear, table, both
    size, table_size = jnp.exp(jax.random.uniform(keys[2], (2,), minval=-0.7, maxval=1))
    weights = jnp.where((is_class & (form == 1))[:, None], 0, size * weights)
    linear = matmul(seen, weights)

    # An odd factor keeps the classes of a parent apart in a table of 64 rows.
    factor = 2 * jax.random.randint(keys[3], (d,), 0, _TABLE_SIZE // 2) + 1
    factor = jnp.where(is_class, factor, 0).astype(codes.dtype)
    row = matmul(codes, factor).astype(jnp.int32) % _TABLE_SIZE
    table = jax.random.normal(keys[4], (_TABLE_SIZE, MOST_CLASSES), jnp.float32)
    table = jnp.where(form == 0, 0, 1.5 * table_size * table)
    spread = jax.random.uniform(keys[5], (), jnp.float32, 0.2, 1)
    return linear + table[row] + (spread * random_logits(keys[6]))[None, :]


def class_scores(key: Array, num_classes: Array, is_ordered: Array) -> Array:
    """How the classes of each column act on one child: a number for each class.

    Those of ordered classes rise with the code, in equal steps or random ones; those
    of others are independent normal numbers.

    Args:
      key: consumed.
      num_classes: ``[d]`` int.
      is_ordered: ``[d]`` bool.

    Returns:
      ``[d, MOST_CLASSES]``, of mean 0 and variance 1 over the classes of a column.
    """
    shape = (num_classes.size, MOST_CLASSES)
    keys = jax.random.split(key, 3)
    free = jax.random.normal(keys[0], shape, jnp.float32)
    steps = jax.random.exponential(keys[1], shape, jnp.float32)
    even = jax.random.bernoulli(keys[2], 0.6, (num_classes.size, 1))
    rising = jnp.cumsum(jnp.where(even, 1, steps), axis=1)
    score = jnp.where(is_ordered[:, None], rising, free)
    valid = jnp.arange(MOST_CLASSES)[None, :] < num_classes[:, None]
    mean = jnp.mean(score, axis=1, where=valid, keepdims=True)
    variance = jnp.mean((score - mean) ** 2, axis=1, where=valid, keepdims=True)
    score = (score - mean) / jnp.sqrt(jnp.maximum(variance, 1e-4))
    return jnp.where(valid, score, 0)


def look_up(codes: Array, scores: Array) -> Array:
    """The score of each code, ``[n, d]``, from ``scores`` ``[d, MOST_CLASSES]``.

    Cells that are no code have any score.
    """
    first = MOST_CLASSES * jnp.arange(codes.shape[1], dtype=jnp.int32)
    place = jnp.clip(codes, 0, MOST_CLASSES - 1).astype(jnp.int32) + first[None, :]
    return scores.reshape(-1)[place]
