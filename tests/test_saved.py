"""Models on disk: what comes back, what is refused, what is left alone."""

import errno
import pathlib

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from conftest import assert_edges_agree, assert_same, assert_saved_alike, make_weights

from causaljax import AmortizedDAG, ContinuousDAG, Knowledge, LinearDAG, MixedDAG, load
from causaljax.core.types import Kind, Posterior
from causaljax.networks.weights import save_weights
from causaljax.tables import model_files

KEPT = pathlib.Path(__file__).parent / "data" / "linear_format_1.safetensors"


def rows(n=120, names=("a", "b", "c"), seed=0):
    rng = np.random.default_rng(seed)
    a, e, f = rng.normal(size=(3, n))
    b = 2 * a + e
    return pd.DataFrame(np.stack([a, b, f - b], axis=1), columns=list(names))


@pytest.fixture(scope="module")
def linear():
    known = Knowledge(forbidden=[("b", "a")])
    return LinearDAG(num_steps=2, random_state=np.random.default_rng(0)).fit(
        rows(), knowledge=known
    )


@pytest.fixture
def saved(linear, tmp_path):
    path = tmp_path / "model.safetensors"
    linear.save(path)
    return path


def test_a_linear_graph_comes_back(linear, tmp_path):
    linear.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.random_state == linear.info_["seed"]  # which the generator drew
    assert_edges_agree(again, tmp_path / "edges")
    told = linear.explain("a", "c")
    assert_same(told, again.explain("a", "c"))
    again.random_state = linear.random_state
    assert_saved_alike(again.set_params(random_state=3), tmp_path)
    assert again.fit(rows()).edges_["source"].tolist()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_other_searches_come_back(tmp_path):
    table = rows().assign(d=np.random.default_rng(1).choice(["x", "y"], 120))
    table.index = pd.MultiIndex.from_arrays([np.arange(120) % 7, np.arange(120)])
    mixed = MixedDAG(num_steps=2).fit(table)
    for model in (mixed, ContinuousDAG(num_steps=20).fit(rows())):
        assert_saved_alike(model, tmp_path)
        assert_edges_agree(model, tmp_path / type(model).__name__)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_network_comes_back_with_its_table(tmp_path):
    network = make_weights()
    model = AmortizedDAG(pretrained=network).fit(rows().mask(rows() > 2))
    again = assert_saved_alike(
        model,
        tmp_path,
        lambda model: model.sample_graphs(5),
        lambda m: m.explain("a", "b"),
    )
    assert_edges_agree(model, tmp_path)
    assert repr(again.pretrained) == "Weights('random')"
    assert_same(model.fit(rows()).sample_graphs(3), again.fit(rows()).sample_graphs(3))
    save_weights(tmp_path / "net.safetensors", network)
    with pytest.raises(ValueError, match="holds a network and no fit"):
        load(tmp_path / "net.safetensors")


def test_a_file_of_this_version_is_read():
    """Written by version 0.1.0: if this fails, files of users are lost."""
    model = load(KEPT)
    assert model.edges_["mark"].tolist() == ["-->", "-->"]
    assert model.edges_["source"].tolist() == ["a", 'b "quoted"']
    assert list(model.adjacency_) == ["a", 'b "quoted"', "c\n名"]
    assert model.weights_.iloc[0, 1] == pytest.approx(2, abs=0.2)
    assert model.explain("a", "c\n名").mark == ""
    assert "2 edges among 3 columns" in model.summary()


def test_damage_anywhere_is_found(saved):
    data = saved.read_bytes()
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [*range(0, 40), *rng.integers(0, len(data), 150), header, len(data) - 1]
    places += [data.index(b"sha256") + 12]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(bytes(changed))
        with pytest.raises(ValueError, match="model.safetensors"):
            load(saved)
    for length in (0, 5, 100, header, len(data) - 1):
        saved.write_bytes(data[:length])
        with pytest.raises(ValueError, match="model.safetensors: damaged, not whole"):
            load(saved)
    saved.write_bytes(data)
    assert load(saved).edges_.shape[1] == 9


def test_other_files_are_named(saved, tmp_path):
    for path, words in (
        (tmp_path / "none", "none: cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(ValueError, match=words):
            load(path)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="t.csv: damaged"):
        load(tmp_path / "t.csv")
    with pytest.raises(AttributeError, match="has not been fitted"):
        LinearDAG().save(tmp_path / "m")


def test_a_newer_format_is_refused_by_its_number(linear, tmp_path, monkeypatch):
    path = tmp_path / "new"
    with monkeypatch.context() as patch:
        patch.setattr(model_files, "FORMAT", 2)
        linear.save(path)
    with pytest.raises(ValueError, match="new: has format 2, and this version"):
        load(path)


@pytest.mark.parametrize(
    "name", ["networks.weights.load_weights", "os.system", "tables.files.Path", "x.Y"]
)
def test_a_file_names_nothing_but_its_own_types(linear, tmp_path, monkeypatch, name):
    monkeypatch.setattr(model_files, "_name_of", lambda member: name)
    linear.save(tmp_path / "m")
    with pytest.raises(ValueError, match="unknown to this version"):
        load(tmp_path / "m")


def deny(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["pathlib.Path.write_bytes", "os.replace"])
def test_a_full_disk_leaves_the_old_file(linear, saved, monkeypatch, place):
    before = saved.read_bytes()
    monkeypatch.setattr(place, deny)
    with pytest.raises(ValueError, match=r"model.safetensors: cannot be written \(No"):
        linear.save(saved)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert saved.read_bytes() == before
    with pytest.raises(ValueError, match="cannot be written"):
        linear.save(saved.parent / "none" / "m")


def test_what_a_file_cannot_hold_is_named(linear, tmp_path):
    model = load_again(linear, tmp_path)
    model.noise = lambda x: x
    with pytest.raises(ValueError, match="cannot hold 'noise', as it has a function"):
        model.save(tmp_path / "m")
    model = load_again(linear, tmp_path)
    model.info_["label"] = pd.Timestamp("2026-01-01")
    with pytest.raises(ValueError, match="cannot hold 'info', as it has a Timestamp"):
        model.save(tmp_path / "m")
    assert load(tmp_path / "m").noise == "auto"  # is as it was


def load_again(model, folder):
    model.save(folder / "m")
    return load(folder / "m")


class State(dict):
    pass


LABELS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.text(), st.floats()
)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    labels=st.lists(LABELS, min_size=1, max_size=6),
    names=st.lists(
        st.text(st.characters(codec="utf-8")), min_size=1, max_size=4, unique=True
    ),
)
def test_every_value_comes_back(tmp_path_factory, labels, names):
    path = tmp_path_factory.mktemp("values") / "m"
    series = pd.Series(labels, dtype=object, name=names[0])
    state = {
        "labels": labels,
        "nested": {"a": (1, [2.5, None]), 3: {"b": frozenset({1, 2})}},
        "series": series,
        "frame": pd.DataFrame({name: labels for name in names}, dtype=object),
        "numbers": pd.DataFrame(np.eye(len(names)), index=names, columns=names),
        "objects": np.array([*labels, None], dtype=object),
        "names": np.array(names),
    }
    model_files.write_model(path, Posterior, state, {})
    kind, again = model_files.read_model(path)
    assert kind is Posterior
    assert_same(state, again)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3, 9, 2, name="k"),
        pd.date_range("2026-01-01", periods=3, tz="Europe/Berlin"),
        pd.date_range("2026-01-01", periods=3).as_unit("s"),
        pd.Index(["x", None, "名"]),
        pd.Index([1.5, np.nan, 2]),
        pd.MultiIndex.from_product([["a"], [1, 2, 3]], names=["p", None]),
        pd.timedelta_range("1D", periods=3),
    ],
    ids=str,
)
def test_every_index_comes_back(tmp_path, index):
    many = pd.Series(["é"] * 3, index=index)
    wide = pd.DataFrame({"x": [1, 2, 3], "y": list("abc"), "z": index[:3]}, index=index)
    if isinstance(index, pd.MultiIndex):
        wide = wide.drop(columns="z")
    long = np.array(["é"] * 2000, object)
    state = {
        "many": many,
        "wide": wide,
        "long": long,
        "empty": wide.iloc[:0],
        "kind": (Kind.COUNT, np.float32(1.5), np.array(2)),
        "half": np.arange(6, dtype=np.float16).reshape(2, 3).T,
    }
    model_files.write_model(tmp_path / "m", Posterior, state, {})
    again = model_files.read_model(tmp_path / "m")[1]
    assert_same(state.pop("empty").shape, again.pop("empty").shape)
    assert_same(state, again)
    with pytest.raises(ValueError, match="cells of type category"):
        model_files.write_model(
            tmp_path / "m", Posterior, {"a": many.astype("category")}, {}
        )
