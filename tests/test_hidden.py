import jax
import jax.numpy as jnp
import numpy as np

from causaljax.graphs.dags import is_acyclic
from causaljax.simulate.hidden import draw_hidden, project


def _paths(graph, start, hidden):
    """Where directed paths from ``start`` over hidden variables end."""
    ends, stack = set(), [start]
    while stack:
        for child in np.flatnonzero(graph[stack.pop()]):
            if child not in ends:
                ends.add(child)
                if hidden[child]:
                    stack.append(child)
    return {end for end in ends if not hidden[end]}


def test_projection_is_what_a_walk_over_all_paths_finds():
    rng, d = np.random.default_rng(0), 7
    graphs = np.triu(rng.random((200, d, d)) < rng.random((200, 1, 1)), 1)
    hidden = rng.random((200, d)) < 0.4
    found = jax.jit(jax.vmap(project))(graphs, hidden)
    projected, confounded = map(np.array, found)
    for k in range(200):
        ends = [_paths(graphs[k], start, hidden[k]) for start in range(d)]
        for i in range(d):
            for j in range(d):
                both = i != j and not (hidden[k, i] or hidden[k, j])
                assert projected[k, i, j] == (both and j in ends[i])
                common = any({i, j} <= ends[h] for h in np.flatnonzero(hidden[k]))
                assert confounded[k, i, j] == (both and common)
    assert jax.vmap(is_acyclic)(projected).all()
    assert confounded.any()


def test_nothing_hidden_changes_nothing():
    graph = jnp.triu(jnp.ones((4, 4), bool), 1)
    projected, confounded = project(graph, jnp.zeros(4, bool))
    assert (projected == graph).all()
    assert not confounded.any()


def test_the_busiest_variables_are_hidden_more_often_than_not():
    graph = jnp.zeros((6, 6), bool).at[2].set(True).at[2, 2].set(False)
    present = jnp.ones(6, bool).at[0].set(False)
    keys = jax.random.split(jax.random.key(0), 400)
    hidden = jax.vmap(lambda key: draw_hidden(key, graph, present, 2))(keys)
    assert (hidden.sum(1) == 2).all()
    assert not hidden[:, 0].any()
    assert 0.68 < hidden[:, 2].mean() < 0.84  # .6 + .4 * 2 / 5
