"""A tiny network with the names of an architecture, and random weights.

``conftest`` loads it as ``causaljax.networks.stand_in``, so that weights files can
name it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.networks.network import GraphLogits


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    width: int = 6
    shape: tuple[int, ...] = (3,)


NUM_STATISTICS = 5


def init_params(key, config):
    names = {
        "hidden": (NUM_STATISTICS, config.width),
        "told": (3, config.width),
        "edge": (config.width, 1),
        "ancestor": (config.width, 1),
    }
    keys = jax.random.split(key, len(names))
    return {
        "layers": {
            name: jax.random.normal(key, shape)
            for key, (name, shape) in zip(keys, names.items(), strict=True)
        }
    }


def inputs(problem, config):
    """Mask-weighted moments of each pair, [d, d, 5]."""
    del config
    x, dtype = problem.x, problem.x.dtype
    used = problem.observed & (problem.weight > 0)[:, None]
    mask = (
        used.astype(dtype) * jnp.where(problem.weight > 0, problem.weight, 0)[:, None]
    )
    x = jnp.where(used, x, 0)
    total = mask.sum(axis=0)[None, :]
    x = x - (mask * x).sum(axis=0)[None, :] / jnp.maximum(total, 1)
    x = x / jnp.sqrt((mask * x * x).sum(axis=0)[None, :] / jnp.maximum(total, 1) + 0.01)
    seen = (used & ~problem.intervened).astype(dtype)
    rows = matmul(mask.T, used.astype(dtype)) + 1

    def moment(a, b):
        return matmul((mask * a).T, used.astype(dtype) * b) / rows

    grid = [
        moment(x, x),
        moment(jnp.tanh(x) ** 2, x),
        moment(x, jnp.tanh(x) ** 2),
        moment(seen, x),
        jnp.tanh(moment(x, x * x)),
    ]
    return jnp.stack(grid, axis=-1)


def edge_logits(params, inputs, allowed, required, config):
    del config
    layers, dtype = params["layers"], inputs.dtype
    told = jnp.stack([allowed, required, required.T], axis=-1).astype(dtype)
    # What is known of others changes what is thought of a pair.
    told = told + 0.5 * told.mean(axis=0)[None] + 0.5 * told.mean(axis=1)[:, None]
    hidden = matmul(inputs, jnp.asarray(layers["hidden"], dtype))
    hidden = jnp.tanh(hidden + matmul(told, jnp.asarray(layers["told"], dtype)))
    edge = matmul(hidden, jnp.asarray(layers["edge"], dtype))[..., 0]
    ancestor = matmul(hidden, jnp.asarray(layers["ancestor"], dtype))[..., 0]
    return GraphLogits(
        edge=edge,
        ancestor=ancestor,
        confounded=ancestor + ancestor.T,
        order=edge.sum(axis=1) - edge.sum(axis=0),
        target=ancestor.mean(axis=0),
    )
