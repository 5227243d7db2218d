"""A prepared test as a function of numpy's arrays, which searches on the host ask."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Array, Problem
from causaljax.scores.independence.interface import IndependenceTest


def asking(
    test: IndependenceTest, key: Array, problem: Problem, config: Any
) -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Prepares a test from a table and compiles its answers.

    Each shape of a batch has a program; another table of the same shape shares it.

    Args:
      test: of independence.
      key: of its random numbers.
      problem: the table.
      config: the test's ``config``.

    Returns:
      A function of ``x [b]``, ``y [b]``, ``z [b, m]`` and ``used [b, m]``, as of
      ``IndependenceTest.p_values``, that answers with the logarithms of p-values,
      ``[b]`` float. A test of double precision works in float64.

    Example:
      >>> from causaljax.core.types import make_problem
      >>> from causaljax.scores.independence import partial_correlation as fisher
      >>> x = np.random.default_rng(0).normal(size=(500, 3)).cumsum(axis=1)  # a chain
      >>> table = make_problem(x.astype(np.float32))
      >>> ask = asking(fisher.FISHER_Z, jax.random.key(0), table, fisher.Config())
      >>> apart = np.array([0, 0]), np.array([2, 2]), np.array([[1], [1]])
      >>> (ask(*apart, np.array([[False], [True]])) > np.log(0.05)).tolist()
      [False, True]
    """
    prepare, p_values = _programs(test)
    with _precision(test):
        if test.precision == "double":
            wide: Any = {
                name: np.asarray(getattr(problem, name), np.float64)
                for name in ("x", "weight")
            }
            problem = problem._replace(**wide)
        stats = prepare(key, problem, config)

    def ask(x, y, z, used):
        with _precision(test):
            return np.asarray(p_values(stats, x, y, z, used))

    return ask


def _precision(test):
    if test.precision == "double":
        return jax.enable_x64(True)
    return contextlib.nullcontext()


@functools.cache
def _programs(test):
    def log_p(stats, x, y, z, used):
        return test.p_values(stats, x, y, z, used).log_p

    return quick_jit(test.prepare, once=True), quick_jit(log_p)
