"""The layout of graphs: causes above effects, and the same for every order."""

import itertools

import numpy as np
import pandas as pd
import pytest

from causaljax.plot import layout
from causaljax.tables import edges as edge_tables


def drawn(size, degree=1.5, seed=0, confounded=False):
    """An edge table of a random graph, and its names."""
    rng = np.random.default_rng(seed)
    graph = np.triu(rng.random((size, size)) < 2 * degree / (size - 1), 1)
    order = rng.permutation(size)
    graph = graph[np.ix_(order, order)]
    hidden = rng.random((size, size)) < 2 / size
    hidden = hidden if confounded else None
    return table_of(graph, [f"v{k}" for k in range(size)], hidden)


def table_of(graph, names, hidden=None):
    if hidden is not None:
        hidden = (hidden | hidden.T).astype(float)
    edges = edge_tables.edge_table(
        graph, graph, graph * 0.5, names, meaning="score", confounders=hidden
    )
    return edges, list(names)


def reordered(edges, names, seed=1):
    """The same table of columns in another order."""
    rng = np.random.default_rng(seed)
    return edges.iloc[rng.permutation(len(edges))], list(rng.permutation(names))


@pytest.mark.parametrize("size", [2, 5, 11, 20, 60])
def test_causes_are_above_effects_and_nodes_apart(size):
    edges, names = drawn(size)
    places = layout.layered(edges, names)
    assert set(places) == set(names)
    for source, target in zip(edges["source"], edges["target"], strict=True):
        assert places[source][1] >= places[target][1] + 1
    points = np.array(list(places.values()))
    for one, other in itertools.combinations(points, 2):
        assert np.abs(one - other).max() > 1 - 1e-6


@pytest.mark.parametrize("size", [5, 60])
def test_another_order_gives_the_same_layout(size):
    edges, names = drawn(size, confounded=True)
    assert layout.layered(*reordered(edges, names)) == layout.layered(edges, names)


def test_few_crossings():
    """A tree and a ladder can be drawn without any."""
    parents = {k: (k - 1) // 2 for k in range(1, 31)}
    graph = np.zeros((31, 31), bool)
    for child, parent in parents.items():
        graph[parent, child] = True
    edges, names = table_of(graph, [f"n{k:02}" for k in range(31)])
    places = layout.layered(edges, names)
    layers = {}
    for name, (x, y) in places.items():
        layers.setdefault(y, []).append((x, name))
    orders = {y: [name for _, name in sorted(line)] for y, line in layers.items()}
    for y, line in orders.items():
        above = orders.get(y + 1)
        if above:
            parent = [above.index(f"n{parents[int(name[1:])]:02}") for name in line]
            assert parent == sorted(parent)


def test_names_without_an_edge_stand_below():
    graph = np.zeros((5, 5), bool)
    graph[0, 1] = True
    edges, names = table_of(graph, "abcde")
    found = layout.arrange(edges, names)
    assert found.isolated == ["c", "d", "e"]
    lowest = min(found.places[name][1] for name in "ab")
    assert all(found.places[name][1] < lowest for name in "cde")


def test_a_hidden_cause_alone_joins_and_orders_nothing():
    graph, hidden = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    graph[0, 1] = graph[0, 2] = True
    hidden[1, 2] = hidden[2, 3] = True
    found = layout.arrange(*table_of(graph, "abcd", hidden))
    assert found.places["b"][1] == found.places["c"][1]
    assert found.isolated == []


def test_long_edges_pass_between_nodes():
    graph = np.eye(4, k=1, dtype=bool)
    graph[0, 3] = True
    found = layout.arrange(*table_of(graph, "abcd"))
    passed = found.bends["a", "d"]
    assert [y for _, y in passed] == [found.places[name][1] for name in "bc"]
    for (x, _), name in zip(passed, "bc", strict=True):
        assert abs(x - found.places[name][0]) > 0.5


def test_no_edges_and_no_names():
    edges, names = table_of(np.zeros((3, 3), bool), "abc")
    assert len(set(layout.layered(edges, names).values())) == 3
    assert layout.layered(edges.iloc[:0], []) == {}


def test_an_edge_to_an_unknown_name_is_refused():
    edges, _ = drawn(5)
    with pytest.raises(ValueError, match="an edge names"):
        layout.layered(edges, ["v0"])


def test_an_edge_that_closes_a_cycle_points_upwards():
    """Two graphs that are compared may make one."""
    edges, names = table_of(np.eye(3, k=1), "abc")
    back = edges.iloc[:1].assign(source="c", target="a")
    places = layout.layered(pd.concat([edges, back]), names)
    assert sorted(y for _, y in places.values()) == [0, 1, 2]
