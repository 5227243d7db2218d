"""Causal de Finetti: exact with a test that knows the graph; directions from data."""

import functools

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.base import clone
from test_constraint import fisher_z
from test_marks import all_dags, random_dag

import causaljax
from causaljax.estimators.causal_de_finetti import CausalDeFinetti
from causaljax.graphs import marks
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import Mark
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import causal_de_finetti as de_finetti

search = functools.partial(de_finetti.search, batches=(8, 64))


def knowing(graph, varies=True):
    """A test that knows two rows of a DAG, and their common mechanisms, hidden."""
    d = len(graph)
    both = np.zeros((3 * d, 3 * d), bool)
    both[:d, :d] = both[d : 2 * d, d : 2 * d] = graph
    if varies:
        for row in (0, 1):
            both[2 * d + np.arange(d), row * d + np.arange(d)] = True
    return Separation(marks.from_graph(both), range(2 * d)).test()


@pytest.mark.parametrize("d", [0, 1, 2, 3, 4])
def test_every_dag_is_found(d):
    for graph in all_dags(d) if d else [np.zeros((0, 0), bool)]:
        found = search(knowing(graph), d, de_finetti.Config())
        np.testing.assert_array_equal(found.marks, marks.from_graph(graph))
        above = ancestors(graph)[np.ix_(found.order, found.order)]
        assert not np.tril(above, -1).any()


def test_larger_dags_are_found():
    rng = np.random.default_rng(0)
    for _ in range(10):
        graph = random_dag(rng, 8, 0.4)
        found = search(knowing(graph), 8, de_finetti.Config())
        np.testing.assert_array_equal(found.marks, marks.from_graph(graph))


def test_mechanisms_that_do_not_vary_leave_directions_open():
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    found = search(knowing(chain, varies=False), 3, de_finetti.Config())
    assert (found.marks[found.marks > 0] == Mark.TAIL).all()
    assert found.marks.any()


def test_directions_are_found_in_data():
    right = wrong = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cause, effect = rng.permutation(2)
        num = 2000
        x = np.zeros((num, 2, 2))
        level = rng.normal(size=(2, num, 1))
        x[:, :, cause] = 2 * level[0] + rng.normal(size=(num, 2))
        x[:, :, effect] = x[:, :, cause] + level[1] + rng.normal(size=(num, 2))
        environment = np.repeat(np.arange(num), 2)
        table = de_finetti.rows_of_pairs(x.reshape(-1, 2), environment)
        found = search(fisher_z(table[0]), 2, de_finetti.Config(alpha=0.01))
        told = marks.to_graph(found.marks)
        right += told[cause, effect] and not told[effect, cause]
        wrong += told[effect, cause] and not told[cause, effect]
    assert right >= 18
    assert wrong <= 1


def test_environments_of_one_row_are_left_out():
    x = np.arange(14).reshape(7, 2)
    rows = de_finetti.rows_of_pairs(x, np.array(["b", "a", "c", "b", "c", "c", "d"]))
    assert rows.tolist() == [[[0, 1, 6, 7], [4, 5, 8, 9]]]
    assert de_finetti.rows_of_pairs(x[:0], np.array([])).shape == (0, 0, 4)


def test_all_ordered_pairs_of_an_environment_are_taken():
    environment = np.repeat([0, 1], [4, 2])
    tables = de_finetti.rows_of_pairs(np.arange(6)[:, None], environment, 100)
    assert len({tuple(row) for row in tables[:, 0].tolist()}) == len(tables) == 12
    assert (tables[:, 0, 0] != tables[:, 0, 1]).all()
    assert {tuple(row) for row in tables[:, 1].tolist()} == {(4, 5), (5, 4)}


def test_answers_of_several_tables_keep_the_level():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(20_000, 1))
    for weight in (0, 0.5, 1):  # of what the tables have in common
        own = rng.normal(size=(20_000, 6))
        scores = np.sqrt(weight) * shared + np.sqrt(1 - weight) * own
        log_p = scipy.stats.norm.logsf(scores).T
        tests = [lambda x, y, z, used, log_p=row: log_p for row in log_p]
        p = np.exp(de_finetti.together(tests)(None, None, None, None))
        assert np.mean(p < 0.05) < 0.07
        assert np.mean(p < 0.05) > 0.03
    tests = [lambda x, y, z, used: np.array([-2000.0, -30.0, np.log(0.3)])] * 3
    np.testing.assert_allclose(
        de_finetti.together(tests)(None, None, None, None),
        [-2000, -30, np.log(0.3)],
        rtol=1e-3,
    )


ENVIRONMENTS = 400


def table_of(seed=0, environments=ENVIRONMENTS, rows=2):
    """x -> y, z beside them; labels of the environments are words in no order."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.normal(size=(3, environments)), rows, axis=1)
    noise = rng.normal(size=level.shape)
    x = 0.5 * level[0] + noise[0]
    y = x + 2 * level[1] + noise[1]
    label = np.repeat(rng.permutation(environments), rows)
    columns = {"y": y, "school": [f"s{k}" for k in label], "x": x, "z": level[2]}
    table = pd.DataFrame(columns).assign(z=level[2] + noise[2])
    return table.sample(frac=1, random_state=seed, ignore_index=True)


def drawn(model):
    edges = model.edges_[["source", "mark", "target"]].to_numpy().tolist()
    return {(tuple(sorted((a, b))) if m == "---" else (a, b), m) for a, m, b in edges}


FAST = CausalDeFinetti(environment="school", test="fisher_z", alpha=0.01)


def test_the_estimator_finds_a_direction(tmp_path):
    table = table_of()
    model = clone(FAST).fit(table)
    assert drawn(model) == {(("x", "y"), "-->")}
    assert list(model.marks_) == ["y", "x", "z"]
    assert model.adjacency_.loc["x", "y"] == 1
    assert model.sink_p_values_["y"] >= 0.05
    assert model.info_["environments"] == ENVIRONMENTS
    assert model.info_["tables"] == 2
    assert "has no effects is denied" in model.edges_["why"][0]
    assert "Fisher's z" in model.summary()
    assert model.effect("x", "y", table).identified
    model.save(tmp_path / "model")
    again = causaljax.load(tmp_path / "model")
    assert again.summary() == model.summary()
    pd.testing.assert_series_equal(again.sink_p_values_, model.sink_p_values_)
    assert str(again.explain("x", "y")) == str(model.explain("x", "y"))


def test_neither_order_nor_names_nor_padding_matter():
    table = table_of(1)
    model = clone(FAST).fit(table)
    other = clone(FAST).fit(table[["z", "school", "x", "y"]])
    assert drawn(model) == drawn(other)
    names = list(model.p_values_)
    pd.testing.assert_frame_equal(model.p_values_, other.p_values_.loc[names, names])
    numbers = table.assign(school=pd.factorize(table["school"])[0] * 3.5)
    assert drawn(clone(FAST).fit(numbers)) == drawn(model)
    more = pd.concat([table, table_of(2).assign(x=99.0)], ignore_index=True)
    weight = np.repeat([1.0, 0.0], len(table))
    assert drawn(clone(FAST).fit(more, sample_weight=weight)) == drawn(model)
    hit = pd.DataFrame(False, index=more.index, columns=more.columns)
    hit.loc[len(table) :, "x"] = True
    assert drawn(clone(FAST).fit(more, interventions=hit)) == drawn(model)


def test_what_does_not_vary_is_undetermined():
    rng = np.random.default_rng(0)
    x = rng.normal(size=2 * ENVIRONMENTS)
    school = np.arange(2 * ENVIRONMENTS) // 2
    table = pd.DataFrame({"x": x, "y": x + rng.normal(size=len(x)), "school": school})
    model = clone(FAST).fit(table)
    assert drawn(model) == {(("x", "y"), "---")}
    assert "undetermined" in model.summary()
    assert not model.effect("x", "y", table).identified


def test_classes_are_tested_by_counts():
    rng = np.random.default_rng(0)
    share = np.repeat(rng.beta(1, 3, (2, 3000)), 2, axis=1)
    x, noise = rng.random(share.shape) < share
    table = pd.DataFrame({"x": x, "y": x ^ noise, "e": np.arange(6000) // 2})
    model = CausalDeFinetti(environment="e").fit(table.replace({True: "a", False: "b"}))
    assert model.info_["test"] == "chi_squared"
    assert drawn(model) == {(("x", "y"), "-->")}


def test_mistakes_are_named():
    table = table_of()
    for environment, message in (
        (None, "give the name of a column, one of"),
        ("class", "there is no column 'class'; choose one of"),
    ):
        with pytest.raises(ValueError, match=message):
            CausalDeFinetti(environment=environment).fit(table)
    for given, message in (
        (table.assign(school=table["school"].where(table.index > 3)), "in 4 rows"),
        (table.assign(school=np.arange(len(table))), "0 environments of two rows"),
        (table.assign(school="a"), "1 environments of two rows"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(FAST).fit(given)
    with pytest.raises(ValueError, match="most_tables must be a whole number"):
        clone(FAST).set_params(most_tables=0).fit(table)
    known = causaljax.Knowledge(required=[("x", "y")])
    with pytest.raises(ValueError, match="cannot obey required edges"):
        clone(FAST).fit(table, knowledge=known)


def test_few_environments_and_single_rows_are_warned_of():
    few = table_of(environments=50)
    with pytest.warns(UserWarning, match="holds 50 environments of two rows or more"):
        clone(FAST).fit(few)
    table = table_of()
    lone = pd.concat([table, table.head(3).assign(school=["p", "q", "r"])])
    with pytest.warns(UserWarning, match="3 environments .* have one row"):
        model = clone(FAST).fit(lone.reset_index(drop=True))
    assert model.info_["environments_left_out"] == 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_strange_tables_have_an_answer(tmp_path):
    table = table_of()
    holes = np.random.default_rng(1).random(len(table)) < 0.05
    table.to_csv(tmp_path / "table.csv", index=False)
    for given in (
        tmp_path / "table.csv",
        table.assign(z=table["z"].mask(holes)),
        table.assign(copy=table["x"]),
        table.assign(z=3.0),
        table.head(60),
    ):
        model = clone(FAST).fit(given)
        assert np.isfinite(model.edges_["probability"]).all()
        assert "school" not in model.adjacency_
        if isinstance(given, pd.DataFrame) and len(given) < len(table):
            continue  # too few to find anything
        if "y" in model.adjacency_:
            edges = model.adjacency_  # of a copy, one of the two is joined
            assert edges.loc[edges.index.isin(["x", "copy"]), "y"].any()
