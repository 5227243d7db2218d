"""The edge table: all that is said of the edges of a fitted graph, in one place.

Prints, files, pictures and ``graph_`` are made from it, so that they cannot disagree.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

DIRECTED, UNDIRECTED, CONFOUNDED = "-->", "---", "<->"
PARTLY_DIRECTED, UNTOLD, HALF_UNDIRECTED = "o->", "o-o", "--o"
MARKS = {
    DIRECTED: "the source is a cause of the target",
    PARTLY_DIRECTED: "the target is no cause of the source; the source is a cause of "
    "the target, or a cause that is not in the table is one of both",
    UNTOLD: "an edge of which neither end is told: either may be a cause of the other, "
    "or a cause that is not in the table is one of both",
    UNDIRECTED: "an edge whose direction is not claimed",
    HALF_UNDIRECTED: "the source is a cause of the target, or of what the rows were "
    "selected by",
    CONFOUNDED: "neither is a direct cause of the other, but probably both are effects "
    "of a cause that is not in the table",
}
"""The marks of edges, and what each means.

Those with a circle are of partial ancestral graphs. A row is written so that the right
end of its mark is an arrow if one end is.
"""

TAIL, ARROW, CIRCLE = "tail", "arrow", "circle"
ENDS = {
    DIRECTED: (TAIL, ARROW),
    PARTLY_DIRECTED: (CIRCLE, ARROW),
    UNTOLD: (CIRCLE, CIRCLE),
    UNDIRECTED: (TAIL, TAIL),
    HALF_UNDIRECTED: (TAIL, CIRCLE),
    CONFOUNDED: (ARROW, ARROW),
}
"""What each mark has at the source and at the target."""

CIRCLED = tuple(mark for mark, ends in ENDS.items() if CIRCLE in ends)
"""The marks with an end that is not told."""

_ONE_WAY = tuple(mark for mark, (a, b) in ENDS.items() if a != b)  # cannot be turned

OPEN = (UNDIRECTED, UNTOLD)
"""The marks of edges that may point either way."""

STATED = (DIRECTED, CONFOUNDED)
"""The marks that say all of a pair, so that their probability is that of the mark."""

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

NO_ESTIMATE = {"share of class members", "open ends as halves"}
"""Meanings of probabilities that the data were not asked for."""

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
    stability: Any = None,
    confounders: Any = None,
    why: Mapping[tuple[int, int], str] | None = None,
    marks: Mapping[tuple[int, int], str] | None = None,
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
      stability: ``[d, d]`` float, the share of refits that join two columns; None
        without refits.
      confounders: ``[d, d]`` float, symmetric, P(a hidden common cause), or None; with
        ``marks``, of the same meaning as ``edge_prob``.
      why: reasons, by the places of source and target.
      marks: of the edges of the graph and of pairs ``<->``, by the places of source
        and target; None where ``essential`` and ``confounders`` say all.

    Returns:
      DataFrame with ``COLUMNS``, in the order of the names:

      - ``source``, ``target``: which of them is which means nothing unless the mark is
        ``-->`` or ``o->``.
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

    pairs = list(zip(i.tolist(), j.tolist(), strict=True))
    open_edges = essential[j, i]
    rows: dict[str, Any] = {
        "mark": np.where(open_edges, UNDIRECTED, DIRECTED)
        if marks is None
        else [marks[pair] for pair in pairs],
        "probability": edge_prob[i, j],
        "meaning": [meaning] * len(i),
        "weight": numbers(weights),
        "effect_size": numbers(effects),
        "stability": numbers(stability),
        "why": [reasons.get(pair, "") for pair in pairs],
    }
    if confounders is not None:
        confounders = np.asarray(confounders, np.float64)
        apart, likely = np.triu(~(graph | graph.T), 1), confounders > LIKELY
        if marks is not None:
            likely = np.zeros_like(graph)
            for pair, mark in marks.items():
                likely[pair] = mark == CONFOUNDED
        k, m = np.nonzero(apart & likely)
        count, empty = len(k), np.full(len(k), np.nan)
        more = {
            "mark": [CONFOUNDED] * count,
            "probability": confounders[k, m],
            "meaning": ["of a hidden common cause" if marks is None else meaning]
            * count,
            "weight": empty,
            "effect_size": empty,
            "stability": empty if stability is None else np.asarray(stability)[k, m],
            "why": [
                reasons.get(pair, "")
                for pair in zip(k.tolist(), m.tolist(), strict=True)
            ],
        }
        rows = {name: [*cells, *more[name]] for name, cells in rows.items()}
        i, j = np.concatenate([i, k]), np.concatenate([j, m])
    rows |= {
        "source": [names[place] for place in i.tolist()],
        "target": [names[place] for place in j.tolist()],
    }
    return _typed(rows)


def _typed(rows):
    return pd.DataFrame(
        {
            name: pd.Series(rows[name], dtype=object if name in TEXTS else np.float64)
            for name in COLUMNS
        }
    )


def marked_edges(
    rows: Iterable[tuple[str, str, str, Mapping[str, float]]], names: Sequence[str]
) -> pd.DataFrame:
    """The edge table of a graph that was not learned here, checked.

    A pair that is directed both ways has the mark ``---``, as in a matrix that has a 1
    at both places. The direction of an undirected edge means nothing; where edges as
    they are given have a cycle, undirected ones are turned so that there is none.

    Args:
      rows: source, target, mark and what is known of ``NUMBERS``.
      names: of all nodes.

    Returns:
      An edge table, its other numbers NaN and its texts "".

    Raises:
      ValueError: if an edge joins a node to itself, if a pair has two marks, or if
        directed edges have a cycle.

    Example:
      >>> rows = [("a", "b", "-->", {}), ("b", "a", "-->", {}), ("b", "c", "<->", {})]
      >>> marked_edges(rows, "abc")[["source", "mark", "target"]].values.tolist()
      [['a', '---', 'b'], ['b', '<->', 'c']]
    """
    marks: dict[tuple[str, str], str] = {}
    numbers: dict[tuple[str, str], Mapping[str, float]] = {}
    for source, target, mark, known in rows:
        if source == target:
            raise ValueError(f"an edge joins {source!r} to itself: remove it")
        pair, turned = (source, target), (target, source)
        there = turned if turned in marks else pair
        twice = there == turned and marks[turned] == mark
        if twice and mark == DIRECTED:
            marks[turned] = UNDIRECTED
        elif marks.setdefault(there, mark) != mark or (twice and mark in _ONE_WAY):
            raise ValueError(
                f"{source!r} and {target!r} are joined by {marks[there]} and by "
                f"{mark}: keep one of them"
            )
        numbers.setdefault(there, known)
    directed = nx.DiGraph()
    directed.add_nodes_from(names)
    directed.add_edges_from(pair for pair, mark in marks.items() if mark in _ONE_WAY)
    try:
        place = {name: k for k, name in enumerate(nx.topological_sort(directed))}
    except nx.NetworkXUnfeasible:
        cycle = [source for source, _ in nx.find_cycle(directed)]
        shown = " -> ".join(map(repr, [*cycle, cycle[0]]))
        raise ValueError(f"the edges have a cycle: {shown}; remove one") from None
    joined = [pair for pair, mark in marks.items() if mark != CONFOUNDED]
    sound = nx.is_directed_acyclic_graph(nx.DiGraph(joined))
    ends = [
        pair
        if sound or marks[pair] == CONFOUNDED
        else sorted(pair, key=lambda name: place[name])
        for pair in marks
    ]
    table: dict[str, Any] = dict.fromkeys(TEXTS, [""] * len(marks))
    table |= {
        name: [k.get(name, math.nan) for k in numbers.values()] for name in NUMBERS
    }
    table |= {"source": [a for a, _ in ends], "target": [b for _, b in ends]}
    return _typed(table | {"mark": [*marks.values()]})


def with_ends(a: str, b: str, ends: tuple[str, str]) -> tuple[str, str, str]:
    """Source, target and mark of an edge that has these ends at a and at b.

    Example:
      >>> with_ends("x", "y", (ARROW, CIRCLE))
      ('y', 'x', 'o->')
    """
    for mark, known in ENDS.items():
        if known == ends:
            return a, b, mark
    return with_ends(b, a, ends[::-1])


def strength(row: Mapping[str, Any]) -> float:
    """How sure an edge is.

    Args:
      row: of an edge table.

    Returns:
      Its probability, NaN where its meaning is of ``NO_ESTIMATE``; of an edge whose
      mark is none of ``STATED`` its stability, if that is known, as its probability is
      that of one direction alone.
    """
    if row["meaning"] in NO_ESTIMATE:
        return math.nan
    stable = row["mark"] not in STATED and not math.isnan(row["stability"])
    return row["stability" if stable else "probability"]


def directed_edges(edges: pd.DataFrame) -> pd.DataFrame:
    """The rows of an edge table that are edges of the one graph found."""
    return edges[edges["mark"] != CONFOUNDED]


def adjacency(edges: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The one graph found, ``[d, d]`` of 0 and 1, acyclic, causes as rows."""
    return _framed(_matrix(directed_edges(edges), names), names)


def claims(edges: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """What is claimed: as ``adjacency``, with a 1 at both places of ``OPEN`` edges."""
    open_edges = _matrix(edges[edges["mark"].isin(OPEN)], names)
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
    """The one graph found as a DiGraph that carries what is known of its edges.

    Args:
      edges: an edge table.
      names: of all columns.

    Returns:
      ``networkx.DiGraph`` over all columns, edges with ``undirected``, and with
      ``probability`` and ``weight`` where they are known; an edge whose mark has a
      circle has it as ``mark``. Its ``kind`` is "pag" if there is such an edge, else
      "cpdag" if an edge is undirected, else "dag". Pairs of mark ``<->`` have no edge:
      if there are any, its attribute ``confounded`` holds them, a JSON text of lists
      ``[source, target, probability]``, probability null if unknown. All values are of
      Python's own types, which every networkx writer accepts.
    """
    result = nx.DiGraph(kind="dag")
    result.add_nodes_from(names)
    confounded = []
    for row in edges.to_dict("records"):
        source, target = row["source"], row["target"]
        known: dict[str, Any] = {
            name: float(row[name])
            for name in ("probability", "weight")
            if not math.isnan(row[name])
        }
        if row["mark"] == CONFOUNDED:
            confounded.append([source, target, known.get("probability")])
            continue
        if row["mark"] in CIRCLED:
            known["mark"] = row["mark"]
        undirected = row["mark"] in OPEN
        result.add_edge(source, target, **known, undirected=undirected)
    if edges["mark"].isin(CIRCLED).any():
        result.graph["kind"] = "pag"
    elif edges["mark"].isin(OPEN).any():
        result.graph["kind"] = "cpdag"
    if confounded:
        result.graph["confounded"] = json.dumps(confounded)
    return result


def from_networkx(graph: nx.Graph) -> tuple[pd.DataFrame, list[str]]:
    """The edge table of a graph; undoes ``to_networkx``.

    Graphs of other origin are read, too: edges of an undirected graph have the mark
    ``---``, and an arc without the attribute ``undirected`` is directed.

    Args:
      graph: its names are the texts of its nodes. Attributes that ``to_networkx`` does
        not name are left out, as is a ``mark`` that is none of those with a circle.

    Returns:
      What ``marked_edges`` makes, and all names.

    Raises:
      ValueError: as ``marked_edges``; if an attribute is not of its kind, or if two
        nodes have the same text.
    """
    names = [str(node) for node in graph]
    if len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise ValueError(f"two nodes are called {twice!r}: rename one")
    rows = []
    for source, target, about in graph.edges(data=True):
        pair = str(source), str(target)
        undirected = about.get("undirected", False)
        if undirected not in (False, True):
            raise ValueError(f"undirected of {pair} is {undirected!r}: write 0 or 1")
        mark = DIRECTED if graph.is_directed() and not undirected else UNDIRECTED
        if graph.is_directed() and about.get("mark") in CIRCLED:
            mark = about["mark"]
        known = {
            name: _number(about[name], name, pair)
            for name in ("probability", "weight")
            if about.get(name) is not None
        }
        rows.append((*pair, mark, known))
    rows += _confounded(graph.graph.get("confounded", "[]"), set(names))
    return marked_edges(rows, names), names


def _number(value, name, pair):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} of {pair} is {value!r}: write a finite number")
    return number


def _confounded(text, names):
    try:
        for source, target, probability in json.loads(text):
            pair, known = (str(source), str(target)), {}
            if not set(pair) <= names:
                raise ValueError
            if probability is not None:
                known["probability"] = _number(probability, "probability", pair)
            yield *pair, CONFOUNDED, known
    except (TypeError, ValueError):
        raise ValueError(
            f"confounded is {text!r}: write a JSON text of lists [source, target, "
            "probability] of nodes"
        ) from None
