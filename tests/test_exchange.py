"""Graphs that are written for other programs and read from them."""

import gzip
import html
import itertools
import json
import pathlib
import random
import re
import shutil
import string
import subprocess
import tempfile

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaljax import LinearDAG, compare_graphs, exchange
from causaljax.exchange.files import WRITERS
from causaljax.tables import edges as edge_tables
from causaljax.tables import files

NAMES = ["a", "two words", "c", "d", "alone", "e", "f", "g"]
ROWS = [
    ("a", "two words", "-->", {"probability": 0.75, "weight": -1e-7}),
    ("c", "two words", "---", {"probability": 0.5}),
    ("a", "d", "<->", {"probability": 0.875}),
    ("c", "d", "-->", {"weight": 1e30}),
    ("e", "d", "o->", {"probability": 0.5}),
    ("f", "e", "o-o", {"probability": 0.5, "weight": 2.0}),
    ("g", "f", "--o", {}),
]
CLASSIC = [row for row in ROWS if "o" not in row[2]]
READ = [".dagitty", ".dot", ".gml", ".graphml", ".json"]
COMPLETE = {".gml", ".graphml", ".json"}  # which hold numbers, too
NETWORKS = pathlib.Path(__file__).parents[2] / "shared/data/ship/bnlearn_networks"


@pytest.fixture(scope="module")
def table():
    """An edge table with all marks."""
    table = edge_tables.marked_edges(ROWS, NAMES)
    assert set(table["mark"]) == set(edge_tables.MARKS)
    return table


@pytest.fixture(scope="module")
def graph(table):
    return edge_tables.to_networkx(table, NAMES)


def marks_of(edges):
    """Of each pair what the edge has at either name."""
    return {
        frozenset(pair): dict(zip(pair, edge_tables.ENDS[mark], strict=True))
        for *pair, mark in edges[["source", "target", "mark"]].itertuples(index=False)
    }


def round_trip(graph, ending, folder):
    exchange.write_graph(graph, folder / f"graph{ending}")
    return exchange.read_graph(folder / f"graph{ending}")


# The same edges in every format


@pytest.mark.parametrize("ending", READ)
def test_a_graph_comes_back_from_a_file(table, graph, ending, tmp_path):
    edges, names = edge_tables.from_networkx(round_trip(graph, ending, tmp_path))
    assert names == NAMES
    assert marks_of(edges) == marks_of(table)
    for number in ("probability", "weight"):
        by_pair = {
            name: found.set_index(["source", "target"])[number]
            for name, found in (("read", edges), ("made", table))
        }
        if ending in COMPLETE:
            pd.testing.assert_series_equal(*by_pair.values(), check_like=True)
        else:
            assert edges[number].isna().all()


@pytest.mark.parametrize("ending", sorted(COMPLETE))
def test_networkx_by_itself_reads_the_one_graph_found(graph, ending, tmp_path):
    path = tmp_path / f"graph{ending}"
    exchange.write_graph(graph, path)
    if ending == ".json":
        read = nx.node_link_graph(json.loads(path.read_text()), edges="edges")
    else:
        read = {".gml": nx.read_gml, ".graphml": nx.read_graphml}[ending](path)
    assert set(read.edges) == set(graph.edges)  # none for <->
    assert read.graph["confounded"] == graph.graph["confounded"]


def test_mermaid_holds_the_edges(table, graph):
    text = exchange.to_mermaid(graph)
    links = {"-->": "-->", "---": "---", "<-.->": "<->", "o--o": "o-o", "--o": "--o"}
    links['-->|"o-#62;"|'] = "o->"  # an arrow with a label
    labels = dict(re.findall(r'^  (n\d+)\["(.*)"\]$', text, re.MULTILINE))
    assert list(labels.values()) == NAMES
    found = re.findall(r"^  (n\d+) (\S+) (n\d+)$", text, re.MULTILINE)
    rows = [(labels[a], labels[b], links[link]) for a, link, b in found]
    assert marks_of(
        pd.DataFrame(rows, columns=["source", "target", "mark"])
    ) == marks_of(table)


def test_the_matrix_of_causal_learn_holds_the_edges(table, graph):
    matrix = exchange.to_causal_learn(graph)
    assert list(matrix.index) == list(matrix.columns) == NAMES
    marks = {(-1, 1): "-->", (-1, -1): "---", (1, 1): "<->"}
    marks |= {(2, 1): "o->", (2, 2): "o-o", (-1, 2): "--o"}
    rows = [
        (a, b, marks[ends])
        for a, b in itertools.permutations(NAMES, 2)
        for ends in [(matrix.loc[a, b], matrix.loc[b, a])]
        if ends in marks and not (ends[0] == ends[1] and a > b)
    ]
    assert marks_of(
        pd.DataFrame(rows, columns=["source", "target", "mark"])
    ) == marks_of(table)
    assert (matrix.to_numpy() != 0).sum() == 2 * len(table)


def test_every_mark_of_a_result_is_in_its_files(table, tmp_path):
    files.write_results(tmp_path, table, NAMES, {"causaljax": "1"})
    for name in ("graph.json", "edges.csv"):
        edges, _ = edge_tables.from_networkx(exchange.read_graph(tmp_path / name))
        assert marks_of(edges) == marks_of(table)


def test_dowhy_gets_directed_edges_alone():
    graph = edge_tables.to_networkx(edge_tables.marked_edges(CLASSIC, NAMES), NAMES)
    with pytest.raises(ValueError, match="'c' --- 'two words' has no direction: use"):
        exchange.to_dowhy(graph)
    one, *rest = exchange.iter_dags(graph)
    assert len(rest) == 0  # c -> b would be a collider with a -> b
    assert set(exchange.to_dowhy(one).edges) == {
        ("a", "two words"),
        ("two words", "c"),
        ("c", "d"),
    }
    hidden = edge_tables.marked_edges([("a", "b", "<->", {})], ["a", "b"])
    with pytest.raises(ValueError, match="a common cause of 'a' <-> 'b'"):
        exchange.to_dowhy(edge_tables.to_networkx(hidden, ["a", "b"]))
    with pytest.raises(
        ValueError, match="no graph can be had from list: give a fitted"
    ):
        exchange.to_dowhy([("a", "b")])


# Names


def hostile_names(count):
    """Names of letters that mean something somewhere, and of any others."""
    draw = random.Random(0)
    pieces = [
        *"\"'`\\<>&;:#[]{}()|=+,.-@%$!?/* ",
        *("-->", "--", "<->", "//", "/*", "*/", "<!--", "&amp;", "&#10;", "&lt;"),
        *("\\n", "\\N", '\\"', "#quot;", "]]>", "<b>"),
        "<script>alert(1)</script>",
        "graph",
        "node",
        "subgraph",
        "end",
        "\u202eright to left",
        "\u05e9\u05dc\u05d5\u05dd",
        "\u00e9\u732b\U0001f600",
        *string.ascii_letters[:8],
        *string.digits,
    ]
    names = {
        "",
        "x" * 300,
        "1",
        "007",
        "NA",
        "nan",
        "True",
        "a -> b",
        "-5",
        "1e5",
        "{",
        "\\",
    }
    for letter in "\t\n\r\0\x07\x1b\x7f\x85\u2028\ufeff\ufffe\ud800":  # few hold these
        names |= {letter, f"two{letter}lines", f'"{letter}\\'}
    while len(names) < count:
        names.add("".join(draw.choices(pieces, k=draw.choice([1, 2, 3, 4, 7]))))
    return sorted(names)


def chain(names):
    """A graph that joins each name to the next, the marks in turn."""
    rows = [
        (a, b, mark, {"probability": 0.5})
        for a, b, mark in zip(
            names, names[1:], itertools.cycle(edge_tables.MARKS), strict=False
        )
    ]
    return edge_tables.marked_edges(rows, names)


def refused(names, write):
    """What a writer makes of a graph without the names it refuses, and these."""
    names, without = list(names), []
    while True:
        table = chain(names)
        graph = edge_tables.to_networkx(table, names)
        try:
            return write(graph), table, names, without
        except ValueError as error:
            found = [name for name in names if repr(name) in str(error)]
            without.append(max(found, key=len))
            names.remove(without[-1])


@pytest.mark.parametrize("ending", READ)
def test_hostile_names_come_back_or_are_refused(ending, tmp_path):
    lost = []
    names = hostile_names(500)
    for k in range(0, len(names), 50):
        read, table, kept, without = refused(
            names[k : k + 50], lambda graph: round_trip(graph, ending, tmp_path)
        )
        edges, again = edge_tables.from_networkx(read)
        assert again == kept
        assert marks_of(edges) == marks_of(table)
        lost += without
    reasons = {
        ".dagitty": r"[\x00-\x1f\x7f]|\\\Z|[\ud800-\udfff]",
        ".dot": r'\A%|\0|\\["\r\n]|\\\Z|[\ud800-\udfff]',
        ".graphml": r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]",
    }
    pattern = reasons.get(ending, r"(?!)")
    assert [name for name in lost if not re.search(pattern, name)] == []
    assert len(lost) < 250


def test_hostile_names_are_text_in_mermaid():
    unseen = "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    names = hostile_names(500)
    text, table, kept, lost = refused(names, exchange.to_mermaid)
    assert [name for name in lost if not re.search(unseen, name)] == [""]
    head, *lines = text.splitlines()
    assert head == "flowchart LR"
    assert len(lines) == len(kept) + len(table)
    for k, (name, line) in enumerate(zip(kept, lines, strict=False)):
        label = re.fullmatch(rf'  n{k}\["([^"<>&`\x00-\x1f]*)"\]', line)
        assert html.unescape(label[1].replace("#", "&#")) == name
    link = r'  n\d+ (-->(\|"o-#62;"\|)?|---|<-\.->|o--o|--o) n\d+'
    assert all(re.fullmatch(link, line) for line in lines[len(kept) :])


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_shows_hostile_names_as_they_are(tmp_path):
    names = [name for name in hostile_names(500) if len(name) < 60][::3]
    text, table, names, _ = refused(names, exchange.to_dot)
    command = ["dot", "-Tdot_json"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    read = json.loads(done.stdout.decode(), strict=False)
    found = [node["name"] for node in read["objects"]]
    assert found == names
    assert len(read["edges"]) == len(table)


@pytest.mark.parametrize("ending", WRITERS)
def test_a_name_is_not_lost_in_silence(ending, tmp_path):
    """Two names that differ in what a careless writer would remove."""
    names = ["a", "a ", " a", '"a"', "a:b", "a:c", "A"]
    exchange.write_graph(nx.DiGraph(nx.path_graph(names)), tmp_path / f"g{ending}")
    if ending in READ:
        assert list(exchange.read_graph(tmp_path / f"g{ending}")) == names


# Files of others


def read_text(text, ending, folder):
    path = folder / f"file{ending}"
    path.write_text(text, encoding="utf-8", newline="")
    return exchange.read_graph(path)


def rows_of(graph):
    edges, _ = edge_tables.from_networkx(graph)
    return edges[["source", "mark", "target"]].to_numpy().tolist()


def test_texts_of_dagitty_are_read(tmp_path):
    text = """
    dag {
      bb="-3,-3,3,3"
      "smoking status" [exposure, pos="-1.5,0.2"]
      cancer [outcome,pos="0,1"]; U [latent]
      "smoking status" -> tar -> cancer <- U
      U -> {tar "say \\"hi\\""}
      a <-> tar
    }
    """
    read = read_text(text, ".txt", tmp_path)
    assert list(read) == ["smoking status", "cancer", "U", "tar", 'say "hi"', "a"]
    assert rows_of(read) == [
        ["smoking status", "-->", "tar"],
        ["U", "-->", "cancer"],
        ["U", "-->", "tar"],
        ["U", "-->", 'say "hi"'],
        ["tar", "-->", "cancer"],
        ["a", "<->", "tar"],
    ]
    circles = "pag { a @-> b <-@ c; c @-@ d --@ e; f @-- e }"
    assert rows_of(read_text(circles, ".txt", tmp_path)) == [
        ["a", "o->", "b"],
        ["c", "o->", "b"],
        ["c", "o-o", "d"],
        ["d", "--o", "e"],
        ["e", "--o", "f"],
    ]
    one_line = read_text("pdag{x->y;y--z w}", ".dagitty", tmp_path)
    assert rows_of(one_line) == [["x", "-->", "y"], ["y", "---", "z"]]
    assert list(one_line) == ["x", "y", "z", "w"]


def test_texts_of_dot_are_read(tmp_path):
    text = """
    // a comment; -> "
    # include
    strict digraph "my graph" {
      graph [rankdir=LR]; node [shape=box]
      rank = same
      a:port:n -> b [label=<<b>bold</b> text>, color="red"]
      subgraph cluster_0 { edge [dir=none] b -> c; label = "group" }
      c -> d /* back */ [dir=back]
      d -> {e f} [dir="both"]
      e -> f [arrowhead=none]
      "long " + "name" -> a
    }
    """
    assert sorted(rows_of(read_text(text, ".dot", tmp_path))) == [
        ["a", "-->", "b"],
        ["b", "---", "c"],
        ["d", "-->", "c"],
        ["d", "<->", "e"],
        ["d", "<->", "f"],
        ["e", "---", "f"],
        ["long name", "-->", "a"],
    ]
    assert rows_of(read_text("graph { a -- b }", ".gv", tmp_path)) == [
        ["a", "---", "b"]
    ]
    text = """digraph {
      a -> b [arrowtail=odot, dir=both]
      b -> c [dir=back, arrowtail=odot arrowhead=odot]
      edge [dir=both, arrowhead=odot]
      c -> d
      d -> e [arrowtail=odot]
      e -> f [arrowtail=none]
      f -> g [dir=none]
    }"""
    assert rows_of(read_text(text, ".dot", tmp_path)) == [
        ["a", "o->", "b"],
        ["c", "--o", "b"],
        ["d", "o->", "c"],
        ["d", "o-o", "e"],
        ["e", "--o", "f"],
        ["f", "---", "g"],
    ]


def test_networks_in_bif_are_read(tmp_path):
    text = """
    // declared in any order
    network "of unknown origin" { property "version { 2 }" ; }
    probability ( wet | rain, "the sun" ) { (yes, no) 0.1, 0.9; }
    variable rain { type discrete [ 2 ] { yes, no }; }
    variable "the sun" { type discrete[2] {yes,no}; }
    variable wet { type discrete [ 2 ] { "}", no }; } /* the end */
    probability ( rain ) { table 0.2, 0.8; }
    """
    read = read_text(text, ".bif", tmp_path)
    assert list(read) == ["rain", "the sun", "wet"]
    assert rows_of(read) == [["rain", "-->", "wet"], ["the sun", "-->", "wet"]]
    with pytest.raises(ValueError, match="line 3: no variable 'the sun' is declared"):
        read_text(
            "\n\n" + 'probability(a | "the sun") {}variable a{}', ".bif", tmp_path
        )
    with pytest.raises(ValueError, match="line 2: this variable has no end"):
        read_text("\nvariable a { type", ".bif", tmp_path)


@pytest.mark.skipif(not NETWORKS.is_dir(), reason="the networks are not here")
def test_published_networks_are_read():
    for path in NETWORKS.glob("*.bif.gz"):
        listed = NETWORKS / path.name.replace(".bif.gz", "_edges.csv")
        assert set(exchange.read_graph(path).edges) == set(
            exchange.read_graph(listed).edges
        )


def test_lists_of_edges_are_read(tmp_path):
    text = "to;from;mark\nb;a;-->\nc;b;---\nd;a;<->\ne;d;o->\nf;e;--o\ng;f;o-o\n"
    assert rows_of(read_text(text, ".csv", tmp_path)) == [
        ["a", "-->", "b"],
        ["b", "---", "c"],
        ["d", "o->", "e"],
        ["e", "--o", "f"],
        ["f", "o-o", "g"],
        ["a", "<->", "d"],
    ]
    both = "from\tto\nx\ty\ny\tx\n"
    assert rows_of(read_text(both, ".tsv", tmp_path)) == [["x", "---", "y"]]
    path = tmp_path / "edges.csv.gz"
    path.write_bytes(gzip.compress(b"cause,effect\nrain,wet\n"))
    assert rows_of(exchange.read_graph(path)) == [["rain", "-->", "wet"]]


def test_graphs_of_networkx_are_read(tmp_path):
    undirected = nx.Graph([("a", "b"), ("b", "c")])
    nx.write_graphml(undirected, tmp_path / "g.graphml")
    assert rows_of(exchange.read_graph(tmp_path / "g.graphml")) == [
        ["a", "---", "b"],
        ["b", "---", "c"],
    ]
    twice = nx.MultiDiGraph([(1, 2), (1, 2)])
    nx.write_gml(twice, tmp_path / "g.gml")
    assert rows_of(exchange.read_graph(tmp_path / "g.gml")) == [["1", "-->", "2"]]
    old = {"directed": True, "nodes": [{"id": 1}, {"id": 2}]}
    old |= {"links": [{"source": 1, "target": 2}]}
    assert rows_of(read_text(json.dumps(old), ".json", tmp_path)) == [["1", "-->", "2"]]


def test_undirected_edges_are_turned_where_they_would_make_a_cycle(tmp_path):
    text = "pdag { a -- b; b -> c; c -- a }"
    read = read_text(text, ".txt", tmp_path)
    assert nx.is_directed_acyclic_graph(read)
    assert {(*pair, about["undirected"]) for *pair, about in read.edges(data=True)} == {
        ("a", "b", True),
        ("b", "c", False),
        ("a", "c", True),
    }


BOMB = """<?xml version="1.0"?>
<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<graphml><graph edgedefault="directed"><node id="&b;"/></graph></graphml>"""


@pytest.mark.parametrize(
    ("ending", "text", "message"),
    [
        (".txt", "dag { a -> b -> c -> a }", "have a cycle: 'a' -> 'b' -> 'c' -> 'a'"),
        (".txt", "dag { a -> a }", "an edge joins 'a' to itself"),
        (
            ".txt",
            "dag { a -> b\n a <-> b }",
            "'a' and 'b' are joined by --> and by <->",
        ),
        (".txt", "pag { a @-> b @-> a }", "'b' and 'a' are joined by o-> and by o->"),
        (
            ".dot",
            "digraph { a -> b [arrowhead=invdot] }",
            "line 1: arrowhead is 'invdot', an arrow with a circle: write normal",
        ),
        (".txt", "dag {\n a -> }", "line 2: a name is needed in place of '}'"),
        (".txt", "dag {\n a -> b", "line 2: a name is needed in place of 'the end'"),
        (".txt", "mag { a -> b }", "line 1: graph or digraph or dag or pdag or pag is"),
        (".txt", 'dag { "a }', "line 1: '\"a }' cannot be read"),
        (".txt", "", "is needed in place of 'the end'"),
        (".dot", "digraph {} digraph {}", "line 1: the graph has ended"),
        (".dot", "digraph { a -> b [dir=up] }", "dir is 'up': write one of forward"),
        (".dot", "digraph " + "{ subgraph " * 5000, "brackets are nested too deeply"),
        (".bif", "hello", "line 1: network or variable or probability is needed"),
        (".json", "{", "Expecting"),
        (".json", "[]", 'there is no "nodes" in it'),
        (".json", '{"nodes": [1], "edges": []}', "networkx cannot read it"),
        (".json", '{"nodes": 1, "edges": []}', "networkx cannot read it"),
        (".json", '{"nodes": [], "edges": [{}]}', "networkx cannot read it"),
        (".json", "[" * 100000, "brackets are nested too deeply"),
        (".graphml", BOMB, "it declares a document type"),
        (".graphml", "<graphml>", "no element found"),
        (".gml", "graph [ node [ id 0 ] ]", "label"),
        (".gml", "graph [" + " a [" * 5000, "brackets are nested too deeply"),
        (".csv", "a,b\n", "neither a header nor an edge"),
        (".csv", "from,to,mark\na,b,o--\n", "line 2 has the mark 'o--': write one of"),
        (".csv", "from,to,kind\na,b,forbidden\n", "line 2 is a forbidden edge"),
        (".xls", "", "unknown kind of file; give one of"),
    ],
)
def test_a_bad_file_is_refused_by_name(ending, text, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)) as told:
        read_text(text, ending, tmp_path)
    assert str(told.value).startswith(f"{tmp_path / 'file'}{ending}: ")
    assert "\n" not in str(told.value)


def test_bad_paths_and_attributes_are_refused(tmp_path):
    graph = nx.DiGraph([("a", "b")])
    with pytest.raises(ValueError, match="g.xls: unknown kind of file; give one of"):
        exchange.write_graph(graph, tmp_path / "g.xls")
    with pytest.raises(ValueError, match=r"g.dot: cannot be written \(No such file"):
        exchange.write_graph(graph, tmp_path / "nowhere" / "g.dot")
    with pytest.raises(ValueError, match="g.dot: no such file"):
        exchange.read_graph(tmp_path / "g.dot")
    (tmp_path / "g.dot").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="no text of UTF-8"):
        exchange.read_graph(tmp_path / "g.dot")
    graph.edges["a", "b"]["probability"] = "high"
    with pytest.raises(ValueError, match=r"probability of \('a', 'b'\) is 'high'"):
        exchange.to_dot(graph)
    for attribute, message in (
        ({"undirected": "maybe"}, "undirected of .* is 'maybe': write 0 or 1"),
        ({"undirected": []}, "undirected of .* is"),
    ):
        with pytest.raises(ValueError, match=message):
            exchange.to_dot(nx.DiGraph([("a", "b", attribute)]))
    for confounded in ("[", "[1]", '[["a", "x", 0.5]]', '[["a", "b", "x"]]', 5):
        graph = nx.DiGraph([("a", "b")], confounded=confounded)
        with pytest.raises(ValueError, match="confounded is .* write a JSON text"):
            exchange.to_dot(graph)
    with pytest.raises(ValueError, match="two nodes are called '1': rename one"):
        exchange.to_dot(nx.DiGraph([(1, "1")]))


SCRAPS = st.sampled_from(
    [
        *'{}[]()|;:,="\\<>/*#+ \n',
        *("dag", "digraph", "graph", "subgraph", "edge", "a", "b", "c", "1.5", "-2"),
        *("->", "--", "<->", "<-", "@->", "--@", "dir", "none", "both", "network"),
        *("arrowhead", "odot"),
        *("variable", "probability", "node", "id", "label", "directed", "source"),
    ]
)


@settings(max_examples=120, deadline=None)
@given(st.lists(SCRAPS, max_size=30), st.sampled_from([".dot", ".txt", ".bif", ".gml"]))
def test_scraps_of_files_are_read_or_refused(scraps, ending):
    heads = {".dot": "digraph {", ".txt": "dag {", ".bif": "variable a {} ", ".gml": ""}
    text = heads[ending] + " ".join(scraps)
    with tempfile.TemporaryDirectory() as folder:
        try:
            read = read_text(text, ending, pathlib.Path(folder))
        except ValueError as error:
            refusal = str(error)
        else:
            assert nx.is_directed_acyclic_graph(read)
            return
    assert f"file{ending}: " in refusal


# The members of a class


@pytest.mark.parametrize("mark", edge_tables.CIRCLED)
def test_circles_are_refused_where_they_would_be_lost(mark):
    rows = [("a b", "c", mark, {}), ("c", "d", "-->", {})]
    graph = edge_tables.to_networkx(edge_tables.marked_edges(rows, "acd"), ["a b"])
    for take in (exchange.iter_dags, exchange.to_dowhy, exchange.to_pgmpy):
        with pytest.raises(ValueError, match=f"'a b' {mark} 'c' has an? (end|circle)"):
            take(graph)


def test_the_dags_of_a_class_come_in_order():
    diamond = nx.Graph([("b", "a"), ("a", "c"), ("b", "c"), ("c", "d")])
    found = [list(dag.edges) for dag in exchange.iter_dags(diamond)]
    assert len(found) == 8
    assert found[0] == [("b", "a"), ("b", "c"), ("a", "c"), ("c", "d")]
    assert len({tuple(sorted(edges)) for edges in found}) == 8
    square = nx.Graph([("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")])
    with pytest.raises(ValueError, match="the graph stands for no DAG"):
        exchange.iter_dags(square)


@pytest.mark.slow
def test_an_estimator_gives_its_graph_and_its_class(tmp_path):
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 300))
    table = pd.DataFrame(
        {"x": x, "y: 2": x + y, "z": x + y + z, "w": rng.normal(size=300)}
    )
    model = LinearDAG(noise="gaussian", num_steps=3)
    with pytest.raises(AttributeError, match="has not been fitted"):
        model.iter_dags()
    model.fit(table)
    dags = list(model.iter_dags())
    assert len(dags) == 3  # of a chain
    assert any(set(dag.edges) == set(model.graph_.edges) for dag in dags)
    assert all(list(dag) == list(table) for dag in dags)
    truth = nx.DiGraph([("x", "y: 2"), ("y: 2", "z")])
    truth.add_node("w")
    assert all(compare_graphs(truth, dag)["cpdag_shd"] == 0 for dag in dags)
    read = round_trip(model, ".dot", tmp_path)
    assert nx.utils.edges_equal(read.edges, model.graph_.edges, directed=True)
    # As the graph leaves directions open, so does its comparison.
    np.testing.assert_equal(
        compare_graphs(truth, model.graph_), compare_graphs(truth, model.cpdag_)
    )
