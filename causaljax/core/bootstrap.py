"""Edge confidence by refitting on resampled rows."""

import jax
import jax.numpy as jnp

from causaljax.core.compiling import quick_jit
from causaljax.core.precision import in_precision
from causaljax.core.run import run
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree


@in_precision
@quick_jit(static_argnames=("kernel", "num_replicates"))
def bootstrap(
    kernel: Kernel,
    key: Array,
    problem: Problem,
    config: PyTree,
    num_replicates: int,
) -> Posterior:
    """Fits a kernel to as many rows drawn with replacement, many times over.

    A replicate changes nothing but the rows' weights, so one compiled program runs
    them all. They run one after another: the loops of a search end at different
    times, and side by side every replicate would wait for the slowest.

    Args:
      kernel: a point method, one that returns one graph; so does its ``extra``, if it
        has any, along the first axis of every array.
      key: typed key.
      problem: the table; a row's weight is its chance to be drawn.
      config: the kernel's ``Config``.
      num_replicates: s, static.

    Returns:
      A posterior of s graphs of equal weight; ``edge_prob`` is the share of the graphs
      that hold an edge.

    Source: Friedman, Goldszmidt and Wyner 1999, "Data analysis with Bayesian
    networks: a bootstrap approach".
    """
    total = problem.weight.sum()
    # As many draws count as there are rows that are no padding.
    number = (problem.weight > 0).sum()
    counts_for = jnp.where(
        jnp.arange(len(problem.weight)) < number,
        total / jnp.maximum(number, 1).astype(total.dtype),
        0,
    )

    def refit(key):
        draw_key, run_key = jax.random.split(key)
        num_rows = problem.weight.shape[0]
        drawn = jax.random.choice(
            draw_key, num_rows, (num_rows,), p=problem.weight / total
        )
        counts = jnp.zeros_like(problem.weight).at[drawn].add(counts_for)
        posterior, _ = run(kernel, run_key, problem._replace(weight=counts), config)
        return jax.tree.map(
            lambda leaf: leaf[0],
            (posterior.graphs, posterior.log_weight, posterior.extra),
        )

    keys = jax.random.split(key, num_replicates)
    graphs, log_weight, extra = jax.lax.map(refit, keys)
    return Posterior(
        edge_prob=graphs.astype(log_weight.dtype).mean(axis=0),
        graphs=graphs,
        log_weight=jnp.full_like(log_weight, -jnp.log(num_replicates)),
        extra=extra,
    )
