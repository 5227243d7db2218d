import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from causaljax import simulate
from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.graphs import acyclicity, metrics
from causaljax.kernels import continuous
from causaljax.kernels.continuous import kernel

D, NUM_ROWS, NUM_FITS, NUM_STEPS = 4, 2000, 6, 6000  # mostly: one program for many


@functools.cache
def compiled_fit():
    """Fits of a batch of problems, as one program a shape and config."""

    def fit(problem, config):
        state = continuous.init(jax.random.key(0), problem, config)
        state, info = run.advance(
            continuous.KERNEL,
            jax.random.key(1),
            state,
            problem,
            config,
            config.num_steps,
        )
        posterior = continuous.finalise(jax.random.key(2), state, problem, config)
        return posterior, info

    return jax.jit(jax.vmap(fit, in_axes=(0, None)))


def fit_all(problems, **options):
    """Graphs ``[b, d, d]``, weights likewise, and the diagnostics of all steps."""
    problems = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    config = continuous.Config(**{"num_steps": NUM_STEPS} | options)
    posterior, info = compiled_fit()(problems, config)
    graphs, weights = posterior.graphs[:, 0], posterior.extra["weights"][:, 0]
    return jax.tree.map(np.asarray, (graphs, weights, info))


@functools.cache
def simulated(
    d=D, num_rows=NUM_ROWS, num_fits=NUM_FITS, edges_per_variable=1, **options
):
    """Problems, and the true graphs ``[b, d, d]``."""

    def draw(key):
        graph_key, key = jax.random.split(key)
        graph = simulate.erdos_renyi(graph_key, d, edges_per_variable)
        return simulate.simulate_linear(key, graph, num_rows, **options)

    keys = jax.random.split(jax.random.key(d), num_fits)
    problems, truths = jax.jit(jax.vmap(draw))(keys)
    problems = [jax.tree.map(lambda a, i=i: a[i], problems) for i in range(num_fits)]
    return problems, np.asarray(truths.graph)


def is_dag(graph):
    graph = nx.from_numpy_array(np.asarray(graph, int), create_using=nx.DiGraph)
    return nx.is_directed_acyclic_graph(graph)


# Exact reference


@functools.cache
def all_dags(d):
    where = np.argwhere(~np.eye(d, dtype=bool))
    dags = []
    for bits in itertools.product([False, True], repeat=len(where)):
        graph = np.zeros((d, d), bool)
        graph[tuple(where.T)] = bits
        if is_dag(graph):
            dags.append(graph)
    return dags


def best_dag(x):
    """The best of all DAGs by the BIC of Gaussian noise of equal variances."""
    n, d = x.shape
    x = x - x.mean(axis=0)

    @functools.cache
    def squared_residuals(child, parents):
        if not parents:
            return (x[:, child] ** 2).sum()
        return np.linalg.lstsq(x[:, parents], x[:, child])[1].item()

    def score(graph):
        total = sum(
            squared_residuals(j, tuple(map(int, np.flatnonzero(graph[:, j]))))
            for j in range(d)
        )
        return -0.5 * n * d * np.log(total / (n * d)) - 0.5 * np.log(n) * graph.sum()

    return max(all_dags(d), key=score)


@pytest.mark.parametrize(("d", "count"), [(3, 25), (4, 543)])
def test_small_answers_are_the_best_of_all_dags(d, count):
    assert len(all_dags(d)) == count
    problems, _ = simulated(d)
    graphs, weights, info = fit_all(problems)
    expected = [best_dag(np.asarray(problem.x, float)) for problem in problems]
    np.testing.assert_array_equal(graphs, expected)
    assert len({graph.tobytes() for graph in graphs}) > 3
    for graph, weight, problem in zip(graphs, weights, problems, strict=True):
        x = np.asarray(problem.x, float)
        x -= x.mean(axis=0)
        for j in range(d):
            by_hand = np.linalg.lstsq(x[:, graph[:, j]], x[:, j])[0]
            np.testing.assert_allclose(weight[graph[:, j], j], by_hand, rtol=1e-3)
        assert not weight[~graph].any()
    assert not info.nonfinite.any()


# Recovery


def sort_and_regress(x, threshold=0.3):
    """The baseline of Reisach et al. 2021: causes vary less than effects."""
    x = x - x.mean(axis=0)
    order = np.argsort(x.var(axis=0))
    graph = np.zeros((x.shape[1], x.shape[1]), bool)
    for k in range(1, len(order)):
        weights = np.linalg.lstsq(x[:, order[:k]], x[:, order[k]])[0]
        graph[order[:k], order[k]] = np.abs(weights) > threshold
    return graph


def mean_distance(truths, graphs, distance=metrics.shd):
    return jax.vmap(distance)(jnp.array(truths), jnp.array(graphs)).mean()


def assert_converged(info):
    """At the end of the run, and not at its start."""
    assert not info.nonfinite.any()
    assert not info.converged[:, 0].any()
    assert info.converged[:, -1].all()
    assert (np.abs(info.acyclicity[:, -1]) < 0.05).all()
    assert (info.loss[:, -1] < info.loss[:, 0]).all()


@pytest.mark.parametrize("acyclicity_name", acyclicity.PENALTIES)
def test_raw_equal_variance_data_are_recovered(acyclicity_name):
    problems, truths = simulated(12, 1000, 3, 2)
    graphs, _, info = fit_all(problems, acyclicity=acyclicity_name)
    assert all(map(is_dag, graphs))
    distance = mean_distance(truths, graphs)
    assert distance < mean_distance(truths, np.zeros_like(graphs)) / 3
    if acyclicity_name == "logdet":
        baseline = [sort_and_regress(np.asarray(p.x, float)) for p in problems]
        assert distance < mean_distance(truths, baseline)
        assert distance <= 1
    if acyclicity_name == "spectral":  # keeps pushing at one cycle after another
        assert not info.converged[:, 0].any()
        assert (info.acyclicity[:, -1] < 0.2).all()
    else:
        assert_converged(info)


def test_free_variances_are_fitted_on_standardised_data():
    options = {"noise_scale": (0.5, 2.0), "scaling": "standardised"}
    problems, truths = simulated(**options)
    graphs, _, info = fit_all(problems, noise="gaussian", threshold=0.1)
    distance = mean_distance(truths, graphs, metrics.cpdag_shd)
    assert distance < mean_distance(truths, 0 * graphs, metrics.cpdag_shd)
    assert_converged(info)


# Knowledge and interventions


@pytest.mark.parametrize("noise", ["equal_variance", "gaussian"])
def test_knowledge_is_obeyed(noise):
    rng = np.random.default_rng(0)
    problems = []
    for problem in simulated()[0]:
        labels = rng.permutation(D)
        required = np.triu(rng.random((D, D)) < 0.3, 1)[np.ix_(labels, labels)]
        allowed = (rng.random((D, D)) < 0.6) | required
        problems.append(make_problem(problem.x, allowed=allowed, required=required))
    graphs, weights, _ = fit_all(problems, noise=noise)
    free, _, _ = fit_all(simulated()[0], noise=noise)
    for graph, weight, problem in zip(graphs, weights, problems, strict=True):
        assert is_dag(graph)
        assert graph[problem.required].all()
        assert not graph[~problem.allowed].any()
        assert not weight[~problem.allowed].any()
    required = np.stack([problem.required for problem in problems])
    allowed = np.stack([problem.allowed for problem in problems])
    assert (free & ~allowed).any()
    assert (required & ~free).any()
    assert (graphs & ~required).any()


def test_knowledge_is_obeyed_with_few_rows():
    rng = np.random.default_rng(1)
    problems = []
    for problem in simulated()[0]:
        allowed = rng.random((D, D)) < 0.6
        problems.append(make_problem(problem.x[: 2 * D - 1], allowed=allowed))
    graphs, _, _ = fit_all(problems, num_steps=500)
    allowed = np.stack([problem.allowed for problem in problems])
    assert graphs.any()
    assert not (graphs & ~allowed).any()


def pair(seed, share_set):
    """0 -> 1 of sd 1 each, 1 set in a share of the rows; two columns of noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(NUM_ROWS, D))
    is_set = np.arange(NUM_ROWS) < share_set * NUM_ROWS
    effect = np.where(is_set, x[:, 1], 0.8 * x[:, 0] + 0.6 * x[:, 1])
    x[:, 1] = effect
    intervened = np.zeros((NUM_ROWS, D), bool)
    intervened[:, 1] = is_set
    truth = np.zeros((D, D), bool)
    truth[0, 1] = True
    labels = rng.permutation(D)
    problem = make_problem(
        x[:, labels].astype(np.float32), intervened=intervened[:, labels]
    )
    return problem, truth[np.ix_(labels, labels)]


@pytest.mark.parametrize("noise", ["equal_variance", "gaussian"])
def test_interventions_orient_what_observation_cannot(noise):
    problems, truths = zip(*(pair(seed, 0.5) for seed in range(NUM_FITS)), strict=True)
    truths = np.stack(truths)
    graphs, weights, _ = fit_all(problems, noise=noise, l1=0.02)
    np.testing.assert_array_equal(graphs, truths)
    # Rows in which the effect was set do not dilute its coefficient of 0.8.
    np.testing.assert_allclose(weights[truths], 0.8, atol=0.1)
    untold = [make_problem(problem.x) for problem in problems]
    _, weights, _ = fit_all(untold, noise=noise, l1=0.02)
    assert np.abs(weights).max() < 0.6


def test_a_variable_always_set_has_no_parents():
    problems, _ = simulated()
    before, _, _ = fit_all(problems)
    children = [int(graph.sum(axis=0).argmax()) for graph in before]
    is_set = [
        problem._replace(intervened=problem.intervened.at[:, child].set(True))
        for problem, child in zip(problems, children, strict=True)
    ]
    after, _, info = fit_all(is_set)
    for child, old, new in zip(children, before, after, strict=True):
        assert old[:, child].any()
        assert not new[:, child].any()
    assert after.any()
    assert not info.nonfinite.any()


def test_gradients_are_finite_where_an_edge_feels_nothing():
    problem = simulated()[0][0]
    intervened = problem.intervened.at[:, 2].set(True)
    problem = problem._replace(intervened=intervened)

    @jax.jit
    @jax.grad
    def gradient(x):
        table = problem._replace(x=x)
        config = continuous.Config(num_steps=20, l1=0.0)
        state = continuous.init(jax.random.key(0), table, config)
        state, _ = run.advance(
            continuous.KERNEL, jax.random.key(1), state, table, config, num_steps=20
        )
        return (state.weights**2).sum()

    slope = gradient(problem.x)
    assert np.isfinite(slope).all()
    assert (slope != 0).any()


# Flags


@pytest.mark.parametrize("noise", ["equal_variance", "gaussian"])
def test_overflow_is_flagged(noise):
    problems = list(simulated()[0])
    huge = np.array([1, 1e30, 1e30, 1], np.float32)
    problems[1] = problems[1]._replace(x=problems[1].x * huge[None, :])
    graphs, _, info = fit_all(problems, noise=noise)
    assert info.nonfinite[1].all()
    assert not info.converged[1].any()
    assert not np.delete(info.nonfinite, 1, axis=0).any()
    assert is_dag(graphs[1])


def test_a_broken_promise_of_no_interventions_is_flagged():
    problems = list(simulated()[0])
    broken = problems[0].intervened.at[7, 2].set(True)
    problems[0] = problems[0]._replace(intervened=broken)
    graphs, _, info = fit_all(problems, interventional=False)
    assert info.nonfinite[0].all()
    assert not info.nonfinite[1:].any()
    expected, _, _ = fit_all(simulated()[0])
    np.testing.assert_array_equal(graphs[1:], expected[1:])


# Settings


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        continuous.Config().l1 = 1.0


def test_flipping_a_column_flips_its_weights():
    """The l1 term once pushed every zero weight to one side."""
    x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    x[:, 1] += x[:, 0]
    signs = np.array([1, -1, 1, -1], np.float32)
    weights = []
    for table in (x, x * signs):
        problem = make_problem(table)
        config = continuous.Config(num_steps=20)
        state = continuous.init(jax.random.key(0), problem, config)
        state, _ = run.advance(
            continuous.KERNEL, jax.random.key(0), state, problem, config, 20
        )
        weights.append(np.asarray(state.weights))
    assert np.abs(weights[0]).max() > 0.01
    np.testing.assert_allclose(
        weights[1], weights[0] * signs * signs[:, None], atol=1e-6
    )


# Sparsity and starts


def test_sparsity_is_the_minimax_concave_penalty():
    sizes = np.linspace(0, 3, 31)
    for l1, concavity in ((0.5, 0.0), (0.5, 0.25), (0.1, 0.2), (0.0, 0.3)):
        config = continuous.Config(l1=l1, concavity=concavity)
        # The integral of the slope max(0, l1 - concavity t) from 0 to |w|.
        fine = np.linspace(0, sizes, 2001)
        slope = np.maximum(0, l1 - concavity * fine)
        expected = np.trapezoid(slope, fine, axis=0)
        actual = kernel._price(sizes, config)
        np.testing.assert_allclose(actual, expected, atol=1e-5)
    gradient = jax.grad(
        lambda c: kernel._price(sizes, continuous.Config(concavity=c)).sum()
    )
    assert np.isfinite(gradient(0.0))
    assert np.isfinite(gradient(0.1))


def test_a_concave_price_shrinks_large_weights_less():
    problem, truth = simulated()[0][0], np.asarray(simulated()[1][0])
    ends = []
    for concavity in (0.0, 1.0):
        config = continuous.Config(l1=0.3, concavity=concavity, num_steps=3000)
        key = jax.random.key(0)
        state = continuous.init(key, problem, config)
        state, _ = run.advance(continuous.KERNEL, key, state, problem, config, 3000)
        ends.append(np.abs(np.asarray(state.weights)[truth]).sum())
    assert ends[1] > ends[0] + 0.1


def test_starts_are_drawn_and_a_wild_one_finds_back():
    problem = simulated()[0][0]
    for scale in (0.1, 100.0):
        config = continuous.Config(start_scale=scale)
        states = [continuous.init(jax.random.key(s), problem, config) for s in range(2)]
        assert not np.array_equal(states[0].weights, states[1].weights)
        assert not np.diagonal(states[0].weights).any()
        posterior, info = run.run(continuous.KERNEL, jax.random.key(0), problem, config)
        expected, _ = run.run(
            continuous.KERNEL, jax.random.key(0), problem, continuous.Config()
        )
        assert info.converged
        np.testing.assert_array_equal(posterior.graphs, expected.graphs)
