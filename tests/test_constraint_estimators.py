"""Estimators that ask tests of independence: one list of laws, and what marks say."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import causaljax
from causaljax import CDNOD, FCI, PC, Knowledge
from causaljax.core.types import MarkedPosterior
from causaljax.estimators import independence
from causaljax.graphs import marks, pag
from causaljax.kernels.constraint import fci, pc
from causaljax.tables.edges import MARKS

ROWS = 400
METHODS = [PC(), FCI(), PC(n_bootstrap=5), FCI(n_bootstrap=5), CDNOD(domain="e")]
laws = pytest.mark.parametrize("method", METHODS, ids=repr)


def linear(seed=0, rows=ROWS):
    """a -> c <- b, c -> d, and e beside them."""
    rng = np.random.default_rng(seed)
    a, b, e, f, g = rng.normal(size=(5, rows))
    c = a + b + 0.7 * f
    table = {"a": a, "b": b, "c": c, "d": c + 0.7 * g, "e": e}
    return pd.DataFrame(table)[["e", "c", "a", "d", "b"]]


def classes(seed=0, rows=ROWS):
    """The same graph over words."""
    rng = np.random.default_rng(seed)
    a, b, e = rng.integers(0, 2, (3, rows))
    c = np.where(rng.random(rows) < 0.9, a ^ b | (a & b), 1 - a)
    d = np.where(rng.random(rows) < 0.9, c, rng.integers(0, 2, rows))
    table = pd.DataFrame({"a": a, "b": b, "c": c, "d": d, "e": e})
    return table.replace({0: "no", 1: "yes"})


def with_gaps(table):
    """In all columns but e, which may be a domain."""
    gaps = np.random.default_rng(1).random(table.shape) < 0.1
    return table.mask(gaps & (table.columns != "e"))


def drawn(model):
    return {(row.source, row.mark, row.target) for row in model.edges_.itertuples()}


def unordered(model):
    """Edges without the order of those whose ends are alike."""
    return {
        (frozenset((a, b)) if mark[0] == mark[2] or mark == "<->" else (a, b), mark)
        for a, mark, b in drawn(model)
    }


@pytest.fixture(scope="module")
def table():
    return linear()


def test_the_collider_and_what_follows_are_found(table):
    found = {("a", "-->", "c"), ("b", "-->", "c"), ("c", "-->", "d")}
    assert drawn(PC().fit(table)) == found
    model = FCI().fit(table)
    assert drawn(model) == {
        ("a", "o->", "c"),
        ("b", "o->", "c"),
        ("c", "-->", "d"),
    }
    assert np.argwhere(model.visible_.to_numpy()).tolist() == [[1, 3]]  # c --> d


def test_words_are_tested_by_counts(table):
    model = PC().fit(classes())
    assert model.info_["test"] == "g_squared"
    assert drawn(model) == {("a", "-->", "c"), ("b", "-->", "c"), ("c", "-->", "d")}
    both = table.assign(c=np.where(table["c"] > 0, "high", "low"))
    model = PC().fit(both)
    assert model.info_["test"] == "degenerate_gaussian"
    assert ("a", "-->", "c") in drawn(model)
    model = PC(test="regression").fit(both)
    assert ("a", "-->", "c") in drawn(model)


@laws
def test_the_posterior_is_one_of_marks(table, method):
    model = clone(method).fit(table)
    posterior = model.posterior_
    assert isinstance(posterior, MarkedPosterior)
    refits = method.n_bootstrap or 1
    assert posterior.marks.shape == (refits, 5, 5)
    np.testing.assert_allclose(np.exp(posterior.log_weight), 1 / refits)
    for one in posterior.marks:
        marks.check_marks(one)
    assert nx.is_directed_acyclic_graph(model.graph_)
    assert set(model.edges_["mark"]) <= set(MARKS)
    shares = marks.direction_shares(posterior.marks)
    np.testing.assert_allclose(model.edge_probabilities_, shares)
    # Table, matrices and graph say the same.
    graph, claims = model.adjacency_.to_numpy(), model.cpdag_.to_numpy()
    may = marks.may_point(model.marks_.to_numpy())
    assert (graph <= may).all()
    np.testing.assert_array_equal(graph | graph.T, may | may.T)
    np.testing.assert_array_equal(claims == 1, may)


@laws
def test_another_order_of_columns_is_the_same_answer(table, method):
    one = clone(method).fit(table)
    other = clone(method).fit(table[["d", "a", "b", "e", "c"]])
    assert unordered(one) == unordered(other)
    names = list(table)
    pd.testing.assert_frame_equal(
        one.p_values_, other.p_values_.loc[names, names], check_names=False
    )
    flat = {frozenset(pair): set(given) for pair, given in one.sepsets_.items()}
    assert flat == {frozenset(k): set(given) for k, given in other.sepsets_.items()}


@laws
def test_the_same_seed_is_the_same_answer(table, method):
    one, other = clone(method).fit(table), clone(method).fit(table)
    pd.testing.assert_frame_equal(one.edges_, other.edges_)
    np.testing.assert_array_equal(one.posterior_.marks, other.posterior_.marks)


@laws
def test_a_saved_model_says_the_same(table, method, tmp_path):
    model = clone(method).fit(table)
    model.save(tmp_path / "model")
    again = causaljax.load(tmp_path / "model")
    pd.testing.assert_frame_equal(model.edges_, again.edges_)
    assert again.sepsets_ == model.sepsets_
    assert again.summary() == model.summary()
    assert str(again.explain("a", "b")) == str(model.explain("a", "b"))


@laws
def test_what_is_known_is_obeyed(table, method):
    known = Knowledge(required=[("e", "a")], forbidden=[("c", "d")])
    model = clone(method).fit(table, knowledge=known)
    assert ("e", "-->", "a") in drawn(model)
    assert not model.cpdag_.loc["c", "d"]
    assert "requires" in model.edges_.set_index(["source", "target"])["why"]["e", "a"]


@laws
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_strange_tables_have_an_answer(table, method):
    strange = {
        "copy": table.assign(copy=table["c"]),
        "constant": table.assign(constant=3.0),
        "few rows": table.head(30),
        "gaps": with_gaps(table),
    }
    for given in strange.values():
        model = clone(method).fit(given)
        assert list(model.adjacency_) == list(given)
        assert np.isfinite(model.edges_["probability"]).all()
    assert not model.edges_.empty
    constant = clone(method).fit(strange["constant"])
    assert not constant.marks_.loc["constant"].any()
    copied = clone(method).fit(strange["copy"])
    assert copied.marks_.loc["c", "copy"]


@laws
def test_rows_of_weight_0_and_set_cells_do_not_count(table, method):
    more = pd.concat([table, linear(9) * 50], ignore_index=True)
    weight = np.repeat([1.0, 0.0], ROWS)
    expected = clone(method).fit(table)
    assert drawn(clone(method).fit(more, sample_weight=weight)) == drawn(expected)
    if method.n_bootstrap:
        return  # draws are of all rows of a weight
    hit = pd.DataFrame(False, index=more.index, columns=more.columns)
    hit.loc[ROWS:, "d"] = True
    model = clone(method).fit(more, interventions=hit)
    assert model.info_["rows_left_out"] == ROWS
    assert f"{ROWS} rows in which a cell was set" in model.summary()
    same = {frozenset(pair) for pair in model.sepsets_}
    assert same == {frozenset(pair) for pair in expected.sepsets_}


@pytest.mark.filterwarnings("ignore:column .* is intervened on in every row")
def test_all_rows_set_are_refused(table):
    hit = pd.DataFrame(True, index=table.index, columns=table.columns)
    with pytest.raises(ValueError, match="0 rows have no cell that was set"):
        PC().fit(table, interventions=hit)


@pytest.mark.parametrize("method", METHODS[:4], ids=repr)
def test_gaps_are_read_or_filled(table, method):
    holed = with_gaps(table)
    model = clone(method).fit(holed)
    assert model.info_["gaps"]["cells"] == int(holed.isna().sum().sum())
    assert "imputations" not in model.info_["gaps"]
    skeleton = {frozenset((a, b)) for a, _, b in drawn(model)}
    assert {frozenset("ac"), frozenset("bc"), frozenset("cd")} <= skeleton
    mixed = clone(method).set_params(test="degenerate_gaussian").fit(holed)
    assert mixed.info_["gaps"]["imputations"] == (1 if method.n_bootstrap else 5)


def test_explanations_name_the_tests(table):
    model = PC().fit(table)
    assert "Given nothing else, the test finds the two independent (p = " in str(
        model.explain("a", "b")
    )
    assert "Given c, the test finds" in str(model.explain("a", "d"))
    assert "No set that was tried separates the two" in str(model.explain("a", "c"))
    listed = model.separators()
    apart = listed.set_index(["a", "b"])
    assert ("c",) in set(apart["given"])
    assert (listed["p_value"] >= 0.05).all()
    assert len(listed) == 10 - 3
    why = model.edges_.set_index(["source", "target"])["why"]
    assert why["a", "c"] == "c makes a and b dependent (an unshielded collider)"
    assert "cycle or another collider" in why["c", "d"]
    known = PC().fit(table, knowledge=Knowledge(forbidden=[("a", "e"), ("e", "a")]))
    assert "not tested: knowledge decides" in str(known.explain("a", "e"))


def test_the_reasons_of_fci_say_what_of_hidden_causes_is_left(table):
    model = FCI().fit(table)
    why = model.edges_.set_index(["source", "target"])["why"]
    assert "a hidden common cause of the two is ruled out" in why["c", "d"]
    assert "o->" in model.summary()
    assert "1 rule out a hidden common cause" in model.summary()
    number = (model.visible_.to_numpy() == 1).sum()
    assert number == pag.visible(model.marks_.to_numpy()).sum()


def test_an_effect_is_identified_where_hidden_causes_are_ruled_out(table):
    model = FCI().fit(table)
    told = model.effect("c", "d", table)
    assert told.identified
    assert told.interval[0] < 1 < told.interval[1]
    assert not model.effect("a", "d", table).identified  # a o-> c may be a <-> c
    assert not model.effect("a", "c", table).identified
    assert PC().fit(table).effect("a", "d", table).identified


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (PC(test="fisher"), "test must be one of"),
        (PC(alpha=0), "alpha must be a number above 0 and below 1"),
        (PC(alpha=True), "alpha must be a number"),
        (PC(collider_rule="x"), "collider_rule must be one of"),
        (PC(most_conditions=-1), "most_conditions must be a whole number"),
        (PC(n_bootstrap=-1), "n_bootstrap must be a whole number"),
        (PC(n_bootstrap=2.0), "n_bootstrap must be a whole number"),
        (FCI(far_sets=1), "far_sets must be True or False"),
        (FCI(selection=None), "selection must be True or False"),
        (FCI(far_sets=False, most_far_conditions=2), "has no meaning without"),
        (FCI(most_far_conditions=-1), "most_far_conditions must be a whole number"),
    ],
    ids=repr,
)
def test_wrong_options_are_named(table, method, message):
    with pytest.raises(ValueError, match=message):
        method.fit(table)


def test_tests_that_cannot_read_a_column_name_it(table):
    with pytest.raises(ValueError, match=r"g_squared reads classes, and columns \['a'"):
        PC(test="g_squared").fit(table)
    words = table.assign(e=np.resize(["x", "y", "z"], ROWS))
    with pytest.raises(
        ValueError, match=r"kci reads numbers, and columns \['e'\] hold"
    ):
        PC(test="kci").fit(words)
    with pytest.warns(UserWarning, match="classes without an order"):
        PC(test="fisher_z").fit(words)


def test_every_test_has_words():
    assert set(independence.NAMES) == {"auto", *independence.MEANINGS}


def test_fewer_sets_leave_more_edges(table):
    assert len(drawn(PC(most_conditions=0).fit(table))) > len(drawn(PC().fit(table)))


def test_settings_reach_the_search(table, monkeypatch):
    seen = {}

    def keep(name, search):
        def kept(test, d, config, *rest):
            seen[name] = config
            return search(test, d, config, *rest)

        return kept

    monkeypatch.setattr(pc, "search", keep("pc", pc.search))
    monkeypatch.setattr(fci, "search", keep("fci", fci.search))
    options = {"alpha": 0.01, "collider_rule": "conservative", "most_conditions": 2}
    PC(**options).fit(table)
    assert seen["pc"] == pc.Config(**options)
    FCI(**options, most_far_conditions=3, selection=True).fit(table)
    assert seen["fci"] == fci.Config(
        **options, most_far_conditions=3, selection=True, far_sets=True
    )


def test_refits_count_what_they_find(table):
    model = PC(n_bootstrap=20).fit(table)
    edges = model.edges_.set_index(["source", "target"])
    assert set(edges["meaning"]) == {"share of refits"}
    assert edges["stability"]["a", "c"] == 1
    joined = (model.posterior_.marks > 0).mean(axis=0)
    place = {name: k for k, name in enumerate(table)}
    for (a, b), row in edges.iterrows():
        assert row["stability"] == pytest.approx(joined[place[a], place[b]])


def test_hidden_causes_are_shown_as_such():
    rng = np.random.default_rng(0)
    hidden, a, b, x, y = rng.normal(size=(5, 1000))
    table = pd.DataFrame({"a": a, "x": a + hidden + x, "y": b + hidden + y, "b": b})
    model = FCI().fit(table)
    row = model.edges_.set_index("mark").loc["<->"]
    assert {row["source"], row["target"]} == {"x", "y"}
    assert row["meaning"] == model.info_["edge_probabilities"] == "open ends as halves"
    assert "1 pair with a likely hidden cause" in model.summary()
    assert (
        not model.effect("x", "y", table).identified
        or not model.adjacency_.loc["x", "y"]
    )


def test_contradictions_leave_a_graph_without_cycles(monkeypatch, table):
    """Whatever a search says, the shown DAG is one."""
    cycle = np.roll(np.eye(5, dtype=bool), 1, axis=1)
    search = pc.search

    def contradict(*args):
        return search(*args)._replace(marks=marks.from_graph(cycle))

    monkeypatch.setattr(pc, "search", contradict)
    model = PC().fit(table)
    assert set(model.edges_["mark"]) == {"---"}
    assert nx.is_directed_acyclic_graph(model.graph_)
    assert len(drawn(model)) == 5


def test_files_longer_than_the_sample_are_read_whole(tmp_path, monkeypatch, table):
    from causaljax.tables import scan

    monkeypatch.setattr(scan, "SAMPLE_ROWS", 100)
    linear(rows=2000).to_csv(tmp_path / "t.csv", index=False)
    model = PC().fit(tmp_path / "t.csv")
    assert model.info_["sample"] == {"rows": 100, "of_all_rows": "Correlations"}
    assert drawn(model) == drawn(PC().fit(linear(rows=2000)))
