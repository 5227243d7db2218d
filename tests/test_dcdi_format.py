"""DCDI's folders: what is written is read, what is broken is named."""

import pathlib
import tempfile

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest

from causaljax.tables import dcdi_format
from causaljax.tables.dcdi_format import DcdiTable

FILES = {
    "data_interv1.npy",
    "intervention1.csv",
    "regime1.csv",
    "data1.npy",
    "DAG1.npy",
}
NUMBERS = st.floats(-1e9, 1e9)


@st.composite
def tables(draw):
    """Tables of every shape in which rows of a regime share their targets."""
    n, d, r = (draw(st.integers(low, high)) for low, high in ((1, 8), (1, 5), (1, 4)))
    targets = draw(hnp.arrays(bool, (r, d)))
    targets[0] = False
    regime = draw(hnp.arrays(int, n, elements=st.integers(0, r - 1)))
    graph = draw(st.none() | hnp.arrays(bool, (d, d)))
    x = draw(hnp.arrays(float, (n, d), elements=NUMBERS))
    return DcdiTable(x=x, intervened=targets[regime], regime=regime, graph=graph)


def assert_same(one, other):
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.intervened, other.intervened)
    np.testing.assert_array_equal(one.regime, other.regime)
    assert (one.graph is None) == (other.graph is None)
    if one.graph is not None:
        np.testing.assert_array_equal(one.graph, other.graph)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(table=tables(), number=st.integers(1, 12))
def test_what_is_written_is_read(table, number):
    with tempfile.TemporaryDirectory() as folder:
        dcdi_format.write_dcdi(folder, table, number)
        assert_same(dcdi_format.read_dcdi(folder, number), table)
        observational = np.load(pathlib.Path(folder) / f"data{number}.npy")
        np.testing.assert_array_equal(observational, table.x[table.regime == 0])


@pytest.fixture
def table():
    """Six rows of three variables: two left alone, two regimes of two."""
    regime = np.array([0, 0, 1, 1, 2, 2])
    targets = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1]], bool)
    return DcdiTable(
        x=np.arange(18.0).reshape(6, 3),
        intervened=targets[regime],
        regime=regime,
        graph=np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], bool),
    )


@pytest.fixture
def folder(table, tmp_path):
    dcdi_format.write_dcdi(tmp_path / "tables", table)
    return tmp_path / "tables"


def test_files_are_those_of_dcdi(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    lines = (folder / "intervention1.csv").read_bytes()
    assert lines == b"\r\n\r\n1\r\n1\r\n0,2\r\n0,2\r\n"
    assert (folder / "regime1.csv").read_text().split() == list("001122")
    assert np.load(folder / "DAG1.npy")[0].tolist() == [0, 1, 1]


def test_without_regimes_every_set_of_targets_is_one(folder, table):
    (folder / "regime1.csv").unlink()
    assert_same(dcdi_format.read_dcdi(folder), table)


def test_regimes_may_share_their_targets(folder):
    (folder / "regime1.csv").write_text("0\n0\n1\n2\n3\n4\n")
    regime = dcdi_format.read_dcdi(folder).regime
    np.testing.assert_array_equal(regime, [0, 0, 1, 2, 3, 4])


def test_without_interventional_rows_the_others_are_read(folder, table):
    (folder / "data_interv1.npy").unlink()
    read = dcdi_format.read_dcdi(folder)
    np.testing.assert_array_equal(read.x, table.x[:2])
    assert not read.intervened.any()
    assert not read.regime.any()


def test_the_graph_may_be_unknown(folder):
    (folder / "DAG1.npy").unlink()
    assert dcdi_format.read_dcdi(folder).graph is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data_interv1.npy", b"", "cannot be read as an array"),
        ("data_interv1.npy", b"PK\x03\x04", "cannot be read as an array"),
        ("data_interv1.npy", b"hello", "cannot be read as an array"),
        ("data_interv1.npy", np.zeros(3), "has shape .3,.; two dimensions"),
        ("data_interv1.npy", np.array([["a"]]), "is no array of numbers"),
        ("intervention1.csv", None, "no such file; add it"),
        ("intervention1.csv", b"\n\n1\n1\n0,2\n", "has 5 lines for 6 rows"),
        ("intervention1.csv", b"\n\n1\n1\n0,2\n0,3\n", "line 6 names variable 3"),
        ("intervention1.csv", b"\n\n1\nx\n0,2\n0,2\n", "line 4 holds 'x'"),
        ("intervention1.csv", b"\n\n1\n-1\n0,2\n0,2\n", "line 4 holds '-1'"),
        ("intervention1.csv", b"\xff\n", "cannot be read as csv"),
        ("regime1.csv", b"0\n0\n1\n1\n2\n2.5\n", "line 6 holds '2.5'"),
        ("regime1.csv", b"0\n0\n1\n1\n2\ninf\n", "line 6 holds 'inf'"),
        ("regime1.csv", b"0\n0\n1\n1\n2\n2,3\n", "line 6 holds"),
        ("regime1.csv", b"0\n0\n0\n1\n2\n2\n", "line 3 says regime 0"),
        ("DAG1.npy", np.zeros((2, 2)), "the data have 3 variables"),
        ("DAG1.npy", np.full((3, 3), 0.5), "other numbers than 0 and 1"),
    ],
)
def test_broken_files_are_named(folder, name, content, words):
    (folder / name).unlink()
    if isinstance(content, np.ndarray):
        np.save(folder / name, content)
    elif content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        dcdi_format.read_dcdi(folder)
    assert str(error.value).startswith(str(folder / name))


def test_pickles_are_not_opened(folder):
    objects = np.array([[print, print, print]], object)
    np.save(folder / "data_interv1.npy", objects, allow_pickle=True)
    with pytest.raises(ValueError, match=r"data_interv1.npy: cannot be read"):
        dcdi_format.read_dcdi(folder)


def test_missing_tables_are_named(folder):
    with pytest.raises(ValueError, match=r"neither data_interv7.npy nor data7.npy"):
        dcdi_format.read_dcdi(folder, 7)
    with pytest.raises(ValueError, match="elsewhere: no such folder"):
        dcdi_format.read_dcdi(folder / "elsewhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"regime": np.zeros(5, int)}, "have shapes"),
        ({"regime": np.zeros(6, int)}, "a row of regime 0 has a target"),
        ({"regime": np.array([0, 0, 1, 1, 2, -1])}, "negative number"),
        ({"graph": np.zeros((2, 2), bool)}, "graph has shape"),
    ],
)
def test_what_does_not_fit_is_not_written(table, tmp_path, change, words):
    parts = {name: getattr(table, name) for name in ("x", "intervened", "regime")}
    with pytest.raises(ValueError, match=words):
        dcdi_format.write_dcdi(tmp_path / "new", DcdiTable(**(parts | change)))
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(folder, table):
    with pytest.raises(ValueError, match="exists; choose another number"):
        dcdi_format.write_dcdi(folder, table)
    dcdi_format.write_dcdi(folder, table, 2)
    assert_same(dcdi_format.read_dcdi(folder, 2), table)
