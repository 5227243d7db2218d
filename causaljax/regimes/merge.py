"""Regimes that become one where the evidence lower bound gains."""

import jax
import jax.numpy as jnp
from jax.scipy.special import entr, gammaln
from jax.typing import ArrayLike

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.types import Array
from causaljax.mechanisms import conjugate

FEWEST_ROWS = 0.5  # rows of a regime that is there


def joining_gains(
    responsibilities: Array,
    weight: Array,
    sums: conjugate.Statistics,
    mechanism: Array,
    prior: ArrayLike,
    concentration: ArrayLike,
    reference: ArrayLike,
) -> Array:
    """What the bound gains by making two regimes one, ``[k, k]``, nats.

    That of their rows' log-evidence, every variable a target or not as suits them,
    of the Dirichlet process, and of assignments that need no longer be told apart.
    -inf for empty regimes and below the diagonal.

    Args:
      responsibilities: ``[n, k]``, responsibilities.
      weight: ``[n]``.
      sums: leaves ``[d, k, ...]``, of densities of the regimes' own.
      mechanism: ``[k, d]``, log-likelihood of the regimes' rows as usual.
      prior: ``[]``, P(target).
      concentration: ``[]``, of the process.
      reference: ``[]`` int, the regime without targets.

    Source: Heller and Ghahramani 2005, for the idea.
    """
    k = responsibilities.shape[1]
    prior = jnp.asarray(prior, weight.dtype)
    index = jnp.arange(k, dtype=jnp.int32)

    def score(own, mechanism):
        usual, other = jnp.log1p(-prior) + mechanism, jnp.log(prior) + own
        return jnp.logaddexp(usual, other).sum(axis=-1)

    def evidence_of_pairs(sums):
        # With each other and with nobody, in one call, and not side by side.
        def added(leaf):
            other = jnp.concatenate([leaf, jnp.zeros_like(leaf[:1])])
            return other[:, None] + leaf[None, :]

        return conjugate.fit(jax.tree.map(added, sums))[1]

    found = map_factorisations(evidence_of_pairs, sums)
    alone = score(found[:, -1].T, mechanism)
    pairs = found[:, :-1].transpose(1, 2, 0)
    usual = mechanism[:, None] + mechanism[None, :]
    together = score(pairs, usual)
    is_reference = index == reference
    alone = jnp.where(is_reference, mechanism.sum(axis=-1), alone)
    with_it = is_reference[:, None] | is_reference[None, :]
    together = jnp.where(with_it, usual.sum(axis=-1), together)

    counts = matmul(weight[None, :], responsibilities)[0]
    size = jnp.maximum(counts, FEWEST_ROWS)
    process = gammaln(size[:, None] + size[None, :]) - gammaln(size)[:, None]
    process = process - gammaln(size)[None, :] - jnp.log(concentration)

    def told_apart(column):
        spread = entr(column)[:, None] + entr(responsibilities)
        return matmul(
            weight[None, :], spread - entr(column[:, None] + responsibilities)
        )[0]

    gains = together - alone[:, None] - alone[None, :] + process
    gains = gains - jax.lax.map(told_apart, responsibilities.T)
    there = counts > FEWEST_ROWS
    able = (index[:, None] < index[None, :]) & there[:, None] & there[None, :]
    return jnp.where(able, gains, -jnp.inf)


def join(gains: Array) -> tuple[Array, Array]:
    """Makes pairs of regimes one that gain most from each other.

    What gains more from another waits: its pieces would mix with those of strangers.

    Args:
      gains: ``[k, k]``, above the diagonal; those above 0 are worth it.

    Returns:
      ``[k]`` int, the regime that each becomes part of, its own number if of none
      other, the earlier of a pair; and how many pairs were joined.
    """
    index = jnp.arange(len(gains), dtype=jnp.int32)
    above = index[:, None] < index[None, :]
    gains = jnp.where(above, gains, -jnp.inf)
    gains = jnp.maximum(gains, gains.T)
    top = gains.max(axis=1)
    first = jnp.where(gains == top[:, None], index[None, :], len(gains) - 1)
    best = first.min(axis=1)
    joined = (best[best] == index) & (top > 0)
    into = jnp.where(joined, jnp.minimum(index, best), index)
    return into, joined.sum(dtype=jnp.int32) // 2


def gather(into: Array, leaf: Array, axis: int) -> Array:
    """Sums over the regimes that ``join`` made one, along an axis of regimes."""
    moved = into[:, None] == jnp.arange(len(into), dtype=into.dtype)[None, :]
    summed = jnp.tensordot(
        jnp.moveaxis(leaf, axis, -1), moved.astype(leaf.dtype), 1, precision="highest"
    )
    return jnp.moveaxis(summed, -1, axis)
