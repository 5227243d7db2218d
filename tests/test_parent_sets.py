"""Weights of parent sets, against scores of one set at a time."""

import itertools
import math

import jax
import numpy as np
import pytest

from causaljax.core.types import Kind, make_problem
from causaljax.scores import bge, parent_sets

N, D = 60, 4
log_weights = jax.jit(parent_sets.log_weights)
one_graph = jax.jit(bge.bge)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D))
    x[:, 1] += x[:, 0]
    x[:, 3] += x[:, 1] - x[:, 2]
    hit = np.zeros((N, D), bool)
    hit[:10, 3] = True
    return (x - x.mean(axis=0)) / x.std(axis=0), hit


def classes():
    rng = np.random.default_rng(1)
    x = rng.integers(0, (2, 3, 2, 4), size=(N, D)).astype(float)
    x[:, 2] = (x[:, 0] + (rng.uniform(size=N) < 0.2)) % 2
    hit = np.zeros((N, D), bool)
    hit[-15:, 2] = True
    return x, hit


def sets_of(j):
    """Sets of the other variables, by their numbers over ``all_others``."""
    others = [i for i in range(D) if i != j]
    for number in range(2 ** (D - 1)):
        yield number, [i for m, i in enumerate(others) if number >> m & 1]


def test_bge_is_that_of_every_graph():
    x, hit = numbers()
    problem = make_problem(x, intervened=hit)
    found = log_weights(problem, parent_sets.all_others(D), parent_sets.Config())
    for j in range(D):
        for number, parents in sets_of(j):
            graph = np.zeros((D, D), bool)
            graph[parents, j] = True
            expected = one_graph(graph, problem)[j]
            assert found[j, number] == pytest.approx(float(expected), rel=1e-12)


def test_bdeu_is_that_of_counted_rows():
    x, hit = classes()
    kind = np.full(D, Kind.CATEGORICAL)
    problem = make_problem(x, intervened=hit, kind=kind)
    config = parent_sets.Config(score="bdeu", equivalent_sample_size=3.0)
    found = log_weights(problem, parent_sets.all_others(D), config)
    levels = [len(np.unique(column)) for column in x.T]
    for j in range(D):
        rows = x[~hit[:, j]]
        for number, parents in sets_of(j):
            q = math.prod(levels[i] for i in parents)
            expected = 0.0
            every = (np.unique(x[:, i]) for i in parents)
            for values in itertools.product(*every):
                same = rows[(rows[:, parents] == values).all(axis=1), j]
                counts = [(same == value).sum() for value in np.unique(x[:, j])]
                expected += math.lgamma(3 / q) - math.lgamma(3 / q + len(same))
                prior = 3 / q / levels[j]
                expected += sum(
                    math.lgamma(prior + k) - math.lgamma(prior) for k in counts
                )
            assert found[j, number] == pytest.approx(expected, rel=1e-10)


def test_degenerate_gaussian_is_that_of_indicators():
    x, _ = classes()
    x[:, 3] = numbers()[0][:, 3]
    kind = [Kind.BINARY, Kind.CATEGORICAL, Kind.BINARY, Kind.CONTINUOUS]
    problem = make_problem(x, kind=kind)
    config = parent_sets.Config(score="degenerate_gaussian", most_classes=3)
    found = log_weights(problem, parent_sets.all_others(D), config)
    blocks = []
    for column, one in zip(x.T, kind, strict=True):
        distinct = np.unique(column)[1:] if one != Kind.CONTINUOUS else []
        parts = [column == value for value in distinct] or [column]
        blocks.append(np.stack(parts, axis=1).astype(float))

    def log_det(variables):
        if not variables:
            return 0.0
        table = np.concatenate([blocks[i] for i in variables], axis=1)
        return np.linalg.slogdet(
            np.cov(table.T, bias=True).reshape(table.shape[1], -1)
        )[1]

    for j in range(D):
        for number, parents in sets_of(j):
            width = sum(blocks[i].shape[1] for i in parents)
            own = log_det([*parents, j]) - log_det(parents) - log_det([j])
            price = math.log(N) / 2 * blocks[j].shape[1] * width
            assert found[j, number] == pytest.approx(-N / 2 * own - price, abs=1e-3)


def test_prior_and_knowledge():
    x, _ = numbers()
    prior = np.full((D, D), 0.5)
    prior[0, 1], prior[2, 1] = 0.8, 0.0
    allowed, required = np.ones((D, D), bool), np.zeros((D, D), bool)
    allowed[3, 1], required[0, 2] = False, True
    problem = make_problem(x, allowed=allowed, required=required)
    others = parent_sets.all_others(D)
    plain = log_weights(make_problem(x), others, parent_sets.Config())
    config = parent_sets.Config(edge_odds=0.25, prior=prior)
    found = np.asarray(log_weights(problem, others, config))
    for j in range(D):
        for number, parents in sets_of(j):
            forbidden = j == 1 and bool({2, 3} & set(parents))
            forbidden |= j == 2 and 0 not in parents
            if forbidden:
                assert found[j, number] < -1e11
                continue
            expected = float(plain[j, number]) + math.log(0.25) * len(parents)
            expected += math.log(4) if j == 1 and 0 in parents else 0
            assert found[j, number] == pytest.approx(expected, abs=1e-9)


def test_sets_of_others_are_sets_of_variables():
    numbers = np.arange(D * 2 ** (D - 1), dtype=float).reshape(D, -1)
    wide = np.asarray(parent_sets.over_variables(numbers))
    for j in range(D):
        for number, parents in sets_of(j):
            assert wide[j, sum(1 << i for i in parents)] == numbers[j, number]
        assert (wide[j, (np.arange(2**D) >> j & 1) == 1] < -1e11).all()


def test_candidates_begin_with_those_that_explain_most():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6))
    x[:, 5] = x[:, 1] + 0.5 * x[:, 3] + 0.1 * x[:, 5]
    required = np.zeros((6, 6), bool)
    required[2, 5] = True
    rank = jax.jit(parent_sets.rank_candidates, static_argnums=1)
    config = parent_sets.Config()
    assert rank(make_problem(x), 2, config)[5].tolist() == [1, 3]
    known = make_problem(x, required=required)
    assert rank(known, 3, config)[5].tolist() == [2, 1, 3]


def test_parents_that_are_no_candidates_are_told():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    x[:, 3] += x[:, :3].sum(axis=1)
    graph = np.zeros((1, 4, 4), bool)
    graph[0, [0, 1], 3] = True
    candidates = np.array([[1, 2], [0, 2], [0, 1], [0, 1]], np.int32)
    edge_shares = jax.jit(parent_sets.edge_shares)
    shares = edge_shares(make_problem(x), graph, parent_sets.Config())
    assert (np.asarray(shares)[:3, 3] > 0.99).all()  # also those that are edges
    assert np.asarray(shares)[3, 0] == 0  # a cycle
    left_out = jax.jit(parent_sets.left_out)
    assert left_out(shares, candidates) > 0.99
    anew = jax.jit(parent_sets.candidates_of)(shares, candidates, np.arange(4))
    assert anew[:, 0].tolist() == [3, 3, 3, 0]
    wide = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]], np.int32)
    assert left_out(shares, wide) == 0
