"""Weights of linear Gaussian DAGs: their posterior under the prior of the BGe score.

The normal-Wishart prior of ``scores.bge`` is, for a variable j with the p parents P, a
normal-inverse-gamma prior of its own equation x_j = b0 + b'x_P + e, e ~ Normal(0, v):

    v ~ InverseGamma((w - d + p + 1) / 2, t / 2),
    b | v ~ Normal(0, v / t),   b0 | b, v ~ Normal(0, v / a),

with T = t I, t = a (w - d - 1) / (a + 1), a = 1 and w = d + 2 as there; equations are
independent given the graph. The BGe local score is the marginal likelihood of this
regression. So weights drawn here for graphs drawn by that score are draws of the joint
posterior of both, with no Markov chain over weights.

Source: Geiger and Heckerman 2002, on the marginals of a normal-Wishart prior; Murphy
2007, "Conjugate Bayesian analysis of the Gaussian distribution".
"""

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.types import Array, Problem
from causaljax.scores import bge

_PRIOR_SHAPE = 3.0  # w - d + 1, twice the shape of v without parents


def draw_weights(
    key: Array, graphs: Array, problem: Problem, *, interventional: bool = True
) -> Array:
    """One draw of the weights of each graph from their exact posterior.

        v | x ~ InverseGamma((w - d + p + 1 + N) / 2, (R_jj - R_jP R_PP^-1 R_Pj) / 2),
        b | v, x ~ Normal(R_PP^-1 R_Pj, v R_PP^-1)

    R is ``bge.posterior_scatter``. Each variable has the rows in which it was not
    intervened on.

    Args:
      key: typed key.
      graphs: ``[s, d, d]`` bool, acyclic; the same graph may be there many times.
      problem: the table. The prior is in units of the columns: standardise them.
      interventional: as in ``linear_gaussian.statistics``.

    Returns:
      ``[s, d, d]`` float, of the problem's units; 0 where there is no edge.

    Differentiable: in x and weight, through the draws.
    """
    s, d = graphs.shape[:2]
    dtype = problem.x.dtype
    scatter, rows = bge.posterior_scatter(problem, interventional=interventional)
    scatter = jnp.broadcast_to(scatter, (d, d, d))
    normal_key, gamma_key = jax.random.split(key)
    parents = graphs.astype(bool).swapaxes(1, 2)
    shapes = (_PRIOR_SHAPE + parents.sum(axis=2, dtype=dtype)) / 2
    shapes = shapes + rows[None] / 2
    noise = jax.random.normal(normal_key, (s, d, d), dtype)
    precision = jax.random.gamma(gamma_key, shapes, dtype=dtype)

    def draw(one):
        parents, j, noise, precision = one
        matrix = scatter[j]
        inside = parents[:, None] & parents[None, :]
        root = jnp.linalg.cholesky(jnp.where(inside, matrix, jnp.eye(d, dtype=dtype)))
        cross = jnp.where(parents, matrix[:, j], 0)
        white = jax.scipy.linalg.solve_triangular(root, cross, lower=True)
        rate = jnp.maximum(matrix[j, j] - (white**2).sum(), 0) / 2
        white = white + jnp.sqrt(rate / precision) * jnp.where(parents, noise, 0)
        return jax.scipy.linalg.solve_triangular(root, white, trans=1, lower=True)

    variables = jnp.broadcast_to(jnp.arange(d)[None], (s, d))
    each = parents, variables, noise, precision
    each = jax.tree.map(lambda leaf: leaf.reshape(s * d, *leaf.shape[2:]), each)
    return map_factorisations(draw, each).reshape(s, d, d).swapaxes(1, 2)


def total_effects(weights: Array) -> Array:
    """How much one more unit of each variable, set from outside, changes each other.

        (I - W)^-1 = (I + W) (I + W^2) (I + W^4) ...,

    which ends, as W is nilpotent: exact, without an inverse.

    Args:
      weights: ``[..., d, d]`` float, of acyclic graphs, i -> j at [i, j].

    Returns:
      ``[..., d, d]`` float, the effect of i on j at [i, j]; 1 on the diagonal.

    Differentiable: in the weights.

    Example: Along a -> b -> c weights multiply.
      >>> weights = jnp.array([[0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
      >>> total_effects(weights).tolist()
      [[1.0, 2.0, 6.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]]
    """
    d = weights.shape[-1]
    eye = jnp.broadcast_to(jnp.eye(d, dtype=weights.dtype), weights.shape)
    total, power, length = eye + weights, weights, 2  # paths shorter than length
    while length < d:
        power = matmul(power, power)
        total, length = matmul(total, eye + power), 2 * length
    return total
