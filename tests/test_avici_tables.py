import functools

import jax
import numpy as np
import pytest
import scipy.stats

from causaljax import simulate
from causaljax.graphs import dags

QUICK = {"xla_backend_optimization_level": 0}
DOMAINS = ["linear", "rff"]
EVERY = [(domain, out) for domain in DOMAINS for out in (False, True)]
every = pytest.mark.parametrize(("domain", "out"), EVERY)


@functools.cache
def tables(domain, out):
    """Many tables of 30 variables: x [64, 200, 30], cut, regime, graphs."""

    def draw(key):
        problem, graph = simulate.avici_table(
            key, domain, out_of_distribution=out, num_rows=200, interventional=True
        )
        return problem, graph, dags.is_acyclic(graph)

    keys = jax.random.split(jax.random.key(0), 64)
    drawn = jax.jit(jax.vmap(draw), compiler_options=QUICK)(keys)
    problem, graphs, acyclic = jax.tree.map(np.asarray, drawn)
    assert acyclic.all()
    return problem, graphs


@every
def test_a_fifth_of_the_rows_is_intervened_on_one_variable_each(domain, out):
    problem, _ = tables(domain, out)
    assert np.isfinite(problem.x).all()
    hits = problem.intervened.sum(axis=2)
    assert (hits[:, :160] == 0).all()
    assert (hits[:, 160:] == 1).all()
    ever = problem.intervened.any(axis=1).sum(axis=1)
    assert (ever == (15 if out else 30)).all()
    values = np.abs(problem.x[problem.intervened])
    low, high = (1, 5) if out else (1, 3)
    uniform = scipy.stats.uniform(low, high - low)
    assert scipy.stats.kstest(values, uniform.cdf).pvalue > 0.001
    assert np.mean(problem.x[problem.intervened] > 0) == pytest.approx(0.5, abs=0.05)
    for regime, cut in zip(problem.regime, problem.intervened, strict=True):
        assert (np.diff(regime) >= 0).all()
        assert (regime[:160] == 0).all()
        for label in range(1, regime.max() + 1):
            assert np.ptp(np.argmax(cut[regime == label], axis=1)) == 0


@pytest.mark.parametrize("domain", DOMAINS)
def test_training_graphs_have_one_to_three_edges_a_variable(domain):
    _, graphs = tables(domain, False)
    per_variable = graphs.sum(axis=(1, 2)) / 30
    assert per_variable.mean() == pytest.approx(1.95, abs=0.4)
    assert per_variable.max() < 4
    skewed = graphs.sum(axis=1).max(axis=1), graphs.sum(axis=2).max(axis=1)
    assert (skewed[0] > 9).any()  # hubs with many parents
    assert (skewed[1] > 9).any()  # and with many children


@pytest.mark.parametrize("domain", DOMAINS)
def test_test_graphs_are_of_four_families(domain):
    _, graphs = tables(domain, True)
    num_edges = graphs.sum(axis=(1, 2))
    assert np.mean(num_edges == 57) == pytest.approx(0.25, abs=0.2)  # scale-free
    assert np.mean(num_edges < 25) == pytest.approx(0.25, abs=0.2)  # geometric
    scale_free = graphs[num_edges == 57]
    assert np.mean(scale_free.sum(axis=1).max(axis=1) <= 2) > 0.8
    assert scale_free.sum(axis=2).max() > 10


@functools.cache
def compiled(domain, **options):
    draw = functools.partial(simulate.avici_table, domain=domain, **options)
    return jax.jit(draw, compiler_options=QUICK)


def test_training_noise_is_of_the_stated_size():
    sds = []
    for seed in range(8):
        problem, graph = compiled("linear")(jax.random.key(seed))
        x = np.asarray(problem.x, float)
        for j, parents in enumerate(np.asarray(graph).T):
            inputs = np.column_stack([x[:, parents], np.ones(len(x))])
            fitted, *_ = np.linalg.lstsq(inputs, x[:, j])
            sds.append((x[:, j] - inputs @ fitted).std())
    assert scipy.stats.kstest(sds, scipy.stats.uniform(0.2, 1.8).cdf).pvalue > 0.001


def test_linear_weights_and_biases_are_in_their_ranges():
    for seed in range(8):
        problem, graph = compiled("linear")(jax.random.key(seed))
        x, graph = np.asarray(problem.x, float), np.asarray(graph)
        for j in np.flatnonzero(graph.sum(axis=0) == 1):
            parent = x[:, np.argmax(graph[:, j])]
            slope, bias = np.polyfit(parent, x[:, j], 1)
            tolerance = 10 * 2 / np.sqrt(1000) / parent.std()
            assert 1 - tolerance < abs(slope) < 3 + tolerance
        for j in np.flatnonzero(graph.sum(axis=0) == 0):
            assert abs(x[:, j].mean()) < 3.4


def test_rff_signals_are_large_and_bounded():
    problem, graph = compiled("rff")(jax.random.key(3))
    sds = np.asarray(problem.x).std(axis=0)
    roots = np.asarray(graph).sum(axis=0) == 0
    assert (sds[roots] < 2.3).all()
    assert np.median(sds[~roots]) > 2
    assert np.abs(problem.x).max() < 120


def test_test_noise_has_heavy_tails_and_unequal_variances():
    problem, _ = tables("linear", True)
    kurtosis = scipy.stats.kurtosis(problem.x[:, :160], axis=1)
    assert np.mean(kurtosis > 1) > 0.5
    assert np.mean(np.abs(problem.x).max(axis=(1, 2)) > 200) > 0.25  # Cauchy


def test_observational_tables_say_so():
    problem, _ = compiled("linear")(jax.random.key(0))
    assert problem.x.shape == (1000, 30)
    assert not problem.intervened.any()
    assert (problem.regime == 0).all()


def test_vmap_is_a_loop():
    # Every graph family is compiled: an eager table takes half a minute.
    key = jax.random.split(jax.random.key(0), 64)[7]
    one, graph = compiled("rff", num_rows=200, interventional=True)(key)
    batch, graphs = tables("rff", False)
    np.testing.assert_array_equal(graph, graphs[7])
    np.testing.assert_array_equal(one.intervened, batch.intervened[7])
    np.testing.assert_allclose(one.x, batch.x[7], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("gene",), {}, 'must be "linear" or "rff", not \'gene\''),
        ((), {"num_variables": 3}, "at least 4, not 3"),
    ],
)
def test_wrong_options_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        simulate.avici_table(jax.random.key(0), *arguments, **options)
