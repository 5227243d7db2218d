"""Tests of conditional independence against numpy and scipy."""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from scipy import stats as laws
from scipy.optimize import minimize

from causaljax.core.problem import take_variables
from causaljax.core.types import Kind, Whole, make_problem
from causaljax.scores.independence import (
    contingency,
    kci,
    likelihood_ratio,
    null_laws,
    oracle,
    partial_correlation,
    rank_test,
    rcit,
    regression,
)


def asked(*tests, width=3):
    """Tests (x, y, z) as the arrays of a batch; rubbish where there is no z."""
    x, y, _ = (np.array(part, object) for part in zip(*tests, strict=True))
    z, used = np.zeros((len(tests), width), int), np.zeros((len(tests), width), bool)
    for k, (*_, given) in enumerate(tests):
        z[k, : len(given)], used[k, : len(given)] = given, True
        z[k, len(given) :] = x[k]
    return x.astype(int), y.astype(int), z, used


def all_tests(d, width=3):
    for x, y in itertools.combinations(range(d), 2):
        others = [k for k in range(d) if k not in (x, y)]
        for size in range(width + 1):
            for z in itertools.combinations(others, size):
                yield x, y, z


def normal_table(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ (np.eye(d) + 0.4 * rng.normal(size=(d, d)))


def prepared(prepare, problem, config, seed=0):
    return jax.jit(prepare)(jax.random.key(seed), problem, config)


def outcome_of(test, problem, tests, config=None, seed=0):
    """The outcome as numpy arrays, of a program that is compiled for the shapes."""
    config = test.config() if config is None else config
    stats = prepared(test.prepare, problem, config, seed)
    return jax.tree.map(np.asarray, jax.jit(test.p_values)(stats, *asked(*tests)))


# Laws


def test_tails_are_those_of_scipy(x64):
    statistic = np.concatenate([[0, 1e-3], np.geomspace(0.1, 3000, 40)])
    tails = jax.jit(null_laws.log_normal_tails)(statistic)
    np.testing.assert_allclose(
        tails, np.log(2) + laws.norm.logsf(statistic), rtol=1e-9, atol=1e-12
    )
    log_tail = jax.jit(null_laws.log_chi2_tail)
    dof = np.array([0.3, 1, 2, 3.5, 10, 64, 1000])[:, None]
    for factor in (0.01, 1, 1.3, 3):
        x = factor * dof
        np.testing.assert_allclose(
            log_tail(x, dof), laws.chi2.logsf(x, dof), rtol=1e-6, atol=1e-12
        )
    # Where scipy underflows: the integral of the density by its own expansion.
    x = np.array([1e3, 1e4, 1e5, 1e6])
    np.testing.assert_allclose(log_tail(x, np.full(4, 2.0)), -x / 2, rtol=1e-12)
    exact = np.log(2) + laws.norm.logsf(np.sqrt(x))
    np.testing.assert_allclose(log_tail(x, np.ones(4)), exact, rtol=1e-9)


def test_tails_join_smoothly():
    statistic = np.linspace(1, 600, 2000, dtype=np.float32)
    for dof in (1.0, 4.0, 50.0, 300.0):
        tails = np.asarray(jax.jit(null_laws.log_chi2_tail)(statistic, dof))
        assert np.isfinite(tails).all()
        assert (np.diff(tails) <= 0).all()
        exact = laws.chi2.logsf(statistic.astype(float), dof)
        np.testing.assert_allclose(tails, exact, rtol=1e-3, atol=1e-5)


def test_three_moments_give_the_law_of_weighted_chi_squares():
    @jax.jit
    def log_p(draws, traces):
        return null_laws.log_chi2_tail(
            *null_laws.weighted_chi2(draws, traces, jnp.asarray(True))
        )

    rng = np.random.default_rng(0)
    for weights in ([1.0], [3.0, 1, 0.2], 0.6 ** np.arange(20)):
        weights = np.array(weights, np.float32)
        draws = rng.chisquare(1, size=(200_000, len(weights))) @ weights
        traces = tuple((weights**k).sum() for k in (1, 2, 3))
        p = np.exp(log_p(draws.astype(np.float32), traces))
        for level in (0.05, 0.01, 0.001):
            assert abs((p < level).mean() - level) < 4 * np.sqrt(level / 200_000)


# Fisher's z


def fisher_z(x, tests):
    """By inverses of correlation matrices; statistics, dof, log p-values."""
    found = []
    for a, b, z in tests:
        inverse = np.linalg.inv(np.corrcoef(x[:, [a, b, *z]].T))
        r = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
        dof = len(x) - len(z) - 3
        statistic = np.sqrt(dof) * abs(np.arctanh(r))
        found.append((statistic, dof, np.log(2) + laws.norm.logsf(statistic)))
    return np.array(found).T


def assert_outcome(found, reference, rtol=1e-6):
    for name, exact in zip(("statistic", "dof", "log_p"), reference, strict=True):
        np.testing.assert_allclose(
            getattr(found, name), exact, rtol=rtol, atol=rtol, err_msg=name
        )


@pytest.mark.parametrize("name", ["FISHER_Z", "FISHER_Z_ROWS"])
def test_partial_correlations_are_those_of_inverses(name, x64):
    tests = list(all_tests(6))
    x = normal_table(40, 6) * [1, 1e-3, 1e4, 1, 1, 1] + [0, 0, 1e5, 0, 3, 0]
    test = getattr(partial_correlation, name)
    found = outcome_of(test, make_problem(x), tests)
    assert_outcome(found, fisher_z(x, tests))
    assert (found.rows == 40).all()
    # Weights count rows; rows of weight 0 and rows set from outside do not count.
    times = np.random.default_rng(1).integers(0, 4, 40)
    intervened = np.zeros(x.shape, bool)
    intervened[:5, 2] = True
    problem = make_problem(x, weight=times, intervened=intervened)
    found = outcome_of(test, problem, tests)
    times[:5] = 0
    assert_outcome(found, fisher_z(np.repeat(x, times, axis=0), tests))


def test_gaps_take_rows_from_the_tests_they_are_in(x64):
    tests = list(all_tests(5))
    x = normal_table(60, 5)
    observed = np.random.default_rng(1).random(x.shape) < 0.8
    problem = make_problem(np.where(observed, x, 9), observed=observed)
    found = outcome_of(partial_correlation.FISHER_Z_ROWS, problem, tests)
    pairwise = outcome_of(partial_correlation.FISHER_Z, problem, tests)
    for k, (a, b, z) in enumerate(tests):
        columns = [a, b, *z]
        rows = observed[:, columns].all(axis=1)
        one = type(found)(*(leaf[k] for leaf in found))
        exact = fisher_z(x[rows], [tests[k]])[:, 0]
        assert_outcome(one, exact)
        pairs = itertools.combinations(columns, 2)
        least = min(observed[:, pair].all(axis=1).sum() for pair in pairs)
        assert pairwise.rows[k] == least
        if not z:
            np.testing.assert_allclose(pairwise.log_p[k], exact[2])


@pytest.mark.parametrize("name", ["FISHER_Z", "FISHER_Z_ROWS"])
def test_singular_columns_have_an_answer(name):
    x = normal_table(50, 5).astype(np.float32)
    x[:, 1] = 7.1  # constant
    x[:, 3] = 2 * x[:, 2] - 1  # a copy
    tests = [
        (0, 1, ()),
        (0, 4, (1,)),
        (0, 4, ()),
        (2, 4, (3,)),
        (0, 4, (2, 3)),
        (0, 4, (2,)),
        (2, 3, ()),
    ]
    found = outcome_of(getattr(partial_correlation, name), make_problem(x), tests)
    assert np.isfinite(np.concatenate(found)).all()
    for k in (0, 3):
        assert found.statistic[k] == 0
        assert found.log_p[k] == 0
    # What is constant or known already leaves the correlation as it is.
    root = np.sqrt(found.dof)
    np.testing.assert_allclose(
        found.statistic[1] / root[1], found.statistic[2] / root[2]
    )
    np.testing.assert_allclose(
        found.statistic[4] / root[4], found.statistic[5] / root[5], rtol=1e-3
    )
    assert -3000 < found.log_p[6] < -1000
    few = outcome_of(getattr(partial_correlation, name), make_problem(x[:4]), tests)
    assert (few.log_p[3:6] == 0).all()  # no degree of freedom is left


def test_whole_tables_answer_for_their_samples(x64):
    x = normal_table(300, 4)
    whole = Whole(rows=300.0, covariance=jnp.asarray(np.cov(x.T, bias=True)))
    problem = make_problem(x[:10])._replace(whole=whole)
    tests = list(all_tests(4))
    found = outcome_of(partial_correlation.FISHER_Z, problem, tests)
    assert_outcome(found, fisher_z(x, tests))


# Contingency tables


def class_table(n, d, seed=0, most=4):
    """Classes that depend on one another, of 2 to ``most`` values each."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 12, (n, d))
    x[:, 1:] += rng.integers(0, 2, (n, d - 1)) * x[:, :-1]
    return x % rng.integers(2, most + 1, d) * rng.choice([1, -3], d) + 0.5


def table_test(x, a, b, z, pearson):
    """By a loop over the configurations that occur."""
    statistic, dof = 0.0, 0
    for given in np.unique(x[:, z], axis=0):
        part = x[(x[:, z] == given).all(axis=1)]
        rows, columns = np.unique(part[:, a]), np.unique(part[:, b])
        dof += (len(rows) - 1) * (len(columns) - 1)
        for i, j in itertools.product(rows, columns):
            count = ((part[:, a] == i) & (part[:, b] == j)).sum()
            expected = (part[:, a] == i).sum() * (part[:, b] == j).sum() / len(part)
            if pearson:
                statistic += (count - expected) ** 2 / expected
            elif count:
                statistic += 2 * count * np.log(count / expected)
    return (statistic, dof, laws.chi2.logsf(statistic, dof)) if dof else (0, 0, 0)


@pytest.mark.parametrize("name", ["G_SQUARED", "CHI_SQUARED"])
def test_contingency_tables_are_those_of_a_loop(name, x64):
    tests = [*all_tests(5), (0, 1, (2, 3, 4))]
    x = class_table(60, 5)
    observed = np.random.default_rng(1).random(x.shape) < 0.9
    times = np.random.default_rng(2).integers(0, 4, 60)
    problem = make_problem(x, observed=observed, weight=times)
    found = outcome_of(getattr(contingency, name), problem, tests)
    reference = []
    for a, b, z in tests:
        rows = times * observed[:, [a, b, *z]].all(axis=1)
        part = np.repeat(x, rows, axis=0)
        reference.append(table_test(part, a, b, list(z), name == "CHI_SQUARED"))
    assert_outcome(found, np.transpose(reference))
    assert found.rows.min() < found.rows.max()


def test_configurations_may_be_more_than_rows(x64):
    tests = [(0, 5, (1, 2, 3, 4)), (5, 0, (4, 2, 1)), (2, 3, ())]
    x = class_table(50, 6, most=6)
    config = contingency.Config(most_classes=6)
    test = contingency.G_SQUARED
    stats = prepared(test.prepare, make_problem(x), config)

    found = jax.jit(test.p_values)(stats, *asked(*tests, width=4))
    reference = [table_test(x, a, b, list(z), False) for a, b, z in tests]
    assert_outcome(found, np.transpose(reference))


def test_classes_without_room_are_put_together():
    x = np.stack([np.arange(40.0) % 7, np.arange(40) // 3 % 2], axis=1)
    config = contingency.Config(most_classes=3)
    found = outcome_of(contingency.G_SQUARED, make_problem(x), [(0, 1, ())], config)
    together = outcome_of(
        contingency.G_SQUARED, make_problem(np.minimum(x, 2)), [(0, 1, ())], config
    )
    assert found.statistic == together.statistic > 0
    assert found.dof == 2


# Oracles


def random_dag(rng, d, density):
    order = rng.permutation(d)
    graph = np.zeros((d, d), bool)
    graph[np.ix_(order, order)] = np.triu(rng.random((d, d)) < density, 1)
    return graph


def test_d_separation_is_that_of_networkx():
    rng = np.random.default_rng(0)
    tests = list(all_tests(5))
    problem = make_problem(np.zeros((2, 5), np.float32))
    test = oracle.D_SEPARATION

    @jax.jit
    def log_p(graph, selected):
        config = oracle.GraphConfig(graph=graph, selected=selected)
        stats = test.prepare(None, problem, config)
        return test.p_values(stats, *asked(*tests)).log_p

    for k in range(60):
        graph = random_dag(rng, 7, rng.choice([0.2, 0.4, 0.6]))
        selected = np.zeros(7, bool)
        selected[6] = k % 2  # and variable 5 is hidden
        found = np.asarray(log_p(graph, selected))
        dag = nx.from_numpy_array(graph, create_using=nx.DiGraph)
        always = set(np.flatnonzero(selected))
        exact = [nx.is_d_separator(dag, {a}, {b}, {*z} | always) for a, b, z in tests]
        np.testing.assert_array_equal(found == 0, exact)
        assert np.isfinite(found).all()
        assert (np.exp(found) == exact).all()


def test_vanishing_correlations_are_d_separations(x64):
    rng = np.random.default_rng(0)
    tests = list(all_tests(5))
    problem = make_problem(np.zeros((2, 5)))

    def config_of(weights):
        inverse = np.linalg.inv(np.eye(5) - weights)
        return oracle.CovarianceConfig(covariance=inverse.T @ inverse)

    for _ in range(10):
        graph = random_dag(rng, 5, 0.5)
        weights = graph * rng.uniform(0.5, 1, (5, 5)) * rng.choice([-1, 1], (5, 5))
        separated = outcome_of(
            oracle.D_SEPARATION, problem, tests, oracle.GraphConfig(graph=graph)
        )
        vanishing = outcome_of(
            oracle.VANISHING_CORRELATION, problem, tests, config_of(weights)
        )
        np.testing.assert_array_equal(vanishing.log_p, separated.log_p)
    # 0 -> 1 -> 2 and 0 -> 2 cancel each other: there a covariance sees no edge.
    weights = np.zeros((5, 5))
    weights[0, 1], weights[1, 2], weights[0, 2] = 0.5, 0.8, -0.4
    found = outcome_of(
        oracle.VANISHING_CORRELATION,
        problem,
        [(0, 2, ()), (0, 2, (1,))],
        config_of(weights),
    )
    assert found.p.tolist() == [1, 0]


# Likelihood ratios


def mixed_table(n, seed=0):
    """Three columns of classes and two numbers, and their kinds."""
    rng = np.random.default_rng(seed)
    classes = class_table(n, 3, seed)
    numbers = rng.normal(size=(n, 2)) + 0.3 * classes[:, :2]
    kind = [Kind.CATEGORICAL] * 3 + [Kind.CONTINUOUS] * 2
    return np.concatenate([classes, numbers], axis=1), kind


def columns_of(x, kind):
    """The columns of each variable: indicators of all classes but one, or itself."""
    return [
        np.stack([x[:, k] == value for value in np.unique(x[:, k])[1:]], axis=1) * 1.0
        if kind[k] == Kind.CATEGORICAL
        else x[:, [k]]
        for k in range(x.shape[1])
    ]


def likelihood_ratio_test(blocks, a, b, z):
    def log_det(*variables):
        if not variables:
            return 0.0
        columns = np.concatenate([blocks[k] for k in variables], axis=1)
        return np.linalg.slogdet(np.atleast_2d(np.cov(columns.T)))[1]

    ratio = log_det(a, *z) + log_det(b, *z) - log_det(a, b, *z) - log_det(*z)
    num_a, num_b, num_z = (
        sum(blocks[k].shape[1] for k in variables) for variables in ([a], [b], z)
    )
    dof = num_a * num_b
    statistic = (len(blocks[0]) - 1 - num_z - (num_a + num_b + 1) / 2) * ratio
    return statistic, dof, laws.chi2.logsf(statistic, dof)


def test_likelihood_ratios_are_those_of_determinants(x64):
    tests = list(all_tests(5))
    x, kind = mixed_table(200)
    times = np.random.default_rng(1).integers(0, 3, 200)
    observed = np.random.default_rng(2).random(x.shape) < 0.98
    problem = make_problem(x, kind=kind, weight=times, observed=observed)
    config = likelihood_ratio.Config(most_classes=4)
    test = likelihood_ratio.DEGENERATE_GAUSSIAN
    found = outcome_of(test, problem, tests, config)
    blocks = columns_of(np.repeat(x, times * observed.all(axis=1), axis=0), kind)
    reference = [likelihood_ratio_test(blocks, *asked) for asked in tests]
    assert_outcome(found, np.transpose(reference), rtol=1e-4)


def test_classes_that_determine_one_another_have_an_answer():
    x, kind = mixed_table(200)
    x[:, 2] = x[:, 1] > x[:, 1].mean()  # determined by variable 1
    problem = make_problem(x.astype(np.float32), kind=kind)
    config = likelihood_ratio.Config(most_classes=4)
    tests = [(2, 3, (1,)), (1, 3, (2,)), (1, 2, ()), (0, 3, (1, 2)), (0, 3, (1,))]
    test = likelihood_ratio.DEGENERATE_GAUSSIAN
    found = outcome_of(test, problem, tests, config)
    assert np.isfinite(np.concatenate(found)).all()
    assert (found.dof[0], found.log_p[0]) == (0, 0)
    assert found.dof[1] == len(np.unique(x[:, 1])) - 2
    assert found.log_p[2] < -300
    np.testing.assert_allclose(found.log_p[3], found.log_p[4], rtol=1e-2)


# Regressions

REGRESSIONS = regression.Config(most_classes=4)


def greatest_likelihood(codes, design):
    """Of a multinomial logistic regression, by scipy."""
    num = codes.max() + 1

    def loss(slopes):
        odds = np.concatenate(
            [np.zeros((len(design), 1)), design @ slopes.reshape(-1, num - 1)], axis=1
        )
        log_p = odds - np.logaddexp.reduce(odds, axis=1, keepdims=True)
        error = np.exp(log_p) - (codes[:, None] == np.arange(num))
        value = -log_p[np.arange(len(codes)), codes].sum()
        return value, (design.T @ error[:, 1:]).ravel()

    start = np.zeros(design.shape[1] * (num - 1))
    return -minimize(loss, start, jac=True, options={"gtol": 1e-7}).fun


def regression_test(x, kind, a, b, z):
    blocks = columns_of(x, kind)
    one = np.ones((len(x), 1))

    def direction(target, other):
        less = np.concatenate([one] + [blocks[k] for k in z], axis=1)
        more = np.concatenate([less, blocks[other]], axis=1)
        dof = blocks[other].shape[1]
        if kind[target] == Kind.CATEGORICAL:
            codes = np.unique(x[:, target], return_inverse=True)[1]
            values = [greatest_likelihood(codes, design) for design in (less, more)]
            statistic, dof = 2 * (values[1] - values[0]), dof * codes.max()
        else:
            left = [
                np.linalg.lstsq(design, x[:, target])[1][0] for design in (less, more)
            ]
            statistic = len(x) - less.shape[1] - dof / 2 - 1
            statistic = statistic * np.log(left[0] / left[1])
        return laws.chi2.logsf(statistic, dof), statistic, dof

    first, second = sorted([direction(a, b), direction(b, a)])
    return *first[1:], min(np.log(2) + first[0], second[0])


def test_regressions_are_those_of_scipy(x64):
    tests = [*all_tests(5, width=1), (0, 1, (2, 3)), (0, 4, (1, 3)), (3, 4, (0, 2))]
    x, kind = mixed_table(200)
    times = np.random.default_rng(1).integers(0, 3, 200)
    observed = np.random.default_rng(2).random(x.shape) < 0.95
    problem = make_problem(
        np.where(observed, x, 9), kind=kind, weight=times, observed=observed
    )
    found = outcome_of(regression.REGRESSION, problem, tests, REGRESSIONS)
    reference = []
    for a, b, z in tests:
        rows = times * observed[:, [a, b, *z]].all(axis=1)
        reference.append(regression_test(np.repeat(x, rows, axis=0), kind, a, b, z))
    assert_outcome(found, np.transpose(reference), rtol=1e-5)


# Kernels


def three_moments(statistic, weights):
    """The p-value's logarithm, by the moments of a sum of weighted chi-squares."""
    first, second, third = (
        factor * (weights**k).sum() for k, factor in ((1, 1), (2, 2), (3, 8))
    )
    dof = 8 * second**3 / third**2
    statistic = dof + np.sqrt(2 * dof / second) * (statistic - first)
    return max(statistic, 0), dof, laws.chi2.logsf(statistic, dof)


def kernel_test(x, a, b, z, ridge=1e-3):
    """KCI by dense matrices and eigenvalues; HSIC without conditioning variables."""
    n = len(x)
    x = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    centre = np.eye(n) - 1 / n

    def kernel(columns, width):
        squares = ((columns[:, None] - columns[None]) ** 2).sum(axis=2)
        return centre @ np.exp(-squares / 2 / width**2) @ centre

    if not z:
        of_a, of_b = kernel(x[:, [a]], 0.8), kernel(x[:, [b]], 0.8)
        products = np.multiply.outer(np.linalg.eigvalsh(of_a), np.linalg.eigvalsh(of_b))
        return three_moments((of_a * of_b).sum(), products.ravel() / n)
    width = 1.2 * np.sqrt(len(z))
    of_a = kernel(np.concatenate([x[:, [a]], x[:, z] / 2], axis=1), width)
    of_b, of_z = kernel(x[:, [b]], width), kernel(x[:, z], width)
    residual = ridge * np.linalg.inv(of_z + ridge * np.eye(n))
    of_a, of_b = residual @ of_a @ residual, residual @ of_b @ residual
    square = centre @ residual @ residual
    share = np.trace(square @ square) / (np.diag(square) ** 2).sum()
    weights = np.linalg.eigvalsh(of_a * of_b) * share
    return three_moments((of_a * of_b).sum(), weights)


def by_place(place, tests):
    """The tests with the variable first that an order without labels has first."""
    return [(*sorted(pair, key=lambda k: place[k]), z) for *pair, z in tests]


def curved_table(n, d, seed=0):
    x = normal_table(n, d, seed)
    x[:, 1:] += np.sin(2 * x[:, :-1])
    return x


def test_kernel_tests_are_those_of_dense_matrices(x64):
    tests = [(0, 1, ()), (3, 1, ()), (1, 0, (2,)), (0, 3, (1, 2)), (2, 3, (0,))]
    x = curved_table(60, 4)
    times = np.random.default_rng(1).integers(0, 3, 60)
    problem = make_problem(x, weight=times)
    config = kci.Config(rank=80)
    found = outcome_of(kci.KCI, problem, tests, config)
    place = np.asarray(prepared(kci.prepare, problem, config).place)
    x = np.repeat(x, times, axis=0)
    reference = [kernel_test(x, a, b, list(z)) for a, b, z in by_place(place, tests)]
    assert_outcome(found, np.transpose(reference), rtol=1e-4)
    unconditional = jax.jit(kci.p_values)(
        prepared(kci.prepare, problem, config), *asked(*tests[:2], width=0)
    )
    np.testing.assert_allclose(unconditional.log_p, found.log_p[:2])


def features_test(x, agreed, a, b, z, augmented):
    """RCIT and RCoT by regression on the same features, and by eigenvalues."""
    x = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    n, few = len(x), len(agreed.few)

    def features(values, variables, part):
        width = np.sqrt((agreed.width[variables] ** 2).sum())
        angles = values @ agreed.frequencies[variables, part] / width
        found = np.cos(angles + agreed.phases[part])
        return (found - found.mean(axis=0)) / found.std(axis=0, ddof=1)

    of_z, of_b, taken = np.zeros((n, 0)), x[:, b], 0
    if z:
        of_z = features(x[:, z], z, slice(2 * few, None))[:, : -(-n // 4)]
    gram = of_z.T @ of_z / (n - 1)
    ridged = gram + agreed.ridge * np.eye(len(gram))

    def slopes(features):
        return np.linalg.solve(ridged, of_z.T @ features) / (n - 1)

    if z:
        left = of_b - of_z @ slopes(of_b)
        of_b = left / np.sqrt(of_b @ left / (n - 1))
        taken = np.trace(np.linalg.solve(ridged, gram))
    more = [b, *z] if augmented else [b]
    of_b = np.concatenate([of_b[:, None], x[:, more[1:]]], axis=1)
    of_a = features(x[:, [a]], [a], slice(0, few))
    of_b = features(of_b, more, slice(few, 2 * few))
    left = of_a.T @ (of_b - of_z @ slopes(of_b)) / (n - 1)
    of_a, of_b = of_a - of_z @ slopes(of_a), of_b - of_z @ slopes(of_b)
    statistic = n * (left**2).sum()
    products = (of_a[:, :, None] * of_b[:, None, :]).reshape(n, -1)
    second = products.T @ products / (n - 1 - taken)
    return three_moments(statistic, np.linalg.eigvalsh(second))


FEATURES = rcit.Config(num_features=3, num_given=12, ridge=1e-6)


@pytest.mark.parametrize("name", ["RCIT", "RCOT"])
def test_feature_tests_are_those_of_regressions(name, x64):
    tests = [(0, 1, ()), (1, 0, (2,)), (0, 3, (1, 2)), (2, 3, (0, 1))]
    x = curved_table(100, 4)
    times = np.random.default_rng(1).integers(0, 3, 100)
    problem = make_problem(x, weight=times)
    test = getattr(rcit, name)
    found = outcome_of(test, problem, tests, FEATURES)
    agreed = jax.tree.map(np.asarray, prepared(rcit.agree, problem, FEATURES))
    x = np.repeat(x, times, axis=0)
    reference = [
        features_test(x, agreed, a, b, list(z), name == "RCIT")
        for a, b, z in by_place(agreed.place, tests)
    ]
    assert_outcome(found, np.transpose(reference), rtol=1e-4)
    other = outcome_of(test, problem, tests, FEATURES, seed=1)
    assert (other.log_p != found.log_p).all()


def test_tables_that_stay_apart_answer_as_one(x64):
    tests = asked((0, 1, ()), (1, 0, (2,)), (0, 3, (1, 2)))
    x = curved_table(90, 4)
    problem = make_problem(x)
    agreed = prepared(rcit.agree, problem, FEATURES)
    parts = [rcit.read(agreed, make_problem(part)) for part in np.split(x, 3)]

    @jax.jit
    def apart(parts):
        rounds = [rcit.explain(part, *tests) for part in parts]
        given, of_y = (a + b + c for a, b, c in zip(*rounds, strict=True))
        rounds = [
            rcit.moments(part, given, of_y, *tests, augmented=True) for part in parts
        ]
        second = rounds[0] + rounds[1] + rounds[2]
        rounds = [
            rcit.products(part, given, of_y, second, *tests, augmented=True)
            for part in parts
        ]
        third = rounds[0] + rounds[1] + rounds[2]
        return rcit.outcome(given, second, third, agreed, *tests[:2])

    pooled = jax.jit(rcit.p_values)(rcit.read(agreed, problem), *tests)
    for one, other in zip(apart(parts), pooled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


# Ranks


def test_ranks_are_those_of_canonical_correlations(x64):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(200, 2))
    x = hidden @ rng.normal(size=(2, 6)) + rng.normal(size=(200, 6))
    x[:, 5] = x[:, 3] - x[:, 4]
    stats = prepared(
        partial_correlation.prepare, make_problem(x), partial_correlation.Config()
    )
    left = np.array([[0, 1, 2]] * 4)
    right = np.array([[3, 4, 5]] * 4)
    used = np.ones((4, 3), bool)
    fewer = used.copy()
    fewer[3, 2] = False
    rank = np.array([0, 1, 2, 1])
    found = jax.jit(rank_test.p_values)(stats, left, fewer, right, used, rank)
    for k, (sets, r) in enumerate(zip(([0, 1, 2],) * 3 + ([0, 1],), rank, strict=True)):
        bases = [
            np.linalg.qr(x[:, part] - x[:, part].mean(axis=0))[0]
            for part in (sets, [3, 4])  # variable 5 is determined by these
        ]
        c = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
        factor = 200 - 1 - r - (len(sets) + 3) / 2 + (c[:r] ** -2).sum()
        statistic, dof = (
            -factor * np.log1p(-(c[r:] ** 2)).sum(),
            (len(sets) - r) * (2 - r),
        )
        one = type(found)(*(leaf[k] for leaf in found))
        log_p = laws.chi2.logsf(statistic, dof) if dof else 0
        assert_outcome(one, (statistic, dof, log_p))


# Laws of all tests

CHAIN = np.eye(5, k=1, dtype=bool)
ALL = {
    "fisher_z": (partial_correlation.FISHER_Z, partial_correlation.Config()),
    "fisher_z_rows": (partial_correlation.FISHER_Z_ROWS, partial_correlation.Config()),
    "g_squared": (contingency.G_SQUARED, contingency.Config(most_classes=4)),
    "chi_squared": (contingency.CHI_SQUARED, contingency.Config(most_classes=4)),
    "degenerate_gaussian": (
        likelihood_ratio.DEGENERATE_GAUSSIAN,
        likelihood_ratio.Config(most_classes=4),
    ),
    "regression": (regression.REGRESSION, REGRESSIONS),
    "kci": (kci.KCI, kci.Config(rank=32)),
    "rcit": (rcit.RCIT, FEATURES),
    "rcot": (rcit.RCOT, FEATURES),
}


@pytest.mark.parametrize("name", ALL)
def test_an_answer_depends_on_the_table_and_the_test_only(name, x64):
    test, config = ALL[name]
    x, kind = mixed_table(48)
    tests = [(0, 3, ()), (0, 1, (3,)), (3, 4, (0, 1)), (4, 2, (1, 3)), (1, 4, (2,))]

    @jax.jit
    def answer(problem, *tests):
        return test.p_values(test.prepare(jax.random.key(0), problem, config), *tests)

    def assert_same(problem, *tests):
        for one, other in zip(answer(problem, *tests), first, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)

    rubbish = np.random.default_rng(1).normal(size=(10, 5))
    behind = np.concatenate([x, 0 * rubbish])
    before = np.concatenate([rubbish, x])
    weight = np.repeat([1.0, 0.0], [48, 10])
    problem = make_problem(behind, weight=weight, kind=kind)
    a, b, z, used = asked(*tests, width=2)
    first = answer(problem, a, b, z, used)
    assert np.isfinite(np.concatenate(first)).all()
    assert (first.log_p <= 0).all()
    assert (first.rows == 48).all()
    # Rows that do not count.
    assert_same(make_problem(before, weight=weight[::-1], kind=kind), a, b, z, used)
    # The same tests said otherwise, and beside others.
    swapped = np.where(used.all(axis=1)[:, None], z[:, ::-1], z)
    assert_same(problem, b, a, np.where(used, swapped, 4), used)
    order = np.array([3, 1, 1, 0, 2])
    again = answer(problem, a[order], b[order], z[order], used[order])
    np.testing.assert_allclose(again.log_p, first.log_p[order], rtol=1e-9)
    # No room for conditioning variables.
    alone = answer(problem, a[:1], b[:1], z[:1, :0], used[:1, :0])
    np.testing.assert_allclose(alone.log_p, first.log_p[:1], rtol=1e-5, atol=1e-7)
    # Variables in other places.
    order = np.array([2, 4, 0, 1, 3])
    moved = np.argsort(order)
    assert_same(take_variables(problem, order), moved[a], moved[b], moved[z], used)


@pytest.mark.parametrize("name", ALL)
def test_constant_columns_are_independent_of_all(name):
    test, config = ALL[name]
    x, kind = mixed_table(48)
    x[:, 1] = 1.1
    x[:, 4] = 3.3
    tests = [(1, 3, ()), (4, 3, ()), (4, 0, (2,)), (3, 4, (1, 2)), (1, 4, (0,))]
    problem = make_problem(x.astype(np.float32), kind=kind)
    found = outcome_of(test, problem, tests, config)
    assert (found.log_p == 0).all()
    assert (found.statistic == 0).all()
    empty = problem._replace(weight=0 * problem.weight)
    found = outcome_of(test, empty, tests, config)
    assert (found.log_p == 0).all()
    assert np.isfinite(np.concatenate(found)).all()


SHAPES = {  # what may be wrong with a column
    "plain": lambda rng, x, k: x[:, k],
    "constant": lambda rng, x, k: np.full(len(x), 7.1),
    "copy": lambda rng, x, k: x[:, k - 1],
    "line": lambda rng, x, k: 3 - 1e3 * x[:, k - 1],
    "classes": lambda rng, x, k: rng.integers(0, 9, len(x)) / 3,
    "flag": lambda rng, x, k: x[:, k - 1] > 0,
    "outlier": lambda rng, x, k: np.where(np.arange(len(x)) == 11, 1e6, x[:, k]),
    "large": lambda rng, x, k: 1e30 * x[:, k],
    "small": lambda rng, x, k: 1e-30 * x[:, k],
    "far": lambda rng, x, k: x[:, k] + 1e6,
    "gap": lambda rng, x, k: x[:, k],
}
ASKED = list(all_tests(4, width=2))


@functools.cache
def answers(name):
    test, config = ALL[name]

    @jax.jit
    def answer(problem):
        stats = test.prepare(jax.random.key(0), problem, config)
        return test.p_values(stats, *asked(*ASKED, width=2))

    return answer


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "kci")) for name in ALL],
)
@hypothesis.given(
    shapes=st.lists(st.sampled_from(sorted(SHAPES)), min_size=4, max_size=4),
    weights=st.sampled_from(["all", "some", "few", "one", "none", "many"]),
    marks=st.sampled_from(["none", "gaps", "settings", "all set"]),
    kinds=st.lists(st.sampled_from(list(Kind)), min_size=4, max_size=4),
    seed=st.integers(0, 99),
)
@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
def test_any_finite_table_has_a_finite_answer(
    name, shapes, weights, marks, kinds, seed
):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 4)) @ (np.eye(4) + rng.normal(size=(4, 4)))
    for k, shape in enumerate(shapes):
        x[:, k] = SHAPES[shape](rng, x, k)
    number = {"all": 30, "some": 20, "few": 4, "one": 1, "none": 0, "many": 30}[weights]
    weight = (rng.permutation(30) < number) * (1e3 if weights == "many" else 1.0)
    cells = rng.random(x.shape) < {"gaps": 0.2, "settings": 0.2}.get(marks, 0)
    observed = ~cells if marks == "gaps" else np.ones(x.shape, bool)
    observed[:, [shape == "gap" for shape in shapes]] = False
    set_cells = cells & (marks == "settings") | (marks == "all set")
    problem = make_problem(
        np.where(observed, x, 0).astype(np.float32),
        observed=observed,
        intervened=set_cells,
        weight=weight.astype(np.float32),
        kind=kinds,
    )
    found = answers(name)(problem)
    assert np.isfinite(np.concatenate(found)).all()
    assert (np.asarray(found.log_p) <= 0).all()
    assert (np.asarray(found.statistic) >= 0).all()
    counted = (weight > 0) & ~set_cells.any(axis=1)
    for k, (a, b, _) in enumerate(ASKED):
        ends = [x[counted & observed[:, end], end] for end in (a, b)]
        if any(len(np.unique(end.astype(np.float32))) < 2 for end in ends):
            assert found.log_p[k] == 0


@pytest.mark.parametrize("name", ALL)
def test_rows_with_gaps_or_settings_do_not_count(name):
    """Gaps are in variable 3 alone: of which tests do they take rows?"""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)) + rng.integers(0, 2, (30, 1))
    kind = [Kind.CONTINUOUS, Kind.BINARY, Kind.CONTINUOUS, Kind.CONTINUOUS]
    x[:, 1] = x[:, 1] > np.median(x[:, 1])
    if name in ("g_squared", "chi_squared"):
        x = np.round(x)
    x, rows = x.astype(np.float32), rng.random(30) < 0.3
    cells = rows[:, None] & (np.arange(4) == 3)[None]

    def log_p(**marks):
        return np.asarray(answers(name)(make_problem(x, kind=kind, **marks)).log_p)

    whole, without = log_p(), log_p(weight=(~rows).astype(np.float32))
    assert not np.allclose(whole, without)
    np.testing.assert_allclose(log_p(intervened=cells), without, rtol=1e-5)
    gaps = log_p(observed=~cells)
    concerned = np.array([3 in (a, b, *z) for a, b, z in ASKED])
    if name in ("degenerate_gaussian", "kci", "rcit", "rcot"):
        np.testing.assert_allclose(gaps, without, rtol=1e-5)
    else:
        np.testing.assert_allclose(gaps[~concerned], whole[~concerned], rtol=1e-4)
        if name != "fisher_z":
            np.testing.assert_allclose(gaps[concerned], without[concerned], rtol=1e-3)
    twice = log_p(weight=np.full(30, 2, np.float32))
    assert (twice <= whole + 1e-5).mean() > 0.8


@pytest.mark.parametrize("name", ALL)
def test_copies_depend_on_each_other_and_on_nothing_else_given_each_other(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)) + rng.normal(size=(30, 1))
    if name in ("g_squared", "chi_squared"):
        x = np.round(x)
    x[:, 1] = x[:, 0]
    log_p = answers(name)(make_problem(x.astype(np.float32))).log_p
    log_p = dict(zip(ASKED, np.asarray(log_p), strict=True))
    for z in [(), (2,), (3,)]:
        assert log_p[0, 1, z] < np.log(0.01)
    for test in [(0, 2, (1,)), (0, 3, (1, 2)), (1, 3, (0,))]:
        assert log_p[test] > np.log(0.05), test
