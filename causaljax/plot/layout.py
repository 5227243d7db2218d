"""Where the nodes of a graph stand: in layers, causes above their effects."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pandas as pd
import scipy.optimize
import scipy.sparse

from causaljax.tables import edges as edge_tables

Point = tuple[float, float]

_BEND = 0.35  # room of a bend of a long edge, beside that of a node, which is 1
_STRAIGHT = {0: 1, 1: 2, 2: 8}  # weight of a segment by how many of its ends are bends
_GAP = 0.5  # between parts that nothing joins
_SHAPE = 2.0  # width by height that parts side by side should have, about


class Layout(NamedTuple):
    """Where nodes stand and where long edges pass between them.

    Neighbours in a layer are at least 1 apart, layers 1.
    """

    places: dict[Any, Point]  # of all names; a cause has a greater y than its effects
    # of edges that pass by a layer, by (source, target): one point for each, downwards
    bends: dict[tuple[Any, Any], list[Point]]
    isolated: list[Any]  # names without an edge, which stand below all others


def layered(edges: pd.DataFrame, names: Sequence[Any]) -> dict[Any, Point]:
    """A layered layout of an edge table, with few crossings.

    Args:
      edges: an edge table, as ``estimator.edges_``.
      names: of all columns.

    Returns:
      ``{name: (x, y)}``: y grows upwards, and the source of an edge ``-->`` or ``---``
      stands above its target. Neighbours are at least 1 apart, and layers 1. Names
      without an edge stand in rows below all others. Neither the order of the names nor
      that of the rows changes a place.

    Raises:
      ValueError: if an edge names what is not in ``names``, or if edges make a cycle.
      ImportError: without the extra ``plot``.

    Source: Sugiyama, Tagawa and Toda 1981, with layers and places of least total edge
    length as in Gansner et al. 1993.

    Example:
      >>> import numpy as np
      >>> from causaljax.tables.edges import edge_table
      >>> chain = np.eye(3, k=1)
      >>> edges = edge_table(chain, chain, chain, "abc", meaning="score")
      >>> layered(edges, "abc")
      {'a': (0.0, 2.0), 'b': (0.0, 1.0), 'c': (0.0, 0.0)}
    """
    return arrange(edges, names).places


def arrange(edges: pd.DataFrame, names: Sequence[Any]) -> Layout:
    """As ``layered``, with the points that long edges pass through."""
    joined, pairs = _pairs(edges, names)
    count = len(joined)  # vertices from here on are bends
    places, bends = {}, {}
    for points, segments in _side_by_side(
        [_narrowed(*part, count=count) for part in _ordered(pairs)]
    ):
        places |= {joined[k]: xy for k, xy in points.items() if k < count}
        after = {source: target for source, target in segments if source >= count}
        for source, target in segments:
            if source < count <= target:
                passed = []
                while target >= count:
                    passed.append(points[target])
                    target = after[target]
                bends[joined[source], joined[target]] = passed
    isolated = _sorted(set(names) - set(joined))
    places |= _below(isolated, places.values())
    bottom = min([y for _, y in places.values()], default=0.0)
    return Layout(
        {name: (x, y - bottom) for name, (x, y) in places.items()},
        {edge: [(x, y - bottom) for x, y in passed] for edge, passed in bends.items()},
        isolated,
    )


def _sorted(names):
    return sorted(names, key=lambda name: (str(name), type(name).__name__))


def _pairs(edges, names):
    """Names that have edges, sorted, and pairs of their places, causes first.

    A hidden common cause puts neither of the two above the other. Such a pair is only
    joined here if one of them has no other edge.
    """
    known = set(names)
    for name in (*edges["source"], *edges["target"]):
        if name not in known:
            raise ValueError(f"an edge names {name!r}, which is not among the names")
    graph = edge_tables.to_networkx(edges, _sorted(names))
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [source for source, _ in nx.find_cycle(graph)]
        raise ValueError(
            f"edges make the cycle {' -> '.join(map(repr, cycle))}: layers need "
            "a graph without cycles"
        )
    hidden = edges[edges["mark"] == edge_tables.CONFOUNDED]
    alone = {name for name in graph if not nx.degree(graph, name)}
    for pair in zip(hidden["source"], hidden["target"], strict=True):
        if alone & set(pair):
            # A name that has no other edge stands below: no cycle can come of it.
            graph.add_edge(*sorted(_sorted(pair), key=lambda name: name in alone))
    graph.remove_nodes_from([name for name in known if not nx.degree(graph, name)])
    place = {name: k for k, name in enumerate(graph)}
    return list(graph), sorted((place[i], place[j]) for i, j in graph.edges)


def _ordered(pairs):
    """Layers and their order: of each part, points and the segments between them.

    Vertices that are no nodes are bends: an edge that passes layers is a chain of them.
    """
    if not pairs:
        return []
    try:
        from fast_sugiyama import from_edges
    except ImportError as error:
        raise ImportError(
            "the layout of graphs needs the extra plot: pip install 'causaljax[plot]'"
        ) from error
    parts = from_edges(
        pairs,
        minimum_length=1,
        vertex_spacing=1,
        dummy_vertices=True,
        dummy_size=_BEND,
        ranking_type="minimize",
        crossing_minimization="barycenter",
        transpose=True,
    )
    # The library takes parts as they come.
    found = [(dict(points), sorted(segments or ())) for points, _, _, segments in parts]
    return sorted(found, key=lambda part: (-len(part[0]), min(part[0])))


def _narrowed(points, segments, *, count):
    """Moves vertices within their layers until segments are as upright as can be.

    Minimises the sum of ``weight * |x_source - x_target|`` over segments, subject to
    the order in each layer and the room of its vertices: a linear programme, over the
    places and a length for each segment.
    """
    vertices = sorted(points)
    place = {vertex: k for k, vertex in enumerate(vertices)}
    layers = {}
    for vertex in vertices:
        x, y = points[vertex]
        layers.setdefault(round(y), []).append((x, vertex))
    rows, least = [], []
    for layer in layers.values():
        line = [vertex for _, vertex in sorted(layer)]
        for left, right in zip(line, line[1:], strict=False):
            rows.append({place[left]: 1, place[right]: -1})
            least.append(-sum(1 if k < count else _BEND for k in (left, right)) / 2)
    weights = [_STRAIGHT[(i >= count) + (j >= count)] for i, j in segments]
    for k, (i, j) in enumerate(segments, len(vertices)):
        rows.append({place[i]: 1, place[j]: -1, k: -1})
        rows.append({place[i]: -1, place[j]: 1, k: -1})
        least += [0, 0]
    entries = [(k, j, v) for k, row in enumerate(rows) for j, v in row.items()]
    k, j, values = zip(*entries, strict=True)
    solved = scipy.optimize.linprog(
        [*[0] * len(vertices), *weights],
        scipy.sparse.csr_array((values, (k, j))),
        least,
        bounds=[(0, None)],
    )
    x = np.round(solved.x - solved.x[: len(vertices)].min(), 6).tolist()
    return {k: (x[place[k]], float(round(points[k][1]))) for k in vertices}, segments


def _side_by_side(parts):
    """Parts in rows, the largest first, their tops in line."""
    sizes = [
        (max(x for x, _ in points.values()) + 1, max(y for _, y in points.values()) + 1)
        for points, _ in parts
    ]
    area = sum((width + _GAP) * (height + _GAP) for width, height in sizes)
    widest = max([math.sqrt(_SHAPE * area), *(width for width, _ in sizes)])
    placed, left, top, deepest = [], 0.0, 0.0, 0.0
    for (points, segments), (width, height) in zip(parts, sizes, strict=True):
        if left and left + width > widest:
            left, top, deepest = 0.0, top - deepest - _GAP, 0.0
        moved = {k: (x + left, y - height + top) for k, (x, y) in points.items()}
        placed.append((moved, segments))
        left, deepest = left + width + _GAP, max(deepest, height)
    return placed


def _below(names, points):
    """Rows for names without an edge, under the points that are taken."""
    taken = list(points)
    bottom = min([y for _, y in taken], default=0.0) - 1 - _GAP
    width = math.ceil(math.sqrt(_SHAPE * len(names)))
    width = max([width, *(1 + math.floor(x) for x, _ in taken)])
    return {
        name: (float(k % width), bottom - k // width) for k, name in enumerate(names)
    }
