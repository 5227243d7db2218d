"""Linear dependence of pairs: correlations, given everything, given little.

Matrices of all pairs, from sums over rows alone. A variable's own matrices are those
over its natural rows, where nobody set it.
"""

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.scores import sweep_operator


def pooled_correlation(values, weight, observed):
    """Correlations of columns over the rows that have both, ``[m, m]``."""
    left = observed * weight[:, None]
    count = jnp.maximum(matmul(left.T, observed), 1e-6)
    mean = matmul((left * values).T, observed) / count
    square = matmul((left * values**2).T, observed) / count
    covariance = matmul((left * values).T, observed * values) / count - mean * mean.T
    variance = jnp.maximum(square - mean**2, 0)
    scale = variance * variance.T
    return jnp.where(
        scale > 1e-12, covariance * jax.lax.rsqrt(jnp.maximum(scale, 1e-12)), 0
    )


def precision_of(correlation, ridge):
    """Inverse of a correlation matrix pulled towards the identity.

    By sweeps and not by LAPACK, whose calls from several CPU devices at once can wait
    for each other for ever (jaxlib 0.10).
    """
    size = correlation.shape[-1]
    eye = jnp.eye(size, dtype=correlation.dtype)
    correlation = jnp.where(eye > 0, 1, (1 - ridge) * correlation)

    def sweep(k, table):
        return sweep_operator.toggle(table, k, jnp.array(False))

    return -jax.lax.fori_loop(0, size, sweep, correlation)


def regressions(precision):
    """Each variable regressed on all others, over its natural rows.

    Returns coefficients of i for j at [i, j], 0 on the diagonal; partial
    correlations; and the residual's share of the variance.
    """
    d = precision.shape[0]
    own = jnp.arange(d)
    rows = precision[own, own]  # [j, i], row j of variable j's own matrix
    diagonal = rows[own, own]
    coefficients = (-rows / diagonal[:, None]).T
    others = jnp.diagonal(precision, axis1=1, axis2=2)
    partial = (-rows * jax.lax.rsqrt(jnp.maximum(diagonal[:, None] * others, 1e-12))).T
    off = ~jnp.eye(d, dtype=bool)
    return jnp.where(off, coefficients, 0), jnp.where(off, partial, 0), 1 / diagonal


def first_order(correlation):
    """What one other variable does to a correlation, ``[d, d, 3]``.

    The least and the greatest of ``|rho_ij.k| - |rho_ij|`` over k, and the least
    ``|rho_ij.k|``.
    """
    d = correlation.shape[0]
    off = ~jnp.eye(d, dtype=bool)
    rest = jnp.sqrt(jnp.clip(1 - correlation**2, 1e-4, 1))

    def given(k):
        with_k, rest_k = correlation[:, k], rest[:, k]
        partial = correlation - with_k[:, None] * with_k[None]
        partial = jnp.abs(partial / (rest_k[:, None] * rest_k[None]))
        other = jnp.arange(d) != k
        valid = other[:, None] & other[None]
        return partial, valid

    plain = jnp.abs(correlation)

    def step(carry, k):
        least, most = carry
        partial, valid = given(k)
        return (
            jnp.where(valid, jnp.minimum(least, partial), least),
            jnp.where(valid, jnp.maximum(most, partial), most),
        ), None

    (least, most), _ = jax.lax.scan(step, (plain, plain), jnp.arange(d))
    values = jnp.stack([least, least - plain, most - plain], -1)
    return jnp.where(off[..., None], jnp.clip(values, -1, 1), 0)


def least_dependence(matrices):
    """How little i and j depend on each other given a few variables, or all but a few.

    Of a correlation matrix, the least absolute partial correlation when one, two and
    three other variables are conditioned on, chosen one after another; of a precision
    matrix, when they are taken out of the conditioning set, as a common effect must
    be. Both are the same elimination.

    Args:
      matrices: ``[d, d, d]``, the first axis the effect j whose rows they are from.

    Returns:
      ``[d, d, 3]`` at [i, j]: the least so far after one, two, three variables.
    """
    d = matrices.shape[0]
    index = jnp.arange(d)
    shape = (d, d, d)  # [j, i, k]
    row_i = matrices
    row_j = jnp.broadcast_to(matrices[index, index][:, None], shape)
    diagonal = jnp.broadcast_to(
        jnp.diagonal(matrices, axis1=1, axis2=2)[:, None], shape
    )
    is_i = jnp.broadcast_to(jnp.eye(d, dtype=bool)[None], shape)
    is_j = jnp.broadcast_to(jnp.eye(d, dtype=bool)[:, None], shape)
    closed = is_i | is_j

    def at(values, chosen):
        return jnp.where(chosen, values, 0).sum(-1)

    def take(carry, number):
        row_i, row_j, diagonal, closed, least, taken, pivots = carry
        pivot = jnp.maximum(diagonal, 1e-5)
        cross = at(row_i, is_j)[..., None] - row_i * row_j / pivot
        own = at(row_i, is_i)[..., None] - row_i**2 / pivot
        other = at(row_j, is_j)[..., None] - row_j**2 / pivot
        partial = jnp.abs(cross) * jax.lax.rsqrt(jnp.maximum(own * other, 1e-10))
        partial = jnp.where(closed, jnp.inf, jnp.minimum(partial, 1))
        best = jnp.argmin(partial, -1)
        chosen = index[None, None, :] == best[..., None]
        least = jnp.minimum(least, partial.min(-1))
        row = jnp.take_along_axis(matrices, best[..., None], 1)
        for k in range(2):  # rows of 0 until they are taken
            share = at(taken[k], chosen) / pivots[k]
            row = row - taken[k] * share[..., None]
        its_pivot = jnp.maximum(at(row, chosen), 1e-5)
        row_i, row_j = (
            side - row * (at(side, chosen) / its_pivot)[..., None]
            for side in (row_i, row_j)
        )
        diagonal = diagonal - row**2 / its_pivot[..., None]
        taken = taken.at[number].set(row, mode="drop")
        pivots = pivots.at[number].set(its_pivot, mode="drop")
        carry = row_i, row_j, diagonal, closed | chosen, least, taken, pivots
        return carry, least

    like = matrices * 0  # as local as the data, which shard_map asks of a carry
    start = (
        row_i,
        row_j,
        diagonal,
        closed | (like > 0),
        like[0] + jnp.inf,
        jnp.stack([like, like]),
        jnp.stack([like[0], like[0]]) + 1,
    )
    found = jax.lax.scan(take, start, jnp.arange(3))[1]
    result = found.transpose(2, 1, 0)
    return jnp.where(jnp.isfinite(result), result, 0)
