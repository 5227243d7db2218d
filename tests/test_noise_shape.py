"""Noise whose shape depends on the parents, against integrals and known shapes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from causaljax.mechanisms import noise_shape

log_density = jax.jit(noise_shape.log_density)
fit = functools.partial(jax.jit, static_argnums=5)(noise_shape.fit)


def features_of(x):
    return jnp.asarray(np.column_stack([np.ones(len(x)), x]))


@pytest.mark.usefixtures("x64")
def test_densities_integrate_to_one_whatever_the_weights():
    rng = np.random.default_rng(0)
    begin = noise_shape.normal_shape(2, jnp.float64)
    weights = begin + 2 * rng.normal(size=begin.shape)
    grid = np.linspace(-20, 20, 40_001)
    for x in (-1.5, 0.0, 2.0):
        features = features_of(np.full(len(grid), x))
        density = np.exp(log_density(weights, features, jnp.asarray(grid)))
        assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("x64")
def test_it_begins_as_about_normal():
    grid = np.linspace(-2, 2, 41)
    weights = noise_shape.normal_shape(2, jnp.float64)
    found = log_density(weights, features_of(grid), jnp.asarray(grid))
    np.testing.assert_allclose(found, stats.norm.logpdf(grid), atol=0.03)


def two_humps(n=6000, seed=0):
    """Noise at -x or x by the toss of a coin, .3 wide; its log-density."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 2, n)
    noise = rng.choice([-1, 1], n) * x + 0.3 * rng.normal(size=n)
    humps = [stats.norm.logpdf(noise, side * x, 0.3) for side in (-1, 1)]
    return x, noise, np.logaddexp(*humps) - np.log(2)


@pytest.mark.usefixtures("x64")
def test_a_shape_that_the_parent_decides_is_learned():
    x, noise, expected = two_humps()
    features = features_of(np.column_stack([x, x**2]))
    begin = noise_shape.normal_shape(3, jnp.float64)
    learn = np.arange(len(x)) % 2 == 0
    given = (features, jnp.asarray(noise), jnp.asarray(learn, float), 0.1)
    weights = fit(begin, *given, 300)
    held_out = np.asarray(log_density(weights, features, given[1]))[~learn]
    assert stats.norm.logpdf(noise, 0, noise.std()).mean() < held_out.mean() - 0.2
    assert held_out.mean() > expected[~learn].mean() - 0.08


@pytest.mark.usefixtures("x64")
def test_no_step_loses_likelihood():
    """Of the near noise and the prior, which is what the steps are for."""
    x, noise, _ = two_humps(500)
    features, noise = features_of(x), jnp.asarray(noise)
    weight = jnp.asarray(np.random.default_rng(1).uniform(0, 2, len(x)))
    weights = begin = noise_shape.normal_shape(2, jnp.float64)

    def objective(weights):
        shape = jax.nn.log_softmax(features @ weights, axis=1)
        near = jax.nn.logsumexp(shape + noise_shape._bumps(noise), axis=1)
        return float(weight @ near - 0.5 * jnp.sum((weights - begin) ** 2))

    heights = [objective(weights)]
    for _ in range(15):
        weights = fit(weights, features, noise, weight, 1.0, 1)
        heights.append(objective(weights))
    assert (np.diff(heights) > 0).all()


def test_rows_without_weight_do_not_count():
    x, noise, _ = two_humps(400)
    features = features_of(x).astype("float32")
    weight = np.ones(400, "float32")
    weight[300:] = 0
    begin = noise_shape.normal_shape(2, jnp.float32)
    noise = jnp.asarray(noise, jnp.float32)
    whole = fit(begin, features, noise, jnp.asarray(weight), 1.0, 5)
    spoilt = fit(begin, features, noise.at[300:].set(50.0), jnp.asarray(weight), 1.0, 5)
    np.testing.assert_allclose(whole, spoilt, atol=1e-5)
