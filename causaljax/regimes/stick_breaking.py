"""Weights of regimes: the sticks of a truncated Dirichlet process.

Source: Blei and Jordan 2006, section 3.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jax.typing import ArrayLike

from causaljax.core.types import Array


class Sticks(NamedTuple):
    """Posterior of the weights: pi_k = v_k prod_{l before k} (1 - v_l), v ~ Beta(a, b).

    The last stick is all that is left and has no part.
    """

    a: Array  # [k] float
    b: Array  # [k] float
    place: Array  # [k] int, in the order in which sticks are broken


def sticks(counts: Array, concentration: ArrayLike) -> Sticks:
    """The best sticks for expected numbers of rows.

        a_k = 1 + N_k,  b_k = concentration + sum_{l after k} N_l

    Args:
      counts: ``[k]`` float, N, in any order: the largest regime breaks its stick first.
      concentration: ``[]`` float, positive; more of it expects more regimes.

    Differentiable: in both.
    Source: Blei and Jordan 2006, equations 18 and 19.
    """
    index = jnp.arange(len(counts), dtype=jnp.int32)
    # All pairs are compared: sorts and cumulative sums take longer to compile.
    alike = counts[None, :] == counts[:, None]
    after = counts[None, :] < counts[:, None]
    after = after | (alike & (index[None, :] > index[:, None]))
    b = jnp.where(after, counts[None, :], 0).sum(axis=1)
    b = b + jnp.asarray(concentration, b.dtype)
    return Sticks(1 + counts, b, after.sum(axis=0, dtype=jnp.int32))


def expected_log_weights(posterior: Sticks) -> Array:
    """E log pi_k, ``[k]``, nats; differentiable.

    Example:
      >>> import jax.numpy as jnp
      >>> even = sticks(jnp.array([1000.0, 1000.0]), 1.0)
      >>> [round(float(p), 2) for p in jnp.exp(expected_log_weights(even))]
      [0.5, 0.5]
    """
    place = posterior.place
    broken, left = _expected_logs(posterior)
    before = place[None, :] < place[:, None]
    return broken + jnp.where(before, left[None, :], 0).sum(axis=1)


def _expected_logs(posterior):
    """E log v and E log(1 - v), ``[k]`` each; 0 of the last."""
    a, b, place = posterior
    of_a, of_b, total = digamma(jnp.stack([a, b, a + b]))
    breaks = place < len(a) - 1
    return jnp.where(breaks, of_a - total, 0), jnp.where(breaks, of_b - total, 0)


def stick_divergence(posterior: Sticks, concentration: ArrayLike) -> Array:
    """KL(q || p) of the sticks from Beta(1, concentration), ``[]``, nats."""
    a, b, place = posterior
    concentration = jnp.asarray(concentration, b.dtype)
    of_a, of_b, total = gammaln(jnp.stack([a, b, a + b]))
    broken, left = _expected_logs(posterior)
    each = total - of_a - of_b - jnp.log(concentration)
    each = each + (a - 1) * broken + (b - concentration) * left
    return jnp.where(place < len(a) - 1, each, 0).sum()


def expected_concentration(posterior: Sticks) -> Array:
    """E of the concentration under a Gamma(1, 1) prior, ``[]``, given the sticks.

        (1 + K - 1) / (1 - sum_{k < K} E log(1 - v_k))

    Differentiable: in the sticks.
    Source: Blei and Jordan 2006, section 3, on a prior of the concentration.

    Example:
      >>> import jax.numpy as jnp
      >>> few = sticks(jnp.array([1000.0, 0.0, 0.0, 0.0]), 1.0)
      >>> many = sticks(jnp.array([250.0, 250.0, 250.0, 250.0]), 1.0)
      >>> bool(expected_concentration(few) < expected_concentration(many))
      True
    """
    _, left = _expected_logs(posterior)
    return len(left) / (1 - left.sum())
