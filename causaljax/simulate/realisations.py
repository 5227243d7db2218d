"""From the value a mechanism gives a variable to the number that a table shows.

A value of size about 1 is cut into classes, becomes the rate of a count, saturates,
is rounded, or is read with error. Children see what ``realise`` returns; ``measure``
adds what only the table sees.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.types import Array, Kind
from causaljax.simulate.classes import (
    MOST_CLASSES,
    class_scores,
    cut_classes,
    draw_classes,
    look_up,
    marks,
    random_logits,
)

_MOST_BY_INVERSION = 30.0  # rate of counts; beyond, a rounded normal distribution
_NUM_TERMS = 64  # so many occurrences have probability 1e-8 at that rate
_LOWEST, _HIGHEST = -4.0, 6.0  # log rates


class Realisation(NamedTuple):
    """How each column is realised; all zeros where values are shown as they are."""

    kind: Array  # [d] int32, of ``Kind``
    num_classes: Array  # [d] int32, 0 where there are no classes
    generated: Array  # [d] bool, classes drawn given the parents, not cut
    even: Array  # [d] bool, classes cut at even shares
    late: Array  # [d] bool, cut for the table alone: children see the value
    log_rate: Array  # [d], of counts where the value is 0
    slope: Array  # [d], of the log rate
    zero_prob: Array  # [d], of counts that are 0 whatever their rate
    log_seen: Array  # [d] bool, children see log(1 + count)
    floor: Array  # [d], share of rows that saturate below
    ceiling: Array  # [d], and above
    step: Array  # [d], what values are rounded to, 0 where they are not
    felt: Array  # [d] bool, saturated and rounded before children see it
    error: Array  # [d], standard deviation of the error of measurement

    def among_variables(self) -> "Realisation":
        """What children see: of classes that are cut late, numbers."""
        number = jnp.zeros_like(self.kind)
        return self._replace(
            kind=jnp.where(self.late, number, self.kind),
            num_classes=jnp.where(self.late, number, self.num_classes),
        )

    @property
    def is_class(self) -> Array:
        """``[d]`` bool."""
        return self.num_classes > 0

    @property
    def is_ordered(self) -> Array:
        """``[d]`` bool, classes with an order; two classes always have one."""
        return self.is_class & (self.kind != Kind.CATEGORICAL)

    @property
    def is_count(self) -> Array:
        """``[d]`` bool."""
        return self.kind == Kind.COUNT

    @property
    def is_discrete(self) -> Array:
        """``[d]`` bool, classes or counts."""
        return self.is_class | self.is_count


def continuous(num_variables: int) -> Realisation:
    """Every value is shown as it is."""
    dtypes = {
        "kind": jnp.int32, "num_classes": jnp.int32, "generated": bool, "even": bool,
        "late": bool, "log_seen": bool, "felt": bool,
    }  # fmt: skip
    return Realisation(
        *(
            jnp.zeros(num_variables, dtypes.get(name, jnp.float32))
            for name in Realisation._fields
        )
    )


def draw_realisation(key: Array, num_variables: int) -> Realisation:
    """Columns of all kinds.

    In an eighth of the draws no column is discrete, in three eighths all are, else a
    random share; in half of them they are of one kind, else of all in random shares.
    Classes are 2 to 8, rather few, in half of the draws of one number. In half of the
    draws a random share of them is drawn given the parents; in seven of ten, the others
    are cut for the table alone. A quarter of the counts have more zeros. In a quarter
    of the draws half of the columns of numbers are rounded, in a fifth some saturate,
    in a fifth they are read with error.

    Args:
      key: consumed.
      num_variables: d, static.

    Returns:
      The realisation.
    """
    d = num_variables
    keys = iter(jax.random.split(key, 32))

    def uniform(low=0.0, high=1.0, shape=(d,)):
        return jax.random.uniform(next(keys), shape, jnp.float32, low, high)

    def some(prob, shape=(d,)):
        return jax.random.bernoulli(next(keys), prob, shape)

    # Which are discrete, and of what kind.
    place, share = uniform(shape=()), uniform(shape=())
    share = jnp.where(place < 0.12, 0, jnp.where(place < 0.5, 1, share))
    is_discrete = some(share)
    shares = jax.random.exponential(next(keys), (4,), jnp.float32)
    drawn = 1 + jax.random.categorical(next(keys), jnp.log(shares), shape=(d,))
    one = jax.random.choice(
        next(keys), jnp.arange(1, 5), p=jnp.array([0.15, 0.25, 0.35, 0.25])
    )
    kind = jnp.where(is_discrete, jnp.where(some(0.5, ()), one, drawn), 0)

    number = jax.random.exponential(next(keys), (d,), jnp.float32)
    number = jnp.where(some(0.5, ()), number[0], number)
    number = jnp.minimum(3 + jnp.floor(1.6 * number).astype(jnp.int32), MOST_CLASSES)
    has_order = (kind == Kind.ORDINAL) | (kind == Kind.CATEGORICAL)
    num_classes = jnp.where(kind == Kind.BINARY, 2, jnp.where(has_order, number, 0))
    generated = some(jnp.where(some(0.5, ()), uniform(shape=()), 0))
    generated = generated & (num_classes > 0)
    late = some(0.7, ()) & (num_classes > 0) & ~generated
    is_number = ~is_discrete
    rounds, saturates, errs = some(0.25, ()), some(0.2, ()), some(0.2, ())
    saturated = is_number & saturates & some(0.5)
    return Realisation(
        kind=kind.astype(jnp.int32),
        num_classes=num_classes.astype(jnp.int32),
        generated=generated,
        even=some(0.3),
        late=late,
        log_rate=uniform(-1, 4.5),
        slope=jnp.exp(uniform(-1.6, 0)),
        zero_prob=jnp.where(some(0.25), uniform(0.1, 0.6), 0),
        log_seen=some(0.5) & (kind == Kind.COUNT),
        floor=jnp.where(saturated & some(0.6), uniform(0.02, 0.3), 0),
        ceiling=jnp.where(saturated & some(0.6), uniform(0.02, 0.3), 0),
        step=jnp.where(is_number & rounds & some(0.5), jnp.exp(uniform(-2.3, 0.3)), 0),
        felt=jnp.broadcast_to(some(0.6, ()), (d,)),
        error=jnp.where(is_number & errs & some(0.7), jnp.exp(uniform(-2.3, 0)), 0),
    )


def draw_counts(key: Array, log_rate: Array) -> Array:
    """Poisson counts, of rates from exp(-4) to exp(6); large ones rounded normal.

    Args:
      key: consumed.
      log_rate: ``[n]``, clipped to -4 and 6.

    Returns:
      ``[n]`` whole floats.
    """
    rate = jnp.exp(jnp.clip(log_rate, _LOWEST, _HIGHEST))
    least = jnp.finfo(rate.dtype).eps
    chance = jax.random.uniform(key, rate.shape, rate.dtype, least, 1 - least)
    small = jnp.minimum(rate, _MOST_BY_INVERSION)

    def add(k, carry):
        prob, below, count = carry
        count = count + (chance > below).astype(rate.dtype)
        prob = prob * small / (k + 1).astype(rate.dtype)
        return prob, below + prob, count

    prob = jnp.exp(-small)
    start = prob, prob, jnp.zeros_like(rate)
    _, _, few = jax.lax.fori_loop(0, _NUM_TERMS, add, start)
    many = jnp.round(rate + jnp.sqrt(rate) * jax.scipy.special.ndtri(chance))
    return jnp.where(rate <= _MOST_BY_INVERSION, few, jnp.maximum(many, 0))


def realise(
    key: Array, value: Array, how: Realisation, targeted: Array, num_rows: Array
) -> Array:
    """What children see of a column: classes as codes, counts, or a number.

    Classes that are drawn given the parents are redrawn where the variable was a
    target, of other shares; all others follow from the value, whatever gave it.

    Args:
      key: consumed.
      value: ``[n]``, of size about 1; codes where classes are generated.
      how: of this column, leaves ``[]``.
      targeted: ``[n]`` bool, where the column was set from outside.
      num_rows: ``[]`` int, rows that are no padding.

    Returns:
      ``[n]``.
    """
    keys = jax.random.split(key, 3)

    def generated(key):
        share_key, fixed_key, which_key, class_key = jax.random.split(key, 4)
        fixed = jax.random.bernoulli(fixed_key, 0.3)
        which = jax.random.randint(which_key, (), 0, how.num_classes)
        certain = jnp.where(jnp.arange(MOST_CLASSES) == which, 50.0, 0.0)
        logits = jnp.where(fixed, certain, random_logits(share_key))
        logits = jnp.broadcast_to(logits[None, :], (value.shape[0], MOST_CLASSES))
        other = draw_classes(class_key, logits, how.num_classes)
        return jnp.where(targeted, other, value)

    def counted(key):
        zero_key, count_key = jax.random.split(key)
        count = draw_counts(count_key, how.log_rate + how.slope * value)
        zero = jax.random.uniform(zero_key, value.shape, value.dtype) < how.zero_prob
        count = jnp.where(zero, 0, count)
        return jnp.where(how.log_seen, jnp.log1p(count), count)

    branches = [
        lambda key: value,
        lambda key: _distort(key, value, how, num_rows),
        lambda key: cut_classes(key, value, num_rows, how.num_classes, how.even),
        generated,
        counted,
    ]
    is_distorted = how.felt & ((how.floor > 0) | (how.ceiling > 0) | (how.step > 0))
    branch = jnp.where(how.is_count, 4, jnp.where(is_distorted, 1, 0))
    branch = jnp.where(how.is_class, jnp.where(how.generated, 3, 2), branch)
    return jax.lax.switch(branch, branches, keys[0])


def see(key: Array, x: Array, how: Realisation) -> Array:
    """What one child sees of the columns: numbers of size about 1.

    Classes are seen by their scores for this child, counts (or their logarithms) less
    the usual count and over its spread, numbers as they are.

    Args:
      key: consumed.
      x: ``[n, d]``, as ``realise`` returns it.
      how: of its columns.

    Returns:
      ``[n, d]``.
    """
    scores = class_scores(key, how.num_classes, how.is_ordered)
    usual = jnp.exp(how.log_rate)
    spread = jnp.sqrt(usual + (how.slope * usual) ** 2)
    centre = jnp.where(how.log_seen, jnp.log1p(usual), usual)
    scale = jnp.where(how.log_seen, spread / (1 + usual), spread)
    centre = jnp.where(how.is_count, centre, 0)
    scale = jnp.where(how.is_count, scale, 1)
    numbers = (x - centre[None, :]) / scale[None, :]
    return jnp.where(how.is_class[None, :], look_up(x, scores), numbers)


def _distort(key, value, how, num_rows):
    """Saturates and rounds."""
    quantiles = marks(key, value, num_rows)
    last = quantiles.shape[0] - 1
    low = quantiles[jnp.round(how.floor * last).astype(jnp.int32)]
    high = quantiles[last - jnp.round(how.ceiling * last).astype(jnp.int32)]
    value = jnp.where(how.floor > 0, jnp.maximum(value, low), value)
    value = jnp.where(how.ceiling > 0, jnp.minimum(value, high), value)
    step = jnp.where(how.step > 0, how.step, 1)
    return jnp.where(how.step > 0, jnp.round(value / step) * step, value)


def measure(key: Array, x: Array, how: Realisation, num_rows: Array) -> Array:
    """What the table shows: classes without order relabelled, counts as counts.

    Classes that no child sees are cut here. Numbers are read with error, and saturate
    and are rounded where no child sees it.

    Args:
      key: consumed.
      x: ``[n, d]``, what children see.
      how: of its columns.
      num_rows: ``[]`` int, rows that are no padding.

    Returns:
      ``[n, d]``.
    """
    error_key, distort_key, label_key, cut_key = jax.random.split(key, 4)
    x = jax.lax.cond(
        how.late.any(), lambda: _cut_late(cut_key, x, how, num_rows), lambda: x
    )
    x = jnp.where(how.log_seen[None, :], jnp.round(jnp.expm1(x)), x)
    x = jax.lax.cond(
        (how.error > 0).any(),
        lambda key: x + how.error[None, :] * jax.random.normal(key, x.shape, x.dtype),
        lambda key: x,
        error_key,
    )
    unfelt = how._replace(
        floor=jnp.where(how.felt, 0, how.floor),
        ceiling=jnp.where(how.felt, 0, how.ceiling),
        step=jnp.where(how.felt, 0, how.step),
    )
    keys = jax.random.split(distort_key, x.shape[1])
    x = jax.vmap(_distort, (0, 1, 0, None), 1)(keys, x, unfelt, num_rows)

    score = jax.random.uniform(label_key, (x.shape[1], MOST_CLASSES), jnp.float32)
    valid = jnp.arange(MOST_CLASSES)[None, :] < how.num_classes[:, None]
    label = jnp.argsort(jnp.argsort(jnp.where(valid, score, jnp.inf), axis=1), axis=1)
    relabelled = look_up(x, label.astype(x.dtype))
    return jnp.where((how.kind == Kind.CATEGORICAL)[None, :], relabelled, x)


def _cut_late(key, x, how, num_rows):
    """Cuts the classes that no child sees."""

    def cut(key, value, num_classes, even):
        return cut_classes(key, value, num_rows, num_classes, even)

    keys = jax.random.split(key, x.shape[1])
    codes = jax.vmap(cut, (0, 1, 0, 0), 1)(keys, x, how.num_classes, how.even)
    return jnp.where(how.late[None, :], codes, x)


def told_kind(key: Array, x: Array, weight: Array, how: Realisation) -> Array:
    """The kind that a reader of the table is told of each column.

    Two values are binary, whatever they come from. Whole numbers of at most 11 values
    pass for numbers in most tables, as do the classes of half the columns of a tenth
    of the tables and a tenth of the ordered ones besides: codes without a word on what
    they mean. Three tenths of the rounded columns pass for counts.

    Args:
      key: consumed.
      x: ``[n, d]``, the table.
      weight: ``[n]``.
      how: of its columns.

    Returns:
      ``[d]`` int8, of ``Kind``.
    """
    d = x.shape[1]
    keys = jax.random.split(key, 5)
    row = (weight > 0)[:, None]
    low = jnp.where(row, x, jnp.inf).min(axis=0)
    high = jnp.where(row, x, -jnp.inf).max(axis=0)
    two = ((x == low[None, :]) | (x == high[None, :]) | ~row).all(axis=0) & (low < high)
    careless = jax.random.bernoulli(keys[0], 0.1) & jax.random.bernoulli(
        keys[1], 0.5, (d,)
    )
    unsaid = jax.random.bernoulli(keys[2], 0.1, (d,)) & (how.kind == Kind.ORDINAL)
    few = how.is_count & (high - low <= 10) & jax.random.bernoulli(keys[3], 0.7, (d,))
    plain = (careless & how.is_class) | unsaid | few
    is_whole = (how.step > 0) & ~(how.felt & (how.error > 0))
    whole = is_whole & jax.random.bernoulli(keys[4], 0.3, (d,))
    kind = jnp.where(plain, Kind.CONTINUOUS, jnp.where(whole, Kind.COUNT, how.kind))
    return jnp.where(two & ~plain, Kind.BINARY, kind).astype(jnp.int8)
