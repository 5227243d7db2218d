"""What a table says about each ordered pair of variables, in closed form.

For every ordered pair (i, j) the grid holds how j depends on i: correlations of
functions of the two columns and of their residuals, the residual of j given i
alone, partial associations, what changes in j where i was intervened on, and both
variables by themselves. Classes without an order are read by their optimal scores, so
that nothing depends on how they are numbered, and pairs with a class or a count have
the statistics of their contingency table besides. Rows where j itself was intervened
on tell nothing about its causes and are left out of what describes j as an effect.

Everything is a weighted sum over rows (missing cells and padding have weight 0),
taken chunk by chunk, or a d x d matrix computation: O(n d^2 + d^3) time, and
O(n d^3 + d^4) in tables with known interventions, where each variable has its own
rows and so its own regression.

Sources: Hyvarinen and Smith 2013 (moments of residuals that give directions away);
Lorch et al. 2022 for the task; Wu et al. 2024 (SEA), who showed that a network can
learn from statistics in place of rows.
"""

import math

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Kind, Problem
from causaljax.networks import contingency
from causaljax.networks.associations import (
    first_order,
    least_dependence,
    pooled_correlation,
    precision_of,
    regressions,
)
from causaljax.networks.columns import LEVELS, Columns, read_columns
from causaljax.networks.gaps import correlation_of, fill_gaps, own_matrices
from causaljax.scores import sweep_operator

_KINDS = 6  # of each variable: see _kinds
NUM_STATISTICS = 270 + contingency.NUM_STATISTICS + 2 * _KINDS
"""The length of the last axis of the grid."""

ROW_CHUNK = 512
"""Rows taken at a time where sums over rows need copies of them."""

CACHE = 2**15
"""Residuals held at a time."""

_BOUND = 10.0
_FUNCTIONS = 12  # of each column: see _row_functions


def pair_statistics(problem: Problem) -> Array:
    """The grid of statistics a network reads in place of the rows.

    Args:
      problem: the table. ``regime``, ``allowed`` and ``required`` are not read.

    Returns:
      ``[d, d, f]`` float32 in [-10, 10], f = ``NUM_STATISTICS``; at [i, j] how j
      depends on i; on the diagonal only what is said of i by itself. Relabelling
      the variables relabels both axes. The units of a column change nothing, nor does
      the numbering of classes without an order (but where a third moment is exactly 0,
      as of two classes of one frequency), nor do rows of weight 0.

    Differentiable: in ``x``, except through ranks.
    """
    weight = problem.weight.astype(jnp.float32)
    observed = problem.observed.astype(jnp.float32)
    untouched = 1 - problem.intervened.astype(jnp.float32)
    natural = observed * untouched
    d = problem.x.shape[1]
    unordered = (problem.kind == Kind.CATEGORICAL) | (problem.kind == Kind.BINARY)
    columns = read_columns(
        problem.x.astype(jnp.float32), weight[:, None] * observed, unordered
    )
    columns, of_classes, kinds = _read_classes(
        columns, problem.kind, unordered, weight, observed, natural
    )
    num_rows = jnp.maximum(weight.sum(), 1)
    ridge = jnp.clip(0.1 * d / num_rows, 3e-4, 0.5)

    score, basis = _filled(columns, weight, observed, ridge)
    correlations, precisions = own_matrices(score, weight, untouched, ridge)
    coefficients, partial, noise = regressions(precisions)
    linear = score.values - matmul(score.values, coefficients)
    cubic, blocks = _additive(basis, weight, ridge)
    functions = _row_functions(columns, weight, observed, linear, cubic)
    cells = (functions, weight, observed, natural)

    sums = _sum_over_chunks(_function_sums, cells, ROW_CHUNK)
    pairs = sums["pairs"]
    correlation, theta, spread = _correlations(sums)
    intervened = problem.intervened.astype(jnp.float32) * weight[:, None]
    shifts, is_target = _shifts(functions, intervened, natural, sums)

    def residual_sums(functions, weight, observed, natural):
        return _residual_functions(functions, weight, observed, natural, theta, spread)

    # Few enough rows at a time for what the n x d x d residuals hold to stay in cache.
    rows = max(8, CACHE // d**2)
    residual = _sum_over_chunks(residual_sums, cells, rows)
    residual = _residual(jnp.stack(residual, -1), pairs)
    first = first_order(pooled_correlation(columns.gauss, weight, observed))

    root = jnp.sqrt(jnp.maximum(pairs, 0))[..., None]
    node = _node(functions, columns, weight, observed, noise, num_rows)
    both = jnp.concatenate([
        jnp.broadcast_to(node[:, None], (d, d, node.shape[-1])),
        jnp.broadcast_to(node[None], (d, d, node.shape[-1])),
    ], -1)  # fmt: skip
    targets = jnp.sum(is_target).astype(num_rows.dtype)
    meta = jnp.stack([
        jnp.log(num_rows) - 6, jnp.clip(d / num_rows, 0, 3),
        jnp.full_like(num_rows, math.log(d) - 3), targets / d,
        (targets > 0).astype(num_rows.dtype),
    ])  # fmt: skip
    pair = jnp.concatenate([
        _z_score(correlation, root),
        jnp.take(correlation, jnp.array(_PLAIN), axis=-1) * 2,
        3 * jnp.stack([partial, coefficients / (1 + jnp.abs(coefficients))], -1),
        _z_score(partial[..., None], root),
        3 * blocks, _z_score(blocks, root),
        3 * residual, _z_score(residual[..., 1:], root),
        3 * first, _z_score(first, root),
        shifts,
    ], -1)  # fmt: skip
    # One program serves both.
    least = jax.lax.map(least_dependence, jnp.stack([correlations, precisions]))
    least = jnp.concatenate([*least], -1)
    least = jnp.concatenate([3 * least, _z_score(least, root)], -1)
    diagonal = jnp.eye(d, dtype=bool)[..., None]
    pair, least, of_classes = (
        jnp.where(diagonal, 0, part) for part in (pair, least, of_classes)
    )
    grid = jnp.concatenate([
        pair, both, jnp.broadcast_to(meta, (d, d, 5)), least, of_classes,
        jnp.broadcast_to(kinds[:, None], (d, d, _KINDS)),
        jnp.broadcast_to(kinds[None], (d, d, _KINDS)),
    ], -1)  # fmt: skip
    return jnp.clip(jnp.nan_to_num(grid, posinf=0, neginf=0), -_BOUND, _BOUND)


def _read_classes(columns, kind, unordered, weight, observed, natural):
    """Columns with scores for classes, ``[d, d, 21]`` of pairs and ``[d, 6]`` of kinds.

    The statistics of pairs of numbers are 0.
    """
    d = kind.shape[0]
    discrete = (kind != Kind.CONTINUOUS) | (columns.num_values <= LEVELS)

    def sums(level, score, weight, observed, natural):
        own = jax.nn.one_hot(level, LEVELS, dtype=score.dtype)
        mass = weight[:, None] * natural
        return (
            contingency.joint_counts(level, weight, observed, natural),
            jnp.sum(own * (mass * score)[..., None], 0),
            jnp.sum(own * mass[..., None], 0),
        )

    def read():
        cells = (columns.level, columns.score, weight, observed, natural)
        counts, total, count = _sum_over_chunks(sums, cells, ROW_CHUNK)
        laws, rows = contingency.joint_laws(counts)
        scores = contingency.optimal_scores(laws, rows)
        means = total / jnp.maximum(count, 1e-6)
        values = jnp.where(unordered[:, None], scores[:, 0], means)
        pairs = contingency.class_statistics(laws, rows, values)
        either = (discrete[:, None] | discrete[None])[..., None]
        own = jnp.arange(d)
        of_cell = scores.transpose(0, 2, 1)[own[None, :], columns.level]  # [n, d, 4]
        of_cell = jnp.clip(of_cell, -_BOUND, _BOUND) * observed[..., None]
        is_class = unordered[None, :]
        scored = columns._replace(
            score=jnp.where(is_class, of_cell[..., 0], columns.score),
            gauss=jnp.where(is_class, of_cell[..., 0], columns.gauss),
            legendre=jnp.where(is_class[..., None], of_cell, columns.legendre),
        )
        rarest = jnp.min(jnp.where(count > 0, count, jnp.inf), -1)
        rarest = jnp.where(jnp.isfinite(rarest), rarest, 0)
        return scored, jnp.where(either, pairs, 0), rarest

    def skip():
        pairs = jnp.zeros((d, d, contingency.NUM_STATISTICS), jnp.float32)
        return columns, pairs + 0 * weight[0], 0 * columns.score[0]

    scored, pairs, rarest = jax.lax.cond(jnp.any(discrete), read, skip)
    kinds = jnp.stack([
        *((kind == one).astype(jnp.float32) for one in Kind if one != Kind.CONTINUOUS),
        jnp.log(jnp.clip(columns.num_values, 1, 32).astype(jnp.float32)),
        jnp.log1p(rarest) / 3,
    ], -1)  # fmt: skip
    return scored, pairs, jnp.where(discrete[:, None], kinds, 0)


_PLAIN = [
    12 * of_i + of_j
    for of_i, of_j in (
        *((0, 0), (0, 1), (1, 0), (1, 1), (2, 2)),
        *((4, 4), (5, 5), (6, 6), (9, 9)),
    )
]
"""Of the correlations of functions, those that are given as they are too."""


def _z_score(statistic, root):
    """How many standard errors a correlation is from 0, on a slow scale."""
    return jnp.arcsinh(statistic * root)


def _filled(columns, weight, observed, ridge):
    """Scores without gaps, and without gaps a cubic basis of every column.

    The basis is the score and the second and third Legendre polynomial of the ranks.
    One program fills both: scores stand beside columns of 0, which have no gaps.
    """
    d = observed.shape[1]
    legendre = columns.legendre[..., 1], columns.legendre[..., 2]
    values = jnp.stack([
        jnp.pad(columns.score, [(0, 0), (0, 2 * d)]),
        jnp.concatenate([columns.score, *legendre], -1),
    ])  # fmt: skip
    seen = jnp.stack([
        jnp.pad(observed, [(0, 0), (0, 2 * d)], constant_values=1),
        jnp.tile(observed, (1, 3)),
    ])  # fmt: skip
    both = jax.lax.map(
        lambda case: fill_gaps(case[0], weight, case[1], ridge), (values, seen)
    )
    scores, basis = (jax.tree.map(lambda leaf, k=k: leaf[k], both) for k in (0, 1))
    scores = type(basis)(
        values=scores.values[:, :d],
        gap=scores.gap[:, :d],
        alone=scores.alone[:d],
        together=scores.together[:d, :d],
        wider=scores.wider[:d, :d],
    )
    return scores, basis


def _additive(filled, weight, ridge):
    """Each variable regressed on a cubic of every other, over all rows.

    Of the basis of ``_filled``. Returns the residuals ``[n, d]`` and ``[d, d, 9]``
    normalised blocks of the precision of the basis.
    """
    d = filled.values.shape[1] // 3
    precision = precision_of(correlation_of(filled, weight), ridge)
    diagonal = jnp.diagonal(precision)
    normal = precision * jax.lax.rsqrt(diagonal[:, None] * diagonal[None])
    blocks = normal.reshape(3, d, 3, d).transpose(1, 3, 0, 2).reshape(d, d, 9)
    own = jnp.arange(d)
    table = precision.reshape(3, d, 3, d)
    inside = table[:, own, :, own]  # [j, a, b], what j's basis keeps given the rest

    def sweep(k, value):
        return jax.vmap(sweep_operator.toggle, in_axes=(0, None, None))(
            value, k, jnp.array(False)
        )

    first = -jax.lax.fori_loop(0, 3, sweep, inside)[:, 0]  # [j, a]
    residual = jnp.einsum("ja,ajbi->bij", first, table, precision="highest")
    off = ~jnp.eye(d, dtype=bool)
    coefficients = jnp.where(off[None], -residual, 0).reshape(3 * d, d)
    cubic = filled.values[:, :d] - matmul(filled.values, coefficients)
    return cubic, -blocks


def _row_functions(columns: Columns, weight, observed, linear, cubic):
    """Twelve functions of every cell, ``[n, 12, d]``: what the pairs correlate.

    0-3 Legendre polynomials of the rank; 4, 5 score and its square; 6-8 the
    residual given all others, linear: itself, saturated, squared; 9-11 the same,
    additive cubic. Squares are capped, so that no row decides alone.
    """
    score = columns.score

    def shapes(residual):
        mass = weight[:, None] * observed
        total = jnp.maximum(mass.sum(0), 1e-6)
        residual = residual - (jnp.sum(mass * residual, 0) / total)[None, :]
        variance = jnp.sum(mass * residual**2, 0) / total
        scale = jax.lax.rsqrt(jnp.maximum(variance, 1e-8))
        residual = residual * scale[None, :]
        return [jnp.clip(residual, -8, 8), jnp.tanh(residual), _capped(residual)]

    legendre = [columns.legendre[..., a] for a in range(4)]
    functions = [*legendre, score, _capped(score), *shapes(linear), *shapes(cubic)]
    return jnp.stack(functions, 1) * observed[:, None]


def _capped(value):
    return 9 * value**2 / (9 + value**2)


def _sum_over_chunks(summands, cells, rows):
    """The sum over chunks of rows of what ``summands`` makes of a chunk."""
    n = cells[1].shape[0]
    if n <= rows:
        return summands(*cells)
    count = -(-n // rows)

    def cut(leaf):
        fill = [(0, count * rows - n)] + [(0, 0)] * (leaf.ndim - 1)
        return jnp.pad(leaf, fill).reshape(count, rows, *leaf.shape[1:])

    chunks = jax.tree.map(cut, cells)
    shapes = jax.eval_shape(summands, *jax.tree.map(lambda leaf: leaf[0], chunks))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, summands(*chunk)), None

    return jax.lax.scan(add, zeros, chunks)[0]


def _function_sums(functions, weight, observed, natural):
    """Sums that the correlations of functions of i and of j are made of."""
    n, k, d = functions.shape
    left = functions.reshape(n, k * d)
    right = weight[:, None] * natural
    weighted = (functions * right[:, None]).reshape(n, k * d)
    return {
        "pairs": matmul(observed.T, right),
        "cross": matmul(left.T, weighted),
        "left": matmul(left.T, right),
        "left_square": matmul((left**2).T, right),
        "right": matmul(observed.T, weighted),
        "right_square": matmul(observed.T, weighted * left),
        "own": weighted.sum(0),
        "own_square": jnp.sum(weighted * left, 0),
        "own_pairs": right.sum(0),
    }


def _correlations(sums):
    """Correlations of functions, and the best Legendre fit of j's score given i."""
    d = sums["pairs"].shape[0]
    k = _FUNCTIONS
    count = jnp.maximum(sums["pairs"], 1e-6)

    def left(name):
        return sums[name].reshape(k, d, d) / count[None]  # [a, i, j]

    def right(name):
        return sums[name].reshape(d, k, d).transpose(1, 0, 2) / count[None]  # [b, i, j]

    mean_left, mean_right = left("left"), right("right")
    cross = sums["cross"].reshape(k, d, k, d).transpose(0, 2, 1, 3)
    cross = cross / count[None, None]
    covariance = cross - mean_left[:, None] * mean_right[None]
    variance_left = left("left_square") - mean_left**2
    variance_right = right("right_square") - mean_right**2
    scale = jnp.maximum(variance_left[:, None] * variance_right[None], 1e-10)
    correlation = covariance * jax.lax.rsqrt(scale)
    correlation = correlation.transpose(2, 3, 0, 1).reshape(d, d, k * k)
    theta = covariance[:4, 4].transpose(1, 2, 0)  # [i, j, a]
    spread = (mean_right[4], variance_right[4])
    return jnp.clip(correlation, -1, 1), theta, spread


def _residual_functions(functions, weight, observed, natural, theta, spread):
    """Sums over rows of functions of the residual of j given i alone."""
    mean, variance = spread
    left_over = jnp.maximum(
        variance - jnp.sum(theta**2, -1), 0.02 * jnp.maximum(variance, 1e-6)
    )
    legendre = [functions[:, a, :, None] for a in range(4)]  # [n, i, 1]
    residual = functions[:, 4, None, :] - mean[None]
    for a in range(4):
        residual = residual - legendre[a] * theta[None, :, :, a]
    residual = jnp.clip(residual * jax.lax.rsqrt(left_over)[None], -6, 6)
    mass = observed[:, :, None] * (weight[:, None] * natural)[:, None, :]
    square = residual**2
    smooth = jnp.sqrt(1 + square)
    heavy, light = mass * square, mass * smooth
    summands = [
        heavy, heavy * residual, heavy * square, light, mass * residual / smooth,
        heavy * legendre[0], heavy * legendre[1], heavy * legendre[2],
        light * legendre[0], light * legendre[1],
    ]  # fmt: skip
    return tuple(summand.sum(0) for summand in summands)


def _residual(sums, pairs):
    """Unexplained share, then shape of the residual and its dependence on i."""
    moments = sums / jnp.maximum(pairs, 1e-6)[..., None]
    variance = moments[..., :1]
    shape = jnp.stack([
        moments[..., 1], moments[..., 2] / 3 - 1, moments[..., 3] - 1.36,
        moments[..., 4],
    ], -1)  # fmt: skip
    return jnp.concatenate([variance - 1, shape, moments[..., 5:]], -1)


def _shifts(functions, intervened, natural, sums):
    """What changes in j where i was intervened on, ``[d, d, 28]``; the targets.

    For each function of j: the difference of its means, in its standard
    deviations, and its t-statistic; then whether i and j were targets and in how
    many rows.
    """
    n, k, d = functions.shape
    treated = matmul(intervened.T, natural)
    rest = jnp.maximum(sums["own_pairs"][None] - treated, 0)
    inside = matmul(intervened.T, (functions * natural[:, None]).reshape(n, k * d))
    outside = sums["own"][None] - inside
    inside = inside.reshape(d, k, d).transpose(0, 2, 1)
    outside = outside.reshape(d, k, d).transpose(0, 2, 1)
    own = jnp.maximum(sums["own_pairs"], 1e-6)
    mean = sums["own"].reshape(k, d) / own[None]
    variance = sums["own_square"].reshape(k, d) / own[None] - mean**2
    enough = (treated > 0.5) & (rest > 0.5)
    difference = (
        inside / jnp.maximum(treated, 0.5)[..., None]
        - outside / jnp.maximum(rest, 0.5)[..., None]
    ) * jax.lax.rsqrt(jnp.maximum(variance, 1e-6)).T[None]
    difference = jnp.where(enough[..., None], difference, 0)
    effective = treated * rest / jnp.maximum(treated + rest, 1)
    counts = intervened.sum(0)
    is_target = counts > 0
    log_count = jnp.log1p(counts) / 3
    flags = jnp.stack([
        jnp.broadcast_to(is_target[:, None], (d, d)).astype(functions.dtype),
        jnp.broadcast_to(is_target[None], (d, d)).astype(functions.dtype),
        jnp.broadcast_to(log_count[:, None], (d, d)),
        jnp.broadcast_to(log_count[None], (d, d)),
    ], -1)  # fmt: skip
    score = jnp.arcsinh(difference * jnp.sqrt(effective)[..., None])
    return jnp.concatenate([2 * jnp.tanh(difference), score, flags], -1), is_target


def _node(functions, columns, weight, observed, noise, num_rows):
    """Each variable by itself, ``[d, 12]``."""
    mass = weight[:, None] * observed
    total = jnp.maximum(mass.sum(0), 1e-6)

    def mean(values):
        return jnp.sum(mass * values, 0) / total

    def shape(values):
        cube = jnp.clip(values, -4, 4) ** 3
        return [mean(cube), mean(_capped(values)) - 0.8, mean(jnp.sqrt(1 + values**2))]

    both = columns.gauss * columns.score
    return jnp.stack([
        *shape(columns.score), *shape(functions[:, 6]), *shape(functions[:, 9]),
        jnp.log(jnp.maximum(noise, 1e-6)), 5 * (mean(both) - 1),
        jnp.log(columns.distinct + 1e-3) / 3, 3 * (1 - total / num_rows),
    ], -1)  # fmt: skip
