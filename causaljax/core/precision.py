"""The precision of a kernel, applied in one place."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from causaljax.core.compiling import is_traced
from causaljax.core.types import PyTree


def in_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a function of ``(kernel, key, problem, config, ...)`` as the kernel needs.

    A kernel of mixed precision keeps the dtype of the problem, and jax works in float64
    mode while the function runs, for parts of the kernel that ask for it. For a kernel
    of double precision the problem's and the config's real numbers become
    float64, jax works in float64 while the function runs, and real numbers of the
    answer come back in the dtype of the problem: as numpy arrays, or while jax traces
    another function as what it traces. jax's global setting stays as it is.

    Args:
      function: its answer is a pytree of arrays.

    Returns:
      The wrapped function. It raises TypeError if a kernel of double or mixed precision
      is traced as part of a program that has no float64: jax chooses the types of some
      operations only after tracing.
    """

    @functools.wraps(function)
    def call(kernel, key, problem, config, *args, **kwargs):
        if kernel.precision == "single":
            return function(kernel, key, problem, config, *args, **kwargs)
        if not jax.config.values["jax_enable_x64"] and is_traced(key, problem, config):
            raise TypeError(
                "this kernel or a part of it works in float64: trace the function that "
                "runs it under `with jax.enable_x64(True):`; other kernels in it keep "
                "to the dtype of their problem"
            )
        dtype = problem.x.dtype
        with jax.enable_x64(True):
            if kernel.precision == "double":
                problem, config = _to_dtype((problem, config), np.float64)
            answer = function(kernel, key, problem, config, *args, **kwargs)
            return _to_dtype(answer, dtype)

    return call


def _to_dtype(tree: PyTree, dtype: DTypeLike) -> PyTree:
    """Real numbers in a dtype; arrays as numpy's unless they are traced."""

    def converted(leaf):
        if isinstance(leaf, bool | int | float | str):
            return leaf
        real = jnp.issubdtype(leaf.dtype, jnp.floating)
        leaf = leaf if isinstance(leaf, jax.core.Tracer) else np.asarray(leaf)
        return leaf.astype(dtype) if real else leaf

    return jax.tree.map(converted, tree)
