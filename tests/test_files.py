"""Files in and out: what is read, what is refused, what is left alone."""

import json

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax import files


@pytest.fixture
def table():
    return pd.DataFrame({"a": [1.0, 2.5], "b": [3.0, -4.0]})


@pytest.fixture
def graph():
    result = nx.DiGraph(kind="dag")
    result.add_nodes_from(["a", "b"])
    result.add_edge("a", "b", probability=1.0, weight=-0.5, undirected=False)
    return result


def test_every_kind_of_table_reads_the_same(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.csv.gz", index=False)
    table.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "t.parquet")
    for path in tmp_path.iterdir():
        pd.testing.assert_frame_equal(files.read_table(path), table)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.csv", None, "no such file"),
        ("t.xlsx", b"x", "unknown kind of file"),
        ("t.csv", b"", "empty"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", b"a,b\n1,2\n1,2,3,4\n", "cannot be read as csv"),
        ("t.csv", b"\xff\xfe\x00\x01\n", "cannot be read as csv"),
        ("t.csv", b"a,b,a\n1,2,3\n", "'a' occurs more than once"),
        ("t.parquet", b"not parquet", "cannot be read as parquet"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        files.read_table(path)


def test_edges_are_pairs(tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text("cause,effect,note\na,b,x\nb,c,\n")
    assert files.read_edges(path) == [("a", "b"), ("b", "c")]
    path.write_text("cause,effect\na,b\nb,\n")
    with pytest.raises(ValueError, match="row 1 lacks"):
        files.read_edges(path)
    path.write_text("cause\na\n")
    with pytest.raises(ValueError, match="two columns"):
        files.read_edges(path)


def write(folder, graph):
    adjacency = pd.DataFrame(np.array([[0, 1], [0, 0]]), index=["a", "b"])
    adjacency.columns = ["a", "b"]
    record = {"causaljax": "1", "seed": 3}
    files.write_results(folder, graph, adjacency, adjacency + adjacency.T, record)


def test_results_read_back(graph, tmp_path):
    folder = tmp_path / "new" / "results"
    write(folder, graph)
    assert sorted(path.name for path in folder.iterdir()) == sorted(files.RESULTS)
    edges = pd.read_csv(folder / "edges.csv")
    assert edges.to_dict("records") == [
        {
            "source": "a",
            "target": "b",
            "probability": 1.0,
            "weight": -0.5,
            "undirected": False,
        }
    ]
    adjacency = pd.read_csv(folder / "adjacency.csv", index_col=0)
    assert adjacency.loc["a", "b"] == 1
    cpdag = pd.read_csv(folder / "cpdag.csv", index_col=0)
    assert cpdag.loc["b", "a"] == 1
    link = json.loads((folder / "graph.json").read_text())
    again = nx.node_link_graph(link, edges="edges")
    assert nx.utils.graphs_equal(again, graph)
    write(folder, graph)  # the results of an earlier run may be replaced


def test_files_of_others_are_left_alone(graph, tmp_path):
    (tmp_path / "edges.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"edges\.csv, which this program did not"):
        write(tmp_path, graph)
    assert [path.name for path in tmp_path.iterdir()] == ["edges.csv"]
    assert (tmp_path / "edges.csv").read_text() == "mine"
    with pytest.raises(ValueError, match="is a file"):
        write(tmp_path / "edges.csv", graph)


def test_a_failure_leaves_no_partial_result(graph, tmp_path):
    graph.edges["a", "b"]["weight"] = np.float32(1)  # which JSON cannot express
    with pytest.raises(TypeError):
        write(tmp_path / "out", graph)
    assert list((tmp_path / "out").iterdir()) == []


def test_regimes_are_written_where_there_are_any(graph, tmp_path):
    adjacency = pd.DataFrame([[0, 1], [0, 0]], index=["a", "b"], columns=["a", "b"])
    probabilities = pd.DataFrame({"idle": [0.9, 0.2], 3: [0.1, 0.8]}, index=[7, 8])
    table = files.regime_table(probabilities.idxmax(axis=1), probabilities)
    targets = pd.DataFrame([[0.0, 0.0], [0.0, 1.0]], index=["idle", 3])
    arguments = tmp_path, graph, adjacency, adjacency, {"causaljax": "1"}
    written = files.write_results(*arguments, regimes=table, targets=targets)
    assert written == files.RESULTS + files.REGIMES
    again = pd.read_csv(tmp_path / "regimes.csv", index_col="row")
    assert again.index.tolist() == [7, 8]
    assert again.regime.tolist() == ["idle", "3"]
    assert again["P(3)"].tolist() == [0.1, 0.8]
    # A run of another method leaves none of them behind.
    assert files.write_results(*arguments) == files.RESULTS
    assert not any((tmp_path / name).exists() for name in files.REGIMES)
    (tmp_path / "run.json").unlink()
    for name in files.RESULTS:
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "regimes.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"regimes\.csv, which this program did not"):
        files.write_results(*arguments)
