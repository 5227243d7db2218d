"""How a network learns: its loss on tables of known graph, and one step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from causaljax.core.types import Array
from causaljax.graphs.dags import transitive_closure
from causaljax.networks.network import GraphLogits

_ANCESTOR, _ORDER, _TARGET, _CONFOUNDED = 0.2, 0.1, 0.2, 0.5


class Losses(NamedTuple):
    """Mean losses, in nats; ``total`` is their weighted sum."""

    total: Array
    edge: Array
    ancestor: Array
    order: Array
    target: Array
    confounded: Array


def losses(
    beliefs: GraphLogits,
    graph: Array,
    known: Array,
    target: Array | None = None,
    confounded: Array | None = None,
) -> Losses:
    """How far beliefs are from the truth.

    ``edge`` is the mean over unknown pairs of the cross-entropy of the three-way
    softmax (no edge, i -> j, j -> i); ``ancestor`` that of the ancestor matrix;
    ``order`` that of "i before j" over all pairs where i is an ancestor of j;
    ``target`` that of the variables that were targets in a hidden regime;
    ``confounded`` that over all pairs of a common cause outside the table.

    Args:
      beliefs: of one table.
      graph: ``[d, d]`` bool, the truth.
      known: ``[d, d]`` bool, pairs that were revealed and do not count.
      target: ``[d]`` bool, targets in hidden regimes; left out, not scored.
      confounded: ``[d, d]`` bool, symmetric, pairs with a hidden common cause; left
        out, not scored.

    Returns:
      The losses, each ``[]``.

    Differentiable: in ``beliefs``.
    """
    d = graph.shape[0]
    above = jnp.triu(jnp.ones((d, d), bool), 1)
    edge = beliefs.edge
    options = jnp.stack([jnp.zeros_like(edge), edge, edge.T], -1)
    logs = jax.nn.log_softmax(options)
    truth = jnp.where(
        graph, logs[..., 1], jnp.where(graph.T, logs[..., 2], logs[..., 0])
    )
    edge_loss = _mean(-truth, above & ~known)

    ancestors = transitive_closure(graph)
    off = ~jnp.eye(d, dtype=bool)
    ancestor_loss = _mean(
        optax.sigmoid_binary_cross_entropy(
            beliefs.ancestor, ancestors.astype(edge.dtype)
        ),
        off,
    )
    before = beliefs.order[:, None] - beliefs.order[None]
    order_loss = _mean(jax.nn.softplus(-before), ancestors & off)
    target_loss = jnp.zeros((), edge.dtype)
    if target is not None:
        target_loss = optax.sigmoid_binary_cross_entropy(
            beliefs.target, target.astype(edge.dtype)
        ).mean()
    confounded_loss = jnp.zeros((), edge.dtype)
    if confounded is not None:
        each = optax.sigmoid_binary_cross_entropy(
            beliefs.confounded, confounded.astype(edge.dtype)
        )
        confounded_loss = _mean(each, above)
    total = (
        edge_loss
        + _ANCESTOR * ancestor_loss
        + _ORDER * order_loss
        + _TARGET * target_loss
        + _CONFOUNDED * confounded_loss
    )
    return Losses(
        total, edge_loss, ancestor_loss, order_loss, target_loss, confounded_loss
    )


def _mean(values, where):
    where = where.astype(values.dtype)
    return jnp.sum(values * where) / jnp.maximum(where.sum(), 1)
