"""Probabilities of edges, from log-odds of pairs or from scores around one graph."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem
from causaljax.graphs.dags import greedy_acyclic, transitive_closure


def prior_log_odds(prior: ArrayLike, dtype: DTypeLike) -> Array:
    """What a belief beforehand adds to the score of each edge, in nats.

        l_ij = log(p_ij / (1 - p_ij))

    A graph's prior is then proportional to the exponential of the sum over its edges,
    as if edges were independent.

    Args:
      prior: ``[d, d]`` in [0, 1], P(i -> j); the diagonal does not count.
      dtype: of the result.

    Returns:
      ``[d, d]`` float: -inf where the prior is 0; where it is 1, the log-odds of the
      largest number below 1, some 37 in double precision; 0 on the diagonal.

    No gradient flows through it.
    """
    prior = jax.lax.stop_gradient(jnp.asarray(prior).astype(dtype))
    prior = jnp.minimum(prior, 1 - jnp.finfo(dtype).epsneg)
    itself = jnp.eye(prior.shape[0], dtype=bool)
    return jnp.where(itself, 0, jnp.log(prior) - jnp.log1p(-prior))


def pair_probabilities(logits: Array) -> Array:
    """Probabilities of the three states of each pair: i -> j, j -> i, or no edge.

    P(i -> j) = exp(l_ij) / (1 + exp(l_ij) + exp(l_ji))

    Args:
      logits: ``[d, d]`` float, of i -> j against no edge; -inf where it is ruled out.

    Returns:
      ``[d, d]`` float; P(i -> j) + P(j -> i) is at most 1.

    Differentiable: in logits that are finite.
    """
    top = jnp.maximum(jnp.maximum(logits, logits.T), 0)
    sizes = jnp.exp(logits - top)
    return sizes / (jnp.exp(-top) + sizes + sizes.T)


def edge_probabilities(
    graph: Array, gains: Array, allowed: Array, required: Array
) -> Array:
    """The probability of each edge if the rest of the graph is right, ``[d, d]``.

    That weighs no edge, i -> j and j -> i by their scores, where they close no cycle.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      gains: ``[d, d]`` float, of a ``Climb``.
      allowed: ``[d, d]`` bool.
      required: ``[d, d]`` bool.
    """
    reach = transitive_closure(graph)
    paths = matmul(graph.astype(gains.dtype), reach.astype(gains.dtype))
    # What reaches back to i by another way than an edge i -> j must stay behind it.
    possible = allowed & (~reach | (graph & ~(paths > 0))).T
    prob = pair_probabilities(jnp.where(possible, gains, -jnp.inf))
    free = allowed & ~transitive_closure(required).T
    return jnp.where(required, 1, jnp.where(free, prob, 0)).astype(gains.dtype)


def known_edges(prob: Array, problem: Problem) -> Array:
    """Probabilities, 1 of required edges and 0 of forbidden ones.

    Args:
      prob: ``[d, d]`` float, which knowledge has shaped already, but for rounding.
      problem: has the knowledge.

    Returns:
      ``[d, d]`` float.
    """
    return jnp.where(problem.required, 1, jnp.where(problem.allowed, prob, 0))


def consensus(prob: Array, required: Array, told: ArrayLike) -> tuple[Array, Array]:
    """One graph for a distribution over graphs, and what of it is open.

    Pairs that are joined with a probability above 1/2 are edges, each in its more
    probable direction, the strongest first and none that closes a cycle. A direction is
    open if its probability, given the edge, is ``told`` or less.

    Args:
      prob: ``[d, d]`` float, P(i -> j); both directions of a pair exclude each other.
      required: ``[d, d]`` bool.
      told: ``[]`` float.

    Returns:
      ``[d, d]`` bool, acyclic; and the same with both directions of open edges.
    """
    joined = prob + prob.T
    order = jnp.arange(len(prob))
    first = (prob > prob.T) | ((prob == prob.T) & (order[:, None] < order[None, :]))
    strength = jnp.where((joined > 0.5) & first, joined, 0)
    graph = greedy_acyclic(strength, 0.0, required)
    claimed = required | (prob > told * joined)
    return graph, graph | (graph & ~claimed).T


def symmetrise_undirected(prob: Array, graph: Array, essential: Array) -> Array:
    """Probabilities of edges, even where a direction is open and turns with others.

    Such an edge alone leaves the equivalence class, and ``edge_probabilities`` speaks
    of it alone. What can turn alone, since its ends have the same other parents
    (Chickering 1995, covered edges), keeps its probability.

    Args:
      prob: ``[d, d]`` float.
      graph: ``[d, d]`` bool, acyclic.
      essential: ``[d, d]`` bool, both ways where a direction is open.
    """
    others = graph[:, None, :] & ~jnp.eye(len(graph), dtype=bool)[:, :, None]
    covered = graph & (others == graph[:, :, None]).all(axis=0)
    even = essential & essential.T & ~(covered | covered.T)
    return jnp.where(even, (prob + prob.T) / 2, prob)


def class_probabilities(essential: Array) -> Array:
    """P(i -> j) of an essential graph: 1 if directed, 1/2 each way if not.

    Args:
      essential: ``[..., d, d]`` bool.

    Returns:
      ``[..., d, d]`` float32.
    """
    essential = essential.astype(jnp.float32)
    return essential * (1 - 0.5 * jnp.swapaxes(essential, -1, -2))
