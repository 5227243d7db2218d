"""Weights under the prior of BGe: evidence, draws and intervals."""

import functools
import pathlib

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln
from test_graph_sums import every_dag

from causaljax.core.types import make_problem
from causaljax.graphs import modular
from causaljax.probabilistic.effect_posterior import averaged_effects
from causaljax.scores import bge, bge_weights, parent_sets

draw_weights = jax.jit(bge_weights.draw_weights)
total_effects = jax.jit(bge_weights.total_effects)
all_log_weights = jax.jit(
    lambda problem: parent_sets.all_log_weights(problem, parent_sets.Config())
)


def regression(x, j, parents):
    """Mean, root of the covariance over v, shape, rate and evidence of x_j = b'f + e.

    By the textbook's formulas of a normal-inverse-gamma regression on 1 and the
    parents, with the prior that the docstring states.
    """
    features = np.column_stack([np.ones(len(x)), x[:, parents]])
    before = np.diag([1.0] + [0.5] * len(parents))
    after = before + features.T @ features
    mean = np.linalg.solve(after, features.T @ x[:, j])
    shape, rate = (3 + len(parents)) / 2, 0.25
    shape_after = shape + len(x) / 2
    rate_after = rate + (x[:, j] @ x[:, j] - mean @ after @ mean) / 2
    evidence = (
        -len(x) / 2 * np.log(2 * np.pi)
        + (np.linalg.slogdet(before)[1] - np.linalg.slogdet(after)[1]) / 2
        + shape * np.log(rate)
        - shape_after * np.log(rate_after)
        + gammaln(shape_after)
        - gammaln(shape)
    )
    return mean, np.linalg.inv(after), shape_after, rate_after, evidence


def table(d, n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ (np.eye(d) + np.triu(rng.normal(size=(d, d)), 1))
    return x + 0.3, rng.random((n, d)) < 0.2


def test_the_evidence_of_the_regressions_is_the_score(x64):
    x, hit = table(3, 12)
    graphs = every_dag(3)
    problem = make_problem(x, intervened=hit)
    found = jax.jit(jax.vmap(bge.bge, (0, None)))(graphs, problem)

    @functools.cache
    def evidence(j, parents):
        return regression(x[~hit[:, j]], j, list(parents))[-1]

    expected = [
        [evidence(j, tuple(np.flatnonzero(graph[:, j]))) for j in range(3)]
        for graph in graphs
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    sets = all_log_weights(problem)
    numbers = (graphs * (1 << np.arange(3))[:, None]).sum(axis=1)
    np.testing.assert_allclose(sets[np.arange(3), numbers], expected, rtol=1e-8)


def test_weights_are_drawn_from_their_posterior():
    x, hit = table(4, 15, seed=1)
    graph = np.triu(np.ones((4, 4), bool), 1)
    graph[0, 1] = False
    number = 4000
    problem = make_problem(x.astype(np.float32), intervened=hit)
    graphs = np.repeat(graph[None], number, axis=0)
    weights = np.asarray(draw_weights(jax.random.key(0), graphs, problem))
    assert weights.shape == (number, 4, 4)
    assert not weights[:, ~graph].any()
    for j in range(4):
        parents = np.flatnonzero(graph[:, j])
        rows = x[~hit[:, j]]
        mean, covariance, shape, rate, _ = regression(rows, j, parents)
        scale = np.sqrt(rate / shape * np.diag(covariance))
        for k, parent in enumerate(parents, 1):
            law = stats.t(2 * shape, mean[k], scale[k])
            assert stats.kstest(weights[:, parent, j], law.cdf).pvalue > 1e-3
        if len(parents) > 1:
            drawn = np.corrcoef(weights[:, parents, j].T)[0, 1]
            exact = covariance[1, 2] / np.sqrt(covariance[1, 1] * covariance[2, 2])
            assert abs(drawn - exact) < 0.08


def test_effects_sum_over_paths():
    rng = np.random.default_rng(0)
    weights = np.triu(rng.normal(size=(2, 3, 6, 6)), 1).astype(np.float32)
    order = rng.permutation(6)
    weights = weights[..., order, :][..., order]
    expected = np.linalg.inv(np.eye(6) - weights.astype(float))
    np.testing.assert_allclose(total_effects(weights), expected, rtol=1e-3, atol=1e-3)


def drawn_from_the_prior(rng, graphs, n):
    """Tables ``[t, n, d]``, one of each graph, and total effects."""
    d, tables = graphs.shape[1], len(graphs)
    variance = 1 / rng.gamma((3 + graphs.sum(axis=1)) / 2, 4)
    weights = rng.normal(size=graphs.shape) * np.sqrt(variance / 0.5)[:, None, :]
    effects = np.linalg.inv(np.eye(d) - np.where(graphs, weights, 0))
    centre = rng.normal(size=(tables, 1, d)) * np.sqrt(variance)[:, None]
    noise = rng.normal(size=(tables, n, d)) * np.sqrt(variance)[:, None]
    return (noise + centre) @ effects, effects


@jax.jit
@jax.vmap
def draw_effects(key, graphs, x):
    weights = bge_weights.draw_weights(key, graphs, make_problem(x))
    return bge_weights.total_effects(weights)


def assert_uniform(ranks, most):
    counts = np.bincount(ranks.ravel(), minlength=most + 1)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_ranks_of_true_effects_are_uniform():
    """The tables are drawn from the prior, so any interval holds what it says."""
    rng, tables, draws = np.random.default_rng(3), 400, 19
    graphs = np.repeat(np.triu(np.ones((3, 3), bool), 1)[None], tables, axis=0)
    x, effects = drawn_from_the_prior(rng, graphs, 8)
    keys = jax.random.split(jax.random.key(1), tables)
    given = np.repeat(graphs[:, None], draws, axis=1)
    found = np.asarray(draw_effects(keys, given, x.astype(np.float32)))
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert_uniform((found[:, :, i, j] < effects[:, None, i, j]).sum(axis=1), draws)


@pytest.mark.slow
def test_ranks_are_uniform_where_graphs_are_drawn():
    """Graph and weights are drawn from the prior, and both from their posterior."""
    rng, tables, draws = np.random.default_rng(4), 1000, 19
    every = every_dag(3)
    graphs = every[rng.integers(len(every), size=tables)]
    x, effects = drawn_from_the_prior(rng, graphs, 8)

    @jax.jit
    @jax.vmap
    def draw_graphs(key, x):
        weights = all_log_weights(make_problem(x))
        return modular.sample_dags(key, weights, draws)

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(2), tables)
        given = np.asarray(draw_graphs(keys, x))
    keys = jax.random.split(jax.random.key(3), tables)
    found = np.asarray(draw_effects(keys, given, x.astype(np.float32)))
    for i, j in [(0, 1), (2, 1)]:
        true = effects[:, None, i, j]
        below = (found[:, :, i, j] < true).sum(axis=1)
        ties = (found[:, :, i, j] == true).sum(axis=1)  # of effects that are 0
        assert ties.any()
        assert_uniform(below + rng.integers(ties + 1), draws)


def test_intervals_of_a_known_graph_hold_the_truth(monkeypatch):
    """The check of `scripts/posterior_effects.py`, on fewer tables."""
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[1] / "scripts")
    import posterior_effects

    rows = posterior_effects.measure(
        lambda seed, x, weights: np.repeat(weights[None] != 0, 200, axis=0),
        num_tables=20,
        num_rows=100,
        level=0.9,
    )
    effects = rows[rows[:, 1] == 1]
    assert len(effects) > 80
    assert 0.82 < effects[:, 2].mean() < 0.97
    none = rows[rows[:, 1] == 0]
    assert none[:, 2].all()
    assert not none[:, 3].any()


def test_units_and_averages():
    x, _ = table(3, 200, seed=2)
    graphs = np.zeros((400, 3, 3), bool)
    graphs[:200, 0, 1] = True  # half of the graphs say that there is an effect
    one = averaged_effects(jax.random.key(0), graphs, x, 0, 1)
    assert (one.draws[200:] == 0).all()
    assert one.interval[0] <= 0 <= one.interval[1]
    centred = x - x.mean(axis=0)
    slope = (centred[:, 0] @ centred[:, 1]) / (centred[:, 0] @ centred[:, 0])
    assert abs(one.draws[:200].mean() - slope) < 0.1 * abs(slope) + 0.02
    other = averaged_effects(
        jax.random.key(0), graphs, x * [10, 0.1, 1] + 5, 0, 1, level=0.5
    )
    np.testing.assert_allclose(other.draws, one.draws / 100, rtol=1e-2, atol=1e-6)
    assert other.interval[1] - other.interval[0] < one.interval[1] - one.interval[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"graphs": np.zeros((3, 3), bool)}, r"\(3, 3\)"),
        ({"level": 1.0}, "level"),
        ({"x": np.zeros((5, 3))}, "column 0 of x"),
        ({"x": np.full((5, 3), np.nan)}, "gap"),
    ],
)
def test_mistakes_are_told(change, said):
    given = {"graphs": np.zeros((2, 3, 3), bool), "x": table(3, 9)[0], "level": 0.9}
    with pytest.raises(ValueError, match=said):
        averaged_effects(jax.random.key(0), **given | change, cause=0, outcome=1)
