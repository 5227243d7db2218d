"""Posteriors over DAGs: chains against exact sums."""

import jax
import numpy as np
import pytest

from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.graphs import modular
from causaljax.kernels.posterior import exact, partition_mcmc
from causaljax.scores import parent_sets


def table(seed, d, n=100):
    """Linear and Gaussian, of about two edges a variable."""
    rng = np.random.default_rng(seed)
    graph = np.triu(rng.uniform(size=(d, d)) < min(4 / (d - 1), 1), 1)
    weights = graph * rng.choice([-1, 1], (d, d)) * rng.uniform(0.3, 1, (d, d))
    x = np.zeros((n, d))
    for k in range(d):
        x[:, k] = x @ weights[:, k] + rng.normal(size=n)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return make_problem(x.astype(np.float32))


def fit(module, problem, seed=0, **options):
    config = module.Config(interventional=False, **options)
    return run.run(module.KERNEL, jax.random.key(seed), problem, config)


@pytest.mark.parametrize("d", [3, 4])
def test_exact_is_the_sum_over_every_dag(d):
    problem = table(0, d)
    posterior, info = fit(exact, problem, num_graphs=2000)
    with jax.enable_x64(True):
        double = make_problem(np.asarray(problem.x, np.float64))
        config = parent_sets.Config(interventional=False)
        weights = np.asarray(parent_sets.all_log_weights(double, config))
    logs, graphs = [], []
    for number in range(2 ** (d * d)):
        graph = (number >> np.arange(d * d) & 1).reshape(d, d).astype(bool)
        if np.diagonal(np.linalg.matrix_power(np.eye(d) + graph, d)).max() > 1:
            continue  # a cycle
        sets = (graph * (1 << np.arange(d))[:, None]).sum(axis=0)
        logs.append(weights[np.arange(d), sets].sum())
        graphs.append(graph)
    total = np.logaddexp.reduce(logs)
    expected = np.einsum("s,sij->ij", np.exp(np.array(logs) - total), np.array(graphs))
    assert info.loss == pytest.approx(-total, rel=1e-6)
    np.testing.assert_allclose(posterior.edge_prob, expected, atol=2e-6)
    np.testing.assert_allclose(posterior.graphs.mean(axis=0), expected, atol=0.05)
    best = [np.array_equal(graph, posterior.extra["map_graph"]) for graph in graphs]
    assert logs[best.index(True)] == pytest.approx(max(logs))  # or one of its class


@pytest.mark.parametrize("copies", [1, 3])
def test_chains_agree_with_exact_sums(copies):
    problem = table(1, 5)
    expected, _ = fit(exact, problem)
    options = {"num_temperatures": copies, "num_steps": 4000}
    found, info = fit(partition_mcmc, problem, **options)
    assert info.converged
    error = np.abs(found.edge_prob - expected.edge_prob)
    assert error.max() < 0.03
    assert (error < 5 * found.extra["mc_error"] + 1e-4).all()
    shares = found.graphs.mean(axis=0)
    np.testing.assert_allclose(shares, expected.edge_prob, atol=0.08)


def test_no_graph_counts_for_its_orders():
    """A table that says nothing: the prior over graphs, not over orders.

    Over orders the empty graph would count d! times and a full one once, so an edge
    would have the probability .25 in place of .309.
    """
    d = 4
    problem = table(0, d)._replace(x=np.zeros((100, d), np.float32))
    with jax.enable_x64(True):
        sums = jax.jit(modular.parent_set_probabilities)(np.zeros((d, 2**d)))
        uniform = np.asarray(modular.edge_probabilities(sums))
    # A score without rows is the same for all sets.
    problem = problem._replace(weight=np.zeros(100, np.float32))
    found, info = fit(partition_mcmc, problem, num_steps=4000)
    assert info.converged
    np.testing.assert_allclose(found.edge_prob, uniform, atol=0.02)


def test_chains_that_have_not_mixed_are_told():
    _, info = fit(partition_mcmc, table(3, 12, n=2000), num_steps=60, num_chains=2)
    assert info.rhat > 1.05
    assert not info.converged


def test_knowledge_holds_in_chains():
    problem = table(2, 5)
    allowed, required = np.ones((5, 5), bool), np.zeros((5, 5), bool)
    np.fill_diagonal(allowed, False)
    allowed[0, 1], required[3, 0] = False, True
    problem = problem._replace(allowed=allowed, required=required)
    expected, _ = fit(exact, problem)
    found, info = fit(partition_mcmc, problem, num_steps=4000)
    assert info.converged
    np.testing.assert_allclose(found.edge_prob, expected.edge_prob, atol=0.03)
    assert found.graphs[:, 3, 0].all()
    assert not found.graphs[:, 0, 1].any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_chains_agree_at_ten_variables(seed):
    problem = table(seed, 10)
    expected, _ = fit(exact, problem)
    found, info = fit(partition_mcmc, problem, seed, num_steps=8000)
    assert info.converged
    assert np.abs(found.edge_prob - expected.edge_prob).max() < 0.04
