"""Sums over DAGs by numbers of parents, and orders of a DAG, against every DAG."""

import itertools
import math

import jax
import numpy as np
import pytest

from causaljax.graphs import in_degrees, linear_extensions

# How many DAGs there are of 0, 1, 2, ... labelled variables (OEIS A003024).
NUM_DAGS = [1, 1, 3, 25, 543, 29281, 3781503, 1138779265, 783702329343]

log_total = jax.jit(in_degrees.log_total)
sample_dags = jax.jit(in_degrees.sample_dags, static_argnums=2)
log_extensions = jax.jit(jax.vmap(linear_extensions.log_linear_extensions))


def every_dag(d):
    """All DAGs of d variables, ``[s, d, d]`` bool."""
    cells = np.array(list(itertools.product([False, True], repeat=d * (d - 1))))
    graphs = np.zeros((len(cells), d, d), bool)
    graphs[:, ~np.eye(d, dtype=bool)] = cells
    walks = graphs.astype(int)
    closed = np.zeros(len(cells), bool)
    for _ in range(d):
        closed |= np.diagonal(walks, axis1=1, axis2=2).any(axis=1)
        walks = np.minimum(walks @ graphs, 1)
    return graphs[~closed]


GRAPHS = every_dag(4)


def test_the_reference_holds_every_dag():
    assert len(GRAPHS) == NUM_DAGS[4]


@pytest.mark.parametrize("d", range(1, 9))
def test_dags_are_counted(d):
    with jax.enable_x64(True):
        total = float(log_total(np.zeros(d)))
    assert math.isclose(total, math.log(NUM_DAGS[d]), rel_tol=1e-12)


def test_totals_and_expected_numbers_of_parents_are_those_of_every_dag():
    weights = np.random.default_rng(0).normal(scale=3, size=4)
    parents = GRAPHS.sum(axis=1)
    logs = weights[parents].sum(axis=1)
    prob = np.exp(logs - np.logaddexp.reduce(logs))
    numbers = (parents[:, :, None] == np.arange(4)).sum(axis=1)
    with jax.enable_x64(True):
        total, gradient = jax.jit(jax.value_and_grad(in_degrees.log_total))(weights)
    np.testing.assert_allclose(total, np.logaddexp.reduce(logs), rtol=1e-12)
    np.testing.assert_allclose(gradient, prob @ numbers, rtol=1e-10)
    rough = jax.jit(in_degrees.log_total)(weights.astype(np.float32))
    np.testing.assert_allclose(rough, total, rtol=1e-5)


def test_weights_may_be_zero():
    weights = np.array([0, 0, -np.inf, -np.inf])  # forests of rooted trees
    with jax.enable_x64(True):
        total, gradient = jax.jit(jax.value_and_grad(in_degrees.log_total))(weights)
    assert math.isclose(float(np.exp(total)), 5**3, rel_tol=1e-12)  # Cayley
    assert np.isfinite(gradient).all()


def test_large_graphs_are_summed_in_single_precision():
    weights = 0.1 * np.arange(60)
    with jax.enable_x64(True):
        exact = float(jax.jit(in_degrees.log_total)(weights))
    rough = float(jax.jit(in_degrees.log_total)(weights.astype(np.float32)))
    assert abs(rough - exact) < 1e-5 * exact


def test_samples_have_their_probabilities():
    weights = np.array([0.0, 0.4, -0.5, 1.0], np.float32)
    num_samples = 20_000
    samples = np.asarray(sample_dags(jax.random.key(3), weights, num_samples))
    logs = weights[GRAPHS.sum(axis=1)].sum(axis=1).astype(float)
    prob = np.exp(logs - np.logaddexp.reduce(logs))
    assert_frequencies(samples, GRAPHS, prob)


def assert_frequencies(samples, graphs, prob):
    """Pearson's statistic is within five standard deviations of its mean."""
    places = {graph.tobytes(): k for k, graph in enumerate(graphs)}
    drawn = [places[graph.tobytes()] for graph in samples.astype(bool)]
    counts = np.bincount(drawn, minlength=len(graphs))
    expected = len(samples) * prob
    statistic = ((counts - expected) ** 2 / expected).sum()
    freedom = len(graphs) - 1
    variance = 2 * freedom + (1 / expected).sum()
    assert abs(statistic - freedom) < 5 * variance**0.5


def test_orders_are_counted():
    orders = np.array(list(itertools.permutations(range(4))))
    places = np.argsort(orders, axis=1)
    before = places[:, :, None] < places[:, None, :]  # [orders, i, j]
    expected = (~GRAPHS[:, None] | before[None]).all(axis=(2, 3)).sum(axis=1)
    np.testing.assert_allclose(np.exp(log_extensions(GRAPHS)), expected, rtol=1e-5)
    cyclic = np.ones((1, 4, 4), bool)
    assert np.isneginf(log_extensions(cyclic))


def test_orders_of_many_variables_are_refused():
    with pytest.raises(ValueError, match="at most 16 variables, not 17"):
        linear_extensions.log_linear_extensions(np.zeros((17, 17), bool))
