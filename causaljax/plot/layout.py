"""Where the nodes of a graph stand: in layers, causes above their effects."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx
import pandas as pd
import scipy.optimize
import scipy.sparse

from causaljax.tables import edges as edge_tables

Point = tuple[float, float]

BEND = 0.3
"""The width kept free for a long edge where it passes a layer."""

_STRAIGHT = (1, 2, 8)  # weights of segments with 0, 1, 2 ends that are bends
_GAP = 0.5  # between parts that nothing joins
_SHAPE = 2.0  # width by height that parts side by side should have, about


class Layout(NamedTuple):
    """Where nodes stand and where long edges pass between them."""

    places: dict[Any, Point]  # of all names
    # of edges that pass layers, (upper, lower) end: a point in each of these, downwards
    bends: dict[tuple[Any, Any], list[Point]]
    isolated: list[Any]  # names without an edge, which stand below all others


def layered(edges: pd.DataFrame, names: Sequence[Any]) -> dict[Any, Point]:
    """A layered layout of an edge table, with few crossings.

    Args:
      edges: an edge table, as ``estimator.edges_``.
      names: of all columns.

    Returns:
      ``{name: (x, y)}``: y grows upwards from 0, and the source of an edge of any mark
      but ``<->`` stands above its target. Neighbours are at least 1 apart, and layers
      1. Names without an edge stand in rows below all others. Neither the order of the
      names nor that of the rows changes a place.

    Raises:
      ValueError: if an edge names what is not in ``names``.
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


def arrange(
    edges: pd.DataFrame,
    names: Sequence[Any],
    widths: Mapping[Any, float] | None = None,
) -> Layout:
    """As ``layered``, with the points that long edges pass through.

    Args:
      edges: an edge table; a row that closes a cycle points upwards.
      names: of all columns.
      widths: the room of each name, in distances of layers; 1 if None. Neighbours are
        half the sum of theirs apart.
    """
    room = dict.fromkeys(names, 1.0) if widths is None else widths
    joined, pairs = _pairs(edges, names)
    count = len(joined)  # vertices from here on are bends
    sizes = [room[name] for name in joined]
    parts = [_narrowed(*part, sizes=sizes) for part in _ordered(pairs)]
    places, bends = {}, {}
    for points, segments in _side_by_side(parts, sizes):
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
    places |= _below(isolated, places, room)
    left = min([x for x, _ in places.values()], default=0)
    bottom = min([y for _, y in places.values()], default=0)

    def moved(point):
        return round(point[0] - left, 6), point[1] - bottom

    return Layout(
        {name: moved(point) for name, point in places.items()},
        {edge: [moved(point) for point in passed] for edge, passed in bends.items()},
        isolated,
    )


def _sorted(names):
    return sorted(names, key=lambda name: (str(name), type(name).__name__))


def _pairs(edges, names):
    """Names that have edges, sorted, and pairs of their places, upper ones first.

    A hidden common cause puts neither of the two above the other. Such a pair is only
    joined here if one of them has no other edge.
    """
    place = {name: k for k, name in enumerate(_sorted(names))}
    marks, rows = list(edge_tables.MARKS), []
    for cells in zip(edges["source"], edges["target"], edges["mark"], strict=True):
        for name in cells[:2]:
            if name not in place:
                raise ValueError(f"an edge names {name!r}, which is not among names")
        rows.append((marks.index(cells[2]), place[cells[0]], place[cells[1]]))
    graph = nx.DiGraph()
    hidden = marks.index(edge_tables.CONFOUNDED)
    # Of rows that make a cycle the later ones turn, and so do later marks.
    for kind, i, j in sorted(rows, key=lambda row: row[0]):
        if kind != hidden:
            back = {i, j} <= set(graph) and nx.has_path(graph, j, i)
            graph.add_edge(*((j, i) if back else (i, j)))
    other = set(graph)
    for i, j in sorted(sorted(row[1:]) for row in rows if row[0] == hidden):
        if not {i, j} <= other:
            # Those without another edge stand below: this closes no cycle.
            graph.add_edge(*((j, i) if j in other else (i, j)))
    joined = sorted(graph)
    order = {k: number for number, k in enumerate(joined)}
    by_place = list(place)
    pairs = sorted((order[i], order[j]) for i, j in graph.edges)
    return [by_place[k] for k in joined], pairs


def _ordered(pairs):
    """Layers and their order: of each part, points and the segments between them.

    Vertices from the number of nodes on are bends: an edge that passes layers is a
    chain of them.
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
        dummy_size=BEND,
        ranking_type="minimize",
        crossing_minimization="barycenter",
        transpose=True,
    )
    # The library gives parts in no order of ours.
    found = [(dict(points), sorted(segments or ())) for points, _, _, segments in parts]
    return sorted(found, key=lambda part: (-len(part[0]), min(part[0])))


def _narrowed(points, segments, *, sizes):
    """Moves vertices within their layers until segments are as upright as can be.

    Minimises the sum of ``weight * |x_source - x_target|`` over segments, subject to
    the order in each layer and the room of its vertices: a linear programme, over the
    places and a length for each segment.
    """
    vertices, count = sorted(points), len(sizes)
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
            least.append(-(_size(left, sizes) + _size(right, sizes)) / 2)
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
    x = solved.x.tolist()
    return {k: (x[place[k]], float(round(points[k][1]))) for k in vertices}, segments


def _size(vertex, sizes):
    return sizes[vertex] if vertex < len(sizes) else BEND


def _side_by_side(parts, sizes):
    """Parts in rows, the largest first, their tops in line."""
    boxes = []
    for points, _ in parts:
        half = {k: _size(k, sizes) / 2 for k in points}
        left = min(x - half[k] for k, (x, _) in points.items())
        right = max(x + half[k] for k, (x, _) in points.items())
        boxes.append((left, right - left, max(y for _, y in points.values()) + 1))
    area = sum((width + _GAP) * (height + _GAP) for _, width, height in boxes)
    widest = max([math.sqrt(_SHAPE * area), *(width for _, width, _ in boxes)])
    placed, x, top, deepest = [], 0.0, 0.0, 0.0
    for (points, segments), (left, width, height) in zip(parts, boxes, strict=True):
        if x and x + width > widest:
            x, top, deepest = 0.0, top - deepest - _GAP, 0.0
        moved = {
            k: (px + x - left, py - height + top) for k, (px, py) in points.items()
        }
        placed.append((moved, segments))
        x, deepest = x + width + _GAP, max(deepest, height)
    return placed


def _below(names, places, room):
    """Rows for names without an edge, under the places that are taken."""
    bottom = min([y for _, y in places.values()], default=0.0) - 1
    total = sum(room[name] for name in names)
    right = [x + room[name] / 2 for name, (x, _) in places.items()]
    widest = max([math.sqrt(_SHAPE * total), *right, *(room[name] for name in names)])
    found, x = {}, 0.0
    for name in names:
        if x and x + room[name] > widest + 1e-6:
            x, bottom = 0.0, bottom - 1
        found[name] = x + room[name] / 2, bottom
        x += room[name]
    return found
