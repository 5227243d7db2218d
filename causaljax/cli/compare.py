"""``causaljax compare``: how far one graph is from another."""

import math
from typing import Any

import numpy as np
import pandas as pd

import causaljax
from causaljax.cli.graph_files import ReadGraph, read_graph
from causaljax.cli.reply import Reply
from causaljax.tables.edges import DIRECTED, UNDIRECTED
from causaljax.tables.errors import coded

_SHARES = ("precision", "recall", "f1")
_MOST = 30  # pairs that are shown to people


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "compare", help="say how far one graph is from another"
    )
    parser.set_defaults(command=_compare)
    for name, text in (("truth", "the graph to measure by"), ("graph", "the other")):
        parser.add_argument(
            name,
            help=f"{text}: a folder of results, a .csv or .json file of a graph, or "
            "a data set's name",
        )


def _compare(options: Any, reply: Reply) -> None:
    truth, graph = _over_the_same(read_graph(options.truth), read_graph(options.graph))
    with coded("graphs_differ"):
        scores = causaljax.compare_graphs(truth.claims, graph.claims)
    names = [str(name) for name in truth.claims.columns]
    differences = _differences(truth.claims, graph.claims)
    reply.run = {"settings": {"truth": options.truth, "graph": options.graph}}
    reply.result = {
        "truth": {"source": truth.source, "edges": _count(truth.claims)},
        "graph": {"source": graph.source, "edges": _count(graph.claims)},
        "variables": names,
        "scores": scores,
        "differences": differences,
    }
    for role in ("truth", "graph"):
        told = reply.result[role]
        reply.say(f"{role}: {told['source']}, {told['edges']} edges")
    empty = f"a graph without edges: {reply.result['truth']['edges']}"
    reply.say(f"SHD {scores['shd']} over {len(names)} columns ({empty})")
    if not math.isnan(scores["sid"]):
        reply.say(f"SID {scores['sid']}")
    reply.show(
        ("", *_SHARES),
        [
            [label, *(f"{scores[f'{kind}_{share}']:.3g}" for share in _SHARES)]
            for label, kind in (("skeleton", "skeleton"), ("directions", "oriented"))
        ],
    )
    if differences:
        reply.show(
            ("source", "target", "truth", "graph"),
            [[cell or "" for cell in row.values()] for row in differences[:_MOST]],
        )
    if len(differences) > _MOST:
        reply.say(f"and {len(differences) - _MOST} pairs more; --json lists all")


def _over_the_same(truth, graph):
    """Both with the columns that one of them leaves out for want of edges."""
    if not graph.complete:
        graph = _filled(graph, truth)
    if not truth.complete:
        truth = _filled(truth, graph)
    return truth, graph


def _filled(graph, other):
    names = [*graph.claims.columns, *other.claims.columns]
    names = list(dict.fromkeys(map(str, names)))
    wider = graph.claims.reindex(index=names, columns=names, fill_value=0)
    return ReadGraph(wider, graph.source, True)


def _count(claims):
    matrix = claims.to_numpy().astype(bool)
    return int(np.triu(matrix | matrix.T).sum())


def _differences(truth: pd.DataFrame, graph: pd.DataFrame) -> list[dict[str, Any]]:
    """The pairs that the two join differently, with the mark of each."""
    names = [str(name) for name in truth.columns]
    real, found = (_in_order(each, names) for each in (truth, graph))
    rows = []
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        marks = [_mark(matrix, i, j) for matrix in (real, found)]
        if marks[0] != marks[1]:
            pair = {"source": names[i], "target": names[j]}
            rows.append(pair | dict(zip(("truth", "graph"), marks, strict=True)))
    return rows


def _in_order(claims, names):
    """The matrix as booleans, its rows and columns in the order of the names."""
    rows, columns = ([str(name) for name in axis] for axis in claims.axes)
    places = ([axis.index(name) for name in names] for axis in (rows, columns))
    return claims.to_numpy().astype(bool)[np.ix_(*places)]


def _mark(matrix, i, j):
    """How a matrix joins a pair, from the first to the second; None if not at all."""
    if matrix[i, j] and matrix[j, i]:
        return UNDIRECTED
    if matrix[i, j]:
        return DIRECTED
    return "<--" if matrix[j, i] else None
