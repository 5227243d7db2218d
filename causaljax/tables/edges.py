"""The edge table: all that is said of the edges of a fitted graph, in one place.

Prints, files, pictures and ``graph_`` are made from it, so that they cannot disagree.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

DIRECTED, UNDIRECTED, CONFOUNDED = "-->", "---", "<->"
MARKS = {
    DIRECTED: "the source is a cause of the target",
    UNDIRECTED: "an edge whose direction is not claimed",
    CONFOUNDED: "no edge, but probably a common cause that is not in the table",
}
"""The marks of edges, and what each means."""

TEXTS = ("source", "target", "mark", "meaning", "why")
NUMBERS = ("probability", "weight", "effect_size", "stability")
COLUMNS = (
    "source",
    "target",
    "mark",
    "probability",
    "meaning",
    "weight",
    "effect_size",
    "stability",
    "why",
)
"""The columns of an edge table."""

LIKELY = 0.5
"""Probability above which a common cause is shown."""


def edge_table(
    graph: Any,
    essential: Any,
    edge_prob: Any,
    names: Sequence[str],
    *,
    meaning: str,
    weights: Any = None,
    effects: Any = None,
    refitted: bool = False,
    confounders: Any = None,
    why: Mapping[tuple[int, int], str] | None = None,
) -> pd.DataFrame:
    """Writes down a graph, an edge a row.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      essential: ``[d, d]`` bool, with a 1 at both places where the direction of an
        edge of the graph is not claimed.
      edge_prob: ``[d, d]`` float, P(i -> j).
      names: d of them.
      meaning: what these probabilities are, such as "share of refits".
      weights: ``[d, d]`` float, in the units of the table, or None.
      effects: ``[d, d]`` float, without a unit, or None.
      refitted: whether probabilities are shares of refits.
      confounders: ``[d, d]`` float, symmetric, P(a hidden common cause), or None.
      why: reasons, by the places of source and target.

    Returns:
      DataFrame with ``COLUMNS``, in the order of the names:

      - ``source``, ``target``: which of them is which means nothing unless the mark is
        ``-->``.
      - ``mark``: of ``MARKS``.
      - ``probability`` of the edge from source to target, or for ``<->`` of the common
        cause; ``meaning``: what kind of number it is.
      - ``weight``: the change of the target for one unit of the source; NaN if the
        method has none.
      - ``effect_size``: the change of the target in standard deviations, as
        ``NeuralDAG`` measures it; NaN if the method does not.
      - ``stability``: the share of refits that join the two, either way; NaN without
        refits.
      - ``why``: the reason of edge or direction, if one is known, else "".

    Example:
      >>> graph = np.array([[0, 1], [0, 0]])
      >>> table = edge_table(graph, graph + graph.T, graph / 2, "ab", meaning="score")
      >>> table[["source", "mark", "target", "probability"]].values.tolist()
      [['a', '---', 'b', 0.5]]
    """
    graph, essential = (np.asarray(matrix, bool) for matrix in (graph, essential))
    edge_prob, reasons = np.asarray(edge_prob, np.float64), why or {}
    i, j = np.nonzero(graph)
    names = list(names)

    def numbers(matrix):
        if matrix is None:
            return np.full(len(i), np.nan)
        return np.asarray(matrix, np.float64)[i, j]

    rows = {
        "mark": np.where(essential[j, i], UNDIRECTED, DIRECTED),
        "probability": edge_prob[i, j],
        "meaning": [meaning] * len(i),
        "weight": numbers(weights),
        "effect_size": numbers(effects),
        # A refit of open direction counts half each way.
        "stability": numbers(edge_prob + edge_prob.T if refitted else None),
        "why": [
            reasons.get(pair, "") for pair in zip(i.tolist(), j.tolist(), strict=True)
        ],
    }
    if confounders is not None:
        confounders = np.asarray(confounders, np.float64)
        apart = np.triu(~(graph | graph.T), 1)
        k, m = np.nonzero(apart & (confounders > LIKELY))
        count, empty = len(k), np.full(len(k), np.nan)
        more = {
            "mark": [CONFOUNDED] * count,
            "probability": confounders[k, m],
            "meaning": ["of a hidden common cause"] * count,
            "weight": empty,
            "effect_size": empty,
            "stability": empty,
            "why": [""] * count,
        }
        rows = {name: [*cells, *more[name]] for name, cells in rows.items()}
        i, j = np.concatenate([i, k]), np.concatenate([j, m])
    rows |= {
        "source": [names[place] for place in i.tolist()],
        "target": [names[place] for place in j.tolist()],
    }
    return pd.DataFrame(
        {
            name: pd.Series(rows[name], dtype=object if name in TEXTS else np.float64)
            for name in COLUMNS
        }
    )


def directed_edges(edges: pd.DataFrame) -> pd.DataFrame:
    """The rows of an edge table that are edges of the one graph found."""
    return edges[edges["mark"] != CONFOUNDED]


def adjacency(edges: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The one graph found, ``[d, d]`` of 0 and 1, acyclic, causes as rows."""
    return _framed(_matrix(directed_edges(edges), names), names)


def claims(edges: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """What is claimed: as ``adjacency``, ``---`` with a 1 at both places."""
    open_edges = _matrix(edges[edges["mark"] == UNDIRECTED], names)
    return _framed(_matrix(directed_edges(edges), names) | open_edges.T, names)


def _matrix(edges, names):
    place = {name: k for k, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), int)
    for source, target in zip(edges["source"], edges["target"], strict=True):
        matrix[place[source], place[target]] = 1
    return matrix


def order(edges: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The names, causes before effects in the one graph found."""
    return list(nx.topological_sort(to_networkx(edges, names)))


def _framed(matrix, names):
    return pd.DataFrame(
        matrix, index=pd.Index(names, name="from"), columns=pd.Index(names, name="to")
    )


def to_networkx(edges: pd.DataFrame, names: Sequence[str]) -> nx.DiGraph:
    """The one graph found as a DiGraph whose edges carry what is known of them.

    Args:
      edges: an edge table.
      names: of all columns.

    Returns:
      ``networkx.DiGraph`` over all columns, edges with ``probability``, ``weight`` (if
      there is one) and ``undirected``, its ``kind`` "cpdag" if an edge is undirected
      and "dag" otherwise; all of Python's own types, which every networkx writer
      accepts. Pairs of mark ``<->`` have no edge.
    """
    edges = directed_edges(edges)
    undirected = edges["mark"] == UNDIRECTED
    result = nx.DiGraph(kind="cpdag" if undirected.any() else "dag")
    result.add_nodes_from(names)
    for row in edges.to_dict("records"):
        result.add_edge(
            row["source"],
            row["target"],
            probability=float(row["probability"]),
            **({} if np.isnan(row["weight"]) else {"weight": float(row["weight"])}),
            undirected=row["mark"] == UNDIRECTED,
        )
    return result
