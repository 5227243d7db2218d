"""Noise of mean exactly 0 and standard deviation exactly 1, by family.

Scale is always a separate multiplier: ``scale * sample_noise(...)`` has standard
deviation ``scale`` in every family of ``NOISE``. Families differ in shape only.
Those of ``HEAVY_NOISE`` have no standard deviation and are kept apart; their unit
is the interquartile range of the standard normal distribution.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from causaljax.core.types import Array

_EULER_GAMMA = 0.5772156649015329  # the mean of the standard Gumbel distribution
_STUDENT_T_DF = 5.0  # the smallest whole number with a finite kurtosis
_MIXTURE_MEAN = 0.9  # of the right half; far enough apart for two modes
_CAUCHY_UNIT = 0.6744897501960817  # the upper quartile of the standard normal
_CAUCHY_LIMIT = 1000.0  # clips 1 draw in 2300


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


def student_t(
    key: Array,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    df: Array | float = _STUDENT_T_DF,
) -> Array:
    """Student's t of ``df`` > 2 degrees of freedom, over its standard deviation."""
    return jax.random.t(key, df, shape, dtype) / (df / (df - 2)) ** 0.5


def mixture(
    key: Array,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    mean: Array | float = _MIXTURE_MEAN,
) -> Array:
    """One of two normal distributions around plus and minus ``mean`` < 1."""
    key_half, key_normal = jax.random.split(key)
    half = jax.random.rademacher(key_half, shape, dtype)
    sd = (1 - mean**2) ** 0.5
    return mean * half + sd * jax.random.normal(key_normal, shape, dtype)


def _cauchy(key, shape, dtype):
    draws = _CAUCHY_UNIT * jax.random.cauchy(key, shape, dtype)
    return jnp.clip(draws, -_CAUCHY_LIMIT, _CAUCHY_LIMIT)


NOISE = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "exponential": _exponential,
    "gumbel": _gumbel,
    "laplace": _laplace,
    "student_t": student_t,
    "mixture": mixture,
}
"""The families: name -> ``(key, shape, dtype) -> [*shape]``, mean 0, sd 1."""

HEAVY_NOISE = {"cauchy": _cauchy}
"""Families without a standard deviation: median 0, quartiles -0.674 and 0.674."""


def sample_noise(
    key: Array, family: str, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """Independent draws of mean 0 and standard deviation 1.

    Args:
      key: consumed.
      family: a name in ``NOISE``; "student_t" has 5 degrees of freedom,
        "exponential" and "gumbel" lean to the right, "mixture" is one of two
        normal distributions around -0.9 and 0.9. Or a name in ``HEAVY_NOISE``:
        "cauchy", clipped at 1000 units, has the quartiles of a standard normal.
      shape: of the result, static.
      dtype: of the result.

    Returns:
      ``[*shape]``, in units of the noise scale it will be multiplied with.

    Raises:
      ValueError: if the family is in neither.
    """
    families = {**NOISE, **HEAVY_NOISE}
    if family not in families:
        raise ValueError(f"noise family {family!r} is not one of {', '.join(families)}")
    return families[family](key, shape, dtype)
