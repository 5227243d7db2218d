"""How far a table lies from those that a network was trained on.

A network answers every table with the same assurance. What warns of a strange one is
the distance of its statistics from the training tables' statistics. Means over many
pairs of variables vary less than means over few, so a table is compared with training
tables of about as many variables.
"""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array

# The least eigenvalue of the summaries' correlations that is believed. Of twelve kinds
# of spoiled tables (scripts/bench_strange.py strange, 12 draws of ten columns each) it
# flags four kinds in nine of ten draws at .01, five at .05 and at .2.
_LEAST = 0.05
_QUANTILE = 0.985  # of training tables, the share that counts as familiar
_ROUNDING = 1e-4  # of an entry's largest mean; what varies less does not vary
_FOLDS = 5  # a table's own part in means and spreads would make it look familiar


class Reference(NamedTuple):
    """Means, spreads and reach of the summaries of the training tables, by size."""

    num_variables: ArrayLike  # [k] float, rising: of the tables of each size
    mean: ArrayLike  # [k, 2 f] float
    scale: ArrayLike  # [k, 2 f] float, standard deviations
    whitener: ArrayLike  # [2 f, 2 f] float, makes standardised deviations uncorrelated
    limit: ArrayLike  # [k] float, the distance that few training tables exceed


def summarise(statistics: ArrayLike) -> Array:
    """Means and mean squares of pair statistics over all ordered pairs of variables.

    Neither the names of the variables nor their number shows in the shape.

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


def fit_reference(summaries: Mapping[int, ArrayLike]) -> Reference:
    """The reference of many training tables.

    Args:
      summaries: by the number of variables ``[t, 2 f]`` float, of t tables each; well
        over 2 f in all, or every other table will look strange.

    Returns:
      The reference, of numpy arrays; its limits are the distances that 1.5 % of tables
      of a size exceed, each measured by what the other four fifths of them tell.
    """
    groups = {size: np.asarray(summaries[size]) for size in sorted(summaries)}
    distances: dict[int, list] = {size: [] for size in groups}
    for fold in range(_FOLDS):
        others = {
            size: np.delete(group, np.s_[fold::_FOLDS], axis=0)
            for size, group in groups.items()
        }
        mean, scale, whitener = _moments(others)
        for k, (size, group) in enumerate(groups.items()):
            z = (group[fold::_FOLDS] - mean[k]) * _inverse(scale[k])
            distances[size].extend(np.linalg.norm(z @ whitener, axis=1))
    mean, scale, whitener = _moments(groups)
    limit = [np.quantile(distance, _QUANTILE) for distance in distances.values()]
    dtype = mean.dtype
    return Reference(
        num_variables=np.array([*groups], dtype),
        mean=mean,
        scale=scale,
        whitener=whitener,
        limit=np.array(limit, dtype),
    )


def _moments(groups):
    """Means and standard deviations of each group, and what whitens all of them."""
    mean = np.stack([group.mean(axis=0) for group in groups.values()])
    scale = np.stack([group.std(axis=0) for group in groups.values()])
    # What only the number of variables decides varies within a size by rounding alone.
    scale = np.where(scale > _ROUNDING * abs(mean).max(axis=0), scale, 0)
    z = np.concatenate(
        [
            (group - mean[k]) * _inverse(scale[k])
            for k, group in enumerate(groups.values())
        ]
    )
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    return mean, scale, vectors / np.sqrt(np.maximum(values, _LEAST))


def _inverse(scale):
    """1 / scale; 0 for an entry that never varied, which has no unit for deviations."""
    return np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)


def ood_score(statistics: ArrayLike, reference: Reference) -> Array:
    """Mahalanobis distance of a table from the training tables, over the limit.

    Means, spreads and limits between two sizes of training tables are interpolated, by
    the logarithm of the number of variables; beyond the sizes they are those of the
    nearest.

    Args:
      statistics: ``[d, d, f]`` float.
      reference: of the network that reads them.

    Returns:
      ``[]`` float, above 1 for a table unlike all but the strangest in training.
    """
    statistics = jnp.asarray(statistics)
    sizes, means, scales, whitener, limits = map(jnp.asarray, reference)
    share = _shares(statistics.shape[0], sizes)
    mean, scale, limit = (matmul(share, leaf) for leaf in (means, scales, limits))
    # As in _inverse, of what jax may trace.
    varies = scale > 0
    deviation = jnp.where(varies, summarise(statistics) - mean, 0)
    deviation = deviation / jnp.where(varies, scale, 1)
    return jnp.linalg.norm(matmul(deviation, whitener)) / limit


def _shares(num_variables, sizes):
    """The share of each size in what is interpolated, ``[k]``, of sum 1."""
    numbers = jnp.arange(len(sizes), dtype=sizes.dtype)
    size = jnp.log(jnp.asarray(num_variables, sizes.dtype))
    place = jnp.interp(size, jnp.log(sizes), numbers)
    return jnp.maximum(1 - abs(numbers - place), 0)
