"""Sortability against direct counts; sort-and-regress against the truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax import simulate
from causaljax.reports import sortability
from causaljax.scores import linear_gaussian
from causaljax.scores.linear_gaussian import explained_share


def counted(graph, criterion):
    """Pairs joined by a path of length k, for each k, and how many ascend."""
    power, total, ascending = graph.astype(int), 0, 0.0
    for _ in range(len(graph)):
        for i, j in np.argwhere(power > 0):
            total += 1
            ascending += (criterion[i] < criterion[j]) + 0.5 * (
                criterion[i] == criterion[j]
            )
        power = power @ graph.astype(int)
    return ascending / total


def random_dag(seed, d, edges_per_variable):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(d)
    edges = rng.random((d, d)) < 2 * edges_per_variable / (d - 1)
    return np.triu(edges, 1)[np.ix_(labels, labels)]


@pytest.mark.parametrize("seed", range(5))
def test_sortability_counts_paths(seed):
    graph = random_dag(seed, 7, 1.5)
    criterion = np.random.default_rng(seed).integers(0, 4, 7).astype(np.float32)
    value = sortability.sortability(graph, criterion)
    assert value == pytest.approx(counted(graph, criterion), abs=1e-6)
    assert np.isnan(sortability.sortability(graph & False, criterion))


def test_explained_share_is_r2():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))).astype(np.float32)
    x -= x.mean(axis=0)
    shares = explained_share(jnp.asarray(x.T @ x / 500))
    by_numpy = sortability.explained_share(x.T.astype(float) @ x / 500)
    np.testing.assert_allclose(shares, by_numpy, atol=1e-3)
    for j in range(4):
        others = np.delete(x, j, axis=1)
        residual = x[:, j] - others @ np.linalg.lstsq(others, x[:, j])[0]
        assert float(shares[j]) == pytest.approx(
            1 - residual.var() / x[:, j].var(), abs=1e-3
        )


def test_sorting_by_variance_solves_raw_data_and_not_standardised():
    graph = random_dag(1, 12, 2)
    draw = jax.jit(simulate.simulate_linear, static_argnums=2)
    made, truth = draw(jax.random.key(2), graph, 2000)
    x = np.asarray(made.x)
    tables = {"raw": x, "standardised": (x - x.mean(axis=0)) / x.std(axis=0)}
    distance = {}
    for scaling, table in tables.items():
        problem = made._replace(x=jnp.asarray(table))
        stats = linear_gaussian.statistics(problem, interventional=False)
        covariance = np.asarray(stats.covariance[0], float)
        variances = np.diagonal(covariance)
        baseline = sortability.sort_and_regress(variances, covariance, 2000.0)
        differs = baseline != np.asarray(truth.graph)
        distance[scaling] = int(np.triu(differs | differs.T).sum())
        if scaling == "raw":
            found = sortability.baselines(graph, table, np.ones(12))
            assert found["variance"][0] > 0.9
            assert found["variance"][1] == distance[scaling]
    assert distance["raw"] < 12  # half the edges
    assert distance["raw"] < distance["standardised"]
