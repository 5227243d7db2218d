"""Edges that regimes of unknown targets speak against."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from causaljax.regimes.edge_reversal import (
    Sample,
    _paths,
    _turning_along,
    turn_edges,
)

N, D = 900, 3


@pytest.fixture(scope="module")
def sample():
    """x0 -> x1 curved, x2 alone; regime k disturbed variable k - 1, regime 0 none."""
    rng = np.random.default_rng(0)
    regime = np.arange(N) % (D + 1)
    x0, e, x2, at = rng.normal(size=(4, N))
    x0 = np.where(regime == 1, 3 + 0.3 * at, x0)
    x1 = np.where(regime == 2, -3 + 0.3 * at, np.tanh(x0) + x0 + 0.2 * e)
    x2 = np.where(regime == 3, 4 + 0.3 * at, x2)
    responsibilities = regime[:, None] == np.arange(D + 2)[None, :]  # the last is empty
    return Sample(
        x=jnp.asarray(np.column_stack([x0, x1, x2]), jnp.float32),
        weight=jnp.ones(N),
        responsibilities=jnp.asarray(responsibilities, jnp.float32),
        targets=jnp.zeros((D + 2, D)),
        known=jnp.zeros(D + 2, bool),
    )


def turned(sample, edges, free=None, *, least=np.inf, perfect=True):
    """Graph and gains; by default nothing turns."""
    graph = np.zeros((D, D), bool)
    graph[tuple(np.transpose(edges))] = True
    free = ~np.eye(D, dtype=bool) if free is None else free
    found = turn_edges(
        jax.random.key(0),
        sample,
        jnp.asarray(graph),
        jnp.asarray(free),
        1.0,
        0.1,
        least,
        perfect=perfect,
        most=3,
    )
    return tuple(map(np.asarray, found))


def gains_of(*args, **options):
    """Of the first way; in single edges there is no second."""
    return turned(*args, **options)[1][..., 0]


def test_edges_turn_while_they_gain(sample):
    """Gains of what is left are those of a first look."""
    graph, gains = turned(sample, [(1, 0), (1, 2)], least=50.0)
    assert graph[0, 1]
    assert not graph[1, 0]
    assert not (gains > 50).any()
    np.testing.assert_allclose(
        gains[..., 0], gains_of(sample, np.argwhere(graph)), rtol=1e-5
    )


def test_the_true_direction_gains_what_the_wrong_one_loses(sample):
    right, wrong = gains_of(sample, [(0, 1)]), gains_of(sample, [(1, 0)])
    assert wrong[1, 0] > 50
    assert right[0, 1] == pytest.approx(-wrong[1, 0], rel=1e-4)
    assert np.isneginf(np.delete(right.ravel(), 1)).all()


def test_imperfect_interventions_tell_directions_too(sample):
    assert gains_of(sample, [(1, 0)], perfect=False)[1, 0] > 50


def test_targets_that_are_known_stay(sample):
    """With the targets told, the gain is that of graphs of these targets."""
    targets = np.zeros((D + 2, D))
    targets[[1, 2, 3], [0, 1, 2]] = 1
    told = sample._replace(
        targets=jnp.asarray(targets, jnp.float32), known=jnp.ones(D + 2, bool)
    )
    assert gains_of(told, [(1, 0)])[1, 0] > 50
    # That each was disturbed where the other was rules the edge's evidence out.
    swapped = told._replace(targets=told.targets[:, jnp.array([1, 0, 2])])
    assert gains_of(swapped, [(1, 0)])[1, 0] < gains_of(told, [(1, 0)])[1, 0]


def test_what_is_ruled_out_is_not_weighed(sample):
    free = ~np.eye(D, dtype=bool)
    free[1, 0] = False
    assert np.isneginf(gains_of(sample, [(0, 1)], free)).all()
    # Nor are edges with which that would turn.
    assert np.isneginf(turned(sample, CHAIN, free)[1][0, 2, 0])


def test_relabelled_variables_relabel_the_gains(sample, x64):
    """Random hidden units go with the variables.

    In float64: sums over inputs in another order are rounded otherwise, which
    iterations amplify, on some processors by a tenth in float32.
    """
    del x64
    double = [np.asarray(leaf, np.float64) for leaf in sample[:4]]
    sample = Sample(*map(jnp.asarray, double), known=sample.known)
    labels = np.array([2, 0, 1])
    relabelled = sample._replace(
        x=sample.x[:, labels], targets=sample.targets[:, labels]
    )
    edges = np.argsort(labels)[np.array([(1, 0), (2, 1)])]
    expected = gains_of(sample, [(1, 0), (2, 1)])[np.ix_(labels, labels)]
    np.testing.assert_allclose(gains_of(relabelled, edges), expected, rtol=1e-4)


CHAIN = [(0, 1), (1, 2), (0, 2)]


def test_edges_turn_along_that_would_close_a_cycle(sample):
    """Where a path joins cause and effect, that too, from either end."""
    gains = turned(sample, CHAIN)[1]
    one_by_one = [[(1, 0), (1, 2), (0, 2)], [(1, 0), (1, 2), (2, 0)]]
    first = gains_of(sample, CHAIN)[0, 1]
    then = gains_of(sample, one_by_one[0])[0, 2]
    assert gains[0, 2, 0] == pytest.approx(first + then, rel=1e-4)
    last = gains_of(sample, CHAIN)[1, 2]
    then = gains_of(sample, [(0, 1), (2, 1), (0, 2)])[0, 2]
    assert gains[0, 2, 1] == pytest.approx(last + then, rel=1e-4)
    assert np.isneginf(gains[0, 1, 1])


@pytest.mark.parametrize("seed", range(3))
def test_what_turns_along_leaves_no_cycle(seed):
    rng = np.random.default_rng(seed)
    d = 6
    graph = np.triu(rng.random((d, d)) < 0.6, 1)
    ends = np.asarray(_turning_along(jnp.asarray(graph)))
    for i, j in np.argwhere(graph):
        for turned_edges in (
            [(i, u) for u in np.flatnonzero(ends[i, j, 0])],
            [(u, j) for u in np.flatnonzero(ends[i, j, 1])],
        ):
            assert (i, j) in turned_edges
            new = nx.DiGraph(graph.astype(int))
            for edge in turned_edges:
                assert graph[edge]
                new.remove_edge(*edge)
            new.add_edges_from(edge[::-1] for edge in turned_edges)
            assert nx.is_directed_acyclic_graph(new)


def path_sample():
    """x0 -> x1 -> x2 curved; regimes 1 and 2 disturbed x0 and x1, and x2 in both."""
    rng = np.random.default_rng(0)
    regime = np.arange(N) % 3
    x0, e, f, at, other = rng.normal(size=(5, N))
    x0 = np.where(regime == 1, 3 + 0.3 * at, x0)
    x1 = np.where(regime == 2, -3 + 0.3 * at, np.tanh(x0) + x0 + 0.2 * e)
    x2 = np.where(regime == 0, np.sin(x1) + x1 + 0.2 * f, 4 + 0.3 * other)
    return Sample(
        x=jnp.asarray(np.column_stack([x0, x1, x2]), jnp.float32),
        weight=jnp.ones(N),
        responsibilities=jnp.asarray(
            regime[:, None] == np.arange(3)[None, :], jnp.float32
        ),
        targets=jnp.zeros((3, D)),
        known=jnp.zeros(3, bool),
    )


def test_a_path_turns_as_a_whole():
    """From its last edge, and gains what its edges do one after the other."""
    given, wrong = path_sample(), [(2, 1), (1, 0)]
    gains = turned(given, wrong)[1]
    assert np.argwhere(np.isfinite(gains[..., 2])).tolist() == [[1, 0]]
    half = gains[2, 1, 0]
    rest = gains_of(given, [(1, 2), (1, 0)])[1, 0]
    assert gains[1, 0, 2] == pytest.approx(half + rest, rel=1e-3)
    # A bar that only the whole path gets over.
    least = float(np.sort(gains[np.isfinite(gains)])[-2:].mean())
    assert gains[1, 0, 2] > least > max(half, gains[1, 0, 0])
    graph, _ = turned(given, wrong, least=least)
    assert np.argwhere(graph).tolist() == [[0, 1], [1, 2]]
    free = ~np.eye(D, dtype=bool)
    free[1, 2] = False
    assert np.isneginf(turned(given, wrong, free)[1][..., 2]).all()


@pytest.mark.parametrize("seed", range(4))
def test_paths_are_what_leads_to_a_variable_if_that_does_not_part(seed):
    rng = np.random.default_rng(seed)
    d = 7
    graph = np.triu(rng.random((d, d)) < 0.3, 1)
    order = rng.permutation(d)
    graph = graph[order][:, order]
    path, edges = map(np.asarray, _paths(jnp.asarray(graph)))
    whole = nx.DiGraph(graph.astype(int))
    for j in range(d):
        leading = whole.subgraph(nx.ancestors(whole, j) | {j})
        single = all(leading.in_degree(v) <= 1 for v in leading)
        assert path[j] == (single and len(leading) > 2)
        expected = sorted(leading.edges) if path[j] else []
        assert [tuple(edge) for edge in np.argwhere(edges[j])] == expected
