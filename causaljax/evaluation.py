"""How far an estimated graph is from the true one, by name, on the host.

The distances that have a formula come from ``graphs.metrics``; the structural
intervention distance, which needs combinatorics, from the package gadjid.
"""

import gadjid
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pandas as pd

from causaljax.graphs import metrics
from causaljax.simulate import erdos_renyi

GraphLike = pd.DataFrame | np.ndarray | nx.DiGraph
"""A 0/1 adjacency matrix, 1 where row -> column, or a directed graph."""

_NUM_RANDOM_GRAPHS = 100


def compare_graphs(
    truth: GraphLike,
    estimate: GraphLike,
    *,
    strength: pd.DataFrame | np.ndarray | None = None,
) -> dict[str, float]:
    """Distances and accuracies of an estimated DAG against the true one.

    Variables are matched by name where both sides have names (DataFrame,
    DiGraph); a plain array takes the order of the first argument that has names.

    Args:
      truth: ``[d, d]`` 0/1, acyclic, d at least 2.
      estimate: likewise.
      strength: ``[d, d]`` finite numbers that rank the possible edges, e.g. edge
        probabilities; the estimate's 0/1 entries if left out.

    Returns:
      A dictionary with the keys

      - ``shd``: pairs of variables joined differently, a reversal counted once;
      - ``cpdag_shd``: the same between the two Markov equivalence classes;
      - ``sid``: structural intervention distance, see ``sid``;
      - ``precision``, ``recall``, ``f1``: of the directed edges;
      - ``skeleton_precision``, ``skeleton_recall``, ``skeleton_f1``: of the
        edges without directions;
      - ``auroc``, ``auprc``: of ``strength`` over the ordered pairs; NaN where
        undefined (a truth without edges).

      Distances are ints, the rest floats in [0, 1]. The empty graph has a good
      ``shd`` on a sparse truth: read it beside ``baselines``.

    Raises:
      ValueError: if a matrix is not square, not 0/1 or too small, if a graph has
        a cycle, if names differ, or if ``strength`` is not finite.

    Example:
      >>> truth = nx.DiGraph([("rain", "wet"), ("sun", "wet")])
      >>> estimate = nx.DiGraph([("wet", "rain"), ("sun", "wet")])
      >>> scores = compare_graphs(truth, estimate)
      >>> scores["shd"], scores["sid"], scores["precision"]
      (1, 3, 0.5)
    """
    graphs = {"truth": truth, "estimate": estimate}
    if strength is not None:
        graphs["strength"] = strength
    matrices, names = _aligned(graphs)
    for role in ("truth", "estimate"):
        _check_dag(matrices[role], role, names)
    strength = matrices.get("strength", matrices["estimate"])
    if not np.isfinite(strength).all():
        raise ValueError("strength must be finite; fill its gaps, e.g. with 0")

    scores = _scores(
        matrices["truth"].astype(bool),
        matrices["estimate"].astype(bool),
        strength.astype(np.float32),
    )
    scores = {metric: value.item() for metric, value in scores.items()}
    return scores | {"sid": _sid(matrices["truth"], matrices["estimate"])}


def sid(truth: GraphLike, estimate: GraphLike) -> int:
    """Structural intervention distance between two DAGs.

    The number of ordered pairs (i, j) for which adjusting for the parents of i in
    the estimate gives the wrong effect of i on j in the truth. Not symmetric.

    Args:
      truth: ``[d, d]`` 0/1, acyclic, d at least 2; names as in
        ``compare_graphs``.
      estimate: likewise.

    Returns:
      From 0 to d (d - 1).

    Raises:
      ValueError: as in ``compare_graphs``.

    Source: Peters and Buehlmann 2015; computed as the parent adjustment distance
    of Henckel, Wuertzen and Weichwald 2024 (gadjid), its equal on DAGs.
    """
    matrices, names = _aligned({"truth": truth, "estimate": estimate})
    for role, matrix in matrices.items():
        _check_dag(matrix, role, names)
    return _sid(**matrices)


def baselines(truth: GraphLike, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """What no knowledge scores: the rows to read any score beside.

    Args:
      truth: ``[d, d]`` 0/1, acyclic, d at least 2.
      seed: of the random graphs.

    Returns:
      The scores of ``compare_graphs`` for "empty graph", and for "random graph"
      their means over 100 Erdos-Renyi DAGs with as many edges as the truth.

    Raises:
      ValueError: as in ``compare_graphs``.
    """
    matrices, _ = _aligned({"truth": truth})
    matrix = matrices["truth"]
    empty = compare_graphs(truth, np.zeros(matrix.shape, int))
    draw = jax.jit(erdos_renyi, static_argnums=(1, 2))
    size = len(matrix)
    rows = [
        compare_graphs(truth, np.asarray(draw(key, size, matrix.sum() / size)))
        for key in jax.random.split(jax.random.key(seed), _NUM_RANDOM_GRAPHS)
    ]
    random = {metric: float(np.mean([row[metric] for row in rows])) for metric in empty}
    return {"empty graph": empty, "random graph": random}


@jax.jit
def _scores(truth, estimate, strength):
    edges = metrics.edge_accuracy(truth, estimate)
    skeleton = metrics.skeleton_accuracy(truth, estimate)
    return {
        "shd": metrics.shd(truth, estimate),
        "cpdag_shd": metrics.cpdag_shd(truth, estimate),
        **edges._asdict(),
        **{f"skeleton_{name}": value for name, value in skeleton._asdict().items()},
        "auroc": metrics.auroc(truth, strength),
        "auprc": metrics.auprc(truth, strength),
    }


def _sid(truth, estimate):
    # gadjid reads int8 only and panics, past `except Exception`, on a cycle.
    _, mistakes = gadjid.parent_aid(
        truth.astype(np.int8),
        estimate.astype(np.int8),
        edge_direction="from row to column",
    )
    return int(mistakes)
