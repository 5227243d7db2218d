"""How far a table lies from those that a network was trained on.

A network answers every table with the same assurance. What warns of a strange one is
the distance of its statistics from the training tables' statistics.
"""

from typing import NamedTuple

import chex
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array

_LEAST = 1e-3  # least eigenvalue of the summaries' correlations that is believed
_QUANTILE = 0.995  # of the training tables, the share that counts as familiar


class Reference(NamedTuple):
    """Mean, spread and reach of the summaries of the training tables."""

    mean: Array  # [2 f] float
    whitener: Array  # [2 f, 2 f] float, makes deviations from the mean uncorrelated
    limit: Array  # [] float, the distance that few training tables exceed


def summarise(statistics: ArrayLike) -> Array:
    """Means and mean squares of pair statistics over all ordered pairs of variables.

    Neither the names of the variables nor their number shows in the shape. Means and
    squares together make the distance indifferent to the scale and the origin of each
    statistic.

    Args:
      statistics: ``[d, d, f]`` float; the diagonal is not looked at.

    Returns:
      ``[2 f]``, all means before all squares.
    """
    statistics = jnp.asarray(statistics)
    chex.assert_rank(statistics, 3)
    d = statistics.shape[0]
    pairs = ~jnp.eye(d, dtype=bool)[:, :, None]
    moments = [
        jnp.where(pairs, power, 0).sum(axis=(0, 1)) / (d * (d - 1))
        for power in (statistics, statistics**2)
    ]
    return jnp.concatenate(moments)


def fit_reference(summaries: ArrayLike) -> Reference:
    """The reference of many training tables.

    Args:
      summaries: ``[t, 2 f]`` float, of t tables; well over 2 f, or every other table
        will look strange.

    Returns:
      The reference; its limit is the distance that one table in 200 exceeds.
    """
    summaries = jnp.asarray(summaries)
    mean, scale = summaries.mean(axis=0), summaries.std(axis=0)
    # An entry that never varied in training has no unit to measure deviations in.
    inverse = jnp.where(scale > 0, 1 / jnp.where(scale > 0, scale, 1), 0)
    z = (summaries - mean[None, :]) * inverse[None, :]
    values, vectors = jnp.linalg.eigh(matmul(z.T, z) / len(z))
    spread = jnp.sqrt(jnp.maximum(values, _LEAST))
    whitener = inverse[:, None] * vectors / spread[None, :]
    reference = Reference(mean, whitener, jnp.ones_like(mean[0]))
    distances = jnp.linalg.norm(matmul(summaries - mean[None, :], whitener), axis=1)
    return reference._replace(limit=jnp.quantile(distances, _QUANTILE))


def ood_score(statistics: ArrayLike, reference: Reference) -> Array:
    """Mahalanobis distance of a table from the training tables, over the limit.

    Args:
      statistics: ``[d, d, f]`` float.
      reference: of the network that reads them.

    Returns:
      ``[]`` float, above 1 for a table unlike all but the strangest in training.
    """
    deviation = summarise(statistics) - reference.mean
    return jnp.linalg.norm(matmul(deviation, reference.whitener)) / reference.limit
