"""Moves of variables to later places in the order of an acyclic graph.

Variable v moves behind u: those of its children that u descends from, and u if it is
one of them, become its parents. If u is v nothing has to turn. After a move,
candidates that are no descendants may be parents again.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.graphs.dags import is_acyclic, transitive_closure


class Moves(NamedTuple):
    """What each move would do."""

    reversed_edges: Array  # [d, d, d] bool: children that become parents of v
    parents_after_move: Array  # [d, d, d] bool: the parents that v then may have
    child_parents_after: Array  # [d, d, d] bool: those of its child c without v


def list_moves(graph: Array, candidates: Array, strength: Array, most: int) -> Moves:
    """All moves of every v behind every u, indexed [v, u] and, of children, [v, c].

    Args:
      graph: ``[d, d]`` bool, acyclic.
      candidates: ``[d, d]`` bool, edges that may come in addition.
      strength: ``[d, d]`` float in [0, 1], by which families are cut down.
      most: how many parents a variable may have, static.
    """
    d = len(graph)
    itself = jnp.eye(d, dtype=bool)
    reach = transitive_closure(graph) | itself

    # Of v, u and another variable, in that order.
    reversed_edges = graph[:, None, :] & reach.T[None, :, :]
    stay = graph[:, None, :] & ~reversed_edges
    paths = matmul(stay.reshape(d * d, d).astype("float32"), reach.astype("float32"))
    beyond = (paths > 0).reshape(d, d, d) | itself[:, None, :]
    held = graph.T[:, None, :] | reversed_edges
    parents_after_move = held | (candidates.T[:, None, :] & ~beyond)

    # Of v, its child c and another variable.
    kept = graph.T[None, :, :] & ~itself[:, None, :]
    below = reach[None, :, :] | reach[:, None, :]
    child_parents_after = kept | (candidates.T[None, :, :] & ~below)

    belief = strength.T
    strengths = (
        jnp.where(held, 2, belief[:, None, :]),
        jnp.where(kept, 2, belief[None, :, :]),
    )
    few = strongest(
        jnp.stack([parents_after_move, child_parents_after]), jnp.stack(strengths), most
    )
    return Moves(reversed_edges, few[0], few[1])


def strongest(chosen: Array, strength: Array, most: int) -> Array:
    """At most so many of what is chosen, ``[..., d]`` bool; the strongest."""
    rank = jnp.argsort(-jnp.where(chosen, strength, -jnp.inf))
    return chosen & (jnp.argsort(rank) < most)


def take_moves(parents: Array, moves: Moves, gains: Array, least: ArrayLike) -> Array:
    """The parents ``[d, d]``, a row a child, after the moves of most gain.

    A gain holds only while the families are what they were when it was measured, so
    that a family changes once; and a move that closes a cycle is not taken.

    Args:
      parents: ``[d, d]`` bool, the transposed graph.
      moves: of this graph.
      gains: ``[d, d]`` float, of v behind u.
      least: ``[]`` float; a smaller gain is none.
    """
    d = len(parents)

    def move(_, carry):
        parents, gains, changed = carry
        best = jnp.argmax(gains)
        v, u = best // d, best % d
        reversed_edges = moves.reversed_edges[v, u]
        new = jnp.where(reversed_edges[:, None], moves.child_parents_after[v], parents)
        new = new.at[v].set(moves.parents_after_move[v, u])
        touched = reversed_edges.at[v].set(True)
        good = (gains[v, u] > least) & ~(touched & changed).any() & is_acyclic(new.T)
        return (
            jnp.where(good, new, parents),
            gains.at[v, u].set(-jnp.inf),
            changed | (good & touched),
        )

    untouched = ~(parents | True).any(axis=1)
    return jax.lax.fori_loop(0, 2 * d, move, (parents, gains, untouched))[0]
