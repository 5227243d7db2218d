"""Programs that start soon: ``jax.jit`` with the compiler's cheaper settings.

Most of a first fit is compilation. On CPUs, LLVM's first level of optimisation makes
programs about as fast as its highest for the small arrays of this package, and is much
sooner done. Without any optimisation it is done sooner still, and the program takes
several times as long to run: that is right for what runs once a fit.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_OPTIONS = {
    "xla_cpu_use_fusion_emitters": False,  # jaxlib 0.10 knows it, later ones may not
    "xla_backend_optimization_level": 1,
}
_ASKED_FOR_NONE = "jax_disable_most_optimizations"


def quick_jit(
    function: Callable | None = None,
    *,
    once: bool | Callable[..., bool] = False,
    **options: Any,
) -> Callable:
    """``jax.jit`` for functions that are called from the host, and compile soon.

    Called while jax traces another function it is ``jax.jit`` as it is: the outermost
    function decides on the compiler's settings. So it is on other devices than CPUs,
    and where jax was told to optimise little (``jax_disable_most_optimizations``).

    Args:
      function: pure, of arrays; left out, a decorator is returned.
      once: the program runs once a fit and does little: it is not optimised at all.
        If that depends on the arguments (their shapes, what is static), a function
        of them.
      **options: of ``jax.jit``.

    Returns:
      The compiled function.

    Example:
      >>> float(quick_jit(jnp.sin)(0.0))
      0.0
    """
    if function is None:
        return functools.partial(quick_jit, once=once, **options)
    plain = jax.jit(function, **options)
    compiled = {}

    @functools.wraps(function)
    def call(*args, **kwargs):
        if jax.config.values.get(_ASKED_FOR_NONE) or _is_traced(args, kwargs):
            return plain(*args, **kwargs)
        idle = once(*args, **kwargs) if callable(once) else once
        which = jax.default_backend(), idle
        if which not in compiled:
            settings = _known_options(which[0])
            if idle and settings:
                settings = settings | {"xla_backend_optimization_level": 0}
            compiled[which] = jax.jit(function, compiler_options=settings, **options)
        return compiled[which](*args, **kwargs)

    return call


def _is_traced(*arguments):
    # A constant of jax's is traced within another function's trace, and nowhere else.
    probe = jnp.asarray(np.int32(0))
    leaves = jax.tree.leaves((probe, arguments))
    return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


@functools.cache
def _known_options(backend):
    """Those of the settings that this version of the compiler knows."""
    known = {}
    for name, value in _OPTIONS.items() if backend == "cpu" else ():
        try:
            jax.jit(lambda: 0, compiler_options={name: value})()
        except Exception:  # of the compiler's own kinds
            continue
        known[name] = value
    return known
