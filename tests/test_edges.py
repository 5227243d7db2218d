"""The edge table, and all that is made from it: words, HTML, reasons."""

import json
import re
import types

import jsonschema
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from conftest import assert_edges_agree, drawn_edges
from sklearn.base import clone

from causaljax import Knowledge, LinearDAG, MixedDAG, exchange, plot
from causaljax.cli import command_line, schema
from causaljax.cli.compare import turned
from causaljax.core.types import MarkedPosterior, Posterior
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.exchange.files import WRITERS
from causaljax.plot import style
from causaljax.reports import explanation, page, page_graph, summary
from causaljax.tables import edges, files

HOSTILE = ["<script>alert(1)</script>", 'a" onload="x', "two\nlines & more"]
GAUSSIAN = LinearDAG(noise="gaussian", num_steps=3)


class Bare(BaseGraphEstimator):
    """Finds x -> y, doubts y -> z, and suspects a hidden cause of x and w."""

    def __init__(self, *, progress=None, random_state=0):
        self.progress = progress
        self.random_state = random_state

    def _fit_problem(self, problem, columns, bar):
        x, y, z, w = (columns.names.index(name) for name in self.names)
        graph, open_, hidden = np.zeros((3, 4, 4), bool)
        graph[x, y] = graph[y, z] = open_[z, y] = hidden[x, w] = hidden[w, x] = True
        posterior = Posterior(
            edge_prob=graph * np.float32(0.7),
            graphs=graph[None],
            log_weight=np.zeros(1),
            extra={"confounder_prob": hidden * 0.8, "effects": graph * 1.5},
        )
        info = {"converged": True, "nonfinite": False, "loss": 0.25}
        return FitResult(graph, graph | open_, graph * 2.0, posterior, info)


class Circled(Bare):
    """Finds x o-> y, y o-o z and z --o w; x and w have a hidden cause."""

    def _fit_problem(self, problem, columns, bar):
        x, y, z, w = (columns.names.index(name) for name in self.names)
        marks = np.zeros((4, 4), np.int8)
        for i, j, ends in ((x, y, (3, 2)), (y, z, (3, 3)), (z, w, (1, 3))):
            marks[j, i], marks[i, j] = ends
        marks[x, w] = marks[w, x] = 2
        graph = np.zeros((4, 4), bool)
        graph[x, y] = graph[y, z] = graph[z, w] = True
        posterior = MarkedPosterior(marks[None], np.zeros(1), {})
        info = {"converged": True, "nonfinite": False}
        info["edge_probabilities"] = "open ends as halves"
        return FitResult(graph, graph, None, posterior, info, marks)


def fitted(names=("x", "y", "z", "w"), kind=Bare):
    rng = np.random.default_rng(0)
    model = kind()
    model.names = list(names)
    return model.fit(pd.DataFrame(rng.normal(size=(60, 4)), columns=list(names)))


@pytest.fixture(scope="module")
def sprinkler():
    """a -> c <- b, c -> d; rain, its name a class, is alone."""
    rng = np.random.default_rng(1)
    a, b, e, f = rng.normal(size=(4, 800))
    c = a - b + 0.5 * e
    table = pd.DataFrame({"d": 2 * c + f, "a": a, "b": b, "c": c})
    return table.assign(rain=rng.choice(["no", "little", "much"], 800))


@pytest.fixture(scope="module")
def linear(sprinkler):
    return clone(GAUSSIAN).fit(sprinkler.drop(columns="rain"))


def test_every_mark_goes_everywhere(tmp_path):
    model = fitted()
    marks = model.edges_[["source", "mark", "target"]].to_numpy().tolist()
    assert marks == [["x", "-->", "y"], ["y", "---", "z"], ["x", "<->", "w"]]
    assert_edges_agree(model, tmp_path)
    (dag,) = model.iter_dags()  # z -> y would be a collider with x -> y
    assert (list(dag), list(dag.edges)) == (list("xyzw"), [("x", "y"), ("y", "z")])
    assert model.edges_["effect_size"].tolist()[:2] == [1.5, 1.5]
    assert model.edges_["probability"].tolist() == pytest.approx([0.7, 0.7, 0.8])
    text = model.summary()
    for words in (
        "Bare(): 2 edges among 4 columns, 1 of open direction, 1 pair with a likely",
        "converged: yes",
        "loss: 0.25",
        "---: an edge whose direction is not claimed",
        "<->: neither is a direct cause of the other, but probably",
    ):
        assert words in text


def test_marks_with_circles_go_everywhere(tmp_path):
    model = fitted(kind=Circled)
    marks = model.edges_[["source", "mark", "target"]].to_numpy().tolist()
    assert marks == [
        ["x", "o->", "y"],
        ["y", "o-o", "z"],
        ["z", "--o", "w"],
        ["x", "<->", "w"],
    ]
    assert_edges_agree(model, tmp_path)
    text = model.summary()
    assert "3 edges among 4 columns, 3 with an end that is not told, 1 pair" in text
    assert "halves" not in text  # which is no probability
    for mark in ("o->", "o-o", "--o", "<->"):
        assert f"{mark}: {edges.MARKS[mark]}." in text
    told = model.explain("y", "x")
    assert (told.source, told.mark, told.target) == ("x", "o->", "y")
    assert f"o->: {edges.MARKS['o->']}." in told.sentences
    apart = model.explain("x", "z")
    assert apart.given == ("y",)
    assert "separates" not in str(apart)
    with pytest.raises(ValueError, match="'x' o-> 'y' has a circle for an end"):
        model.iter_dags()


ABC = list("abc")


def table_with(mark):
    return edges.marked_edges([("a", "b", mark, {"probability": 0.5})], ABC)


# The next mark that there is fails here wherever it was forgotten.


@pytest.mark.parametrize("mark", edges.MARKS)
def test_every_mark_is_shown(mark):
    ends, table = edges.ENDS[mark], table_with(mark)
    assert edges.with_ends("a", "b", ends) == ("a", "b", mark)
    assert edges.with_ends("b", "a", ends[::-1])[2] == mark
    assert edges.adjacency(table, ABC).to_numpy().sum() == (mark != "<->")
    assert summary.legend(table) == [f"{mark}: {edges.MARKS[mark]}."][: mark != "-->"]
    assert mark in summary.text_table(summary.shown_edges(table))
    kinds = {summary.counted(table_with(other), 3) for other in edges.MARKS}
    assert len(kinds) == 4  # directed, of open direction, with a circle, no edge
    assert [style.EDGES[m] for m in edges.MARKS].count(style.EDGES[mark]) == 1
    ax = plot.graph(table)
    ids = [patch.get_gid() for patch in ax.patches]
    assert (ids.count("edge 0"), ids.count("circle 0")) == (1, ends.count("circle"))
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told[0] == edges.MARKS[mark]
    both = plot.comparison(table, table).get_legend().get_texts()
    assert [text.get_text() for text in both] == ["in both (1)"]
    heads = page_graph._head_data(table, page_graph._places(table, ABC)[1])["marker"]
    assert heads.count("triangle") == ends.count("arrow")
    assert heads.count("circle") == ends.count("circle")
    assert drawn_edges(page.page(table, ABC, {}))["mark"] == [mark]


@pytest.mark.parametrize("mark", edges.MARKS)
def test_every_mark_is_written(mark, tmp_path):
    ends, graph = edges.ENDS[mark], edges.to_networkx(table_with(mark), ABC)
    for ending in sorted(WRITERS):
        path = tmp_path / f"g{ending}"
        exchange.write_graph(graph, path)
        others = {
            WRITERS[ending](edges.to_networkx(table_with(other), ABC))
            for other in edges.MARKS
        }
        assert len(others) == len(edges.MARKS)
        if ending != ".mmd":
            again, names = edges.from_networkx(exchange.read_graph(path))
            assert names == ABC
            (row,) = again.to_dict("records")
            pair = row["source"], row["target"]
            known = dict(zip(pair, edges.ENDS[row["mark"]], strict=True))
            assert known == {"a": ends[0], "b": ends[1]}
    matrix, codes = exchange.to_causal_learn(graph), {"tail": -1, "arrow": 1}
    for (a, b), end in zip(("ab", "ba"), ends, strict=True):
        assert matrix.loc[a, b] == codes.get(end, 2)
    if mark == "-->":
        assert list(exchange.to_dowhy(graph).edges) == [("a", "b")]
    else:
        with pytest.raises(ValueError, match=f"'a' {mark} 'b'"):
            exchange.to_dowhy(graph)


@pytest.mark.parametrize("mark", edges.MARKS)
def test_every_mark_is_known_to_the_command_line(mark, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "other"
    files.write_results(out, table_with(mark), ABC, {"causaljax": "1"})
    unlike = edges.marked_edges([("c", "a", mark, {})], ABC)
    files.write_results(other, unlike, ABC, {"causaljax": "1"})
    for name in ("", "edges.csv", "graph.json"):
        assert compared(capsys, out, out / name)["differences"] == []
        assert compared(capsys, other, out / name)["differences"] == [
            {"source": "a", "target": "b", "truth": None, "graph": mark},
            {"source": "a", "target": "c", "truth": turned(mark), "graph": None},
        ]
        picture = tmp_path / "picture.svg"
        assert command_line.main(["plot", str(out / name), str(picture)]) == 0
        drawn = picture.read_text().count('id="circle 0"')
        assert drawn == edges.ENDS[mark].count("circle")


def compared(capsys, truth, graph):
    """What the command says of two graphs, checked by the schema."""
    capsys.readouterr()
    assert command_line.main(["compare", str(truth), str(graph), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    jsonschema.validate(said, schema.make_schema())
    return said["result"]


def test_a_representation_says_what_was_found_after_the_fit_alone():
    model = fitted()
    assert repr(model).startswith("Bare(): 2 edges among 4 columns")
    assert repr(clone(model)) == "Bare()"
    few = Bare(random_state=np.full((2, 2), 0.5))
    assert repr(few) == "Bare(random_state=<ndarray [2, 2]>)"
    with pytest.raises(ValueError, match="cannot hold a class that is not causaljax's"):
        model.save("nowhere")
    with pytest.raises(AttributeError, match="has not been fitted"):
        Bare().summary()


def test_names_are_escaped_in_html():
    page = fitted([*HOSTILE, "w"])._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "two\\nlines &amp; more" in page
    assert set(re.findall(r"</?(\w+)", page)) == {
        "p",
        "code",
        "table",
        "tr",
        "th",
        "td",
    }
    unfitted = LinearDAG(noise="<b>")._repr_html_()
    assert "LinearDAG(noise=&#x27;&lt;b&gt;&#x27;)" in unfitted


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reasons_are_those_of_the_direction(sprinkler, linear):
    why = {(row.source, row.target): row.why for row in linear.edges_.itertuples()}
    assert set(why) == {("a", "c"), ("b", "c"), ("c", "d")}
    assert set(why.values()) == {"its equivalence class tells it"}
    known = Knowledge(required=[("c", "d")], forbidden=[("c", "a")])
    table = sprinkler[["a", "c", "d"]]
    told = clone(GAUSSIAN).fit(table, knowledge=known)
    why = {(row.source, row.target): row.why for row in told.edges_.itertuples()}
    assert why["c", "d"] == "the knowledge given requires the edge"
    assert why["a", "c"] == "the knowledge given forbids the other direction"
    chain = clone(GAUSSIAN).fit(table)
    assert set(chain.edges_["mark"]) == {"---"}
    assert set(chain.edges_["why"]) == {"noise of this kind does not tell it"}
    targets = ["c"] * 400 + [None] * 400
    told = clone(GAUSSIAN).fit(table, interventions=targets)
    assert "interventions tell it" in set(told.edges_["why"])


def variance(x, parents, j):
    inputs = np.column_stack([x[:, parents], np.ones(len(x))])
    fit = inputs @ np.linalg.lstsq(inputs, x[:, j], rcond=None)[0]
    return np.mean((x[:, j] - fit) ** 2)


def test_what_an_edge_is_worth_is_the_difference_of_scores(sprinkler, linear):
    table = sprinkler[["a", "b", "c", "d"]]
    x, n = table.to_numpy(), len(table)
    told = linear.explain("c", "a")  # the other way round
    assert (told.source, told.mark, told.target) == ("a", "-->", "c")
    assert told.given == ("b",)
    expected = n / 2 * np.log(variance(x, [1], 2) / variance(x, [0, 1], 2)) - np.log(n)
    assert told.score_gain == pytest.approx(expected, rel=1e-6)
    r = np.corrcoef(x[:, 0] - x[:, 1] * np.polyfit(x[:, 1], x[:, 0], 1)[0], x[:, 2])
    assert 0 < r[0, 1] < told.association.correlation <= 1
    assert "a --> c" in str(told)
    assert "better than without it" in str(told)
    apart = linear.explain("a", "d")
    assert apart.mark == ""
    assert apart.given == ("c",)
    expected = n / 2 * np.log(variance(x, [2], 3) / variance(x, [0, 2], 3)) - np.log(n)
    assert apart.score_gain == pytest.approx(expected, abs=1e-6)
    assert apart.score_gain < 0
    assert apart.association.p_value > 0.01
    assert "Given c, which separates them in the graph" in str(apart)
    assert linear.explain("a", "b").given == ()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rows_in_which_the_effect_was_set_do_not_count(sprinkler):
    table = sprinkler[["a", "b", "c"]].copy()
    table.loc[:399, "c"] = np.random.default_rng(0).normal(size=400)
    model = clone(GAUSSIAN).fit(table, interventions=["c"] * 400 + [None] * 400)
    told = model.explain("a", "c")
    assert told.association.rows == 400
    x, n = table.to_numpy()[400:], 400
    expected = n / 2 * np.log(variance(x, [1], 2) / variance(x, [0, 1], 2)) - np.log(n)
    assert told.score_gain == pytest.approx(expected, rel=1e-6)


def test_what_was_known_is_said(sprinkler):
    known = Knowledge(forbidden=[("c", "d"), ("d", "c")])
    model = clone(GAUSSIAN).fit(sprinkler[["a", "c", "d"]], knowledge=known)
    told = model.explain("c", "d")
    assert told.knowledge == (
        "The knowledge given forbids c --> d.",
        "The knowledge given forbids d --> c.",
    )
    for pair, words in (
        (("a", "q"), "no column 'q'"),
        (("a", "a"), "named twice: name two columns"),
    ):
        with pytest.raises(ValueError, match=words):
            model.explain(*pair)
    told = fitted().explain("w", "x")
    assert told.confounder_probability == pytest.approx(0.8)
    assert told.mark == "<->"
    assert "Probability of a common cause that is not in the table: 0.80" in str(told)


def test_classes_are_of_no_correlation(sprinkler):
    """The score of the kernel, asked for the family with and without a parent."""
    model = MixedDAG(num_steps=3).fit(sprinkler)
    assert not (model.edges_[["source", "target"]] == "rain").any(axis=None)
    told = model.explain("rain", "d")
    assert told.association.correlation is None
    assert set(told.association.widths) == {1, 2}
    assert told.score_gain < 0
    assert "a log-likelihood ratio of" in str(told)
    near = model.explain("c", "d")
    x = sprinkler[["a", "b", "c", "d"]].to_numpy()
    n = len(x)
    gain = n / 2 * np.log(variance(x, [], 3) / variance(x, [2], 3)) - np.log(n) / 2
    assert near.given == ()
    assert near.score_gain == pytest.approx(gain, rel=1e-3)


def test_gaps_leave_pairs_of_cells():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) @ np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1.0]])
    seen = rng.random(x.shape) > 0.1
    problem = types.SimpleNamespace(
        x=np.where(seen, x, 0),
        weight=np.ones(300),
        observed=seen,
        intervened=np.zeros_like(seen),
        kind=np.zeros(3, int),
        allowed=~np.eye(3, dtype=bool),
        required=np.zeros((3, 3), bool),
        whole=None,
    )
    told = explanation.gather(problem, np.arange(3), classes=False)
    found = explanation.association(told, 1, 0, [])
    both = seen[:, 0] & seen[:, 1]
    expected = np.corrcoef(x[both, 0], x[both, 1])[0, 1]
    assert found.correlation == pytest.approx(expected, abs=0.02)
    assert found.rows == both.sum()
    moved = explanation.gather(problem, np.array([2, 0, 1]), classes=False)
    again = explanation.association(moved, 2, 1, [])
    assert again.nats == pytest.approx(found.nats)
    assert again.correlation == pytest.approx(found.correlation)


def test_the_table_is_of_plain_types():
    model = fitted()
    graph = edges.to_networkx(model.edges_, ["x", "y", "z", "w"])
    assert graph.edges["x", "y"] == {
        "probability": pytest.approx(0.7),
        "weight": pytest.approx(model.weights_.loc["x", "y"]),
        "undirected": False,
    }
    assert graph.graph["kind"] == "cpdag"
    json.dumps(nx.node_link_data(graph, edges="edges"))
