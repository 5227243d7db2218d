"""The network that reads the table itself: attention over variables and over rows.

Each cell starts as its standardised value, whether it was set from outside and
whether it was observed. Blocks of pre-normalised attention and feed-forward layers
then take turns, one mixing the variables of a row, the next the rows of a variable.
The maximum over rows leaves one vector a variable, and an edge i -> j is the cosine
of a "cause" reading of i and an "effect" reading of j.

Relabelling the variables relabels the answer, a column's unit and offset and padding
rows change nothing, and a row of weight 2 is two rows. The order of rows changes
nothing up to ``row_chunk`` rows. A longer table is dealt like cards into chunks of
that many rows, rows attend to their own chunk only, and the maximum runs over all:
memory does not grow with rows, and which rows share a chunk follows from their order.
The number of variables is free: memory grows with its square at most.

It computes in float32 whatever the table is in.

Source: Lorch, Sussex, Rothfuss, Krause and Schoelkopf 2022, "Amortized inference for
causal structure learning" (AVICI); knowledge, gaps, weights, chunks and the heads
beside the edges are additions, and the model of the paper is width 128, 16 blocks.
"""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from causaljax.nets.beliefs import Beliefs
from causaljax.types import Array, Problem, PyTree

_LOG_TEMPERATURE = 2.0  # of a cosine at the start of training
_LOG_ODDS = -3.0  # of an edge at the start: most pairs have none
_KNOWN = 8.0  # log odds that knowledge is worth at the start
_EXPANSION = 4  # of the feed-forward layers
_CONSTANT = 1e-6  # a column varies less, against its size: rounding, not variation

_he = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The size of the network.

    Attributes:
      width: numbers that stand for a cell; a multiple of ``num_heads``.
      num_blocks: layers of attention, odd ones over variables, even ones over rows.
      num_heads: of each attention.
      row_chunk: rows that may attend to each other.
    """

    width: int = 64
    num_blocks: int = 8
    num_heads: int = 8
    row_chunk: int = 256


class Inputs(NamedTuple):
    """A table dealt into chunks of rows; places left over have weight 0."""

    cells: Array  # [chunks, rows, d, 3] float32: value, set from outside, observed
    observed: Array  # [chunks, rows, d] bool, False for padding too
    weight: Array  # [chunks, rows] float32


def init_params(key: Array, config: NetworkConfig) -> PyTree:
    """Fresh parameters.

    Args:
      key: consumed.
      config: the network.

    Returns:
      The parameters, float32; they fit tables of any size.

    Raises:
      ValueError: if ``num_heads`` does not divide ``width``.
    """
    if config.width % config.num_heads:
        raise ValueError(
            f"width must be a multiple of num_heads, not {config.width} for "
            f"{config.num_heads}"
        )
    trunk_key, heads_key = jax.random.split(key)
    chunk = jnp.zeros((1, 2, 3)), jnp.ones((1, 2), bool), jnp.ones(1)
    known = jnp.zeros((2, 2), bool)
    return {
        "trunk": _Trunk(config).init(trunk_key, *chunk),
        "heads": _Heads(config).init(
            heads_key, jnp.zeros((2, config.width)), known, known
        ),
    }


def inputs(problem: Problem, config: NetworkConfig) -> Inputs:
    """What the network reads of a table.

    Args:
      problem: the table; a column without variation becomes 0.
      config: the network.

    Returns:
      The table, standardised over its observed cells and dealt into chunks.

    Differentiable: in ``problem.x``.
    """
    weight = problem.weight.astype(jnp.float32)
    present = problem.observed & (weight > 0)[:, None]
    share = jnp.where(present, weight[:, None], 0)
    total = share.sum(axis=0, keepdims=True)
    share = share / jnp.where(total > 0, total, 1)
    # Columns are brought to size 1 first, so that squares stay in float32's range.
    size = jnp.abs(jnp.where(present, problem.x, 0)).max(axis=0, keepdims=True)
    size = jax.lax.stop_gradient(jnp.where(size > 0, size, 1))
    x = (problem.x / size).astype(jnp.float32)
    centred = jnp.where(present, x - (share * x).sum(axis=0, keepdims=True), 0)
    variance = (share * jnp.square(centred)).sum(axis=0, keepdims=True)
    varies = variance > _CONSTANT**2
    value = jnp.where(varies, centred / jnp.sqrt(jnp.where(varies, variance, 1)), 0)
    cells = jnp.stack(
        [
            value,
            (problem.intervened & present).astype(jnp.float32),
            present.astype(jnp.float32),
        ],
        axis=-1,
    )

    rows = min(weight.shape[0], config.row_chunk)
    num_chunks = -(-weight.shape[0] // rows)
    # Padding rows take no place, so that no chunk depends on them.
    real = weight > 0
    rank = jnp.cumsum(real) - 1
    num_filled = jnp.maximum(-(-real.sum() // rows), 1)
    place = jnp.where(
        real, rank % num_filled * rows + rank // num_filled, num_chunks * rows
    )

    def deal(array):
        empty = jnp.zeros((num_chunks * rows, *array.shape[1:]), array.dtype)
        dealt = empty.at[place].set(array, mode="drop")
        return dealt.reshape(num_chunks, rows, *array.shape[1:])

    return Inputs(cells=deal(cells), observed=deal(present), weight=deal(weight))


def edge_logits(
    params: PyTree,
    inputs: Inputs,
    allowed: Array,
    required: Array,
    config: NetworkConfig,
) -> Beliefs:
    """What the network believes of a table.

    Args:
      params: of ``init_params``.
      inputs: of the function of this name.
      allowed: ``[d, d]`` bool, as in ``Problem``.
      required: ``[d, d]`` bool, likewise. Both only shift the log odds of the pairs
        they speak of; a kernel makes them hold.
      config: the network.

    Returns:
      The beliefs.

    Differentiable: in ``params`` and ``inputs``.
    """

    def summarise(chunk):
        return _Trunk(config).apply(params["trunk"], *chunk)

    if inputs.weight.shape[0] == 1:
        nodes = summarise(jax.tree.map(lambda leaf: leaf[0], inputs))
    else:
        nodes = jax.lax.map(summarise, inputs).max(axis=0)
    # pyrefly: ignore [bad-argument-type]
    nodes = jnp.where(inputs.observed.any(axis=(0, 1))[:, None], nodes, 0)
    # pyrefly: ignore [bad-return]
    return _Heads(config).apply(params["heads"], nodes, allowed, required)


class _Trunk(nn.Module):
    """A chunk's cells to one vector a variable, the maximum over its rows."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, cells, observed, weight):
        states = nn.Dense(self.config.width, kernel_init=_he, name="cells")(cells)
        # A gap has no value to tell other rows; other variables may see the gap.
        everyone = jnp.ones_like(observed)
        column_weight = jnp.where(observed, weight[:, None], 0).T
        for block in range(self.config.num_blocks):
            name = f"block_{block}"
            if block % 2 == 0:
                share = everyone.astype(states.dtype)
                states = _Block(self.config, name=name)(states, share)
            else:
                states = states.swapaxes(0, 1)
                states = _Block(self.config, name=name)(states, column_weight)
                states = states.swapaxes(0, 1)
        states = nn.LayerNorm()(states)
        lowest = jnp.finfo(states.dtype).min
        return jnp.where(observed[..., None], states, lowest).max(axis=0)


class _Block(nn.Module):
    """Attention along the last axis but one, then a feed-forward layer."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, states, weight):
        """``states [m, s, width]``; ``weight [m, s]``, how often each is looked at."""
        width, heads = self.config.width, self.config.num_heads

        def read(name):
            normed = nn.LayerNorm(name=f"norm_{name}")(states)
            shape = (heads, width // heads)
            return nn.DenseGeneral(shape, kernel_init=_he, name=name)(normed)

        query, key, value = read("query"), read("key"), read("value")
        scores = jnp.einsum("mqhc,mkhc->mhqk", query, key) / (width // heads) ** 0.5
        there = (weight > 0)[:, None, None, :]
        log_weight = jnp.log(jnp.where(weight > 0, weight, 1))[:, None, None, :]
        scores = jnp.where(there, scores + log_weight, jnp.finfo(scores.dtype).min)
        # Where nothing is there to look at, the softmax is uniform and counts 0.
        shares = jnp.where(there, jax.nn.softmax(scores, axis=-1), 0)
        mixed = jnp.einsum("mhqk,mkhc->mqhc", shares, value)
        mixed = nn.DenseGeneral(width, axis=(-2, -1), kernel_init=_he, name="out")(
            mixed
        )
        states = states + mixed

        hidden = nn.Dense(_EXPANSION * width, kernel_init=_he)(nn.LayerNorm()(states))
        return states + nn.Dense(width, kernel_init=_he)(nn.relu(hidden))


class _Heads(nn.Module):
    """One vector a variable to beliefs."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, nodes, allowed, required):
        forbidden = ~allowed
        known = jnp.stack([required, required.T, forbidden, forbidden.T], axis=-1)
        worth = self.param(
            "knowledge",
            lambda _: jnp.array([_KNOWN, -_KNOWN, -_KNOWN, 0.0], nodes.dtype),
        )
        edge = _Bilinear(self.config, name="edge")(nodes)
        order = nn.Dense(1, kernel_init=_he, name="order")(nodes)
        target = nn.Dense(1, kernel_init=_he, name="target")(nodes)
        return Beliefs(
            edge=edge + known.astype(nodes.dtype) @ worth,
            ancestor=_Bilinear(self.config, name="ancestor")(nodes),
            order=order[:, 0],
            target=target[:, 0],
        )


class _Bilinear(nn.Module):
    """Log odds of i -> j: a cosine of two readings, with temperature and bias."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, nodes):
        def direction(name):
            normed = nn.LayerNorm(name=f"norm_{name}")(nodes)
            vector = nn.Dense(self.config.width, kernel_init=_he, name=name)(normed)
            length = jnp.square(vector).sum(axis=-1, keepdims=True)
            return vector * jax.lax.rsqrt(length + 1e-12)

        temperature = self.param(
            "log_temperature", lambda _: jnp.array(_LOG_TEMPERATURE, nodes.dtype)
        )
        bias = self.param("bias", lambda _: jnp.array(_LOG_ODDS, nodes.dtype))
        cosine = direction("cause") @ direction("effect").T
        return jnp.exp(temperature) * cosine + bias
