"""The weights of all parent sets of a problem."""

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.types import Array, Problem, PyTree
from causaljax.graphs.modular import NEVER
from causaljax.scores.bge import bge


def log_weights(problem: Problem, config: PyTree) -> Array:
    """BGe scores under a uniform prior of the graphs that knowledge leaves possible.

    Args:
      problem: the table.
      config: not read yet.

    Returns:
      ``[d, 2^d]`` float, log weights of parent sets in the numbering of
      ``graphs.modular``; ``NEVER`` where a set lacks a required parent, holds a
      forbidden one or the variable itself.

    Differentiable: in x and weight.
    """
    del config
    d = problem.x.shape[1]
    members = (np.arange(2**d)[:, None] >> np.arange(d)[None, :] & 1).astype(bool)
    off = ~np.eye(d, dtype=bool)

    def scores(parents):
        return bge(parents[:, None] & off, problem)

    found = jax.lax.map(scores, jnp.asarray(members)).T
    holds = jnp.asarray(members)[None]
    fits = ~problem.required.T[:, None, :] | holds
    fits = fits & (problem.allowed.T[:, None, :] & off[:, None, :] | ~holds)
    return jnp.where(fits.all(axis=2), found, NEVER)
