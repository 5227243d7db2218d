"""Whether residuals of linear equations are independent of the parents, edge by edge.

Least squares makes residuals uncorrelated with the parents. If the equation is linear
and its noise independent, every function of the residual is uncorrelated with every
function of a parent, too. Curvature, noise whose size or shape depends on a parent,
hidden common causes and wrong directions of non-Gaussian noise break that.
"""

import math

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.scores import sweep_operator
from causaljax.scores.linear_nongaussian import Rows

_NUM_FUNCTIONS = 4
_LEAST_SHARE = 1e-6  # of a function's variance that parents must leave unexplained


def _functions(values, share):
    """Bounded functions of values of mean 0, and their derivatives in the values.

    Bounded, and in units of the mean absolute value, so that sums over rows are nearly
    normal however heavy the tails are. Values of a normal are standardised.
    """
    size = math.sqrt(math.pi / 2) * (jnp.abs(values) * share).sum(-1, keepdims=True)
    size = jnp.maximum(size, 1e-30)
    values = values / size
    tanh, bump = jnp.tanh(values), jnp.exp(-values * values / 2)
    of = [tanh, bump, values * bump, jnp.cos(2 * values)]
    slopes = [
        1 - tanh * tanh,
        -values * bump,
        (1 - values * values) * bump,
        -2 * jnp.sin(2 * values),
    ]
    return jnp.stack(of), jnp.stack([slope / size for slope in slopes])


def p_values(parents: Array, tableaux: Array, counts: Array, table: Rows) -> Array:
    """Tests of each variable's residual against each of its parents.

    With the residual r of a variable, the parents x and bounded functions f, g of them
    in units of their mean absolute values:

        z = sqrt(n - 3 - |pa|) artanh corr(f(r) - E[f'(r)] r, g(x))
        z = sqrt(n - 3 - |pa|) artanh corr(tanh(r), g(x) - its fit on parents)

    The first kind sees noise that depends on a parent, the second curvature. The terms
    that are taken off keep the error of the estimated coefficients out, so that z is
    nearly standard normal if r and x are independent. The fitted value is tested as a
    parent is, which sees products of parents (RESET). The largest ``|z|`` of an edge
    counts, with Bonferroni's correction for the number of functions; what the fitted
    value tells is told of every parent.

    Args:
      parents: ``[d, d]`` bool, [w, u] if u -> w.
      tableaux: ``[d, d, d]`` float, correlations swept on the parents of w at [w].
      counts: ``[d]`` float, the number of rows of each variable.
      table: the rows.

    Returns:
      ``[d, d]`` float at [w, u], 1 where there is no edge u -> w. For several edges at
      once they have to be corrected for the number of edges.

    Sources: Ramsey 1969 (RESET) for the fitted value; Neyman 1959, "Optimal asymptotic
    tests of composite hypotheses", for moments that estimated coefficients do not move.
    The functions are this package's own choice.
    """
    d, n = parents.shape[0], table.centred.shape[1]
    shared = table.share.shape[0] == 1

    def moments(functions, columns, share):
        """Variances of functions, and their covariances with the columns."""
        centred = functions - matmul(functions, share)[:, None]
        return (centred * centred * share[None, :]).sum(axis=1), matmul(
            columns * share[None, :], centred.T
        )

    def standardised(mean, scale):
        return (table.centred - mean[:, None]) * scale[:, None]

    pooled = standardised(table.mean.mean(axis=0), table.scale.mean(axis=0))
    of_columns, _ = _functions(pooled, table.share.mean(axis=0)[None, :])
    of_columns = of_columns.transpose(1, 0, 2).reshape(d * _NUM_FUNCTIONS, n)
    of_tables = jax.lax.map(
        lambda rows: moments(of_columns, standardised(rows[1], rows[2]), rows[0]),
        (table.share, table.mean, table.scale),
    )

    def test(w):
        k = 0 if shared else w
        share = table.share[k]
        columns = standardised(table.mean[k], table.scale[k])
        mine, tableau = parents[w], tableaux[w]
        variance = tableau[w, w]
        noisy = variance > sweep_operator.resolution(variance.dtype)
        fitted = matmul(jnp.where(mine, tableau[w], 0), columns)
        residual = columns[w] - fitted
        of_residual, slopes = _functions(residual, share)
        steady = of_residual - matmul(slopes, share)[:, None] * residual[None, :]
        tested = jnp.concatenate([steady, of_residual[:1]])
        tested = tested - matmul(tested, share)[:, None]
        spread = (tested * tested * share[None, :]).sum(axis=1)[:, None]

        of_fitted, _ = _functions(fitted, share)
        more = moments(of_fitted, columns, share)
        variances, with_columns = (
            jnp.concatenate([leaf[k], other], axis=-1)
            for leaf, other in zip(of_tables, more, strict=True)
        )
        functions = (of_columns, of_fitted)
        covariance = jnp.concatenate(
            [matmul(tested * share[None, :], part.T) for part in functions], axis=1
        )
        both = mine[:, None] & mine[None, :]
        regression = matmul(jnp.where(both, -tableau, 0), with_columns)
        left = variances - (with_columns * regression).sum(axis=0)
        of_tanh = covariance[-1] - matmul(
            matmul(columns * share[None, :], tested[-1]), regression
        )
        covariance = covariance.at[-1].set(of_tanh)
        variances = jnp.broadcast_to(variances, covariance.shape).at[-1].set(left)
        testable = variances > _LEAST_SHARE
        variances = jnp.where(testable, variances * jnp.maximum(spread, 1e-30), 1)
        correlation = jnp.where(testable, covariance / jnp.sqrt(variances), 0)
        informative = jnp.maximum(counts[w] - 3 - mine.sum(dtype=counts.dtype), 0)
        z = jnp.arctanh(jnp.clip(jnp.abs(correlation), 0, 1 - 1e-6))
        z = (z * jnp.sqrt(informative)).reshape(-1, d + 1, _NUM_FUNCTIONS)
        largest = z.max(axis=(0, 2))
        largest = jnp.maximum(largest[:-1], largest[-1])
        number = z.shape[0] * z.shape[2]
        p = number * jax.scipy.special.erfc(largest / math.sqrt(2))
        return jnp.where(mine & noisy, jnp.minimum(p, 1), 1)

    return jax.lax.map(test, jnp.arange(d))
