"""Means and central moments of columns, merged from parts of a table.

Sources: Chan, Golub and LeVeque 1983; Pebay 2008, for moments above the second.
"""

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Means and central sums of m columns over some rows."""

    rows: float
    mean: np.ndarray  # [m] float64
    products: np.ndarray  # [m, m] float64, sum (x - mean)(x - mean)'
    cubes: np.ndarray  # [m] float64, sum (x - mean)^3
    fourths: np.ndarray  # [m] float64, sum (x - mean)^4


def moments_of(columns: np.ndarray) -> Moments:
    """Moments of ``columns``, ``[m, n]`` with n >= 1, about their own mean."""
    m, n = columns.shape
    mean = columns.mean(axis=1)
    centred = columns - mean[:, None]
    squares = centred * centred
    # So few rows at a time that the BLAS takes one thread: on a machine where others
    # work, its threads wait for each other a hundred times as long.
    step = max(2**18 // m**2, 32)
    products = np.zeros((m, m))
    for first in range(0, n, step):
        rows = centred[:, first : first + step]
        products += rows @ rows.T
    return Moments(
        rows=float(n),
        mean=mean,
        products=products,
        cubes=np.einsum("ij,ij->i", squares, centred),
        fourths=np.einsum("ij,ij->i", squares, squares),
    )


def merge(one: Moments, other: Moments) -> Moments:
    """Moments of the rows of both; columns that ``one`` lacks were 0 there.

    With n = n_a + n_b and the difference of means t = m_b - m_a,

        S = S_a + S_b + t t' n_a n_b / n

    and likewise for cubes and fourth powers. Nothing large is subtracted, so that no
    digits are lost however many parts there are.

    Example:
      >>> columns = np.random.default_rng(0).normal(size=(3, 100))
      >>> both = merge(moments_of(columns[:, :30]), moments_of(columns[:, 30:]))
      >>> bool(np.allclose(both.fourths, moments_of(columns).fourths))
      True
    """
    more = len(other.mean) - len(one.mean)
    if more:
        one = Moments(one.rows, *(np.pad(leaf, (0, more)) for leaf in one[1:]))
    a, b = one.rows, other.rows
    n, t = a + b, other.mean - one.mean
    squares, others = one.products.diagonal(), other.products.diagonal()
    cubes = t**3 * (a * b * (a - b) / n**2) + 3 * t * (a * others - b * squares) / n
    fourths = (
        t**4 * (a * b * (a * a - a * b + b * b) / n**3)
        + 6 * t**2 * (a * a * others + b * b * squares) / n**2
        + 4 * t * (a * other.cubes - b * one.cubes) / n
    )
    return Moments(
        rows=n,
        mean=one.mean + t * (b / n),
        products=one.products + other.products + np.outer(t, t) * (a * b / n),
        cubes=one.cubes + other.cubes + cubes,
        fourths=one.fourths + other.fourths + fourths,
    )
