"""Hill climbing over graphs, against a search of all graphs of three variables."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import is_acyclic
from causaljax.graphs.edge_probabilities import symmetrise_undirected
from causaljax.graphs.hill_climbing import climb

D = 3
ALL = np.array(list(itertools.product([False, True], repeat=D * D))).reshape(-1, D, D)
ALL = ALL[~ALL[:, range(D), range(D)].any(axis=1)]
ALL = ALL[[bool(is_acyclic(graph)) for graph in ALL]]
FREE = ~np.eye(D, dtype=bool)
NONE = np.zeros((D, D), bool)


def scores_of(seed):
    """A score of every variable for every set of parents, ``[d, 2^d]``."""
    return np.random.default_rng(seed).normal(size=(D, 2**D)).astype(np.float32)


def value(scores, graph):
    sets = (graph.T * 2 ** np.arange(D)).sum(axis=1)
    return scores[np.arange(D), sets].sum()


@jax.jit
def search(scores, graph, allowed, required):
    def column(parents, j):
        bits = jnp.eye(D, dtype=bool)
        place = jnp.array([[1, 2, 4]])
        with_it = jnp.where(parents[None] | bits, place, 0).sum(axis=1)
        without = jnp.where(parents[None] & ~bits, place, 0).sum(axis=1)
        return scores[j, with_it] - scores[j, without]

    return climb(column, graph, allowed, required)


def neighbours(graph):
    """All graphs of one edge more, one less, or one turned."""
    for other in ALL:
        changed = (other != graph).sum()
        joined = (other | other.T) != (graph | graph.T)
        if changed == 1 or (changed == 2 and not joined.any()):
            yield other


@pytest.mark.parametrize("seed", range(12))
def test_no_change_betters_what_is_found(seed):
    scores = scores_of(seed)
    begin = ALL[seed % len(ALL)]
    found = search(scores, begin, FREE, NONE)
    graph = np.asarray(found.graph)
    assert is_acyclic(graph)
    best = value(scores, graph)
    assert best >= value(scores, begin) - 1e-5
    assert all(value(scores, other) <= best + 2e-3 for other in neighbours(graph))
    for i, j in itertools.permutations(range(D), 2):
        with_it, without = graph.copy(), graph.copy()
        with_it[i, j], without[i, j] = True, False
        expected = value(scores, with_it) - value(scores, without)
        assert found.gains[i, j] == pytest.approx(expected, abs=1e-5)


def test_knowledge_is_obeyed():
    allowed, required = FREE.copy(), NONE.copy()
    allowed[0, 1] = False
    required[2, 0] = True
    for seed in range(8):
        graph = np.asarray(search(scores_of(seed), required, allowed, required).graph)
        assert graph[2, 0]
        assert not graph[0, 1]
        assert is_acyclic(graph)


def test_moves_are_counted():
    scores = np.zeros((D, 2**D), np.float32)
    scores[1, [1, 3, 5, 7]] = 1  # 1 gains from its parent 0
    found = search(scores, NONE, FREE, NONE)
    assert found.moves == 1
    assert np.argwhere(found.graph).tolist() == [[0, 1]]
    assert search(scores, found.graph, FREE, NONE).moves == 0


def test_only_what_cannot_turn_alone_has_even_odds():
    """0 -> 1 -> 2, and 3 -> 4 <- 5: open and covered, open, decided."""
    graph = np.zeros((6, 6), bool)
    graph[[0, 1, 3, 5], [1, 2, 4, 4]] = True
    prob = np.where(graph, 0.8, np.where(graph.T, 0.1, 0.0)).astype(np.float32)
    expected = prob.copy()
    expected[[1, 2], [2, 1]] = 0.45
    found = symmetrise_undirected(
        jnp.asarray(prob), jnp.asarray(graph), dag_to_cpdag(graph)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)
