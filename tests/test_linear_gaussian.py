import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.core.types import make_problem
from causaljax.scores import bge, linear_gaussian

NUM_ROWS, D = 50, 4


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_ROWS, D)) @ rng.normal(size=(D, D)) + [0, 5, -3, 100]
    return {
        "x": x.astype(np.float32),
        "observed": rng.random((NUM_ROWS, D)) < 0.95,
        "intervened": rng.random((NUM_ROWS, D)) < 0.2,
        "weight": rng.integers(0, 4, NUM_ROWS).astype(np.float32),
    }


@functools.cache
def compiled(interventional):
    function = functools.partial(
        linear_gaussian.statistics, interventional=interventional
    )
    return jax.jit(function)


def statistics(table, interventional=True):
    return compiled(interventional)(make_problem(**table))


def repeated(table, target=None):
    """The rows as numpy would take them: whole, informative, once a weight unit."""
    count = table["weight"].astype(int) * table["observed"].all(axis=1)
    if target is not None:
        count = count * ~table["intervened"][:, target]
    return np.repeat(table["x"].astype(float), count, axis=0)


def assert_close(actual, expected, tolerance=1e-4):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


def test_each_variable_has_the_covariance_of_its_own_rows(table):
    stats = statistics(table)
    everything = len(repeated(table))
    for j in range(D):
        rows = repeated(table, j)
        assert 10 < len(rows) < everything
        assert_close(stats.covariance[j], np.cov(rows.T, bias=True))
        assert stats.share[j] == pytest.approx(len(rows) / everything)


def test_one_covariance_serves_a_table_without_interventions(table):
    table |= {"intervened": None}
    one, each = statistics(table, interventional=False), statistics(table)
    assert one.covariance.shape == (1, D, D)
    assert_close(one.covariance[0], np.cov(repeated(table).T, bias=True))
    np.testing.assert_allclose(each.covariance, np.repeat(one.covariance, D, axis=0))
    np.testing.assert_allclose(one.share, [1])


def test_a_broken_promise_of_no_interventions_is_nan(table):
    stats = statistics(table, interventional=False)
    assert np.isnan(stats.covariance).all()
    assert np.isnan(stats.share).all()


def test_an_intervention_in_padding_breaks_no_promise(table):
    padding = np.arange(NUM_ROWS) < 5
    table |= {
        "intervened": np.tile(padding[:, None], (1, D)),
        "weight": np.where(padding, 0, table["weight"]),
    }
    stats = statistics(table, interventional=False)
    assert_close(stats.covariance[0], np.cov(repeated(table).T, bias=True))


def test_rows_without_weight_or_with_gaps_may_hold_anything(table):
    unused = (table["weight"] == 0) | ~table["observed"].all(axis=1)
    assert unused.sum() > 5
    garbage = table | {"x": np.where(unused[:, None], np.float32(1e20), table["x"])}
    for one, other in zip(statistics(garbage), statistics(table), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_variable_set_in_every_row_counts_for_nothing(table):
    table["intervened"][:, 2] = True
    stats = statistics(table)
    np.testing.assert_array_equal(stats.covariance[2], np.zeros((D, D)))
    assert stats.share[2] == 0
    assert (stats.share[np.array([0, 1, 3])] > 0.5).all()


def some_weights():
    weights = 0.3 * np.random.default_rng(1).normal(size=(D, D))
    np.fill_diagonal(weights, 0)
    return jnp.array(weights, jnp.float32)


def test_scores_follow_their_formulas(table):
    stats = statistics(table)
    weights = some_weights()
    rows = [repeated(table, j) for j in range(D)]
    contrast = np.eye(D) - np.asarray(weights, float)
    variances = np.array([(rows[j] @ contrast[:, j]).var() for j in range(D)])
    share = np.array(list(map(len, rows))) / len(repeated(table))
    assert_close(linear_gaussian.residual_variances(weights, stats), variances)
    assert_close(
        linear_gaussian.least_squares(weights, stats), 0.5 * (share * variances).sum()
    )
    log_det = np.linalg.slogdet(np.eye(D) - np.asarray(weights, float))[1]
    assert abs(log_det) > 0.01
    assert_close(
        linear_gaussian.profile_likelihood(weights, stats),
        0.5 * (share * np.log(variances)).sum() - log_det,
    )


def test_one_covariance_scores_as_many_equal_ones(table):
    table |= {"intervened": None}
    one, each = statistics(table, interventional=False), statistics(table)
    weights = some_weights()
    for score in (linear_gaussian.least_squares, linear_gaussian.profile_likelihood):
        np.testing.assert_allclose(score(weights, one), score(weights, each), rtol=1e-5)


def test_score_stays_finite_without_informative_rows(table):
    table["intervened"][:, 2] = True
    stats = statistics(table)
    function = jax.value_and_grad(linear_gaussian.profile_likelihood)
    value, gradient = function(some_weights(), stats)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@functools.cache
def compiled_coefficients():
    return jax.jit(linear_gaussian.coefficients)


@pytest.mark.parametrize("interventional", [True, False])
def test_coefficients_are_those_of_least_squares(table, interventional):
    if not interventional:
        table |= {"intervened": np.zeros((NUM_ROWS, D), bool)}
    graph = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    stats = statistics(table, interventional)
    found = compiled_coefficients()(jnp.array(graph), stats)
    expected = np.zeros((D, D))
    for j in range(D):
        rows = repeated(table, j)
        parents = rows[:, graph[:, j]] - rows[:, graph[:, j]].mean(axis=0)
        expected[graph[:, j], j] = np.linalg.lstsq(parents, rows[:, j])[0]
    assert_close(found, expected, 1e-3)
    np.testing.assert_array_equal(found == 0, ~graph)


def test_coefficients_do_not_depend_on_units(table):
    units = np.array([1e-6, 1, 1e5, 1e-2], np.float32)
    graph = jnp.array(np.triu(np.ones((D, D), bool), 1))
    found = compiled_coefficients()(graph, statistics(table))
    scaled = statistics(table | {"x": table["x"] * units})
    rescaled = compiled_coefficients()(graph, scaled) * units[:, None] / units[None, :]
    assert_close(rescaled, np.asarray(found), 1e-3)


def test_copies_among_the_parents_share_the_weight(table):
    x = table["x"].copy()
    x[:, 1] = x[:, 0]
    x[:, 2] = 7  # constant
    x[:, 3] = 2 * x[:, 0] + 0.01 * table["x"][:, 2]
    stats = statistics({"x": x})
    graph = np.zeros((D, D), bool)
    graph[:3, 3] = True
    found = np.asarray(compiled_coefficients()(jnp.array(graph), stats))
    assert np.isfinite(found).all()
    assert found[0, 3] == pytest.approx(found[1, 3], rel=0.05)
    assert found[0, 3] + found[1, 3] == pytest.approx(2, abs=0.05)
    # Units of a constant have no meaning: what it adds is nothing.
    assert found[2, 3] * x[:, 2].std() == pytest.approx(0, abs=1e-3)


def batched_factorisations(text):
    """Cholesky and LU calls of a lowered program whose matrices come in batches."""
    calls = re.findall(r"(?:stablehlo\.cholesky|@\w*(?:potrf|getrf)\w*).*", text)
    assert calls, "the program factorises nothing"
    return [call for call in calls if re.search(r"tensor<\d+x\d+x\d+xf", call)]


def test_no_two_batched_factorisations_can_wait_for_each_other():
    """Batches of them ran at once and stopped `fit` for ever on two cores."""
    problem = make_problem(np.random.default_rng(0).normal(size=(50, 4)))
    graph = jnp.triu(jnp.ones((4, 4), bool), 1)

    def coefficients(graph, problem):
        stats = linear_gaussian.statistics(problem, interventional=True)
        return linear_gaussian.coefficients(graph, stats)

    for function in (coefficients, bge.bge):
        text = jax.jit(function).lower(graph, problem).as_text()
        assert batched_factorisations(text) == []
    many = jax.vmap(jnp.linalg.cholesky)
    text = jax.jit(many).lower(jnp.stack([jnp.eye(4)] * 3)).as_text()
    assert batched_factorisations(text)
