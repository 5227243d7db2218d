"""The DAGs that a partially directed graph stands for, against brute force."""

import functools
import itertools

import numpy as np
import pytest

from causaljax.graphs.members import extension, members


def colliders(graph):
    """Triples i -> k <- j of directed edges, i and j apart."""
    directed, joined = graph & ~graph.T, graph | graph.T
    return {
        (i, k, j)
        for i, j in itertools.combinations(range(len(graph)), 2)
        for k in np.flatnonzero(directed[i] & directed[j])
        if not joined[i, j]
    }


def is_acyclic(graph):
    paths = np.eye(len(graph), dtype=int)
    for _ in graph:
        paths = (paths @ graph > 0).astype(int)
    return not paths.any()


@functools.cache
def dags(d, skeleton):
    """All DAGs that join the pairs of a skeleton (bytes), each with its colliders."""
    joined = np.frombuffer(skeleton, bool).reshape(d, d)
    pairs = np.argwhere(np.triu(joined)).tolist()
    found = []
    for turns in itertools.product([False, True], repeat=len(pairs)):
        dag = joined.copy()
        for turn, (i, j) in zip(turns, pairs, strict=True):
            dag[(i, j) if turn else (j, i)] = False
        if is_acyclic(dag):
            found.append((dag, colliders(dag)))
    return found


def by_brute_force(graph):
    """Every orientation of the open edges that is acyclic and adds no collider."""
    own, told = colliders(graph), graph & ~graph.T
    for dag, found in dags(len(graph), (graph | graph.T).tobytes()):
        if found == own and dag[told].all():
            yield dag


def partially_directed(d):
    """Every graph over d variables whose pairs are apart, open or directed."""
    pairs = list(itertools.combinations(range(d), 2))
    for kinds in itertools.product(range(4), repeat=len(pairs)):
        graph = np.zeros((d, d), bool)
        for kind, (i, j) in zip(kinds, pairs, strict=True):
            graph[i, j], graph[j, i] = kind & 1, kind & 2
        yield graph


def assert_exact(graph):
    found = list(members(graph))
    # Bytes of the rows in the stated order: i -> j before j -> i, first pairs first.
    keys = [tuple(dag[np.triu_indices(len(dag), 1)].tolist()) for dag in found]
    assert keys == sorted(keys, reverse=True)
    assert len(set(keys)) == len(keys)
    expected = {dag.tobytes() for dag in by_brute_force(graph)}
    assert {dag.tobytes() for dag in found} == expected
    return len(found)


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_members_of_every_graph_are_those_of_brute_force(d):
    counts = [assert_exact(graph) for graph in partially_directed(d)]
    assert len(counts) == 4 ** (d * (d - 1) // 2)
    assert (0 in counts) == (d > 2)  # graphs that stand for no DAG


def test_random_graphs_of_six_are_exact():
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(12):
        dag = np.triu(rng.random((6, 6)) < 0.5, 1)
        opened = dag & (rng.random((6, 6)) < 0.8)
        order = rng.permutation(6)
        counts.append(assert_exact((dag | opened.T)[np.ix_(order, order)]))
    assert max(counts) > 5


def test_members_come_one_by_one():
    complete = ~np.eye(30, dtype=bool)  # 30! of them
    first = list(itertools.islice(members(complete), 3))
    assert len({dag.tobytes() for dag in first}) == 3
    np.testing.assert_array_equal(first[0], np.triu(complete))


def test_a_square_without_chord_stands_for_no_dag():
    square = np.roll(np.eye(4, dtype=bool), 1, axis=1)
    assert list(members(square | square.T)) == []
    assert list(members(np.ones((2, 2), bool))) == []


def test_any_graph_without_a_directed_cycle_extends_to_a_dag():
    rng, without = np.random.default_rng(0), 0
    for _ in range(200):
        order = rng.permutation(6)
        dag = np.triu(rng.random((6, 6)) < 0.5, 1)[np.ix_(order, order)]
        graph = dag | (dag.T & (rng.random((6, 6)) < 0.6))
        found = extension(graph)
        assert is_acyclic(found)
        told = graph & ~graph.T
        np.testing.assert_array_equal(found | found.T, graph | graph.T)
        assert found[told].all()
        member = next(members(graph), None)
        without += member is None
        assert member is None or (member == found).all()
    assert 10 < without < 190
