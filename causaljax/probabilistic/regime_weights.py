"""Weights of regimes, by a truncated Dirichlet process, as models of numpyro.

``regimes.stick_breaking`` has their posterior in closed form where the number of rows
of each regime is known. These models have the same prior, for weights inside a model of
one's own:

    v_k ~ Beta(1, concentration),   pi_k = v_k prod_{l before k} (1 - v_l)

and the last of K sticks is all that is left.

Source: Sethuraman 1994; Ishwaran and James 2001 for the truncation.
"""

import jax
import jax.numpy as jnp
import numpyro
from jax.typing import ArrayLike
from numpyro import distributions as dist

from causaljax.core.types import Array
from causaljax.regimes import stick_breaking


def log_weights(num_regimes: int, concentration: ArrayLike = 1.0) -> Array:
    """Declares the sticks and returns log pi, for use inside a model.

    Sites: "sticks" ``[K - 1]``, v, and "regime_weights" ``[K]``, pi, which follows
    from it.

    Args:
      num_regimes: K, static, at least 2.
      concentration: ``[]`` float, positive; more of it expects more regimes. May be a
        sample of a site of its own.

    Returns:
      ``[K]`` float, log pi in the order in which the sticks are broken.

    Raises:
      ValueError: if K is less than 2.
    """
    if num_regimes < 2:
        raise ValueError(f"num_regimes must be at least 2, not {num_regimes}")
    law = dist.Beta(1.0, concentration).expand([num_regimes - 1])
    sticks = jnp.asarray(numpyro.sample("sticks", law.to_event(1)))
    none = jnp.zeros(1, sticks.dtype)
    left = jnp.concatenate([none, jnp.cumsum(jnp.log1p(-sticks))])
    logs = left + jnp.concatenate([jnp.log(sticks), none])
    numpyro.deterministic("regime_weights", jnp.exp(logs))
    return logs


def given_counts(counts: ArrayLike, concentration: ArrayLike = 1.0) -> None:
    """A model of the weights, given how many rows each regime has.

    The posterior of the sticks is that of ``stick_breaking.sticks``, the largest regime
    first: v_k ~ Beta(1 + N_k, concentration + sum_{l after k} N_l).

    Args:
      counts: ``[K]`` float, N, in any order; the factor is sum_k N_k log pi_k.
      concentration: as in ``log_weights``.
    """
    counts = jnp.asarray(counts, jnp.result_type(float))
    place = stick_breaking.sticks(counts, 1.0).place
    logs = log_weights(len(counts), concentration)
    numpyro.factor("rows", (counts * logs[place]).sum())


def given_likelihoods(
    log_likelihoods: ArrayLike, concentration: ArrayLike = 1.0
) -> None:
    """A model of the weights, given how likely each row is under each regime.

    Regimes of rows are summed out: the factor is
    sum_n log sum_k pi_k exp(log_likelihoods[n, k]).

    Args:
      log_likelihoods: ``[n, K]`` float, nats; the first regime breaks its stick first.
      concentration: as in ``log_weights``.
    """
    rows = jnp.asarray(log_likelihoods, jnp.result_type(float))
    logs = log_weights(rows.shape[1], concentration)
    each = jax.nn.logsumexp(rows + logs[None], axis=1)
    numpyro.factor("rows", each.sum())
