"""Laws of test statistics under independence, as logarithms of p-values.

p-values of long tables underflow, float32 ones from 1e-38, but remain comparable as
logarithms.
"""

import math

import jax
import jax.numpy as jnp

from causaljax.core.types import Array

_LEAST_LOG = -60.0  # below it, logarithms come from the continued fraction
_FRACTIONS = 60  # levels of it


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

    With a = dof / 2 and x = statistic / 2, it is Q(a, x) = Gamma(a, x) / Gamma(a). Where that is small, x is well above a, and by Legendre's continued fraction

        Q(a, x) = x^a e^-x / Gamma(a) / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ...)).

    Args:
      statistic: ``[...]`` float, at least 0.
      dof: ``[...]`` float, not only whole numbers; where it is 0 or less, X is 0 and
        the answer 0.

    Returns:
      ``[...]`` float, at most 0, finite.

    Source: Abramowitz and Stegun 1964, 6.5.31.

    Example:
      >>> import numpy as np
      >>> tails = log_chi2_tail(np.array([3.841459, 1e4]), np.array([1.0, 1.0]))
      >>> [round(float(tail), 3) for tail in tails]
      [-2.996, -5004.831]
    """
    testable = dof > 0
    a = jnp.where(testable, dof, 1) / 2
    x = jnp.where(testable, jnp.maximum(statistic, 0), 0) / 2
    tail = jax.scipy.special.gammaincc(a, x)
    far = tail < math.exp(_LEAST_LOG)
    near = jnp.log(jnp.where(far, 1, tail))
    # Only far values converge: elsewhere some harmless value is put in.
    x = jnp.where(far, x, a + 100)

    def level(k, fraction):
        k = _FRACTIONS - k
        return x + 2 * k + 1 - a - (k + 1) * (k + 1 - a) / fraction

    innermost = x + 2 * _FRACTIONS + 3 - a
    fraction = jax.lax.fori_loop(0, _FRACTIONS + 1, level, innermost)
    log_gamma = jax.lax.lgamma(a)
    distant = a * jnp.log(x) - x - log_gamma - jnp.log(fraction)
    return jnp.where(testable, jnp.minimum(jnp.where(far, distant, near), 0), 0)


def weighted_chi2(statistic: Array, traces: tuple[Array, Array, Array]) -> Array:
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

    Returns:
      ``(statistic, dof)`` for ``log_chi2_tail``, each ``[...]`` float; both 0 where all
      weights are 0.

    Sources: Hall 1983, "Chi squared approximations to the distribution of a sum of
    independent random variables"; Buckley and Eagleson 1988, "An approximation to the
    distribution of quadratic forms in normal random variables".
    """
    first, second, third = traces
    testable = (first > 0) & (second > 0) & (third > 0)
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
