"""Files in and out: what is read, what is refused, what is left alone."""

import csv
import errno
import gzip
import hashlib
import itertools
import json
import pathlib
import tempfile

import hypothesis
import hypothesis.strategies as st
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax.reports.evaluation import compare_graphs
from causaljax.tables import edges, files


@pytest.fixture
def table():
    return pd.DataFrame({"a": [1.0, 2.5], "b": [3.0, -4.0]})


NAMES = ["a", "b"]


def edges_between(names, marks, hidden=0.0):
    """An edge from each name to the next, with these marks."""
    d, k = len(names), np.arange(len(names) - 1)
    graph = np.eye(d, k=1, dtype=bool)
    open_edges = np.zeros((d, d), bool)
    open_edges[k + 1, k] = [mark == "---" for mark, _ in zip(marks, k, strict=False)]
    return edges.edge_table(
        graph,
        graph | open_edges,
        graph * 1.0,
        names,
        meaning="score",
        weights=graph * -0.5,
        confounders=np.full((d, d), hidden),
        why={(0, 1): "it is so"},
    )


@pytest.fixture
def table_of_edges():
    return edges_between(NAMES, ["-->"])


def test_every_kind_of_table_reads_the_same(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.csv.gz", index=False)
    table.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.CSV", index=False)
    table.to_csv(tmp_path / "u.Csv.GZ", index=False, compression="gzip")
    table.to_csv(tmp_path / "t.Tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "t.PARQUET")
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
        ("t.csv", b"NA,b,NA\n1,2,3\n", "'NA' occurs more than once"),
        ("t.parquet", b"not parquet", "cannot be read as parquet"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        files.read_table(path)


NUMBERS = pd.DataFrame({"a": [1.5, -2.25, 3.0], "b c": [0.5, 7.0, 10.125]})


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a;b c\n1.5;.5\n-2.25;7\n3;10.125\n", {}),
        ("a;b c\n1,5;0,5\n-2,25;7\n3;10,125\n", {}),
        ("a|b c\n1.5|0.5\n-2.25|7\n3|10.125\n", {}),
        ("a\tb c\n1,5\t0,5\n-2,25\t7\n3\t10,125\n", {}),
        ('a,b c\n"1,5","0,5"\n"-2,25",7\n3,"10,125"\n', {}),
        ("a:b c\n1.5:.5\n-2.25:7\n3:10.125\n", {"separator": ":"}),
        ("\ufeffa,b c\r\n1.5,.5\r\n-2.25,7\r\n3,10.125\r\n", {}),
        ("a,b c,\n1.5,.5,\n-2.25,7,\n3,10.125,\n", {}),
        ("a,b c\n1.5,.5,\n-2.25,7,\n3,10.125,\n", {}),
        ('"a","b c"\n\n1.5,.5\n-2.25,7\n\n3,10.125\n', {}),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz"])
def test_files_of_other_habits_are_read_right(tmp_path, content, options, ending):
    path = tmp_path / f"t{ending}"
    packed = gzip.compress if ending == ".csv.gz" else bytes
    path.write_bytes(packed(content.encode()))
    table = files.read_table(path, **options)
    pd.testing.assert_frame_equal(table.astype(float), NUMBERS)


@pytest.mark.parametrize(
    "content",
    [
        ",a,b c\n0,1.5,.5\n1,-2.25,7\n2,3,10.125\n",
        ";a;b c\nMazda;1,5;0,5\nDatsun;-2,25;7\nHornet;3;10,125\n",
        "a,b c\n1,1.5,.5\n2,-2.25,7\n3,3,10.125\n",  # as R writes it
        '"a" "b c"\n"x" 1.5 .5\n"y" -2.25 7\n"z" 3 10.125\n',
    ],
)
def test_an_index_without_a_name_is_left_out_with_a_word(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    form = {"separator": " "} if content.startswith('"') else {}
    with pytest.warns(UserWarning, match=r"t\.csv: .* taken for an index and left out"):
        table = files.read_table(tmp_path / "t.csv", **form)
    pd.testing.assert_frame_equal(table, NUMBERS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1.5,2\n3,4\n5,6\n", "first row holds numbers (1.5, 2), no names: add --no-h"),
        ("3,17\n5,6\n", "add --no-header"),
        ("x,1.5,-2\ny,3,4\n", "add --no-header"),
        ("a;b\n1,5;1.5\n2,5;2.5\n", "cells as '1.5' and as '1,5' occur: add --dec"),
        ("a;b\n1,500;7\n2,125;8\n", "'1,500' may be|'2,125' may be"),
        ("a,b\n1,5,2,5\n3,5,4,5\n", "row 0 has 4 fields and the header 2: name each"),
        ("a,b\n1,5,2\n1,6,4\n", "row 0 has 3 fields and the header 2"),
        ("a,,b\n1,5,2\n1,6,4\n", "column 2 has no name: name it in the header"),
        (",b\n1,5\n1,6\n", "column 1 has no name"),
    ],
)
def test_files_of_two_meanings_are_refused_with_what_to_pass(tmp_path, content, words):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=".") as error:
        files.read_table(tmp_path / "t.csv")
    assert any(word in str(error.value) for word in words.split("|"))


def test_what_is_passed_settles_it(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("1.5;2\n3;4\n")
    table = files.read_table(path, header=False, names=["x1"])
    assert table.to_dict("list") == {"x0": [1.5, 3], "x1": ["2", "4"]}
    path.write_text("a;b\n1,500;7\n2,125;8\n")
    assert files.read_table(path, decimal=",").a.tolist() == [1.5, 2.125]
    path.write_text("0,1,2\n3,4,5\n")  # as pandas names columns
    assert [*files.read_table(path)] == ["0", "1", "2"]
    path.write_text("a,on\n1,b;c\n2,b\n")  # the separator of targets
    assert [*files.read_table(path)] == ["a", "on"]


def test_a_carriage_return_in_a_name_survives(tmp_path):
    names = ["a\rb", "c\r\nd"]
    made = edges_between(names, ["-->"])
    files.write_results(tmp_path, made, names, {"causaljax": "1"})
    read = files.read_result(tmp_path / "adjacency.csv")
    assert [*read] == [*read.index] == names
    assert files.read_result(tmp_path / "edges.csv").source.tolist() == names[:1]
    table = pd.DataFrame({names[0]: [1.5, 2.0], names[1]: [3, 4]})
    table.to_csv(tmp_path / "t.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "t.csv"), table)


def test_a_fingerprint_is_that_of_the_data(table, tmp_path):
    for name in ("one.csv", "two.csv"):
        table.to_csv(tmp_path / name)
    one, two = (files.fingerprint(tmp_path / name) for name in ("one.csv", "two.csv"))
    assert one == two == hashlib.sha256((tmp_path / "one.csv").read_bytes()).hexdigest()
    assert files.fingerprint(table) == files.fingerprint(table.copy()) != one
    assert files.fingerprint(table) != files.fingerprint(table + 1)
    assert files.fingerprint(table) != files.fingerprint(
        table.rename(columns=str.upper)
    )


MARKS = ["NA", "None", "null", "nan", "NaN", "n/a", "<NA>", "007", "1.0", "True"]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_what_marks_a_gap_is_a_name_among_names(tmp_path, ending):
    path = tmp_path / f"t{ending}"
    made = pd.DataFrame({"name": [*MARKS, None], "1": [*"0123456789", None]})
    made["value"] = [1.0, None, *range(9)]
    if ending == ".parquet":
        made.to_parquet(path)
    else:
        made.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    table = files.read_table(path, names=["name", "1", "absent"])
    assert table["name"].tolist()[:-1] == MARKS
    assert table["1"].tolist()[:-1] == list("0123456789")
    assert table.isna().sum().tolist() == [1, 1, 1]


def test_marks_of_gaps_are_gaps_among_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\nNA,NA\nnull,y\n,z\n")
    table = files.read_table(tmp_path / "t.csv", names=["b"])
    assert table.a.isna().tolist() == [False, True, True, True]
    assert table.b.tolist() == ["x", "NA", "y", "z"]


def test_labels_do_not_change():
    gap = float("nan")
    for given, expected in (
        (["1", "2", "-3"], [1, 2, -3]),
        (["1", gap, "2"], [1, gap, 2]),
        (["1", "02"], ["1", "02"]),
        (["1", "1.0"], ["1", "1.0"]),
        (["1", "None"], ["1", "None"]),
        ([3, 4], [3, 4]),
        ([gap, gap], [gap, gap]),
    ):
        found = files.labels(pd.Series(given)).tolist()
        assert list(map(repr, found)) == list(map(repr, expected))


def nasty_names(least=2):
    """Names that are numbers, gaps, markup or punctuation elsewhere."""
    special = [
        *MARKS,
        "1",
        "2",
        "",
        " a",
        "from",
        "regime",
        "row",
        "a,b",
        'a"b',
        "a\nb",
        "a\rb",
    ]
    texts = st.text(st.characters(codec="utf-8"), max_size=4)
    one = st.sampled_from(special) | texts
    return st.lists(one, min_size=least, max_size=5, unique=True)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(names=nasty_names(), regimes=nasty_names(), counted=st.booleans())
@hypothesis.example(names=["1", "2", "3"], regimes=["idle", "NA"], counted=False)
def test_names_come_back_as_they_went_in(names, regimes, counted):
    rng = np.random.default_rng(0)
    if counted or files.labels(pd.Series(regimes)).tolist() != regimes:
        regimes = list(range(len(regimes)))
    made = edges_between(names, itertools.cycle(["---", "-->"]), hidden=0.8)
    probabilities = pd.DataFrame(rng.random((3, len(regimes))), columns=regimes)
    rows = pd.Series([regimes[0], regimes[1], regimes[0]])
    table = files.regime_table(rows, probabilities)
    targets = pd.DataFrame(
        rng.random((len(regimes), len(names))), index=regimes, columns=names
    ).rename_axis("regime")
    arguments = made, names, {"causaljax": "1"}, table, targets
    with tempfile.TemporaryDirectory() as folder:
        files.write_results(folder, *arguments)
        read = {
            name: files.read_result(pathlib.Path(folder) / f"{name}.csv")
            for name in ("adjacency", "cpdag", "edges", "regimes")
        }
        read["targets"] = files.read_result(f"{folder}/intervention_targets.csv")
        link = json.loads((pathlib.Path(folder) / "graph.json").read_text())
    graph = edges.to_networkx(made, names)
    assert nx.utils.graphs_equal(nx.node_link_graph(link, edges="edges"), graph)
    expected = {
        "adjacency": edges.adjacency(made, names),
        "cpdag": edges.claims(made, names),
        "edges": made,
        "regimes": table,
        "targets": targets,
    }
    for name, frame_read in read.items():
        assert list(frame_read.index) == list(expected[name].index), name
        assert list(frame_read.columns) == list(expected[name].columns), name
        pairs = zip(frame_read.items(), expected[name].items(), strict=True)
        for (_, one), (_, other) in pairs:
            assert one.isna().tolist() == other.isna().tolist()
            assert one.dropna().tolist() == other.dropna().tolist()


def test_a_graph_that_was_written_can_be_compared(tmp_path):
    names = ["1", "NA", "003"]
    truth = pd.DataFrame(np.eye(3, k=1, dtype=int), index=names, columns=names)
    made = edges_between(names, ["-->"] * 2)
    files.write_results(tmp_path, made, names, {"causaljax": "1"})
    again = files.read_result(tmp_path / "adjacency.csv")
    assert compare_graphs(truth, again)["shd"] == 0
    with pytest.raises(ValueError, match=r"causaljax\.read_result"):
        compare_graphs(truth, pd.read_csv(tmp_path / "adjacency.csv", index_col=0))


def test_no_edges_come_back():
    with tempfile.TemporaryDirectory() as folder:
        edges_between(["a"], []).to_csv(f"{folder}/edges.csv", index=False)
        assert files.read_result(f"{folder}/edges.csv").shape == (0, 9)


def write(folder, made, seed: object = 3):
    files.write_results(folder, made, NAMES, {"causaljax": "1", "seed": seed})


def test_results_read_back(table_of_edges, tmp_path):
    folder = tmp_path / "new" / "results"
    write(folder, table_of_edges)
    assert sorted(path.name for path in folder.iterdir()) == sorted(files.RESULTS)
    (row,) = pd.read_csv(folder / "edges.csv").to_dict("records")
    missing = {name for name, cell in row.items() if pd.isna(cell)}
    assert missing == {"effect_size", "stability"}
    assert {name: row[name] for name in row.keys() - missing} == {
        "source": "a",
        "target": "b",
        "mark": "-->",
        "probability": 1.0,
        "meaning": "score",
        "weight": -0.5,
        "why": "it is so",
    }
    adjacency = pd.read_csv(folder / "adjacency.csv", index_col=0)
    assert adjacency.loc["a", "b"] == 1
    cpdag = pd.read_csv(folder / "cpdag.csv", index_col=0)
    assert cpdag.loc["b", "a"] == 0
    link = json.loads((folder / "graph.json").read_text())
    again = nx.node_link_graph(link, edges="edges")
    expected = edges.to_networkx(table_of_edges, NAMES)
    assert nx.utils.graphs_equal(again, expected)
    write(folder, table_of_edges)  # the results of an earlier run may be replaced


def test_files_of_others_are_left_alone(table_of_edges, tmp_path):
    (tmp_path / "edges.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"edges\.csv, which this program did not"):
        write(tmp_path, table_of_edges)
    assert [path.name for path in tmp_path.iterdir()] == ["edges.csv"]
    assert (tmp_path / "edges.csv").read_text() == "mine"
    with pytest.raises(ValueError, match="is a file"):
        write(tmp_path / "edges.csv", table_of_edges)


def test_a_failure_leaves_no_partial_result(table_of_edges, tmp_path):
    with pytest.raises(TypeError):
        write(tmp_path / "out", table_of_edges, seed=np.float32(1))  # not JSON's
    assert list(tmp_path.iterdir()) == []


def deny(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "place", ["file/out", "file/a/out", "/proc/out", "/proc/a/out", "/dev/full/out"]
)
def test_places_that_cannot_be_written_are_named(table_of_edges, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    for attempt in (files.check_writable, lambda folder: write(folder, table_of_edges)):
        with pytest.raises(ValueError, match="results cannot be written there"):
            attempt(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ValueError, match="is a file; name a folder"):
        files.check_writable("/dev/full")


@pytest.mark.parametrize(
    "place", ["os.mkdir", "pathlib.Path.write_text", "tempfile.mkdtemp"]
)
def test_a_trial_leaves_nothing_behind(tmp_path, monkeypatch, place):
    files.check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    files.check_writable(tmp_path / "there")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    monkeypatch.setattr(place, deny)
    with pytest.raises(ValueError, match=r"\(No space left on device\): make room"):
        files.check_writable(tmp_path / "there" / "b" / "c")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def deny_run_json(path, *arguments):
    if path.name == "run.json":
        deny()


@pytest.mark.parametrize(
    ("place", "failing"),
    [
        ("pandas.DataFrame.to_csv", deny),
        ("pathlib.Path.write_text", deny_run_json),
        ("os.replace", deny),
    ],
)
def test_a_full_disk_leaves_no_half_of_a_file(
    table_of_edges, tmp_path, monkeypatch, place, failing
):
    write(tmp_path / "old", table_of_edges)
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    monkeypatch.setattr(place, failing)
    for name in ("old", "new/results"):
        with pytest.raises(ValueError, match="No space left on device") as error:
            write(tmp_path / name, table_of_edges)
        assert str(error.value).count("\n") == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    assert after == before
    assert not (tmp_path / "new").exists()


def test_regimes_are_written_where_there_are_any(table_of_edges, tmp_path):
    probabilities = pd.DataFrame({"idle": [0.9, 0.2], 3: [0.1, 0.8]}, index=[7, 8])
    table = files.regime_table(probabilities.idxmax(axis=1), probabilities)
    targets = pd.DataFrame([[0.0, 0.0], [0.0, 1.0]], index=["idle", 3])
    arguments = tmp_path, table_of_edges, NAMES, {"causaljax": "1"}
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
