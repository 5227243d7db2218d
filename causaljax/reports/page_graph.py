"""The part of a page that moves: a graph to pan, zoom, search and cut, and its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.interpolate

from causaljax.plot import layout
from causaljax.reports.summary import spelled
from causaljax.tables import edges as edge_tables

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = {
    edge_tables.DIRECTED: "#0072B2",
    edge_tables.UNDIRECTED: "#555555",
    edge_tables.CONFOUNDED: "#D55E00",
}
_DASHES = {
    edge_tables.DIRECTED: [],
    edge_tables.UNDIRECTED: [6, 4],
    edge_tables.CONFOUNDED: [2, 3],
}
_FOUND = "#E69F00"
_INK = "#222222"
_RADIUS = 0.13  # of a node; neighbours are at least 1 apart, as in all that follows
_HEAD = 0.16  # length of an arrowhead
_HALF = 0.065  # half its width
_BOW = 0.25  # how far the line of a common cause leaves the straight one, by its length
_SAMPLES = 25  # points of a curve
_LAYER = 90  # pixels
_LEAST, _MOST = 320, 680  # pixels of height
_NUMBERS = {"probability": "0.00", "weight": "0.[000]", "effect_size": "0.[000]"}
_NUMBERS["stability"] = "0.00"
_APART = 0.4  # vertical distance from which labels cannot meet

_CUT = """
const p = edges.data.probability
shown.indices = [...p.keys()].filter((k) => p[k] >= cut.value)
count.text = `${shown.indices.length} of ${p.length} edges shown`
"""
_SEARCH = """
const text = search.value_input.trim().toLowerCase()
const names = nodes.data.name
const found = [...names.keys()].filter(
  (k) => text && names[k].toLowerCase().includes(text))
nodes.selected.indices = found
said.text = text ? `${found.length} of ${names.length} columns found` : ""
"""
# A label has the room between its neighbours, and names longer than that are cut.
_LABELS = """
const {start, end} = figure.x_range
const {name, x, room} = nodes.data
const scale = figure.inner_width / (end - start) / 7  // letters by unit
nodes.data.label = name.map((text, k) => {
  const least = Math.min(room[k], 2 * (x[k] - start), 2 * (end - x[k]))
  const letters = [...text], most = Math.floor(least * scale)
  if (letters.length <= most || nodes.selected.indices.includes(k)) return text
  return most < 3 ? "" : letters.slice(0, most - 1).join("") + "…"
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

    source = ColumnDataSource(_edge_data(edges, names))
    nodes = ColumnDataSource(_node_data(edges, names, about))
    shown = IndexFilter(indices=list(range(len(edges))))
    view = CDSView(filter=shown)
    count = Div(text=f"{len(edges)} of {len(edges)} edges shown")
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
    used = {"edges": source, "shown": shown, "cut": cut, "count": count}
    cut.js_on_change("value", CustomJS(args=used, code=_CUT))
    picture = _figure(source, view, nodes)
    labels = CustomJS(args={"figure": picture, "nodes": nodes}, code=_LABELS)
    for model, name in (
        (picture, "inner_width"),
        (picture.x_range, "start"),
        (picture.x_range, "end"),
        (nodes.selected, "indices"),
    ):
        model.js_on_change(name, labels)
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


def _figure(source, view, nodes):
    from bokeh.models import (
        DataRange1d,
        HoverTool,
        PanTool,
        ResetTool,
        SaveTool,
        WheelZoomTool,
        ZoomInTool,
        ZoomOutTool,
    )
    from bokeh.plotting import figure

    tall = np.ptp(nodes.data["y"]) if len(nodes.data["y"]) else 0
    wheel = WheelZoomTool(modifiers="ctrl")
    picture = figure(
        height=int(np.clip(_LAYER * (tall + 1), _LEAST, _MOST)),
        sizing_mode="stretch_width",
        match_aspect=True,  # arrowheads are drawn in units of the data
        x_range=DataRange1d(range_padding=0.6, range_padding_units="absolute"),
        y_range=DataRange1d(range_padding=0.6, range_padding_units="absolute"),
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
        line_alpha=0.85,
        nonselection_line_alpha=0.15,
        hover_line_color=_FOUND,
    )
    picture.patches(
        "head_xs",
        "head_ys",
        source=source,
        view=view,
        color="colour",
        nonselection_alpha=0.15,
    )
    dots = picture.circle(
        "x",
        "y",
        radius=_RADIUS,
        source=nodes,
        fill_color="#ffffff",
        line_color=_INK,
        line_width=1.5,
        selection_fill_color=_FOUND,
        nonselection_alpha=0.3,
    )
    picture.text(
        "x",
        "y",
        "label",
        source=nodes,
        y_offset=4,
        text_align="center",
        text_baseline="top",
        text_color=_INK,
        text_font_size="12px",
        nonselection_text_alpha=0.3,
    )
    # The ranges follow the nodes alone: no cut moves the graph.
    picture.x_range.renderers = picture.y_range.renderers = [dots]
    facts = [("", "@edge"), ("", "@numbers"), ("", "@why")]
    picture.add_tools(
        HoverTool(renderers=[lines], tooltips=facts, line_policy="interp"),
        HoverTool(renderers=[dots], tooltips=[("", "@name"), ("", "@about")]),
    )
    return picture


def _table(source, view, edges):
    from bokeh.models import DataTable, NumberFormatter, StringFormatter, TableColumn

    widths = {"source": 130, "mark": 50, "target": 130, "why": 420}
    columns = []
    for name in ("source", "mark", "target", *edge_tables.NUMBERS, "why"):
        numeric = name in edge_tables.NUMBERS
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
        sizing_mode="stretch_width",
        height=min(34 + 25 * max(len(edges), 1), 440),
    )


def _edge_data(edges, names):
    drawn = layout.arrange(edges, names)
    data: dict[str, list[Any]] = {
        name: [spelled(cell) for cell in edges[name]]
        for name in ("source", "mark", "target")
    }
    data |= {name: edges[name].tolist() for name in edge_tables.NUMBERS}
    data["why"] = [spelled(cell) for cell in edges["why"]]
    shapes = []
    for a, mark, b in zip(edges["source"], edges["mark"], edges["target"], strict=True):
        ends = np.array([drawn.places[a], drawn.places[b]])
        points = [ends[0], *drawn.bends.get((a, b), ()), ends[1]]
        if mark == edge_tables.CONFOUNDED:
            along = ends[1] - ends[0]
            bow = ends.mean(axis=0) + _BOW * np.array([-along[1], along[0]])
            points = [ends[0], bow, ends[1]]
        heads = {edge_tables.DIRECTED: (1,), edge_tables.CONFOUNDED: (0, 1)}
        shapes.append(_shape(np.array(points, float), heads.get(mark, ())))
    for name, column in zip(
        ("xs", "ys", "head_xs", "head_ys"), zip(*shapes, strict=True), strict=False
    ):
        data[name] = list(column)
    if not shapes:
        data |= {name: [] for name in ("xs", "ys", "head_xs", "head_ys")}
    data["colour"] = [COLOURS[mark] for mark in edges["mark"]]
    data["dash"] = [_DASHES[mark] for mark in edges["mark"]]
    data["width"] = [1 + 3 * p for p in edges["probability"]]
    data["edge"] = [
        f"{isolated(a)} {mark} {isolated(b)}"
        for a, mark, b in zip(
            data["source"], data["mark"], data["target"], strict=True
        )
    ]
    data["numbers"] = [_numbers(row) for row in edges.to_dict("records")]
    return data


def _numbers(row):
    told = [f"{row['probability']:.2f} {row['meaning']}"]
    for name, form in (("weight", ".3g"), ("effect_size", ".3g"), ("stability", ".2f")):
        if not np.isnan(row[name]):
            told.append(f"{name.replace('_', ' ')} {row[name]:{form}}")
    return ", ".join(told)


def _shape(points, heads):
    """A smooth line through points, between nodes, and its arrowheads.

    Returns:
      Coordinates x and y of the line, and of its heads, NaN between two of them.
    """
    count = len(points)
    degree = min(2, count - 1)
    knots = np.r_[[0] * degree, np.linspace(0, 1, count - degree + 1), [1] * degree]
    line = scipy.interpolate.BSpline(knots, points, degree)(
        np.linspace(0, 1, _SAMPLES)
    )
    triangles = []
    for end in (0, 1):
        line = line[::-1] if end == 0 else line  # the end in question comes last
        centre = line[-1]
        outside = np.linalg.norm(line - centre, axis=1) > _RADIUS + _HEAD
        line = line[outside] if outside.any() else line[:1]
        along = centre - line[-1]
        along = along / np.linalg.norm(along)
        tip = centre - _RADIUS * along
        base = tip - (_HEAD * along if end in heads else 0)
        line = np.vstack([line, base])
        if end in heads:
            side = _HALF * np.array([-along[1], along[0]])
            triangles += [[tip, base + side, base - side]]
        line = line[::-1] if end == 0 else line
    corners = [np.array(triangle) for triangle in triangles]
    if len(corners) == 2:
        corners.insert(1, np.full((1, 2), np.nan))
    corner = np.vstack(corners) if corners else np.zeros((0, 2))
    return *line.T.round(4).tolist(), *corner.T.round(4).tolist()


def _node_data(edges, names, about):
    places = layout.layered(edges, names)
    xy = np.array([places[name] for name in names]).reshape(-1, 2)
    across = np.abs(xy[:, None, 0] - xy[None, :, 0])
    meet = np.abs(xy[:, None, 1] - xy[None, :, 1]) < _APART
    np.fill_diagonal(meet, False)
    room = np.where(meet, across, np.inf).min(axis=1, initial=1e3)
    shown = [spelled(name) for name in names]
    return {
        "x": xy[:, 0].tolist(),
        "y": (xy[:, 1]).tolist(),
        "name": shown,
        "label": list(shown),
        "room": room.tolist(),
        "about": [about.get(name, "") for name in names],
    }


def isolated(text: str) -> str:
    """Text of either direction of writing that turns nothing beside it around."""
    return f"\u2068{text}\u2069"
