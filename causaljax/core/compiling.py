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
    """``jax.jit`` with cheap compiler settings for functions called from the host.

    The function behaves as under plain ``jax.jit`` in three cases: while jax traces
    another function, whose own settings then hold; on devices other than CPUs; and
    where ``jax_disable_most_optimizations`` is set.

    Args:
      function: pure, of arrays; left out, a decorator is returned.
      once: True if the program runs once a fit and does little; it is then not
        optimised at all. A function of the arguments, if that depends on their shapes
        or on what is static.
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
        if jax.config.values.get(_ASKED_FOR_NONE) or is_traced(args, kwargs):
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


def is_traced(*arguments: Any) -> bool:
    """Whether jax traces a function here, or an argument is part of a trace."""
    # A constant of jax's is traced within another function's trace, and nowhere else.
    probe = jnp.asarray(np.int32(0))
    leaves = jax.tree.leaves((probe, arguments))
    return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def branch(
    condition: Any,
    then: Callable[[], Any],
    otherwise: Callable[[], Any],
) -> Any:
    """``jax.lax.cond``, or outside of a trace the one branch that is asked for.

    For kernels that are ``staged``: their parts are then compiled one by one, those
    that are used.

    Args:
      condition: ``[]`` bool.
      then: a function of nothing.
      otherwise: the same, for False; the answers are alike in structure.

    Returns:
      The answer of one of the two.
    """
    if is_traced(condition):
        return jax.lax.cond(condition, then, otherwise)
    return then() if condition else otherwise()


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
