"""The estimator over a network of random weights."""

import pickle

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from conftest import make_weights
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from causaljax import AmortizedDAG, Knowledge
from causaljax.estimators import amortized as amortized_module

RANDOM = make_weights()
MODEL = AmortizedDAG(pretrained=RANDOM)
D = 6


def table(seed=0, n=200, d=D):
    rng = np.random.default_rng(seed)
    mixing = np.eye(d) + np.triu(rng.normal(size=(d, d)), 1)
    return pd.DataFrame(
        rng.exponential(size=(n, d)) @ mixing, columns=list("abcdef")[:d]
    )


def is_acyclic(graph):
    return nx.is_directed_acyclic_graph(nx.DiGraph(graph))


def test_what_is_learned_agrees_with_itself():
    model = clone(MODEL).fit(table())
    assert is_acyclic(model.graph_)
    expected = nx.to_pandas_adjacency(model.graph_, weight=None, dtype=int)
    assert (model.adjacency_ == expected).all(axis=None)
    assert model.adjacency_.to_numpy().any()
    prob = model.edge_probabilities_
    above = prob + prob.T > RANDOM.calibration.threshold
    assert (above | (model.adjacency_ == 0)).all(axis=None)
    assert (model.cpdag_ == model.adjacency_).all(axis=None)
    assert not hasattr(model, "weights_")
    assert model.target_probabilities_.index.tolist() == list("abcdef")
    assert list(model.ancestor_probabilities_) == list("abcdef")
    assert model.info_["config"]["threshold"] == pytest.approx(0.3)
    assert repr(clone(MODEL)) == "AmortizedDAG(pretrained=Weights('random'))"
    loose = AmortizedDAG(pretrained=RANDOM, threshold=0).fit(table())
    assert loose.adjacency_.to_numpy().sum() == D * (D - 1) / 2
    loose = clone(MODEL).set_params(random_state=np.random.default_rng(0)).fit(table())
    assert (loose.sample_graphs(5) == loose.sample_graphs(5)).all()
    told = clone(MODEL).set_params(random_state=loose.info_["seed"]).fit(table())
    assert (loose.sample_graphs(5) == told.sample_graphs(5)).all()
    again = pickle.loads(pickle.dumps(model))
    assert (again.sample_graphs(5) == model.sample_graphs(5)).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_contract():
    check_estimator(clone(MODEL))


def test_units_and_column_order_change_nothing():
    model, units = clone(MODEL), np.array([1e-6, 1, 1e5, 3, 0.01, -2])[:D]
    expected = model.fit(table()).edge_probabilities_
    scaled = model.fit(table() * np.abs(units) + 7).edge_probabilities_
    np.testing.assert_allclose(scaled, expected, atol=1e-4)
    moved = model.fit(table()[list("fbdace")]).edge_probabilities_
    expected = expected.loc[list("fbdace"), list("fbdace")]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_samples_obey_knowledge():
    knowledge = Knowledge(required=[("f", "a")], tiers=[["c"], ["b", "d"]])
    model = clone(MODEL).fit(table(), knowledge=knowledge)
    graphs = model.sample_graphs(5)
    assert (graphs.shape, graphs.dtype) == ((5, D, D), bool)
    assert graphs[:, 5, 0].all()
    assert not graphs[:, [1, 3], 2].any()
    assert all(map(is_acyclic, graphs))
    np.testing.assert_array_equal(graphs, model.sample_graphs(5))
    effect = model.effect("f", "a", table())
    assert "100 sampled graphs; in 100 % of them a directed path" in effect.covers
    for n in (0, 1.5):
        with pytest.raises(ValueError, match="n must be a positive whole"):
            model.sample_graphs(n)
    with pytest.raises(AttributeError, match="fit a table before"):
        clone(MODEL).sample_graphs(3)


def test_tables_together_are_tables_one_by_one():
    tables = [table(0, 30), table(1, 60), table(2, 200)]
    targets = [["a"] * 10 + [None] * 20, None, None]
    knowledge = Knowledge(forbidden=[("a", "b")])
    many = MODEL.fit_many(tables, interventions=targets, knowledge=knowledge)
    assert not hasattr(MODEL, "graph_")
    assert len(many) == 3
    for model, one, hit in zip(many, tables, targets, strict=True):
        alone = clone(MODEL).fit(one, interventions=hit, knowledge=knowledge)
        pairs = [(model.edge_probabilities_, alone.edge_probabilities_)]
        pairs += [(model.target_probabilities_, alone.target_probabilities_)]
        for actual, expected in pairs:
            np.testing.assert_allclose(actual, expected, atol=1e-5)
        assert (model.adjacency_ == alone.adjacency_).all(axis=None)
        assert model.info_.keys() == alone.info_.keys()
        assert model._table_columns.names == alone._table_columns.names
    np.testing.assert_array_equal(model.sample_graphs(5), alone.sample_graphs(5))
    with pytest.raises(ValueError, match="table 1 has 3 columns and table 0 has 6"):
        MODEL.fit_many([table(), table(d=3)])
    for option in ("interventions", "sample_weight"):
        with pytest.raises(ValueError, match=f"2 entries of {option}: .*one entry a"):
            MODEL.fit_many([table()], **{option: [None, None]})


@pytest.mark.filterwarnings("ignore:.*hold.* classes:UserWarning")
def test_tables_together_are_read_as_one_by_one():
    """Classes, gaps, an identifier, weights, kinds and a choice of columns."""
    mixed = [table(seed, n) for seed, n in enumerate((30, 60, 200))]
    for one in mixed:
        one["a"] = np.where(one.a > one.a.median(), "high", "low")
        one["b"] = np.arange(len(one)) % 3
        one.loc[4:6, "c"] = np.nan
        one["id"] = np.arange(len(one))
    weight = [None, np.arange(60) % 2, None]
    known = {"kinds": {"b": "categorical"}}
    with pytest.warns(UserWarning, match="left out: 'id'"):
        many = MODEL.fit_many(mixed, sample_weight=weight, **known)
    for model, one, rows in zip(many, mixed, weight, strict=True):
        with pytest.warns(UserWarning, match="left out: 'id'"):
            alone = clone(MODEL).fit(one, sample_weight=rows, **known)
        pd.testing.assert_frame_equal(
            model.edge_probabilities_, alone.edge_probabilities_, atol=1e-5
        )
        for key in ("columns", "gaps"):
            assert model.info_[key] == alone.info_[key]
        assert model.info_["columns"][1]["note"] == "as asked for"
    several = MODEL.fit_many(mixed, sample_weight=weight, columns=list("fabcde"))
    assert list(several[1].adjacency_) == list("fabcde")
    mixed[1].loc[0, "d"] = np.inf
    with pytest.raises(ValueError, match="table 1: column 'd' holds 1 inf"):
        MODEL.fit_many(mixed, columns=list("abcdef"), **known)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: t[["a", "b"]], "the table has 2 columns, of which"),
        (lambda t: t.head(30), None),
        (lambda t: t.head(4), "4 rows for 6 columns"),
        (lambda t: t.assign(b=5.0), "column 'b' is constant"),
        (lambda t: t.assign(b=t.a), r"\['a', 'b'\] are copies"),
        (lambda t: t.mask(np.random.default_rng(0).random(t.shape) < 0.2), None),
        (lambda t: t.assign(b=t.b.where(t.index == 3)), "column 'b' is constant"),
    ],
)
@pytest.mark.filterwarnings("ignore:more than half of the cells:UserWarning")
def test_awkward_tables_have_an_answer(damage, words):
    given = damage(table())
    if words is None:
        model = clone(MODEL).fit(given)
    else:
        with pytest.warns(UserWarning, match=words):
            model = clone(MODEL).fit(given)
    assert np.isfinite(model.edge_probabilities_.to_numpy()).all()
    assert is_acyclic(model.graph_)
    if len(given) == 200:
        assert all(map(is_acyclic, model.sample_graphs(5)))


def test_wide_and_strange_tables_are_warned_of():
    rng = np.random.default_rng(0)
    with pytest.warns(
        UserWarning, match="13 columns, the network was trained on up to"
    ):
        clone(MODEL).fit(rng.normal(size=(50, 13)))
    far = RANDOM.reference._replace(mean=RANDOM.reference.mean + 50)
    with pytest.warns(UserWarning, match="unlike those that the network"):
        model = AmortizedDAG(pretrained=make_weights(reference=far)).fit(table())
    assert model.ood_score_ > 1
    assert model.info_["ood_score"] == model.ood_score_
    blind = AmortizedDAG(pretrained=make_weights(reference=None)).fit(table())
    assert np.isnan(blind.ood_score_)
    assert blind.info_["ood_score"] is None


def test_mistakes_are_named(tmp_path):
    for options, words in (
        ({"threshold": 1}, "threshold must be a number of at least 0 and below 1"),
        ({"pretrained": "nothing"}, "no weights of the name 'nothing'"),
        ({"pretrained": tmp_path / "a.safetensors"}, "no such file"),
        ({"random_state": 2**32}, "random_state must be a whole number"),
    ):
        with pytest.raises(ValueError, match=words):
            clone(MODEL).set_params(**options).fit(table())
    empty, infinite = table().assign(b=np.nan), table().assign(b=np.inf)
    with pytest.raises(ValueError, match="column 'b' holds no value at all: drop it"):
        clone(MODEL).fit(empty)
    with pytest.raises(ValueError, match="column 'b' holds 200 inf"):
        clone(MODEL).fit(infinite)


def test_what_the_network_has_not_seen_is_said(monkeypatch):
    monkeypatch.setattr(amortized_module, "_PAIRS", D)
    with pytest.warns(UserWarning, match="the table has 6 columns, of which .* few"):
        clone(MODEL).fit(table())


def test_a_table_of_too_many_columns_is_refused_before_the_fit():
    wide = np.random.default_rng(0).normal(size=(900, 201))
    with pytest.raises(ValueError, match=r"201 columns .* at most 200.* GiB"):
        clone(MODEL).fit(wide)
