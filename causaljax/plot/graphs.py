"""A graph as a picture."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from causaljax.plot import drawing, style
from causaljax.tables import edges as edge_tables
from causaljax.tables.edges import CONFOUNDED, ENDS, STATED, TAIL, strength

UNCERTAIN = 0.75
"""The probability below which an edge is drawn dotted: of edges that are stated with
less, and rightly so, at least one in four is not there."""


def graph(graph: Any, *, ax: Any = None) -> Any:
    """Draws a graph in layers, causes above their effects.

    Every row of the edge table is one line. Its mark gives its ends, which are arrows,
    small open circles or nothing, and its colour: ``-->`` blue, ``o->`` purple, ``o-o``
    light blue, ``---`` green, ``--o`` orange, ``<->`` vermilion and dashed. Its width
    is ``0.8 + 2.4 p`` points, p the row's ``probability``. Of other marks than ``-->``
    and ``<->`` p is its ``stability`` where there is one, as the probability is that of
    one direction alone. A line is dotted where p is below 0.75, but for these other
    marks without a stability. Names without an edge stand below.

    Args:
      graph: a fitted estimator, its ``edges_``, or a 0/1 frame like its ``adjacency_``
        or ``cpdag_``. An edge table does not know names without an edge.
      ax: matplotlib's Axes to draw on; a new figure of a fitting size if None.

    Returns:
      The Axes; ``ax.figure.savefig(path)`` writes the picture.

    Raises:
      ValueError: if ``graph`` is none of these.
      ImportError: without the extra ``plot``.

    Example:
      >>> import causaljax
      >>> from causaljax import plot
      >>> sachs = causaljax.load_sachs()
      >>> ax = plot.graph(sachs.truth)
      >>> ax.figure.savefig("consensus.png")  # doctest: +SKIP
    """
    edges, names, _ = as_edges(graph, "graph")
    lines = [_line(row) for row in edges.to_dict("records")]
    return drawing.draw(edges, names, lines, _legend(edges, lines), ax)


def line_width(probability: float) -> float:
    """Points; of an edge without a probability as of one of 1/3."""
    return 1.6 if np.isnan(probability) else 0.8 + 2.4 * probability


class Graph(NamedTuple):
    """An edge table and the names it is over."""

    edges: pd.DataFrame
    names: list
    complete: bool = True  # whether all names are known, and not those of edges only


def as_edges(graph: Any, what: str) -> Graph:
    """The edge table of whatever may stand for a graph.

    Raises:
      ValueError: naming ``what`` is none.
    """
    if hasattr(graph, "edges_") and hasattr(graph, "adjacency_"):
        return Graph(graph.edges_, list(graph.adjacency_))
    if not isinstance(graph, pd.DataFrame):
        raise ValueError(
            f"{what} must be a fitted estimator, an edge table or a 0/1 frame, not "
            f"{type(graph).__name__}"
        )
    if set(edge_tables.COLUMNS) <= set(graph.columns):
        wrong = graph[~graph["mark"].isin(list(edge_tables.MARKS))]
        if len(wrong):
            raise ValueError(
                f"row {wrong.index[0]} of {what} has the mark "
                f"{wrong['mark'].iloc[0]!r}: there are {list(edge_tables.MARKS)}"
            )
        ends = sorted({*graph["source"], *graph["target"]}, key=str)
        return Graph(graph, ends, complete=False)
    return _of_matrix(graph, what)


def _of_matrix(matrix, what):
    names = list(matrix.columns)
    if set(matrix.index) != set(names) or len(set(names)) < len(matrix):
        raise ValueError(
            f"{what} has {list(matrix.shape)} rows and columns of different names: "
            "give an edge table, or a 0/1 frame with the same names for both"
        )
    cells = matrix.loc[names].to_numpy(float)
    if not np.isin(cells, (0, 1)).all():
        raise ValueError(f"{what} must hold only 0 and 1; set a threshold first")
    cells = cells.astype(bool)
    found = (cells & ~cells.T) | np.triu(cells & cells.T, 1)
    unknown = np.full(cells.shape, np.nan)
    edges = edge_tables.edge_table(found, cells, unknown, names, meaning="")
    return Graph(edges, names)


def _line(row):
    mark, share = row["mark"], strength(row)
    told = mark in STATED or not np.isnan(row["stability"])
    pattern = "--" if mark == CONFOUNDED else "-"
    return drawing.Line(
        source=row["source"],
        target=row["target"],
        ends=ENDS[mark],
        color=style.EDGES[mark],
        width=line_width(share),
        pattern=":" if told and share < UNCERTAIN else pattern,
    )


def _legend(edges, lines):
    """What is to be seen in this picture, and nothing else."""
    entries = []
    for mark, meaning in edge_tables.MARKS.items():
        if (edges["mark"] == mark).any():
            pattern = "--" if mark == CONFOUNDED else "-"
            sample = drawing.Line(
                "", "", ENDS[mark], style.EDGES[mark], pattern=pattern
            )
            entries.append((meaning, sample))
    if any(line.pattern == ":" for line in lines):
        sample = drawing.Line("", "", (TAIL, TAIL), style.TEXT, pattern=":")
        entries.append((f"uncertain: probability below {UNCERTAIN}", sample))
    strengths = np.array([strength(row) for row in edges.to_dict("records")])
    if np.isfinite(strengths).any():
        meanings = "; ".join(dict.fromkeys(edges["meaning"][np.isfinite(strengths)]))
        meanings = meanings or "probability"
        low, high = np.nanmin(strengths), np.nanmax(strengths)
        sample = drawing.Line("", "", (TAIL, TAIL), style.TEXT, line_width(high))
        span = f"{low:.2f} to {high:.2f}" if high - low > 0.005 else f"{high:.2f}"
        entries.append((f"width: {meanings}, here {span}", sample))
    return entries
