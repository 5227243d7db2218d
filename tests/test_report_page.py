"""The page of a report: the same edges as the table, nothing fetched, names as text."""

import html.parser
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from conftest import drawn_edges

from causaljax import LinearDAG, load
from causaljax.cli import command_line
from causaljax.reports import page, page_graph
from causaljax.tables import edges as edge_tables

MARKUP = '<script>document.title="owned"</script>'
NAMES = [
    MARKUP,
    '"><img src=http://example.org/x onerror=alert(1)>',
    "$$x^2$$ {{ 7 * 7 }} @{name}",
    "line\nbreak\u202e</script>",
    "ماء",
    "n" * 300,
]


def hostile(names=NAMES, *, circles=False):
    """An edge table over hostile names; with ``circles``, with all marks."""
    d = len(names)
    graph, hidden = np.eye(d, k=1), np.zeros((d, d))
    graph[0, 2] = hidden[0, 5] = hidden[5, 0] = 1
    opened = graph * 0
    opened[1, 2] = 1
    why = {(0, 1): f"because of {names[1]}"}
    marks = None
    if circles:
        turn = itertools.cycle([mark for mark in edge_tables.MARKS if mark != "<->"])
        marks = {pair: next(turn) for pair in map(tuple, np.argwhere(graph).tolist())}
        marks[0, d - 1] = "<->"
    return edge_tables.edge_table(
        graph,
        graph + opened.T,
        graph * 0.75,
        names,
        meaning="share of refits",
        weights=graph,
        confounders=hidden * 0.875,
        why=why,
        marks=marks,
    )


RECORD = {
    "causaljax": "0.1.0",
    "call": f"LinearDAG(prior={MARKUP!r})",
    "warnings": [f"column {MARKUP} is constant"],
    "notes": [f"about {MARKUP}"],
    "columns": [
        {"name": NAMES[0], "kind": "binary", "distinct": 2, "classes": [MARKUP, "b"]},
        {"name": "id", "kind": "left out", "note": MARKUP},
    ],
    "tables": [{"heads": ["regime", "targets"], "rows": [[0, MARKUP]]}],
    "config": {"num_steps": 3, MARKUP: [MARKUP]},
    "convergence": {
        "converged": True,
        "noise": MARKUP,
        "advice": {"reasons": [MARKUP]},
    },
    "data": {"source": MARKUP, "sha256": "00"},
    "command": ["causaljax", "fit", MARKUP],
    "regimes_column": MARKUP,
    "knowledge": {"roots": [MARKUP]},
    "timings": {"fit_seconds": 1.0},
    "seed": 3,
}
for row in RECORD["columns"]:
    row.setdefault("note", "")


class Tags(html.parser.HTMLParser):
    """What stands in a page: its tags with attributes, tables, scripts and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.scripts, self.text = [], [], [], ""
        self._open = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.rows.append([])
        elif tag == "tr":
            self.rows[-1].append([])
        elif tag in ("td", "th"):
            self.rows[-1][-1].append("")
        self._open = tag

    def handle_endtag(self, tag):
        self._open = None if tag in ("script", "td", "th") else self._open

    def handle_data(self, data):
        if self._open == "script":
            self.scripts.append(data)
        elif self.rows and self.rows[-1] and self.rows[-1][-1]:
            self.rows[-1][-1][-1] += data
        self.text += data if self._open != "script" else ""


@pytest.fixture(scope="module")
def written():
    return page.page(hostile(), NAMES, RECORD)


@pytest.fixture(scope="module")
def circled():
    table = hostile(circles=True)
    assert set(table["mark"]) == set(edge_tables.MARKS)
    return table, page.page(table, NAMES, RECORD)


def edges_of(text):
    """The edges that a page draws, and those that it shows without scripts."""
    return drawn_edges(text), Tags(text).rows[0][1:]


def test_the_page_holds_the_edges_of_the_table(written):
    table = hostile()
    drawn, plain = edges_of(written)
    shown = [page_graph.spelled(name) for name in table["source"]]
    assert drawn["source"] == shown
    assert drawn["mark"] == table["mark"].tolist()
    assert drawn["probability"] == table["probability"].tolist()
    assert [row[:3] for row in plain] == [
        [page_graph.spelled(cell) for cell in row]
        for row in table[["source", "mark", "target"]].to_numpy()
    ]
    assert len(drawn["xs"]) == len(table)


def test_the_page_holds_marks_with_circles(circled, written):
    table, text = circled
    drawn, plain = edges_of(text)
    assert drawn["mark"] == [row[1] for row in plain] == table["mark"].tolist()
    told = Tags(text).text
    assert "6 edges among 6 columns, 1 of open direction, 3 with an end that is" in told
    for mark, meaning in edge_tables.MARKS.items():
        present = mark in ("-->", "---", "<->")
        assert f"{mark} {meaning}" in told
        assert (f"{mark} {meaning}" in Tags(written).text) == present
    table = table.assign(meaning="open ends as halves", stability=np.nan)
    told = Tags(page.page(table, NAMES, RECORD)).text
    assert "No probability. 1 is an edge -->; one half stands for a direction" in told
    assert len(edges_of(page.page(table, NAMES, {}))[1][0]) == 4  # marks and weights


def test_names_are_text(written):
    tags = Tags(written)
    assert MARKUP not in written
    assert not {"img", "link", "iframe"} & {tag for tag, _ in tags.tags}
    # Bokeh's data, bokeh, and what starts it.
    assert [attrs for tag, attrs in tags.tags if tag == "script"] == [
        {"type": "application/json", "id": "model"},
        *[{}] * (len(tags.scripts) - 1),
    ]
    assert tags.text.count(MARKUP) >= 10  # as text it is there, each time
    assert "$$x^2$$ 49" not in tags.text
    assert "\u202e" not in written


def test_nothing_is_fetched(written):
    tags = Tags(written)
    for _, attrs in tags.tags:
        assert not {"src", "srcset", "data", "background"} & set(attrs)
        assert attrs.get("href", "#").startswith("#")
    policy = next(
        attrs["content"]
        for tag, attrs in tags.tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert policy.count("'sha256-") == len(tags.scripts) - 1
    assert "http" not in policy
    assert len(written.encode()) < 3e6


def test_the_page_tells_what_a_record_knows(written):
    text = Tags(written).text
    for words in (
        "6 edges among 6 columns, 1 of open direction, 1 pair with a likely",
        "knowledge: roots",
        "SHA-256 of the data",
        "left out",
        "share of refits",
        "hypothesis",
        "causaljax fit",
    ):
        assert words in text


@pytest.mark.parametrize("d", [1, 2])
def test_a_page_without_edges(d):
    none = np.zeros((d, d))
    table = edge_tables.edge_table(none, none, none, "ab"[:d], meaning="score")
    drawn, plain = edges_of(page.page(table, "ab"[:d], {}))
    assert drawn["mark"] == plain == []


def test_lines_begin_and_end_at_their_nodes():
    table = hostile(list("abcdef"), circles=True)
    places, lines = page_graph._places(table, list("abcdef"))
    for a, b, line in zip(table["source"], table["target"], lines, strict=True):
        np.testing.assert_allclose(line[0], places[a])
        np.testing.assert_allclose(line[-1], places[b])
    heads = page_graph._head_data(table, lines)
    found = []
    shapes = {"triangle": "arrow", "circle": "circle"}
    for k, x, y, shape in zip(
        heads["edge"], heads["to_x"], heads["to_y"], heads["marker"], strict=True
    ):
        (name,) = (name for name, place in places.items() if (place == (x, y)).all())
        found.append((k, name, shapes[shape]))
    rows = table[["source", "target", "mark"]].itertuples(index=False)
    assert found == [
        (k, name, end)
        for k, (*pair, mark) in enumerate(rows)
        for name, end in zip(pair, edge_tables.ENDS[mark], strict=True)
        if end != "tail"
    ]
    # Layers lie side by side or below each other: effects come later.
    directed = table[table["mark"] != "<->"]
    pairs = directed[["source", "target"]].to_numpy()
    across = np.array([places[b] - places[a] for a, b in pairs])
    assert (across[:, 0] > 0).all() or (across[:, 1] < 0).all()


def test_a_page_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a folder; name a file"):
        page.write_page(tmp_path, hostile(), NAMES, {})
    with pytest.raises(ValueError, match="there is no folder"):
        page.write_page(tmp_path / "no" / "x.html", hostile(), NAMES, {})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs bokeh: pip install 'causaljax\[rep"):
        page.check_page(tmp_path / "x.html")


# One fit, from Python and from the command line


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    a, e, f, g = rng.normal(size=(4, 200))
    b = a + e
    table = pd.DataFrame({"a": a, "b": b, "<b>c": b + f, "d": a + g})
    return table.assign(id=[f"row {k}" for k in range(200)])


@pytest.fixture(scope="module")
def model(rows):
    fitted = LinearDAG(noise="gaussian", num_steps=2)
    with pytest.warns(UserWarning, match="left out"):
        return fitted.fit(rows)


def test_an_estimator_writes_its_report(model, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("of yesterday")
    model.report(path)
    text = path.read_text(encoding="utf-8")
    drawn, _ = edges_of(text)
    assert drawn["target"] == model.edges_["target"].tolist()
    told = Tags(text).text
    assert model.info_["warnings"]
    for words in (*model.info_["warnings"], "200 rows", "num_steps", "python"):
        assert words in told
    model.save(tmp_path / "m")
    load(tmp_path / "m").report(tmp_path / "again.html")
    assert edges_of((tmp_path / "again.html").read_text())[0]["xs"] == drawn["xs"]
    with pytest.raises(AttributeError, match="has not been fitted"):
        LinearDAG().report(path)


def test_the_command_line_writes_it(rows, tmp_path, capsys):
    rows.drop(columns="id").to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "out"
    command = ["fit", str(tmp_path / "t.csv"), "--method", "linear"]
    command += ["--set", "noise=gaussian", "--set", "num_steps=2"]
    assert command_line.main([*command, "--out", str(out), "--report"]) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    record = json.loads((out / "run.json").read_text())
    assert record["data"]["sha256"] in text
    assert command_line.main(["report", str(out), str(tmp_path / "two.html")]) == 0
    again = (tmp_path / "two.html").read_text(encoding="utf-8")
    drawn, plain = edges_of(text)
    assert edges_of(again) == (drawn, plain)
    assert Tags(again).text == Tags(text).text
    capsys.readouterr()
    for damage, words in (
        ("run.json", "is no record of a fit"),
        ("edges.csv", "edges.csv"),
    ):
        (out / damage).write_text("{}" if damage == "run.json" else "a,b\n1,2\n")
        assert command_line.main(["report", str(out)]) == 2
        assert words in capsys.readouterr().err
    (out / "adjacency.csv").unlink()
    assert command_line.main(["report", str(out)]) == 2
    assert "has no adjacency.csv" in capsys.readouterr().err
    assert command_line.main([*command, "--report", str(tmp_path / "no" / "x")]) == 2
    assert "there is no folder" in capsys.readouterr().err
