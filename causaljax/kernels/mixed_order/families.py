"""The best parents of variables among those before them, with scores remembered.

The parents of a variable are found by growing and shrinking from none: the best single
change, until none is a gain. So they depend on the set of candidates alone, and what an
order is worth is a property of the order.

One evaluation of a local score gives all single changes of one variable's parents. It
is kept in a table whose slots are found by hashing; a search asks for few
evaluations that it has not asked for before. Nothing here is differentiable.

Sources: Margaritis and Thrun 1999 (growing and shrinking); Andrews et al. 2023 (BOSS,
scores remembered).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.types import Array, PyTree
from causaljax.scores import degenerate_gaussian, discrete

_SLOTS = 1 << 13  # evaluations remembered: above what a search over 40 variables needs


class Criterion(NamedTuple):
    """What is searched for. ``[w, u]`` of a matrix speaks of the edge u -> w."""

    table: PyTree  # ``discrete.ClassTable`` or ``degenerate_gaussian.Blocks``
    bic_weight: Array  # [] float
    sample_size: Array  # [] float
    allowed: Array  # [d, d] bool
    required: Array  # [d, d] bool
    min_gain: Array  # [] float, nats; less is rounding
    log_odds: Array | None  # [d, d] float, beforehand; -inf if an edge is ruled out


class Memory(NamedTuple):
    """Evaluations made before, by slots."""

    node: Array  # [m] int, the variable; -1 in an empty slot
    parents: Array  # [m, d] bool
    scores: Array  # [m, d] float, as of ``toggled_scores``
    evaluations: Array  # [] int32, how many were made


class Families(NamedTuple):
    """Parents and local scores of some variables."""

    parents: Array  # [l, d] bool
    scores: Array  # [l] float, nats


def no_memory(d: int, like: Array) -> Memory:
    """An empty table for d variables, as local to a device as ``like``, ``[]``."""
    return Memory(
        node=jnp.full(_SLOTS, -1) + (0 * like).astype(int),
        parents=jnp.zeros((_SLOTS, d), bool) & (like != like),
        scores=jnp.zeros((_SLOTS, d), like.dtype) + 0 * like,
        evaluations=(0 * like).astype(jnp.int32),
    )


def toggled_scores(criterion: Criterion, j: Array, parents: Array, score: str) -> Array:
    """Local scores of a variable with each other variable toggled among its parents.

    Args:
      criterion: what is searched for.
      j: ``[]`` int, the variable.
      parents: ``[d]`` bool, its parents now.
      score: of ``Config``, static.

    Returns:
      ``[d]`` float, nats, at [j] with the parents as they are; -inf where there are
      too few rows for one more parent.
    """
    table = criterion.table
    if score == "degenerate_gaussian":
        scores, columns = degenerate_gaussian.toggled_scores(
            table, j, parents, criterion.bic_weight
        )
        fits = columns * degenerate_gaussian.ROWS_PER_COLUMN <= table.rows[j]
    else:
        rows = table.rows[j]
        price = criterion.bic_weight * jnp.log(jnp.maximum(rows, 1)) / 2

        def local_score(counts, levels, configurations):
            if score == "bdeu":
                return discrete.bdeu(
                    counts, levels, configurations, criterion.sample_size
                )
            return discrete.log_likelihood(counts)

        scores, configurations = discrete.toggled_scores(table, j, parents, local_score)
        if score == "bic":
            scores = scores - price * (table.levels[j] - 1) * configurations
        fits = configurations * discrete.ROWS_PER_CONFIGURATION <= rows
    if criterion.log_odds is not None:
        odds = criterion.log_odds[j]
        believed = jnp.where(parents, odds, 0).sum()
        scores = scores + believed + jnp.where(parents, -odds, odds)
    itself = jnp.arange(parents.shape[0]) == j
    return jnp.where(fits | parents | itself, scores, -jnp.inf)


def best_families(
    memory: Memory,
    nodes: Array,
    candidates: Array,
    criterion: Criterion,
    score: str,
) -> tuple[Memory, Families]:
    """The parents of variables that growing and shrinking finds, side by side.

    Args:
      memory: of this criterion.
      nodes: ``[l]`` int, the variables; one may be there several times.
      candidates: ``[l, d]`` bool, the variables before each.
      criterion: what is searched for.
      score: of ``Config``, static.

    Returns:
      The memory and the families.
    """
    d = criterion.allowed.shape[0]
    lane = jnp.arange(nodes.shape[0])
    node = jnp.arange(d)[None, :]
    required = criterion.required[nodes]
    candidates = candidates & criterion.allowed[nodes]

    def recall(memory, parents, wanted):
        slots = _slots(nodes, parents)
        same = (memory.parents[slots] == parents).all(axis=1)
        missing = wanted & ~((memory.node[slots] == nodes) & same)

        def evaluate(carry):
            memory, rows, missing = carry
            i = jnp.argmax(missing)
            new = toggled_scores(criterion, nodes[i], parents[i], score)
            memory = Memory(
                node=memory.node.at[slots[i]].set(nodes[i]),
                parents=memory.parents.at[slots[i]].set(parents[i]),
                scores=memory.scores.at[slots[i]].set(new),
                evaluations=memory.evaluations + 1,
            )
            same = (nodes == nodes[i]) & (parents == parents[i][None]).all(axis=1)
            rows = jnp.where((same & missing)[:, None], new[None], rows)
            return memory, rows, missing & ~same

        memory, rows, _ = jax.lax.while_loop(
            lambda carry: carry[2].any(),
            evaluate,
            (memory, memory.scores[slots], missing),
        )
        return memory, rows

    def change(carry):
        memory, parents, found, growing = carry
        memory, rows = recall(memory, parents, growing)
        now = rows[lane, nodes]
        can = jnp.where(parents, ~required, candidates)
        can = can & (node != nodes[:, None])
        worth = jnp.where(can, rows, -jnp.inf)
        best = jnp.argmax(worth, axis=1)
        gains = growing & (worth.max(axis=1) > now + criterion.min_gain)
        found = jnp.where(growing, now, found)
        parents = parents ^ (gains[:, None] & (node == best[:, None]))
        return memory, parents, found, gains

    zero = 0 * criterion.min_gain
    start = (memory, required, jnp.zeros_like(zero, shape=lane.shape) + zero)
    memory, parents, scores, _ = jax.lax.while_loop(
        lambda carry: carry[3].any(), change, (*start, required[:, 0] | True)
    )
    return memory, Families(parents, scores)


def _slots(nodes, parents):
    """Where evaluations are remembered, ``[l]`` int32."""
    d = parents.shape[1]
    bits = np.random.default_rng(0).integers(0, 2**32, (2, d), dtype=np.uint32)
    key = jnp.where(parents, jnp.asarray(bits[:1]), 0).sum(axis=1, dtype=jnp.uint32)
    key = (key + jnp.asarray(bits[1])[nodes]) * jnp.uint32(0x9E3779B1)
    return (key >> (32 - _SLOTS.bit_length() + 1)).astype(jnp.int32)
