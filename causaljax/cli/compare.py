"""``causaljax compare``: how far one graph is from another."""

import itertools
import math
from typing import Any

import numpy as np

import causaljax
from causaljax.cli.graph_files import ReadGraph, read_graph
from causaljax.cli.reply import Reply
from causaljax.tables.edges import CIRCLED, DIRECTED, UNDIRECTED
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
    differences = _differences(truth, graph)
    given = (graph.edges for graph in (truth, graph) if graph.edges is not None)
    if any(edges["mark"].isin(CIRCLED).any() for edges in given):
        reply.warn(
            "scores know no circles: they take o-> and --o for -->, o-o for ---, and "
            "<-> for no edge; the differences show the marks as they are"
        )
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
    return ReadGraph(wider, graph.source, True, graph.edges)


def _count(claims):
    matrix = claims.to_numpy().astype(bool)
    return int(np.triu(matrix | matrix.T).sum())


def _differences(truth: ReadGraph, graph: ReadGraph) -> list[dict[str, Any]]:
    """The pairs that the two join differently, with the mark of each."""
    names = [str(name) for name in truth.claims.columns]
    real, found = (_marks(each, names) for each in (truth, graph))
    rows = []
    for pair in itertools.combinations(names, 2):
        marks = real.get(pair), found.get(pair)
        if marks[0] != marks[1]:
            ends = dict(zip(("source", "target"), pair, strict=True))
            rows.append(ends | {"truth": marks[0], "graph": marks[1]})
    return rows


def _marks(graph, names):
    """How pairs are joined, by the two names in their order: "<--" is turned."""
    if graph.edges is None:
        matrix = _in_order(graph.claims, names)
        rows = [
            (names[i], names[j], UNDIRECTED if matrix[j, i] else DIRECTED)
            for i, j in np.argwhere(matrix).tolist()
        ]
    else:
        rows = graph.edges[["source", "target", "mark"]].itertuples(index=False)
    place = {name: k for k, name in enumerate(names)}
    found = {}
    for a, b, mark in rows:
        if place[a] > place[b]:
            a, b, mark = b, a, turned(mark)
        found[a, b] = mark
    return found


def turned(mark: str) -> str:
    """A mark as it is read from the target.

    Example:
      >>> turned("o->")
      '<-o'
    """
    return mark[::-1].translate(str.maketrans("<>", "><"))


def _in_order(claims, names):
    """The matrix as booleans, its rows and columns in the order of the names."""
    rows, columns = ([str(name) for name in axis] for axis in claims.axes)
    places = ([axis.index(name) for name in names] for axis in (rows, columns))
    return claims.to_numpy().astype(bool)[np.ix_(*places)]
