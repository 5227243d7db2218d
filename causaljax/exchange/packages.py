"""Graphs as other packages of causality take them."""

from typing import Any

import networkx as nx
import pandas as pd

from causaljax.exchange.source import Source, marked
from causaljax.tables import edges as edge_tables

_CODES = {edge_tables.TAIL: -1, edge_tables.ARROW: 1, edge_tables.CIRCLE: 2}


def to_dowhy(source: Source) -> nx.DiGraph:
    """The graph as DoWhy takes it, for ``CausalModel(graph=...)`` and ``dowhy.gcm``.

    Args:
      source: a fitted estimator or a networkx graph.

    Returns:
      ``networkx.DiGraph`` of names and directed edges alone. DoWhy need not be
      installed.

    Raises:
      ValueError: if an edge is not ``-->``, as DoWhy would take it for something else.

    Example:
      >>> to_dowhy(nx.DiGraph([("rain", "wet")])).edges
      OutEdgeView([('rain', 'wet')])
    """
    edges, names = marked(source)
    _refuse_circles(edges, "DoWhy takes directed graphs")
    open_edges, confounded = (
        edges[edges["mark"] == mark]
        for mark in (edge_tables.UNDIRECTED, edge_tables.CONFOUNDED)
    )
    for row in open_edges.to_dict("records"):
        raise ValueError(
            f"DoWhy takes directed graphs, and {row['source']!r} --- {row['target']!r} "
            "has no direction: use each graph of iter_dags() in turn"
        )
    for row in confounded.to_dict("records"):
        raise ValueError(
            "DoWhy takes directed graphs of columns, and a common cause of "
            f"{row['source']!r} <-> {row['target']!r} is none of them: add it to a "
            "graph of iter_dags(), which leaves it out, as a node with two edges"
        )
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(zip(edges["source"], edges["target"], strict=True))
    return graph


def to_pgmpy(source: Source) -> Any:
    """The graph as one of pgmpy.

    Args:
      source: a fitted estimator or a networkx graph.

    Returns:
      - ``pgmpy.base.DAG`` if all edges are directed; ``DiscreteBayesianNetwork`` and
        ``LinearGaussianBayesianNetwork`` of ``pgmpy.models`` take it;
      - ``pgmpy.base.PDAG`` if there are edges ``---``;
      - ``pgmpy.base.ADMG`` if there are edges ``<->``.

    Raises:
      ValueError: if there are both ``---`` and ``<->``, or a circle at an end, for
        which pgmpy has no graph.
      ImportError: without pgmpy.
    """
    edges, names = marked(source)
    _refuse_circles(edges, "pgmpy has no partial ancestral graphs")
    try:
        from pgmpy import base
    except ImportError:
        raise ImportError("to_pgmpy needs pgmpy: pip install pgmpy") from None
    directed, open_edges, confounded = (
        [
            (row["source"], row["target"])
            for row in edges[edges["mark"] == mark].to_dict("records")
        ]
        for mark in (
            edge_tables.DIRECTED,
            edge_tables.UNDIRECTED,
            edge_tables.CONFOUNDED,
        )
    )
    if open_edges and confounded:
        raise ValueError(
            f"pgmpy has no graph with --- between {open_edges[0]} and <-> between "
            f"{confounded[0]}: give a graph of iter_dags()"
        )
    if open_edges:
        graph = base.PDAG(directed, open_edges)
    elif confounded:
        graph = base.ADMG(directed, confounded)
    else:
        graph = base.DAG(directed)
    graph.add_nodes_from(names)
    return graph


def _refuse_circles(edges, reason):
    for row in edges[edges["mark"].isin(edge_tables.CIRCLED)].to_dict("records"):
        raise ValueError(
            f"{reason}, and {row['source']!r} {row['mark']} {row['target']!r} has an "
            "end that is not told: write --> in place of it if that is known, or fit a "
            "method that assumes no hidden causes"
        )


def to_causal_learn(source: Source) -> pd.DataFrame:
    """The graph as a matrix of end marks, which causal-learn keeps as ``G.graph``.

    Args:
      source: a fitted estimator or a networkx graph.

    Returns:
      DataFrame ``[d, d]`` of ints: at [i, j] the mark that the edge between i and j has
      at i, -1 for a tail, 1 for an arrowhead and 2 for a circle, 0 without an edge. So
      i --> j is -1 at [i, j] and 1 at [j, i].

    Example:
      >>> matrix = to_causal_learn(nx.DiGraph([("a", "b")]))
      >>> matrix.loc["a", "b"].item(), matrix.loc["b", "a"].item()
      (-1, 1)
    """
    edges, names = marked(source)
    place = {name: k for k, name in enumerate(names)}
    matrix = pd.DataFrame(0, index=names, columns=names)
    cells = matrix.to_numpy().copy()
    for row in edges.to_dict("records"):
        i, j = place[row["source"]], place[row["target"]]
        ends = edge_tables.ENDS[row["mark"]]
        cells[i, j], cells[j, i] = (_CODES[end] for end in ends)
    return pd.DataFrame(cells, index=names, columns=names)
