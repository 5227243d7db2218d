"""Linear algebra at the precision that scores and penalties need."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from causaljax.core.types import Array, PyTree


def matmul(a: Array, b: Array) -> Array:
    """Matrix product at the highest precision the device has.

    Accelerators multiply float32 matrices in bfloat16 unless told otherwise;
    whatever feeds a score, a factorisation or a penalty is multiplied here.
    """
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def map_factorisations(
    function: Callable[..., PyTree], xs: PyTree, at_once: int | None = None
) -> PyTree:
    """``vmap(function)(xs)``, one after another on CPUs.

    Batches of LAPACK calls that XLA runs at the same time can wait for each other's
    threads for ever on CPUs of few cores (jaxlib 0.10). Other devices batch them.

    Args:
      function: of one slice; it factorises matrices.
      xs: pytree of arrays, mapped along their first axes.
      at_once: how many slices a device other than a CPU works on, static; None is all.

    Returns:
      The results, stacked along axis 0.

    Differentiable: as the function is.
    """
    return jax.lax.platform_dependent(
        xs,
        cpu=lambda xs: jax.lax.map(function, xs),
        default=lambda xs: (
            jax.vmap(function)(xs)
            if at_once is None
            else jax.lax.map(function, xs, batch_size=at_once)
        ),
    )
