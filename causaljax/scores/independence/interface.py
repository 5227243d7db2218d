"""What all tests of conditional independence have in common.

A test is prepared once from a table and then asked in batches::

    stats = TEST.prepare(key, problem, config)
    outcome = TEST.p_values(stats, x, y, z, used)

Test k of the batch asks whether ``x[k]`` and ``y[k]`` are independent given those
variables ``z[k, i]`` for which ``used[k, i]``. Conditioning sets of different sizes
share a batch; what stands in ``z`` where ``used`` is False does not matter. An answer
depends on the table, the key and the test, not on the other tests of the batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from causaljax.core.types import Array, Problem, PyTree


class Outcome(NamedTuple):
    """The answers of a batch of tests.

    A test that cannot be made, as of a constant column or with too few rows, finds no
    dependence: statistic 0 and p-value 1. ``statistic``, ``dof`` and ``log_p`` are
    finite for any finite table.
    """

    statistic: Array  # [b] float, at least 0; larger is less independent
    dof: Array  # [b] float, degrees of freedom of the statistic's law
    log_p: (
        Array  # [b] float, the logarithm of the p-value, finite however small that is
    )
    rows: Array  # [b] float, how many rows were used, by weight

    @property
    def p(self) -> Array:
        """The p-values, ``[b]`` float; they underflow to 0 where ``log_p`` does not."""
        return jnp.exp(self.log_p)


class IndependenceTest(NamedTuple):
    """A test as two pure functions; a module constant, as a ``Kernel`` is.

    ``prepare(key, problem, config) -> stats`` takes from a table what the test reads, a
    pytree of arrays. ``p_values(stats, x, y, z, used) -> Outcome`` answers; x and y are
    ``[b]`` int, z is ``[b, m]`` int and used ``[b, m]`` bool, and m may be 0.
    """

    prepare: Callable[[Array, Problem, Any], PyTree]
    p_values: Callable[[PyTree, Array, Array, Array, Array], Outcome]
    config: type  # of the options of ``prepare``
    # "double" for a test of little use in float32; the dtype itself is the table's.
    precision: str = "single"


def row_weights(problem: Problem) -> Array:
    """The rows that tests read, ``[n]`` float: their weights, or 0.

    A row in which a variable was set from outside follows another distribution than
    the table's other rows, and does not count.
    """
    return jnp.where(problem.intervened.any(axis=1), 0, problem.weight)
