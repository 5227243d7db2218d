"""Nodes and lines on axes: names do not overlap, and no line runs through a name.

Nodes stand in rows. Between two rows a line is a curve that stays between them, as the
control points of its Bezier pieces do. Through a row it goes straight down, where the
layout left room for it. All lengths are inches until the axes are known.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from causaljax.plot import layout, style
from causaljax.tables.edges import ARROW, CIRCLE

_FONT, _SMALL = 9, 8  # points, of names and of all else
_ROW = 0.8  # from row to row
_BROAD = 0.025  # more for each inch of width, as lines become flatter
_HALF = 0.13  # half a node's height
_PAD = 0.09  # between a name and its frame
_APART = 0.12  # between nodes
_ENTRY = 0.19  # a line of the legend
_SAMPLE = 0.75  # a line of the legend, but for its text
_MARGIN = 0.12
_DEEPEST = 0.4  # below a row, of the control points of a line that stays in it
_HEAD = 9  # points, the scale of arrowheads
_CIRCLE, _RIM = 2.4, 1.2  # points, of circles at ends: radius and width of the line
_LONGEST = 18, 12  # characters of a name, in graphs of few nodes and of many
_FEW = 25  # nodes
_LARGEST = 1.25  # scale, however large the axes are


class Line(NamedTuple):
    """What joins two nodes."""

    source: Any
    target: Any
    ends: tuple[str, str]  # at source and target, as ``tables.edges.ENDS`` has them
    color: str
    width: float = 1.6  # points
    pattern: str = "-"


class Node(NamedTuple):
    """Where a node is, in inches."""

    x: float
    y: float
    half: float  # half its width


def draw(
    edges: pd.DataFrame,
    names: Sequence[Any],
    lines: Sequence[Line],
    legend: Sequence[tuple[str, Line]],
    ax: Any = None,
) -> Any:
    """Draws a graph.

    Args:
      edges: the edge table that the layout is made of.
      names: of all nodes.
      lines: what is drawn between them.
      legend: what is explained below, each with a sample.
      ax: matplotlib's Axes; if None a new figure, as large as the graph asks for. On
        axes that are smaller all is drawn smaller.

    Returns:
      The Axes. Its artists have ids (``get_gid``): "node k" is the text of the k-th
      name, "edge k" the k-th line, "circle k" a circle at an end of that line.
    """
    own, ax = ax is None, style.axes(ax, 1, 1)
    names = list(names)
    texts = style.labels(names, _LONGEST[len(names) > _FEW])
    halves = {name: _half(text) for name, text in zip(names, texts, strict=True)}
    room = {name: (2 * half + _APART) / _ROW for name, half in halves.items()}
    found = layout.arrange(edges, names, room)

    right = max([x + room[name] / 2 for name, (x, _) in found.places.items()])
    left = min([x - room[name] / 2 for name, (x, _) in found.places.items()])
    row = _ROW + _BROAD * (right - left) * _ROW
    below = _ENTRY * len(legend) + _DEEPEST

    def inches(point):
        return (point[0] - left) * _ROW, below + _HALF + point[1] * row

    nodes = {
        name: Node(*inches(point), halves[name]) for name, point in found.places.items()
    }
    bends = {
        pair: [inches(point) for point in passed]
        for pair, passed in found.bends.items()
    }
    height = max(node.y for node in nodes.values()) + _HALF + _MARGIN
    words = max([_length(text, _SMALL) for text, _ in legend], default=0) + _SAMPLE
    scale = _fit(ax, own, (right - left) * _ROW, words, height)
    _put_nodes(ax, nodes, names, texts, found.isolated, scale)
    _put_lines(ax, nodes, bends, lines, scale)
    _put_legend(ax, legend, scale)
    return ax


def _half(text):
    """Half the width of a node with this text."""
    return max(_length(text, _FONT), 0.15) / 2 + _PAD


def _length(text, points):
    """How long a text is in this size, inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, *_ = text_to_path.get_text_width_height_descent(
        text, FontProperties(size=points), False
    )
    return 1.05 * width / 72  # the renderer's letters are wider than the font's


def _fit(ax, own, width, words, height):
    """Makes a new figure as large as it must be; returns how much smaller all is."""
    margin = max(words - width, 0) / 2 + _MARGIN
    if own:
        ax.figure.set_size_inches(width + 2 * margin, height)
        ax.figure.set_layout_engine("none")
        ax.set_position((0, 0, 1, 1))
    box = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    scale = min(box.width / (width + 2 * margin), box.height / height, _LARGEST)
    spare = (box.width / scale - width) / 2
    ax.set(xlim=(-spare, width + spare), ylim=(0, box.height / scale))
    ax.set_axis_off()
    return scale


def _put_nodes(ax, nodes, names, texts, isolated, scale):
    from matplotlib.patches import FancyBboxPatch

    for k, (name, text) in enumerate(zip(names, texts, strict=True)):
        x, y, half = nodes[name]
        frame = FancyBboxPatch(
            (x - half, y - _HALF),
            2 * half,
            2 * _HALF,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor="white",
            edgecolor=style.TEXT,
            linewidth=0.8 * scale,
            zorder=2,
        )
        ax.add_artist(frame)
        ax.text(
            x,
            y,
            text,
            ha="center",
            va="center_baseline",
            color=style.TEXT,
            fontsize=_FONT * scale,
            parse_math=False,
            zorder=3,
            gid=f"node {k}",
        )
    if isolated:
        first = nodes[isolated[0]]
        ax.text(
            first.x - first.half,
            first.y + 2 * _HALF,
            "without an edge:",
            color=style.TEXT,
            fontsize=_SMALL * scale,
        )


def _put_lines(ax, nodes, bends, lines, scale):
    from matplotlib.path import Path

    routes = [_route(line, nodes, bends) for line in lines]
    for k, (line, points) in enumerate(zip(lines, _ported(routes, nodes), strict=True)):
        vertices, codes = [points[0]], [Path.MOVETO]
        for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
            if x0 == x1:
                vertices.append((x1, y1))
                codes.append(Path.LINETO)
                continue
            # In one row both ends of a curve hang below it.
            drop = 0.45 * (y0 - y1) or min(0.2 + 0.05 * abs(x1 - x0), _DEEPEST)
            rise = drop if y0 != y1 else -drop
            vertices += [(x0, y0 - drop), (x1, y1 + rise), (x1, y1)]
            codes += [Path.CURVE4] * 3
        down = routes[k].upper == line.source
        ends = line.ends if down else line.ends[::-1]
        patch = _arrow(line, ends, scale, path=Path(vertices, codes))
        patch.set_gid(f"edge {k}")
        ax.add_artist(patch)
        level = points[0][1] == points[-1][1]
        for end, (x, y), side in zip(
            ends, (points[0], points[-1]), (-1, -1 if level else 1), strict=True
        ):
            if end == CIRCLE:
                # Lines leave and reach frames upright, and so pass the centre.
                radius = _CIRCLE / 72
                circle = _circle(line, (x, y + side * radius), radius, scale)
                circle.set_gid(f"circle {k}")
                ax.add_artist(circle)


class _Route(NamedTuple):
    """The nodes of a line and the points where it passes rows, downwards."""

    upper: Any
    lower: Any
    passed: list


def _route(line, nodes, bends):
    upper, lower = line.source, line.target
    if (nodes[upper].y, nodes[lower].x) < (nodes[lower].y, nodes[upper].x):
        upper, lower = lower, upper
    if (upper, lower) in bends:
        return _Route(upper, lower, bends[upper, lower])
    # A line that the layout did not plan for takes the nearest gap of each row.
    (x0, y0, _), (x1, y1, _) = nodes[upper], nodes[lower]
    rows = defaultdict(list)
    for node in nodes.values():
        if y1 + _HALF < node.y < y0 - _HALF:
            rows[node.y].append((node.x - node.half - _PAD, node.x + node.half + _PAD))
    passed = []
    for y in sorted(rows, reverse=True):
        x0, y0 = x0 + (x1 - x0) * (y0 - y) / (y0 - y1), y
        x0 = min(
            (
                x
                for x in (x0, *(end for box in rows[y] for end in box))
                if not any(left < x < right for left, right in rows[y])
            ),
            key=lambda x, wanted=x0: abs(x - wanted),
        )
        passed.append((x0, y))
    return _Route(upper, lower, passed)


def _ported(routes, nodes):
    """The points of each line, its ends side by side along the frames of its nodes."""
    ends = defaultdict(list)  # by node and side, of (where the line goes, its number)
    for k, (upper, lower, passed) in enumerate(routes):
        level = nodes[upper].y == nodes[lower].y
        above, below = passed[0] if passed else nodes[lower], (passed or [0])[-1]
        below = below or nodes[upper]
        ends[upper, "below"].append((above[0], k, 0))
        ends[lower, "below" if level else "above"].append((below[0], k, 1))
    ports = {}
    for (name, _), found in ends.items():
        x, _, half = nodes[name]
        step = 2 * (half - 0.06) / (len(found) + 1)
        for place, (_, k, end) in enumerate(sorted(found), 1):
            ports[k, end] = x - half + 0.06 + place * step
    lines = []
    for k, (upper, lower, passed) in enumerate(routes):
        level = nodes[upper].y == nodes[lower].y
        points = [(ports[k, 0], nodes[upper].y - _HALF)]
        for x, y in passed:
            points += [(x, y + _HALF), (x, y - _HALF)]
        end = nodes[lower].y + (-_HALF if level else _HALF)
        lines.append([*points, (ports[k, 1], end)])
    return lines


def _arrow(line, ends, scale, **shape):
    from matplotlib.patches import FancyArrowPatch

    source, target = (end == ARROW for end in ends)
    return FancyArrowPatch(
        **shape,
        arrowstyle=f"{'<|' * source}-{'|>' * target}",
        mutation_scale=_HEAD * scale,
        color=line.color,
        linewidth=line.width * scale,
        linestyle=line.pattern,
        shrinkA=0,
        shrinkB=0,
        zorder=1,
    )


def _circle(line, centre, radius, scale):
    from matplotlib.patches import Circle

    return Circle(
        centre,
        radius,
        facecolor="white",
        edgecolor=line.color,
        linewidth=_RIM * scale,
        zorder=1.5,  # above all lines and below nodes
    )


def _put_legend(ax, legend, scale):
    from matplotlib.legend_handler import HandlerBase

    class Sample(HandlerBase):
        """Draws a line and its ends beside its text."""

        def __init__(self, line):
            super().__init__()
            self.line = line

        def create_artists(
            self,
            legend,
            orig_handle,
            xdescent,
            ydescent,
            width,
            height,
            fontsize,
            trans,
        ):
            del legend, orig_handle, fontsize
            y, left, right = height / 2 - ydescent, -xdescent, width - xdescent
            line, radius = self.line, _CIRCLE * scale
            span = {"posA": (left, y), "posB": (right, y)}
            artists: list[Any] = [_arrow(line, line.ends, scale, **span)]
            for end, x in zip(line.ends, (left + radius, right - radius), strict=True):
                if end == CIRCLE:
                    artists.append(_circle(line, (x, y), radius, scale))
            for artist in artists:
                artist.set_transform(trans)
            return artists

    if not legend:
        return
    samples = {object(): Sample(line) for _, line in legend}
    ax.legend(
        [*samples],
        [text for text, _ in legend],
        handler_map=samples,
        loc="lower center",
        frameon=False,
        fontsize=_SMALL * scale,
        labelcolor=style.TEXT,
        handlelength=3,
        labelspacing=0.5,
        borderaxespad=0.3,
    )
