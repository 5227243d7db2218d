"""Linear algebra at the precision that scores and penalties need."""

import jax
import jax.numpy as jnp

from causaljax.core.types import Array


def matmul(a: Array, b: Array) -> Array:
    """Matrix product at the highest precision the device has.

    Accelerators multiply float32 matrices in bfloat16 unless told otherwise;
    whatever feeds a score, a factorisation or a penalty is multiplied here.
    """
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
