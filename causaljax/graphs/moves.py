"""Moves of variables to later places in the order of an acyclic graph.

Variable v moves behind u: those of its children that u descends from, and u if it is
one of them, become its parents. If u is v nothing has to turn. After a move, families
are opened: candidates that are no descendants may be parents again.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.graphs.ops import is_acyclic, matmul, transitive_closure
from causaljax.types import Array


class Moves(NamedTuple):
    """What each move would do."""

    turned: Array  # [d, d, d] bool: if v moves behind u, the children that turn
    opened: Array  # [d, d, d] bool: the parents that v then may have
    bereft: Array  # [d, d, d] bool: those that its child c may have without v


def list_moves(graph: Array, hopeful: Array, strength: Array, most: int) -> Moves:
    """All moves of every v behind every u, indexed [v, u] and, of children, [v, c].

    Args:
      graph: ``[d, d]`` bool, acyclic.
      hopeful: ``[d, d]`` bool, edges that may come in addition.
      strength: ``[d, d]`` float in [0, 1], by which families are cut down.
      most: how many parents a variable may have, static.
    """
    d = len(graph)
    itself = jnp.eye(d, dtype=bool)
    reach = transitive_closure(graph) | itself

    # Of v, u and another variable, in that order.
    turned = graph[:, None, :] & reach.T[None, :, :]
    stay = graph[:, None, :] & ~turned
    paths = matmul(stay.reshape(d * d, d).astype("float32"), reach.astype("float32"))
    beyond = (paths > 0).reshape(d, d, d) | itself[:, None, :]
    held = graph.T[:, None, :] | turned
    opened = held | (hopeful.T[:, None, :] & ~beyond)

    # Of v, its child c and another variable.
    kept = graph.T[None, :, :] & ~itself[:, None, :]
    below = reach[None, :, :] | reach[:, None, :]
    bereft = kept | (hopeful.T[None, :, :] & ~below)

    belief = strength.T
    strengths = (
        jnp.where(held, 2, belief[:, None, :]),
        jnp.where(kept, 2, belief[None, :, :]),
    )
    few = strongest(jnp.stack([opened, bereft]), jnp.stack(strengths), most)
    return Moves(turned, few[0], few[1])


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
        turned = moves.turned[v, u]
        new = jnp.where(turned[:, None], moves.bereft[v], parents)
        new = new.at[v].set(moves.opened[v, u])
        touched = turned.at[v].set(True)
        good = (gains[v, u] > least) & ~(touched & changed).any() & is_acyclic(new.T)
        return (
            jnp.where(good, new, parents),
            gains.at[v, u].set(-jnp.inf),
            changed | (good & touched),
        )

    untouched = ~(parents | True).any(axis=1)
    return jax.lax.fori_loop(0, 2 * d, move, (parents, gains, untouched))[0]
