"""Distances between graphs and accuracy of edges; one pair at a time, vmap-able.

Structural intervention distance needs combinatorics on the host and lives in
``causaljax.reports.evaluation``.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.types import Array
from causaljax.graphs.cpdag import dag_to_cpdag


class Accuracy(NamedTuple):
    """Precision, recall and their harmonic mean; 0 where undefined."""

    precision: Array  # [] float in [0, 1]
    recall: Array  # [] float in [0, 1]
    f1: Array  # [] float in [0, 1]


def shd(truth: ArrayLike, estimate: ArrayLike) -> Array:
    """Structural Hamming distance: pairs of variables joined differently.

    A reversed, a missing, an extra and an undirected instead of a directed edge
    each count 1.

    Args:
      truth: ``[d, d]`` bool, a DAG or CPDAG.
      estimate: ``[d, d]`` bool, likewise.

    Returns:
      ``[]`` int32.

    Source: Tsamardinos, Brown and Aliferis 2006 (MMHC).
    """
    differs = jnp.asarray(truth, bool) != jnp.asarray(estimate, bool)
    return jnp.triu(differs | differs.T, 1).sum()


def cpdag_shd(truth: ArrayLike, estimate: ArrayLike) -> Array:
    """Structural Hamming distance between the equivalence classes of two DAGs.

    Args:
      truth: ``[d, d]`` bool, acyclic.
      estimate: ``[d, d]`` bool, acyclic.

    Returns:
      ``[]`` int32.
    """
    return shd(dag_to_cpdag(truth), dag_to_cpdag(estimate))


def edge_accuracy(truth: ArrayLike, estimate: ArrayLike) -> Accuracy:
    """Precision, recall and F1 of the directed edges.

    Args:
      truth: ``[d, d]`` bool.
      estimate: ``[d, d]`` bool.
    """
    return _accuracy(jnp.asarray(truth, bool), jnp.asarray(estimate, bool))


def skeleton_accuracy(truth: ArrayLike, estimate: ArrayLike) -> Accuracy:
    """Precision, recall and F1 of the edges without their directions.

    Args:
      truth: ``[d, d]`` bool.
      estimate: ``[d, d]`` bool.
    """
    truth, estimate = jnp.asarray(truth, bool), jnp.asarray(estimate, bool)
    return _accuracy(jnp.triu(truth | truth.T), jnp.triu(estimate | estimate.T))


def oriented_accuracy(truth: ArrayLike, estimate: ArrayLike) -> Accuracy:
    """Precision, recall and F1 of edges with their directions, open ones for a half.

    A pair that both graphs join is a hit of 1 if they agree, of 1/2 if one of them
    leaves its direction open, of 0 if it is reversed.

    Args:
      truth: ``[d, d]`` bool; an edge without a direction is True at both places.
      estimate: ``[d, d]`` bool, likewise.
    """
    truth, estimate = jnp.asarray(truth, bool), jnp.asarray(estimate, bool)
    found, real = jnp.triu(estimate | estimate.T), jnp.triu(truth | truth.T)
    differs = (truth != estimate).astype(jnp.float32)
    hits = jnp.where(found & real, 1 - (differs + differs.T) / 2, 0).sum()
    found, real = found.sum(dtype=hits.dtype), real.sum(dtype=hits.dtype)
    return Accuracy(
        precision=hits / jnp.maximum(found, 1),
        recall=hits / jnp.maximum(real, 1),
        f1=2 * hits / jnp.maximum(found + real, 1),
    )


def direction_accuracy(truth: ArrayLike, estimate: ArrayLike) -> Array:
    """The share that is right of directions claimed for pairs that are joined.

    Of the pairs that both graphs join by an edge with a direction: those where it is
    the same.

    Args:
      truth: ``[d, d]`` bool.
      estimate: ``[d, d]`` bool.

    Returns:
      ``[]`` float in [0, 1]; NaN if there is no such pair.
    """
    truth, estimate = jnp.asarray(truth, bool), jnp.asarray(estimate, bool)
    real, claimed = truth & ~truth.T, estimate & ~estimate.T
    right = (real & claimed).sum(dtype=jnp.float32)
    number = right + (real.T & claimed).sum(dtype=jnp.float32)
    return right / jnp.where(number > 0, number, jnp.nan)


def _accuracy(truth, estimate):
    hits, found, real = (truth & estimate).sum(), estimate.sum(), truth.sum()
    return Accuracy(
        precision=hits / jnp.maximum(found, 1),
        recall=hits / jnp.maximum(real, 1),
        f1=2 * hits / jnp.maximum(found + real, 1),
    )


def auroc(truth: ArrayLike, strength: ArrayLike) -> Array:
    """Area under the ROC curve over ordered pairs: P(edge outranks non-edge).

    Ties count one half.

    Args:
      truth: ``[d, d]`` bool; the diagonal is ignored.
      strength: ``[d, d]`` float, e.g. edge probabilities or absolute weights.

    Returns:
      ``[]`` float; NaN if there is no edge or no non-edge.
    """
    real, values = _off_diagonal(truth).astype(bool), _off_diagonal(strength)
    ordered = jnp.sort(values)
    # The mean rank of a value is half way between its first and last place.
    first = jnp.searchsorted(ordered, values, side="left")
    last = jnp.searchsorted(ordered, values, side="right")
    ranks = (first + last + 1) / 2
    edges = real.sum(dtype=values.dtype)
    others = real.size - edges
    statistic = jnp.where(real, ranks, 0).sum() - edges * (edges + 1) / 2
    return statistic / (edges * others)


def auprc(truth: ArrayLike, strength: ArrayLike) -> Array:
    """Average precision over ordered pairs: the area under precision-recall steps.

    sum_t (R_t - R_{t-1}) P_t over the distinct strengths t in falling order, the
    convention of scikit-learn's ``average_precision_score``.

    Args:
      truth: ``[d, d]`` bool; the diagonal is ignored.
      strength: ``[d, d]`` float.

    Returns:
      ``[]`` float; NaN if there is no edge.
    """
    real, values = _off_diagonal(truth).astype(bool), _off_diagonal(strength)
    order = jnp.argsort(-values)
    hits = jnp.cumsum(real[order])
    falling = -values[order]
    last = jnp.searchsorted(falling, falling, side="right") - 1  # end of the tie
    precision = hits[last] / (last + 1)
    return jnp.where(real[order], precision, 0).mean(where=real[order])


def _off_diagonal(matrix: ArrayLike) -> Array:
    matrix = jnp.asarray(matrix)
    d = matrix.shape[0]
    # Dropping the first entry, every (d + 1)-th is a diagonal one.
    return matrix.ravel()[1:].reshape(d - 1, d + 1)[:, :-1].ravel()
