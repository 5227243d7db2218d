"""``BayesianDAG``: what it says of a table, and what it refuses to say."""

import warnings

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import causaljax
from causaljax import BayesianDAG, Knowledge


@pytest.fixture(scope="module")
def table():
    """Numbers: rain and wind make waves, waves move the boat."""
    rng = np.random.default_rng(0)
    rain, wind = rng.normal(size=(2, 150))
    waves = rain + wind + rng.normal(size=150)
    boat = 40 * waves + 30 * rng.normal(size=150)
    return pd.DataFrame({"wind": wind, "boat": boat, "rain": rain, "waves": waves})


@pytest.fixture(scope="module")
def exact(table):
    return BayesianDAG().fit(table)


@pytest.fixture(scope="module")
def chains(table):
    return BayesianDAG(method="mcmc", num_steps=2000).fit(table)


def test_what_is_learned_agrees_with_itself(exact):
    prob = exact.edge_probabilities_.to_numpy()
    assert ((prob >= 0) & (prob + prob.T <= 1 + 1e-6)).all()
    assert exact.info_["edge_probabilities"] == "posterior probability"
    assert exact.info_["method"] == "exact"
    assert exact.info_["score"] == "bge"
    assert (exact.path_probabilities_.to_numpy() >= prob - 1e-6).all()
    assert nx.is_directed_acyclic_graph(exact.graph_)
    for column in exact.adjacency_:
        sets = exact.parent_sets(column, least=0)
        assert sets["probability"].sum() == pytest.approx(1, abs=1e-5)
        for parent in exact.adjacency_:
            held = sets["parents"].map(lambda one, name=parent: name in one)
            share = sets["probability"][held].sum()
            expected = exact.edge_probabilities_.loc[parent, column]
            assert share == pytest.approx(expected, abs=1e-5)
    assert set(exact.graph_.edges) == {
        ("wind", "waves"),
        ("rain", "waves"),
        ("waves", "boat"),
    }


def test_chains_say_what_exact_sums_say(exact, chains):
    assert chains.info_["converged"]
    difference = chains.edge_probabilities_ - exact.edge_probabilities_
    assert difference.abs().to_numpy().max() < 0.05
    difference = chains.path_probabilities_ - exact.path_probabilities_
    assert difference.abs().to_numpy().max() < 0.08
    assert 0 < chains.mc_errors_.to_numpy().max() < 0.03
    assert not exact.mc_errors_.to_numpy().any()
    one, other = (model.parent_sets("waves").iloc[0] for model in (exact, chains))
    assert set(one["parents"]) == set(other["parents"])
    assert one["probability"] == pytest.approx(other["probability"], abs=0.08)


def test_graphs_are_samples(exact):
    graphs = exact.sample_graphs(1000)
    assert graphs.shape == (1000, 4, 4)
    expected = exact.edge_probabilities_.to_numpy()
    np.testing.assert_allclose(graphs.mean(axis=0), expected, atol=0.07)
    assert len(exact.sample_graphs(3)) == 3
    with pytest.raises(ValueError, match=r"from 1 to 1000.*set num_graphs"):
        exact.sample_graphs(1001)


def test_expected_shd_is_that_of_the_samples(exact):
    truth = exact.map_graph_
    graph = truth.to_numpy().astype(bool)
    differs = exact.sample_graphs(1000) != graph[None]
    differs |= differs.swapaxes(1, 2)
    mean = differs[:, *np.triu_indices(4, 1)].sum(axis=1).mean()
    assert exact.expected_shd(truth) == pytest.approx(mean, abs=0.15)
    backwards = truth.loc[truth.index[::-1], truth.columns[::-1]]
    assert exact.expected_shd(backwards) == pytest.approx(exact.expected_shd(truth))


def test_another_order_of_columns_is_the_same_answer(table, exact):
    other = BayesianDAG().fit(table[["waves", "rain", "boat", "wind"]])
    for name in ("edge_probabilities_", "path_probabilities_", "map_graph_"):
        expected = getattr(exact, name)
        found = getattr(other, name).loc[expected.index, expected.columns]
        pd.testing.assert_frame_equal(found, expected)
    one, same = (
        {frozenset(row.parents): row.probability for row in sets.itertuples()}
        for sets in (model.parent_sets("waves") for model in (exact, other))
    )
    assert one == pytest.approx(same, abs=1e-6)


def test_effects_are_in_units_of_the_table(table, exact):
    known = Knowledge(required=[("waves", "boat")])
    model = BayesianDAG().fit(table, knowledge=known)
    found = model.effect_posterior("waves", "boat", table)
    assert found.interval[0] < 40 < found.interval[1]
    assert found.interval[1] - found.interval[0] < 20
    assert len(found.draws) == 1000
    with pytest.raises(ValueError, match="'snow'"):
        model.effect_posterior("snow", "boat", table)
    with pytest.raises(ValueError, match="take two columns"):
        model.effect_posterior("boat", "boat", table)


def test_draws_for_arviz_are_by_chains(chains):
    found = chains.to_arviz().posterior["graph"]
    assert found.shape == (4, 250, 4, 4)
    assert list(found.coords["cause"].to_numpy()) == list(chains.adjacency_)
    share = found.mean(dim=("chain", "draw")).to_numpy()
    np.testing.assert_allclose(share, chains.sample_graphs(1000).mean(axis=0))


def test_a_saved_fit_says_the_same(exact, tmp_path):
    exact.save(tmp_path / "model.safetensors")
    model = causaljax.load(tmp_path / "model.safetensors")
    pd.testing.assert_frame_equal(model.parent_sets("boat"), exact.parent_sets("boat"))
    np.testing.assert_array_equal(model.sample_graphs(5), exact.sample_graphs(5))


def test_classes_and_both_are_read_as_such():
    rng = np.random.default_rng(1)
    a = rng.choice(["red", "green", "blue"], 300)
    b = np.where(rng.uniform(size=300) < 0.8, a, "blue")
    both = pd.DataFrame({"a": a, "b": b})
    model = BayesianDAG().fit(both)
    assert model.info_["score"] == "bdeu"
    prob = model.edge_probabilities_.to_numpy()
    assert prob.sum() > 0.99
    assert prob[0, 1] == pytest.approx(prob[1, 0], abs=1e-4)  # likelihood equivalent
    both["c"] = (a == "red") * 2.0 + rng.normal(size=300)
    assert BayesianDAG().fit(both).info_["score"] == "degenerate_gaussian"
    with pytest.raises(ValueError, match=r"bdeu reads classes.*\['c'\]"):
        BayesianDAG(score="bdeu").fit(both)
    with pytest.raises(ValueError, match=r"bge reads numbers.*\['a', 'b'\]"):
        BayesianDAG(score="bge").fit(both)


def test_interventions_turn_edges(table):
    cut = table.copy()
    rng = np.random.default_rng(3)
    cut.loc[75:, "boat"] = 40 * rng.normal(size=75)
    told = np.where(np.arange(150) < 75, None, "boat")
    model = BayesianDAG().fit(cut, interventions=told)
    assert model.edge_probabilities_.loc["waves", "boat"] > 0.95


def test_prior_and_knowledge_hold(table):
    prior = pd.DataFrame(0.5, index=table.columns, columns=table.columns)
    prior.loc["boat", "waves"] = 0
    known = {"forbidden": [("rain", "waves")]}
    model = BayesianDAG(prior=prior).fit(table, knowledge=known)
    assert model.edge_probabilities_.loc["boat", "waves"] == 0
    assert model.edge_probabilities_.loc["rain", "waves"] == 0
    assert not model.sample_graphs(200)[:, 2, 3].any()


def test_fewer_edges_are_expected_of_more_columns():
    assert BayesianDAG()._edge_odds(5) == 1
    assert BayesianDAG()._edge_odds(21) == pytest.approx(2 / 16)
    assert BayesianDAG(edges_per_variable=0.5)._edge_odds(11) == pytest.approx(1 / 18)


def test_chains_that_have_not_mixed_are_no_posterior():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 12)).cumsum(axis=1)
    model = BayesianDAG(method="mcmc", num_steps=40, num_chains=2)
    with pytest.warns(UserWarning, match=r"have not mixed.*raise num_steps"):
        model.fit(x)
    assert "not mixed" in model.info_["edge_probabilities"]
    assert "no posterior probabilities" in model.summary()


def test_parents_outside_the_candidates_are_told():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 5))
    x[:, 4] += x[:, :4].sum(axis=1)
    with pytest.warns(UserWarning, match="raise num_candidates"):
        BayesianDAG(method="mcmc", num_candidates=2).fit(x)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "gibbs"}, "method must be one of"),
        ({"score": "aic"}, "score must be one of"),
        ({"num_chains": 3}, "num_chains has no meaning for the method exact"),
        ({"bic_weight": 2.0}, "bic_weight has no meaning for the score bge"),
        ({"edges_per_variable": 0}, "edges_per_variable must be a number above 0"),
        ({"num_graphs": 0}, "num_graphs must be a whole number of at least 1"),
        ({"method": "mcmc", "num_chains": 1}, "num_chains must be"),
    ],
)
def test_bad_options_are_named(table, options, said):
    with pytest.raises(ValueError, match=said):
        BayesianDAG(**options).fit(table)


def test_too_many_columns_for_exact_sums_are_refused():
    x = np.random.default_rng(0).normal(size=(50, 24))
    with pytest.raises(ValueError, match=r"24 columns.*GiB of memory"):
        BayesianDAG(method="exact").fit(x)


@pytest.mark.slow
def test_many_columns_mix():
    rng = np.random.default_rng(0)
    weights = np.triu(rng.uniform(size=(20, 20)) < 0.2, 1) * rng.uniform(
        0.4, 1, (20, 20)
    )
    x = rng.normal(size=(500, 20)) @ np.linalg.inv(np.eye(20) - weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BayesianDAG(num_candidates=14).fit(x)
    assert model.info_["method"] == "mcmc"
    assert model.info_["converged"]
    off = ~np.eye(20, dtype=bool)
    prob = model.edge_probabilities_.to_numpy()[off]
    there = (weights != 0)[off]
    assert prob[there].mean() > prob[~there].mean() + 0.5
