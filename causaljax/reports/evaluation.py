"""How far an estimated graph is from the true one, by name, on the host.

The distances that have a formula come from ``graphs.metrics``; the structural
intervention distance, which needs combinatorics, from the package gadjid.
"""

import math

import gadjid
import jax
import networkx as nx
import numpy as np
import pandas as pd

from causaljax.core.compiling import quick_jit
from causaljax.graphs import metrics
from causaljax.graphs.members import members
from causaljax.simulate import erdos_renyi

GraphLike = pd.DataFrame | np.ndarray | nx.DiGraph
"""A 0/1 adjacency matrix, 1 where row -> column, or a directed graph.

An edge without a direction, as ``cpdag_`` has them, is a 1 at both places, and in a
directed graph an edge whose attribute ``undirected`` is set, as in ``graph_``. So an
edge ``o->`` counts as directed, and ``o-o`` and ``--o`` as without a direction.
"""

_NUM_RANDOM_GRAPHS = 100


def compare_graphs(
    truth: GraphLike,
    estimate: GraphLike,
    *,
    strength: pd.DataFrame | np.ndarray | None = None,
) -> dict[str, float]:
    """Distances and accuracies of an estimated graph against the true one.

    Either may be a DAG or stand for the DAGs that data cannot tell apart, as an
    estimator's ``cpdag_``. Variables are matched by name where both sides have names
    (DataFrame, DiGraph), and a name is its text, so that 1 and "1" are one; a plain
    array takes the order of the first argument that has names.

    Args:
      truth: ``[d, d]`` 0/1, d at least 2; without cycles but for edges without a
        direction, which have a 1 at both places.
      estimate: likewise.
      strength: ``[d, d]`` finite numbers that rank the possible edges, e.g. edge
        probabilities; the estimate's 0/1 entries if left out.

    Returns:
      A dictionary with the keys

      - ``shd``: pairs of variables joined differently; a reversal, or a direction
        that only one side has, counts once;
      - ``cpdag_shd``: the same between the two Markov equivalence classes; NaN where
        one of the two stands for no DAG, as a ``cpdag_`` may that leaves the direction
        of doubted edges open;
      - ``sid``: structural intervention distance, see ``sid``; NaN where an edge has
        no direction, for which it is not defined;
      - ``precision``, ``recall``, ``f1``: of the directed edges; one without a
        direction counts as both;
      - ``skeleton_precision``, ``skeleton_recall``, ``skeleton_f1``: of the
        edges without directions;
      - ``oriented_precision``, ``oriented_recall``, ``oriented_f1``: of the edges with
        their directions, one whose direction is open counting for half a hit;
      - ``direction_accuracy``: of the pairs that both join and direct, the share
        directed alike; NaN if there are none;
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
    real = _graph(matrices["truth"], "truth", names)
    found = _graph(matrices["estimate"], "estimate", names)
    members = _member(real), _member(found)
    directed = not ((real & real.T).any() or (found & found.T).any())
    ranking = matrices.get("strength", matrices["estimate"])
    if not np.isfinite(ranking).all():
        raise ValueError("strength must be finite; fill its gaps, e.g. with 0")

    has_class = all(member is not None for member in members)
    members = members if has_class else (real & False,) * 2
    scores = _scores(real, found, members, ranking.astype(np.float32))
    shd, cpdag_shd, edges, skeleton, oriented, directions, auroc, auprc = jax.tree.map(
        lambda score: score.item(), scores
    )
    return {
        "shd": shd,
        "cpdag_shd": cpdag_shd if has_class else math.nan,
        "sid": _sid(real, found) if directed else math.nan,
        **edges._asdict(),
        **{f"skeleton_{name}": value for name, value in skeleton._asdict().items()},
        **{f"oriented_{name}": value for name, value in oriented._asdict().items()},
        "direction_accuracy": directions,
        "auroc": auroc,
        "auprc": auprc,
    }


def expected_shd(truth: GraphLike, edge_probabilities: GraphLike) -> float:
    """The mean structural Hamming distance of a distribution over graphs to a DAG.

        E SHD = sum over pairs of 1 - P(the pair is joined as in the truth)

    Args:
      truth: a DAG, as in ``compare_graphs``.
      edge_probabilities: P(row causes column), likewise; both directions of a pair
        exclude each other.

    Returns:
      The mean.

    Raises:
      ValueError: as ``compare_graphs``.

    Example:
      >>> truth = np.array([[0, 1], [0, 0]])
      >>> expected_shd(truth, np.array([[0, 0.75], [0.25, 0]]))
      0.25
    """
    given = {"truth": truth, "edge_probabilities": edge_probabilities}
    matrices, names = _aligned(given)
    graph, prob = (
        _dag(matrices["truth"], "truth", names),
        matrices["edge_probabilities"],
    )
    none = 1 - prob - prob.T
    right = np.where(graph, prob, np.where(graph.T, prob.T, none))
    return float((1 - right)[np.triu_indices(len(graph), 1)].sum())


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
    return _sid(
        _dag(matrices["truth"], "truth", names),
        _dag(matrices["estimate"], "estimate", names),
    )


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
    matrices, names = _aligned({"truth": truth})
    real = _dag(matrices["truth"], "truth", names)
    empty = compare_graphs(real, np.zeros_like(real))
    size = len(real)
    edges_per_variable = real.sum().item() / size
    draw = quick_jit(erdos_renyi, static_argnums=(1, 2))
    rows = [
        compare_graphs(real, np.asarray(draw(key, size, edges_per_variable)))
        for key in jax.random.split(jax.random.key(seed), _NUM_RANDOM_GRAPHS)
    ]
    random = {metric: _mean([row[metric] for row in rows]) for metric in empty}
    return {"empty graph": empty, "random graph": random}


def _mean(values):
    """The mean of those that are defined; NaN if none is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def _aligned(graphs):
    """Float matrices by role, in one order of the variables, and their names."""
    matrices, names, size = {}, None, None
    for role, graph in graphs.items():
        matrix, own_names = _matrix(graph, role)
        size = len(matrix) if size is None else size
        if names is None:
            names = own_names
        elif own_names is not None:
            if set(own_names) != set(names):
                unknown = sorted(set(own_names) - set(names), key=str)
                absent = sorted(set(names) - set(own_names), key=str)
                raise ValueError(
                    f"{role} does not name the same variables as "
                    f"{' and '.join(matrices)}: it has {unknown} more and lacks "
                    f"{absent}"
                )
            order = [own_names.index(name) for name in names]
            matrix = matrix[np.ix_(order, order)]
        if len(matrix) != size:
            raise ValueError(
                f"{role} has {len(matrix)} variables, {next(iter(matrices))} has {size}"
            )
        matrices[role] = matrix
    return matrices, names


def _matrix(graph, role):
    """A graph as a square float matrix, and its names or None."""
    names = None
    if isinstance(graph, nx.DiGraph):
        names = [str(name) for name in graph]
        _reject_duplicates(names, role)
        both = graph.copy()
        both.add_edges_from(
            (j, i) for i, j, about in graph.edges(data=True) if about.get("undirected")
        )
        graph = [[both.has_edge(i, j) for j in graph] for i in graph]
    elif isinstance(graph, pd.DataFrame):
        names = [str(name) for name in graph.columns]
        rows = [str(name) for name in graph.index]
        _reject_duplicates(names, role)
        if sorted(rows) != sorted(names):
            raise ValueError(
                f"the rows and columns of {role} must name the same variables, and "
                f"these are of one only: {sorted(set(rows) ^ set(names))}; read a CSV "
                "file of causaljax with causaljax.read_result, another with "
                "index_col=0"
            )
        order = [rows.index(name) for name in names]
        graph = graph.to_numpy(dtype=float, na_value=np.nan)[order]
    matrix = np.asarray(graph, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            f"{role} must be a square matrix [d, d] with d at least 2, not of shape "
            f"{matrix.shape}"
        )
    return matrix, names


def _reject_duplicates(names, role):
    if len(set(names)) < len(names):
        raise ValueError(f"{role} has two columns of one name: {names}")


def _dag(matrix, role, names):
    """The matrix as booleans, checked to be an acyclic 0/1 matrix."""
    graph = _graph(matrix, role, names)
    for i, j in np.argwhere(graph & graph.T):
        one, other = (k if names is None else names[k] for k in (i, j))
        raise ValueError(
            f"{role} must be acyclic, or SID is not defined; it has the edge "
            f"{one} - {other} without a direction: give a DAG, such as adjacency_"
        )
    return graph


def _graph(matrix, role, names):
    """The matrix as booleans, checked to be 0/1, its directions without a cycle."""
    odd = matrix[~np.isin(matrix, (0, 1))]
    if odd.size:
        raise ValueError(
            f"{role} must hold only 0 and 1, not {odd[0]}; set a threshold first"
        )
    either = np.triu(matrix * matrix.T, 1)  # which have no direction
    directions = matrix - either - either.T
    graph = nx.from_numpy_array(directions, create_using=nx.DiGraph)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [source for source, _ in nx.find_cycle(graph)]
        cycle = [node if names is None else names[node] for node in cycle]
        raise ValueError(
            f"{role} must be acyclic, or SID and CPDAG SHD are not defined; it has "
            f"the cycle {' -> '.join(map(str, [*cycle, cycle[0]]))}"
        )
    return matrix.astype(bool)


def _member(graph):
    """A DAG of the class that a graph stands for; None if there is none."""
    return next(members(graph), None) if (graph & graph.T).any() else graph


@quick_jit(once=True)
def _scores(truth, estimate, members, strength):
    return (
        metrics.shd(truth, estimate),
        metrics.cpdag_shd(*members),
        metrics.edge_accuracy(truth, estimate),
        metrics.skeleton_accuracy(truth, estimate),
        metrics.oriented_accuracy(truth, estimate),
        metrics.direction_accuracy(truth, estimate),
        metrics.auroc(truth, strength),
        metrics.auprc(truth, strength),
    )


def _sid(truth, estimate):
    # gadjid reads int8 only and panics, past `except Exception`, on a cycle.
    _, mistakes = gadjid.parent_aid(  # pyrefly: ignore[missing-attribute]
        truth.astype(np.int8),
        estimate.astype(np.int8),
        edge_direction="from row to column",
    )
    return int(mistakes)
