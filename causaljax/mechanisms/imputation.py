"""Missing cells drawn from what the rest of their row says, several times over.

Chained equations: one column after another is regressed on all others, by a ridge
regression on piecewise linear functions of each, and every gap takes the value of a row
whose prediction is near its own (predictive mean matching). A filled cell is therefore
a value that the column has, be it a number or a class.

Sources: van Buuren and Groothuis-Oudshoorn 2011 (chained equations); Little 1988
(predictive mean matching). The basis and its prior are our own.
"""

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem

_KNOTS = (0.1, 0.35, 0.65, 0.9)  # quantiles of a column at which its slope may change
_FIRST_ROUNDS = 5  # rounds over the columns before the first table
_MORE_ROUNDS = 2  # rounds from one table to the next
_DONORS = 5  # rows, one of which gives its value


def impute(key: Array, problem: Problem, num_tables: int) -> Array:
    """Tables whose gaps are filled.

    For column j and the basis f of the others (each column and its hinges), the
    weights minimise

        sum over rows with j observed of w (x_j - b'f)^2 + p/2 |b|^2,

    p the number of functions: a prior under which all of them explain half of a column.

    Args:
      key: of the draws.
      problem: columns of mean 0 and standard deviation 1 or so. Rows of weight 0
        neither give values nor change an answer.
      num_tables: m, static.

    Returns:
      ``[m, n, d]``; observed cells are as they were.

    Not differentiable: donors are chosen by rank.
    """
    observed = problem.observed & (problem.weight > 0)[:, None]
    weight = jnp.where(observed, problem.weight[:, None], 0).T
    d = problem.x.shape[1]
    columns = jnp.arange(d, dtype=jnp.int32)
    first_key, key = jax.random.split(key)

    def first_fill(key, x, known):
        """Values of the column itself: all rows are as near as any other."""
        rank = jax.random.uniform(key, x.shape, x.dtype) * known.sum(dtype=x.dtype)
        donors = jnp.argsort(~known, stable=True)
        return x[donors[rank.astype(jnp.int32)]]

    keys = jax.random.split(first_key, d)
    start = jax.vmap(first_fill, (0, 1, 1), 1)(keys, problem.x, observed)
    start = jnp.where(problem.observed, problem.x, start)
    places = jnp.array(_KNOTS, problem.x.dtype)
    seen = jnp.where(observed, problem.x, jnp.nan)
    knots = jnp.nanquantile(seen, places, axis=0)

    def fill_column(x, item):
        key, j = item
        own = columns == j
        basis = _basis(jnp.where(own[None, :], 0, x), knots, ~own)
        guess = _predictions(basis, x[:, j], weight[j])
        drawn = _matched(key, guess, x[:, j], weight[j] > 0)
        filled = jnp.where(problem.observed[:, j], x[:, j], drawn)
        return jnp.where(own[None, :], filled[:, None], x), None

    def fill_all(x, key):
        x, _ = jax.lax.scan(fill_column, x, (jax.random.split(key, d), columns))
        return x, x

    rounds = _FIRST_ROUNDS + _MORE_ROUNDS * (num_tables - 1)
    _, tables = jax.lax.scan(fill_all, start, jax.random.split(key, rounds))
    return tables[_FIRST_ROUNDS - 1 :: _MORE_ROUNDS]


def _basis(x, knots, used):
    """Columns and their hinges, ``[n, p]``; 0 for a column that is not used."""
    hinges = jnp.maximum(x[:, None, :] - knots[None], 0)
    each = jnp.concatenate([x[:, None, :], hinges], axis=1)
    return jnp.where(used[None, None, :], each, 0).reshape(len(x), -1)


def _predictions(basis, y, weight):
    """A ridge regression's predictions at all rows, ``[n]``."""
    total = jnp.maximum(weight.sum(), 1e-30)
    share = weight / total
    basis = basis - matmul(share, basis)[None, :]
    scale = jnp.sqrt(jnp.maximum(matmul(share, basis**2), 1e-12))
    basis = basis / scale[None, :]
    mean = (share * y).sum()
    num = basis.shape[1]
    gram = matmul((basis * weight[:, None]).T, basis)
    gram = gram + num / 2 * jnp.eye(num, dtype=basis.dtype)
    moments = matmul(basis.T, weight * (y - mean))
    factor = jax.scipy.linalg.cho_factor(gram)
    return matmul(basis, jax.scipy.linalg.cho_solve(factor, moments)) + mean


def _matched(key, guess, y, known):
    """For each row the value of a row that is known and predicted much the same."""
    order = jnp.argsort(jnp.where(known, guess, jnp.inf))
    at = jnp.searchsorted(jnp.where(known, guess, jnp.inf)[order], guess)
    step = jax.random.randint(key, guess.shape, 0, _DONORS, at.dtype) - _DONORS // 2
    most = jnp.maximum(known.sum(dtype=at.dtype) - 1, 0)
    return y[order[jnp.clip(at + step, 0, most)]]
