"""Sums over all DAGs, against every DAG by itself."""

import itertools
import math

import jax
import numpy as np
import pytest

from causaljax.graphs import modular

# How many DAGs there are of 0, 1, 2, ... labelled variables (OEIS A003024).
NUM_DAGS = [1, 1, 3, 25, 543, 29281, 3781503, 1138779265, 783702329343]


log_total = jax.jit(modular.log_total)
rounding_error = jax.jit(modular.rounding_error)
path_probabilities = jax.jit(modular.path_probabilities)
most_probable = jax.jit(modular.most_probable)
sample_dags = jax.jit(modular.sample_dags, static_argnums=2)


@jax.jit
def probabilities(weights):
    """Of parent sets and of edges."""
    sets = modular.parent_set_probabilities(weights)
    return sets, modular.edge_probabilities(sets)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def every_dag(d):
    """Parent sets as numbers, one DAG a row."""
    sets = [[s for s in range(2**d) if not s >> i & 1] for i in range(d)]
    return np.array([g for g in itertools.product(*sets) if _has_order(g)])


def _has_order(parents):
    left = set(range(len(parents)))
    while left:
        free = {i for i in left if not any(parents[i] >> j & 1 for j in left)}
        if not free:
            return False
        left -= free
    return True


@pytest.fixture(scope="module", params=[(3, 1.0), (4, 30.0)])
def known(request):
    """Weights, every DAG and its probability."""
    d, spread = request.param
    weights = spread * np.random.default_rng(d).normal(size=(d, 2**d))
    graphs = every_dag(d)
    logs = weights[np.arange(d), graphs].sum(axis=1)
    total = np.logaddexp.reduce(logs)
    return weights, graphs, np.exp(logs - total), total


def test_sums_are_those_over_every_dag(known):
    weights, graphs, prob, total = known
    d = len(weights)
    assert log_total(weights) == pytest.approx(total, rel=1e-12)
    expected = np.zeros_like(weights)
    for graph, share in zip(graphs, prob, strict=True):
        expected[np.arange(d), graph] += share
    sets, found = probabilities(weights)
    np.testing.assert_allclose(sets, expected, atol=1e-12)
    edges = np.zeros((d, d))
    for i, j in itertools.product(range(d), repeat=2):
        edges[i, j] = prob[graphs[:, j] >> i & 1 == 1].sum()
    np.testing.assert_allclose(found, edges, atol=1e-12)


def test_paths_and_the_most_probable_graph(known):
    weights, graphs, prob, _ = known
    d = len(weights)
    matrices = (graphs[:, None, :] >> np.arange(d)[None, :, None] & 1).astype(int)
    paths = sum(np.linalg.matrix_power(matrices, k) for k in range(1, d)) > 0
    expected = (prob[:, None, None] * paths).sum(axis=0)
    np.testing.assert_allclose(path_probabilities(weights), expected, atol=1e-12)
    best = matrices[prob.argmax()]
    np.testing.assert_array_equal(most_probable(weights), best)


def test_a_common_factor_changes_nothing(known):
    """Of weights as small as those of a table of many rows, too."""
    weights, _, _, total = known
    d = len(weights)
    assert log_total(weights - 900.0) == pytest.approx(total - 900 * d)
    np.testing.assert_allclose(
        probabilities(weights - 900.0)[0], probabilities(weights)[0], atol=1e-9
    )


def test_a_variable_is_no_parent_of_its_own(known):
    weights, _, _, total = known
    own = np.arange(weights.shape[1])[None, :] >> np.arange(len(weights))[:, None] & 1
    assert log_total(np.where(own, 50.0, weights)) == pytest.approx(total)


def test_weights_of_zero_leave_out_graphs(known):
    """Of what is left each DAG counts once: a chain's order is the only one."""
    weights, *_ = known
    d = len(weights)
    weights = np.full_like(weights, -np.inf)
    weights[np.arange(d), [(1 << i) >> 1 for i in range(d)]] = 0
    assert log_total(weights) == pytest.approx(0)
    graphs = sample_dags(jax.random.key(0), weights, 20_000)
    assert (np.asarray(graphs) == np.eye(d, k=1, dtype=bool)).all()


def test_graphs_are_drawn_as_often_as_they_are_probable(known):
    weights, graphs, prob, _ = known
    num, d = 20_000, len(weights)
    drawn = np.asarray(sample_dags(jax.random.key(0), weights, num))
    sets = (drawn * (1 << np.arange(d))[None, :, None]).sum(axis=1)
    place = {tuple(graph): k for k, graph in enumerate(graphs.tolist())}
    counts = np.bincount(
        [place[tuple(one)] for one in sets.tolist()], minlength=len(prob)
    )
    # Pearson's statistic, of graphs that are expected at least five times.
    often = num * prob >= 5
    rest = np.array([num * prob[~often].sum(), counts[~often].sum()])
    expected = num * prob[often]
    statistic = ((counts[often] - expected) ** 2 / expected).sum()
    if rest[0] > 5:
        statistic += (rest[1] - rest[0]) ** 2 / rest[0]
    freedom = max(often.sum(), 1)
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("d", [5, 8])
def test_all_dags_are_counted(d):
    weights = np.zeros((d, 2**d))
    total = log_total(weights)
    assert total == pytest.approx(math.log(NUM_DAGS[d]), abs=1e-11)
    _, found = probabilities(weights)
    off = np.asarray(found)[~np.eye(d, dtype=bool)]
    assert np.ptp(off) < 1e-12
    assert (np.diagonal(found) == 0).all()


def test_lost_digits_are_foretold():
    """Graphs without edges are counted with the most signs."""
    d = 8
    few = np.where(np.arange(2**d) == 0, 0.0, -12.0)[None, :].repeat(d, axis=0)
    error = rounding_error(few)
    assert rounding_error(np.zeros((d, 2**d))) < 1e-13
    assert 1e-12 < error < 1e-9
    # Here the empty graph has all the weight that there is.
    limit = np.where(np.arange(2**d) == 0, 0.0, -60.0)[None, :].repeat(d, axis=0)
    assert abs(log_total(limit)) < rounding_error(limit)
