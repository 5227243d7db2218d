"""Pictures say what the edge table says, and names stay legible."""

import itertools
import pathlib
import types

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from causaljax import plot
from causaljax.plot import graphs, style
from causaljax.plot.calibrations import reliability
from causaljax.tables import edges as edge_tables
from causaljax.tables import frame

HOSTILE = [
    "$x_{",
    "$\\frac{1}{0}$",
    "line\nbreak\tand tab",
    "<script>alert(1)</script>",
    "_underscore first",
    "\\textbf{a} % # & ~ ^",
    "שלום עולם \u202egnirts",
    "Q" * 300,
    "",
    " ",
]


def drawn(size, *, names=None, seed=0, circles=False):
    """What pictures ask of an estimator, of a random graph with all marks.

    Those with a circle are only there if asked for.
    """
    rng = np.random.default_rng(seed)
    graph = np.triu(rng.random((size, size)) < 3 / (size - 1), 1)
    order = rng.permutation(size)
    graph = graph[np.ix_(order, order)]
    open_edges = graph & (rng.random((size, size)) < 0.3)
    hidden = np.triu(rng.random((size, size)) < 1 / size, 1)
    names = names or [f"column {k + 1}" for k in range(size)]
    marks = None
    if circles:
        joined = [mark for mark in edge_tables.MARKS if mark != "<->"]
        turn = itertools.cycle(joined)
        marks = {pair: next(turn) for pair in map(tuple, np.argwhere(graph).tolist())}
        apart = hidden & ~(graph | graph.T)
        marks |= {pair: "<->" for pair in map(tuple, np.argwhere(apart).tolist())}
    edges = edge_tables.edge_table(
        graph,
        graph | open_edges.T,
        graph * rng.uniform(0.4, 1, (size, size)),
        names,
        meaning="calibrated probability",
        confounders=(hidden | hidden.T) * rng.uniform(0.5, 1),
        marks=marks,
    )
    return types.SimpleNamespace(
        edges_=edges, adjacency_=edge_tables.adjacency(edges, names)
    )


def artists(ax, kind):
    """Nodes or edges of a picture, by their numbers."""
    found = {}
    for artist in [*ax.texts, *ax.patches]:
        word, _, number = (artist.get_gid() or "").partition(" ")
        if word == kind:
            found[int(number)] = artist
    return [found[k] for k in sorted(found)]


def boxes(ax):
    """Of the texts of nodes, on the screen: left, bottom, right, top."""
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    return np.array(
        [text.get_window_extent(renderer).extents for text in artists(ax, "node")]
    )


def overlapping(found):
    return [
        (i, j)
        for i, j in itertools.combinations(range(len(found)), 2)
        if (found[i][:2] < found[j][2:]).all() and (found[j][:2] < found[i][2:]).all()
    ]


@pytest.mark.parametrize("circles", [False, True])
@pytest.mark.parametrize("size", [5, 11, 20, 60])
def test_names_are_legible_and_no_line_runs_through_them(size, circles):
    model = drawn(size, circles=circles)
    ax = plot.graph(model)
    found = boxes(ax)
    assert len(found) == size
    assert overlapping(found) == []
    width, height = ax.figure.canvas.get_width_height()
    assert (found >= 0).all()
    assert (found[:, 2] <= width).all()
    assert (found[:, 3] <= height).all()
    legend = ax.get_legend().get_window_extent().extents
    assert (found[:, 1] >= legend[3]).all()
    assert [text.get_text() for text in artists(ax, "node")] == list(model.adjacency_)
    assert min(text.get_fontsize() for text in artists(ax, "node")) > 8.9
    names = list(model.adjacency_)
    rows = model.edges_.to_dict("records")
    for row, patch in zip(rows, artists(ax, "edge"), strict=True):
        path = patch.get_path().interpolated(1).cleaned(curves=False)
        points = patch.get_transform().transform(path.vertices)
        for name, box in zip(names, found, strict=True):
            inside = ((points > box[:2]) & (points < box[2:])).all(axis=1)
            assert not inside.any(), (row, name)


def test_marks_widths_and_patterns_are_those_of_the_edge_table():
    model = drawn(11, circles=True)
    ax = plot.graph(model)
    lines = artists(ax, "edge")
    assert len(lines) == len(model.edges_)
    assert set(model.edges_["mark"]) == set(edge_tables.MARKS)
    circles = [patch.get_gid() for patch in ax.patches]
    for k, row in enumerate(model.edges_.to_dict("records")):
        line, mark, probability = lines[k], row["mark"], row["probability"]
        ends, arrow = edge_tables.ENDS[mark], line.get_arrowstyle().arrow
        assert arrow.count("<|") + arrow.count("|>") == ends.count("arrow")
        assert circles.count(f"circle {k}") == ends.count("circle")
        assert line.get_linewidth() == pytest.approx(0.8 + 2.4 * probability)
        uncertain = mark in ("-->", "<->") and probability < 0.75
        usual = "--" if mark == "<->" else "-"
        assert line.get_linestyle() == (":" if uncertain else usual)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[: len(edge_tables.MARKS)] == list(edge_tables.MARKS.values())
    few = [text.get_text() for text in plot.graph(drawn(11)).get_legend().get_texts()]
    assert few[:4] == [edge_tables.MARKS[mark] for mark in ("-->", "---", "<->")] + [
        "uncertain: probability below 0.75"
    ]


def test_an_open_edge_is_as_wide_as_it_is_stable():
    """Its probability is that of one of two directions."""
    edges = drawn(11, circles=True).edges_
    edges["stability"] = 0.6
    ax = plot.graph(edges)
    for line, mark in zip(artists(ax, "edge"), edges["mark"], strict=True):
        if mark not in ("-->", "<->"):
            assert line.get_linewidth() == pytest.approx(0.8 + 2.4 * 0.6)
            assert line.get_linestyle() == ":"


@pytest.mark.parametrize("ours", [True, False])
def test_circles_touch_the_frames_of_their_nodes(ours):
    """On a figure of their own and on small axes, where all is smaller."""
    from matplotlib.figure import Figure

    model = drawn(20, circles=True)
    names = list(model.adjacency_)
    small = None if ours else Figure(figsize=(5, 3)).add_subplot()
    ax = plot.graph(model, ax=small)
    (radius,) = {p.get_radius() for p in ax.patches if is_circle(p)}
    found = set()
    frames = [patch for patch in ax.patches if patch.get_gid() is None]
    frames = dict(zip(names, (f.get_extents() for f in frames), strict=True))
    inch = ax.transData.transform([[0, 0], [1, 1]])
    np.testing.assert_allclose(*np.diff(inch, axis=0)[0])  # circles are round
    for patch in filter(is_circle, ax.patches):
        row = model.edges_.iloc[int(patch.get_gid().split()[1])]
        x, y = ax.transData.transform(patch.center)
        size = radius * (inch[1, 0] - inch[0, 0])
        ends = edge_tables.ENDS[row["mark"]]
        for name, end in zip((row["source"], row["target"]), ends, strict=True):
            box = frames[name]
            gap = max(box.y0 - y, y - box.y1) - size
            if end == "circle" and box.x0 < x < box.x1 and abs(gap) < 1e-3 * size:
                found.add((row.name, name))
    asked = {
        (k, name)
        for k, row in model.edges_.iterrows()
        for name, end in zip(
            (row["source"], row["target"]), edge_tables.ENDS[row["mark"]], strict=True
        )
        if end == "circle"
    }
    assert found == asked != set()


def is_circle(patch):
    return (patch.get_gid() or "").startswith("circle")


def test_each_mark_has_a_colour_of_its_own():
    assert set(style.EDGES) == set(edge_tables.MARKS)
    assert len(set(style.EDGES.values())) == len(edge_tables.MARKS)


def test_arrowheads_are_at_effects():
    """Also where an effect stands above its cause."""
    edges = drawn(5).edges_.iloc[:0]
    row = {name: "" for name in edge_tables.TEXTS} | {"probability": 0.9}
    rows = [("a", "b"), ("b", "c"), ("c", "a")]
    edges = pd.DataFrame(
        [row | {"source": s, "target": t, "mark": "-->"} for s, t in rows],
        columns=edges.columns,
    )
    edges[["weight", "effect_size", "stability"]] = np.nan
    ax = plot.graph(edges)
    nodes = {text.get_text(): text.get_position() for text in artists(ax, "node")}
    for (source, target), line in zip(rows, artists(ax, "edge"), strict=True):
        ends = line._path_original.vertices[[0, -1]]
        tip = ends[1] if line.get_arrowstyle().arrow == "-|>" else ends[0]
        far = {name: abs(tip - nodes[name]).sum() for name in (source, target)}
        assert far[target] < far[source]


def test_another_order_of_the_columns_gives_the_same_picture():
    model = drawn(20)
    rng = np.random.default_rng(1)
    order = rng.permutation(20)
    turned = types.SimpleNamespace(
        edges_=model.edges_.iloc[rng.permutation(len(model.edges_))],
        adjacency_=model.adjacency_.iloc[order, order],
    )
    places = [
        {text.get_text(): text.get_position() for text in artists(ax, "node")}
        for ax in (plot.graph(model), plot.graph(turned))
    ]
    assert places[0] == places[1]


def test_hostile_names_are_shown_as_text():
    model = drawn(len(HOSTILE), names=HOSTILE, circles=True)
    for ax in (plot.graph(model), plot.comparison(model, model)):
        found = boxes(ax)
        texts = [text.get_text() for text in artists(ax, "node")]
        assert overlapping(found) == []
        assert texts[0] == "$x_{"
        assert texts[2] == "line break and tab"
        assert all(len(text) <= 22 for text in texts)
        assert all(text.isprintable() for text in texts)
        assert texts[-2:] == ["(blank)", "(blank) #9"]
        assert len(set(texts)) == len(texts)


def test_names_that_are_cut_stay_apart():
    names = [f"blood pressure, systolic, at visit {k} of the study" for k in range(12)]
    texts = style.labels(names, 18)
    assert len(set(texts)) == 12
    assert all("…" in text for text in texts)


def test_axes_of_ones_own():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2)
    assert plot.graph(drawn(20), ax=left) is left
    plot.graph(drawn(5), ax=right)
    assert overlapping(boxes(left)) == []
    assert tuple(figure.get_size_inches()) == (8, 4)


def test_the_same_edges_from_estimator_table_and_matrix():
    ax = plot.graph(frame_of(["ab", "ba", "cd"]))
    assert len(artists(ax, "edge")) == 2
    model = drawn(11)
    assert len(artists(plot.graph(model.edges_), "edge")) == len(model.edges_)


def test_nothing_to_draw():
    ax = plot.graph(pd.DataFrame(0, list("abc"), list("abc")))
    assert len(artists(ax, "node")) == 3
    assert ax.get_legend() is None
    assert "without an edge:" in [text.get_text() for text in ax.texts]


def frame_of(pairs, names="abcd"):
    frame = pd.DataFrame(0, list(names), list(names))
    for source, target in pairs:
        frame.loc[source, target] = 1
    return frame


def test_a_comparison_counts_what_differs():
    one = frame_of(["ab", "bc", "cd", "ad"])
    other = frame_of(["ab", "cb", "dc", "cd", "ac"])
    ax = plot.comparison(one, other, labels=("truth", "fit"))
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert legend == {
        "in both (1)",
        "only in truth (1)",
        "only in fit (1)",
        "in both, as in truth; in fit turned or of another mark (2)",
    }
    assert len(artists(ax, "edge")) == 5
    heights = {text.get_text(): text.get_position()[1] for text in artists(ax, "node")}
    assert sorted(heights, key=heights.get, reverse=True) == list("abcd")


def test_a_comparison_tells_marks_apart():
    edges = drawn(11, circles=True).edges_
    assert legend_of(plot.comparison(edges, edges)) == {f"in both ({len(edges)})"}
    one = edges[edges["mark"] == "o->"].iloc[:1]
    back = one.rename(columns={"source": "target", "target": "source"})
    turned = {"in both, as in the first; in the second turned or of another mark (1)"}
    assert legend_of(plot.comparison(one, back)) == turned
    for mark in edge_tables.MARKS:
        other = {"in both (1)"} if mark == "o->" else turned
        assert legend_of(plot.comparison(one, one.assign(mark=mark))) == other
        # Of a mark that reads alike from either end it says nothing who is the source.
        ends = edge_tables.ENDS[mark]
        same = plot.comparison(one.assign(mark=mark), back.assign(mark=mark))
        assert legend_of(same) == ({"in both (1)"} if ends[0] == ends[1] else turned)


def legend_of(ax):
    return {text.get_text() for text in ax.get_legend().get_texts()}


def test_an_edge_table_may_know_fewer_names():
    model = drawn(11)
    ax = plot.comparison(model.edges_.iloc[:2], model)
    assert len(artists(ax, "node")) == 11


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot.graph("a"), "graph must be a fitted estimator"),
        (lambda: plot.graph(frame_of([]) + 0.5), "only 0 and 1"),
        (lambda: plot.graph(frame_of([]).iloc[:2]), "different names"),
        (lambda: plot.graph(drawn(5).edges_.assign(mark="->")), "the mark '->'"),
        (
            lambda: plot.comparison(frame_of([]), frame_of([], "abce")),
            "a has no column 'e'",
        ),
        (lambda: plot.calibration([0.5], [True, False]), "one answer for each"),
        (lambda: plot.calibration([1.5], [True]), "stated has 1.5"),
    ],
)
def test_bad_input_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_calibration():
    stated = np.repeat([0.1, 0.75], 100)
    true = np.r_[np.arange(100) < 10, np.arange(100) < 50]
    found = reliability(stated, true)
    assert found.error == pytest.approx(0.125)
    ax = plot.calibration(stated, true, label="one")
    assert plot.calibration(stated, true, label="two", ax=ax) is ax
    diagonal, *curves = ax.lines
    assert len(curves) == 2
    np.testing.assert_allclose(curves[0].get_xydata(), [[0.1, 0.1], [0.75, 0.5]])
    assert curves[0].get_label() == "one: ECE 0.125"
    counts = ax.child_axes[0].patches[0].get_data().values
    assert counts[[1, 7]].tolist() == [100, 100]


def test_regimes():
    names = ["north", 3]
    targets = pd.DataFrame([[0.0, 0.1], [0.9, 0.0]], names, ["$a", "b"])
    rows = pd.DataFrame([[1, 0], [0.2, 0.8], [0, 1]], columns=names)
    model = types.SimpleNamespace(
        intervention_targets_=targets,
        regime_probabilities_=rows,
        regime_weights_=rows.mean(),
        reference_="north",
    )
    ax = plot.regimes(model)
    FigureCanvasAgg(ax.figure).draw()
    shown, right = ax.images[0].get_array(), ax.figure.axes[-1].images[0].get_array()
    np.testing.assert_array_equal(shown, targets)
    np.testing.assert_array_equal(right, rows.T)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["north, reference: 40.0%", "3: 60.0%"]
    with pytest.raises(ValueError, match="LatentInterventionDAG"):
        plot.regimes(drawn(5))


# The data of edges


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    a = rng.normal(5, 1, 300)
    b = 2 * a + rng.normal(size=300)
    c = rng.choice(["x", "y"], 300)
    y = 3 * a - 2 * b + (c == "y") * 5 + rng.normal(size=300)
    return pd.DataFrame({"a": a, "b": b, "c": c, "y $": y})


@pytest.fixture(scope="module")
def model(table):
    """What pictures ask of an estimator that has weights."""
    problem, columns = frame.to_problem(table, standardise=False)
    cells = problem.x[problem.weight > 0]
    parents = {"b": ["a"], "y $": ["a", "b", "c"]}
    weights = pd.DataFrame(0.0, list(table), list(table))
    for effect, causes in parents.items():
        place = [list(table).index(name) for name in (*causes, effect)]
        fitted = np.linalg.lstsq(cells[:, place[:-1]], cells[:, place[-1]], rcond=None)
        weights.loc[causes, effect] = fitted[0]
    return types.SimpleNamespace(
        _table_columns=columns,
        adjacency_=(weights != 0).astype(int),
        weights_=weights,
    )


def test_a_partial_residual_has_the_slope_of_the_edge(model, table):
    for cause in ("a", "b"):
        ax = plot.edge(model, cause, "y $", table)
        weight = model.weights_.loc[cause, "y $"]
        x, y = ax.lines[0].get_data()
        assert np.polyfit(x, y, 1)[0] == pytest.approx(weight, rel=1e-4)
        points = np.asarray(ax.collections[0].get_offsets())
        assert np.polyfit(*points.T, 1)[0] == pytest.approx(weight, rel=1e-2)
        np.testing.assert_allclose(points[:, 0], table[cause])
        assert ax.get_ylabel() == "y $, other parents held fixed"
        FigureCanvasAgg(ax.figure).draw()


def test_a_cause_of_classes_has_boxes_and_fitted_values(model, table):
    ax = plot.edge(model, "c", "y $", table)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert sorted(labels) == ["x", "y"]
    fitted = next(line for line in ax.lines if line.get_marker() == "D")
    low, high = fitted.get_ydata()
    assert abs(high - low) == pytest.approx(abs(model.weights_.loc["c", "y $"]))


def test_gaps_and_strangers(model, table):
    holes = table.copy()
    holes.loc[:9, "b"] = np.nan
    ax = plot.edge(model, "a", "b", holes)
    assert len(ax.collections[0].get_offsets()) == 290
    with pytest.raises(ValueError, match="'q' is no column"):
        plot.edge(model, "q", "b", table)
    with pytest.raises(ValueError, match="no edge from 'b' to 'a': there is"):
        plot.edge(model, "b", "a", table)


def test_effects_of_classes(table):
    """Without a mechanism: boxes that lie, or shares of two columns of classes."""
    table = table.assign(z=np.where(table["a"] > 5, "high", "low"))
    _, columns = frame.to_problem(table)
    model = types.SimpleNamespace(
        _table_columns=columns, adjacency_=frame_of([("a", "z"), ("c", "z")], table)
    )
    ax = plot.edge(model, "a", "z", table)
    assert sorted(label.get_text() for label in ax.get_yticklabels()) == ["high", "low"]
    shares = plot.edge(model, "c", "z", table).images[0].get_array()
    np.testing.assert_allclose(shares.sum(axis=0), 1)


def test_edge_probabilities():
    model = drawn(5, circles=True)
    rng = np.random.default_rng(0)
    names = list(model.adjacency_)
    model.edge_probabilities_ = pd.DataFrame(rng.random((5, 5)), names, names)
    model.info_ = {"edge_probabilities": "calibrated probability"}
    ax = plot.edge_probabilities(model)
    FigureCanvasAgg(ax.figure).draw()
    order = [label.get_text() for label in ax.get_xticklabels()]
    cells = ax.images[0].get_array()
    np.testing.assert_allclose(cells, model.edge_probabilities_.loc[order, order])
    edges = edge_tables.directed_edges(model.edges_)
    places = [
        (order.index(s), order.index(t))
        for s, t in zip(edges["source"], edges["target"], strict=True)
    ]
    assert all(i < j for i, j in places)
    frames = [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in ax.patches]
    assert frames == places


def test_convergence():
    history = {"step": [1, 2, 3], "loss": [3, 2, 1.5], "held_out_loss": [None, 4, 2]}
    history["acyclicity"] = [1, 1, 0]
    model = types.SimpleNamespace(info_={"history": history})
    loss, held_out = plot.convergence(model).lines
    assert loss.get_ydata().tolist() == [3, 2, 1.5]
    assert np.isnan(held_out.get_ydata()[0])
    with pytest.raises(ValueError, match="no history"):
        plot.convergence(types.SimpleNamespace(info_={}))


def test_pictures_use_no_state_of_pyplot():
    folder = pathlib.Path(plot.__file__).parent
    assert not [path for path in folder.glob("*.py") if "pyplot" in path.read_text()]


def test_widths():
    assert graphs.line_width(0) == pytest.approx(0.8)
    assert graphs.line_width(1) == pytest.approx(3.2)
    assert graphs.line_width(float("nan")) == pytest.approx(1.6)
