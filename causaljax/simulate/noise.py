"""Noise of mean exactly 0 and standard deviation exactly 1, by family.

Scale is always a separate multiplier: ``scale * sample_noise(...)`` has standard
deviation ``scale`` in every family. Families differ in shape only.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from causaljax.types import Array

_EULER_GAMMA = 0.5772156649015329  # the mean of the standard Gumbel distribution
_STUDENT_T_DF = 5.0  # the smallest whole number with a finite kurtosis


def _gaussian(key, shape, dtype):
    return jax.random.normal(key, shape, dtype)


def _uniform(key, shape, dtype):
    half_width = math.sqrt(3)
    return jax.random.uniform(key, shape, dtype, -half_width, half_width)


def _exponential(key, shape, dtype):
    return jax.random.exponential(key, shape, dtype) - 1


def _gumbel(key, shape, dtype):
    sd = math.pi / math.sqrt(6)
    return (jax.random.gumbel(key, shape, dtype) - _EULER_GAMMA) / sd


def _laplace(key, shape, dtype):
    return jax.random.laplace(key, shape, dtype) / math.sqrt(2)


def _student_t(key, shape, dtype):
    sd = math.sqrt(_STUDENT_T_DF / (_STUDENT_T_DF - 2))
    return jax.random.t(key, _STUDENT_T_DF, shape, dtype) / sd


NOISE = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "exponential": _exponential,
    "gumbel": _gumbel,
    "laplace": _laplace,
    "student_t": _student_t,
}
"""The families: name -> ``(key, shape, dtype) -> [*shape]``, mean 0, sd 1."""


def sample_noise(
    key: Array, family: str, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """Independent draws of mean 0 and standard deviation 1.

    Args:
      key: consumed.
      family: a name in ``NOISE``; "student_t" has 5 degrees of freedom,
        "exponential" and "gumbel" lean to the right.
      shape: of the result, static.
      dtype: of the result.

    Returns:
      ``[*shape]``, in units of the noise scale it will be multiplied with.

    Raises:
      ValueError: if the family is not in ``NOISE``.
    """
    if family not in NOISE:
        raise ValueError(f"noise family {family!r} is not one of {', '.join(NOISE)}")
    return NOISE[family](key, shape, dtype)
