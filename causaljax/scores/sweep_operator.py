"""Sweep tableaux: the regressions of variables on any parents, one pivot each.

The tableau of a correlation matrix C swept on a set P, with Q the rest, is

    T_PP = -C_PP^-1,    T_PQ = C_PP^-1 C_PQ,    T_QQ = C_QQ - C_QP C_PP^-1 C_QP'.

So T_ww is the residual variance of w on P, row w holds its coefficients at P and
its covariances given P elsewhere, and toggling u, into P or out of it, changes
that variance by -T_wu^2 / T_uu and the tableau by one rank-one update.

Sources: Beaton 1964, "The use of special matrix operators in statistical
calculus"; Goodnight 1979, "A tutorial on the SWEEP operator".
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from causaljax.core.types import Array


def resolution(dtype: DTypeLike) -> float:
    """The part of a variance below which what is left of it is rounding.

    Long paths of standardised data leave conditional variances of 1e-4 and less:
    in float32 few digits remain, and large searches belong in float64.
    """
    return max(1e-9, 64 * float(jnp.finfo(dtype).eps))


def correlations(covariance: Array) -> Array:
    """Correlations of covariances; a constant column is correlated with none.

    Args:
      covariance: ``[..., d, d]`` float.

    Returns:
      ``[..., d, d]`` float, 1 on the diagonal.

    Differentiable: in covariance.
    """
    variance = jnp.diagonal(covariance, axis1=-2, axis2=-1)
    scale = jnp.where(variance > 0, jax.lax.rsqrt(_or_one(variance)), 0)
    scaled = covariance * scale[..., :, None] * scale[..., None, :]
    diagonal = jnp.broadcast_to(jnp.eye(scaled.shape[-1], dtype=bool), scaled.shape)
    return jnp.where(diagonal, 1, scaled)


def _or_one(variance):
    return jnp.where(variance > 0, variance, 1)


def pivot_row(row: Array, k: Array, pivot: Array, swept: Array) -> Array:
    """The q of the update T' = T - q q' / pivot that toggles k.

    The update is right everywhere but at [k, k], which becomes -1 / pivot.

    Args:
      row: ``[..., d]`` float, the tableau's row k.
      k: ``[...]`` int.
      pivot: ``[...]`` float, the tableau at [k, k].
      swept: ``[...]`` bool, whether k is swept, and the update takes it out.

    Returns:
      ``[..., d]`` float.
    """
    column = jnp.arange(row.shape[-1]).reshape((1,) * k.ndim + (-1,))
    shifted = pivot - jnp.where(swept, -1, 1).astype(row.dtype)
    return jnp.where(column == k[..., None], shifted[..., None], row)


def toggle(tableau: Array, k: Array, swept: Array) -> Array:
    """The tableau with k swept if it was not, and not if it was.

    A variable that the swept ones determine gets the residual variance
    ``resolution``, as if by a ridge, so that copies of a column stay solvable.

    Args:
      tableau: ``[d, d]`` float.
      k: ``[]`` int.
      swept: ``[]`` bool, whether k is swept now.

    Returns:
      ``[d, d]`` float.

    Differentiable: in tableau.
    """
    pivot = tableau[k, k]
    least = resolution(tableau.dtype)
    pivot = jnp.where(swept, pivot, jnp.maximum(pivot, least))
    q = pivot_row(tableau[k], k, pivot, swept)
    return (tableau - q[:, None] * (q / pivot)[None, :]).at[k, k].set(-1 / pivot)


def sweep(correlation: Array, graph: Array) -> Array:
    """The tableau of every variable, swept on its parents.

    Args:
      correlation: ``[k, d, d]`` float, k = d (one a variable) or 1 (for all).
      graph: ``[d, d]`` bool.

    Returns:
      ``[d, d, d]`` float, variable w's at [w].

    Differentiable: in correlation.
    """
    d = graph.shape[0]

    def sweep_one(tableaux, candidate):
        k, has_parent = candidate
        toggled = jax.vmap(toggle, in_axes=(0, None, None))(tableaux, k, k < 0)
        return jnp.where(has_parent[:, None, None], toggled, tableaux), None

    start = jnp.broadcast_to(correlation, (d, d, d))
    candidates = (jnp.arange(d), graph.astype(bool))
    return jax.lax.scan(sweep_one, start, candidates)[0]


def own_rows(tableaux: Array) -> Array:
    """Row w of each variable w's tableau: variance, coefficients, covariances.

    Args:
      tableaux: ``[d, d, d]`` float.

    Returns:
      ``[d, d]`` float.
    """
    return jnp.diagonal(tableaux, axis1=0, axis2=1).T
