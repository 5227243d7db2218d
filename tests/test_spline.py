"""Splines: the identity at rest, monotone, undone, slopes that are slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.mechanisms import spline

Z = np.linspace(-6, 6, 121)
bend, unbend = jax.jit(spline.bend), jax.jit(spline.unbend)


def parameters(seed, size, dtype):
    raw = size * np.random.default_rng(seed).normal(size=spline.NUM_PARAMETERS)
    return jnp.asarray(np.tile(raw, (len(Z), 1)), dtype)


def test_at_rest_it_is_the_identity():
    u, log_slope = bend(jnp.asarray(Z, "float32"), parameters(0, 0, "float32"))
    np.testing.assert_allclose(u, Z, atol=1e-5)
    np.testing.assert_allclose(log_slope, 0, atol=1e-5)


@pytest.mark.parametrize("size", [0.3, 2])
def test_it_rises_and_can_be_undone(x64, size):
    raw = parameters(1, size, "float64")
    u, _ = bend(jnp.asarray(Z), raw)
    assert (np.diff(u) > 0).all()
    outside = np.abs(Z) >= 4
    np.testing.assert_array_equal(u[outside], Z[outside])
    assert np.abs(u - Z).max() > 0.05
    np.testing.assert_allclose(unbend(u, raw), Z, atol=1e-6)


def test_slopes_are_those_of_finite_differences(x64):
    raw, small = parameters(2, 1, "float64"), 1e-6
    _, log_slope = bend(jnp.asarray(Z), raw)
    above, below = (bend(jnp.asarray(Z + s * small), raw)[0] for s in (1, -1))
    slope = (np.asarray(above) - np.asarray(below)) / (2 * small)
    knots = np.abs(np.abs(Z) - 4) < 1e-3  # where it is bent to the identity
    np.testing.assert_allclose(np.exp(log_slope)[~knots], slope[~knots], rtol=1e-5)


def test_gradients_are_finite_everywhere():
    def total(z, raw):
        u, log_slope = spline.bend(z, raw)
        return (u * u + log_slope).sum()

    z = jnp.asarray([-1e30, -4, 0, 4, 1e30], "float32")
    raw = parameters(3, 1, "float32")[:5]
    for leaf in jax.jit(jax.grad(total, argnums=(0, 1)))(z, raw):
        assert np.isfinite(leaf[:4] if leaf.ndim > 1 else leaf[1:4]).all()
