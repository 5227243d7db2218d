"""Scores of linear models against numpy, over all DAGs of three and four variables."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as distributions
from scipy.special import multigammaln

from causaljax.core.types import make_problem
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import is_acyclic
from causaljax.scores import linear_gaussian, linear_nongaussian, sweep_operator
from causaljax.scores.bge import bge

NUM_ROWS = 30
PENALTY = 2.0


@functools.cache
def all_dags(d):
    """``[25, 3, 3]`` or ``[543, 4, 4]`` bool."""
    places = [(i, j) for i in range(d) for j in range(d) if i != j]
    graphs = np.zeros((2 ** len(places), d, d), bool)
    bits = np.array(list(itertools.product((0, 1), repeat=len(places))), bool)
    graphs[:, *np.transpose(places)] = bits
    return graphs[np.asarray(jax.jit(jax.vmap(is_acyclic))(graphs))]


def table(d, seed=0):
    """Rows with whole weights, a gap, and interventions on the last variable."""
    rng = np.random.default_rng([d, seed])
    x = rng.exponential(size=(NUM_ROWS, d)) @ rng.normal(size=(d, d)) + 3
    observed, intervened = np.ones((2, NUM_ROWS, d), bool)
    observed[4, 1] = False
    intervened[:-8] = False
    intervened[:, :-1] = False
    weight = rng.integers(0, 4, NUM_ROWS).astype(float)
    return make_problem(x, observed=observed, intervened=intervened, weight=weight)


def rows_of(problem, j, interventional=True):
    """The rows that inform variable j, once a weight unit."""
    use = np.asarray(problem.weight).astype(int) * np.asarray(problem.observed).all(
        axis=1
    )
    if interventional:
        use = use * ~np.asarray(problem.intervened)[:, j]
    return np.repeat(np.asarray(problem.x), use, axis=0)


def without_interventions(problem):
    return problem._replace(intervened=jnp.zeros_like(problem.intervened))


def residuals(x, j, parents):
    centred = x - x.mean(axis=0)
    solution = np.linalg.lstsq(centred[:, parents], centred[:, j], rcond=None)[0]
    return centred[:, j] - centred[:, parents] @ solution


def reference_bic(x, j, parents, penalty=PENALTY):
    n, parents = len(x), list(parents)
    variance = np.mean(residuals(x, j, parents) ** 2)
    return -n / 2 * np.log(variance) - penalty * np.log(n) / 2 * len(parents)


def reference_log_likelihood(x, j, parents):
    u = residuals(x, j, list(parents))
    u = u / u.std()
    even = np.mean(np.log(np.cosh(u))) - 0.37457
    odd = np.mean(u * np.exp(-(u**2) / 2))
    excess = len(x) * (79.047 * even**2 + 7.4129 * odd**2)
    return reference_bic(x, j, parents, penalty=0) + excess


def log_evidence(x, members, d):
    """Of the columns ``members`` of x under BGe, by the formula for whole sets."""
    n, size = len(x), len(members)
    alpha_mu, alpha_w = 1.0, d + 2
    x = x[:, members]
    prior = alpha_mu * (alpha_w - d - 1) / (alpha_mu + 1) * np.eye(size)
    mean = x.mean(axis=0)
    scatter = (x - mean).T @ (x - mean)
    shrunk = n * alpha_mu / (n + alpha_mu) * np.outer(mean, mean)
    before, after = (alpha_w - d + size) / 2, (alpha_w - d + size + n) / 2
    return (
        size / 2 * np.log(alpha_mu / (alpha_mu + n))
        - size * n / 2 * np.log(np.pi)
        + multigammaln(after, size)
        - multigammaln(before, size)
        + before * np.linalg.slogdet(prior)[1]
        - after * np.linalg.slogdet(prior + scatter + shrunk)[1]
        if size
        else 0.0
    )


def reference_bge(x, j, parents):
    d, parents = x.shape[1], list(parents)
    return log_evidence(x, [*parents, j], d) - log_evidence(x, parents, d)


def reference(local, problem, graphs, interventional=True):
    """Local scores of many graphs, each set of parents scored once."""
    d = graphs.shape[1]
    data = [rows_of(problem, j, interventional) for j in range(d)]
    score = functools.cache(lambda j, parents: local(data[j], j, parents))
    return np.array(
        [
            [score(j, tuple(np.flatnonzero(graph[:, j]))) for j in range(d)]
            for graph in graphs
        ]
    )


def bic(graph, problem):
    stats = linear_gaussian.statistics(problem, interventional=True)
    num_rows = linear_gaussian.num_rows(problem)
    return linear_gaussian.bic(graph, stats, num_rows, PENALTY)


SCORES = {
    "bic": (bic, reference_bic),
    "bge": (bge, reference_bge),
    "log_likelihood": (linear_nongaussian.log_likelihood, reference_log_likelihood),
}


def scores(name, problem, graphs):
    """``[b, d]`` of a stack of graphs, in one batch."""
    batched = jax.vmap(SCORES[name][0], in_axes=(0, None))
    return np.asarray(jax.jit(batched)(graphs, problem))


def test_there_are_as_many_dags_as_there_should_be():
    assert [len(all_dags(d)) for d in (3, 4)] == [25, 543]


@pytest.mark.parametrize("d", [3, 4])
@pytest.mark.parametrize("name", SCORES)
def test_scores_of_all_dags(name, d, x64):
    problem, graphs = table(d), all_dags(d)
    expected = reference(SCORES[name][1], problem, graphs)
    np.testing.assert_allclose(scores(name, problem, graphs), expected, rtol=1e-9)


@pytest.mark.parametrize("d", [3, 4])
@pytest.mark.parametrize("name", SCORES)
def test_only_negentropy_tells_the_members_of_a_class_apart(name, d, x64):
    graphs = all_dags(d)
    total = scores(name, without_interventions(table(d)), graphs).sum(axis=1)
    cpdags = np.asarray(jax.jit(jax.vmap(dag_to_cpdag))(graphs)).reshape(len(total), -1)
    _, classes = np.unique(cpdags, axis=0, return_inverse=True)
    classes = classes.reshape(-1)
    assert classes.max() + 1 == {3: 11, 4: 185}[d]
    spread = [np.ptp(total[classes == c]) for c in range(classes.max() + 1)]
    if name == "log_likelihood":
        assert max(spread) > 1
    else:
        assert max(spread) < 1e-6 * abs(total).min()
        # And different classes differ.
        firsts = np.sort([total[classes == c][0] for c in range(classes.max() + 1)])
        assert np.diff(firsts).min() > 1e-9 * abs(firsts).max()


def test_interventions_break_the_tie(x64):
    chain, reverse = np.zeros((2, 3, 3), bool)
    chain[0, 2], reverse[2, 0] = True, True
    for name in ("bic", "bge"):
        total = scores(name, table(3), np.stack([chain, reverse])).sum(axis=1)
        assert abs(total[0] - total[1]) > 1e-3


def test_bge_is_the_product_of_predictive_densities(x64):
    """Of all variables, in a full graph: row after row, given those before it."""
    d = 3
    problem = without_interventions(table(d, seed=1))
    mean, count, degrees, scale = np.zeros(d), 1.0, d + 2.0, np.eye(d) / 2
    expected = 0.0
    for row in rows_of(problem, 0):
        freedom = degrees - d + 1
        shape = scale * (count + 1) / (count * freedom)
        expected += distributions.multivariate_t.logpdf(row, mean, shape, freedom)
        offset = row - mean
        scale = scale + count / (count + 1) * np.outer(offset, offset)
        mean = mean + offset / (count + 1)
        count, degrees = count + 1, degrees + 1
    full = np.triu(np.ones((d, d), bool), 1)
    actual = scores("bge", problem, full[None]).sum()
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_degenerate_tables_have_finite_scores(name, x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 4))
    x[:, 1], x[:, 2] = x[:, 0], 3.0  # a copy, and a constant
    intervened = np.zeros((6, 4), bool)
    intervened[:, 3] = True  # never informative
    problem = make_problem(x, intervened=intervened)
    assert np.isfinite(scores(name, problem, all_dags(4))).all()


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_differentiable_in_the_table(name, x64):
    problem = table(3)
    graph = np.triu(np.ones((3, 3), bool), 1)
    direction = np.random.default_rng(0).normal(size=problem.x.shape)

    @jax.jit
    def along(t):
        moved = problem._replace(x=problem.x + t * direction)
        return SCORES[name][0](graph, moved).sum()

    slope = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(along)(0.0), slope, rtol=1e-5)


def test_toggling_a_parent_twice_is_nothing(x64):
    correlation = np.corrcoef(np.random.default_rng(0).normal(size=(20, 5)).T)
    there = sweep_operator.toggle(
        jnp.array(correlation), jnp.array(2), jnp.array(False)
    )
    np.testing.assert_allclose(there[2, 2], -1)
    assert not np.allclose(there, correlation)
    back = sweep_operator.toggle(there, jnp.array(2), jnp.array(True))
    np.testing.assert_allclose(back, correlation, atol=1e-12)
