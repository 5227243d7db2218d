"""Monotone rational-quadratic splines, one a number: bends that can be undone.

On [-4, 4] the spline runs through knots whose distances and slopes are free; outside
it is the identity. Parameters of 0 make it the identity everywhere.

Source: Durkan et al. 2019, "Neural spline flows", section 3.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.types import Array

_BINS = 8
NUM_PARAMETERS = 3 * _BINS - 1
_BOUND = 4.0
_LEAST = 1e-3  # of a bin's width and height, in parts of the whole, and of a slope


class _Bin(NamedTuple):
    """The piece that a number falls into, ``[n]`` each."""

    left: Array
    bottom: Array
    width: Array
    height: Array
    slope_left: Array
    slope_right: Array


def bend(z: Array, raw: Array) -> tuple[Array, Array]:
    """The spline and its slope.

    Args:
      z: ``[n]`` float.
      raw: ``[n, 23]`` float, free.

    Returns:
      (u, log du/dz), each ``[n]``.

    Differentiable: in everything.

    Example:
      >>> u, log_slope = bend(jnp.array([0.5, 9.0]), jnp.zeros((2, NUM_PARAMETERS)))
      >>> [round(float(value), 3) for value in (*u, *log_slope)]
      [0.5, 9.0, 0.0, 0.0]
    """
    inside = jnp.abs(z) < _BOUND
    safe = jnp.where(inside, z, 0)
    left, bottom = _knots(raw)
    piece = _piece(left, bottom, raw, safe[:, None] >= left[:, 1:-1])
    part = (safe - piece.left) / piece.width
    share = part * (1 - part)
    steep = piece.height / piece.width
    below = steep + (piece.slope_left + piece.slope_right - 2 * steep) * share
    above = piece.height * (steep * part**2 + piece.slope_left * share)
    slope = (
        steep**2
        * (
            piece.slope_right * part**2
            + 2 * steep * share
            + piece.slope_left * (1 - part) ** 2
        )
        / below**2
    )
    u = jnp.where(inside, piece.bottom + above / below, z)
    return u, jnp.where(inside, jnp.log(slope), 0)


def unbend(u: Array, raw: Array) -> Array:
    """The z whose ``bend`` is u; arguments and result as there."""
    inside = jnp.abs(u) < _BOUND
    safe = jnp.where(inside, u, 0)
    left, bottom = _knots(raw)
    piece = _piece(left, bottom, raw, safe[:, None] >= bottom[:, 1:-1])
    steep = piece.height / piece.width
    excess = piece.slope_left + piece.slope_right - 2 * steep
    risen = safe - piece.bottom
    a = piece.height * (steep - piece.slope_left) + risen * excess
    b = piece.height * piece.slope_left - risen * excess
    c = -steep * risen
    root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0))
    part = jnp.clip(2 * c / jnp.minimum(-b - root, -1e-30), 0, 1)
    return jnp.where(inside, piece.left + part * piece.width, u)


def _knots(raw):
    """Where the pieces begin and end, ``[n, bins + 1]`` along either axis."""

    def places(free):
        share = _LEAST + (1 - _LEAST * _BINS) * jax.nn.softmax(free, axis=1)
        inner = _BOUND * (2 * jnp.cumsum(share, axis=1)[:, :-1] - 1)
        end = jnp.full_like(inner[:, :1], _BOUND)
        return jnp.concatenate([-end, inner, end], axis=1)

    return places(raw[:, :_BINS]), places(raw[:, _BINS : 2 * _BINS])


def _piece(left, bottom, raw, passed):
    """The piece after as many inner knots as a number has passed."""
    free = raw[:, 2 * _BINS :] + math.log(math.e - 1)
    inner = _LEAST + (1 - _LEAST) * jax.nn.softplus(free)
    one = jnp.ones_like(inner[:, :1])
    slopes = jnp.concatenate([one, inner, one], axis=1)
    index = passed.sum(axis=1)[:, None]

    def at(values, offset):
        return jnp.take_along_axis(values, index + offset, axis=1)[:, 0]

    return _Bin(
        left=at(left, 0),
        bottom=at(bottom, 0),
        width=at(left, 1) - at(left, 0),
        height=at(bottom, 1) - at(bottom, 0),
        slope_left=at(slopes, 0),
        slope_right=at(slopes, 1),
    )
