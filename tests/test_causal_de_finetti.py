"""Causal de Finetti: exact with a test that knows the graph; directions from data."""

import functools

import numpy as np
import pytest
import scipy.stats
from test_constraint import fisher_z
from test_marks import all_dags, random_dag

from causaljax.graphs import marks
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import Mark
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import causal_de_finetti as de_finetti

search = functools.partial(de_finetti.search, batches=(8, 64))


def knowing(graph, varies=True):
    """A test that knows two rows of a DAG, and their common mechanisms, hidden."""
    d = len(graph)
    both = np.zeros((3 * d, 3 * d), bool)
    both[:d, :d] = both[d : 2 * d, d : 2 * d] = graph
    if varies:
        for row in (0, 1):
            both[2 * d + np.arange(d), row * d + np.arange(d)] = True
    return Separation(marks.from_graph(both), range(2 * d)).test()


@pytest.mark.parametrize("d", [0, 1, 2, 3, 4])
def test_every_dag_is_found(d):
    for graph in all_dags(d) if d else [np.zeros((0, 0), bool)]:
        found = search(knowing(graph), d, de_finetti.Config())
        np.testing.assert_array_equal(found.marks, marks.from_graph(graph))
        above = ancestors(graph)[np.ix_(found.order, found.order)]
        assert not np.tril(above, -1).any()


def test_larger_dags_are_found():
    rng = np.random.default_rng(0)
    for _ in range(10):
        graph = random_dag(rng, 8, 0.4)
        found = search(knowing(graph), 8, de_finetti.Config())
        np.testing.assert_array_equal(found.marks, marks.from_graph(graph))


def test_mechanisms_that_do_not_vary_leave_directions_open():
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    found = search(knowing(chain, varies=False), 3, de_finetti.Config())
    assert (found.marks[found.marks > 0] == Mark.TAIL).all()
    assert found.marks.any()


def test_directions_are_found_in_data():
    right = wrong = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cause, effect = rng.permutation(2)
        num = 2000
        x = np.zeros((num, 2, 2))
        level = rng.normal(size=(2, num, 1))
        x[:, :, cause] = 2 * level[0] + rng.normal(size=(num, 2))
        x[:, :, effect] = x[:, :, cause] + level[1] + rng.normal(size=(num, 2))
        environment = np.repeat(np.arange(num), 2)
        table = de_finetti.rows_of_pairs(x.reshape(-1, 2), environment)
        found = search(fisher_z(table[0]), 2, de_finetti.Config(alpha=0.01))
        told = marks.to_graph(found.marks)
        right += told[cause, effect] and not told[effect, cause]
        wrong += told[effect, cause] and not told[cause, effect]
    assert right >= 18
    assert wrong <= 1


def test_environments_of_one_row_are_left_out():
    x = np.arange(14).reshape(7, 2)
    rows = de_finetti.rows_of_pairs(x, np.array(["b", "a", "c", "b", "c", "c", "d"]))
    assert rows.tolist() == [[[0, 1, 6, 7], [4, 5, 8, 9]]]
    assert de_finetti.rows_of_pairs(x[:0], np.array([])).shape == (0, 0, 4)


def test_all_ordered_pairs_of_an_environment_are_taken():
    environment = np.repeat([0, 1], [4, 2])
    tables = de_finetti.rows_of_pairs(np.arange(6)[:, None], environment, 100)
    assert len({tuple(row) for row in tables[:, 0].tolist()}) == len(tables) == 12
    assert (tables[:, 0, 0] != tables[:, 0, 1]).all()
    assert {tuple(row) for row in tables[:, 1].tolist()} == {(4, 5), (5, 4)}


def test_answers_of_several_tables_keep_the_level():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(20_000, 1))
    for weight in (0, 0.5, 1):  # of what the tables have in common
        own = rng.normal(size=(20_000, 6))
        scores = np.sqrt(weight) * shared + np.sqrt(1 - weight) * own
        log_p = scipy.stats.norm.logsf(scores).T
        tests = [lambda x, y, z, used, log_p=row: log_p for row in log_p]
        p = np.exp(de_finetti.together(tests)(None, None, None, None))
        assert np.mean(p < 0.05) < 0.07
        assert np.mean(p < 0.05) > 0.03
    tests = [lambda x, y, z, used: np.array([-2000.0, -30.0, np.log(0.3)])] * 3
    np.testing.assert_allclose(
        de_finetti.together(tests)(None, None, None, None),
        [-2000, -30, np.log(0.3)],
        rtol=1e-3,
    )
