"""The best of several runs from different starts."""

import jax
import jax.numpy as jnp

from causaljax.core.compiling import quick_jit
from causaljax.core.precision import in_precision
from causaljax.core.run import run
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree


@in_precision
@quick_jit(static_argnames=("kernel", "num_starts"))
def best_run(
    kernel: Kernel, key: Array, problem: Problem, config: PyTree, num_starts: int
) -> tuple[Posterior, PyTree]:
    """Runs a kernel with several keys and keeps the best run.

    That is the one of least loss among those that converged, or of all if none did:
    a descent that still holds cycles can have a loss that no acyclic graph has.

    The runs go through one compiled program, one after another: side by side, their
    factorisations can wait for each other's threads for ever on CPUs of few cores
    (jaxlib 0.10.2).

    Args:
      kernel: a method whose ``Info`` has ``loss`` and ``converged``.
      key: typed key.
      problem: the table.
      config: the kernel's ``Config``.
      num_starts: how many, static.

    Returns:
      The posterior of the best run and the diagnostics of its last step; a run whose
      loss is not finite is the best only if all are.
    """
    keys = jax.random.split(key, num_starts)
    posteriors, infos = jax.lax.map(lambda k: run(kernel, k, problem, config), keys)
    best = best_start(infos)
    return jax.tree.map(lambda leaf: leaf[best], (posteriors, infos))


def best_start(infos: PyTree) -> Array:
    """The number of the best of several runs, by their last diagnostics.

    Args:
      infos: an ``Info`` whose ``loss`` ``[s]`` and ``converged`` ``[s]`` are stacked.

    Returns:
      ``[]`` int; see ``best_run``.
    """
    losses = jnp.where(jnp.isfinite(infos.loss), infos.loss, jnp.inf)
    first = jnp.where(infos.converged | ~infos.converged.any(), losses, jnp.inf)
    return jnp.argmin(first)
