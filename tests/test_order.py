"""The order search against the best of all DAGs, and its laws of its own."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from test_scores import all_dags, reference, reference_bic, reference_log_likelihood

from causaljax.core import run
from causaljax.core.types import Kind, make_problem
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import is_acyclic
from causaljax.kernels import order_search
from causaljax.scores import (
    linear_gaussian,
    linear_nongaussian,
    residual_independence,
    sweep_operator,
)

NUM_ROWS = 60
CONFIG = order_search.Config(num_steps=6, perturb=3)
SHAPES = dataclasses.replace(CONFIG, noise="nongaussian")
PENALTY = CONFIG.bic_weight


def table(d, seed, noise="normal", num_rows=NUM_ROWS):
    """A linear table of a random DAG with edge weights of 0.5 to 2."""
    rng = np.random.default_rng([d, seed])
    labels = rng.permutation(d)
    edges = np.triu(rng.random((d, d)) < 0.6, 1)[np.ix_(labels, labels)]
    weights = edges * rng.uniform(0.5, 2, (d, d)) * rng.choice([-1, 1], (d, d))
    draw = {"normal": rng.normal, "uniform": functools.partial(rng.uniform, -2, 2)}
    errors = draw[noise](size=(num_rows, d)) * rng.uniform(0.5, 2, d)
    return errors @ np.linalg.inv(np.eye(d) - weights), edges


def masks(d, seed):
    """Random knowledge that some DAG satisfies."""
    rng = np.random.default_rng([d, seed])
    graph = all_dags(d)[rng.integers(len(all_dags(d)))]
    required = graph & (rng.random((d, d)) < 0.4)
    return (rng.random((d, d)) < 0.6) | required, required


def search(problem, config=CONFIG, seed=0):
    key = jax.random.key(seed)
    posterior, info = run.run(order_search.KERNEL, key, problem, config)
    return jax.tree.map(np.asarray, (posterior, info))


def best_score(problem, score=reference_bic, interventional=True):
    """Over all DAGs that the problem allows; in numpy."""
    graphs = all_dags(problem.x.shape[1])
    fits = ~(graphs & ~np.asarray(problem.allowed)).any(axis=(1, 2))
    fits &= ~(np.asarray(problem.required) & ~graphs).any(axis=(1, 2))
    return reference(score, problem, graphs[fits], interventional).sum(axis=1).max()


def score_of(problem, graph, score=reference_bic):
    return reference(score, problem, graph[None])[0].sum()


def assert_best(problem, config=CONFIG, score=reference_bic, seed=0):
    """The search's answer is the best of all DAGs, and its score is true."""
    posterior, info = search(problem, config, seed)
    graph = posterior.graphs[0]
    num_rows = np.asarray(linear_gaussian.num_rows(problem))
    found = -info.loss * num_rows
    assert found == pytest.approx(score_of(problem, graph, score), abs=1e-6)
    assert found == pytest.approx(best_score(problem, score), abs=1e-6)
    assert is_acyclic(graph)
    assert not (graph & ~np.asarray(problem.allowed)).any()
    assert not (np.asarray(problem.required) & ~graph).any()
    assert info.converged
    assert not info.nonfinite
    return graph


@pytest.mark.parametrize("d", [2, 4])
def test_answer_is_the_best_of_all_dags(d, x64):
    for seed in range(24):
        assert_best(make_problem(table(d, seed)[0]), seed=seed)


def test_knowledge_is_kept_and_the_answer_still_the_best(x64):
    for seed in range(24):
        allowed, required = masks(4, seed)
        x = table(4, seed)[0]
        assert_best(make_problem(x, allowed=allowed, required=required), seed=seed)


def test_a_prior_joins_the_score(x64):
    """The best graph is that of the score and the log-odds; .5 changes nothing."""
    unsure = dataclasses.replace(CONFIG, prior=np.full((4, 4), 0.5))
    moved = 0
    for seed in range(24):
        problem = make_problem(table(4, seed)[0])
        without = search(problem, seed=seed)[0].graphs[0]
        found = search(problem, unsure, seed)[0].graphs[0]
        np.testing.assert_array_equal(found, without)

        rng = np.random.default_rng(seed)
        prior = rng.choice([0, 0.01, 0.2, 0.5, 0.8, 0.99, 1], (4, 4))
        config = dataclasses.replace(CONFIG, prior=prior)
        odds = scipy.special.logit(np.minimum(prior, 1 - np.finfo(float).epsneg))

        def believed(x, j, parents, odds=odds):
            return reference_bic(x, j, parents) + odds[list(parents), j].sum()

        graph = assert_best(problem, config, believed, seed)
        assert not graph[prior == 0].any()
        moved += (graph != without).any()
    assert moved > 12


def test_knowledge_comes_before_a_prior(x64):
    required = np.zeros((4, 4), bool)
    required[0, 1] = True
    problem = make_problem(table(4, 3)[0], required=required)
    nothing = dataclasses.replace(CONFIG, prior=np.zeros((4, 4)))
    posterior, info = search(problem, nothing)
    np.testing.assert_array_equal(posterior.graphs[0], required)
    assert np.isfinite(info.loss)


def interventional_problem(seed):
    x, _ = table(4, seed)
    rng = np.random.default_rng(seed)
    intervened = np.zeros(x.shape, bool)
    for j, rows in enumerate(np.split(np.arange(NUM_ROWS), 5)[1:]):
        intervened[rows, j] = True
        x[rows, j] = rng.normal(size=len(rows))
    return make_problem(x, intervened=intervened)


def test_each_variable_is_scored_in_the_rows_where_it_was_free(x64):
    different = 0
    for seed in range(8):
        problem = interventional_problem(seed)
        graph = assert_best(problem)
        ignored = problem._replace(intervened=jnp.zeros_like(problem.intervened))
        different += not np.array_equal(graph, search(ignored)[0].graphs[0])
    assert different > 2


def test_interventions_that_were_promised_away_are_flagged():
    config = dataclasses.replace(CONFIG, interventional=False)
    problem = make_problem(table(4, 0)[0].astype(np.float32))
    assert not search(problem, config)[1].nonfinite
    problem = problem._replace(intervened=problem.intervened.at[0, 0].set(True))
    posterior, info = search(problem, config)
    assert info.nonfinite
    assert np.isnan(info.loss)
    assert not posterior.graphs.any()


def test_whole_weights_are_repeated_rows(x64):
    x, _ = table(4, 3, "uniform")
    count = np.random.default_rng(0).multinomial(NUM_ROWS, np.ones(NUM_ROWS) / NUM_ROWS)
    repeated = make_problem(np.repeat(x, count, axis=0))
    for config in (CONFIG, SHAPES):
        actual, info = search(make_problem(x, weight=count), config)
        expected, expected_info = search(repeated, config)
        np.testing.assert_array_equal(actual.graphs, expected.graphs)
        weights = expected.extra["weights"]
        np.testing.assert_allclose(actual.extra["weights"], weights, atol=1e-9)
        np.testing.assert_allclose(info.loss, expected_info.loss, rtol=1e-9)


def test_gaps_drop_their_rows(x64):
    x, _ = table(4, 5)
    observed = np.random.default_rng(0).random(x.shape) < 0.9
    whole = observed.all(axis=1)
    expected, expected_info = search(make_problem(x, weight=whole))
    filled = np.where(observed, x, 1e6)
    actual, info = search(make_problem(filled, observed=observed))
    np.testing.assert_array_equal(actual.graphs, expected.graphs)
    np.testing.assert_allclose(info.loss, expected_info.loss, rtol=1e-9)


@pytest.mark.parametrize("config", [CONFIG, SHAPES], ids=["gaussian", "nongaussian"])
def test_units_change_no_edge(config, x64):
    for seed in range(8):
        x, _ = table(4, seed, "uniform")
        units = 10.0 ** np.random.default_rng(seed).uniform(-6, 6, 4)
        expected, _ = search(make_problem(x), config)
        actual, _ = search(make_problem(x * units), config)
        np.testing.assert_array_equal(actual.graphs, expected.graphs)
        weights = expected.extra["weights"] * units[None, :] / units[:, None]
        np.testing.assert_allclose(actual.extra["weights"], weights, rtol=1e-6)


def test_the_start_does_not_matter_where_the_answer_is_clear(x64):
    problem = make_problem(table(4, 1)[0])
    cpdags = [
        np.asarray(dag_to_cpdag(search(problem, seed=seed)[0].graphs[0]))
        for seed in range(4)
    ]
    for cpdag in cpdags:
        np.testing.assert_array_equal(cpdag, cpdags[0])


# Non-Gaussian noise


def test_uniform_noise_tells_the_direction_of_a_chain(x64):
    right = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        errors = rng.uniform(-1, 1, (500, 3))
        labels = rng.permutation(3)
        chain = np.zeros((3, 3), bool)
        chain[labels[:-1], labels[1:]] = True
        problem = make_problem(errors @ np.linalg.inv(np.eye(3) - chain))
        np.testing.assert_array_equal(search(problem, SHAPES)[0].graphs[0], chain)
        graph = search(problem, CONFIG)[0].graphs[0]
        np.testing.assert_array_equal(*map(dag_to_cpdag, (graph, chain)))
        right += np.array_equal(graph, chain)
    assert right < 8


def test_nongaussian_score_is_that_of_the_model(x64):
    def score(x, j, parents):
        price = PENALTY * np.log(len(x)) / 2
        return reference_log_likelihood(x, j, parents) - price * len(parents)

    problem = interventional_problem(0)
    posterior, info = search(problem, SHAPES)
    found = -info.loss * NUM_ROWS
    expected = score_of(problem, posterior.graphs[0], score)
    assert found == pytest.approx(expected, abs=1e-6)
    # Parents are grown by the Gaussian part, so that the best is not for certain.
    assert found <= best_score(problem, score) + 1e-6
    assert found > score_of(problem, search(problem)[0].graphs[0], score) - 1e-6


# Odd tables


@pytest.mark.parametrize("config", [CONFIG, SHAPES], ids=["gaussian", "nongaussian"])
def test_degenerate_columns_have_a_finite_answer(config, x64):
    x, _ = table(4, 0)
    copied, constant, near = x.copy(), x.copy(), x.copy()
    copied[:, 1] = -3 * copied[:, 0]
    constant[:, 1:3] = 0.1
    near[:, 1] = near[:, 0] + 1e-7 * near[:, 1]
    for odd in (copied, constant, near):
        posterior, info = search(make_problem(odd), config)
        assert not info.nonfinite
        assert info.converged
        assert np.isfinite(posterior.extra["weights"]).all()
        assert is_acyclic(posterior.graphs[0])
        if odd is constant:
            assert not posterior.graphs[0][1:3].any()
            assert not posterior.graphs[0][:, 1:3].any()
        else:
            assert posterior.graphs[0][:2, :2].any()


def test_few_rows_bound_the_number_of_parents(x64):
    """One parent for ten rows; 6 to 8 rows of independent columns had sure edges."""
    x = np.random.default_rng(0).normal(size=(39, 12))
    config = dataclasses.replace(CONFIG, bic_weight=0.0)
    for num_rows, most in ((39, 3), (9, 0)):
        posterior, info = search(
            make_problem(x, weight=np.arange(39) < num_rows), config
        )
        assert posterior.graphs[0].sum(axis=0).max() == most
        assert np.isfinite(info.loss)
        assert info.converged


def test_more_columns_than_rows_have_few_false_edges(x64):
    x = np.random.default_rng(0).normal(size=(20, 40))
    posterior, _ = search(make_problem(x))
    assert posterior.graphs[0].sum() <= 8


def test_required_copies_are_kept(x64):
    x, _ = table(4, 0)
    x[:, 2] = x[:, 1] = x[:, 0]
    required = np.zeros((4, 4), bool)
    required[[0, 1, 2], 3] = True
    posterior, info = search(make_problem(x, required=required))
    assert posterior.graphs[0][:3, 3].all()
    assert not info.nonfinite
    weights = posterior.extra["weights"][0]
    assert np.isfinite(weights).all()


def test_weights_are_differentiable_with_the_graph_held_fixed(x64):
    x, _ = table(4, 2)
    direction = np.random.default_rng(0).normal(size=x.shape)

    @jax.jit
    def weights(t):
        problem = make_problem(x + t * direction)
        keys = jax.random.split(jax.random.key(0), 3)
        state = order_search.init(keys[0], problem, CONFIG)
        state, _ = order_search.step(keys[1], state, problem, CONFIG)
        return (
            order_search.finalise(keys[2], state, problem, CONFIG)
            .extra["weights"]
            .sum()
        )

    slope = (weights(1e-5) - weights(-1e-5)) / 2e-5
    assert slope != 0
    np.testing.assert_allclose(jax.jit(jax.grad(weights))(0.0), slope, rtol=1e-6)


AUTO = dataclasses.replace(CONFIG, noise="auto")
MANY_ROWS = 600


def test_auto_is_the_noise_that_it_chooses(x64):
    chosen = []
    for noise in ("normal", "uniform"):
        problem = make_problem(table(4, 2, noise, MANY_ROWS)[0])
        posterior, info = search(problem, AUTO)
        chosen.append(bool(posterior.extra["shape_counts"].all()))
        assert chosen[-1] == bool(info.nongaussian_evidence > 0)
        expected, expected_info = search(problem, SHAPES if chosen[-1] else CONFIG)
        np.testing.assert_array_equal(posterior.graphs, expected.graphs)
        assert info.loss == expected_info.loss
    assert chosen == [False, True]


def chain_and(other):
    a, e, f = np.random.default_rng(0).normal(size=(3, MANY_ROWS))
    b = 0.8 * a + e
    return np.stack([a, b, 0.8 * b + f, other], axis=1)


def odd_tables():
    """(name, table [600, 4], edges whose direction can be told)."""
    rng = np.random.default_rng(1)
    x, e, h = rng.normal(size=(3, MANY_ROWS))
    u, v, w = rng.uniform(-2, 2, size=(3, MANY_ROWS))
    pair = rng.normal(size=(MANY_ROWS, 2))
    yield "uniform beside", chain_and(u), 0
    yield "row number beside", chain_and(np.arange(MANY_ROWS)), 0
    yield "classes beside", chain_and(rng.integers(0, 2, MANY_ROWS)), 0
    for curve in (np.exp, np.tanh, np.sin, lambda x: x + 0.1 * x**3):
        y = curve(1.5 * x) + 0.3 * e
        yield f"curve {curve}", np.column_stack([x, y, pair]), 0
    yield "label", np.column_stack([u, u + 0.5 * v > 0, pair]), 0
    yield "hidden cause", np.column_stack([u + v, u + w, pair]), 0
    yield "unequal spread", np.column_stack([x, x + v * np.exp(x / 2), pair]), 0
    # One pair of which the model holds, beside one of which it does not.
    yield "both", np.column_stack([u, u + v, x, np.exp(x) + 0.3 * e]), 1


def test_directions_are_told_only_where_the_model_holds(x64):
    """All of these were non-Gaussian in one column, and then sure of all arrows."""
    for name, x, number in odd_tables():
        verdict = search(make_problem(x), AUTO)[0].extra["verdict"][0]
        told = verdict == order_search.Verdict.TOLD
        assert told.sum() == number, name
        assert told[0, 1] == bool(number), name


def test_classes_tell_no_direction(x64):
    u, v, w, other = np.random.default_rng(1).uniform(-2, 2, size=(4, MANY_ROWS))
    problem = make_problem(np.column_stack([u, u + v, u + v + w, other]))
    verdict = search(problem, AUTO)[0].extra["verdict"][0]
    assert verdict[0, 1] == verdict[1, 2] == order_search.Verdict.TOLD
    classes = problem._replace(kind=problem.kind.at[2].set(Kind.ORDINAL))
    verdict = search(classes, AUTO)[0].extra["verdict"][0]
    assert order_search.Verdict.FEW_VALUES in {verdict[1, 2], verdict[2, 1]}
    assert order_search.Verdict.TOLD not in {verdict[1, 2], verdict[2, 1]}


def mean_size(values):
    return np.sqrt(np.pi / 2) * np.abs(values).mean(axis=0)


def slow_p_value(x, j, parents, of):
    """The test of one edge by regressions; functions of a parent are of ``of``."""

    def functions(u):
        tanh, bump = np.tanh(u), np.exp(-u * u / 2)
        slopes = [1 - tanh**2, -u * bump, (1 - u * u) * bump, -2 * np.sin(2 * u)]
        return np.array([tanh, bump, u * bump, np.cos(2 * u)]), np.array(slopes)

    x = (x - x.mean(axis=0)) / x.std(axis=0)
    design = x[:, parents]
    fitted = design @ np.linalg.lstsq(design, x[:, j])[0]
    residual = x[:, j] - fitted
    residual = residual / mean_size(residual)
    of_residual, slopes = functions(residual)
    steady = of_residual - slopes.mean(axis=1)[:, None] * residual
    sizes = []
    for column in (of, fitted / mean_size(fitted)):
        of_column = functions(column)[0].T
        centred = of_column - of_column.mean(axis=0)
        left = (centred - design @ np.linalg.lstsq(design, centred)[0]).T
        sizes += [np.corrcoef(f, g)[0, 1] for f in steady for g in centred.T]
        sizes += [np.corrcoef(of_residual[0], g)[0, 1] for g in left]
    largest = np.arctanh(np.abs(sizes).max()) * np.sqrt(len(x) - 3 - len(parents))
    return min(20 * scipy.special.erfc(largest / np.sqrt(2)), 1)


def test_p_values_of_edges_are_those_of_regressions(x64):
    rng = np.random.default_rng(3)
    x, graph = table(4, 2, num_rows=MANY_ROWS)
    x = x + 0.1 * x**2
    intervened = np.zeros(x.shape, bool)
    intervened[:100, 1] = True
    weights = rng.integers(0, 3, MANY_ROWS)
    problem = make_problem(x, intervened=intervened, weight=weights)

    @jax.jit
    def p_values(graph):
        stats = linear_gaussian.statistics(problem, interventional=True)
        rows = linear_nongaussian.rows(problem, stats, interventional=True)
        correlation = sweep_operator.correlations(stats.covariance)
        counts = stats.share * linear_gaussian.num_rows(problem)
        tableaux = sweep_operator.sweep(correlation, graph)
        return residual_independence.p_values(graph.T, tableaux, counts, rows)

    found = np.asarray(p_values(jnp.asarray(graph)))
    assert ((found < 1) <= graph.T).all()
    assert found.min() < 1e-3
    counted = [np.where(intervened[:, j], 0, weights) for j in range(4)]
    tables = [np.repeat(x, count, axis=0) for count in counted]
    # Functions of columns are of one scale for all regressions.
    middle = np.mean([used.mean(axis=0) for used in tables], axis=0)
    scale = np.mean([mean_size(used - middle) for used in tables], axis=0)
    for j, used in enumerate(tables):
        parents = np.flatnonzero(graph[:, j])
        for k in parents:
            of = (used[:, k] - middle[k]) / scale[k]
            expected = slow_p_value(used, j, parents, of)
            assert found[j, k] == pytest.approx(expected, rel=1e-5)


def test_heavy_tails_are_no_dependence(x64):
    """In 1,000 tables of x -> y the test rejects about as often as it says."""
    key = jax.random.split(jax.random.key(0), 1000)
    graph = jnp.array([[False, True], [False, False]])

    @jax.jit
    @jax.vmap
    def p_value(key):
        x = jax.random.t(key, 3.0, (200, 2), dtype=float)
        problem = make_problem(x.at[:, 1].add(x[:, 0]))
        stats = linear_gaussian.statistics(problem, interventional=False)
        rows = linear_nongaussian.rows(problem, stats, interventional=False)
        correlation = sweep_operator.correlations(stats.covariance)
        tableaux = sweep_operator.sweep(correlation, graph)
        counts = jnp.full(2, 200.0)
        p = residual_independence.p_values(graph.T, tableaux, counts, rows)
        return p[1, 0]

    p = np.asarray(p_value(key))
    assert (p < 0.01).mean() < 0.015
    assert (p < 0.05).mean() < 0.06


def test_one_step_is_enough_to_look_at_the_noise(x64):
    problem = make_problem(table(4, 2, "uniform")[0])
    config = dataclasses.replace(SHAPES, num_steps=1)
    posterior, info = search(problem, config)
    assert info.nongaussian_evidence != 0
    found = -info.loss * NUM_ROWS

    def score(x, j, parents):
        price = PENALTY * np.log(len(x)) / 2
        return reference_log_likelihood(x, j, parents) - price * len(parents)

    assert found == pytest.approx(score_of(problem, posterior.graphs[0], score))
