"""The policy: which edge is added to a DAG next, or none.

Actions are numbers: i * d + j adds the edge i -> j, and d^2 stops.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.kernels.gflownet.environment import (
    Dag,
    edges,
    local_log_weights,
)

_GAIN_SCALE = 10.0  # nats beyond which the network does not tell gains apart


class Choice(NamedTuple):
    """What can be done with a DAG."""

    log_prob: Array  # [d^2 + 1] float, of each action, -inf if it is not legal
    gain: Array  # [d^2 + 1] float, log R(s') - log R(s); 0 for stopping


class Layer(NamedTuple):
    """A linear map."""

    weights: Array  # [inputs, outputs] float
    bias: Array  # [outputs] float


def init_policy(key: Array, num_variables: int, hidden: int, dtype) -> tuple:
    """Random weights of a network of two hidden layers, the last layer's 0.

    Args:
      key: consumed.
      num_variables: d, static.
      hidden: units of a hidden layer, static.
      dtype: of the weights.

    Returns:
      Three layers.
    """
    d = num_variables
    sizes = (3 * d * d, hidden, hidden, d * d)
    scales = (math.sqrt(2), math.sqrt(2), 0.0)
    keys = jax.random.split(key, 3)
    return tuple(
        Layer(
            scale
            / math.sqrt(inputs)
            * jax.random.normal(key, (inputs, outputs), dtype),
            jnp.zeros(outputs, dtype),
        )
        for key, scale, inputs, outputs in zip(
            keys, scales, sizes[:-1], sizes[1:], strict=True
        )
    )


def choose(policy: tuple, dag: Dag, table: Array) -> Choice:
    """Log probabilities of the next action.

    Stopping has the weight R(s) of the graph, adding an edge the flow f(s, e) through
    it, and F(s) is their sum:

        P_F(stop | s) = R(s) / F(s),   P_F(s + e | s) = f(s, e) / F(s).

    The network gives log f(s, e) minus a constant, which bounds the logarithm of the
    sum of all weights if no DAG weighs more than 1. So flows begin too large rather
    than too small. Where a flow is too large the sampler goes, and the network learns;
    where a flow is too small the sampler does not go, and some graphs stay unseen.

    Args:
      policy: of ``init_policy``.
      dag: of d variables.
      table: ``[d, 2^d]`` float, log weights of parent sets, in which the DAGs that
        weigh most have logarithms near 0.

    Returns:
      The choice.

    Differentiable: in the policy and the table.
    """
    d, dtype = len(table), table.dtype
    legal, gain = edges(dag, table)
    seen = (dag.graph.astype(dtype), dag.reach.astype(dtype))
    seen = (*seen, jnp.tanh(gain / _GAIN_SCALE))
    signal = jnp.stack(seen).ravel()
    *hidden, last = policy
    for layer in hidden:
        signal = jax.nn.relu(matmul(signal, layer.weights) + layer.bias)
    signal = matmul(signal, last.weights) + last.bias
    flow = _log_num_dags(d) + signal
    against_stop = flow - local_log_weights(dag, table).sum()
    logits = jnp.where(legal.ravel(), against_stop, -jnp.inf)
    stop = jnp.zeros_like(logits[:1])
    log_prob = jax.nn.log_softmax(jnp.concatenate([logits, stop]))
    return Choice(log_prob, jnp.concatenate([gain.ravel(), stop]))


def balance(choice: Choice, after: Choice, action: Array, num_edges: Array) -> Array:
    """How far a policy is from detailed balance at a transition s -> s'.

        delta = log R(s') - log R(s) + log P_B(s | s') + log P_F(stop | s)
                - log P_F(s' | s) - log P_F(stop | s'),

    where P_B takes away one of the edges that were added, each with the same
    probability. It is 0 at every transition if and only if the policy stops at each
    graph with a probability in proportion to R.

    Args:
      choice: at s.
      after: at s'.
      action: ``[]`` int, the edge that is added.
      num_edges: ``[]`` float, how many edges s' has that were added.

    Returns:
      ``[]`` float, nats.

    Differentiable: in both choices.
    Source: Deleu et al. 2022, equation 6.
    """
    forward = choice.log_prob[-1] - choice.log_prob[action]
    return choice.gain[action] - jnp.log(num_edges) + forward - after.log_prob[-1]


def _log_num_dags(d):
    """An upper bound of the logarithm of the number of DAGs.

    Each is a part of the complete DAG of an order.
    """
    return math.lgamma(d + 1) + d * (d - 1) / 2 * math.log(2)
