"""The effect of a cause by linear regression on an adjustment set."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_NEAR = 1e-9  # share of a column's squares that others must leave it
_FULL = 1 - 1e-9  # leverage from which a row has a parameter of its own


class Fit(NamedTuple):
    """An estimate of a contrast, and what its doubt is measured by."""

    estimate: float
    error: float  # standard error
    freedom: int  # degrees of freedom of Student's t


def regress(
    outcome: np.ndarray,
    treated: np.ndarray,
    contrast: np.ndarray,
    given: np.ndarray,
    collinear: str = "the cause is determined by the adjustment set",
) -> Fit:
    """Least squares, with standard errors that hold for noise of unequal size.

        y = a + X b + Z c + e,    the estimate is  contrast' b

    The covariance of b is HC3, (X'X)^-1 X' diag(e_i^2 / (1 - h_i)^2) X (X'X)^-1, of
    what is left of X when Z is taken out, h_i the leverage of row i.

    Args:
      outcome: ``[n]`` float, y.
      treated: ``[n, k]`` float, X: the cause, or indicators of its classes.
      contrast: ``[k]`` float, the change of the cause.
      given: ``[n, m]`` float, Z; columns that others determine are no matter.
      collinear: what to say if Z determines X.

    Returns:
      The estimate in units of the outcome.

    Raises:
      ValueError: if there are too few rows, or Z determines X.

    Source: MacKinnon and White 1985, "Some heteroskedasticity-consistent covariance
    matrix estimators with improved finite sample properties".

    Example:
      >>> x = np.arange(6.0)
      >>> fit = regress(2 * x, x[:, None], np.ones(1), np.zeros((6, 0)))
      >>> round(fit.estimate, 6), fit.freedom
      (2.0, 4)
    """
    n, k = treated.shape
    if n == 0:
        raise ValueError("no row is left to estimate the effect from")
    others = np.column_stack([np.ones(n), given - given.mean(axis=0)])
    others = others / np.maximum(np.linalg.norm(others, axis=0), np.finfo(float).tiny)
    left, sizes, _ = np.linalg.svd(others, full_matrices=False)
    basis = left[:, sizes > _NEAR * max(sizes.max(), 1)]
    centred = treated - treated.mean(axis=0)
    rest = centred - basis @ (basis.T @ centred)
    inner, outer, directions = np.linalg.svd(rest, full_matrices=False)
    whole = np.linalg.norm(centred, axis=0).max()
    kept = outer > np.sqrt(_NEAR) * whole
    # Classes that do not occur in these rows leave directions that need no estimate.
    asked = directions @ contrast
    if not whole or (np.abs(asked[~kept]) > _NEAR).any():
        raise ValueError(collinear)
    freedom = n - basis.shape[1] - int(kept.sum())
    if freedom < 1:
        raise ValueError(
            f"{n} rows are too few for {n - freedom} parameters: take more rows or "
            "fewer columns"
        )
    inner, row = inner[:, kept], asked[kept] / outer[kept]
    centre = outcome - outcome.mean()
    free = centre - basis @ (basis.T @ centre)
    solved = inner.T @ free
    residual = free - inner @ solved
    leverage = (basis**2).sum(axis=1) + (inner**2).sum(axis=1)
    # A row with a parameter of its own has no residual and says nothing of the noise.
    own = leverage > _FULL
    scaled = np.where(own, 0, residual / np.where(own, 1, 1 - leverage))
    error = float(np.sqrt((((inner @ row) * scaled) ** 2).sum()))
    return Fit(float(row @ solved), error, freedom)


def indicators(codes: np.ndarray, count: int, base: int = 0) -> np.ndarray:
    """``[n, count - 1]`` float: of all classes but one, whether a row has it."""
    classes = [k for k in range(count) if k != base]
    return (codes[:, None] == np.array(classes)).astype(np.float64)


def columns_of(
    values: np.ndarray, places: Sequence[int], counts: Sequence[int]
) -> np.ndarray:
    """Columns of a regression: numbers as they are, classes by their indicators.

    Args:
      values: ``[n, d]`` float.
      places: of the columns that are taken.
      counts: ``[d]``, how many classes each column has; 0 for numbers.
    """
    parts = [
        indicators(values[:, k], counts[k]) if counts[k] else values[:, k : k + 1]
        for k in places
    ]
    return np.concatenate(parts or [np.zeros((len(values), 0))], axis=1)
