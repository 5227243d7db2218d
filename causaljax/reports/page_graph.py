"""What moves on a page: a graph to pan, zoom, search and cut, and its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.interpolate

from causaljax.plot import layout, style
from causaljax.reports.summary import spelled
from causaljax.tables import edges as edge_tables

_DASHES = {edge_tables.CONFOUNDED: [6, 4]}
_NODE, _HEAD, _CIRCLE = 12, 11, 8  # pixels
_BOW = 0.2  # how far the line of a common cause leaves the straight one, by its length
_MOST_BOW = (0.4, 1.2)  # sideways and upwards
_SAMPLES = 25  # points of a curve
_ROW, _LAYER = 26, 60  # pixels between neighbours in a layer, and between layers
_LEAST, _MOST = 380, 900  # pixels of height
_APART = 0.5  # vertical distance from which labels do not meet
_NUMBERS = {
    "probability": "0.00",
    "weight": "0.[000]",
    "effect_size": "0.[000]",
    "stability": "0.00",
}
"""The columns of numbers that the table shows, and how."""

_CUT = """
const p = edges.data.strength
const of = [...heads.data.edge]
shown.indices = [...p.keys()].filter((k) => p[k] >= cut.value)
shown_heads.indices = [...of.keys()].filter((k) => p[of[k]] >= cut.value)
count.text = `${shown.indices.length} of ${p.length} lines shown`
"""
_SEARCH = """
const text = search.value_input.trim().toLowerCase()
const names = nodes.data.name
const found = [...names.keys()].filter(
  (k) => text && names[k].toLowerCase().includes(text))
nodes.selected.indices = found
said.text = text ? `${found.length} of ${names.length} columns found` : ""
"""
# Heads and circles touch their nodes at any zoom. A label has the room up to the next
# one, in which longer names are cut.
_DRAW = """
const {x_range, y_range, properties} = figure
if (properties.inner_width.is_unset || properties.inner_height.is_unset) return
const right = figure.inner_width / (x_range.end - x_range.start)
const up = figure.inner_height / (y_range.end - y_range.start)
const {to_x, to_y, from_x, from_y, x, y, angle, gap} = heads.data
for (let k = 0; k < x.length; k++) {
  const dx = (to_x[k] - from_x[k]) * right, dy = (to_y[k] - from_y[k]) * up
  angle[k] = Math.atan2(dy, dx) - Math.PI / 2
  x[k] = to_x[k] - gap[k] * Math.cos(Math.atan2(dy, dx)) / right
  y[k] = to_y[k] - gap[k] * Math.sin(Math.atan2(dy, dx)) / up
}
heads.change.emit()
nodes.data.label = nodes.data.name.map((name, k) => {
  const {room: rooms, x: lefts, offset} = nodes.data
  const room = Math.min(rooms[k], x_range.end - lefts[k])
  const letters = [...name], most = Math.floor((room * right - offset[k] - 10) / 7)
  if (letters.length <= most || nodes.selected.indices.includes(k)) return name
  if (most < 4 || up < 11) return ""
  const tail = Math.floor((most - 1) / 3)
  return [...letters.slice(0, most - 1 - tail), "…", ...letters.slice(-tail)].join("")
})
nodes.change.emit()
"""


def interactive(
    edges: pd.DataFrame, names: Sequence[str], about: Mapping[str, str]
) -> Any:
    """A bokeh layout of the graph, its controls and its table.

    Args:
      edges: an edge table.
      names: of all columns.
      about: what is known of columns, by their names, shown at their nodes.

    Returns:
      A bokeh model; everything in it that comes from the names is text.
    """
    from bokeh.layouts import column
    from bokeh.models import (
        CDSView,
        ColumnDataSource,
        CustomJS,
        Div,
        IndexFilter,
        Slider,
        TextInput,
    )

    places, lines = _places(edges, names)
    source = ColumnDataSource(_edge_data(edges, lines))
    heads = ColumnDataSource(_head_data(edges, lines))
    nodes = ColumnDataSource(_node_data(names, places, about, heads.data))
    shown = IndexFilter(indices=list(range(len(edges))))
    shown_heads = IndexFilter(indices=list(range(len(heads.data["edge"]))))
    view = CDSView(filter=shown)
    count = Div(text=f"{len(edges)} of {len(edges)} lines shown")
    said = Div(text="")
    cut = Slider(
        start=0,
        end=1,
        step=0.01,
        value=0,
        title="Show edges of at least this probability",
        sizing_mode="stretch_width",
        max_width=420,
    )
    search = TextInput(
        title="Find columns whose name has",
        sizing_mode="stretch_width",
        max_width=420,
    )
    used = {
        "edges": source,
        "heads": heads,
        "shown": shown,
        "shown_heads": shown_heads,
        "cut": cut,
        "count": count,
    }
    cut.js_on_change("value", CustomJS(args=used, code=_CUT))
    picture = _figure(source, view, heads, CDSView(filter=shown_heads), nodes)
    used = {"figure": picture, "nodes": nodes, "heads": heads}
    draw = CustomJS(args=used, code=_DRAW)
    for model, changes in (
        (picture, ("inner_width", "inner_height")),
        (picture.x_range, ("start", "end")),
        (picture.y_range, ("start", "end")),
        (nodes.selected, ("indices",)),
    ):
        for name in changes:
            model.js_on_change(name, draw)
    used = {"nodes": nodes, "search": search, "said": said}
    search.js_on_change("value_input", CustomJS(args=used, code=_SEARCH))
    return column(
        cut,
        count,
        search,
        said,
        picture,
        _table(source, view, edges),
        sizing_mode="stretch_width",
    )


def _figure(source, view, heads, head_view, nodes):
    from bokeh.models import (
        HoverTool,
        PanTool,
        Range1d,
        ResetTool,
        SaveTool,
        WheelZoomTool,
        ZoomInTool,
        ZoomOutTool,
    )
    from bokeh.plotting import figure

    x, y = nodes.data["x"], nodes.data["y"]
    tall = (_ROW if _is_sideways(x, y) else _LAYER) * (np.ptp(y) + 2)
    wheel = WheelZoomTool(modifiers="ctrl")  # a page is scrolled by the wheel alone
    picture = figure(
        height=int(np.clip(tall, _LEAST, _MOST)),
        sizing_mode="stretch_width",
        # To the right there is room for a label.
        x_range=Range1d(min(x) - 0.3, max(x) + 1),
        y_range=Range1d(min(y) - 0.7, max(y) + 0.7),
        tools=[PanTool(), wheel, ZoomInTool(), ZoomOutTool(), ResetTool(), SaveTool()],
        toolbar_location="above",
        active_scroll=wheel,
        outline_line_color="#cccccc",
    )
    picture.toolbar.logo = None
    picture.axis.visible = False
    picture.grid.visible = False
    lines = picture.multi_line(
        "xs",
        "ys",
        source=source,
        view=view,
        line_color="colour",
        line_dash="dash",
        line_width="width",
        line_alpha=0.8,
        nonselection_line_alpha=0.15,
        hover_line_color=style.BLACK,  # which no mark has
    )
    behind: Any = {"background_fill_color": "#fff", "background_fill_alpha": 0.75}
    picture.text(
        "x",
        "y",
        "label",
        source=nodes,
        x_offset="offset",
        text_baseline="middle",
        text_color=style.TEXT,
        text_font_size="12px",
        **behind,
        nonselection_text_alpha=0.3,
    )
    picture.scatter(
        "x",
        "y",
        angle="angle",
        source=heads,
        view=head_view,
        marker="marker",
        size="size",
        fill_color="fill",
        line_color="colour",
        line_width=1.5,
    )
    dots = picture.scatter(
        "x",
        "y",
        source=nodes,
        size=_NODE,
        fill_color="#ffffff",
        line_color=style.TEXT,
        line_width=1.5,
        selection_fill_color=style.ORANGE,
        nonselection_alpha=0.3,
    )
    facts = [("", "@edge"), ("", "@numbers"), ("", "@why")]
    picture.add_tools(
        HoverTool(renderers=[lines], tooltips=facts, line_policy="interp"),
        HoverTool(renderers=[dots], tooltips=[("", "@name"), ("", "@about")]),
    )
    return picture


def _table(source, view, edges):
    from bokeh.models import DataTable, NumberFormatter, StringFormatter, TableColumn

    widths = {"source": 130, "mark": 50, "target": 130, "why": 540}
    columns = []
    for name in ("source", "mark", "target", *_NUMBERS, "why"):
        numeric = name in _NUMBERS
        known = edges[name].notna() if numeric else edges[name] != ""
        if known.any() or name == "probability":
            form = StringFormatter()
            if numeric:
                form = NumberFormatter(format=_NUMBERS[name], nan_format="")
            columns.append(
                TableColumn(
                    field=name,
                    title=name.replace("_", " "),
                    width=widths.get(name, 90),
                    formatter=form,
                )
            )
    return DataTable(
        source=source,
        view=view,
        columns=columns,
        index_position=None,
        autosize_mode="none",
        reorderable=False,  # which would need another library
        sizing_mode="stretch_width",
        height=min(34 + 25 * max(len(edges), 1), 440),
    )


def _is_sideways(x, y):
    return np.ptp(y) >= np.ptp(x)


def _places(edges, names):
    """Where nodes are, and the line of each edge, ``[samples, 2]``.

    Layers lie side by side unless there are more of them than nodes in the largest:
    names are written from left to right, and screens of phones are tall.
    """
    drawn = layout.arrange(edges, names)
    wide, tall = np.ptp([*drawn.places.values()], axis=0)
    turned = np.array([[0, -1], [-1, 0]]) if wide >= tall else np.eye(2)
    places = {name: turned @ xy for name, xy in drawn.places.items()}
    lines = []
    for a, mark, b in zip(edges["source"], edges["mark"], edges["target"], strict=True):
        bends = [turned @ xy for xy in drawn.bends.get((a, b), ())]
        if mark == edge_tables.CONFOUNDED:
            along = places[b] - places[a]
            across = _BOW * np.array([-along[1], along[0]])
            across = np.clip(across, np.negative(_MOST_BOW), _MOST_BOW)
            bends = [(places[a] + places[b]) / 2 + across]
        lines.append(_smooth(np.array([places[a], *bends, places[b]], float)))
    return places, lines


def _smooth(points):
    """A quadratic B-spline from the first point to the last."""
    degree = min(2, len(points) - 1)
    inner = np.linspace(0, 1, len(points) - degree + 1)
    knots = np.r_[[0] * degree, inner, [1] * degree]
    spline = scipy.interpolate.BSpline(knots, points, degree)
    return spline(np.linspace(0, 1, _SAMPLES))


def _edge_data(edges, lines) -> Any:
    data: dict[str, list[Any]] = {
        name: [spelled(cell) for cell in edges[name]]
        for name in ("source", "mark", "target", "why")
    }
    data |= {name: edges[name].tolist() for name in _NUMBERS}
    data["xs"] = [line[:, 0].round(4).tolist() for line in lines]
    data["ys"] = [line[:, 1].round(4).tolist() for line in lines]
    data["colour"] = [style.EDGES[mark] for mark in edges["mark"]]
    data["dash"] = [_DASHES.get(mark, []) for mark in edges["mark"]]
    rows = edges.to_dict("records")
    strengths = np.array([edge_tables.strength(row) for row in rows])
    # No cut hides an edge whose probability nobody estimated.
    data["strength"] = np.nan_to_num(strengths, nan=1).tolist()
    data["width"] = (1 + 2 * np.nan_to_num(strengths, nan=1 / 3)).tolist()
    data["edge"] = [
        f"{isolated(a)} {mark} {isolated(b)}"
        for a, mark, b in zip(data["source"], data["mark"], data["target"], strict=True)
    ]
    data["numbers"] = [_numbers(row) for row in rows]
    return data


def _numbers(row):
    told = [f"{row['probability']:.2f} {row['meaning']}"]
    for name, form in (("weight", ".3g"), ("effect_size", ".3g"), ("stability", ".2f")):
        if not np.isnan(row[name]):
            told.append(f"{name.replace('_', ' ')} {row[name]:{form}}")
    return ", ".join(told)


def _head_data(edges, lines) -> Any:
    """Of each arrowhead and circle its edge, its node, and where its line comes from.

    Arrowheads are triangles, filled with the colour of the line.
    """
    rows = []
    for k, (mark, line) in enumerate(zip(edges["mark"], lines, strict=True)):
        colour = style.EDGES[mark]
        ends = zip(edge_tables.ENDS[mark], (0, -1), (2, -3), strict=True)
        for end, at, come in ends:
            if end == edge_tables.TAIL:
                continue
            points = [*line[at].tolist(), *line[come].tolist()]
            is_arrow = end == edge_tables.ARROW
            size = _HEAD if is_arrow else _CIRCLE
            # The tip of bokeh's triangle is size / sqrt(3) from its place.
            gap = _NODE / 2 + (size / 3**0.5 if is_arrow else size / 2)
            shape = "triangle" if is_arrow else "circle"
            fill = colour if is_arrow else "#ffffff"
            place = [*points[:2], 0.0]
            rows.append([k, colour, *points, *place, shape, size, fill, gap])
    names = ("edge", "colour", "to_x", "to_y", "from_x", "from_y", "x", "y", "angle")
    names += ("marker", "size", "fill", "gap")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _node_data(names, places, about, heads) -> Any:
    x, y = np.array([places[name] for name in names]).T
    right = x[None, :] - x[:, None]
    meet = (right > 0) & (np.abs(y[:, None] - y[None, :]) < _APART)
    room = np.where(meet, right, np.inf).min(axis=1, initial=1e3)
    shown = [spelled(name) for name in names]
    # A head that comes from the right stands between a node and its name.
    ends = zip(heads["to_x"], heads["to_y"], heads["from_x"], strict=True)
    taken = {(at, high) for at, high, come in ends if come > at}
    least = _NODE / 2 + 2
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "name": shown,
        "label": [""] * len(shown),  # until there is a width
        "room": room.tolist(),
        "offset": [
            least + _HEAD * (place in taken)
            for place in zip(x.tolist(), y.tolist(), strict=True)
        ],
        "about": [about.get(name, "") for name in names],
    }


def isolated(text: str) -> str:
    """Text of either direction of writing that turns nothing beside it around."""
    return f"\u2068{text}\u2069"
