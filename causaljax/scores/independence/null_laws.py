"""Laws of test statistics under independence, as logarithms of p-values.

p-values of long tables underflow, float32 ones from 1e-38, but remain comparable as
logarithms.
"""

import math

import jax
import jax.numpy as jnp

from causaljax.core.types import Array

_MOST_TERMS = 20_000  # of a series; some multiple of sqrt(dof) are enough


def log_normal_tails(statistic: Array) -> Array:
    """Logarithm of P(abs(Z) > statistic) of a standard normal Z.

    Args:
      statistic: ``[...]`` float, at least 0.

    Returns:
      ``[...]`` float, at most 0.

    Differentiable: in statistic.
    """
    tails = math.log(2) + jax.scipy.special.log_ndtr(-statistic)
    return jnp.minimum(tails.astype(statistic.dtype), 0)


def log_chi2_tail(statistic: Array, dof: Array) -> Array:
    """Logarithm of P(X > statistic) of a chi-square X.

    With a = dof / 2 and x = statistic / 2, it is Q(a, x) = Gamma(a, x) / Gamma(a).
    Below x = a + 1 it comes from the series

        1 - Q = x^a e^-x / Gamma(a) (1 / a + x / (a (a + 1)) + ...),

    and above, where it may be as small as it likes, from Legendre's continued fraction

        Q = x^a e^-x / Gamma(a) / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ...)).

    Args:
      statistic: ``[...]`` float, at least 0.
      dof: ``[...]`` float, not only whole numbers; where it is 0 or less, X is 0 and
        the answer 0.

    Returns:
      ``[...]`` float, at most 0, finite.

    Not differentiable in reverse: the series end when they have converged.
    Sources: Abramowitz and Stegun 1964, 6.5.29 and 6.5.31; Lentz 1976 (evaluation of
    continued fractions).

    Example:
      >>> import numpy as np
      >>> tails = log_chi2_tail(np.array([3.841459, 1e4]), np.array([1.0, 1.0]))
      >>> [round(float(tail), 3) for tail in tails]
      [-2.996, -5004.831]
    """
    statistic, dof = jnp.asarray(statistic), jnp.asarray(dof)
    testable = (dof > 0) & (statistic > 0)
    a = jnp.where(testable, dof, 1) / 2
    x = jnp.where(testable, statistic, 1) / 2
    near = x < a + 1
    least = 4 * float(jnp.finfo(x.dtype).eps)

    # What the other formula is for gets arguments of which each series ends at once.
    small, large = jnp.where(near, x, 0), jnp.where(near, 10 * a + 10, x)

    def add_term(carry):
        k, term, total = carry
        term = term * small / (a + k)
        return k + 1, term, total + term

    def add_level(carry):
        k, inverse, ratio, product, _ = carry
        factor, level = k * (a - k), large + 2 * k + 1 - a
        inverse = 1 / (level + factor * inverse)
        ratio = level + factor / ratio
        return k + 1, inverse, ratio, product * ratio * inverse, ratio * inverse - 1

    one = jnp.ones_like(x)
    _, _, total = jax.lax.while_loop(
        lambda carry: (carry[1] > least * carry[2]).any() & (carry[0] < _MOST_TERMS),
        add_term,
        (jnp.asarray(1, x.dtype), 1 / a, 1 / a),
    )
    lowest = 1 / (large + 1 - a)
    _, _, _, fraction, _ = jax.lax.while_loop(
        lambda carry: (jnp.abs(carry[-1]) > least).any() & (carry[0] < _MOST_TERMS),
        add_level,
        (jnp.asarray(1, x.dtype), lowest, jnp.full_like(x, jnp.inf), lowest, one),
    )
    log_factor = a * jnp.log(x) - x - jax.lax.lgamma(a)
    below = jnp.minimum(jnp.exp(log_factor) * total, 1 - least)
    tail = jnp.where(near, jnp.log1p(-below), log_factor + jnp.log(fraction))
    return jnp.where(testable, jnp.minimum(tail, 0), 0)


def weighted_chi2(
    statistic: Array, traces: tuple[Array, Array, Array], testable: Array
) -> tuple[Array, Array]:
    """A sum of weighted chi-squares as a chi-square statistic, by three moments.

    Under independence, a statistic t is a sum of chi-squares of one degree of freedom
    with weights l. Its cumulants are k1 = sum l, k2 = 2 sum l^2 and k3 = 8 sum l^3.
    With nu = 8 k2^3 / k3^2, the chi-square of nu degrees of freedom has its skewness,
    and

        nu + sqrt(2 nu / k2) (t - k1)

    is compared with that chi-square.

    Args:
      statistic: ``[...]`` float, t.
      traces: sum l, sum l^2 and sum l^3, each ``[...]`` float: traces of powers of a
        matrix that has the weights as eigenvalues.
      testable: ``[...]`` bool, False for a test that finds no dependence whatever t is.

    Returns:
      ``(statistic, dof)`` for ``log_chi2_tail``, each ``[...]`` float; both 0 where all
      weights are 0 or there is no test.

    Sources: Hall 1983, "Chi squared approximations to the distribution of a sum of
    independent random variables"; Buckley and Eagleson 1988, "An approximation to the
    distribution of quadratic forms in normal random variables".
    """
    first, second, third = traces
    testable = testable & (first > 0) & (second > 0) & (third > 0)
    one = jnp.ones_like(first)
    mean = jnp.where(testable, first, one)
    # In units of the mean, cubes of small weights do not underflow.
    second = jnp.where(testable, second / mean / mean, one)
    third = jnp.where(testable, third / mean / mean / mean, one)
    dof = second**3 / third**2
    excess = (statistic / mean - 1) * jnp.sqrt(dof / second)
    return (
        jnp.where(testable, jnp.maximum(dof + excess, 0), 0),
        jnp.where(testable, dof, 0),
    )
