"""Knowledge from files: no edge is lost or read the wrong way round."""

import csv
import gzip
import pathlib
import tempfile
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

from causaljax import Knowledge, read_knowledge
from causaljax.tables.edge_lists import HEADERS
from causaljax.tables.knowledge import edge_masks

NAMES = ["a", "b", "c"]


def written(tmp_path, text, name="edges.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_has_the_fields_of_knowledge(tmp_path):
    text = """
        required = [["a", "b"]]
        forbidden = [["g", "c*"]]
        tiers = [["a"], ["b"]]
        forbidden_within = [0]
        roots = ["a"]
        sinks = ["c"]
        [groups]
        g = ["a", "b"]
    """
    assert read_knowledge(written(tmp_path, text, "k.toml")) == Knowledge(
        required=[["a", "b"]],
        forbidden=[["g", "c*"]],
        tiers=[["a"], ["b"]],
        forbidden_within=[0],
        roots=["a"],
        sinks=["c"],
        groups={"g": ["a", "b"]},
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("requird = []", "k.toml: knowledge has no 'requird'; did you mean 'required'"),
        ("roots = 'a'", "k.toml: knowledge.roots is 'a': give a list"),
        ("roots = [", "k.toml: "),
    ],
)
def test_a_bad_toml_file_is_named(tmp_path, text, words):
    path = written(tmp_path, text, "k.toml")
    with pytest.raises(ValueError, match="toml") as error:
        read_knowledge(path, NAMES)
    assert words in str(error.value)
    with pytest.raises(ValueError, match="give it as knowledge"):
        read_knowledge(path, NAMES, "required")


@pytest.mark.parametrize("names", [NAMES, None])
@pytest.mark.parametrize(
    "header",
    ["cause,effect", "Source,Target", "from, to", "parent,child", "\ufeffcause,effect"],
)
def test_headers_say_which_way_round(tmp_path, header, names):
    path = written(tmp_path, f"{header}\na,b\n\nb,c\n")
    assert read_knowledge(path, names).required == [("a", "b"), ("b", "c")]
    turned = ",".join(reversed(header.lstrip("\ufeff").split(",")))
    path = written(tmp_path, f"{turned}\nb,a\n\nc,b\n")
    assert read_knowledge(path, names).required == [("a", "b"), ("b", "c")]


def test_columns_are_found_by_their_names(tmp_path):
    path = written(tmp_path, "note,effect,kind,cause\nx,b,forbidden,a\n,c,Required,b\n")
    known = read_knowledge(path, NAMES)
    assert known == Knowledge(required=[("b", "c")], forbidden=[("a", "b")])


def test_without_a_header_no_edge_is_lost(tmp_path):
    path = written(tmp_path, "a,b\nb,c\n")
    assert read_knowledge(path, NAMES).required == [("a", "b"), ("b", "c")]
    assert read_knowledge(path, NAMES, "forbidden").forbidden == [
        ("a", "b"),
        ("b", "c"),
    ]
    path = written(tmp_path, "a,*\nb,c\n")
    assert read_knowledge(path, NAMES).required == [("a", "*"), ("b", "c")]
    path = written(tmp_path, "a,b,forbidden\nb,c,required\n")
    known = read_knowledge(path, NAMES)
    assert known == Knowledge(required=[("b", "c")], forbidden=[("a", "b")])
    # What stands in the first line are columns, whatever they are called.
    path = written(tmp_path, "kind,note\n")
    assert read_knowledge(path, ["kind", "note"]).required == [("kind", "note")]


@pytest.mark.parametrize(
    "name", ["edges.csv", "edges.tsv", "edges.csv.gz", "e.PARQUET"]
)
def test_every_kind_of_table(tmp_path, name):
    table = pd.DataFrame({"effect": ["NA", "2", "007"], "cause": ["None", "1", "a,b"]})
    path = tmp_path / name
    if name.endswith("PARQUET"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    expected = [("None", "NA"), ("1", "2"), ("a,b", "007")]
    assert read_knowledge(path).required == expected


def test_other_separators(tmp_path):
    for text in ("cause;effect\na;b\n", "cause\teffect\na\tb\n", "a;b\n"):
        path = written(tmp_path, text)
        assert read_knowledge(path, NAMES).required == [("a", "b")]
    odd = "x\u2028y"  # no end of a line in a file
    path = written(tmp_path, f'cause,effect\n{odd},"b\nc"\n')
    assert read_knowledge(path).required == [(odd, "b\nc")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("cause,effect\n", "holds no rows"),
        ("cause\na\n", "two columns are needed"),
        ("cause,effect\na,b\nb,\n", "line 3 lacks a cause or an effect"),
        ("cause,effect\na,b\nb\n", "line 3 lacks a cause or an effect"),
        ("cause,effect\na,b,c\n", "line 2 has 3 cells, the first line 2"),
        ("A,b\nb,c\n", "the first line, A,b, is neither a header nor an edge"),
        ("A,b\nb,c\n", "write cause,effect above the edges; the table has no 'A'"),
        ("A,b\nb,c\n", "did you mean 'a'?"),
        ("a,b,x\nb,c,y\n", "has 3 columns and no header"),
        ("cause,effect,source,target\na,b,a,b\n", "more than one cause and effect"),
        ("cause,effect,cause\na,b,a\n", "more than one cause and effect"),
        ("cause,effect,kind\na,b,maybe\n", "line 2 is of kind 'maybe'"),
        ("cause,effect,mark\na,b,-->\nb,c,---\n", "line 3 has the mark '---'"),
        ("cause,effect,mark\na,b,<->\n", "write --> if its direction is known"),
        ('cause,effect\na,"b\n', "cannot be read as csv"),
    ],
)
def test_what_is_no_table_of_edges_is_said(tmp_path, text, words):
    with pytest.raises(ValueError, match="edges.csv") as error:
        read_knowledge(written(tmp_path, text), NAMES)
    assert words in str(error.value)


def test_what_may_be_a_header_or_an_edge_is_asked(tmp_path):
    path = written(tmp_path, "source,target\na,b\n")
    names = ["a", "b", "source", "target"]
    with pytest.raises(ValueError, match="write cause,effect above the edges"):
        read_knowledge(path, names)
    # Only one of them is a column: no edge.
    assert read_knowledge(path, names[:3]).required == [("a", "b")]
    with pytest.raises(ValueError, match="neither a header"):
        read_knowledge(written(tmp_path, "a,b\n"))


def test_a_file_of_one_kind_holds_no_other(tmp_path):
    path = written(tmp_path, "cause,effect,kind\na,b,forbidden\n")
    assert read_knowledge(path, NAMES, "forbidden").forbidden == [("a", "b")]
    with pytest.raises(ValueError, match="line 2 is of kind forbidden, and the file"):
        read_knowledge(path, NAMES, "required")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.csv", None, "no such file"),
        ("missing.toml", None, "no such file"),
        ("edges.txt", b"a,b", "give .csv, .tsv, .parquet or .toml"),
        ("edges.csv", b"\xff\xfe\n", "cannot be read as csv"),
        ("edges.csv.gz", b"cause,effect\n", "not a gzipped file"),
        (
            "edges.csv.gz",
            gzip.compress(b"cause,effect\na,b\n", mtime=0)[:-9],
            "cannot be read",
        ),
        ("edges.parquet", b"x", "cannot be read as parquet"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_knowledge(path, NAMES)
    with pytest.raises(ValueError, match=r"is a directory|unknown kind"):
        read_knowledge(tmp_path, NAMES)


_names = st.text(min_size=1, max_size=4).filter(lambda name: name[0] != "\ufeff")


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    names=st.lists(_names | st.sampled_from("ab"), min_size=2, max_size=4, unique=True),
    header=st.sampled_from([None, *HEADERS]),
    turned=st.booleans(),
    data=st.data(),
)
def test_edges_between_columns_of_any_name(names, header, turned, data):
    pair = st.tuples(st.sampled_from(names), st.sampled_from(names))
    edges = data.draw(st.lists(pair, min_size=1, max_size=3))
    ways = slice(None, None, -1 if turned and header else 1)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "edges.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = ([header] if header else []) + edges
            csv.writer(file).writerows(line[ways] for line in lines)
        assert read_knowledge(path, names).required == edges


def test_the_file_of_the_documentation_is_knowledge(tmp_path):
    docs = pathlib.Path(__file__).parents[1] / "docs" / "methods" / "knowledge.md"
    block = docs.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    known = read_knowledge(written(tmp_path, block, "k.toml"))
    names = ["age", "sex", "gene_1", "gene_10", "dose", "response"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        allowed, required = edge_masks(known, names)
    assert np.argwhere(required).tolist() == [[4, 5]]
    assert not allowed[1, 3]
    assert allowed[1, 2]
