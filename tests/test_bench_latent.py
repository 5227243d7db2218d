"""What `scripts/bench_latent.py` scores by, on what can be told without a fit."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from causaljax import simulate

SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import latent_tables

    return latent_tables


@pytest.fixture
def scores(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import latent_scores

    return latent_scores


def test_regimes_are_matched_by_the_rows_they_share(scores):
    regime = np.repeat([0, 1, 2], [10, 6, 4])
    labels = np.repeat([3, 1, 0, 1], [10, 4, 2, 4])  # regime 1 is split
    assert scores.match(regime, labels, (3, 4)).tolist() == [3, 0, 1]
    assert scores.match(regime, 0 * labels, (3, 1)).tolist() == [0, -1, -1]
    assert scores.match(regime, regime, (3, 5)).tolist() == [0, 1, 2]


def test_targets_of_regimes_that_were_not_found_are_missed(tables, scores):
    drawn = tables.draw(tables.weak(4)[3]._replace(rows=500), 0)
    right = scores.Found(
        drawn.graph,
        drawn.graph.astype(float),
        labels=drawn.regime,
        targets=drawn.targets.astype(float),
    )
    assert scores.score(drawn, right)["targets"] == 1
    lost = np.where(drawn.regime == 4, 0, drawn.regime)
    figures = scores.score(drawn, right._replace(labels=lost))
    np.testing.assert_allclose(figures["targets"], 2 * 3 / (4 + 3))
    assert (figures["shd"], figures["expected_shd"], figures["regimes"]) == (0, 0, 4)
    told = right._replace(told=np.ones(500, bool))
    assert np.isnan(scores.score(drawn, told)["ari"])


def test_expected_shd_of_certain_probabilities_is_the_distance(scores):
    truth = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    reversed_one = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], bool)
    assert scores.expected_shd(truth, reversed_one.astype(float)) == 2
    assert scores.expected_shd(truth, truth * 0.75) == 0.75


@pytest.mark.parametrize("mechanism", ["linear", "network"])
def test_strong_interventions_are_guessed_by_the_true_model(tables, mechanism):
    cell = tables.Cell("", "set", mechanism, size=4, rows=1000, strength=30.0)
    drawn = tables.draw(cell, 1)
    assert drawn.table.shape == (1000, 4)
    assert drawn.fresh.shape == (200, 4)
    np.testing.assert_allclose(drawn.table.std(ddof=0), 1)
    assert adjusted_rand_score(drawn.regime, drawn.guess) > 0.99
    assert not drawn.targets[0].any()
    np.testing.assert_array_equal(drawn.targets[1:].sum(axis=1), 1)


@pytest.mark.parametrize("source", ["shift", "set", "scale"])
def test_log_likelihood_by_regression_is_that_of_the_linear_model(tables, source, key):
    cell = tables.Cell("", source, size=3, strength=2.0)
    graph = jnp.triu(jnp.ones((3, 3), bool), 1)
    targets = jnp.eye(4, 3, -1, dtype=bool)
    done = {
        "shift": simulate.shift_intervention(targets, 2.0),
        "set": simulate.perfect_intervention(targets, 2.0, 1.0),
        "scale": simulate.scale_intervention(targets, 3.0),
    }[source]
    problem, truth = simulate.simulate_linear(
        key, graph, 4001, scaling="internal", intervention=done
    )
    likelihood = simulate.linear_regime_log_likelihood(problem, truth, done)
    ours = jax.jit(tables.additive_log_likelihood, static_argnums=4)(
        key, problem, graph, done, cell
    )
    assert ours.shape == (4001, 4)
    own = np.arange(4001), problem.regime
    np.testing.assert_allclose(ours[own].mean(), likelihood[own].mean(), atol=0.01)
    best, others = np.argmax(likelihood, axis=1), np.argmax(ours, axis=1)
    assert (best == others).mean() > 0.97
