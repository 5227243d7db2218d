"""Moves in the order of a graph, on graphs small enough to see."""

import jax.numpy as jnp
import numpy as np

from causaljax.graphs.moves import list_moves, strongest, take_moves

# 0 -> 1 -> 2, 0 -> 2, 0 -> 3; 4 may be a parent of all.
GRAPH = np.zeros((5, 5), bool)
GRAPH[[0, 1, 0, 0], [1, 2, 2, 3]] = True
HOPEFUL = np.zeros((5, 5), bool)
HOPEFUL[4, :4] = True
HOPEFUL[3, 0] = True
STRENGTH = jnp.full((5, 5), 0.5)


def parents(*which):
    return np.isin(np.arange(5), which)


def test_children_on_the_way_turn():
    moves = list_moves(jnp.asarray(GRAPH), jnp.asarray(HOPEFUL), STRENGTH, 5)
    np.testing.assert_array_equal(moves.reversed_edges[0, 2], parents(1, 2))
    np.testing.assert_array_equal(moves.reversed_edges[0, 1], parents(1))
    np.testing.assert_array_equal(moves.reversed_edges[0, 0], parents())
    # 3 stays a descendant unless 0 moves behind it.
    np.testing.assert_array_equal(moves.parents_after_move[0, 2], parents(1, 2, 4))
    np.testing.assert_array_equal(moves.parents_after_move[0, 3], parents(3, 4))
    np.testing.assert_array_equal(moves.parents_after_move[0, 0], parents(4))
    np.testing.assert_array_equal(moves.child_parents_after[0, 2], parents(1, 4))
    few = list_moves(jnp.asarray(GRAPH), jnp.asarray(HOPEFUL), STRENGTH, 2)
    np.testing.assert_array_equal(few.parents_after_move[0, 2], parents(1, 2))


def test_the_strongest_are_kept():
    chosen = jnp.array([True, True, False, True])
    kept = strongest(chosen, jnp.array([0.1, 0.3, 0.9, 0.2]), 2)
    np.testing.assert_array_equal(kept, [False, True, False, True])


def test_moves_of_most_gain_are_taken():
    moves = list_moves(jnp.asarray(GRAPH), jnp.asarray(HOPEFUL), STRENGTH, 5)
    gains = jnp.full((5, 5), -jnp.inf).at[0, 2].set(2.0).at[0, 1].set(1.0)
    taken = take_moves(jnp.asarray(GRAPH.T), moves, gains, 0.5)
    expected = [parents(1, 2, 4), parents(4), parents(1, 4), parents(0), parents()]
    np.testing.assert_array_equal(taken, expected)
    none = take_moves(jnp.asarray(GRAPH.T), moves, gains, 3.0)
    np.testing.assert_array_equal(none, GRAPH.T)


def test_a_move_closes_no_cycle():
    moves = list_moves(jnp.asarray(GRAPH), jnp.asarray(HOPEFUL), STRENGTH, 5)
    # Were this the list, 1 would be a parent of 0 and 0 one of 1.
    moves = moves._replace(
        parents_after_move=moves.parents_after_move.at[0, 0].set(parents(1))
    )
    gains = jnp.full((5, 5), -jnp.inf).at[0, 0].set(1.0)
    taken = take_moves(jnp.asarray(GRAPH.T), moves, gains, 0.5)
    np.testing.assert_array_equal(taken, GRAPH.T)
