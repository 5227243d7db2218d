"""A mixture of regimes under a truncated Dirichlet process, with targets to be found.

Row n is of regime k with probability pi_k, and variable j of regime k is a target with
probability rho. With q(pi) of Beta sticks, R_kj = q(variable j is a target of k) and
the log-densities l0 of the mechanisms and l1 of the interventions,

    log p(x_n) >= logsumexp_k { E log pi_k + sum_j [(1 - R_kj) l0_nj + R_kj l1_njk] }

less the divergences of the sticks and of the targets from their priors.

Sources: Faria, Martins and Figueiredo 2022 for the model; Blei and Jordan 2006,
section 3, for the sticks' updates in closed form.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, digamma, entr, xlogy
from jax.typing import ArrayLike

from causaljax.graphs.ops import matmul
from causaljax.types import Array


class Sticks(NamedTuple):
    """Posterior of the weights: pi_k = v_k prod_{l < k} (1 - v_l), v ~ Beta(a, b)."""

    a: Array  # [k] float, of sticks in the order in which they are broken
    b: Array  # [k] float; the last stick is all that is left and has no part
    place: Array  # [k] int, where in that order a regime comes


def sticks(counts: Array, concentration: ArrayLike) -> Sticks:
    """The best sticks for expected numbers of rows.

        a_k = 1 + N_k,  b_k = concentration + sum_{l > k} N_l

    Args:
      counts: ``[k]`` float, N, in any order: the largest regime breaks its stick first.
      concentration: ``[]`` float, positive; more of it expects more regimes.

    Differentiable: in both.
    Source: Blei and Jordan 2006, equations 18 and 19.
    """
    order = jnp.argsort(-counts)
    broken = counts[order]
    after = jnp.cumsum(broken[::-1])[::-1] - broken
    b = after + jnp.asarray(concentration, after.dtype)
    return Sticks(1 + broken, b, jnp.argsort(order))


def expected_log_weights(posterior: Sticks) -> Array:
    """E log pi_k, ``[k]``, nats; differentiable.

    Example:
      >>> import jax.numpy as jnp
      >>> even = sticks(jnp.array([1000.0, 1000.0]), 1.0)
      >>> [round(float(p), 2) for p in jnp.exp(expected_log_weights(even))]
      [0.5, 0.5]
    """
    a, b, place = posterior
    total = digamma(a + b)
    broken = (digamma(a) - total).at[-1].set(0)
    left = jnp.cumsum(digamma(b) - total) - (digamma(b) - total)
    return (broken + left)[place]


def stick_divergence(posterior: Sticks, concentration: ArrayLike) -> Array:
    """KL(q || p) of the sticks from Beta(1, concentration), ``[]``, nats."""
    a, b, _ = posterior
    total = digamma(a + b)
    each = (
        betaln(jnp.ones_like(a), jnp.zeros_like(a) + concentration)
        - betaln(a, b)
        + (a - 1) * digamma(a)
        + (b - concentration) * digamma(b)
        + (1 + concentration - a - b) * total
    )
    return each[:-1].sum()


def target_divergence(targets: Array, prior: ArrayLike) -> Array:
    """KL(q || p) of targets ``[k, d]`` from Bernoulli(prior), regime 0 aside; nats."""
    q = targets[1:]
    cross = xlogy(q, prior) + xlogy(1 - q, 1 - prior)
    return -(entr(q) + entr(1 - q) + cross).sum()


def row_log_likelihoods(mechanism: Array, intervention: Array, targets: Array) -> Array:
    """sum_j [(1 - R_kj) l0_nj + R_kj l1_njk] of every row and regime, ``[n, k]``.

    Args:
      mechanism: ``[n, d]``, l0, nats.
      intervention: ``[k, n, d]``, l1, nats.
      targets: ``[k, d]`` in [0, 1], R.
    """
    usual = matmul(mechanism, (1 - targets).T)
    return usual + jnp.einsum(
        "knd,kd->nk", intervention, targets, precision=jax.lax.Precision.HIGHEST
    )
