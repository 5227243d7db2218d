"""The bound of a mixture of regimes, against integrals and sums over all cases."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.models import regimes


def density(v, a, b):
    """Of a Beta distribution, without its library."""
    total = np.sum(v ** (a - 1) * (1 - v) ** (b - 1)) * (v[1] - v[0])
    return v ** (a - 1) * (1 - v) ** (b - 1) / total


GRID = (np.arange(100_000) + 0.5) / 100_000


def test_sticks_are_broken_in_the_order_of_the_regimes_sizes():
    posterior = regimes.sticks(jnp.array([5.0, 20.0, 10.0]), 2.0)
    np.testing.assert_allclose(posterior.a, [21, 11, 6])
    np.testing.assert_allclose(posterior.b, [17, 7, 2])
    np.testing.assert_array_equal(posterior.place, [2, 0, 1])


def test_expected_log_weights_are_integrals():
    posterior = regimes.sticks(jnp.array([5.0, 20.0, 10.0]), 2.0)
    first, second = density(GRID, 21, 17), density(GRID, 11, 7)
    width = GRID[1] - GRID[0]
    log, left = np.log(GRID), np.log1p(-GRID)
    expected = [
        width * (first @ left + second @ left),
        width * (first @ log),
        width * (first @ left + second @ log),
    ]
    found = regimes.expected_log_weights(posterior)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_divergence_of_sticks_is_an_integral():
    posterior = regimes.sticks(jnp.array([3.0, 1.0]), 2.0)
    q, p = density(GRID, 4, 3), density(GRID, 1, 2)
    expected = (q * np.log(q / p)).mean()
    found = regimes.stick_divergence(posterior, 2.0)
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_sticks_are_the_best_there_are():
    """No other Beta distribution gives more of E log pi less the divergence."""
    counts = jnp.array([7.0, 4.0, 1.5])

    def gain(shapes):
        posterior = regimes.Sticks(shapes[0], shapes[1], jnp.arange(3))
        log_weights = regimes.expected_log_weights(posterior)
        return counts @ log_weights - regimes.stick_divergence(posterior, 1.5)

    best = regimes.sticks(counts, 1.5)
    slope = jax.grad(gain)(jnp.stack([best.a, best.b]))
    np.testing.assert_allclose(slope[:, :-1], 0, atol=1e-4)


def test_the_divergence_of_targets_is_a_sum_over_all_sets():
    q = np.array([[0, 0], [0.3, 0.9]], "float32")
    expected = 0.0
    for hit in itertools.product([0, 1], repeat=2):
        chance = np.prod(np.where(hit, q[1], 1 - q[1]))
        prior = np.prod(np.where(hit, 0.1, 0.9))
        expected += chance * np.log(chance / prior)
    found = regimes.target_divergence(jnp.asarray(q), jnp.float32(0.1))
    assert found == pytest.approx(expected, rel=1e-5)
    sure = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    expected = -np.log(0.1) - np.log(0.9)
    found = regimes.target_divergence(sure, jnp.float32(0.1))
    assert found == pytest.approx(expected, rel=1e-5)


def test_rows_are_told_by_their_regimes_densities():
    rng = np.random.default_rng(0)
    usual, done = rng.normal(size=(4, 3)), rng.normal(size=(2, 4, 3))
    targets = np.array([[0, 0, 0], [0, 1, 0.5]])
    expected = np.zeros((4, 2))
    for n, k, j in np.ndindex(4, 2, 3):
        part = targets[k, j]
        expected[n, k] += (1 - part) * usual[n, j] + part * done[k, n, j]
    arrays = (jnp.asarray(a, jnp.float32) for a in (usual, done, targets))
    found = regimes.row_log_likelihoods(*arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
