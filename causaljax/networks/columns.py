"""Columns in forms that no unit, outlier or gap can upset: ranks, scores, levels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from causaljax.core.types import Array

_CLIP = 10.0  # in robust standard deviations from the median
_DEGREES = 4
_MOST_CLASSES = 32  # those of a column with more are not told apart by frequency

LEVELS = 8
"""Into how many levels a column is cut at most."""


class Columns(NamedTuple):
    """Each column of a table by itself; 0 where a cell is missing or padding."""

    score: Array  # [n, d] values in standard deviations, far ones pulled in
    gauss: Array  # [n, d] normal scores of the ranks
    legendre: Array  # [n, d, 4] orthonormal polynomials of the ranks, degrees 1 to 4
    distinct: Array  # [d] distinct values over rows
    level: Array  # [n, d] int32 from 0 to LEVELS - 1
    num_values: Array  # [d] int32, distinct values


def read_columns(x: Array, mass: Array, unordered: Array) -> Columns:
    """Ranks, normal scores, Legendre polynomials, clipped scores and levels of columns.

    The mid-rank u of a cell is the part of the column's cells below it plus half
    the part at its value, each cell of mass above 0 counted once; ``gauss`` is the
    normal quantile of u and ``legendre`` is sqrt(2 a + 1) P_a(2 u - 1), orthonormal
    for a column without ties. For ``score``, values further than 10 robust standard
    deviations (interquartile range / 1.349) from the median are moved to that
    distance, then mean and standard deviation are taken out. The values of a column are
    its levels if there are at most ``LEVELS``; of more unordered classes the most
    frequent are levels and the others share one; other columns are cut at quantiles.

    Args:
      x: ``[n, d]`` float, finite.
      mass: ``[n, d]`` float, at least 0; cells of mass 0 are ignored.
      unordered: ``[d]`` bool, True where the values of x are classes without order.

    Returns:
      The columns. A constant column has score, gauss and legendre 0, or nearly.

    Differentiable: in ``x``, through ``score`` alone.
    """
    read = jax.vmap(_read_column, in_axes=(1, 1, 0), out_axes=_OUT)
    return Columns(*read(x, mass, unordered))


_OUT = (1, 1, 1, 0, 1, 0)


def _read_column(x, mass, unordered):
    n = x.shape[0]
    real = mass > 0
    total = jnp.maximum(mass.sum(), 1e-9)
    # Cells without mass go last, whatever they hold.
    order = _ordered_int(jnp.where(real, x, jnp.inf))
    ordered = jnp.sort(order)
    count = jnp.maximum(real.sum(), 1)
    first = jnp.searchsorted(ordered, order, side="left")
    last = jnp.searchsorted(ordered, order, side="right")
    rank = (first + last).astype(x.dtype) / (2 * count).astype(x.dtype)
    value = _ordered_int_inverse(ordered)
    new = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    num_values = jnp.sum(new & (jnp.arange(n) < count)).astype(jnp.int32)
    value_number = jnp.cumsum(new).astype(jnp.int32) - 1
    level = _level(rank, value_number, first, num_values, count, unordered)

    def quantile(share):
        at = (share * (count - 1).astype(x.dtype)).astype(jnp.int32)
        return jax.lax.stop_gradient(jnp.where(jnp.isfinite(value[at]), value[at], 0.0))

    middle = quantile(0.5)
    spread = (quantile(0.75) - quantile(0.25)) / 1.349
    # Half the cells may be tied; then only the extremes bound the column.
    reach = jnp.where(spread > 0, _CLIP * spread, jnp.inf)
    near = jnp.clip(x - middle, -reach, reach)
    mean = jnp.sum(mass * near) / total
    near = jnp.where(real, near - mean, 0)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(near)))
    near = near / jnp.where(largest > 0, largest, 1)
    variance = jnp.sum(mass * near**2) / total
    # What is left of a constant column is rounding, and no signal.
    size = jnp.abs(jnp.clip(x, middle - reach, middle + reach))
    varies = largest > 1e-6 * jnp.max(jnp.where(real, size, 0))
    score = jnp.where(
        varies, near * jax.lax.rsqrt(jnp.where(variance > 0, variance, 1)), 0
    )

    rank = jnp.where(real & varies, rank, 0.5)
    edge = 0.5 / count.astype(x.dtype)
    gauss = jnp.where(real, ndtri(jnp.clip(rank, edge, 1 - edge)), 0)
    kept = (real & varies).astype(x.dtype)
    legendre = _legendre(2 * rank - 1) * kept[:, None]
    distinct = num_values.astype(x.dtype) / count.astype(x.dtype)
    return score, gauss, legendre, distinct, level, num_values


def _level(rank, value_number, first, num_values, count, unordered):
    """The level of each cell: its value, its class or its quantile."""
    value = value_number[first]
    begins = jnp.searchsorted(value_number, jnp.arange(_MOST_CLASSES + 1))
    sizes = jnp.diff(jnp.minimum(begins, count))
    place = jnp.argsort(jnp.argsort(-sizes))
    frequency = place[jnp.minimum(value, _MOST_CLASSES - 1)]
    quantile = jnp.floor(LEVELS * rank).astype(jnp.int32)
    level = jnp.where(unordered, frequency.astype(jnp.int32), quantile)
    level = jnp.where(num_values <= LEVELS, value, level)
    return jnp.clip(level, 0, LEVELS - 1)


def _legendre(t):
    """Orthonormal on [-1, 1] under the uniform law; ``[..., 4]``."""
    polynomials = [jnp.ones_like(t), t]
    for a in range(1, _DEGREES):
        polynomials.append(
            ((2 * a + 1) * t * polynomials[a] - a * polynomials[a - 1]) / (a + 1)
        )
    return jnp.stack(
        [(2 * a + 1) ** 0.5 * polynomials[a] for a in range(1, _DEGREES + 1)], -1
    )


def _ordered_int(x):
    """Integers in the order of float32 numbers: they sort several times faster."""
    bits = jax.lax.bitcast_convert_type(x + 0.0, jnp.int32)  # -0 becomes 0
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _ordered_int_inverse(order):
    bits = order ^ ((order >> 31) & 0x7FFFFFFF)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
