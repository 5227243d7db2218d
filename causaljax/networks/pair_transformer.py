"""A transformer on the d x d grid of pair statistics.

Every ordered pair is a token. In a block each token reads, side by side: the three
ways two pairs share a third variable k (chain i -> k -> j, fork i <- k -> j, collider
i -> k <- j), its row or its column by attention, itself and its mirror image. No shape
depends on d or on the number of rows.

Sources: Jumper et al. 2021 (AlphaFold 2) for triangular mixing; Wu et al. 2024 (SEA)
for learning from statistics; Wang and Komatsuzaki 2021 for blocks in parallel.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from causaljax.core.types import Array, Problem, PyTree
from causaljax.networks.network import GraphLogits
from causaljax.networks.pair_statistics import NUM_STATISTICS, pair_statistics


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network."""

    width: int = 48  # of a token
    num_blocks: int = 5
    triangles: int = 16  # channels of each triangular pattern
    num_heads: int = 4
    head_width: int = 8
    hidden: int = 96  # of the feed-forward part


def init_params(key: Array, config: NetworkConfig) -> PyTree:
    """Random weights.

    Args:
      key: consumed.
      config: the sizes.

    Returns:
      ``{"network": weights, "standardise": {"mean": [f], "sd": [f]}}``, float32;
      ``standardise`` is taken from training tables and never trained.
    """
    blank = jnp.zeros((3, 3, NUM_STATISTICS)), jnp.zeros((3, 3, 4))
    standardise = {"mean": jnp.zeros(NUM_STATISTICS), "sd": jnp.ones(NUM_STATISTICS)}
    network = _Network(config).init(key, *blank)["params"]
    return {"network": network, "standardise": standardise}


def inputs(problem: Problem, config: NetworkConfig) -> Array:
    """The grid of statistics, ``[d, d, f]``: see ``pair_statistics``."""
    del config  # another network reads something else
    return pair_statistics(problem)


def edge_logits(
    params: PyTree,
    inputs: Array,
    allowed: Array,
    required: Array,
    config: NetworkConfig,
) -> GraphLogits:
    """What the network believes of a table, given what is known.

    Args:
      params: from ``init_params`` or training.
      inputs: from ``inputs``.
      allowed: ``[d, d]`` bool, False where i -> j is known to be absent.
      required: ``[d, d]`` bool, True where i -> j is known to be there.
      config: the sizes.

    Returns:
      The beliefs; knowledge informs them but does not bind them.

    Differentiable: in ``params`` and ``inputs``.
    """
    standard = jax.lax.stop_gradient(params["standardise"])
    mean, sd = (standard[name][None, None] for name in ("mean", "sd"))
    grid = jnp.clip((inputs - mean) / sd, -5, 5)
    known = jnp.stack([required, required.T, ~allowed, ~allowed.T], -1)
    off = ~jnp.eye(allowed.shape[0], dtype=bool)[..., None]
    known = (known & off).astype(grid.dtype)
    beliefs: Any = _Network(config).apply({"params": params["network"]}, grid, known)
    return beliefs


def _mirror(z):
    return z.swapaxes(-3, -2)


class _Network(nn.Module):
    config: NetworkConfig

    @nn.compact
    def __call__(self, grid, known):
        config = self.config
        d = grid.shape[-2]
        diagonal = jnp.eye(d, dtype=grid.dtype)[..., None]
        both = jnp.concatenate([grid, known, diagonal], -1)
        here, there = jnp.split(nn.Dense(2 * config.hidden, name="read")(both), 2, -1)
        z = nn.Dense(config.width, name="embed")(nn.gelu(here + _mirror(there)))
        for block in range(config.num_blocks):
            z = z + _Block(config, columns=block % 2 == 1)(z)
        z = nn.LayerNorm(name="norm")(z)

        here, there = jnp.split(nn.Dense(2 * config.width, name="pair")(z), 2, -1)
        pair = nn.Dense(2, name="edge")(nn.gelu(here + _mirror(there)))
        both = here + there  # from both sides the same, as an edge is not
        shared = nn.Dense(1, name="confounded")(nn.gelu(both + _mirror(both)))
        own = jnp.diagonal(z, axis1=-3, axis2=-2).swapaxes(-1, -2)
        own = jnp.concatenate([own, z.mean(-2), z.mean(-3)], -1)
        own = nn.Dense(2, name="order")(
            nn.gelu(nn.Dense(config.width, name="node")(own))
        )
        return GraphLogits(
            edge=pair[..., 0] - 2.0,  # most pairs have no edge
            ancestor=pair[..., 1],
            confounded=shared[..., 0] - 3.0,  # most pairs have none
            order=own[..., 0],
            target=own[..., 1],
        )


class _Block(nn.Module):
    config: NetworkConfig
    columns: bool

    @nn.compact
    def __call__(self, z):
        config = self.config
        d = z.shape[-2]
        t, a = config.triangles, config.num_heads * config.head_width
        z = nn.LayerNorm(name="norm")(z)
        left, right, gate, query, key, value, here, there = jnp.split(
            nn.Dense(5 * t + 3 * a + 2 * config.hidden, name="read")(z),
            _ends(t, t, 3 * t, a, a, a, config.hidden),
            -1,
        )
        left, right = (jnp.moveaxis(side, -1, -3) for side in (left, right))
        right = right / d**0.5
        mirrored = left.swapaxes(-1, -2)
        triangles = jnp.concatenate(
            [left @ right, mirrored @ right, left @ right.swapaxes(-1, -2)], -3
        )
        triangles = jnp.moveaxis(triangles, -3, -1) * nn.sigmoid(gate)

        if self.columns:
            query, key, value = _mirror(query), _mirror(key), _mirror(value)
        attended = _attend(query, key, value, config.num_heads)
        if self.columns:
            attended = _mirror(attended)

        own = nn.gelu(here + _mirror(there))
        return nn.Dense(config.width, name="write")(
            jnp.concatenate([triangles, attended, own], -1)
        )


def _ends(*sizes):
    ends, total = [], 0
    for size in sizes:
        total += size
        ends.append(total)
    return ends


def _attend(query, key, value, num_heads):
    """Attention of the tokens of each row among themselves, ``[..., d, d, a]``."""

    def heads(x):
        return x.reshape(*x.shape[:-1], num_heads, -1).swapaxes(-2, -3)

    query, key, value = heads(query), heads(key), heads(value)
    scores = query @ key.swapaxes(-1, -2) / query.shape[-1] ** 0.5
    attended = nn.softmax(scores) @ value
    return attended.swapaxes(-2, -3).reshape(*query.shape[:-3], query.shape[-2], -1)
