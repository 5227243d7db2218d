"""Part of a true graph, told beforehand: what networks learn to use as knowledge."""

import jax
import jax.numpy as jnp

from causaljax.core.types import Array


def reveal(key: Array, graph: Array) -> tuple[Array, Array, Array]:
    """Tells of some pairs what they are, as prior knowledge or a sampler would.

    In 55 % of the draws nothing is told, else a random share of the pairs, rather a
    small one.

    Args:
      key: consumed.
      graph: ``[d, d]`` bool, the truth.

    Returns:
      ``(allowed, required, known)``, each ``[d, d]`` bool; ``known`` is symmetric.
    """
    some_key, share_key, pair_key = jax.random.split(key, 3)
    some = jax.random.bernoulli(some_key, 0.45)
    share = jnp.where(some, jax.random.uniform(share_key, (), jnp.float32) ** 2, 0)
    known = _pairs(pair_key, share, graph.shape[0])
    allowed = (~known | graph) & ~jnp.eye(graph.shape[0], dtype=bool)
    return allowed, graph & known, known


def _pairs(key, share, d):
    """A random share of all pairs, ``[d, d]`` bool, symmetric."""
    upper = jnp.triu(jax.random.uniform(key, (d, d), jnp.float32) < share, 1)
    return upper | upper.T


def draw_knowledge(key: Array, graph: Array) -> tuple[Array, Array, Array]:
    """What is known beforehand: whole pairs, and some directions without the edge.

    As ``reveal``; in 12 % of the draws some directions that are against the order of
    the labels are forbidden besides.

    Args:
      key: consumed.
      graph: ``[d, d]`` bool, the truth, parents before children.

    Returns:
      ``(allowed, required, known)``, as of ``reveal``.
    """
    d = graph.shape[0]
    whole_key, some_key, share_key, pair_key = jax.random.split(key, 4)
    allowed, required, known = reveal(whole_key, graph)
    # Parents stand before children here: a known direction forbids the other.
    some = jax.random.bernoulli(some_key, 0.12)
    share = jnp.where(some, jax.random.uniform(share_key, (), jnp.float32), 0)
    backward = jnp.tril(jnp.ones((d, d), bool))
    return allowed & ~(_pairs(pair_key, share, d) & backward), required, known
